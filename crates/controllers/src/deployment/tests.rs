//! Plans as data, and rollouts against the server in memory.

use super::plan::{Input, Step, plan};
use crate::k8s::apps::{Deployment, ReplicaSet};
use crate::testing::{Cluster, START};
use crate::util::meta::MetaExt;
use expect_test::{Expect, expect};
use meta::object::ObjectExt;
use serde_json::{Value, json};

fn deployment(spec: Value) -> Value {
    let mut d = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "ns"},
        "spec": {"replicas": 3, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "1"}]}}}});
    for (k, v) in spec.as_object().into_iter().flatten() {
        d["spec"][k] = v.clone();
    }
    d
}

/// A ReplicaSet of image, size and available pods, with the annotations of a Deployment of `desired`.
fn set(image: &str, size: i32, available: i32, desired: i32) -> ReplicaSet {
    serde_json::from_value(json!({"metadata": {"name": format!("web-{image}"), "namespace": "ns", "uid": image,
            "creationTimestamp": format!("2024-01-01T00:00:0{image}Z"), "generation": 1, "annotations": {
                "deployment.kubernetes.io/revision": image, "deployment.kubernetes.io/desired-replicas": desired.to_string(),
                "deployment.kubernetes.io/max-replicas": (desired + 1).to_string()}},
        "spec": {"replicas": size, "selector": {}, "template": {"metadata": {"labels": {"app": "web", "pod-template-hash": image}},
            "spec": {"containers": [{"name": "c", "image": image}]}}},
        "status": {"replicas": size, "availableReplicas": available, "readyReplicas": available, "observedGeneration": 1}}))
    .unwrap()
}

fn check(spec: Value, image: &str, sets: Vec<ReplicaSet>, old_pods_run: bool, want: Expect) {
    let mut d = deployment(spec);
    d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    let d: Deployment = serde_json::from_value(d).unwrap();
    let p = plan(Input { deployment: &d, sets, old_pods_run, now: START.parse().unwrap() });
    let mut out = String::new();
    for s in &p.steps {
        out += &match s {
            Step::Create(r) => format!("create {} {}\n", r.name().len(), r.spec.replicas.unwrap_or(0)),
            Step::Update { set, event } => {
                format!("update {} {}\n", set.name(), event.as_deref().unwrap_or("annotations"))
            }
            Step::Delete(r) => format!("delete {}\n", r.name()),
        };
    }
    let d = p.deployment.unwrap();
    let s = d.status.clone().unwrap();
    out += &format!("revision {}", d.annotation("deployment.kubernetes.io/revision").unwrap_or("-"));
    for c in s.conditions.iter().flatten() {
        let t = |v: &Option<String>| v.clone().unwrap_or_default();
        out += &format!(" {}={}/{}", t(&c.type_), t(&c.status), t(&c.reason));
    }
    want.assert_eq(&out);
}

#[test]
fn plans() {
    check(
        json!({}),
        "1",
        vec![],
        false,
        expect![[r#"
        create 14 3
        revision 1 Progressing=True/NewReplicaSetCreated Available=False/MinimumReplicasUnavailable"#]],
    );
    // A new template: one more than wanted in all.
    check(
        json!({}),
        "2",
        vec![set("1", 3, 3, 3)],
        false,
        expect![[r#"
        create 14 1
        update web-1 Scaled down replica set web-1 from 3 to 2
        revision 2 Available=True/MinimumReplicasAvailable Progressing=True/ReplicaSetUpdated"#]],
    );
    // The new one stands: the old one may lose what availability allows.
    check(
        json!({}),
        "2",
        vec![set("1", 3, 3, 3), set("2", 1, 1, 3)],
        false,
        expect![[r#"
        update web-1 Scaled down replica set web-1 from 3 to 1
        revision 2 Available=True/MinimumReplicasAvailable Progressing=True/ReplicaSetUpdated"#]],
    );
    // Pods of the old one that are not available go at once.
    check(
        json!({}),
        "2",
        vec![set("1", 3, 1, 3), set("2", 1, 0, 3)],
        false,
        expect![[r#"
        update web-1 Scaled down replica set web-1 from 3 to 2
        revision 2 Available=False/MinimumReplicasUnavailable Progressing=True/ReplicaSetUpdated"#]],
    );
    // Back to an old template: its revision is raised.
    check(
        json!({}),
        "1",
        vec![set("1", 0, 0, 3), set("2", 3, 3, 3)],
        false,
        expect![[r#"
        update web-1 Scaled up replica set web-1 from 0 to 1
        revision 3 Available=True/MinimumReplicasAvailable Progressing=True/ReplicaSetUpdated"#]],
    );
    // Scaled up in the middle of a rollout: in proportion.
    check(
        json!({"replicas": 12}),
        "2",
        vec![set("1", 5, 5, 6), set("2", 2, 2, 6)],
        false,
        expect![[r#"
        update web-1 Scaled up replica set web-1 from 5 to 9
        update web-2 Scaled up replica set web-2 from 2 to 4
        revision 2 Progressing=True/FoundNewReplicaSet Available=False/MinimumReplicasUnavailable"#]],
    );
    check(
        json!({"replicas": 2}),
        "2",
        vec![set("1", 5, 5, 6), set("2", 2, 2, 6)],
        false,
        expect![[r#"
        update web-1 Scaled down replica set web-1 from 5 to 2
        update web-2 Scaled down replica set web-2 from 2 to 1
        revision 2 Progressing=True/FoundNewReplicaSet Available=True/MinimumReplicasAvailable"#]],
    );
    // Paused: scaled, but not rolled out.
    check(
        json!({"paused": true, "replicas": 4}),
        "2",
        vec![set("1", 3, 3, 3)],
        false,
        expect![[r#"
        update web-1 Scaled up replica set web-1 from 3 to 4
        revision - Progressing=Unknown/DeploymentPaused Available=True/MinimumReplicasAvailable"#]],
    );
    // Recreate waits for the last pod.
    let r = || json!({"strategy": {"type": "Recreate"}});
    check(
        r(),
        "2",
        vec![set("1", 3, 3, 3)],
        true,
        expect![[r#"
        update web-1 Scaled down replica set web-1 from 3 to 0
        revision - Available=True/MinimumReplicasAvailable Progressing=True/ReplicaSetUpdated"#]],
    );
    check(
        r(),
        "2",
        vec![set("1", 0, 0, 3)],
        true,
        expect!["revision - Available=False/MinimumReplicasUnavailable"],
    );
    check(
        r(),
        "2",
        vec![set("1", 0, 0, 3)],
        false,
        expect![[r#"
        create 14 3
        revision 2 Progressing=True/NewReplicaSetCreated Available=False/MinimumReplicasUnavailable"#]],
    );
}

#[test]
fn history_is_cut() {
    let mut d = deployment(json!({"revisionHistoryLimit": 1}));
    d["spec"]["template"]["spec"]["containers"][0]["image"] = json!("4");
    d["metadata"]["generation"] = json!(1);
    d["status"] = json!({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3, "observedGeneration": 1});
    let d: Deployment = serde_json::from_value(d).unwrap();
    let sets = vec![set("1", 0, 0, 3), set("2", 0, 0, 3), set("3", 0, 0, 3), set("4", 3, 3, 3)];
    let p = plan(Input { deployment: &d, sets, old_pods_run: false, now: START.parse().unwrap() });
    let gone: Vec<_> =
        p.steps.iter().filter_map(|s| if let Step::Delete(r) = s { Some(r.name()) } else { None }).collect();
    assert_eq!(gone, ["web-1", "web-2"]);
}

#[tokio::test(start_paused = true)]
async fn rolls_out_with_real_sets() {
    let c = Cluster::start(&["deployment", "replicaset"]).await;
    c.api.seed("deployments", deployment(json!({})));
    let ready_all = async || {
        for _ in 0..12 {
            for p in c.api.objects("", "pods") {
                if p.deletion_timestamp().is_some() {
                    c.api.remove("", "pods", "ns", p.name());
                } else if p.str_at("status.phase") != "Running" {
                    c.set_ready(&p);
                }
            }
            c.settle().await;
            let running =
                c.api.objects("", "pods").iter().filter(|p| p.deletion_timestamp().is_none()).count();
            assert!((2..=4).contains(&running), "{running} pods");
        }
    };
    c.settle().await;
    ready_all().await;
    let d = || c.api.object("apps", "deployments", "ns", "web").unwrap();
    let reason = |d: &Value| {
        d.array_at("status.conditions").iter().map(|c| c.str_at("reason").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(d().i64_at("status.availableReplicas"), Some(3));
    assert_eq!(reason(&d()), ["MinimumReplicasAvailable", "NewReplicaSetAvailable"]);
    let t = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "2"}]}}}});
    c.patch("apps", "deployments", "ns", "web", t);
    c.settle().await;
    ready_all().await;
    let sets = c.api.objects("apps", "replicasets");
    let mut sizes: Vec<_> = sets.iter().map(|s| s.i64_at("spec.replicas").unwrap()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 3]);
    assert_eq!(d().annotation("deployment.kubernetes.io/revision"), Some("2"));
    assert_eq!(d().i64_at("status.updatedReplicas"), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_hangs_times_out() {
    let c = Cluster::start(&["deployment"]).await;
    c.api.seed("deployments", deployment(json!({})));
    c.settle().await;
    c.advance(601).await;
    let d = c.api.object("apps", "deployments", "ns", "web").unwrap();
    let p =
        d.array_at("status.conditions").iter().find(|c| c.str_at("type") == "Progressing").unwrap().clone();
    assert_eq!((p.str_at("status"), p.str_at("reason")), ("False", "ProgressDeadlineExceeded"));
}
