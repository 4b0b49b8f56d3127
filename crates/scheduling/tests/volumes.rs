//! Pods with claims.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{World, node};
use expect_test::expect;
use scheduling::cluster::ClaimKey;

fn zoned(name: &str, zone: &str) -> String {
    node(name, "").replace(
        "    kubernetes.io/hostname",
        &format!("    topology.kubernetes.io/zone: {zone}\n    kubernetes.io/hostname"),
    )
}
const POD: &str = "metadata: {name: p}\nspec: {volumes: [{name: v, persistentVolumeClaim: {claimName: data}}], containers: [{name: c}]}";
const CLASS: &str = "kind: StorageClass\nmetadata: {name: local}\nprovisioner: kubernetes.io/no-provisioner\nvolumeBindingMode: WaitForFirstConsumer";
const CLAIM: &str = "kind: PersistentVolumeClaim\nmetadata: {name: data, uid: claim-uid}\nspec: {storageClassName: local, accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}";

fn volume(name: &str, size: &str, on: &str) -> String {
    format!(
        "kind: PersistentVolume\nmetadata: {{name: {name}}}\nspec:\n  storageClassName: local\n  accessModes: [ReadWriteOnce]\n  capacity: {{storage: {size}}}\n  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{on}]}}]}}]}}}}\nstatus: {{phase: Available}}"
    )
}

#[test]
fn missing_and_unbound_claims() {
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply(POD);
    expect![[r#"
        p: Unschedulable: 0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.
    "#]]
    .assert_eq(&w.run());
    w.now += 60_000;
    w.apply("kind: StorageClass\nmetadata: {name: local}\nprovisioner: x\nvolumeBindingMode: Immediate");
    w.apply(CLAIM);
    expect![[r#"
        p: Unschedulable: 0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.
    "#]]
    .assert_eq(&w.run());
}

#[test]
fn the_smallest_local_volume_decides_the_node() {
    let mut w = World::new("");
    for n in ["a", "b", "c"] {
        w.apply(&node(n, ""));
    }
    w.apply(CLASS);
    w.apply(CLAIM);
    w.apply(&volume("small", "1Gi", "a"));
    w.apply(&volume("fits", "6Gi", "b"));
    w.apply(&volume("fits-too", "50Gi", "b"));
    w.apply(POD);
    expect![[r#"
        p on b: bind ["fits for data"] provision []
    "#]]
    .assert_eq(&w.run());
    // The API shows the volume taken and the claim bound.
    w.apply(
        &volume("fits", "6Gi", "b")
            .replace("spec:\n", "spec:\n  claimRef: {namespace: default, name: data, uid: claim-uid}\n"),
    );
    assert_eq!(w.run(), "");
    w.apply(
        &CLAIM
            .replace(
                "uid: claim-uid",
                "uid: claim-uid, annotations: {pv.kubernetes.io/bind-completed: \"yes\"}",
            )
            .replace("{storageClassName", "{volumeName: fits, storageClassName"),
    );
    assert_eq!(w.run(), "p -> b\n");
}

#[test]
fn provisioning_that_never_ends() {
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply(&CLASS.replace("kubernetes.io/no-provisioner", "csi.example.com"));
    w.apply(CLAIM);
    w.apply(POD);
    expect![[r#"
        p on a: bind [] provision ["data"]
    "#]]
    .assert_eq(&w.run());
    w.now += 601_000;
    expect![[r#"
        p: SchedulerError: running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded
    "#]]
    .assert_eq(&w.run());
}

#[test]
fn bound_volumes_hold_a_pod_in_place() {
    let bound = CLAIM
        .replace("uid: claim-uid", "uid: claim-uid, annotations: {pv.kubernetes.io/bind-completed: \"yes\"}")
        .replace("{storageClassName", "{volumeName: v, storageClassName");
    let mut w = World::new("");
    w.apply(&zoned("a", "z1"));
    w.apply(&zoned("b", "z2"));
    w.apply(CLASS);
    w.apply(&bound);
    w.apply("kind: PersistentVolume\nmetadata: {name: v, labels: {topology.kubernetes.io/zone: z2}}\nspec: {storageClassName: local, capacity: {storage: 5Gi}}");
    w.apply(POD);
    assert_eq!(w.run(), "p -> b\n");
    w.apply("kind: PersistentVolume\nmetadata: {name: v, labels: {topology.kubernetes.io/zone: z3}}\nspec: {storageClassName: local, capacity: {storage: 5Gi}}");
    w.apply(&POD.replace("name: p", "name: q"));
    expect![[r#"
        q: Unschedulable: 0/2 nodes are available: 2 node(s) had no available volume zone. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
    "#]]
    .assert_eq(&w.run());
}

#[test]
fn a_claim_for_one_pod_alone() {
    let bound = CLAIM
        .replace("uid: claim-uid", "uid: claim-uid, annotations: {pv.kubernetes.io/bind-completed: \"yes\"}")
        .replace("{storageClassName", "{volumeName: v, storageClassName")
        .replace("ReadWriteOnce", "ReadWriteOncePod");
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply(CLASS);
    w.apply(&bound);
    w.apply("kind: PersistentVolume\nmetadata: {name: v}\nspec: {storageClassName: local, capacity: {storage: 5Gi}}");
    w.apply(POD);
    assert_eq!(w.run(), "p -> a\n");
    w.apply(&POD.replace("name: p", "name: q"));
    expect![[r#"
        q: Unschedulable: 0/1 nodes are available: 1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.
    "#]]
    .assert_eq(&w.run());
    w.delete_pod("p");
    assert_eq!(w.run(), "q -> a\n");
    assert_eq!(w.engine.cluster.claim_users(&ClaimKey::new("default", "data")), 1);
}

#[test]
fn drivers_limit_volumes() {
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply("kind: CSINode\nmetadata: {name: a}\nspec: {drivers: [{name: csi.example.com, nodeID: a, allocatable: {count: 1}}]}");
    for i in ["1", "2"] {
        w.apply(&format!("kind: PersistentVolume\nmetadata: {{name: v{i}}}\nspec: {{csi: {{driver: csi.example.com, volumeHandle: h{i}}}, capacity: {{storage: 5Gi}}}}"));
        w.apply(&format!("kind: PersistentVolumeClaim\nmetadata: {{name: c{i}, annotations: {{pv.kubernetes.io/bind-completed: \"yes\"}}}}\nspec: {{volumeName: v{i}}}"));
        w.apply(
            &POD.replace("name: p", &format!("name: p{i}"))
                .replace("claimName: data", &format!("claimName: c{i}")),
        );
    }
    expect![[r#"
        p1 -> a
        p2: Unschedulable: 0/1 nodes are available: 1 node(s) exceed max volume count. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.
    "#]]
    .assert_eq(&w.run());
}
