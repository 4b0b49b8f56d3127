//! Ingresses.

use super::ingressclass::reference;
use crate::ip;
use crate::kit::*;

pub(crate) struct Ingress;

impl Strategy for Ingress {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec"), Allow::default(), &mut e);
        if let (Some(a), Some(c)) = (o.annotation(CLASS), o.v("spec").os("ingressClassName"))
            && a != c
        {
            let at = At::new("annotations");
            e.invalid(&at.c(CLASS), a, "must match `ingressClassName` when both are specified");
        }
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            let ingress = |o: &Value| o.array_at("status.loadBalancer.ingress").to_vec();
            let was = ingress(old);
            let known: Vec<&str> = was.iter().map(|i| i.s("ip")).filter(|s| !s.is_empty()).collect();
            status(&ingress(o), &known, &mut e);
            return e.0;
        }
        validate(o.v("spec"), Allow::of(old.v("spec")), &mut e);
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        if cx.subresource == "status" {
            let at = At::new("status.loadBalancer.ingress");
            let list = o.array_at("status.loadBalancer.ingress").iter().enumerate();
            let ips = list.filter(|(_, x)| !x.s("ip").is_empty());
            return ips.flat_map(|(i, x)| ip::ip_warnings(&at.i(i), x.s("ip"))).collect();
        }
        if old.is_none() && o.annotation(CLASS).is_some() && !o.v("spec").has("ingressClassName") {
            return vec![format!(
                "annotation \"{CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"
            )];
        }
        Vec::new()
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let hosts = hosts(s.list("rules"));
        let ports = if s.list("tls").is_empty() { "80" } else { "80, 443" };
        row![
            o.name(),
            s.os("ingressClassName").unwrap_or("<none>"),
            hosts,
            rows::load_balancer(o).join(","),
            ports,
            age(o, now),
        ]
    }
}

/// The first three hosts; `*` when there is none.
fn hosts(rules: &[Value]) -> String {
    let mut list: Vec<&str> = Vec::new();
    let mut more = false;
    for r in rules {
        more |= list.len() == 3;
        if !more && !r.s("host").is_empty() {
            list.push(r.s("host"));
        }
    }
    match (list.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, true) => format!("{} + {} more...", list.join(","), rules.len() - 3),
        (false, false) => list.join(","),
    }
}

const CLASS: &str = "kubernetes.io/ingress.class";

/// What is tolerated because the object had it before.
#[derive(Clone, Copy, Default)]
struct Allow {
    invalid_secret_name: bool,
    invalid_wildcard_rule: bool,
    any_label_service: bool,
}

impl Allow {
    fn of(old: &Value) -> Self {
        let wildcard = |r: &Value| {
            let mut e = Errs::default();
            http(r, Self::default(), &At::new(""), &mut e);
            r.s("host").contains('*') && !e.is_empty()
        };
        let secret = |t: &Value| {
            !t.s("secretName").is_empty() && !names::is_dns1123_subdomain(t.s("secretName")).is_empty()
        };
        let service = |b: &Value| {
            let n = b.v("service").s("name");
            b.has("service")
                && names::is_dns1123_label(n).is_empty()
                && !names::is_dns1035_label(n).is_empty()
        };
        let paths = old.list("rules").iter().flat_map(|r| r.v("http").list("paths"));
        Self {
            invalid_secret_name: old.list("tls").iter().any(secret),
            invalid_wildcard_rule: old.list("rules").iter().any(wildcard),
            any_label_service: service(old.v("defaultBackend"))
                || paths.into_iter().any(|p| service(p.v("backend"))),
        }
    }
}

fn host(h: &str, at: &At<'_>, e: &mut Errs) {
    let check =
        if h.contains('*') { names::is_wildcard_dns1123_subdomain } else { names::is_dns1123_subdomain };
    e.name(at, h, check);
}

fn validate(s: &Value, allow: Allow, e: &mut Errs) {
    let at = At::new("spec");
    let rules = s.list("rules");
    if rules.is_empty() && !s.has("defaultBackend") {
        e.invalid(&at, s.v("rules").clone(), "either `defaultBackend` or `rules` must be specified");
    }
    if let Some(b) = s.set("defaultBackend") {
        backend(b, allow, &at.c("defaultBackend"), e);
    }
    let rules_at = at.c("rules");
    for (i, r) in rules.iter().enumerate() {
        let at = rules_at.i(i);
        let h = r.s("host");
        if !h.is_empty() {
            if ip::parse_sloppy(h).is_some() {
                e.invalid(&at.c("host"), h, "must be a DNS name, not an IP address");
            }
            host(h, &at.c("host"), e);
        }
        if !h.contains('*') || !allow.invalid_wildcard_rule {
            http(r, allow, &at, e);
        }
    }
    let tls_at = at.c("tls");
    for (i, t) in s.list("tls").iter().enumerate() {
        let at = tls_at.i(i);
        let hosts = at.c("hosts");
        for (j, h) in t.strs("hosts").iter().enumerate() {
            host(h, &hosts.i(j), e);
        }
        let secret = t.s("secretName");
        if !allow.invalid_secret_name && !secret.is_empty() {
            e.subdomain(&at.c("secretName"), secret);
        }
    }
    if let Some(c) = s.os("ingressClassName") {
        e.subdomain(&at.c("ingressClassName"), c);
    }
}

fn http(rule: &Value, allow: Allow, at: &At<'_>, e: &mut Errs) {
    let Some(h) = rule.set("http") else { return };
    let at = at.c("http.paths");
    let paths = h.list("paths");
    if paths.is_empty() {
        e.required(&at, "");
    }
    for (i, p) in paths.iter().enumerate() {
        path(p, allow, &at.i(i), e);
    }
}

fn path(p: &Value, allow: Allow, at: &At<'_>, e: &mut Errs) {
    let Some(ty) = p.os("pathType") else {
        return e.required(&at.c("pathType"), "pathType must be specified");
    };
    let path = p.s("path");
    let path_at = at.c("path");
    let absolute = path.starts_with('/');
    match ty {
        "Exact" | "Prefix" => {
            if !absolute {
                e.invalid(&path_at, path, "must be an absolute path");
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"] {
                if path.contains(bad) {
                    e.invalid(&path_at, path, format!("must not contain '{bad}'"));
                }
            }
            for bad in ["/..", "/."] {
                if path.ends_with(bad) {
                    e.invalid(&path_at, path, format!("cannot end with '{bad}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !path.is_empty() && !absolute {
                e.invalid(&path_at, path, "must be an absolute path");
            }
        }
        _ => e.unsupported(&at.c("pathType"), ty, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(p.v("backend"), allow, &at.c("backend"), e);
}

fn backend(b: &Value, allow: Allow, at: &At<'_>, e: &mut Errs) {
    match (b.set("resource"), b.set("service")) {
        (Some(_), Some(_)) => e.invalid(at, "", "cannot set both resource and service backends"),
        (Some(r), None) => reference(r, &at.c("resource"), e),
        (None, None) => e.invalid(at, "", "resource or service backend is required"),
        (None, Some(s)) => {
            let relaxed = allow.any_label_service || schema::facts::gate("RelaxedServiceNameValidation");
            let check = if relaxed { names::is_dns1123_label } else { names::is_dns1035_label };
            e.required_name(&at.c("service.name"), s.s("name"), check);
            let port = s.v("port");
            match (port.s("name"), port.i("number")) {
                ("", 0) => e.required(at, "port name or number is required"),
                ("", n) => e.port(&at.c("service.port.number"), n),
                (name, 0) => e.name(&at.c("service.port.name"), name, names::is_valid_port_name),
                _ => e.invalid(at, "", "cannot set both port name & port number"),
            }
        }
    }
}

fn status(list: &[Value], known: &[&str], e: &mut Errs) {
    let at = At::new("status.loadBalancer.ingress");
    for (i, x) in list.iter().enumerate() {
        let at = at.i(i);
        if !x.s("ip").is_empty() {
            e.legacy_ip(&at.c("ip"), x.s("ip"), known);
        }
        let h = x.s("hostname");
        if !h.is_empty() {
            e.subdomain(&at.c("hostname"), h);
            if ip::parse_sloppy(h).is_some() {
                e.invalid(&at.c("hostname"), h, "must be a DNS name, not an IP address");
            }
        }
    }
}
