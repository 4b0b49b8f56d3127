//! Services and what is behind and before them, network policies.

use super::Of;
use super::out::{Out, date, go_time, l, list, number, or_none, pairs, selector, word, words};
use crate::error::Error;
use crate::objects::text;
use client::url::{collection, object};
use serde_json::Value;
use std::collections::BTreeSet;

/// Addresses of EndpointSlices at the ports of a name: three, and how many more.
fn addresses(slices: &[Value], port: &str) -> String {
    const MOST: usize = 3;
    if slices.is_empty() {
        return "<none>".into();
    }
    let (mut all, mut count, mut more) = (Vec::new(), 0, false);
    for s in slices {
        let ready = || list(s, "/endpoints").map(|e| (e, e["conditions"]["ready"] != false));
        let mut take = |said: &dyn Fn(&str) -> String| {
            for (e, ready) in ready() {
                more |= all.len() == MOST;
                if !ready {
                    continue;
                }
                if !more {
                    all.push(said(text(e, "/addresses/0")));
                }
                count += 1;
            }
        };
        if list(s, "/ports").next().is_none() {
            take(&|a| a.to_owned());
        }
        for p in list(s, "/ports").filter(|p| text(p, "/name") == port) {
            let n = number(&p["port"]);
            take(&|a| if a.contains(':') { format!("[{a}]:{n}") } else { format!("{a}:{n}") });
        }
    }
    let s = all.join(",");
    if more { format!("{s} + {} more...", count - MOST) } else { s }
}

async fn slices(of: &Of<'_>, service: &str) -> Result<Vec<Value>, Error> {
    let path = collection("discovery.k8s.io", "v1", "endpointslices", Some(of.namespace()));
    of.all(path, &[("labelSelector", &format!("kubernetes.io/service-name={service}"))]).await
}

pub async fn service(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let (v, spec) = (of.v, &of.v["spec"]);
    let slices = slices(of, of.text("/metadata/name")).await.unwrap_or_default();
    o.head(v);
    o.notes(v);
    l!(o, 0, "Selector:\t{}", pairs(&spec["selector"]));
    l!(o, 0, "Type:\t{}", text(spec, "/type"));
    if !text(spec, "/ipFamilyPolicy").is_empty() {
        l!(o, 0, "IP Family Policy:\t{}", text(spec, "/ipFamilyPolicy"));
    }
    l!(o, 0, "IP Families:\t{}", or_none(&words(spec, "/ipFamilies").join(",")));
    l!(o, 0, "IP:\t{}", text(spec, "/clusterIP"));
    l!(o, 0, "IPs:\t{}", or_none(&words(spec, "/clusterIPs").join(",")));
    let external = words(spec, "/externalIPs");
    if !external.is_empty() {
        l!(o, 0, "External IPs:\t{}", external.join(","));
    }
    for (title, at) in [("Desired LoadBalancer IP", "/loadBalancerIP"), ("External Name", "/externalName")] {
        if !text(spec, at).is_empty() {
            l!(o, 0, "{title}:\t{}", text(spec, at));
        }
    }
    let ingress: Vec<String> = list(v, "/status/loadBalancer/ingress")
        .map(|i| match (text(i, "/ip"), text(i, "/ipMode")) {
            ("", _) => text(i, "/hostname").to_owned(),
            (ip, "") => ip.to_owned(),
            (ip, mode) => format!("{ip} ({mode})"),
        })
        .collect();
    if !ingress.is_empty() {
        l!(o, 0, "LoadBalancer Ingress:\t{}", ingress.join(", "));
    }
    for p in list(spec, "/ports") {
        let (name, proto) = (text(p, "/name"), text(p, "/protocol"));
        let shown = if name.is_empty() { "<unset>" } else { name };
        l!(o, 0, "Port:\t{shown}\t{}/{proto}", number(&p["port"]));
        let target = if p["targetPort"].is_string() {
            word(&p["targetPort"])
        } else {
            number(&p["targetPort"]).to_string()
        };
        l!(o, 0, "TargetPort:\t{target}/{proto}");
        if !text(p, "/appProtocol").is_empty() {
            l!(o, 0, "AppProtocol:\t{}", text(p, "/appProtocol"));
        }
        if number(&p["nodePort"]) != 0 {
            l!(o, 0, "NodePort:\t{shown}\t{}/{proto}", p["nodePort"]);
        }
        l!(o, 0, "Endpoints:\t{}", addresses(&slices, name));
    }
    l!(o, 0, "Session Affinity:\t{}", text(spec, "/sessionAffinity"));
    for (title, at) in [
        ("External Traffic Policy", "/externalTrafficPolicy"),
        ("Internal Traffic Policy", "/internalTrafficPolicy"),
    ] {
        if !text(spec, at).is_empty() {
            l!(o, 0, "{title}:\t{}", text(spec, at));
        }
    }
    if number(&spec["healthCheckNodePort"]) != 0 {
        l!(o, 0, "HealthCheck NodePort:\t{}", spec["healthCheckNodePort"]);
    }
    let ranges = words(spec, "/loadBalancerSourceRanges");
    if !ranges.is_empty() {
        l!(o, 0, "LoadBalancer Source Ranges:\t{}", ranges.join(","));
    }
    if !text(spec, "/trafficDistribution").is_empty() {
        l!(o, 0, "Traffic Distribution:\t{}", text(spec, "/trafficDistribution"));
    }
    of.events(o).await;
    Ok(())
}

pub async fn endpoints(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    o.notes(of.v);
    l!(o, 0, "Subsets:");
    for s in list(of.v, "/subsets") {
        for (title, at) in [("Addresses", "/addresses"), ("NotReadyAddresses", "/notReadyAddresses")] {
            let all: Vec<&str> = list(s, at).map(|a| text(a, "/ip")).collect();
            l!(o, 1, "{title}:\t{}", or_none(&all.join(",")));
        }
        let mut ports = list(s, "/ports").peekable();
        if ports.peek().is_some() {
            l!(o, 1, "Ports:");
            l!(o, 2, "Name\tPort\tProtocol");
            l!(o, 2, "----\t----\t--------");
            ports.for_each(|p| {
                l!(o, 2, "{}\t{}\t{}", unset(text(p, "/name")), number(&p["port"]), text(p, "/protocol"))
            });
        }
        o.line(0, "");
    }
    of.events(o).await;
    Ok(())
}

fn unset(s: &str) -> &str {
    if s.is_empty() { "<unset>" } else { s }
}

pub async fn endpointslice(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let v = of.v;
    o.head(v);
    o.notes(v);
    l!(o, 0, "AddressType:\t{}", of.text("/addressType"));
    if list(v, "/ports").next().is_none() {
        l!(o, 0, "Ports: <unset>");
    } else {
        l!(o, 0, "Ports:");
        l!(o, 1, "Name\tPort\tProtocol");
        l!(o, 1, "----\t----\t--------");
        for p in list(v, "/ports") {
            let n = word(&p["port"]);
            l!(o, 1, "{}\t{}\t{}", unset(text(p, "/name")), unset(&n), text(p, "/protocol"));
        }
    }
    if list(v, "/endpoints").next().is_none() {
        l!(o, 0, "Endpoints: <none>");
    } else {
        l!(o, 0, "Endpoints:");
        for e in list(v, "/endpoints") {
            l!(o, 1, "- Addresses:\t{}", or_none(&words(e, "/addresses").join(", ")));
            l!(o, 2, "Conditions:");
            let ready = word(&e["conditions"]["ready"]);
            l!(o, 3, "Ready:\t{}", unset(&ready));
            l!(o, 2, "Hostname:\t{}", or(&e["hostname"]));
            if e["targetRef"].is_object() {
                l!(o, 2, "TargetRef:\t{}/{}", text(e, "/targetRef/kind"), text(e, "/targetRef/name"));
            }
            l!(o, 2, "NodeName:\t{}", or(&e["nodeName"]));
            l!(o, 2, "Zone:\t{}", or(&e["zone"]));
        }
    }
    of.events(o).await;
    Ok(())
}

fn or(v: &Value) -> String {
    if v.is_null() { "<unset>".into() } else { word(v) }
}

async fn backend(of: &Of<'_>, b: &Value) -> String {
    let s = &b["service"];
    if s.is_object() {
        let (name, n) = (text(s, "/name"), number(&s["port"]["number"]));
        let port = if n != 0 { n.to_string() } else { text(s, "/port/name").to_owned() };
        let shown = format!("{name}:{port}");
        let slices = match slices(of, name).await {
            Ok(s) => s,
            Err(e) => return format!("{shown} (<error: {}>)", e.bare()),
        };
        let svc = match of.cx.get(&object("", "v1", "services", Some(of.namespace()), name, "")).await {
            Ok(s) => s,
            Err(e) => return format!("{shown} (<error: {}>)", e.bare()),
        };
        let ports = list(&svc, "/spec/ports").filter(|p| {
            if n != 0 { number(&p["port"]) == n } else { !port.is_empty() && text(p, "/name") == port }
        });
        let of_service = ports.last().map(|p| text(p, "/name")).unwrap_or_default();
        return format!("{shown} ({})", addresses(&slices, of_service));
    }
    let r = &b["resource"];
    if r.is_object() {
        let group = or_none(text(r, "/apiGroup"));
        return format!("APIGroup: {group}, Kind: {}, Name: {}", text(r, "/kind"), text(r, "/name"));
    }
    String::new()
}

pub async fn ingress(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let (v, spec) = (of.v, &of.v["spec"]);
    l!(o, 0, "Name:\t{}", of.text("/metadata/name"));
    o.labels("Labels", &v["metadata"]["labels"]);
    l!(o, 0, "Namespace:\t{}", of.namespace());
    let at: BTreeSet<&str> = list(v, "/status/loadBalancer/ingress")
        .map(|i| if text(i, "/ip").is_empty() { text(i, "/hostname") } else { text(i, "/ip") })
        .filter(|a| !a.is_empty())
        .collect();
    l!(o, 0, "Address:\t{}", at.into_iter().collect::<Vec<_>>().join(","));
    l!(o, 0, "Ingress Class:\t{}", or_none(text(spec, "/ingressClassName")));
    let default = if spec["defaultBackend"].is_object() {
        backend(of, &spec["defaultBackend"]).await
    } else {
        "<default>".into()
    };
    l!(o, 0, "Default backend:\t{default}");
    let mut tls = list(spec, "/tls").peekable();
    if tls.peek().is_some() {
        l!(o, 0, "TLS:");
        for t in tls {
            let hosts = words(t, "/hosts").join(",");
            match text(t, "/secretName") {
                "" => l!(o, 1, "SNI routes {hosts}"),
                s => l!(o, 1, "{s} terminates {hosts}"),
            }
        }
    }
    l!(o, 0, "Rules:\n  Host\tPath\tBackends");
    l!(o, 1, "----\t----\t--------");
    let mut any = false;
    for r in list(spec, "/rules").filter(|r| r["http"].is_object()) {
        any = true;
        let host = text(r, "/host");
        l!(o, 1, "{}\t", if host.is_empty() { "*" } else { host });
        for p in list(r, "/http/paths") {
            l!(o, 2, "\t{} \t{}", text(p, "/path"), backend(of, &p["backend"]).await);
        }
    }
    if !any {
        l!(o, 1, "*\t*\t{default}");
    }
    o.annotations("Annotations", &v["metadata"]["annotations"]);
    of.events(o).await;
    Ok(())
}

pub async fn ingressclass(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    o.notes(of.v);
    l!(o, 0, "Controller:\t{}", of.text("/spec/controller"));
    let p = &of.v["spec"]["parameters"];
    if p.is_object() {
        l!(o, 0, "Parameters:");
        if !p["apiGroup"].is_null() {
            l!(o, 1, "APIGroup:\t{}", text(p, "/apiGroup"));
        }
        l!(o, 1, "Kind:\t{}", text(p, "/kind"));
        l!(o, 1, "Name:\t{}", text(p, "/name"));
    }
    of.events(o).await;
    Ok(())
}

pub async fn servicecidr(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    o.notes(of.v);
    l!(o, 0, "CIDRs:\t{}", words(of.v, "/spec/cidrs").join(", "));
    if list(of.v, "/status/conditions").next().is_some() {
        l!(o, 0, "Status:");
        timed_conditions(of.v, o);
    }
    of.events(o).await;
    Ok(())
}

/// Conditions with when they changed and why.
pub fn timed_conditions(v: &Value, o: &mut Out) {
    if list(v, "/status/conditions").next().is_none() {
        return;
    }
    l!(o, 0, "Conditions:");
    l!(o, 1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
    l!(o, 1, "----\t------\t------------------\t------\t-------");
    for c in list(v, "/status/conditions") {
        l!(
            o,
            1,
            "{}\t{}\t{}\t{}\t{}",
            text(c, "/type"),
            text(c, "/status"),
            date(text(c, "/lastTransitionTime")),
            text(c, "/reason"),
            text(c, "/message")
        );
    }
}

/// The same with when they were last looked at, which kinds name differently: `LastProbeTime`.
pub fn probed_conditions(v: &Value, probed: &str, o: &mut Out) {
    if list(v, "/status/conditions").next().is_none() {
        return;
    }
    l!(o, 0, "Conditions:");
    l!(o, 1, "Type\tStatus\t{probed}\tLastTransitionTime\tReason\tMessage");
    l!(o, 1, "----\t------\t-----------------\t------------------\t------\t-------");
    let at = format!("/l{}", &probed[1..]);
    for c in list(v, "/status/conditions") {
        l!(
            o,
            1,
            "{} \t{} \t{} \t{} \t{} \t{}",
            text(c, "/type"),
            text(c, "/status"),
            date(text(c, &at)),
            date(text(c, "/lastTransitionTime")),
            text(c, "/reason"),
            text(c, "/message")
        );
    }
}

pub async fn ipaddress(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    o.head(of.v);
    o.notes(of.v);
    let p = &of.v["spec"]["parentRef"];
    if p.is_object() {
        l!(o, 0, "Parent Reference:");
        for (title, at) in
            [("Group", "/group"), ("Resource", "/resource"), ("Namespace", "/namespace"), ("Name", "/name")]
        {
            l!(o, 1, "{title}:\t{}", text(p, at));
        }
    }
    of.events(o).await;
    Ok(())
}

pub async fn policy(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let spec = &of.v["spec"];
    o.head(of.v);
    l!(o, 0, "Created on:\t{}", go_time(of.text("/metadata/creationTimestamp")));
    o.notes(of.v);
    l!(o, 0, "Spec:");
    o.part(1, "PodSelector: ");
    if crate::pods::selector(&spec["podSelector"]).is_empty() {
        l!(o, 2, "<none> (Allowing the specific traffic to all pods in this namespace)");
    } else {
        l!(o, 2, "{}", selector(&spec["podSelector"]));
    }
    let types = words(spec, "/policyTypes");
    for (kind, word, key, peers) in
        [("Ingress", "ingress", "ingress", "from"), ("Egress", "egress", "egress", "to")]
    {
        if types.iter().any(|t| t == kind) {
            l!(o, 1, "Allowing {word} traffic:");
            rules(&spec[key], word, peers, o);
        } else {
            l!(o, 1, "Not affecting {word} traffic");
        }
    }
    l!(o, 1, "Policy Types: {}", or_none(&types.join(", ")));
    Ok(())
}

fn rules(all: &Value, word_: &str, peers: &str, o: &mut Out) {
    let all: Vec<&Value> = list(all, "").collect();
    if all.is_empty() {
        return l!(o, 2, "<none> (Selected pods are isolated for {word_} connectivity)");
    }
    for (i, r) in all.iter().enumerate() {
        if list(r, "/ports").next().is_none() {
            l!(o, 2, "To Port: <any> (traffic allowed to all ports)");
        }
        for p in list(r, "/ports") {
            let proto = p["protocol"].as_str().unwrap_or("TCP");
            let port = if p["port"].is_null() { "<nil>".into() } else { word(&p["port"]) };
            match p["endPort"].as_i64() {
                Some(end) => l!(o, 2, "To Port Range: {port}-{end}/{proto}"),
                None => l!(o, 2, "To Port: {port}/{proto}"),
            }
        }
        let (title, by) = if peers == "from" { ("From", "source") } else { ("To", "destination") };
        if list(r, &format!("/{peers}")).next().is_none() {
            l!(o, 2, "{title}: <any> (traffic not restricted by {by})");
        }
        for p in list(r, &format!("/{peers}")) {
            l!(o, 2, "{title}:");
            for (name, key) in [("NamespaceSelector", "namespaceSelector"), ("PodSelector", "podSelector")] {
                if p[key].is_object() {
                    l!(o, 3, "{name}: {}", selector(&p[key]));
                }
            }
            if p["ipBlock"].is_object() && p["podSelector"].is_null() && p["namespaceSelector"].is_null() {
                l!(o, 3, "IPBlock:");
                l!(o, 4, "CIDR: {}", text(p, "/ipBlock/cidr"));
                l!(o, 4, "Except: {}", words(p, "/ipBlock/except").join(", "));
            }
        }
        if i + 1 < all.len() {
            l!(o, 2, "----------");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn few_addresses() {
        let e = |n: i32, ready: bool| json!({"addresses": [format!("10.0.0.{n}")], "conditions": {"ready": ready}});
        let s = json!({"ports": [{"name": "http", "port": 80}, {"name": "x", "port": 1}],
            "endpoints": [e(1, true), e(2, false), e(3, true), e(4, true), e(5, true)]});
        assert_eq!(addresses(&[s], "http"), "10.0.0.1:80,10.0.0.3:80,10.0.0.4:80 + 1 more...");
        assert_eq!(addresses(&[], "http"), "<none>");
        let bare = json!({"endpoints": [e(1, true)]});
        assert_eq!(addresses(&[bare], ""), "10.0.0.1");
    }
}
