//! EndpointSlices.

use crate::ip;
use crate::kit::*;

pub(crate) struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        topology(o, None);
    }

    fn prepare_update(&self, _cx: &Cx<'_>, o: &mut Value, old: &Value) {
        topology(o, Some(old));
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, None, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, Some(old), &mut e);
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        let mut out = Vec::new();
        if old.is_none() && o.s("addressType") == "FQDN" {
            out.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        let by = o.label("endpointslice.kubernetes.io/managed-by");
        if matches!(by, Some("endpointslice-controller.k8s.io" | "endpointslicemirroring-controller.k8s.io"))
        {
            return out;
        }
        let at = At::new("endpoints");
        for (i, ep) in o.list("endpoints").iter().enumerate() {
            let at = at.i(i);
            let at = at.c("addresses");
            for (j, a) in ep.strs("addresses").iter().enumerate() {
                out.extend(ip::ip_warnings(&at.i(j), a));
            }
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let ports: Vec<String> = o.list("ports").iter().map(port).collect();
        let all: Vec<String> = o
            .list("endpoints")
            .iter()
            .flat_map(|e| e.strs("addresses").into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        row![
            o.name(),
            o.s("addressType"),
            rows::list_with_more(&ports, 3),
            rows::list_with_more(&all, 3),
            age(o, now),
        ]
    }
}

fn port(p: &Value) -> String {
    match (p.oi("port"), p.os("name")) {
        (Some(n), _) => n.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    }
}

/// Labels of a node that endpoints once had; its name stays where the old object had it there.
fn topology(o: &mut Value, old: Option<&Value>) {
    const HOST: &str = "kubernetes.io/hostname";
    if old.is_some_and(|old| opt_same(old.f("endpoints"), o.f("endpoints"))) {
        return;
    }
    let known: Vec<String> = old
        .map_or(&[][..], |o| o.list("endpoints"))
        .iter()
        .map(|ep| ep.v("deprecatedTopology").s(HOST).to_owned())
        .filter(|n| !n.is_empty())
        .collect();
    for ep in o.each("endpoints") {
        let Some(t) = ep.remove("deprecatedTopology") else { continue };
        let node = t.s(HOST);
        if !ep.has("nodeName")
            && known.iter().any(|n| n == node)
            && names::is_dns1123_subdomain(node).is_empty()
        {
            ep.put("nodeName", node);
        }
    }
}

fn validate(o: &Value, old: Option<&Value>, e: &mut Errs) {
    e.required_one_of(&At::new("addressType"), o.s("addressType"), &["FQDN", "IPv4", "IPv6"]);
    ports(o.list("ports"), &At::new("ports"), e);
    let list = o.list("endpoints");
    let at = At::new("endpoints");
    if old.is_some_and(|old| opt_same(old.f("endpoints"), o.f("endpoints"))) {
        return;
    }
    if list.len() > 1000 {
        return e.too_many(&at, list.len(), 1000);
    }
    for (i, ep) in list.iter().enumerate() {
        endpoint(ep, o.s("addressType"), &at.i(i), e);
    }
}

fn endpoint(ep: &Value, ty: &str, at: &At<'_>, e: &mut Errs) {
    let addresses_at = at.c("addresses");
    for (i, a) in ep.strs("addresses").iter().enumerate() {
        let at = addresses_at.i(i);
        let (ok, v6) = match ty {
            "IPv4" => (e.legacy_ip(&at, a, &[]), false),
            "IPv6" => (e.canonical_ip(&at, a), true),
            "FQDN" => {
                domain(a, &at, e);
                continue;
            }
            _ => continue,
        };
        if ok {
            if ip::is_v6(a) != v6 {
                let family = if v6 { "IPv6" } else { "IPv4" };
                e.invalid(&addresses_at, *a, format!("must be an {family} address"));
            }
            e.endpoint_ip(&at, a);
        }
    }
    if let Some(n) = ep.os("nodeName") {
        e.subdomain(&at.c("nodeName"), n);
    }
    let topology = ep.o("deprecatedTopology");
    let topology_at = at.c("deprecatedTopology");
    if let Some(t) = topology.filter(|t| t.len() > 16) {
        e.too_many(&topology_at, t.len(), 16);
    }
    e.labels(&topology_at, topology);
    if let Some(h) = ep.os("hostname") {
        e.label(&at.c("hostname"), h);
    }
    hints(ep.v("hints"), &at.c("hints"), e);
}

fn domain(name: &str, at: &At<'_>, e: &mut Errs) {
    if name.is_empty() {
        return e.required(at, "");
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let bad = names::is_dns1123_subdomain(name);
    if !bad.is_empty() {
        return e.invalid(at, name, bad.join(","));
    }
    if !name.contains('.') {
        return e.invalid(at, name, "should be a domain with at least two segments separated by dots");
    }
    for label in name.split('.') {
        let bad = names::is_dns1123_label(label);
        if !bad.is_empty() {
            return e.invalid(at, label, bad.join(","));
        }
    }
}

fn hints(h: &Value, at: &At<'_>, e: &mut Errs) {
    let checks: [(&str, fn(&str) -> Vec<String>); 2] =
        [("forZones", names::is_label_value), ("forNodes", names::is_dns1123_subdomain)];
    for (f, check) in checks {
        let list = h.list(f);
        let at = at.c(f);
        if list.len() > 8 {
            return e.too_many(&at, list.len(), 8);
        }
        for (i, x) in list.iter().enumerate() {
            let name = x.s("name");
            let at = at.i(i);
            let at = at.c("name");
            if list[..i].iter().any(|y| y.s("name") == name) {
                e.duplicate(&at, name);
            }
            e.name(&at, name, check);
        }
    }
}

fn ports(list: &[Value], at: &At<'_>, e: &mut Errs) {
    if list.len() > 20_000 {
        return e.too_many(at, list.len(), 20_000);
    }
    for (i, p) in list.iter().enumerate() {
        let at = at.i(i);
        let name = p.s("name");
        if !name.is_empty() {
            e.label(&at.c("name"), name);
        }
        if list[..i].iter().any(|x| x.s("name") == name) {
            e.duplicate(&at.c("name"), name);
        }
        match p.os("protocol") {
            None => e.required(&at.c("protocol"), ""),
            Some(v) => drop(e.one_of(&at.c("protocol"), v, &["SCTP", "TCP", "UDP"])),
        }
        if let Some(a) = p.os("appProtocol") {
            e.qualified(&at.c("appProtocol"), a);
        }
    }
}
