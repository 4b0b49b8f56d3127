//! Plans for sets as data, and sets against the server in memory.

use super::plan::{Input, Revision, Step, plan};
use crate::k8s::apps::StatefulSet;
use crate::k8s::core::{PersistentVolumeClaim, Pod};
use crate::testing::{Cluster, START};
use crate::util::meta::MetaExt;
use expect_test::{Expect, expect};
use meta::object::ObjectExt;
use serde_json::{Value, json};
use std::collections::HashMap;

fn set(spec: Value) -> Value {
    let mut s = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "ns", "uid": "su"},
        "spec": {"replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, "revisionHistoryLimit": 10,
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "1"}]}}}});
    for (k, v) in spec.as_object().into_iter().flatten() {
        s["spec"][k] = v.clone();
    }
    s
}
fn pod(n: i32, revision: &str, state: &str) -> Pod {
    let mut p = json!({"metadata": {"name": format!("db-{n}"), "namespace": "ns", "uid": format!("pu{n}"), "labels": {"app": "db",
            "controller-revision-hash": revision, "statefulset.kubernetes.io/pod-name": format!("db-{n}")}},
        "spec": {"containers": [], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": format!("data-db-{n}")}}]},
        "status": {"phase": if state == "pending" { "Pending" } else if state == "failed" { "Failed" } else { "Running" },
            "conditions": [{"type": "Ready", "status": if state == "ready" || state == "going" { "True" } else { "False" }, "lastTransitionTime": START}]}});
    if state == "going" {
        p["metadata"]["deletionTimestamp"] = json!(START);
    }
    serde_json::from_value(p).unwrap()
}
fn show(spec: Value, pods: &[Pod], claims: &[PersistentVolumeClaim]) -> String {
    let s: StatefulSet = serde_json::from_value(set(spec)).unwrap();
    let r = |name: &str| Revision { name: name.into(), template: s.spec.template.clone() };
    let claims: HashMap<_, _> = claims.iter().map(|c| (c.name().to_owned(), c.clone())).collect();
    let (current, update) = (r("old"), r("new"));
    let p = plan(Input {
        set: &s,
        pods,
        claims: &claims,
        current: &current,
        update: &update,
        collisions: 0,
        now: START.parse().unwrap(),
    });
    let owner = |c: &PersistentVolumeClaim| {
        c.metadata.owner_references.iter().flatten().map(|o| o.name.clone()).collect::<Vec<_>>().join("+")
    };
    let mut out: Vec<String> = p
        .steps
        .iter()
        .map(|s| match s {
            Step::CreateClaim { claim, .. } => format!("claim {}({})", claim.name(), owner(claim)),
            Step::UpdateClaim(c) => format!("own {}({})", c.name(), owner(c)),
            Step::Conflict(c) => format!("conflict {c}"),
            Step::Create(p) => format!("+{}:{}", p.name(), p.label("controller-revision-hash").unwrap()),
            Step::Update(p) => format!("~{}", p.name()),
            Step::Delete(p) => format!("-{}", p.name()),
        })
        .collect();
    out.extend(p.blocked.map(|b| format!("blocked: {b}")));
    out.join(" ")
}
fn check(spec: Value, pods: &[Pod], want: Expect) {
    want.assert_eq(&show(spec, pods, &[]));
}

#[test]
fn in_order() {
    let ok = |n| pod(n, "new", "ready");
    check(json!({}), &[], expect!["+db-0:new"]);
    check(json!({}), &[pod(0, "new", "pending")], expect![]);
    check(json!({}), &[ok(0)], expect!["+db-1:new"]);
    check(json!({}), &[ok(0), pod(1, "new", "failed")], expect!["-db-1"]);
    check(json!({"replicas": 1}), &[ok(0), ok(1), ok(2)], expect!["-db-2"]);
    check(json!({"replicas": 1}), &[ok(0), ok(1), pod(2, "new", "going")], expect![]);
    check(json!({"replicas": 1}), &[ok(0), pod(1, "new", "unready"), ok(2)], expect!["-db-2"]);
    check(json!({"replicas": 1}), &[ok(0), pod(1, "new", "unready")], expect!["-db-1"]);
    check(json!({"ordinals": {"start": 2}, "replicas": 1}), &[], expect!["+db-2:new"]);
}

#[test]
fn updates() {
    let (old, new) = (|n| pod(n, "old", "ready"), |n| pod(n, "new", "ready"));
    check(json!({}), &[old(0), old(1), old(2)], expect!["-db-2"]);
    check(json!({}), &[old(0), old(1), new(2)], expect!["-db-1"]);
    check(json!({}), &[old(0), old(1), pod(2, "new", "unready")], expect![]);
    let roll = |v: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": v}});
    check(roll(json!({"partition": 2})), &[old(0), old(1), new(2)], expect![]);
    check(roll(json!({"partition": 2})), &[old(0), old(1)], expect!["+db-2:new"]);
    check(roll(json!({"partition": 2})), &[old(0)], expect!["+db-1:old"]);
    check(roll(json!({"maxUnavailable": 2})), &[old(0), old(1), old(2)], expect!["-db-2 -db-1"]);
    check(json!({"updateStrategy": {"type": "OnDelete"}}), &[old(0), old(1), old(2)], expect![]);
    let mut parallel = roll(json!({"maxUnavailable": 1}));
    parallel["podManagementPolicy"] = json!("Parallel");
    check(parallel.clone(), &[], expect!["+db-0:new +db-1:new +db-2:new"]);
    check(parallel, &[pod(0, "old", "unready"), old(1), old(2)], expect!["-db-0"]);
}

#[test]
fn claims() {
    let claim = |n: i32, owner: Value| -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {"name": format!("data-db-{n}"), "namespace": "ns", "ownerReferences": owner}})).unwrap()
    };
    let with = |policy: Value, replicas: i32| json!({"replicas": replicas, "persistentVolumeClaimRetentionPolicy": policy, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]});
    let ok = |n| pod(n, "new", "ready");
    let keep = || json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
    let both = || json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    let by_set = || json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "su", "controller": true}]);
    let by_old_pod =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "db-0", "uid": "before", "controller": true}]);
    let cases = [
        show(with(keep(), 1), &[], &[]),
        show(with(both(), 1), &[], &[]),
        show(with(both(), 1), &[ok(0)], &[claim(0, json!([]))]),
        show(with(both(), 1), &[ok(0)], &[claim(0, by_set())]),
        show(with(keep(), 1), &[ok(0)], &[claim(0, by_set())]),
        show(with(both(), 0), &[ok(0)], &[claim(0, by_set())]),
        show(with(both(), 1), &[], &[claim(0, by_old_pod)]),
    ];
    expect![[r#"
        claim data-db-0() +db-0:new
        claim data-db-0(db) +db-0:new
        own data-db-0(db)

        own data-db-0()
        own data-db-0(db-0) -db-0
        blocked: a claim of pod ns/db-0 still belongs to the pod before it"#]]
    .assert_eq(&cases.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn rolls_and_scales() {
    let c = Cluster::start(&["statefulset-controller"]).await;
    c.api.seed(
        "statefulsets",
        set(json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]})),
    );
    let run = async || {
        for _ in 0..12 {
            for p in c.api.objects("", "pods") {
                if p.deletion_timestamp().is_some() {
                    c.api.remove("", "pods", "ns", p.name());
                } else if p.str_at("status.phase") != "Running" {
                    c.set_ready(&p);
                }
            }
            c.settle().await;
        }
    };
    c.settle().await;
    assert_eq!(c.names("", "pods"), ["db-0"], "one after the other");
    run().await;
    assert_eq!(c.names("", "pods"), ["db-0", "db-1", "db-2"]);
    assert_eq!(c.names("", "persistentvolumeclaims"), ["data-db-0", "data-db-1", "data-db-2"]);
    let p = c.api.object("", "pods", "ns", "db-1").unwrap();
    assert_eq!((p.str_at("spec.hostname"), p.str_at("spec.subdomain")), ("db-1", "db"));
    assert_eq!(p["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-db-1");
    let t = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "2"}]}}}});
    c.patch("apps", "statefulsets", "ns", "db", t);
    c.settle().await;
    run().await;
    let images: Vec<_> =
        c.api.objects("", "pods").iter().map(|p| p["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, ["2", "2", "2"]);
    let s = c.api.object("apps", "statefulsets", "ns", "db").unwrap();
    assert_eq!(s.str_at("status.currentRevision"), s.str_at("status.updateRevision"));
    assert_eq!(
        (s.i64_at("status.currentReplicas"), s.i64_at("status.availableReplicas")),
        (Some(3), Some(3))
    );
    assert_eq!(c.api.objects("apps", "controllerrevisions").len(), 2);
    c.patch("apps", "statefulsets", "ns", "db", json!({"spec": {"replicas": 1}}));
    c.settle().await;
    run().await;
    assert_eq!(c.names("", "pods"), ["db-0"]);
    assert_eq!(c.names("", "persistentvolumeclaims").len(), 3, "claims are kept");
}
