//! Services.

use super::service_update;
use crate::ip;
use crate::kit::*;
use crate::podspec::PROTOCOLS;

pub(crate) struct Service;

impl Strategy for Service {
    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource.is_empty() {
            service_update::drop_type_dependent(o, old);
        }
    }

    fn name_errors(&self, name: &str) -> Vec<String> {
        names::is_dns1123_label(name)
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, None, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            status(o, old, &mut e);
        } else {
            service_update::validate(o, old, &mut e);
            validate(o, Some(old), &mut e);
        }
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        if cx.subresource == "status" {
            let at = At::new("status.loadBalancer.ingress");
            let list = o.v("status").v("loadBalancer").list("ingress");
            return list.iter().enumerate().flat_map(|(i, x)| ip::ip_warnings(&at.i(i), x.s("ip"))).collect();
        }
        warnings(o)
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let ports: Vec<String> = s.list("ports").iter().map(port).collect();
        let ip = s.strs("clusterIPs").first().copied().unwrap_or("");
        let ip = if ip.is_empty() && s.list("clusterIPs").is_empty() { "<none>" } else { ip };
        row![
            o.name(),
            s.s("type"),
            ip,
            external_ip(o),
            or_none(&ports.join(",")),
            age(o, now),
            rows::labels(s.o("selector")),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.clusterIP" | "spec.type").then(|| o.str_at(label).to_owned())
    }
}

fn port(p: &Value) -> String {
    match p.i("nodePort") {
        n if n > 0 => format!("{}:{n}/{}", p.i("port"), p.s("protocol")),
        _ => format!("{}/{}", p.i("port"), p.s("protocol")),
    }
}

fn external_ip(o: &Value) -> String {
    let s = o.v("spec");
    let own = s.strs("externalIPs");
    match s.s("type") {
        "ClusterIP" | "NodePort" if own.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => own.join(","),
        "LoadBalancer" => {
            let mut all = rows::load_balancer(o);
            all.extend(own);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => s.s("externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

pub(super) fn is_headless(spec: &Value) -> bool {
    spec.strs("clusterIPs") == ["None"]
}

pub(super) fn externally_accessible(spec: &Value) -> bool {
    match spec.s("type") {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !spec.list("externalIPs").is_empty(),
        _ => false,
    }
}

/// A load balancer that sends to nodes with endpoints only has to ask which those are.
pub(super) fn needs_health_check(spec: &Value) -> bool {
    spec.s("type") == "LoadBalancer" && spec.s("externalTrafficPolicy") == "Local"
}

fn validate(o: &Value, old: Option<&Value>, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let ty = s.s("type");
    if let (Some(mode), Some(hints)) = (o.annotation(MODE), o.annotation(HINTS))
        && mode != hints
    {
        let why = format!("must match annotations[{HINTS}] when both are specified");
        e.invalid(&At::new("metadata.annotations").k(MODE), mode, why);
    }
    let headless = is_headless(s);
    if s.list("ports").is_empty() && !headless && ty != "ExternalName" {
        e.required(&at.c("ports"), "");
    }
    if headless && matches!(ty, "LoadBalancer" | "NodePort") {
        let why = format!("may not be set to 'None' for {ty} services");
        e.invalid(&at.c("clusterIPs").i(0), "None", why);
    }
    if ty == "ExternalName" {
        for f in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if s.set(f).is_some_and(|v| f == "ipFamilyPolicy" || !is_zero(v)) {
                e.forbidden(&at.c(f), "may not be set for ExternalName services");
            }
        }
        let name = s.s("externalName");
        match name.strip_suffix('.').unwrap_or(name) {
            "" => e.required(&at.c("externalName"), ""),
            n => e.subdomain(&at.c("externalName"), n),
        }
    }
    ports(s, &at.c("ports"), e);
    e.labels(&at.c("selector"), s.o("selector"));
    affinity(s, &at, e);
    cluster_ips(s, old.map(|o| o.v("spec")), &at, e);
    let before = old.map_or(Vec::new(), |o| o.v("spec").strs("externalIPs"));
    let external = at.c("externalIPs");
    for (i, a) in s.strs("externalIPs").iter().enumerate() {
        if e.legacy_ip(&external.i(i), a, &before) {
            e.endpoint_ip(&external.i(i), a);
        }
    }
    e.required_one_of(&at.c("type"), ty, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    port_conflicts(s, &at.c("ports"), e);
    source_ranges(o, old, e);
    load_balancer_fields(s, &at, e);
    traffic(s, &at, e);
}

fn ports(s: &Value, at: &At<'_>, e: &mut Errs) {
    let list = s.list("ports");
    let mut seen: Vec<&str> = Vec::new();
    for (i, p) in list.iter().enumerate() {
        let at = at.i(i);
        let name = p.s("name");
        if !name.is_empty() {
            e.label(&at.c("name"), name);
            if seen.contains(&name) {
                e.duplicate(&at.c("name"), name);
            }
            seen.push(name);
        } else if list.len() > 1 {
            e.required(&at.c("name"), "");
        }
        e.port(&at.c("port"), p.i("port"));
        e.required_one_of(&at.c("protocol"), p.s("protocol"), PROTOCOLS);
        e.port_num_or_name(&at.c("targetPort"), p.v("targetPort"));
        if let Some(a) = p.os("appProtocol") {
            e.qualified(&at.c("appProtocol"), a);
        }
    }
}

fn port_conflicts(s: &Value, at: &At<'_>, e: &mut Errs) {
    let list = s.list("ports");
    if s.s("type") == "ClusterIP" {
        for (i, _) in list.iter().enumerate().filter(|(_, p)| p.i("nodePort") != 0) {
            e.forbidden(&at.i(i).c("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    for (field, whole) in [("nodePort", false), ("port", true)] {
        for (i, p) in list.iter().enumerate() {
            let n = p.i(field);
            let again = list[..i].iter().any(|x| x.i(field) == n && x.s("protocol") == p.s("protocol"));
            if !again || (!whole && n == 0) {
                continue;
            }
            if whole {
                let key = json!({"protocol": p.s("protocol"), "port": n});
                e.duplicate(&at.i(i), key);
            } else {
                e.duplicate(&at.i(i).c("nodePort"), n);
            }
        }
    }
}

fn affinity(s: &Value, at: &At<'_>, e: &mut Errs) {
    let affinity = s.s("sessionAffinity");
    e.required_one_of(&at.c("sessionAffinity"), affinity, &["ClientIP", "None"]);
    let here = at.c("sessionAffinityConfig");
    const WHEN: &str = "when session affinity type is ClientIP";
    match affinity {
        "ClientIP" => {
            let config = s.v("sessionAffinityConfig");
            if config.is_null() {
                e.required(&here, WHEN);
            } else if !config.has("clientIP") {
                e.required(&here.c("clientIP"), WHEN);
            } else {
                let at = here.c("clientIP.timeoutSeconds");
                match config.v("clientIP").oi("timeoutSeconds") {
                    None => e.required(&at, WHEN),
                    Some(n) if !(1..=86400).contains(&n) => {
                        e.invalid(&at, n, "must be greater than 0 and less than 86400");
                    }
                    Some(_) => {}
                }
            }
        }
        "None" if s.has("sessionAffinityConfig") => {
            e.forbidden(&here, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

fn cluster_ips(s: &Value, old: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    if s.s("type") == "ExternalName" {
        return;
    }
    let (one, many, families) = (s.s("clusterIP"), s.strs("clusterIPs"), s.strs("ipFamilies"));
    let ips_at = at.c("clusterIPs");
    let shown = || s.v("clusterIPs").clone();
    match (one.is_empty(), many.first()) {
        (false, None) => e.required(&ips_at, ""),
        (false, Some(f)) if *f != one => {
            e.invalid(&ips_at, shown(), "first value must match `clusterIP`");
        }
        (true, Some(_)) => e.invalid(&ips_at, shown(), "must be empty when `clusterIP` is not specified"),
        _ => {}
    }
    let families_at = at.c("ipFamilies");
    for (i, f) in families.iter().enumerate() {
        e.one_of(&families_at.i(i), f, &["IPv4", "IPv6"]);
        if families[..i].contains(f) {
            e.duplicate(&families_at.i(i), *f);
        }
    }
    if let Some(p) = s.os("ipFamilyPolicy") {
        e.one_of(&at.c("ipFamilyPolicy"), p, &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    }
    let before = old.map_or(Vec::new(), |o| o.strs("clusterIPs"));
    let mut bad = false;
    for (i, a) in many.iter().enumerate() {
        if i == 0 && *a == "None" {
            if many.len() > 1 {
                bad = true;
                e.invalid(&ips_at, shown(), "'None' must be the first and only value");
            }
            continue;
        }
        bad |= !e.legacy_ip(&ips_at.i(i), a, &before);
    }
    if many.len() > 2 {
        e.invalid(&ips_at, shown(), "may only hold up to 2 values");
    }
    if bad {
        return;
    }
    if many.len() > 1 && ip::dual_stack(&many) != Some(true) {
        e.invalid(&ips_at, shown(), "may specify no more than one IP for each IP family");
    }
    if !is_headless(s) {
        for (i, (a, f)) in many.iter().zip(&families).enumerate() {
            let want = match (*f, ip::is_v6(a)) {
                ("IPv4", true) => "an IPv4",
                ("IPv6", false) => "an IPv6",
                _ => continue,
            };
            e.invalid(&ips_at.i(i), *a, format!("expected {want} value as indicated by `ipFamilies[{i}]`"));
        }
    }
}

fn source_ranges(o: &Value, old: Option<&Value>, e: &mut Errs) {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let s = o.v("spec");
    let balancer = s.s("type") == "LoadBalancer";
    let ranges = s.strs("loadBalancerSourceRanges");
    if !ranges.is_empty() {
        let at = At::new("spec.LoadBalancerSourceRanges");
        if !balancer {
            e.forbidden(&at, ONLY);
        }
        let before: Vec<&str> = old.map_or(Vec::new(), |o| {
            o.v("spec").strs("loadBalancerSourceRanges").into_iter().map(str::trim).collect()
        });
        for (i, r) in ranges.iter().enumerate() {
            e.legacy_cidr(&at.i(i), r.trim(), &before);
        }
    } else if let Some(v) = o.annotation(RANGES) {
        let at = At::new("metadata.annotations");
        let at = at.k(RANGES);
        if !balancer {
            e.forbidden(&at, ONLY);
        }
        if old.and_then(|o| o.annotation(RANGES)) != Some(v) && !v.trim().is_empty() {
            for r in v.trim().split(',') {
                e.legacy_cidr(&at, r.trim(), &[]);
            }
        }
    }
}

fn load_balancer_fields(s: &Value, at: &At<'_>, e: &mut Errs) {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let balancer = s.s("type") == "LoadBalancer";
    match (balancer, s.has("allocateLoadBalancerNodePorts")) {
        (false, true) => e.forbidden(&at.c("allocateLoadBalancerNodePorts"), ONLY),
        (true, false) => e.required(&At::new("allocateLoadBalancerNodePorts"), ""),
        _ => {}
    }
    if let Some(c) = s.os("loadBalancerClass") {
        if balancer {
            e.qualified(&at.c("loadBalancerClass"), c);
        } else {
            e.forbidden(&at.c("loadBalancerClass"), ONLY);
        }
    }
}

fn traffic(s: &Value, at: &At<'_>, e: &mut Errs) {
    let external = s.s("externalTrafficPolicy");
    let here = at.c("externalTrafficPolicy");
    if externally_accessible(s) {
        e.required_one_of(&here, external, &["Cluster", "Local"]);
    } else if !external.is_empty() {
        e.invalid(&here, external, "may only be set for externally-accessible services");
    }
    let here = at.c("healthCheckNodePort");
    match (needs_health_check(s), s.i("healthCheckNodePort")) {
        (true, 0) => e.required(&here, ""),
        (true, n) => e.port(&here, n),
        (false, 0) => {}
        (false, n) => e.invalid(
            &here,
            n,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ),
    }
    let here = at.c("internalTrafficPolicy");
    match s.os("internalTrafficPolicy") {
        None if matches!(s.s("type"), "NodePort" | "LoadBalancer" | "ClusterIP") => e.required(&here, ""),
        None => {}
        Some(p) => _ = e.one_of(&here, p, &["Cluster", "Local"]),
    }
    if let Some(d) = s.os("trafficDistribution") {
        e.one_of(&at.c("trafficDistribution"), d, &["PreferClose", "PreferSameZone", "PreferSameNode"]);
    }
}

/// Addresses that a load balancer reports; Services and nothing else have `ipMode`.
fn status(o: &Value, old: &Value, e: &mut Errs) {
    let at = At::new("status.loadBalancer.ingress");
    let list = o.v("status").v("loadBalancer").list("ingress");
    if o.v("spec").s("type") != "LoadBalancer" && !list.is_empty() {
        return e.forbidden(&at, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    let before: Vec<&str> = old
        .v("status")
        .v("loadBalancer")
        .list("ingress")
        .iter()
        .map(|i| i.s("ip"))
        .filter(|s| !s.is_empty())
        .collect();
    for (i, x) in list.iter().enumerate() {
        let at = at.i(i);
        let (addr, host, mode) = (x.s("ip"), x.s("hostname"), at.c("ipMode"));
        if !addr.is_empty() {
            e.legacy_ip(&at.c("ip"), addr, &before);
        }
        match x.os("ipMode") {
            None if !addr.is_empty() => e.required(&mode, "must be specified when `ip` is set"),
            None => {}
            Some(_) if addr.is_empty() => e.forbidden(&mode, "may not be specified when `ip` is not set"),
            Some(m) => _ = e.one_of(&mode, m, &["Proxy", "VIP"]),
        }
        if !host.is_empty() {
            e.subdomain(&at.c("hostname"), host);
            if ip::parse_sloppy(host).is_some() {
                e.invalid(&at.c("hostname"), host, "must be a DNS name, not an IP address");
            }
        }
    }
}

fn warnings(o: &Value) -> Vec<String> {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let (ty, one) = (s.s("type"), s.s("clusterIP"));
    let headless = ty == "ClusterIP" && one == "None";
    let external = s.strs("externalIPs");
    let mut out = Vec::new();
    if o.annotation(HINTS).is_some() {
        out.push(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    if !one.is_empty() && one != "None" {
        let at = at.c("clusterIPs");
        for (i, a) in s.strs("clusterIPs").iter().enumerate() {
            out.extend(ip::ip_warnings(&at.i(i), a));
        }
    }
    if headless {
        for (set, what) in [
            (!s.s("loadBalancerIP").is_empty(), "loadBalancerIP"),
            (!external.is_empty(), "externalIPs"),
            (s.s("sessionAffinity") != "None", "SessionAffinity"),
        ] {
            if set {
                out.push(format!("spec.{what} is ignored for headless services"));
            }
        }
    }
    let here = at.c("externalIPs");
    for (i, a) in external.iter().enumerate() {
        out.extend(ip::ip_warnings(&here.i(i), a));
    }
    if !external.is_empty() && !headless && ty != "ExternalName" {
        out.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
        );
    }
    if !s.s("loadBalancerIP").is_empty() {
        out.extend(ip::ip_warnings(&at.c("loadBalancerIP"), s.s("loadBalancerIP")));
    }
    let here = at.c("loadBalancerSourceRanges");
    for (i, c) in s.strs("loadBalancerSourceRanges").iter().enumerate() {
        out.extend(ip::cidr_warnings(&here.i(i), c));
    }
    if ty == "ExternalName" && !external.is_empty() {
        out.push(r#"spec.externalIPs is ignored when spec.type is "ExternalName""#.to_owned());
    }
    if ty != "ExternalName" && !s.s("externalName").is_empty() {
        out.push(r#"spec.externalName is ignored when spec.type is not "ExternalName""#.to_owned());
    }
    if s.os("trafficDistribution") == Some("PreferClose") {
        out.push(r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#.to_owned());
    }
    out
}
