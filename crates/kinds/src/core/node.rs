//! Nodes.

use crate::ip;
use crate::kit::*;
use crate::podspec::{affinity, gates, resources};

pub(crate) struct Node;

impl Strategy for Node {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        o.remove_at("spec.configSource");
        o.remove_at("status.config");
        gates::drop_disabled("core.v1.Node", o, None);
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource == "status" {
            if !old.v("status").has("config") {
                o.remove_at("status.config");
            }
        } else if !old.v("spec").has("configSource") {
            o.remove_at("spec.configSource");
        }
        gates::drop_disabled("core.v1.Node", o, Some(old));
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        create(o, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource != "status" {
            create(o, &mut e);
        }
        update(o, old, &mut e);
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut out = Vec::new();
        if cx.subresource == "status" {
            return out;
        }
        let s = o.v("spec");
        if s.has("configSource") {
            out.push("spec.configSource: the feature is removed".to_owned());
        }
        if !s.s("externalID").is_empty() {
            out.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        let at = At::new("spec.podCIDRs");
        for (i, c) in s.strs("podCIDRs").iter().enumerate() {
            out.extend(ip::cidr_warnings(&at.i(i), c));
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let ready = rows::condition(o, "Ready");
        let mut status = match ready {
            None => "Unknown".to_owned(),
            Some(c) if c.s("status") == "True" => "Ready".to_owned(),
            Some(_) => "NotReady".to_owned(),
        };
        if o.bool_at("spec.unschedulable") {
            status.push_str(",SchedulingDisabled");
        }
        let info = o.v("status").v("nodeInfo");
        let known = |k| match info.s(k) {
            "" => "<unknown>",
            s => s,
        };
        let mut kernel = known("kernelVersion").to_owned();
        if !info.s("architecture").is_empty() {
            kernel = format!("{kernel} ({})", info.s("architecture"));
        }
        let roles = roles(o);
        row![
            o.name(),
            status,
            or_none(&roles),
            age(o, now),
            info.s("kubeletVersion"),
            address(o, "InternalIP"),
            address(o, "ExternalIP"),
            known("osImage"),
            kernel,
            known("containerRuntimeVersion"),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        (label == "spec.unschedulable").then(|| o.bool_at(label).to_string())
    }
}

fn address<'a>(o: &'a Value, ty: &str) -> &'a str {
    o.array_at("status.addresses").iter().find(|a| a.s("type") == ty).map_or("<none>", |a| a.s("address"))
}

/// Roles that labels give a node: `node-role.kubernetes.io/ROLE` or `kubernetes.io/role=ROLE`.
fn roles(o: &Value) -> String {
    let mut all: Vec<&str> = Vec::new();
    for (k, v) in o.labels().into_iter().flatten() {
        match k.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => all.push(role),
            None if k == "kubernetes.io/role" => all.extend(v.as_str().filter(|v| !v.is_empty())),
            _ => {}
        }
    }
    all.sort_unstable();
    all.dedup();
    all.join(",")
}

const AVOID: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";
const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";

fn annotations(o: &Value, e: &mut Errs) {
    let at = At::new("metadata.annotations");
    if let Some(v) = o.annotation(TAINTS).filter(|v| !v.is_empty()) {
        match serde_json::from_str::<Vec<Value>>(v) {
            Ok(list) => affinity::taints(&list, &at.c(TAINTS), e),
            Err(why) => e.invalid(&at, TAINTS, why.to_string()),
        }
    }
    let Some(v) = o.annotation(AVOID).filter(|v| !v.is_empty()) else { return };
    match serde_json::from_str::<Value>(v) {
        Err(why) => e.invalid(&at.c("AvoidPods"), AVOID, why.to_string()),
        Ok(a) => {
            let at = at.c(AVOID);
            for (i, p) in a.list("preferAvoidPods").iter().enumerate() {
                let at = at.i(i);
                let at = at.c("PodSignature");
                match p.v("podSignature").set("podController") {
                    None => e.required(&at, ""),
                    Some(c) if !c.b("controller") => {
                        e.invalid(&at.c("PodController.Controller"), false, "must point to a controller");
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

/// `MyFeature/mySub`: what a node says it can do, sorted.
fn declared_features(o: &Value, e: &mut Errs) {
    let at = At::new("status.declaredFeatures");
    let list = o.v("status").strs("declaredFeatures");
    for (i, f) in list.iter().enumerate() {
        let segment = |(n, s): (usize, &str)| {
            let first = s.bytes().next();
            let ok = if n == 0 {
                first.is_some_and(|b| b.is_ascii_uppercase())
            } else {
                first.is_some_and(|b| b.is_ascii_alphabetic())
            };
            ok && s.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        let name = meta::field::quote(f);
        if f.len() > 253 {
            e.invalid(
                &at.i(i),
                *f,
                format!("invalid feature name {name}: must be no more than 253 characters"),
            );
        } else if !f.split('/').enumerate().all(segment) {
            let why = format!(
                "invalid feature name {name}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
            );
            e.invalid(&at.i(i), *f, why);
        }
        match list.get(i + 1) {
            Some(next) if next == f => e.duplicate(&at.i(i + 1), *next),
            Some(next) if f > next => e.invalid(&at.i(i + 1), *next, "list must be sorted alphabetically"),
            _ => {}
        }
    }
}

fn amounts(o: &Value, e: &mut Errs) {
    for f in ["capacity", "allocatable"] {
        let at = At::new("status");
        let at = at.c(f);
        for (k, v) in keys(o.v("status").o(f)) {
            resources::value(k, &quantity(v), &at.c(k), e);
        }
    }
}

fn create(o: &Value, e: &mut Errs) {
    let at = At::new("metadata");
    annotations(o, e);
    affinity::taints(o.v("spec").list("taints"), &at.c("taints"), e);
    amounts(o, e);
    if let Some(n) = o.v("status").v("nodeInfo").v("swap").oi("capacity") {
        e.positive(&at.c("nodeSwapStatus.capacity"), n);
    }
    declared_features(o, e);
    let cidrs = o.v("spec").strs("podCIDRs");
    let at = At::new("spec.podCIDRs");
    for (i, c) in cidrs.iter().enumerate() {
        e.legacy_cidr(&at.i(i), c, &[]);
    }
    if cidrs.len() < 2 {
        return;
    }
    let bad = |c: &&str| !c.contains('/') || ip::dual_stack(&[c]).is_none();
    let first_bad = cidrs.iter().position(bad);
    if let Some(i) = first_bad {
        let why = format!(
            "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{i}]: <nil> (invalid CIDR address: {})",
            cidrs[i]
        );
        e.0.push(meta::FieldError::internal(&at.path(), why));
    }
    if cidrs.len() > 2 || first_bad.is_some() || ip::dual_stack(&cidrs) != Some(true) {
        let why = "may specify no more than one CIDR for each IP family";
        e.invalid(&at, o.v("spec").v("podCIDRs").clone(), why);
    }
}

fn update(o: &Value, old: &Value, e: &mut Errs) {
    annotations(o, e);
    amounts(o, e);
    declared_features(o, e);
    let at = At::new("status.addresses");
    let addresses = o.v("status").list("addresses");
    for (i, a) in addresses.iter().enumerate() {
        if addresses[..i].contains(a) {
            e.duplicate(&at.i(i), a.clone());
        }
    }
    let (n, s) = (o.v("spec"), old.v("spec"));
    let before = s.strs("podCIDRs");
    if !before.is_empty() && n.strs("podCIDRs") != before {
        e.forbidden(
            &At::new("spec.podCIDRs"),
            "node updates may not change podCIDR except from \"\" to valid",
        );
    }
    let (new_id, old_id) = (n.s("providerID"), s.s("providerID"));
    if !old_id.is_empty() && new_id != old_id {
        let what = if new_id.is_empty() { "cleared" } else { "modified" };
        let why = format!("field cannot be {what} once set");
        e.invalid(&At::new("spec.providerID"), Value::Null, why);
    }
    affinity::taints(n.list("taints"), &At::new("metadata.taints"), e);
    if n.s("externalID") != s.s("externalID") {
        e.forbidden(&At::new("spec.externalID"), "may not be updated");
    }
}
