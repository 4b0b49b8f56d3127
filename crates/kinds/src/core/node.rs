//! Nodes.

use crate::kit::*;

pub(crate) struct Node;

impl Strategy for Node {
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
