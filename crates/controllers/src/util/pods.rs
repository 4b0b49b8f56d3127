//! Pods: their state, the order in which to delete them, and making them from templates.

use super::meta::{MetaExt, controller_ref, whole};
use crate::k8s::core::{Pod, PodCondition, PodTemplateSpec};
use crate::k8s::{ObjectMeta, Timestamp};
use client::{Informer, Kind};
use std::cmp::Ordering;
use std::time::Duration;

pub fn phase(p: &Pod) -> &str {
    p.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}
/// It has run to its end.
pub fn is_terminal(p: &Pod) -> bool {
    matches!(phase(p), "Succeeded" | "Failed")
}
/// It runs or will run.
pub fn is_active(p: &Pod) -> bool {
    !is_terminal(p) && !p.deleting()
}
/// It is being stopped.
pub fn is_terminating(p: &Pod) -> bool {
    !is_terminal(p) && p.deleting()
}
pub fn node_name(p: &Pod) -> &str {
    p.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default()
}
pub fn condition<'a>(p: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    p.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}
pub fn is_ready(p: &Pod) -> bool {
    condition(p, "Ready").is_some_and(|c| c.status == "True")
}
fn ready_since(p: &Pod) -> Option<Timestamp> {
    condition(p, "Ready").filter(|c| c.status == "True")?.last_transition_time.as_ref().map(|t| t.0)
}
/// Ready for at least so many seconds.
pub fn is_available(p: &Pod, min_ready: i32, now: Timestamp) -> bool {
    is_ready(p)
        && (min_ready <= 0
            || ready_since(p).is_some_and(|t| now.duration_since(t).as_secs() >= i64::from(min_ready)))
}
/// When the first of the pods that are ready will be available.
pub fn next_available<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    min_ready: i32,
    now: Timestamp,
) -> Option<Duration> {
    if min_ready <= 0 {
        return None;
    }
    let wait = |p: &Pod| {
        let left = i64::from(min_ready) * 1000 - now.duration_since(ready_since(p)?).as_millis() as i64;
        u64::try_from(left).ok().filter(|l| *l > 0).map(Duration::from_millis)
    };
    pods.into_iter().filter_map(wait).min()
}

/// Restarts of the container that restarted most, of plain containers and of restartable init containers.
fn restarts(p: &Pod) -> (i32, i32) {
    let Some(s) = &p.status else { return (0, 0) };
    let plain = s.container_statuses.iter().flatten().map(|c| c.restart_count).max().unwrap_or(0);
    let sidecars: Vec<&str> = p
        .spec
        .iter()
        .flat_map(|s| s.init_containers.iter().flatten())
        .filter(|c| c.restart_policy.as_deref() == Some("Always"))
        .map(|c| c.name.as_str())
        .collect();
    let side = s.init_container_statuses.iter().flatten().filter(|c| sidecars.contains(&c.name.as_str()));
    (plain, side.map(|c| c.restart_count).max().unwrap_or(0))
}

fn phase_rank(p: &Pod) -> i32 {
    match phase(p) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}
fn deletion_cost(p: &Pod) -> i32 {
    p.annotation("controller.kubernetes.io/pod-deletion-cost").and_then(|v| v.parse().ok()).unwrap_or(0)
}
/// Later first; what has no time comes before what has one.
fn later_first(a: Option<Timestamp>, b: Option<Timestamp>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(a), Some(b)) => b.cmp(&a),
    }
}
/// As [`later_first`], but ages are alike when they have the same power of two of nanoseconds; then the uid decides.
fn later_first_roughly(
    a: Option<Timestamp>,
    b: Option<Timestamp>,
    now: Option<Timestamp>,
    uids: (&str, &str),
) -> Ordering {
    match (a, b, now) {
        (Some(x), Some(y), Some(now)) if x != y => {
            let rank = |t: Timestamp| {
                let ns = now.duration_since(t).as_nanos();
                if ns > 0 { i64::from(ns.ilog2()) } else { -1 }
            };
            rank(x).cmp(&rank(y)).then_with(|| uids.0.cmp(uids.1))
        }
        _ => later_first(a, b),
    }
}

/// The order in which pods are better deleted (upstream `ActivePodsWithRanks`, and `ActivePods` without a time and with
/// equal ranks). A rank is how many pods of the same owner share the pod's node.
pub fn deletion_order(a: (&Pod, usize), b: (&Pod, usize), now: Option<Timestamp>) -> Ordering {
    let ((a, rank_a), (b, rank_b)) = (a, b);
    let uids = (a.uid(), b.uid());
    node_name(b)
        .is_empty()
        .cmp(&node_name(a).is_empty())
        .then_with(|| phase_rank(a).cmp(&phase_rank(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| rank_b.cmp(&rank_a))
        .then_with(|| later_first_roughly(ready_since(a), ready_since(b), now, uids))
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| later_first_roughly(a.created(), b.created(), now, uids))
}

/// The index of pods by the node they are bound to.
pub const BY_NODE: &str = "node";

pub fn index_by_node(pods: &Informer<Pod>) {
    pods.add_index(BY_NODE, |p| {
        Some(node_name(p).to_owned()).filter(|n| !n.is_empty()).into_iter().collect()
    });
}

/// Sets a condition of a pod; answers whether anything changed. The time of transition moves with the status.
pub fn set_condition(p: &mut Pod, c: PodCondition) -> bool {
    let all = p.status.get_or_insert_default().conditions.get_or_insert_default();
    match all.iter_mut().find(|x| x.type_ == c.type_) {
        None => {
            all.push(c);
            true
        }
        Some(x) => {
            let since = if x.status == c.status {
                x.last_transition_time.clone()
            } else {
                c.last_transition_time.clone()
            };
            let new = PodCondition { last_transition_time: since, ..c };
            let changed = *x != new;
            *x = new;
            changed
        }
    }
}

/// The patch of a pod's status that says why it is about to be disrupted.
pub fn disruption_patch(reason: &str, message: &str, now: Timestamp) -> serde_json::Value {
    serde_json::json!({"status": {"conditions": [{"type": "DisruptionTarget", "status": "True",
        "reason": reason, "message": message, "lastTransitionTime": whole(now)}]}})
}

/// The prefix of the names of pods made for an owner; the dash is left out when the name leaves no room for it.
pub fn name_prefix(owner: &str) -> String {
    let dashed = format!("{owner}-");
    if meta::names::is_dns1123_subdomain(&meta::names::mask_trailing_dash(&dashed)).is_empty() {
        dashed
    } else {
        owner.to_owned()
    }
}

/// A pod as a template has it, controlled by `owner`.
pub fn from_template<O: Kind>(template: &PodTemplateSpec, owner: &O) -> Pod {
    let t = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(name_prefix(owner.name())),
            namespace: owner.ns().map(str::to_owned),
            labels: t.labels,
            annotations: t.annotations,
            finalizers: t.finalizers,
            owner_references: Some(vec![controller_ref(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, v: Value) -> Pod {
        let mut p: Pod = serde_json::from_value(v).unwrap();
        p.metadata.name = Some(name.into());
        p.metadata.uid = Some(name.into());
        p
    }

    #[test]
    fn deletes_the_least_useful_first() {
        let ready = |at: &str| json!([{"type": "Ready", "status": "True", "lastTransitionTime": at}]);
        let run = |v: Value| json!({"spec": {"nodeName": "n", "containers": []}, "status": v});
        let now: Timestamp = "2024-01-02T00:00:00Z".parse().unwrap();
        let in_order = [
            (pod("unassigned", json!({"status": {"phase": "Pending"}})), 0),
            (pod("pending", run(json!({"phase": "Pending"}))), 0),
            (pod("unready", run(json!({"phase": "Running"}))), 0),
            (
                pod(
                    "cheap",
                    json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}},
                        "spec": {"nodeName": "n", "containers": []},
                        "status": {"phase": "Running", "conditions": ready("2024-01-01T00:00:00Z")}}),
                ),
                0,
            ),
            (
                pod("crowded", run(json!({"phase": "Running", "conditions": ready("2024-01-01T00:00:00Z")}))),
                2,
            ),
            (pod("fresh", run(json!({"phase": "Running", "conditions": ready("2024-01-01T23:00:00Z")}))), 1),
            (pod("a", run(json!({"phase": "Running", "conditions": ready("2024-01-01T00:00:10Z")}))), 1),
            (pod("b", run(json!({"phase": "Running", "conditions": ready("2024-01-01T00:00:00Z")}))), 1),
        ];
        for i in 0..in_order.len() {
            for j in 0..in_order.len() {
                let (a, b) = (&in_order[i], &in_order[j]);
                let got = deletion_order((&a.0, a.1), (&b.0, b.1), Some(now));
                assert_eq!(got, i.cmp(&j), "{} {}", a.0.name(), b.0.name());
            }
        }
    }

    #[test]
    fn availability() {
        let p = pod(
            "p",
            json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}}),
        );
        let at = |s: &str| -> Timestamp { s.parse().unwrap() };
        assert!(is_available(&p, 0, at("2024-01-01T00:00:00Z")));
        assert!(!is_available(&p, 10, at("2024-01-01T00:00:09Z")));
        assert_eq!(next_available([&p], 10, at("2024-01-01T00:00:09Z")), Some(Duration::from_secs(1)));
        assert!(is_available(&p, 10, at("2024-01-01T00:00:10Z")));
        assert_eq!(next_available([&p], 10, at("2024-01-01T00:00:10Z")), None);
    }

    #[test]
    fn prefixes() {
        assert_eq!(name_prefix("web"), "web-");
        assert_eq!(name_prefix(&"a".repeat(255)), "a".repeat(255));
    }
}
