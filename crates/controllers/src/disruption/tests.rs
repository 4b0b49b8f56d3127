//! Budgets against the server in memory.

use crate::testing::{Cluster, START};
use crate::util::discovery::testdata::answers;
use serde_json::{Value, json};

fn pdb(spec: Value) -> Value {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": "x"}});
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "ns"}, "spec": spec})
}
fn pod(n: usize, ready: bool, owner: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{n}"), "namespace": "ns", "labels": {"app": "x"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": owner, "name": "rs", "uid": "rsu", "controller": true}]},
        "spec": {"containers": []}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
}
fn sets(c: &Cluster, replicas: i32) {
    let spec = json!({"replicas": replicas, "selector": {}, "template": {}});
    c.api.seed("deployments", json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "ns", "uid": "du"}, "spec": spec}));
    c.api.seed("replicasets", json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs", "namespace": "ns", "uid": "rsu",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "du", "controller": true}]}, "spec": {"replicas": 1, "selector": {}}}));
}
/// Allowed, current, desired, expected, reason.
fn status(c: &Cluster) -> String {
    let s = c.api.object("policy", "poddisruptionbudgets", "ns", "b").unwrap()["status"].clone();
    format!(
        "{} {} {} {} {}",
        s["disruptionsAllowed"],
        s["currentHealthy"],
        s["desiredHealthy"],
        s["expectedPods"],
        s["conditions"][0]["reason"].as_str().unwrap()
    )
}

#[tokio::test(start_paused = true)]
async fn counts() {
    let cases = [
        (json!({"minAvailable": 2}), "1 3 2 4 SufficientPods"),
        (json!({"minAvailable": 3}), "0 3 3 4 InsufficientPods"),
        (json!({"minAvailable": "50%"}), "0 3 3 5 InsufficientPods"),
        (json!({"maxUnavailable": 3}), "1 3 2 5 SufficientPods"),
        (json!({"maxUnavailable": "10%"}), "0 3 4 5 InsufficientPods"),
    ];
    for (spec, want) in cases {
        let c = Cluster::start(&["disruption-controller"]).await;
        sets(&c, 5);
        for n in 0..4 {
            c.api.seed("pods", pod(n, n > 0, "ReplicaSet"));
        }
        c.api.seed("poddisruptionbudgets", pdb(spec.clone()));
        c.settle().await;
        assert_eq!(status(&c), want, "{spec}");
    }
}

#[tokio::test(start_paused = true)]
async fn granted_evictions_hold_a_place() {
    let c = Cluster::start(&["disruption-controller"]).await;
    for n in 0..3 {
        c.api.seed("pods", pod(n, true, "ReplicaSet"));
    }
    let mut b = pdb(json!({"minAvailable": 1}));
    b["status"] = json!({"disruptedPods": {"p0": START, "gone": START}});
    c.api.seed("poddisruptionbudgets", b);
    c.settle().await;
    assert_eq!(status(&c), "1 2 1 3 SufficientPods");
    c.advance(121).await;
    assert_eq!(status(&c), "2 3 1 3 SufficientPods");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_counted_is_not_disrupted() {
    let c = Cluster::start(&["disruption-controller"]).await;
    let (core, groups) = answers(&["apps/v1 daemonsets DaemonSet Namespaced"]);
    c.api.answer("/api", core);
    c.api.answer("/apis", groups);
    c.api.seed("pods", pod(0, true, "DaemonSet"));
    c.api.seed("poddisruptionbudgets", pdb(json!({"maxUnavailable": 1})));
    c.settle().await;
    let s = c.api.object("policy", "poddisruptionbudgets", "ns", "b").unwrap()["status"].clone();
    assert_eq!(
        (s["disruptionsAllowed"].clone(), s["conditions"][0]["reason"].clone()),
        (json!(0), json!("SyncFailed"))
    );
    assert_eq!(s["conditions"][0]["message"], "daemonsets.apps does not implement the scale subresource");
}

#[tokio::test(start_paused = true)]
async fn stale_targets_are_cleared() {
    let c = Cluster::start(&["disruption-controller"]).await;
    let mut p = pod(0, true, "ReplicaSet");
    p["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "lastTransitionTime": START}]);
    c.api.seed("pods", p);
    c.settle().await;
    let status =
        || c.api.object("", "pods", "ns", "p0").unwrap()["status"]["conditions"][0]["status"].clone();
    assert_eq!(status(), "True");
    c.advance(121).await;
    assert_eq!(status(), "False");
}
