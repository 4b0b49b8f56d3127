//! Daemons on nodes, planned and run.

use super::plan::{Input, Plan, plan};
use super::rolling;
use crate::k8s::apps::DaemonSet;
use crate::k8s::core::{Node, Pod};
use crate::testing::{Cluster, START};
use crate::util::meta::MetaExt;
use meta::object::ObjectExt;
use serde_json::{Value, json};
use std::time::Duration;

fn set(spec: Value) -> Value {
    let mut s = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": "ns", "uid": "du"},
        "spec": {"selector": {"matchLabels": {"app": "d"}}, "revisionHistoryLimit": 1,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "1"}]}}}});
    for (k, v) in spec.as_object().into_iter().flatten() {
        s["spec"][k] = v.clone();
    }
    s
}
fn node(name: &str, labels: Value, taints: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}})
}
fn pod(name: &str, node: &str, hash: &str, phase: &str, ready: bool) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "labels": {"app": "d", "controller-revision-hash": hash}},
        "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase, "conditions": [
            {"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": START}]}})
}
fn typed<T: serde::de::DeserializeOwned>(all: &[Value]) -> Vec<T> {
    all.iter().map(|v| serde_json::from_value(v.clone()).unwrap()).collect()
}
fn show(p: &Plan, pods: &[Pod]) -> String {
    let mut d: Vec<_> = p.delete.iter().map(|i| pods[*i].name().to_owned()).collect();
    d.sort();
    format!("+{} -{}", p.create.join(","), d.join(","))
}

#[test]
fn places() {
    let s: DaemonSet = serde_json::from_value(set(json!({"template": {"metadata": {"labels": {"app": "d"}},
        "spec": {"nodeSelector": {"os": "linux"}, "containers": []}}})))
    .unwrap();
    let linux = || json!({"os": "linux"});
    let taint = |key: &str, effect: &str| json!([{"key": key, "effect": effect}]);
    let nodes: Vec<Node> = typed(&[
        node("empty", linux(), json!([])),
        node("other", json!({}), json!([])),
        node("cordoned", linux(), taint("node.kubernetes.io/unschedulable", "NoSchedule")),
        node("reserved", linux(), taint("own", "NoSchedule")),
        node("evicting", linux(), taint("own", "NoExecute")),
        node("two", linux(), json!([])),
        node("failed", linux(), json!([])),
        node("waits", linux(), json!([])),
    ]);
    let mut pending = pod("pending", "", "h", "Pending", false);
    pending["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gone"]}]}]}}});
    let pods: Vec<Pod> = typed(&[
        pod("stray", "other", "h", "Running", true),
        pod("stays", "reserved", "h", "Running", true),
        pod("evicted", "evicting", "h", "Running", true),
        pod("a", "two", "h", "Running", true),
        pod("b", "two", "h", "Running", true),
        pod("dead", "failed", "h", "Failed", false),
        pod("young-dead", "waits", "h", "Failed", false),
        pending,
    ]);
    let mut backoff = |n: &str| (n == "waits").then(|| Duration::from_secs(7));
    let p = plan(Input {
        set: &s,
        hash: "h",
        nodes: &nodes,
        pods: &pods,
        backoff: &mut backoff,
        now: START.parse().unwrap(),
    });
    assert_eq!(show(&p, &pods), "+empty,cordoned -b,dead,evicted,pending,stray");
    assert_eq!(p.retry, Some(Duration::from_secs(7)));
}

fn roll(spec: Value, pods: &[Value]) -> String {
    let s: DaemonSet = serde_json::from_value(set(spec)).unwrap();
    let nodes: Vec<Node> = typed(&["a", "b", "c", "d"].map(|n| node(n, json!({}), json!([]))));
    let pods: Vec<Pod> = typed(pods);
    let mut p = Plan::default();
    rolling::plan(&s, "new", &nodes, &pods, START.parse().unwrap(), &mut p);
    show(&p, &pods)
}

#[test]
fn rolls() {
    let old = |n: &str, ready| pod(&format!("old-{n}"), n, "old", "Running", ready);
    let new = |n: &str, ready| pod(&format!("new-{n}"), n, "new", "Running", ready);
    let u = |u: Value, s: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": u, "maxSurge": s}}});
    let all_old = ["a", "b", "c", "d"].map(|n| old(n, true));
    assert_eq!(roll(u(json!(1), json!(0)), &all_old), "+ -old-a");
    assert_eq!(roll(u(json!("50%"), json!(0)), &all_old), "+ -old-a,old-b");
    let some = [new("a", false), old("b", true), old("c", true), old("d", true)];
    assert_eq!(roll(u(json!(1), json!(0)), &some), "+ -", "the new one is not available yet");
    let some = [new("a", true), old("b", false), old("c", true), old("d", true)];
    assert_eq!(roll(u(json!(1), json!(0)), &some), "+ -old-b", "one that is down anyway");
    assert_eq!(roll(u(json!(0), json!(2)), &all_old), "+a,b -");
    let both =
        [old("a", true), new("a", true), old("b", true), new("b", false), old("c", true), old("d", true)];
    assert_eq!(roll(u(json!(0), json!(2)), &both), "+c -old-a");
}

#[tokio::test(start_paused = true)]
async fn follows_nodes_and_templates() {
    let c = Cluster::start(&["daemonset-controller"]).await;
    for n in ["a", "b"] {
        c.api.seed("nodes", node(n, json!({}), json!([])));
    }
    c.api.seed("daemonsets", set(json!({})));
    c.settle().await;
    // As a scheduler and kubelets do.
    let run = async || {
        for _ in 0..6 {
            for p in c.api.objects("", "pods") {
                let mut p = p;
                if p.deletion_timestamp().is_some() {
                    c.api.remove("", "pods", "ns", p.name());
                } else if p.str_at("status.phase") != "Running" {
                    let t: Pod = serde_json::from_value(p.clone()).unwrap();
                    p["spec"]["nodeName"] = json!(super::plan::target_node(&t).unwrap());
                    c.set_ready(&p);
                }
            }
            c.settle().await;
        }
    };
    run().await;
    let status = || c.api.object("apps", "daemonsets", "ns", "d").unwrap()["status"].clone();
    assert_eq!(
        status(),
        json!({"currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberAvailable": 2, "numberMisscheduled": 0,
            "numberReady": 2, "observedGeneration": 1, "updatedNumberScheduled": 2})
    );
    c.api.seed("nodes", node("c", json!({}), json!([])));
    c.settle().await;
    assert_eq!(c.api.objects("", "pods").len(), 3);
    for image in ["2", "3"] {
        let t = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
        c.patch("apps", "daemonsets", "ns", "d", t);
        c.settle().await;
        run().await;
    }
    let images: Vec<_> =
        c.api.objects("", "pods").iter().map(|p| p["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, ["3", "3", "3"]);
    let mut revisions: Vec<_> =
        c.api.objects("apps", "controllerrevisions").iter().map(|r| r["revision"].clone()).collect();
    revisions.sort_by_key(|v| v.as_i64());
    assert_eq!(revisions, [2, 3], "history is cut");
    // A user's copy of the current revision is left alone until there is something to do.
    let current = || {
        let all = c.api.objects("apps", "controllerrevisions");
        all.into_iter().find(|r| r["revision"] == 3).unwrap()
    };
    let mut copy = current();
    copy["metadata"] = json!({"name": "copy", "namespace": "ns", "uid": "copied",
        "labels": {"app": "d", "controller-revision-hash": "copy"},
        "ownerReferences": current()["metadata"]["ownerReferences"]});
    copy["revision"] = json!(4);
    c.api.seed("controllerrevisions", copy);
    c.settle().await;
    assert_eq!(c.api.objects("apps", "controllerrevisions").len(), 3, "both are there");
    c.api.remove("apps", "controllerrevisions", "ns", "copy");
    c.settle().await;
    // Back: the old revision is the newest again.
    let t = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "2"}]}}}});
    c.patch("apps", "daemonsets", "ns", "d", t);
    c.settle().await;
    run().await;
    let mut revisions: Vec<_> =
        c.api.objects("apps", "controllerrevisions").iter().map(|r| r["revision"].clone()).collect();
    revisions.sort_by_key(|v| v.as_i64());
    assert_eq!(revisions, [3, 4]);
}
