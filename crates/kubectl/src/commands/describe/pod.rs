//! Pods, pod templates, containers.

use super::out::{Out, boolean, date, l, list, number, or_none, selector, word, words};
use super::{Of, volumes};
use crate::error::Error;
use crate::objects::{self, text};
use meta::quantity::Quantity;
use serde_json::Value;

pub fn controller(v: &Value) -> Option<String> {
    let r = list(v, "/metadata/ownerReferences").find(|r| r["controller"] == true)?;
    Some(format!("{}/{}", text(r, "/kind"), text(r, "/name")))
}

/// What is being deleted, or else the phase.
pub fn status(v: &Value, o: &mut Out) {
    let deleted = text(v, "/metadata/deletionTimestamp");
    if deleted.is_empty() {
        l!(o, 0, "Status:\t{}", text(v, "/status/phase"));
    } else {
        l!(o, 0, "Status:\tTerminating (lasts {})", o.ago(deleted));
    }
}

pub async fn describe(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let (v, spec) = (of.v, &of.v["spec"]);
    o.head(v);
    if spec["priority"].is_i64() {
        l!(o, 0, "Priority:\t{}", spec["priority"]);
    }
    for (title, at) in [
        ("Priority Class Name", "/spec/priorityClassName"),
        ("Runtime Class Name", "/spec/runtimeClassName"),
        ("Service Account", "/spec/serviceAccountName"),
    ] {
        if !of.text(at).is_empty() {
            l!(o, 0, "{title}:\t{}", of.text(at));
        }
    }
    match of.text("/spec/nodeName") {
        "" => l!(o, 0, "Node:\t<none>"),
        n => l!(o, 0, "Node:\t{n}/{}", of.text("/status/hostIP")),
    }
    if !of.text("/status/startTime").is_empty() {
        l!(o, 0, "Start Time:\t{}", date(of.text("/status/startTime")));
    }
    o.notes(v);
    let finished = matches!(of.text("/status/phase"), "Succeeded" | "Failed");
    if finished {
        l!(o, 0, "Status:\t{}", of.text("/status/phase"));
    } else {
        status(v, o);
    }
    if !finished && !of.text("/metadata/deletionTimestamp").is_empty() {
        l!(o, 0, "Termination Grace Period:\t{}s", of.number("/metadata/deletionGracePeriodSeconds"));
    }
    for (title, at) in [("Reason", "/status/reason"), ("Message", "/status/message")] {
        if !of.text(at).is_empty() {
            l!(o, 0, "{title}:\t{}", of.text(at));
        }
    }
    seccomp(&spec["securityContext"], 0, 0, o);
    l!(o, 0, "IP:\t{}", of.text("/status/podIP"));
    let ips: Vec<&str> = list(v, "/status/podIPs").map(|i| text(i, "/ip")).collect();
    if ips.is_empty() {
        l!(o, 0, "IPs:\t<none>");
    } else {
        l!(o, 0, "IPs:");
        ips.iter().for_each(|i| l!(o, 1, "IP:\t{i}"));
    }
    if let Some(c) = controller(v) {
        l!(o, 0, "Controlled By:\t{c}");
    }
    if !of.text("/status/nominatedNodeName").is_empty() {
        l!(o, 0, "NominatedNodeName:\t{}", of.text("/status/nominatedNodeName"));
    }
    if spec["resources"].is_object() {
        l!(o, 0, "Resources:");
        resources(&spec["resources"], 1, o);
    }
    let status = &v["status"];
    if list(spec, "/initContainers").next().is_some() {
        containers(
            "Init Containers",
            &spec["initContainers"],
            &status["initContainerStatuses"],
            Some(v),
            "",
            o,
        );
    }
    containers("Containers", &spec["containers"], &status["containerStatuses"], Some(v), "", o);
    if list(spec, "/ephemeralContainers").next().is_some() {
        let s = &status["ephemeralContainerStatuses"];
        containers("Ephemeral Containers", &spec["ephemeralContainers"], s, Some(v), "", o);
    }
    let mut gates = list(spec, "/readinessGates").peekable();
    if gates.peek().is_some() {
        l!(o, 0, "Readiness Gates:\n  Type\tStatus");
        for g in gates {
            let kind = text(g, "/conditionType");
            let c = list(status, "/conditions").find(|c| text(c, "/type") == kind);
            l!(o, 1, "{kind} \t{} ", c.map_or("<none>", |c| text(c, "/status")));
        }
    }
    let mut conditions = list(status, "/conditions").peekable();
    if conditions.peek().is_some() {
        l!(o, 0, "Conditions:\n  Type\tStatus");
        conditions.for_each(|c| l!(o, 1, "{} \t{} ", text(c, "/type"), text(c, "/status")));
    }
    volumes::describe(&spec["volumes"], "", o);
    l!(o, 0, "QoS Class:\t{}", of.text("/status/qosClass"));
    o.labels("Node-Selectors", &spec["nodeSelector"]);
    tolerations("Tolerations", &spec["tolerations"], o);
    spread(&spec["topologySpreadConstraints"], "", o);
    let mut uid = of.text("/metadata/uid");
    let mirror = v["metadata"]["annotations"]["kubernetes.io/config.mirror"].as_str();
    if let Some(m) = mirror {
        uid = m;
    }
    of.events_of(o, &[uid], "").await;
    Ok(())
}

fn seccomp(context: &Value, level: usize, more: usize, o: &mut Out) {
    let p = &context["seccompProfile"];
    if p.is_object() {
        l!(o, level, "SeccompProfile:\t{}", text(p, "/type"));
        if text(p, "/type") == "Localhost" {
            l!(o, level + more, "LocalhostProfile:\t{}", text(p, "/localhostProfile"));
        }
    }
}

pub fn template(t: &Value, o: &mut Out) {
    l!(o, 0, "Pod Template:");
    let spec = &t["spec"];
    o.labels("  Labels", &t["metadata"]["labels"]);
    if t["metadata"]["annotations"].as_object().is_some_and(|a| !a.is_empty()) {
        o.annotations("  Annotations", &t["metadata"]["annotations"]);
    }
    if !text(spec, "/serviceAccountName").is_empty() {
        l!(o, 1, "Service Account:\t{}", text(spec, "/serviceAccountName"));
    }
    if list(spec, "/initContainers").next().is_some() {
        containers("Init Containers", &spec["initContainers"], &Value::Null, None, "  ", o);
    }
    containers("Containers", &spec["containers"], &Value::Null, None, "  ", o);
    volumes::describe(&spec["volumes"], "  ", o);
    spread(&spec["topologySpreadConstraints"], "  ", o);
    if !text(spec, "/priorityClassName").is_empty() {
        l!(o, 1, "Priority Class Name:\t{}", text(spec, "/priorityClassName"));
    }
    o.labels("  Node-Selectors", &spec["nodeSelector"]);
    tolerations("  Tolerations", &spec["tolerations"], o);
}

fn spread(all: &Value, space: &str, o: &mut Out) {
    let mut all: Vec<&Value> = list(all, "").collect();
    if all.is_empty() {
        return;
    }
    all.sort_by_key(|t| text(t, "/topologyKey"));
    o.part(0, &format!("{space}Topology Spread Constraints:\t"));
    for (i, t) in all.iter().enumerate() {
        if i > 0 {
            o.part(0, &format!("{space}\t"));
        }
        let of = if t["labelSelector"].is_object() {
            format!(" for selector {}", selector(&t["labelSelector"]))
        } else {
            String::new()
        };
        l!(
            o,
            0,
            "{}:{} when max skew {} is exceeded{of}",
            text(t, "/topologyKey"),
            text(t, "/whenUnsatisfiable"),
            number(&t["maxSkew"])
        );
    }
}

fn tolerations(title: &str, all: &Value, o: &mut Out) {
    let mut all: Vec<&Value> = list(all, "").collect();
    all.sort_by_key(|t| text(t, "/key"));
    let said: Vec<String> = all
        .iter()
        .map(|t| {
            let (key, value, effect) = (text(t, "/key"), text(t, "/value"), text(t, "/effect"));
            let mut s = key.to_owned();
            if !value.is_empty() {
                s.push_str(&format!("={value}"));
            }
            if !effect.is_empty() {
                s.push_str(&format!(":{effect}"));
            }
            if text(t, "/operator") == "Exists" && value.is_empty() {
                s.push_str(if s.is_empty() { "op=Exists" } else { " op=Exists" });
            }
            if t["tolerationSeconds"].is_i64() {
                s.push_str(&format!(" for {}s", t["tolerationSeconds"]));
            }
            s
        })
        .collect();
    o.beside("", title, &said);
}

pub fn resources(r: &Value, level: usize, o: &mut Out) {
    for (title, key) in [("Limits", "limits"), ("Requests", "requests")] {
        let all: Vec<_> = r[key].as_object().into_iter().flatten().collect();
        if !all.is_empty() {
            l!(o, level, "{title}:");
        }
        all.iter().for_each(|(k, q)| l!(o, level + 1, "{k}:\t{}", word(q)));
    }
}

fn containers(title: &str, all: &Value, statuses: &Value, pod: Option<&Value>, space: &str, o: &mut Out) {
    let none = if list(all, "").next().is_none() { " <none>" } else { "" };
    l!(o, 0, "{space}{title}:{none}");
    for c in list(all, "") {
        let name = text(c, "/name");
        let s = list(statuses, "").find(|s| text(s, "/name") == name);
        container(c, s, pod, if space.is_empty() { "" } else { " " }, o);
    }
}

fn container(c: &Value, s: Option<&Value>, pod: Option<&Value>, indent: &str, o: &mut Out) {
    l!(o, 1, "{indent}{}:", text(c, "/name"));
    if let Some(s) = s {
        l!(o, 2, "Container ID:\t{}", text(s, "/containerID"));
    }
    l!(o, 2, "Image:\t{}", text(c, "/image"));
    if let Some(s) = s {
        l!(o, 2, "Image ID:\t{}", text(s, "/imageID"));
    }
    for (title, key) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
        let all: Vec<String> = list(c, "/ports")
            .map(|p| {
                let name = text(p, "/name");
                let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
                format!("{}/{}{name}", number(&p[key]), text(p, "/protocol"))
            })
            .collect();
        if all.len() > 1 {
            l!(o, 2, "{title}s:\t{}", all.join(", "));
        } else {
            l!(o, 2, "{title}:\t{}", or_none(&all.join(", ")));
        }
    }
    seccomp(&c["securityContext"], 2, 1, o);
    for (title, key) in [("Command", "command"), ("Args", "args")] {
        let all = words(c, &format!("/{key}"));
        if !all.is_empty() {
            l!(o, 2, "{title}:");
            all.iter().flat_map(|w| w.split('\n')).for_each(|w| o.line(3, w));
        }
    }
    if let Some(s) = s {
        state("State", &s["state"], o);
        if s["lastState"]["terminated"].is_object() {
            state("Last State", &s["lastState"], o);
        }
        l!(o, 2, "Ready:\t{}", boolean(&s["ready"]));
        l!(o, 2, "Restart Count:\t{}", number(&s["restartCount"]));
    }
    resources(&c["resources"], 2, o);
    for (title, key) in
        [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
    {
        if c[key].is_object() {
            l!(o, 2, "{title}:\t{}", probe(&c[key]));
        }
    }
    env_from(c, o);
    env(c, pod, o);
    mounts(c, o);
}

fn state(title: &str, s: &Value, o: &mut Out) {
    let (run, wait, end) = (&s["running"], &s["waiting"], &s["terminated"]);
    if run.is_object() {
        l!(o, 2, "{title}:\tRunning");
        l!(o, 3, "Started:\t{}", date(text(run, "/startedAt")));
    } else if end.is_object() && !wait.is_object() {
        l!(o, 2, "{title}:\tTerminated");
        for (t, k) in [("Reason", "/reason"), ("Message", "/message")] {
            if !text(end, k).is_empty() {
                l!(o, 3, "{t}:\t{}", text(end, k));
            }
        }
        l!(o, 3, "Exit Code:\t{}", number(&end["exitCode"]));
        if number(&end["signal"]) > 0 {
            l!(o, 3, "Signal:\t{}", end["signal"]);
        }
        l!(o, 3, "Started:\t{}", date(text(end, "/startedAt")));
        l!(o, 3, "Finished:\t{}", date(text(end, "/finishedAt")));
    } else {
        l!(o, 2, "{title}:\tWaiting");
        if !text(wait, "/reason").is_empty() {
            l!(o, 3, "Reason:\t{}", text(wait, "/reason"));
        }
    }
}

fn probe(p: &Value) -> String {
    let n = |k: &str| number(&p[k]);
    let attrs = format!(
        "delay={}s timeout={}s period={}s successThreshold={} failureThreshold={}",
        n("initialDelaySeconds"),
        n("timeoutSeconds"),
        n("periodSeconds"),
        n("successThreshold"),
        n("failureThreshold")
    );
    if p["exec"].is_object() {
        format!("exec [{}] {attrs}", words(p, "/exec/command").join(" "))
    } else if p["httpGet"].is_object() {
        let g = &p["httpGet"];
        let (mut host, port) = (text(g, "/host").to_owned(), word(&g["port"]));
        if host.contains(':') {
            host = format!("[{host}]");
        }
        let path = text(g, "/path");
        let path =
            if path.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        format!("http-get {}://{host}:{port}{path} {attrs}", text(g, "/scheme").to_lowercase())
    } else if p["tcpSocket"].is_object() {
        format!("tcp-socket {}:{} {attrs}", text(p, "/tcpSocket/host"), word(&p["tcpSocket"]["port"]))
    } else if p["grpc"].is_object() {
        format!("grpc <pod>:{} {} {attrs}", number(&p["grpc"]["port"]), text(p, "/grpc/service"))
    } else {
        format!("unknown {attrs}")
    }
}

fn env_from(c: &Value, o: &mut Out) {
    let mut all = list(c, "/envFrom").peekable();
    if all.peek().is_none() {
        return;
    }
    l!(o, 2, "Environment Variables from:");
    for e in all {
        let (from, r) = match (&e["configMapRef"], &e["secretRef"]) {
            (r, _) if r.is_object() => ("ConfigMap", r),
            (_, r) if r.is_object() => ("Secret", r),
            (r, _) => ("", r),
        };
        let prefix = text(e, "/prefix");
        let prefix = if prefix.is_empty() { String::new() } else { format!(" with prefix '{prefix}'") };
        l!(o, 3, "{}\t{from}{prefix}\tOptional: {}", text(r, "/name"), r["optional"] == true);
    }
}

fn env(c: &Value, pod: Option<&Value>, o: &mut Out) {
    let none = if list(c, "/env").next().is_none() { "\t<none>" } else { "" };
    l!(o, 2, "Environment:{none}");
    for e in list(c, "/env") {
        let (name, from) = (text(e, "/name"), &e["valueFrom"]);
        if from.is_null() {
            for (i, s) in text(e, "/value").split('\n').enumerate() {
                let n = if i == 0 { format!("{name}:") } else { String::new() };
                l!(o, 3, "{n}\t{s}");
            }
        } else if from["fieldRef"].is_object() {
            let (api, path) = (text(from, "/fieldRef/apiVersion"), text(from, "/fieldRef/fieldPath"));
            l!(o, 3, "{name}:\t{} ({api}:{path})", pod.map(|p| field(p, path)).unwrap_or_default());
        } else if from["resourceFieldRef"].is_object() {
            let r = text(from, "/resourceFieldRef/resource");
            let mut v = resource_value(c, r, text(from, "/resourceFieldRef/divisor"));
            if v == "0" && (r == "limits.cpu" || r == "limits.memory") {
                v = "node allocatable".into();
            }
            l!(o, 3, "{name}:\t{v} ({r})");
        } else if from["secretKeyRef"].is_object() {
            let s = &from["secretKeyRef"];
            let (k, n, opt) = (text(s, "/key"), text(s, "/name"), s["optional"] == true);
            l!(o, 3, "{name}:\t<set to the key '{k}' in secret '{n}'>\tOptional: {opt}");
        } else if from["configMapKeyRef"].is_object() {
            let s = &from["configMapKeyRef"];
            let (k, n, opt) = (text(s, "/key"), text(s, "/name"), s["optional"] == true);
            l!(o, 3, "{name}:\t<set to the key '{k}' of config map '{n}'>\tOptional: {opt}");
        }
    }
}

/// A pod's field as its containers see it.
fn field(pod: &Value, path: &str) -> String {
    let m = &pod["metadata"];
    let map = |k: &str| {
        let all = objects::labels(m, &format!("/{k}"));
        all.iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join("\n")
    };
    match path {
        "metadata.name" => text(m, "/name").into(),
        "metadata.namespace" => text(m, "/namespace").into(),
        "metadata.uid" => text(m, "/uid").into(),
        "metadata.labels" => map("labels"),
        "metadata.annotations" => map("annotations"),
        p => {
            let sub = |k: &str| {
                p.strip_prefix(&format!("metadata.{k}['"))
                    .and_then(|r| r.strip_suffix("']"))
                    .map(|n| m[k][n].as_str().unwrap_or_default().to_owned())
            };
            sub("labels").or_else(|| sub("annotations")).unwrap_or_default()
        }
    }
}

/// What `resourceFieldRef` gives, rounded up to its divisor.
pub fn resource_value(c: &Value, r: &str, divisor: &str) -> String {
    let Some((list, name)) = r.split_once('.') else { return String::new() };
    let parse = |s: &str| Quantity::parse(s).unwrap_or_else(|_| Quantity::zero());
    let q = c["resources"][list][name].as_str().map_or_else(Quantity::zero, parse);
    let d = match divisor {
        "" | "0" => parse("1"),
        d => parse(d),
    };
    let (q, d) = if name == "cpu" { (q.milli_value(), d.milli_value()) } else { (q.value(), d.value()) };
    let d = d.max(1);
    ((q + d - 1) / d).to_string()
}

fn mounts(c: &Value, o: &mut Out) {
    let mut all: Vec<&Value> = list(c, "/volumeMounts").collect();
    let none = if all.is_empty() { "\t<none>" } else { "" };
    l!(o, 2, "Mounts:{none}");
    all.sort_by_key(|m| text(m, "/mountPath"));
    for m in all {
        let mut flags = vec![if m["readOnly"] == true { "ro".to_owned() } else { "rw".to_owned() }];
        if !text(m, "/subPath").is_empty() {
            flags.push(format!("path={:?}", text(m, "/subPath")));
        }
        l!(o, 3, "{} from {} ({})", text(m, "/mountPath"), text(m, "/name"), flags.join(","));
    }
    let mut devices: Vec<&Value> = list(c, "/volumeDevices").collect();
    if !devices.is_empty() {
        l!(o, 2, "Devices:{none}");
        devices.sort_by_key(|d| text(d, "/devicePath"));
        devices.iter().for_each(|d| l!(o, 3, "{} from {}", text(d, "/devicePath"), text(d, "/name")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values() {
        let c = json!({"resources": {"limits": {"cpu": "200m", "memory": "3Mi"}}});
        assert_eq!(resource_value(&c, "limits.cpu", "1"), "1");
        assert_eq!(resource_value(&c, "limits.cpu", "1m"), "200");
        assert_eq!(resource_value(&c, "limits.memory", "2Mi"), "2");
        assert_eq!(resource_value(&c, "requests.cpu", ""), "0");
        let p = json!({"httpGet": {"path": "x", "port": "http", "scheme": "HTTP"}, "periodSeconds": 7});
        assert_eq!(
            probe(&p),
            "http-get http://:http/x delay=0s timeout=0s period=7s successThreshold=0 failureThreshold=0"
        );
    }
}
