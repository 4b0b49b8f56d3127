//! Nodes, namespaces, quotas, limits, priority classes, accounts, configuration.

use super::Of;
use super::network::{probed_conditions, timed_conditions};
use super::out::{Out, date, l, list, or_none, pairs, word, words};
use crate::error::Error;
use crate::objects::{self, text};
use client::url::{collection, object};
use meta::quantity::Quantity;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub async fn secret(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    o.notes(of.v);
    l!(o, 0, "\nType:\t{}", of.text("/type"));
    l!(o, 0, "\nData\n====");
    let shown = of.text("/type") == "kubernetes.io/service-account-token";
    for (k, d) in objects::labels(of.v, "/data") {
        let b = client::config::kubeconfig::base64_data(&d).unwrap_or_default();
        if shown && k == "token" {
            l!(o, 0, "{k}:\t{}", String::from_utf8_lossy(&b));
        } else {
            l!(o, 0, "{k}:\t{} bytes", b.len());
        }
    }
    Ok(())
}

pub async fn configmap(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    o.notes(of.v);
    l!(o, 0, "\nData\n====");
    for (k, d) in objects::labels(of.v, "/data") {
        l!(o, 0, "{k}:\n----\n{d}\n");
    }
    l!(o, 0, "\nBinaryData\n====");
    for (k, d) in objects::labels(of.v, "/binaryData") {
        let n = client::config::kubeconfig::base64_data(&d).map_or(0, |b| b.len());
        l!(o, 0, "{k}: {n} bytes");
    }
    o.line(0, "");
    of.events(o).await;
    Ok(())
}

pub async fn serviceaccount(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    o.notes(of.v);
    let all: Vec<&str> = list(of.v, "/imagePullSecrets").map(|s| text(s, "/name")).collect();
    if all.is_empty() {
        l!(o, 0, "Image pull secrets:\t<none>");
    }
    for (i, n) in all.iter().enumerate() {
        l!(o, 0, "{}\t{n}", if i == 0 { "Image pull secrets:" } else { "                   " });
    }
    of.events(o).await;
    Ok(())
}

pub async fn priority(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    l!(o, 0, "Name:\t{}", of.text("/metadata/name"));
    l!(o, 0, "Value:\t{}", of.number("/value"));
    l!(o, 0, "GlobalDefault:\t{}", of.v["globalDefault"] == true);
    l!(o, 0, "PreemptionPolicy:\t{}", of.text("/preemptionPolicy"));
    l!(o, 0, "Description:\t{}", of.text("/description"));
    l!(o, 0, "Annotations:\t{}", pairs(&of.v["metadata"]["annotations"]));
    of.events(o).await;
    Ok(())
}

pub async fn namespace(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let name = of.text("/metadata/name");
    let quotas = of.all(collection("", "v1", "resourcequotas", Some(name)), &[]).await?;
    let limits = of.all(collection("", "v1", "limitranges", Some(name)), &[]).await?;
    l!(o, 0, "Name:\t{name}");
    o.notes(of.v);
    l!(o, 0, "Status:\t{}", of.text("/status/phase"));
    timed_conditions(of.v, o);
    o.line(0, "");
    if quotas.is_empty() {
        l!(o, 0, "No resource quota.");
    } else {
        l!(o, 0, "Resource Quotas");
        for q in &quotas {
            l!(o, 1, "Name:\t{}", text(q, "/metadata/name"));
            scopes(q, 1, "* ", o);
            l!(o, 1, "Resource\tUsed\tHard");
            l!(o, 1, "--------\t---\t---");
            for (k, h) in objects::labels(q, "/status/hard") {
                l!(o, 1, "{k}\t{}\t{h}", used(q, &k));
            }
        }
    }
    o.line(0, "");
    if limits.is_empty() {
        l!(o, 0, "No LimitRange resource.");
    } else {
        l!(
            o,
            0,
            "Resource Limits\n Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio"
        );
        l!(o, 0, " ----\t--------\t---\t---\t---------------\t-------------\t-----------------------");
        limits.iter().for_each(|r| ranges(r, " ", o));
    }
    Ok(())
}

fn used(q: &Value, k: &str) -> String {
    q["status"]["used"][k].as_str().unwrap_or("0").to_owned()
}

fn scopes(q: &Value, level: usize, mark: &str, o: &mut Out) {
    let mut all = words(q, "/spec/scopes");
    if all.is_empty() {
        return;
    }
    all.sort();
    l!(o, level, "Scopes:\t{}", all.join(", "));
    for s in &all {
        let help = match s.as_str() {
            "Terminating" => {
                "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being actively terminated by the system."
            }
            "NotTerminating" => {
                "Matches all pods that do not have an active deadline. These pods usually include long running pods whose container command is not expected to terminate."
            }
            "BestEffort" => {
                "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service."
            }
            "NotBestEffort" => {
                "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed quality of service."
            }
            _ => continue,
        };
        l!(o, level, "{mark}{help}");
    }
}

pub async fn quota(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    scopes(of.v, 0, " * ", o);
    l!(o, 0, "Resource\tUsed\tHard");
    l!(o, 0, "--------\t----\t----");
    for (k, h) in objects::labels(of.v, "/status/hard") {
        l!(o, 0, "{k}\t{}\t{h}", used(of.v, &k));
    }
    Ok(())
}

pub async fn limitrange(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    l!(o, 0, "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio");
    l!(o, 0, "----\t--------\t---\t---\t---------------\t-------------\t-----------------------");
    ranges(of.v, "", o);
    Ok(())
}

fn ranges(v: &Value, prefix: &str, o: &mut Out) {
    const LISTS: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
    for i in list(v, "/spec/limits") {
        let names: BTreeSet<&String> =
            LISTS.iter().flat_map(|l| i[*l].as_object().into_iter().flatten()).map(|(k, _)| k).collect();
        for n in names {
            let cells: Vec<String> =
                LISTS.iter().map(|l| i[*l][n].as_str().unwrap_or("-").to_owned()).collect();
            l!(o, 0, "{prefix}{}\t{n}\t{}", text(i, "/type"), cells.join("\t"));
        }
    }
}

pub async fn node(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let v = of.v;
    let name = of.text("/metadata/name");
    let fields = format!("spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed");
    let pods = match of.pods("", &fields).await {
        Ok(p) => Some(p),
        Err(Error::Status(s)) if s.reason == "Forbidden" => None,
        Err(e) => return Err(e),
    };
    l!(o, 0, "Name:\t{name}");
    let mut roles = BTreeSet::new();
    for (k, x) in objects::labels(v, "/metadata/labels") {
        match k.strip_prefix("node-role.kubernetes.io/") {
            Some("") | None if k == "kubernetes.io/role" && !x.is_empty() => roles.insert(x),
            Some(r) if !r.is_empty() => roles.insert(r.to_owned()),
            _ => false,
        };
    }
    l!(o, 0, "Roles:\t{}", or_none(&roles.into_iter().collect::<Vec<_>>().join(",")));
    o.notes(v);
    l!(o, 0, "CreationTimestamp:\t{}", date(of.text("/metadata/creationTimestamp")));
    taints(&v["spec"]["taints"], o);
    l!(o, 0, "Unschedulable:\t{}", v["spec"]["unschedulable"] == true);
    lease(of, name, o).await;
    probed_conditions(v, "LastHeartbeatTime", o);
    l!(o, 0, "Addresses:");
    list(v, "/status/addresses").for_each(|a| l!(o, 1, "{}:\t{}", text(a, "/type"), text(a, "/address")));
    for (title, at) in [("Capacity", "/status/capacity"), ("Allocatable", "/status/allocatable")] {
        let all = objects::labels(v, at);
        if !all.is_empty() {
            l!(o, 0, "{title}:");
            all.iter().for_each(|(k, q)| l!(o, 1, "{k}:\t{q}"));
        }
    }
    slices(of, name, o).await;
    l!(o, 0, "System Info:");
    for (title, key) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ] {
        l!(o, 1, "{title}:\t{}", word(&v["status"]["nodeInfo"][key]));
    }
    if !of.text("/spec/podCIDR").is_empty() {
        l!(o, 0, "PodCIDR:\t{}", of.text("/spec/podCIDR"));
    }
    let cidrs = words(v, "/spec/podCIDRs");
    if !cidrs.is_empty() {
        l!(o, 0, "PodCIDRs:\t{}", cidrs.join(","));
    }
    if !of.text("/spec/providerID").is_empty() {
        l!(o, 0, "ProviderID:\t{}", of.text("/spec/providerID"));
    }
    match pods {
        Some(p) => allocated(v, &p, o),
        None => l!(o, 0, "Pods:\tnot authorized"),
    }
    // The kubelet's own events name the node as their object's uid.
    of.events_of(o, &[of.text("/metadata/uid"), name], "Node").await;
    Ok(())
}

fn taints(all: &Value, o: &mut Out) {
    let mut all: Vec<&Value> = list(all, "").collect();
    all.sort_by_key(|t| format!("{},{}", text(t, "/effect"), text(t, "/key")));
    let said: Vec<String> = all
        .iter()
        .map(|t| {
            let (k, v, e) = (text(t, "/key"), text(t, "/value"), text(t, "/effect"));
            match (v, e) {
                ("", "") => k.to_owned(),
                ("", e) => format!("{k}:{e}"),
                (v, "") => format!("{k}={v}:"),
                (v, e) => format!("{k}={v}:{e}"),
            }
        })
        .collect();
    o.beside("", "Taints", &said);
}

async fn lease(of: &Of<'_>, name: &str, o: &mut Out) {
    let path = object("coordination.k8s.io", "v1", "leases", Some("kube-node-lease"), name, "");
    match of.cx.get(&path).await {
        Ok(v) => {
            let time = |at: &str| match text(&v, at) {
                "" => "<unset>".into(),
                t => date(t),
            };
            l!(o, 0, "Lease:");
            let holder = &v["spec"]["holderIdentity"];
            l!(o, 1, "HolderIdentity:\t{}", if holder.is_null() { "<unset>".into() } else { word(holder) });
            l!(o, 1, "AcquireTime:\t{}", time("/spec/acquireTime"));
            l!(o, 1, "RenewTime:\t{}", time("/spec/renewTime"));
        }
        Err(e) => l!(o, 0, "Lease:\tFailed to get lease: {}", e.bare()),
    }
}

async fn slices(of: &Of<'_>, name: &str, o: &mut Out) {
    const MOST: usize = 10;
    let path = collection("resource.k8s.io", "v1", "resourceslices", None);
    let all = of.all(path, &[("fieldSelector", &format!("spec.nodeName={name}"))]).await.unwrap_or_default();
    let mut pools: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
    for s in &all {
        let key = (text(s, "/spec/driver").to_owned(), text(s, "/spec/pool/name").to_owned());
        let p = pools.entry(key).or_default();
        *p = (p.0 + 1, p.1 + list(s, "/spec/devices").count());
    }
    if pools.is_empty() {
        return;
    }
    l!(o, 0, "Node-Local ResourceSlices:");
    l!(o, 1, "Driver\tPool\tSlices\tDevices");
    l!(o, 1, "------\t----\t------\t-------");
    for ((driver, pool), (slices, devices)) in pools.iter().take(MOST) {
        l!(o, 1, "{driver}\t{pool}\t{slices}\t{devices}");
    }
    if pools.len() > MOST {
        l!(o, 1, "...and {} more pools", pools.len() - MOST);
    }
}

type Amounts = BTreeMap<String, Quantity>;

fn amounts(v: &Value) -> Amounts {
    let all = v.as_object().into_iter().flatten();
    all.filter_map(|(k, q)| Some((k.clone(), Quantity::parse(q.as_str()?).ok()?))).collect()
}
fn add(to: &mut Amounts, more: &Amounts) {
    for (k, q) in more {
        let sum = to.get(k).map_or(*q, |have| have.plus(q));
        to.insert(k.clone(), sum);
    }
}
fn most(to: &mut Amounts, other: &Amounts) {
    for (k, q) in other {
        if to.get(k).is_none_or(|have| have < q) {
            to.insert(k.clone(), *q);
        }
    }
}

/// What a pod asks for, or may use at most: its containers together or its greatest start, and its overhead
/// (component-helpers `resource`).
fn pod_amounts(pod: &Value, what: &str) -> Amounts {
    let mut sum = Amounts::new();
    for c in list(pod, "/spec/containers") {
        let mut own = amounts(&c["resources"][what]);
        let name = text(c, "/name");
        // A pod that was resized still has what it had until the node has followed.
        let status = list(pod, "/status/containerStatuses").find(|s| text(s, "/name") == name);
        if let Some(s) = status.filter(|s| s["resources"][what].is_object()) {
            most(&mut own, &amounts(&s["resources"][what]));
        }
        add(&mut sum, &own);
    }
    let (mut sidecars, mut start) = (Amounts::new(), Amounts::new());
    for c in list(pod, "/spec/initContainers") {
        let own = amounts(&c["resources"][what]);
        if text(c, "/restartPolicy") == "Always" {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            most(&mut start, &sidecars);
        } else {
            let mut both = own;
            add(&mut both, &sidecars);
            most(&mut start, &both);
        }
    }
    most(&mut sum, &start);
    for (k, q) in amounts(&pod["spec"]["resources"][what]) {
        sum.insert(k, q);
    }
    for (k, q) in amounts(&pod["spec"]["overhead"]) {
        match sum.get(&k).map(|have| have.plus(&q)) {
            Some(s) => {
                sum.insert(k, s);
            }
            None if what == "requests" => {
                sum.insert(k, q);
            }
            None => {}
        }
    }
    sum
}

fn allocated(node: &Value, pods: &[Value], o: &mut Out) {
    let have = &node["status"]["allocatable"];
    let have = if have.is_object() { have } else { &node["status"]["capacity"] };
    let have = amounts(have);
    let zero = Quantity::zero();
    let of = |a: &Amounts, k: &str| a.get(k).cloned().unwrap_or_else(Quantity::zero);
    // Go makes of a division by zero what it makes of it: the least number there is.
    let share = |q: &Quantity, k: &str, total: bool| -> i64 {
        let h = have.get(k).unwrap_or(&zero);
        let (a, b) = if k == "cpu" { (q.milli_value(), h.milli_value()) } else { (q.value(), h.value()) };
        match b {
            0 if total => 0,
            0 => i64::MIN,
            b => (a as f64 / b as f64 * 100.0) as i64,
        }
    };
    l!(o, 0, "Non-terminated Pods:\t({} in total)", pods.len());
    l!(o, 1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    l!(o, 1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    for p in pods {
        let (r, m) = (pod_amounts(p, "requests"), pod_amounts(p, "limits"));
        let cell = |a: &Amounts, k: &str| {
            let q = of(a, k);
            format!("{q} ({}%)", share(&q, k, false))
        };
        l!(
            o,
            1,
            "{}\t{}\t\t{}\t{}\t{}\t{}\t{}",
            text(p, "/metadata/namespace"),
            text(p, "/metadata/name"),
            cell(&r, "cpu"),
            cell(&m, "cpu"),
            cell(&r, "memory"),
            cell(&m, "memory"),
            o.ago(text(p, "/metadata/creationTimestamp"))
        );
        add(&mut requests, &r);
        add(&mut limits, &m);
    }
    l!(o, 0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)");
    l!(o, 1, "Resource\tRequests\tLimits");
    l!(o, 1, "--------\t--------\t------");
    let pages: Vec<&str> = have.keys().map(String::as_str).filter(|k| k.starts_with("hugepages-")).collect();
    for k in ["cpu", "memory", "ephemeral-storage"].into_iter().chain(pages) {
        let (r, m) = (of(&requests, k), of(&limits, k));
        l!(o, 1, "{k}\t{r} ({}%)\t{m} ({}%)", share(&r, k, true), share(&m, k, true));
    }
    const STANDARD: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "pods"];
    for k in have.keys().filter(|k| !STANDARD.contains(&k.as_str()) && !k.starts_with("hugepages-")) {
        l!(o, 1, "{k}\t{}\t{}", of(&requests, k), of(&limits, k));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sums() {
        let c = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = c("50m");
        sidecar["restartPolicy"] = "Always".into();
        let p = json!({"spec": {"containers": [c("100m"), c("200m")], "initContainers": [sidecar, c("1")], "overhead": {"cpu": "10m"}}});
        assert_eq!(pod_amounts(&p, "requests")["cpu"].to_string(), "1060m");
        assert!(pod_amounts(&p, "limits").is_empty());
    }
}
