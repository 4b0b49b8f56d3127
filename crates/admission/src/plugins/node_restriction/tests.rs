//! One kubelet against a small cluster.

use super::*;
use crate::testing::{Ask, Store};
use serde_json::json;

fn store() -> Store {
    Store::default()
        .with("/nodes", json!({"metadata": {"name": "n1", "uid": "u-n1"}}))
        .with("/pods", json!({"metadata": {"namespace": "ns", "name": "mine", "uid": "u-mine"}, "spec": {
            "nodeName": "n1", "serviceAccountName": "sa",
            "volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"audience": "vault"}},
                {"podCertificate": {"signerName": "x.io/y"}}]}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}}]}}))
        .with("/pods", json!({"metadata": {"namespace": "ns", "name": "other", "uid": "u-other"}, "spec": {"nodeName": "n2"}}))
        .with("/persistentvolumeclaims", json!({"metadata": {"namespace": "ns", "name": "claim"}, "spec": {"volumeName": "pv"}}))
        .with("/persistentvolumes", json!({"metadata": {"name": "pv"}, "spec": {"csi": {"driver": "d"}}}))
        .with("storage.k8s.io/csidrivers", json!({"metadata": {"name": "d"}, "spec": {"tokenRequests": [{"audience": "csi"}]}}))
        .with("/serviceaccounts", json!({"metadata": {"namespace": "ns", "name": "sa", "uid": "u-sa"}}))
}

fn run(what: &str, name: &str, new: Value, old: Option<Value>) -> Result<(), String> {
    let mut new = new;
    Ask::new(what)
        .named(name)
        .user("system:node:n1", &["system:nodes"])
        .run(&NodeRestriction, &store(), &mut new, old.as_ref())
        .map_err(|e| e.split("forbidden: ").last().unwrap_or("").to_owned())
}
fn refused(why: &str) -> Result<(), String> {
    Err(why.into())
}

#[test]
fn others_are_free() {
    let mut pod = json!({"metadata": {"name": "p"}});
    let mut ask = |user: &str, groups: &[&str]| {
        Ask::new("create pods").user(user, groups).run(&NodeRestriction, &store(), &mut pod, None)
    };
    assert_eq!(ask("alice", &["system:nodes"]), Ok(()));
    assert_eq!(ask("system:node:n1", &[]), Ok(()));
    assert!(ask("system:node:", &["system:nodes"]).is_err());
}

#[test]
fn mirror_pods() {
    let pod = |f: &dyn Fn(&mut Value)| {
        let mut p = json!({"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u-n1", "controller": true}]},
            "spec": {"nodeName": "n1", "volumes": [{"name": "h", "hostPath": {"path": "/"}}]}});
        f(&mut p);
        run("create pods", "m", p, None)
    };
    assert_eq!(pod(&|_| {}), Ok(()));
    assert_eq!(
        pod(&|p| {
            p.remove_at("metadata.annotations");
        }),
        refused(
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods"
        )
    );
    assert!(pod(&|p| p.set_at("spec.nodeName", "n2")).is_err());
    assert!(
        pod(&|p| {
            p.remove_at("metadata.ownerReferences");
        })
        .is_err()
    );
    assert_eq!(
        pod(&|p| p["metadata"]["ownerReferences"][0]["uid"] = "x".into()),
        refused("node n1 UID mismatch: expected x got u-n1")
    );
    assert!(pod(&|p| p["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = true.into()).is_err());
    for (volume, what) in [
        (json!({"secret": {"secretName": "s"}}), "secrets"),
        (json!({"persistentVolumeClaim": {"claimName": "s"}}), "persistentvolumeclaims"),
        (json!({"csi": {"driver": "s"}}), "csidrivers (via CSI volumes)"),
        (
            json!({"projected": {"sources": [{"serviceAccountToken": {}}]}}),
            "serviceaccounts (via projected volumes)",
        ),
    ] {
        assert_eq!(
            pod(&|p| p.set_at("spec.volumes", vec![volume.clone()])),
            refused(&format!("node \"n1\" can not create pods that reference {what}"))
        );
    }
    assert!(
        pod(&|p| p.set_at("spec.volumes", vec![json!({"name": "new"})]))
            .unwrap_err()
            .contains("unknown volume type")
    );
}

#[test]
fn pods_of_its_own() {
    let none = Value::Null;
    assert_eq!(run("delete pods", "mine", none.clone(), None), Ok(()));
    assert_eq!(
        run("delete pods", "other", none.clone(), None),
        refused("node \"n1\" can only delete pods with spec.nodeName set to itself")
    );
    assert_eq!(run("delete pods", "gone", none, None), refused("pods \"gone\" not found"));
    assert!(run("update pods", "mine", json!({}), Some(json!({}))).is_err());
    let pod =
        |node: &str, label: &str| json!({"metadata": {"labels": {"a": label}}, "spec": {"nodeName": node}});
    assert_eq!(run("update pods/status", "p", pod("n1", "x"), Some(pod("n1", "x"))), Ok(()));
    assert!(run("update pods/status", "p", pod("n2", "x"), Some(pod("n2", "x"))).is_err());
    assert_eq!(
        run("update pods/status", "p", pod("n1", "y"), Some(pod("n1", "x"))),
        refused("node \"n1\" cannot update labels through pod status")
    );
    assert_eq!(run("create pods/eviction", "mine", json!({}), None), Ok(()));
    assert!(run("create pods/eviction", "other", json!({}), None).is_err());
}

#[test]
fn its_node() {
    let node = |labels: Value, taints: Value| json!({"metadata": {"name": "n1", "labels": labels}, "spec": {"taints": taints}});
    let update = |labels: Value, taints: Value| {
        run("update nodes", "n1", node(labels, taints), Some(node(json!({"a": "b"}), json!([]))))
    };
    assert_eq!(
        update(json!({"a": "c", "kubernetes.io/hostname": "h", "node.kubernetes.io/x": "y"}), json!([])),
        Ok(())
    );
    assert_eq!(
        update(
            json!({"a": "b", "kubernetes.io/x": "y", "z.node-restriction.kubernetes.io/x": "y", "k8s.io/q": "1"}),
            json!([])
        ),
        refused(
            "is not allowed to modify labels: k8s.io/q, kubernetes.io/x, z.node-restriction.kubernetes.io/x"
        )
    );
    assert!(update(json!({"a": "b"}), json!([{"key": "x"}])).is_err());
    assert_eq!(
        run("update nodes", "n2", json!({}), Some(json!({}))),
        refused("node \"n1\" is not allowed to modify node \"n2\"")
    );
    assert!(run("create nodes", "n1", node(json!({"k8s.io/x": "y"}), json!([])), None).is_err());
}

#[test]
fn objects_of_its_own() {
    let lease = |ns: &str, name: &str| {
        Ask::new("create coordination.k8s.io/leases")
            .in_namespace(ns)
            .user("system:node:n1", &["system:nodes"])
            .run(&NodeRestriction, &store(), &mut json!({"metadata": {"name": name}}), None)
    };
    assert_eq!(lease("kube-node-lease", "n1"), Ok(()));
    assert!(lease("kube-node-lease", "n2").is_err() && lease("ns", "n1").is_err());
    assert_eq!(run("create storage.k8s.io/csinodes", "", json!({"metadata": {"name": "n1"}}), None), Ok(()));
    assert!(run("create storage.k8s.io/csinodes", "", json!({"metadata": {"name": "n2"}}), None).is_err());
    assert!(
        run("create resource.k8s.io/resourceslices", "", json!({"spec": {"nodeName": "n2"}}), None).is_err()
    );
    let claim = |phase: &str, size: &str| json!({"spec": {"a": 1}, "status": {"phase": phase, "capacity": {"storage": size}}});
    assert_eq!(
        run("update persistentvolumeclaims/status", "c", claim("Bound", "1"), Some(claim("Bound", "2"))),
        Ok(())
    );
    assert!(
        run("update persistentvolumeclaims/status", "c", claim("Lost", "1"), Some(claim("Bound", "1")))
            .is_err()
    );
    assert!(run("update persistentvolumeclaims", "c", json!({}), Some(json!({}))).is_err());
}

#[test]
fn tokens() {
    let token = |pod: &str, uid: &str, audiences: Value| {
        run(
            "create serviceaccounts/token",
            "sa",
            json!({"spec": {"audiences": audiences, "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}}}),
            None,
        )
    };
    assert_eq!(token("mine", "u-mine", json!(["vault"])), Ok(()));
    assert_eq!(token("mine", "u-mine", json!(["csi"])), Ok(()));
    assert_eq!(
        token("mine", "u-mine", json!(["elsewhere"])),
        refused("system:node:n1 is not authorized to request tokens for audience \"elsewhere\"")
    );
    assert!(token("mine", "u-mine", json!(["vault", "csi"])).is_err());
    assert!(token("mine", "x", json!(["vault"])).is_err());
    assert!(token("other", "u-other", json!(["vault"])).is_err());
    assert_eq!(
        run("create serviceaccounts/token", "sa", json!({"spec": {}}), None),
        refused("node requested token not bound to a pod")
    );
}

#[test]
fn pod_certificates() {
    let ask = |f: &dyn Fn(&mut Value)| {
        let mut r = json!({"spec": {"nodeName": "n1", "nodeUID": "u-n1", "podName": "mine", "podUID": "u-mine",
            "serviceAccountName": "sa", "serviceAccountUID": "u-sa", "signerName": "x.io/y"}});
        f(&mut r);
        run("create certificates.k8s.io/podcertificaterequests", "", r, None)
    };
    assert_eq!(ask(&|_| {}), Ok(()));
    assert_eq!(
        ask(&|r| r.set_at("spec.signerName", "x.io/z")),
        refused("pod \"ns/mine\" does not mount a podCertificate projected volume for signer \"x.io/z\"")
    );
    for (field, bad) in [
        ("nodeName", "n2"),
        ("nodeUID", "x"),
        ("podUID", "x"),
        ("serviceAccountName", "x"),
        ("serviceAccountUID", "x"),
        ("podName", "other"),
    ] {
        assert!(ask(&|r| r.set_at(&format!("spec.{field}"), bad)).is_err(), "{field}");
    }
}
