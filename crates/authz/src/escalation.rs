//! Nobody may grant what they do not hold: the checks before RBAC objects are stored
//! (pkg/registry/rbac/*/policybased, pkg/registry/rbac/escalation_check.go).

use crate::rbac::{GROUP, Rbac};
use crate::rule::{compact_texts, missing, quoted};
use crate::{Attributes, Authorizer, PolicyRule};
use meta::field::{aggregate, quote};
use meta::object::ObjectExt;
use meta::user::SYSTEM_MASTERS;
use meta::{GroupResource, Status, UserInfo, Value};

/// One write of an RBAC object.
pub struct Write<'a> {
    pub user: &'a UserInfo,
    /// `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub resource: &'a str,
    /// The request's namespace; empty for cluster-wide objects.
    pub namespace: &'a str,
    /// The name in the request's path; empty for a create.
    pub name: &'a str,
    pub object: &'a Value,
    pub old: Option<&'a Value>,
}

/// Refuses a write that would grant more than its user holds. `authorizer` is the whole chain (for the verbs `escalate`
/// and `bind`), `rbac` resolves rules.
pub fn check(w: &Write<'_>, authorizer: &dyn Authorizer, rbac: &Rbac) -> Result<(), Status> {
    if !Rbac::wants(w.resource) || w.user.in_group(SYSTEM_MASTERS) {
        return Ok(());
    }
    if w.old.is_some_and(|old| only_gc_fields(w.object, old)) {
        return Ok(());
    }
    let may = |verb: &str, resource: &str, name: &str| {
        let a = Attributes {
            user: w.user.clone(),
            verb: verb.into(),
            namespace: w.namespace.into(),
            group: GROUP.into(),
            version: "*".into(),
            resource: resource.into(),
            name: name.into(),
            is_resource: true,
            ..Attributes::default()
        };
        authorizer.authorize(&a).allowed()
    };
    let refuse =
        |why: String| Err(Status::forbidden(&GroupResource::new(GROUP, w.resource), w.object.name(), why));
    if w.resource.ends_with("roles") {
        if may("escalate", w.resource, w.name) {
            return Ok(());
        }
        if let Err(why) = confirm(w, rbac, &PolicyRule::of_role(w.object)) {
            return refuse(why);
        }
        let aggregates = |o: &Value| !o.array_at("aggregationRule.clusterRoleSelectors").is_empty();
        if (aggregates(w.object) || w.old.is_some_and(aggregates))
            && confirm(w, rbac, &full_authority()).is_err()
        {
            return refuse("must have cluster-admin privileges to use the aggregationRule".into());
        }
        return Ok(());
    }
    let (kind, role) = (w.object.str_at("roleRef.kind"), w.object.str_at("roleRef.name"));
    let resource = match kind {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        _ => "",
    };
    if !resource.is_empty() && may("bind", resource, role) {
        return Ok(());
    }
    let rules = match rbac.role_ref_rules(kind, role, w.namespace) {
        Ok(r) => r,
        // Upstream's registry answers with the plural name here.
        Err(_) if !resource.is_empty() => {
            return Err(Status::not_found(&GroupResource::new(GROUP, resource), role));
        }
        Err(e) => return Err(Status::internal(e)),
    };
    confirm(w, rbac, &rules).or_else(refuse)
}

fn full_authority() -> [PolicyRule; 2] {
    let urls =
        PolicyRule { verbs: vec!["*".into()], non_resource_urls: vec!["*".into()], ..PolicyRule::default() };
    [PolicyRule::resource(&["*"], &["*"], &["*"]), urls]
}

fn confirm(w: &Write<'_>, rbac: &Rbac, wanted: &[PolicyRule]) -> Result<(), String> {
    let held = rbac.rules_for(w.user, w.namespace);
    let lacking = missing(&held.rules, wanted);
    if lacking.is_empty() {
        return Ok(());
    }
    let mut text = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&w.user.name),
        quoted(&w.user.groups),
        compact_texts(&lacking).join("\n")
    );
    if !held.errors.is_empty() {
        text.push_str(&format!("; resolution errors: [{}]", aggregate(&held.errors)));
    }
    Err(text)
}

/// The garbage collector and finalizers may touch any object: such writes grant nothing.
fn only_gc_fields(new: &Value, old: &Value) -> bool {
    let strip = |v: &Value| {
        let mut v = v.clone();
        for f in ["ownerReferences", "finalizers", "selfLink", "managedFields"] {
            v.metadata_mut().remove(f);
        }
        v
    };
    strip(new) == strip(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn world() -> Rbac {
        let r = Rbac::new();
        let rule = |v: &str, res: &str| PolicyRule::resource(&[v], &[""], &[res]).to_value();
        r.upsert("clusterroles", &json!({"metadata": {"name": "pods"}, "rules": [rule("get", "pods")]}));
        r.upsert(
            "clusterroles",
            &json!({"metadata": {"name": "secrets"}, "rules": [rule("get", "secrets")]}),
        );
        r.upsert("clusterroles", &json!({"metadata": {"name": "binder"}, "rules": [
            {"verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["secrets"]},
            {"verbs": ["escalate"], "apiGroups": [GROUP], "resources": ["roles"]}]}));
        let bind = |n: &str, role: &str, u: &str| {
            json!({"metadata": {"name": n}, "roleRef": {"kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "User", "name": u}]})
        };
        r.upsert("clusterrolebindings", &bind("a", "pods", "u"));
        r.upsert("clusterrolebindings", &bind("b", "binder", "b"));
        r
    }

    #[test]
    fn holds_the_line() {
        let r = world();
        let u = UserInfo::new("u", &["system:authenticated"]);
        let try_it = |user: &UserInfo, resource: &str, o: &Value, old: Option<&Value>| {
            let w = Write { user, resource, namespace: "", name: o.name(), object: o, old };
            check(&w, &r, &r).map_err(|s| s.message)
        };
        let role = |v: &[&str]| json!({"metadata": {"name": "x"}, "rules": [PolicyRule::resource(v, &[""], &["pods"]).to_value()]});
        assert_eq!(try_it(&u, "clusterroles", &role(&["get"]), None), Ok(()));
        assert_eq!(
            try_it(&u, "clusterroles", &role(&["get", "list", "watch"]), None),
            Err("clusterroles.rbac.authorization.k8s.io \"x\" is forbidden: user \"u\" \
                (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
                {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}".into())
        );
        assert_eq!(
            try_it(&UserInfo::new("m", &[SYSTEM_MASTERS]), "clusterroles", &role(&["*"]), None),
            Ok(())
        );
        // Only the metadata that garbage collection writes has changed.
        let old = role(&["*"]);
        let mut new = old.clone();
        new["metadata"]["finalizers"] = json!([]);
        assert_eq!(try_it(&u, "clusterroles", &new, Some(&old)), Ok(()));

        let b =
            |role: &str| json!({"metadata": {"name": "x"}, "roleRef": {"kind": "ClusterRole", "name": role}});
        assert_eq!(try_it(&u, "clusterrolebindings", &b("pods"), None), Ok(()));
        assert!(try_it(&u, "clusterrolebindings", &b("secrets"), None).is_err());
        assert_eq!(try_it(&UserInfo::new("b", &[]), "clusterrolebindings", &b("secrets"), None), Ok(()));
        assert_eq!(try_it(&UserInfo::new("b", &[]), "roles", &role(&["*"]), None), Ok(()));
        assert_eq!(
            try_it(&u, "clusterrolebindings", &b("gone"), None),
            Err(r#"clusterroles.rbac.authorization.k8s.io "gone" not found"#.into())
        );
        let agg = json!({"metadata": {"name": "x"}, "aggregationRule": {"clusterRoleSelectors": [{}]}});
        assert!(try_it(&u, "clusterroles", &agg, None).unwrap_err().ends_with("to use the aggregationRule"));
    }
}
