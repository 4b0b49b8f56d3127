//! Decisions against a few bindings, and against the bootstrap policy.

use super::*;
use crate::bootstrap;
use serde_json::json;

fn role(ns: &str, name: &str, rules: &[PolicyRule]) -> Value {
    let rules: Vec<Value> = rules.iter().map(PolicyRule::to_value).collect();
    json!({"metadata": {"name": name, "namespace": ns}, "rules": rules})
}
fn binding(ns: &str, name: &str, kind: &str, role: &str, subjects: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": ns},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role}, "subjects": subjects})
}
fn ask(r: &Rbac, user: &UserInfo, verb: &str, group: &str, resource: &str, ns: &str) -> Decision {
    r.authorize(&Attributes {
        user: user.clone(),
        verb: verb.into(),
        group: group.into(),
        resource: resource.into(),
        namespace: ns.into(),
        is_resource: true,
        ..Attributes::default()
    })
}

#[test]
fn follows_bindings() {
    let r = Rbac::new();
    r.upsert("clusterroles", &role("", "pods", &[PolicyRule::resource(&["get"], &[""], &["pods"])]));
    r.upsert("roles", &role("a", "cm", &[PolicyRule::resource(&["*"], &[""], &["configmaps"])]));
    r.upsert(
        "clusterrolebindings",
        &binding(
            "",
            "crb",
            "ClusterRole",
            "pods",
            json!([{"kind": "User", "name": "x"}, {"kind": "Group", "name": "g"}]),
        ),
    );
    r.upsert(
        "rolebindings",
        &binding("a", "rb", "Role", "cm", json!([{"kind": "ServiceAccount", "name": "sa"}])),
    );
    r.upsert("rolebindings", &binding("a", "lost", "Role", "gone", json!([{"kind": "User", "name": "x"}])));

    let g = UserInfo::new("y", &["other", "g"]);
    assert_eq!(
        ask(&r, &g, "get", "", "pods", "b"),
        Decision::Allow(
            r#"RBAC: allowed by ClusterRoleBinding "crb" of ClusterRole "pods" to Group "g""#.into()
        )
    );
    assert_eq!(ask(&r, &g, "list", "", "pods", "b"), Decision::NoOpinion(String::new()));
    let sa = UserInfo::service_account("a", "sa");
    assert_eq!(
        ask(&r, &sa, "update", "", "configmaps", "a"),
        Decision::Allow(
            r#"RBAC: allowed by RoleBinding "rb/a" of Role "cm" to ServiceAccount "sa/a""#.into()
        )
    );
    assert!(!ask(&r, &sa, "update", "", "configmaps", "b").allowed());
    assert!(!ask(&r, &sa, "update", "", "configmaps", "").allowed());
    let x = UserInfo::new("x", &[]);
    assert_eq!(
        ask(&r, &x, "delete", "", "pods", "a"),
        Decision::NoOpinion(r#"RBAC: role.rbac.authorization.k8s.io "gone" not found"#.into())
    );
    assert_eq!(r.rules_for(&x, "a").rules.len(), 1);
    assert_eq!(r.rules_for(&x, "a").errors.len(), 1);

    // A changed binding loses its old subjects, a removed one all.
    r.upsert(
        "clusterrolebindings",
        &binding("", "crb", "ClusterRole", "pods", json!([{"kind": "User", "name": "z"}])),
    );
    assert!(!ask(&r, &g, "get", "", "pods", "b").allowed());
    assert!(ask(&r, &UserInfo::new("z", &[]), "get", "", "pods", "b").allowed());
    r.remove("clusterrolebindings", "", "crb");
    assert!(!ask(&r, &UserInfo::new("z", &[]), "get", "", "pods", "b").allowed());
    r.remove("rolebindings", "a", "rb");
    assert!(!ask(&r, &sa, "update", "", "configmaps", "a").allowed());
}

#[test]
fn bootstrap_policy_lets_components_work() {
    let r = Rbac::new();
    for o in bootstrap::objects() {
        r.upsert(bootstrap::resource_of(&o), &o);
    }
    let sched = UserInfo::new("system:kube-scheduler", &["system:authenticated"]);
    assert!(ask(&r, &sched, "create", "", "bindings", "default").allowed());
    assert!(!ask(&r, &sched, "create", "", "secrets", "default").allowed());
    let anyone = UserInfo::new("u", &["system:authenticated"]);
    assert!(ask(&r, &anyone, "create", "authorization.k8s.io", "selfsubjectaccessreviews", "").allowed());
    let get = |u: &UserInfo, path: &str| {
        r.authorize(&Attributes {
            user: u.clone(),
            verb: "get".into(),
            path: path.into(),
            ..Default::default()
        })
        .allowed()
    };
    assert!(get(&anyone, "/api/v1"));
    assert!(get(&UserInfo::anonymous(), "/healthz"));
    assert!(!get(&UserInfo::anonymous(), "/api"));
    let ctl = UserInfo::service_account("kube-system", "deployment-controller");
    assert!(ask(&r, &ctl, "create", "apps", "replicasets", "x").allowed());
    // Nodes get nothing from RBAC: the node authorizer answers for them.
    let node = UserInfo::new("system:node:n", &["system:nodes", "system:authenticated"]);
    assert!(!ask(&r, &node, "get", "", "pods", "x").allowed());
}
