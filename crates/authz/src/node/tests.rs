//! Requests of one kubelet against a small cluster.

use super::*;
use meta::selector::{FieldSelector, FieldTerm};
use serde_json::json;

fn world() -> NodeAuthorizer {
    let n = NodeAuthorizer::new();
    n.upsert(
        "pods",
        &json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": {
            "nodeName": "n1", "serviceAccountName": "sa",
            "imagePullSecrets": [{"name": "pull"}],
            "resourceClaims": [{"name": "a", "resourceClaimName": "direct"}, {"name": "b", "resourceClaimTemplateName": "t"}],
            "containers": [{"envFrom": [{"secretRef": {"name": "from"}}],
                "env": [{"valueFrom": {"configMapKeyRef": {"name": "key"}}}]}],
            "volumes": [{"name": "a", "secret": {"secretName": "vol"}},
                {"name": "b", "projected": {"sources": [{"configMap": {"name": "proj"}}]}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "d", "ephemeral": {}}]},
            "status": {"resourceClaimStatuses": [{"name": "b", "resourceClaimName": "made"}, {"name": "x", "resourceClaimName": "forged"}]}}),
    );
    n.upsert(
        "pods",
        &json!({"metadata": {"namespace": "ns", "name": "mirror", "annotations": {"kubernetes.io/config.mirror": "x"}},
            "spec": {"nodeName": "n1", "volumes": [{"secret": {"secretName": "stolen"}}]}}),
    );
    n.upsert(
        "pods",
        &json!({"metadata": {"namespace": "ns", "name": "other"}, "spec": {"nodeName": "n2", "imagePullSecrets": [{"name": "pull2"}]}}),
    );
    n.upsert(
        "persistentvolumes",
        &json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "ns", "name": "claim"},
            "csi": {"nodeStageSecretRef": {"namespace": "csi", "name": "stage"},
                "controllerPublishSecretRef": {"namespace": "csi", "name": "controller"}}}}),
    );
    n.upsert("volumeattachments", &json!({"metadata": {"name": "va"}, "spec": {"nodeName": "n1"}}));
    n
}

/// `verb group resource[/sub] namespace name [nodeName selector]`, `-` for empty.
fn ask(n: &NodeAuthorizer, q: &str) -> Decision {
    let f: Vec<String> = q.split(' ').map(|x| if x == "-" { String::new() } else { x.into() }).collect();
    let (r, sub) = f[2].split_once('/').unwrap_or((&f[2], ""));
    n.authorize(&Attributes {
        user: UserInfo::new("system:node:n1", &["system:nodes"]),
        verb: f[0].clone(),
        group: f[1].clone(),
        resource: r.into(),
        subresource: sub.into(),
        namespace: f[3].clone(),
        name: f[4].clone(),
        is_resource: true,
        field_selector: f.get(5).map(|v| {
            FieldSelector(vec![FieldTerm { field: "spec.nodeName".into(), value: v.clone(), negate: false }])
        }),
        ..Attributes::default()
    })
}

#[test]
fn answers() {
    let n = world();
    let unrelated = "no relationship found between node 'n1' and this object";
    for (q, want) in [
        ("get - secrets ns pull", ""),
        ("get - secrets ns from", ""),
        ("list - secrets ns vol", ""),
        ("list - secrets ns -", "No Object name found"),
        ("update - secrets ns vol", "can only read resources of this type"),
        ("get - secrets ns stolen", unrelated),
        ("get - secrets ns pull2", unrelated),
        ("get - secrets other pull", unrelated),
        ("get - secrets csi stage", ""),
        ("get - secrets csi controller", unrelated),
        ("watch - configmaps ns key", ""),
        ("get - configmaps ns proj", ""),
        ("get - persistentvolumeclaims ns claim", ""),
        ("get - persistentvolumeclaims ns p-d", ""),
        ("list - persistentvolumeclaims ns claim", "can only get individual resources of this type"),
        ("patch - persistentvolumeclaims/status ns claim", ""),
        ("get - persistentvolumes - pv", ""),
        ("get storage.k8s.io volumeattachments - va", ""),
        ("get resource.k8s.io resourceclaims ns direct", ""),
        ("get resource.k8s.io resourceclaims ns made", ""),
        ("get resource.k8s.io resourceclaims ns forged", unrelated),
        ("create - serviceaccounts/token ns sa", ""),
        ("create - serviceaccounts/token ns other", unrelated),
        ("get - serviceaccounts ns sa", ""),
        ("get - pods ns p", ""),
        ("get - pods ns mirror", ""),
        ("get - pods ns other", unrelated),
        ("list - pods - - n1", ""),
        ("list - pods - - n2", "can only list/watch pods with spec.nodeName field selector"),
        ("list - pods - -", "can only list/watch pods with spec.nodeName field selector"),
        ("update coordination.k8s.io leases kube-node-lease n1", ""),
        (
            "update coordination.k8s.io leases kube-node-lease n2",
            "can only access node lease with the same name as the requesting node",
        ),
        (
            "update coordination.k8s.io leases ns n1",
            "can only access leases in the \"kube-node-lease\" system namespace",
        ),
        ("create storage.k8s.io csinodes - -", ""),
        ("get - nodes - n1", ""),
        ("get - nodes - n2", "node 'n1' cannot read 'n2', only its own Node object"),
        ("list - nodes - -", "node 'n1' cannot read all nodes, only its own Node object"),
        ("list - services - -", ""),
        ("watch storage.k8s.io csidrivers - -", ""),
        ("watch node.k8s.io runtimeclasses - -", ""),
    ] {
        let want =
            if want.is_empty() { Decision::Allow(String::new()) } else { Decision::NoOpinion(want.into()) };
        assert_eq!(ask(&n, q), want, "{q}");
    }
    assert!(!ask(&n, "delete - services ns x").allowed());
}

#[test]
fn forgets() {
    let n = world();
    n.remove("pods", "ns", "p");
    for q in [
        "get - secrets ns pull",
        "get - persistentvolumes - pv",
        "get - secrets csi stage",
        "get - pods ns p",
    ] {
        assert!(!ask(&n, q).allowed(), "{q}");
    }
    assert!(n.graph.read().unwrap().has_path(Type::Secret, "ns", "pull2", "n2"));
    n.remove("volumeattachments", "", "va");
    assert!(!ask(&n, "get storage.k8s.io volumeattachments - va").allowed());
    n.remove("pods", "ns", "other");
    n.remove("pods", "ns", "mirror");
    n.remove("persistentvolumes", "", "pv");
    let g = n.graph.read().unwrap();
    assert_eq!(format!("{:?}", *g), format!("{:?}", Graph::default()));
}

#[test]
fn only_nodes() {
    let n = world();
    let ask = |name: &str, groups: &[&str]| {
        n.authorize(&Attributes {
            user: UserInfo::new(name, groups),
            verb: "list".into(),
            resource: "services".into(),
            is_resource: true,
            ..Attributes::default()
        })
    };
    assert!(ask("system:node:n1", &["system:nodes"]).allowed());
    assert!(!ask("system:node:n1", &[]).allowed());
    assert!(!ask("n1", &["system:nodes"]).allowed());
    assert_eq!(ask("system:node:", &["system:nodes"]).reason(), "unknown node for user \"system:node:\"");
}
