//! Binding, releasing, losing, waiting.

use super::plan::{self, Reclaim};
use crate::k8s::core::{PersistentVolume, PersistentVolumeClaim};
use crate::testing::Cluster;
use meta::object::ObjectExt;
use serde_json::{Value, json};

fn pv(name: &str, size: &str, modes: &[&str], more: Value) -> Value {
    let mut spec = json!({"capacity": {"storage": size}, "accessModes": modes, "storageClassName": "slow",
        "persistentVolumeReclaimPolicy": "Retain"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "labels": {"name": name}}, "spec": spec})
}
fn pvc(name: &str, size: &str, more: Value) -> Value {
    let mut spec = json!({"resources": {"requests": {"storage": size}}, "accessModes": ["ReadWriteOnce"], "storageClassName": "slow"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "ns"},
        "spec": spec, "status": {"phase": "Pending"}})
}

#[test]
fn chooses_the_best_volume() {
    let rwo = &["ReadWriteOnce"][..];
    let all: Vec<Value> = vec![
        pv("small", "1Gi", rwo, json!({})),
        pv("large", "10Gi", rwo, json!({})),
        pv("mid", "5Gi", rwo, json!({})),
        pv("shared", "2Gi", &["ReadWriteOnce", "ReadWriteMany"], json!({})),
        pv("block", "2Gi", rwo, json!({"volumeMode": "Block"})),
        pv("taken", "2Gi", rwo, json!({"claimRef": {"namespace": "ns", "name": "other", "uid": "x"}})),
        pv("fast", "2Gi", rwo, json!({"storageClassName": "fast"})),
        pv(
            "mine",
            "20Gi",
            rwo,
            json!({"storageClassName": "fast", "claimRef": {"namespace": "ns", "name": "me"}}),
        ),
    ];
    let check = |name: &str, claim: Value, delay: bool, want: Option<&str>| {
        let mut c: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        c.metadata.name = Some(name.into());
        let volumes: Vec<PersistentVolume> = all
            .iter()
            .map(|v| {
                let mut v = v.clone();
                v["status"] = json!({"phase": "Available"});
                serde_json::from_value(v).unwrap()
            })
            .collect();
        let got = plan::best(&c, volumes, delay).unwrap().and_then(|v| v.metadata.name);
        assert_eq!(got.as_deref(), want);
    };
    check("c", pvc("c", "2Gi", json!({})), false, Some("mid"));
    check("c", pvc("c", "6Gi", json!({})), false, Some("large"));
    check("c", pvc("c", "60Gi", json!({})), false, None);
    check("c", pvc("c", "2Gi", json!({"accessModes": ["ReadWriteMany"]})), false, Some("shared"));
    check("c", pvc("c", "1Gi", json!({"volumeMode": "Block"})), false, Some("block"));
    check(
        "c",
        pvc("c", "1Gi", json!({"selector": {"matchLabels": {"name": "large"}}})),
        false,
        Some("large"),
    );
    check("c", pvc("c", "1Gi", json!({"storageClassName": "fast"})), false, Some("fast"));
    check("c", pvc("c", "1Gi", json!({})), true, None);
    check("me", pvc("me", "1Gi", json!({})), true, Some("mine"));
}

#[test]
fn reclaims() {
    let check = |policy: &str, annotation: Option<&str>, more: Value| {
        let mut v = pv("v", "1Gi", &[], more);
        v["spec"]["persistentVolumeReclaimPolicy"] = json!(policy);
        if let Some(a) = annotation {
            v["metadata"]["annotations"] = json!({"pv.kubernetes.io/provisioned-by": a});
        }
        match plan::reclaim(&serde_json::from_value(v).unwrap()) {
            Reclaim::Nothing => "",
            Reclaim::Fail(reason, _) => reason,
        }
    };
    assert_eq!(check("Retain", None, json!({})), "");
    assert_eq!(check("Delete", Some("example.com/x"), json!({})), "");
    assert_eq!(check("Delete", None, json!({"csi": {"driver": "d", "volumeHandle": "h"}})), "");
    assert_eq!(check("Delete", None, json!({"hostPath": {"path": "/x"}})), "VolumeFailedDelete");
    assert_eq!(check("Recycle", None, json!({})), "VolumeFailedRecycle");
    assert_eq!(check("Other", None, json!({})), "VolumeUnknownReclaimPolicy");
}

fn volume(c: &Cluster, name: &str) -> Value {
    c.api.object("", "persistentvolumes", "", name).unwrap()
}
fn claim(c: &Cluster, name: &str) -> Value {
    c.api.object("", "persistentvolumeclaims", "ns", name).unwrap()
}
fn reasons(c: &Cluster) -> Vec<String> {
    let mut all: Vec<String> =
        c.api.objects("", "events").iter().map(|e| e.str_at("reason").to_owned()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[tokio::test(start_paused = true)]
async fn binds_and_releases() {
    let c = Cluster::start(&["persistentvolume-binder"]).await;
    c.api.seed("persistentvolumes", pv("v", "5Gi", &["ReadWriteOnce"], json!({})));
    c.settle().await;
    assert_eq!(volume(&c, "v").str_at("status.phase"), "Available");
    c.api.seed("persistentvolumeclaims", pvc("c", "1Gi", json!({})));
    c.api.seed("persistentvolumeclaims", pvc("second", "1Gi", json!({})));
    c.settle().await;
    let (v, first) = (volume(&c, "v"), claim(&c, "c"));
    assert_eq!(v.str_at("status.phase"), "Bound");
    assert_eq!(v["spec"]["claimRef"]["uid"], first.uid());
    assert_eq!(v.annotation("pv.kubernetes.io/bound-by-controller"), Some("yes"));
    assert_eq!(first.str_at("spec.volumeName"), "v");
    assert_eq!(first.annotation("pv.kubernetes.io/bind-completed"), Some("yes"));
    assert_eq!(
        first["status"],
        json!({"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}})
    );
    assert_eq!(claim(&c, "second").str_at("status.phase"), "Pending");
    c.api.remove("", "persistentvolumeclaims", "ns", "c");
    c.settle().await;
    assert_eq!(volume(&c, "v").str_at("status.phase"), "Released");
    // A new one of the same name does not get it.
    c.api.seed("persistentvolumeclaims", pvc("c", "1Gi", json!({})));
    c.settle().await;
    assert_eq!(claim(&c, "c").str_at("status.phase"), "Pending");
    // The administrator gives it back.
    c.api.edit("", "persistentvolumes", "", "v", |v| drop(v.remove_at("spec.claimRef")));
    c.settle().await;
    assert_eq!(volume(&c, "v").str_at("status.phase"), "Bound");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_loses_its_volume_is_lost() {
    let c = Cluster::start(&["persistentvolume-binder"]).await;
    c.api.seed("persistentvolumes", pv("v", "5Gi", &["ReadWriteOnce"], json!({})));
    c.api.seed("persistentvolumeclaims", pvc("c", "1Gi", json!({"volumeName": "v"})));
    c.settle().await;
    assert_eq!(claim(&c, "c").str_at("status.phase"), "Bound");
    assert_eq!(claim(&c, "c").annotation("pv.kubernetes.io/bound-by-controller"), None);
    c.api.remove("", "persistentvolumes", "", "v");
    c.settle().await;
    assert_eq!(claim(&c, "c").str_at("status.phase"), "Lost");
    assert_eq!(reasons(&c), ["ClaimLost"]);
}

#[tokio::test(start_paused = true)]
async fn waits_and_asks_for_volumes() {
    let c = Cluster::start(&["persistentvolume-binder"]).await;
    c.api.seed("persistentvolumeclaims", pvc("none", "1Gi", json!({"storageClassName": Value::Null})));
    c.api.seed("persistentvolumeclaims", pvc("late", "1Gi", json!({"storageClassName": "late"})));
    c.settle().await;
    let class = |name: &str, mode: &str, default: &str| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "example.com/p",
            "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": default}},
            "volumeBindingMode": mode})
    };
    c.api.seed("storageclasses", class("late", "WaitForFirstConsumer", "false"));
    c.api.seed("storageclasses", class("now", "Immediate", "true"));
    c.settle().await;
    let none = claim(&c, "none");
    assert_eq!(none.str_at("spec.storageClassName"), "now");
    assert_eq!(none.annotation("volume.kubernetes.io/storage-provisioner"), Some("example.com/p"));
    assert_eq!(claim(&c, "late").annotation("volume.kubernetes.io/storage-provisioner"), None);
    c.rt.clock.advance(std::time::Duration::from_secs(1));
    c.patch(
        "",
        "persistentvolumeclaims",
        "ns",
        "late",
        json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}}),
    );
    c.settle().await;
    assert_eq!(
        claim(&c, "late").annotation("volume.kubernetes.io/storage-provisioner"),
        Some("example.com/p")
    );
    // The provisioner makes one.
    c.api.seed(
        "persistentvolumes",
        pv(
            "pvc-late",
            "1Gi",
            &["ReadWriteOnce"],
            json!({"storageClassName": "late",
        "claimRef": {"namespace": "ns", "name": "late", "uid": claim(&c, "late").uid()}}),
        ),
    );
    c.settle().await;
    assert_eq!(claim(&c, "late").str_at("status.phase"), "Bound");
    assert_eq!(volume(&c, "pvc-late").str_at("status.phase"), "Bound");
}
