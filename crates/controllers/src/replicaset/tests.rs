//! The controller against the server in memory.

use crate::testing::Cluster;
use serde_json::{Value, json};

fn set(replicas: i32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "ns"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test(start_paused = true)]
async fn scales_up_and_down_and_reports() {
    let c = Cluster::start(&["replicaset"]).await;
    c.api.seed("replicasets", set(3));
    c.settle().await;
    let pods = c.api.objects("", "pods");
    assert_eq!(pods.len(), 3);
    assert_eq!(pods[0]["metadata"]["ownerReferences"][0]["name"], "web");
    for p in &pods[..2] {
        c.set_ready(p);
    }
    c.settle().await;
    let status = |c: &Cluster| c.api.object("apps", "replicasets", "ns", "web").unwrap()["status"].clone();
    assert_eq!(
        status(&c),
        json!({"replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 2, "availableReplicas": 2,
            "terminatingReplicas": 0, "observedGeneration": 1})
    );
    c.patch("apps", "replicasets", "ns", "web", json!({"spec": {"replicas": 2}}));
    c.settle().await;
    let left = c.api.objects("", "pods");
    let names = |v: &[Value]| v.iter().map(|p| p["metadata"]["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&left), names(&pods[..2]), "the one that is not ready goes");
}

#[tokio::test(start_paused = true)]
async fn adopts_and_releases() {
    let c = Cluster::start(&["replicaset"]).await;
    let pod = |name: &str, app: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns", "labels": {"app": app}},
            "spec": {"containers": []}})
    };
    c.api.seed("pods", pod("orphan", "web"));
    c.api.seed("pods", pod("stranger", "db"));
    c.api.seed("replicasets", set(1));
    c.settle().await;
    assert_eq!(c.api.objects("", "pods").len(), 2, "the orphan is enough");
    let owner = |n: &str| c.api.object("", "pods", "ns", n).unwrap()["metadata"]["ownerReferences"].clone();
    assert_eq!(owner("orphan")[0]["name"], "web");
    assert_eq!(owner("stranger"), Value::Null);
    c.patch("", "pods", "ns", "orphan", json!({"metadata": {"labels": {"app": "other"}}}));
    c.settle().await;
    assert_eq!(owner("orphan"), Value::Null);
    assert_eq!(c.api.objects("", "pods").len(), 3, "it is replaced");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_a_condition_until_it_is_over() {
    let c = Cluster::start(&["replicationcontroller"]).await;
    let full = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let quota = full.clone();
    c.api.react(move |r| {
        let pods = r.method() == http::Method::POST && r.uri().path().ends_with("/pods");
        (pods && quota.load(std::sync::atomic::Ordering::SeqCst))
            .then(|| meta::Status::forbidden(&meta::GroupResource::new("", "pods"), "", "exceeded quota"))
    });
    let mut rc = set(2);
    rc["apiVersion"] = json!("v1");
    rc["kind"] = json!("ReplicationController");
    rc["spec"]["selector"] = json!({"app": "web"});
    c.api.seed("replicationcontrollers", rc);
    c.settle().await;
    let status =
        |c: &Cluster| c.api.object("", "replicationcontrollers", "ns", "web").unwrap()["status"].clone();
    let cond = status(&c)["conditions"][0].clone();
    assert_eq!(
        (cond["type"].as_str(), cond["reason"].as_str()),
        (Some("ReplicaFailure"), Some("FailedCreate"))
    );
    assert_eq!(cond["message"], "pods is forbidden: exceeded quota");
    full.store(false, std::sync::atomic::Ordering::SeqCst);
    c.settle().await;
    assert_eq!(c.api.objects("", "pods").len(), 2);
    assert_eq!((status(&c)["conditions"].clone(), status(&c)["replicas"].clone()), (Value::Null, json!(2)));
}
