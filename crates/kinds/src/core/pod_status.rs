//! What may be written to a pod's status (K/pkg/apis/core/validation `ValidatePodStatusUpdate`).

use super::pod_update;
use crate::ip;
use crate::kit::*;
use crate::podspec::{Opts, resources};
use std::collections::HashSet;

pub(super) fn update(new: &Value, old: &Value, opts: Opts, e: &mut Errs) {
    pod_update::annotations(new, old, opts, e);
    let at = At::new("status");
    let (n, o, spec) = (new.v("status"), old.v("status"), new.v("spec"));
    conditions(n.list("conditions"), &at.c("conditions"), e);
    if spec.s("nodeName") != old.v("spec").s("nodeName") {
        e.forbidden(&at.c("nodeName"), "may not be changed directly");
    }
    let nominated = n.s("nominatedNodeName");
    if nominated != o.s("nominatedNodeName") && !nominated.is_empty() {
        let at = at.c("nominatedNodeName");
        e.subdomain(&at, nominated);
        if !old.v("spec").s("nodeName").is_empty() {
            e.forbidden(&at, "may not be set on pods that are already bound to a node");
        }
    }
    if n.i("observedGeneration") < 0 {
        e.invalid(&at.c("observedGeneration"), n.i("observedGeneration"), "must be a non-negative integer");
    }
    e.immutable(&at.c("qosClass"), n.f("qosClass"), o.f("qosClass"));
    transitions(n, o, old.v("spec"), &at, e);
    claim_statuses(n, spec, &at, e);
    addresses(n, o, "podIP", "podIPs", &at, e);
    addresses(n, o, "hostIP", "hostIPs", &at, e);
    users(n, spec.v("os").s("name"), &at, e);
    allocated(n, spec, &at, e);
}

fn conditions(list: &[Value], at: &At<'_>, e: &mut Errs) {
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        if c.i("observedGeneration") < 0 {
            e.invalid(
                &at.c("observedGeneration"),
                c.i("observedGeneration"),
                "must be a non-negative integer",
            );
        }
        if !matches!(c.s("type"), "PodScheduled" | "Ready" | "Initialized") {
            e.qualified(&at.c("Type"), c.s("type"));
        }
    }
}

/// Whether a container starts again after this exit code.
fn restarts(c: &Value, spec: &Value, code: i64) -> bool {
    let by_policy = |p: &str| match p {
        "Never" => Some(false),
        "OnFailure" => Some(code != 0),
        "Always" => Some(true),
        _ => None,
    };
    if let Some(own) = c.os("restartPolicy") {
        let rule = c.list("restartPolicyRules").iter().find(|r| {
            let x = r.v("exitCodes");
            let listed = x.list("values").iter().any(|v| v.as_i64() == Some(code));
            match x.s("operator") {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
        });
        if rule.is_some_and(|r| matches!(r.s("action"), "Restart" | "RestartAllContainers")) {
            return true;
        }
        if let Some(r) = by_policy(own) {
            return r;
        }
    }
    by_policy(spec.s("restartPolicy")).unwrap_or(true)
}

/// A container that ended for good stays ended.
fn transitions(n: &Value, o: &Value, spec: &Value, at: &At<'_>, e: &mut Errs) {
    let all_may = spec
        .list("initContainers")
        .iter()
        .chain(spec.list("containers"))
        .flat_map(|c| c.list("restartPolicyRules"))
        .any(|r| r.s("action") == "RestartAllContainers");
    for (list, of) in [
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", ""),
    ] {
        if all_may && !of.is_empty() {
            continue;
        }
        let at = at.c(list);
        for (i, before) in o.list(list).iter().enumerate() {
            let Some(t) = before.v("state").set("terminated") else { continue };
            let now = n.list(list).iter().find(|s| s.s("name") == before.s("name"));
            if !now.is_some_and(|s| !s.v("state").has("terminated")) {
                continue;
            }
            let c = spec.list(of).iter().find(|c| c.s("name") == before.s("name"));
            if !c.is_some_and(|c| restarts(c, spec, t.i("exitCode"))) {
                e.forbidden(&at.i(i).c("state"), "may not be transitioned to non-terminated state");
            }
        }
    }
}

fn claim_statuses(n: &Value, spec: &Value, at: &At<'_>, e: &mut Errs) {
    let claims = spec.list("resourceClaims");
    let list = at.c("resourceClaimStatuses");
    let mut seen = HashSet::new();
    for (i, s) in n.list("resourceClaimStatuses").iter().enumerate() {
        let at = list.i(i);
        let name = s.s("name");
        if !claims.iter().any(|c| c.s("name") == name) {
            e.invalid(&at.c("name"), name, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name) {
            e.duplicate(&at.c("name"), name);
        }
        if let Some(c) = s.os("resourceClaimName") {
            e.subdomain(&at.c("resourceClaimName"), c);
        }
    }
    if let Some(s) = n.set("extendedResourceClaimStatus") {
        extended(s, spec, &at.c("extendedResourceClaimStatus"), e);
    }
}

fn extended(s: &Value, spec: &Value, at: &At<'_>, e: &mut Errs) {
    let list = at.c("requestMappings");
    let mappings = s.list("requestMappings");
    if mappings.is_empty() {
        e.required(&list, "at least one request mapping is required");
    }
    let mut seen = HashSet::new();
    for (i, m) in mappings.iter().enumerate() {
        let at_m = list.i(i);
        let (c, r, q) = (m.s("containerName"), m.s("resourceName"), m.s("requestName"));
        let all = spec.list("initContainers").iter().chain(spec.list("containers"));
        match all.filter(|x| x.s("name") == c).last() {
            Some(x) if x.v("resources").v("requests").has(r) => {}
            Some(_) => e.invalid(
                &at_m.c("resourceName"),
                r,
                "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests",
            ),
            None => e.invalid(
                &at_m.c("containerName"),
                c,
                "must match the name of an entry in spec.initContainers.name or spec.containers.name",
            ),
        }
        e.label(&at.c("requestName"), q);
        if !seen.insert((c, r, q)) {
            for (f, v) in [("containerName", c), ("resourceName", r), ("requestName", q)] {
                e.duplicate(&at_m.c(f), v);
            }
        }
    }
    e.required_name(&at.c("resourceClaimName"), s.s("resourceClaimName"), names::is_dns1123_subdomain);
}

fn addresses(n: &Value, o: &Value, one: &str, many: &str, at: &At<'_>, e: &mut Errs) {
    let of = |s: &'_ Value| -> Vec<String> { s.list(many).iter().map(|i| i.s("ip").to_owned()).collect() };
    let (ips, old) = (of(n), of(o));
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    let list = at.c(many);
    let mirror = |e: &mut Errs| {
        if ips.first().is_some_and(|f| *f != n.s(one)) {
            e.invalid(&list.i(0).c("ip"), ips[0], format!("must be equal to `{one}`"));
        }
    };
    if many == "hostIPs" {
        mirror(e);
    }
    for (i, a) in ips.iter().enumerate() {
        e.legacy_ip(&list.i(i), a, &old);
    }
    if let (true, Some(i)) = (ips.len() > 1, ips.iter().position(|a| ip::dual_stack(&[a]).is_none())) {
        let why = format!("failed to check for dual stack with error:invalid IP[{i}]: {}", ips[i]);
        e.0.push(meta::FieldError::internal(&list.path(), why));
    }
    if ips.len() > 1 && (ip::dual_stack(&ips) != Some(true) || ips.len() > 2) {
        e.invalid(&list, n.v(many).clone(), "may specify no more than one IP for each IP family");
    }
    if many == "podIPs" {
        if n.s(one).is_empty() != ips.is_empty() {
            e.invalid(&list, n.v(many).clone(), "podIP and podIPs must either both be set or both be unset");
        } else {
            mirror(e);
        }
    }
}

const STATUSES: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

fn users(n: &Value, os: &str, at: &At<'_>, e: &mut Errs) {
    for list in STATUSES {
        let at = at.c(list);
        for (i, s) in n.list(list).iter().enumerate() {
            let Some(u) = s.v("user").set("linux") else { continue };
            let at = at.i(i);
            let at = at.c("user.linux");
            if os == "windows" {
                e.forbidden(&at, "cannot be set for a windows pod");
                continue;
            }
            if os != "linux" && !os.is_empty() {
                continue;
            }
            e.in_range(&at.c("uid"), u.i("uid"), 0, i64::from(u32::MAX));
            e.unix_id(&at.c("gid"), Some(u.i("gid")));
            let groups = at.c("supplementalGroups");
            for (j, g) in u.list("supplementalGroups").iter().enumerate() {
                e.unix_id(&groups.i(j), g.as_i64());
            }
        }
    }
}

/// Health of devices that containers were given.
fn allocated(n: &Value, spec: &Value, at: &At<'_>, e: &mut Errs) {
    for (list, of) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        let at = at.c(list);
        for (i, s) in n.list(list).iter().enumerate() {
            let c = spec.list(of).iter().find(|c| c.s("name") == s.s("name"));
            let at = at.i(i);
            let at = at.c("allocatedResourcesStatus");
            for (j, a) in s.list("allocatedResourcesStatus").iter().enumerate() {
                let at = at.i(j);
                if let Some(c) = c {
                    allocated_name(a.s("name"), c, n.v("extendedResourceClaimStatus"), &at.c("name"), e);
                }
                health(a.list("resources"), &at.c("resources"), e);
            }
        }
    }
    let at = at.c("ephemeralContainerStatuses");
    for (i, s) in n.list("ephemeralContainerStatuses").iter().enumerate() {
        if !s.list("allocatedResourcesStatus").is_empty() {
            e.forbidden(&at.i(i).c("allocatedResourcesStatus"), "must not be specified in container status");
        }
    }
}

fn allocated_name(name: &str, c: &Value, extended: &Value, at: &At<'_>, e: &mut Errs) {
    let requests = c.v("resources").v("requests");
    let Some(claim) = name.strip_prefix("claim:") else {
        if !requests.has(name) {
            e.invalid(at, name, "must match one of the container's resource requests");
        }
        return;
    };
    let (of, request) = claim.split_once('/').map_or((claim, None), |(a, b)| (a, Some(b)));
    let listed = c
        .v("resources")
        .list("claims")
        .iter()
        .any(|x| x.s("name") == of && x.s("request") == request.unwrap_or(""));
    let mapped = request.is_some_and(|r| !r.is_empty())
        && extended.s("resourceClaimName") == of
        && extended.list("requestMappings").iter().any(|m| {
            m.s("containerName") == c.s("name")
                && Some(m.s("requestName")) == request
                && requests.set(m.s("resourceName")).is_some_and(|q| !quantity(q).is_zero())
        });
    if !listed && !mapped {
        e.invalid(
            at,
            name,
            "must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty",
        );
    }
}

fn health(list: &[Value], at: &At<'_>, e: &mut Errs) {
    let mut seen = HashSet::new();
    for (k, r) in list.iter().enumerate() {
        let at = at.i(k);
        e.one_of(&at.c("health"), r.s("health"), &["Healthy", "Unhealthy", "Unknown"]);
        match r.os("message") {
            Some("") => e.required(&at.c("message"), "must be non-empty if specified"),
            Some(m) if m.len() > 1024 => e.too_long(&at.c("message"), 1024),
            _ => {}
        }
        if !seen.insert(r.s("resourceID")) {
            e.duplicate(&at.c("resourceID"), r.s("resourceID"));
        }
    }
}

/// Statuses of features that carry over when a writer does not know them, and generations observed before.
pub(super) fn carry_over(new: &mut Value, old: &Value) {
    let o = old.v("status");
    let n = new.obj("status");
    for f in [
        "qosClass",
        "resourceClaimStatuses",
        "extendedResourceClaimStatus",
        "nodeAllocatableResourceClaimStatuses",
    ] {
        if let Some(v) = o.set(f).filter(|_| n.f(f).is_none_or(is_zero)) {
            n.put(f, v.clone());
        }
    }
    if n.i("observedGeneration") == 0 && o.i("observedGeneration") != 0 {
        n.put("observedGeneration", o.i("observedGeneration"));
    }
    let mut seen: Vec<(String, usize)> = Vec::new();
    for c in n.each("conditions") {
        let ty = c.s("type").to_owned();
        let nth = match seen.iter_mut().find(|s| s.0 == ty) {
            Some(s) => {
                s.1 += 1;
                s.1
            }
            None => {
                seen.push((ty.clone(), 0));
                0
            }
        };
        let before = o.list("conditions").iter().filter(|x| x.s("type") == ty).nth(nth);
        let generation = before.map_or(0, |b| b.i("observedGeneration"));
        if c.i("observedGeneration") == 0 && generation != 0 {
            c.put("observedGeneration", generation);
        }
    }
}

pub(super) use resources::qos_class;
