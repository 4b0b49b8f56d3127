//! Scopes: which pods and claims a quota is about (pkg/quota/v1/evaluator/core).

use crate::pod::is_best_effort;
use meta::Value;
use meta::object::ObjectExt;
use meta::selector::{Op, Requirement};
use serde_json::json;

/// A quota's scopes as selectors.
pub(super) fn of_quota(quota: &Value) -> Vec<Value> {
    let plain = quota.array_at("spec.scopes").iter();
    let mut out: Vec<Value> = plain.map(|s| json!({"scopeName": s, "operator": "Exists"})).collect();
    out.extend(quota.array_at("spec.scopeSelector.matchExpressions").iter().cloned());
    out
}

/// A selector as Go prints the struct: `{PriorityClass In [high]}`.
pub(super) fn show(s: &Value) -> String {
    let values: Vec<&str> = s.array_at("values").iter().filter_map(Value::as_str).collect();
    format!("{{{} {} [{}]}}", s.str_at("scopeName"), s.str_at("operator"), values.join(" "))
}

fn requirement(selector: &Value) -> Option<Requirement> {
    let op = match selector.str_at("operator") {
        "In" => Op::In,
        "NotIn" => Op::NotIn,
        "Exists" => Op::Exists,
        "DoesNotExist" => Op::DoesNotExist,
        _ => return None,
    };
    let values = selector.array_at("values").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Requirement::new(selector.str_at("scopeName"), op, values).ok()
}

/// Whether a pod has the scope.
pub(super) fn pod(selector: &Value, pod: &Value) -> bool {
    match selector.str_at("scopeName") {
        "Terminating" => terminating(pod),
        "NotTerminating" => !terminating(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let class = Some(pod.str_at("spec.priorityClassName")).filter(|c| !c.is_empty());
            if selector.str_at("operator") == "Exists" {
                return class.is_some();
            }
            requirement(selector).is_some_and(|r| r.matches(class))
        }
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

/// Whether a claim has the scope.
pub(super) fn claim(selector: &Value, claim: &Value) -> bool {
    if selector.str_at("scopeName") != "VolumeAttributesClass" {
        return false;
    }
    let fields = [
        "spec.volumeAttributesClassName",
        "status.currentVolumeAttributesClassName",
        "status.modifyVolumeStatus.targetVolumeAttributesClassName",
    ];
    let classes: Vec<&str> = fields.iter().map(|f| claim.str_at(f)).filter(|c| !c.is_empty()).collect();
    if selector.str_at("operator") == "Exists" {
        return !classes.is_empty();
    }
    let Some(r) = requirement(selector) else { return false };
    if classes.is_empty() { r.matches(None) } else { classes.iter().any(|c| r.matches(Some(c))) }
}

/// Whether the pod ends by itself.
pub(super) fn terminating(pod: &Value) -> bool {
    pod.i64_at("spec.activeDeadlineSeconds").is_some_and(|s| s >= 0)
}

fn crosses_namespaces(pod: &Value) -> bool {
    let crosses =
        |term: &Value| !term.array_at("namespaces").is_empty() || term.get("namespaceSelector").is_some();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let Some(affinity) = pod.at("spec.affinity").and_then(|a| a.get(kind)) else { return false };
        let required = affinity.array_at("requiredDuringSchedulingIgnoredDuringExecution");
        let preferred = affinity.array_at("preferredDuringSchedulingIgnoredDuringExecution");
        required.iter().any(crosses) || preferred.iter().filter_map(|p| p.get("podAffinityTerm")).any(crosses)
    })
}
