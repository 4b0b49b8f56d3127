//! `cluster-info`: where the control plane and its services are; `cluster-info dump`: what there is, to look into trouble.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, text};
use crate::{pods, print};
use client::url::{collection, object, with_query};
use serde_json::Value;
use std::path::Path;

super::commands! {
    "cluster-info" ""
        "Display addresses of the control plane and of services that belong to it\n\nServices belong to it by the label kubernetes.io/cluster-service=true in kube-system."
        "kubectl cluster-info"
        NONE, run;
    "cluster-info dump" ""
        "Dump relevant information for debugging and diagnosis\n\nNodes, and of each namespace its events, services, controllers, pods, and their containers' logs. Without\n--output-directory everything goes to standard output."
        "kubectl cluster-info dump\nkubectl cluster-info dump -A --output-directory=/tmp/state"
        DUMP, dump;
}

const NONE: &[Flag] = &[];
const DUMP: &[Flag] = &[
    objects::ALL_NAMESPACES,
    flag("namespaces", None, Form::List, "", "Namespaces to dump; default: this one and kube-system"),
    flag("output-directory", None, Form::Text, "", "Where the files go; - for standard output"),
    flag("output", Some('o'), Form::Text, "json", "Output format: json or yaml"),
    flag(
        "pod-running-timeout",
        None,
        Form::Text,
        "20s",
        "Accepted as upstream does; nothing waits for a pod here",
    ),
];

/// Where parts of a dump go.
struct Sink<'a> {
    dir: Option<&'a Path>,
    yaml: bool,
}

impl Sink<'_> {
    fn text(&self, file: &str, s: &str) -> Result<(), Error> {
        let Some(d) = self.dir else {
            print::out(s);
            return Ok(());
        };
        let p = d.join(file);
        if let Some(d) = p.parent() {
            std::fs::create_dir_all(d)?;
        }
        std::fs::write(p, s)?;
        Ok(())
    }
    fn value(&self, file: &str, v: &Value) -> Result<(), Error> {
        if self.yaml {
            self.text(&format!("{file}.yaml"), &print::yaml(v))
        } else {
            self.text(&format!("{file}.json"), &format!("{}\n", print::pretty(v)))
        }
    }
}

pub async fn dump(cx: Cx) -> Result<(), Error> {
    let o = cx.p.text("output");
    if !matches!(o, "json" | "yaml") {
        return Err(Error::plain("cluster-info dump prints json or yaml"));
    }
    let dir = Some(cx.p.text("output-directory")).filter(|d| !d.is_empty() && *d != "-").map(Path::new);
    let sink = Sink { dir, yaml: o == "yaml" };
    sink.value("nodes", &cx.get(&collection("", "v1", "nodes", None)).await?)?;
    let mut spaces = cx.p.list("namespaces");
    if cx.p.on("all-namespaces") {
        let all = cx.get(&collection("", "v1", "namespaces", None)).await?;
        let items = all["items"].as_array().into_iter().flatten();
        spaces = items.map(|n| text(n, "/metadata/name").to_owned()).collect();
    } else if spaces.is_empty() {
        spaces = vec!["kube-system".into(), cx.namespace()?];
        spaces.dedup();
    }
    for ns in &spaces {
        for (group, what, file) in [
            ("", "events", "events"),
            ("", "replicationcontrollers", "replication-controllers"),
            ("", "services", "services"),
            ("apps", "daemonsets", "daemonsets"),
            ("apps", "deployments", "deployments"),
            ("apps", "replicasets", "replicasets"),
            ("", "pods", "pods"),
        ] {
            let v = cx.get(&collection(group, "v1", what, Some(ns))).await?;
            sink.value(&format!("{ns}/{file}"), &v)?;
            if what != "pods" {
                continue;
            }
            for p in v["items"].as_array().into_iter().flatten() {
                logs(&cx, &sink, ns, p).await?;
            }
        }
    }
    if let Some(d) = dir {
        print::line(&format!("Cluster info dumped to {}", d.display()));
    }
    Ok(())
}

async fn logs(cx: &Cx, sink: &Sink<'_>, ns: &str, pod: &Value) -> Result<(), Error> {
    let name = text(pod, "/metadata/name");
    let file = format!("{ns}/{name}/logs.txt");
    let mut all = String::new();
    for c in pods::names(pod) {
        all.push_str(&format!("==== START logs for container {c} of pod {ns}/{name} ====\n"));
        let path = with_query(object("", "v1", "pods", Some(ns), name, "log"), &[("container", &c)]);
        match cx.bytes(&path).await {
            Ok(b) => all.push_str(&String::from_utf8_lossy(&b)),
            Err(e) => all.push_str(&format!("Request log error: {}\n", e.bare())),
        }
        all.push_str(&format!("==== END logs for container {c} of pod {ns}/{name} ====\n"));
    }
    sink.text(&file, &all)
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let server = cx.config()?.server;
    let server = server.trim_end_matches('/');
    print::line(&format!("Kubernetes control plane is running at {server}"));
    let sel = "/api/v1/namespaces/kube-system/services?labelSelector=kubernetes.io%2Fcluster-service%3Dtrue";
    let list = cx.get(sel).await?;
    for s in list["items"].as_array().into_iter().flatten() {
        let name = text(s, "/metadata/name");
        let shown = match text(s, "/metadata/labels/kubernetes.io~1name") {
            "" => name,
            n => n,
        };
        let ingress = s["status"]["loadBalancer"]["ingress"].as_array().and_then(|a| a.first());
        let at = if let Some(i) = ingress {
            let ip = if text(i, "/ip").is_empty() { text(i, "/hostname") } else { text(i, "/ip") };
            let ports = s["spec"]["ports"].as_array().into_iter().flatten();
            ports.map(|p| format!("http://{ip}:{} ", p["port"])).collect()
        } else {
            let port = &s["spec"]["ports"][0];
            let port_name = text(port, "/name");
            let https = port_name == "https" || port["port"] == 443;
            let scheme = if https { "https:" } else { "" };
            let tail = if port_name.is_empty() && !https { String::new() } else { format!(":{port_name}") };
            format!(
                "{server}/api/v1/namespaces/{}/services/{scheme}{name}{tail}/proxy",
                text(s, "/metadata/namespace")
            )
        };
        print::line(&format!("{shown} is running at {at}"));
    }
    print::line("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.");
    Ok(())
}
