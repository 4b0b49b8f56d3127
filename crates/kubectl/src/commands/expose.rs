//! `expose`: a Service for the pods of an object.

use super::create;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, text};
use serde_json::{Value, json};

super::commands! {
    "expose" "(-f FILENAME | TYPE NAME) [--port=port] [--target-port=number-or-name]"
        "Take an object with pods and expose it as a service\n\nThe service selects the pods that the object selects: a pod by its labels, a deployment, replica set or replication\ncontroller by its selector, a service by its own."
        "kubectl expose deploy web --port=80 --target-port=8080\nkubectl expose pod web --port=80 --name=front --type=NodePort"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = join!(
    objects::FILES,
    objects::WRITE,
    &[
        create::SAVE,
        flag("overrides", None, Form::Text, "", "JSON to lay over the service; it must name its apiVersion"),
        flag("load-balancer-ip", None, Form::Text, "", "The address to ask the load balancer for"),
        flag("port", None, Form::Text, "", "The port that the service serves on; default: the object's own"),
        flag("target-port", None, Form::Text, "", "Name or number of the container's port"),
        flag("protocol", None, Form::Text, "", "The network protocol; default: TCP"),
        flag("name", None, Form::Text, "", "The name of the service"),
        flag("selector", None, Form::Text, "", "Labels of the pods, in place of the object's: a=b,c=d"),
        flag("labels", Some('l'), Form::Text, "", "Labels of the service"),
        flag("type", None, Form::Text, "", "ClusterIP, NodePort, LoadBalancer or ExternalName"),
        flag("cluster-ip", None, Form::Text, "", "The service's address; None: a headless service"),
        flag("external-ip", None, Form::Text, "", "An additional external address"),
        flag("session-affinity", None, Form::Text, "", "None or ClientIP")
    ]
);

/// `a=b,c=d`.
pub fn pairs(s: &str) -> Result<Value, Error> {
    let mut m = serde_json::Map::new();
    for p in s.split(',').filter(|p| !p.is_empty()) {
        let (k, v) = p.split_once('=').ok_or_else(|| Error::plain(format!("unexpected label spec: {p}")))?;
        m.insert(k.to_owned(), v.into());
    }
    Ok(Value::Object(m))
}

/// A port as a number where it is one.
pub fn port(s: &str) -> Value {
    s.parse::<i64>().map_or_else(|_| s.into(), Value::from)
}

fn selector(kind: &str, v: &Value) -> Result<Value, Error> {
    let m = match kind {
        "Pod" => &v["metadata"]["labels"],
        "Service" | "ReplicationController" => &v["spec"]["selector"],
        "Deployment" | "ReplicaSet" => {
            let s = &v["spec"]["selector"];
            if s["matchExpressions"].as_array().is_some_and(|a| !a.is_empty()) {
                return Err(Error::plain(
                    "couldn't convert expressions - \"matchExpressions\" to map-based selector format",
                ));
            }
            &s["matchLabels"]
        }
        _ => return Err(Error::plain(format!("cannot expose a {kind}"))),
    };
    if m.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(Error::plain(format!(
            "couldn't retrieve selectors via --selector flag or introspection: the {kind} has no labels and cannot be exposed"
        )));
    }
    Ok(m.clone())
}

/// Number and protocol of each port that an object has itself.
fn own_ports(kind: &str, v: &Value) -> Vec<(i64, String)> {
    let (lists, key): (Vec<&Value>, &str) = match kind {
        "Service" => (vec![&v["spec"]["ports"]], "port"),
        _ => {
            let pod = if kind == "Pod" { &v["spec"] } else { &v["spec"]["template"]["spec"] };
            (
                pod["containers"].as_array().into_iter().flatten().map(|c| &c["ports"]).collect(),
                "containerPort",
            )
        }
    };
    let one = |p: &Value| {
        let proto = p["protocol"].as_str().unwrap_or("TCP").to_owned();
        p[key].as_i64().map(|n| (n, proto))
    };
    lists.into_iter().filter_map(Value::as_array).flatten().filter_map(one).collect()
}

pub fn service(cx: &Cx, kind: &str, v: &Value) -> Result<Value, Error> {
    let selector = match cx.p.text("selector") {
        "" => selector(kind, v)?,
        s => pairs(s)?,
    };
    let own = own_ports(kind, v);
    let given = cx.p.list("port");
    let mut ports: Vec<(i64, String)> = Vec::new();
    for p in &given {
        let n: i64 = p.parse().map_err(|_| Error::plain(format!("invalid port {p:?}")))?;
        let proto = own.iter().find(|(o, _)| *o == n).map_or("TCP", |(_, p)| p.as_str());
        ports.push((n, proto.to_owned()));
    }
    if given.is_empty() {
        ports = own;
    }
    if ports.is_empty() {
        return Err(Error::plain("couldn't find port via --port flag or introspection"));
    }
    let many = ports.len() > 1;
    let ports: Vec<Value> = ports
        .into_iter()
        .enumerate()
        .map(|(i, (n, proto))| {
            let proto = Some(cx.p.text("protocol")).filter(|p| !p.is_empty()).unwrap_or(&proto);
            let target = match cx.p.text("target-port") {
                "" => n.into(),
                t => port(t),
            };
            let mut p = json!({"port": n, "protocol": proto, "targetPort": target});
            if many {
                p["name"] = format!("port-{}", i + 1).into();
            }
            p
        })
        .collect();
    let name = match cx.p.text("name") {
        "" => text(v, "/metadata/name"),
        n => n,
    };
    let mut s = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"ports": ports, "selector": selector}, "status": {"loadBalancer": {}}});
    let labels = match cx.p.text("labels") {
        "" => v["metadata"]["labels"].clone(),
        l => pairs(l)?,
    };
    if labels.is_object() {
        s["metadata"]["labels"] = labels;
    }
    for (flag, key) in
        [("type", "type"), ("cluster-ip", "clusterIP"), ("session-affinity", "sessionAffinity")]
    {
        if !cx.p.text(flag).is_empty() {
            s["spec"][key] = cx.p.text(flag).into();
        }
    }
    if !cx.p.text("load-balancer-ip").is_empty() && cx.p.text("type") == "LoadBalancer" {
        s["spec"]["loadBalancerIP"] = cx.p.text("load-balancer-ip").into();
    }
    if !cx.p.text("external-ip").is_empty() {
        s["spec"]["externalIPs"] = json!([cx.p.text("external-ip")]);
    }
    Ok(s)
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    // --selector is not a list's here.
    let targets = objects::named(&cx).await?;
    let (found, mut errors) = objects::fetch(&cx, &targets).await;
    for (t, v) in found {
        match service(&cx, &t.resource.kind, &v) {
            Ok(mut s) => {
                if !t.namespace.is_empty() {
                    s["metadata"]["namespace"] = t.namespace.clone().into();
                }
                if !cx.p.text("overrides").is_empty() {
                    let o = schema::yaml::parse(cx.p.text("overrides").as_bytes())
                        .map_err(|e| Error::plain(format!("couldn't parse the overrides: {e}")))?;
                    s = patch::merge_patch(&s, &o).map_err(|e| Error::plain(e.to_string()))?;
                }
                create::send(&cx, s, "exposed").await?;
            }
            Err(e) => errors.push(e),
        }
    }
    Error::many(errors)
}
