//! Whether a node is one that a pod may run on, by selector and required affinity.

use super::meta::MetaExt;
use crate::k8s::core::{Affinity, Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

fn holds(r: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = r.values.as_deref().unwrap_or_default();
    let has = |v: &str| values.iter().any(|x| x == v);
    match r.operator.as_str() {
        "In" => value.is_some_and(has),
        "NotIn" => !value.is_some_and(has),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" | "Lt" => {
            let (Some(Ok(l)), [r1]) = (value.map(str::parse::<i64>), values) else { return false };
            let Ok(bound) = r1.parse::<i64>() else { return false };
            if r.operator == "Gt" { l > bound } else { l < bound }
        }
        _ => false,
    }
}

fn term(t: &NodeSelectorTerm, n: &Node) -> bool {
    let exprs = t.match_expressions.as_deref().unwrap_or_default();
    let fields = t.match_fields.as_deref().unwrap_or_default();
    // A term without requirements selects nothing.
    (!exprs.is_empty() || !fields.is_empty())
        && exprs.iter().all(|r| holds(r, n.label(&r.key)))
        && fields.iter().all(|r| r.key == "metadata.name" && holds(r, Some(n.name())))
}

fn affinity(a: Option<&Affinity>, n: &Node) -> bool {
    let required = a
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|r| r.node_selector_terms.iter().any(|t| term(t, n)))
}

/// Whether the node's labels and name satisfy `nodeSelector` and required node affinity.
pub fn selects(spec: &PodSpec, n: &Node) -> bool {
    spec.node_selector.iter().flatten().all(|(k, v)| n.label(k) == Some(v))
        && affinity(spec.affinity.as_ref(), n)
}

pub fn is_ready(n: &Node) -> bool {
    n.status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten())
        .any(|c| c.type_ == "Ready" && c.status == "True")
}
