//! Upstream's default roles and bindings (plugin/pkg/auth/authorizer/rbac/bootstrappolicy), as objects.
//!
//! They are written down in `bootstrap/policy.txt`. A line at the margin starts an object: kind, name (`namespace/name`
//! where it has one), then options: `from=x` aggregates the roles labelled for x, `to=x` labels this role for it;
//! `role=` is a binding's role where its name differs, `user=`, `group=`, `sa=` its subjects. Indented lines are rules:
//! verbs (R, W, RU, RW stand for the usual sets), API groups (`core` for the empty one) or `url`, then resources or
//! paths, and after `named` resource names. One binding is not upstream's, and says so.

use crate::PolicyRule;
use crate::rbac::GROUP;
use meta::Value;
use meta::object::ObjectExt;
use serde_json::json;

const POLICY: &str = include_str!("bootstrap/policy.txt");
const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// All default roles and bindings, roles before bindings: 73 ClusterRoles, 7 Roles, 55 ClusterRoleBindings,
/// 7 RoleBindings. Aggregated roles come without rules: the controller fills them in.
pub fn objects() -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for line in POLICY.lines().filter(|l| !l.starts_with('#')) {
        if let Some(text) = line.strip_prefix("  ") {
            let rule = parse_rule(text).to_value();
            if let Some(Value::Array(rules)) = out.last_mut().and_then(|o| o.get_mut("rules")) {
                rules.push(rule);
            }
        } else {
            out.push(parse_object(line));
        }
    }
    out
}

/// The rules of the ClusterRole `system:node`, which the node authorizer applies to every node.
pub fn node_rules() -> Vec<PolicyRule> {
    let role = objects().into_iter().find(|o| o.str_at("kind") == "ClusterRole" && o.name() == "system:node");
    role.map_or_else(Vec::new, |r| PolicyRule::of_role(&r))
}

/// The plural resource name of one of [`objects`].
pub fn resource_of(obj: &Value) -> &'static str {
    match obj.str_at("kind") {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        "ClusterRoleBinding" => "clusterrolebindings",
        _ => "rolebindings",
    }
}

fn parse_object(line: &str) -> Value {
    let mut words = line.split(' ');
    let (kind, full) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (namespace, name) = match full.split_once('/') {
        Some((ns, n)) => (Some(ns), n),
        None => (None, full),
    };
    let mut obj = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
    });
    if let Some(ns) = namespace {
        obj.set_at("metadata.namespace", ns);
    }
    let mut role = name;
    let mut subjects: Vec<Value> = Vec::new();
    for word in words {
        let (key, v) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "to" => obj["metadata"]["labels"][format!("{AGGREGATE}{v}")] = "true".into(),
            "from" => {
                let label = format!("{AGGREGATE}{v}");
                obj["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
            }
            "role" => role = v,
            "user" => subjects.push(json!({"apiGroup": GROUP, "kind": "User", "name": v})),
            "group" => subjects.push(json!({"apiGroup": GROUP, "kind": "Group", "name": v})),
            "sa" => {
                let (ns, n) = v.split_once('/').unwrap_or(("", v));
                subjects.push(json!({"kind": "ServiceAccount", "name": n, "namespace": ns}));
            }
            _ => {}
        }
    }
    if let Some(role_kind) = kind.strip_suffix("Binding") {
        obj["roleRef"] = json!({"apiGroup": GROUP, "kind": role_kind, "name": role});
        if !subjects.is_empty() {
            obj["subjects"] = subjects.into();
        }
    } else if obj.get("aggregationRule").is_none() {
        obj["rules"] = json!([]);
    }
    obj
}

fn parse_rule(text: &str) -> PolicyRule {
    let mut words = text.split(' ');
    let verbs = match words.next().unwrap_or("") {
        "R" => "get,list,watch",
        "W" => "create,delete,deletecollection,patch,update",
        "RU" => "get,list,patch,update,watch",
        "RW" => "create,delete,deletecollection,get,list,patch,update,watch",
        v => v,
    };
    let mut rule = PolicyRule { verbs: verbs.split(',').map(str::to_owned).collect(), ..Default::default() };
    let groups = words.next().unwrap_or("");
    let words: Vec<String> = words.map(str::to_owned).collect();
    if groups == "url" {
        rule.non_resource_urls = words;
        return rule;
    }
    rule.api_groups =
        groups.split(',').map(|g| if g == "core" { String::new() } else { g.to_owned() }).collect();
    let mut parts = words.split(|w| w == "named");
    rule.resources = parts.next().unwrap_or(&[]).to_vec();
    rule.resource_names = parts.next().unwrap_or(&[]).to_vec();
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_every_object() {
        let all = objects();
        let count = |k: &str| all.iter().filter(|o| o["kind"] == k).count();
        assert_eq!(["ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"].map(count), [73, 7, 55, 7]);
        // Every binding finds its role, every role but the aggregated has rules of some use.
        for o in &all {
            if let Some(r) = o.get("roleRef") {
                let ns = if r["kind"] == "Role" { o.namespace() } else { "" };
                assert!(
                    all.iter().any(|x| x["kind"] == r["kind"]
                        && x["metadata"]["name"] == r["name"]
                        && x.namespace() == ns),
                    "{o}"
                );
            } else if o.get("aggregationRule").is_none() {
                assert!(!o.array_at("rules").is_empty(), "{o}");
            }
            for r in PolicyRule::of_role(o) {
                assert!(
                    !r.verbs.is_empty() && r.resources.is_empty() != r.non_resource_urls.is_empty(),
                    "{o}"
                );
            }
        }
        assert_eq!(node_rules().len(), 27);
    }

    #[test]
    fn objects_look_as_upstream_makes_them() {
        let all = objects();
        let find = |n: &str| all.iter().find(|o| o.name() == n).cloned().unwrap();
        assert_eq!(
            find("edit"),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {"name": "edit",
                    "labels": {"kubernetes.io/bootstrapping": "rbac-defaults",
                        "rbac.authorization.k8s.io/aggregate-to-admin": "true"},
                    "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}},
                "aggregationRule": {"clusterRoleSelectors": [
                    {"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}]}})
        );
        assert_eq!(
            find("system::leader-locking-kube-scheduler")["rules"][0],
            json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                "verbs": ["create", "get", "list", "update", "watch"]})
        );
        let b = all.iter().find(|o| o["kind"] == "RoleBinding" && o.name().contains("authentication-reader"));
        assert_eq!(b.unwrap()["roleRef"]["name"], "extension-apiserver-authentication-reader");
    }
}
