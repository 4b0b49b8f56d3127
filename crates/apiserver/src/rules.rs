//! Rules of webhooks and policies: operations, groups, versions, resources, scope (apiserver
//! `pkg/admission/plugin/webhook/predicates/rules`).

use crate::admit::Admission;
use meta::object::ObjectExt;
use meta::{GroupVersionResource, Value};

/// Whether a rule speaks of the request's operation on that resource.
pub fn matches(rule: &Value, a: &Admission<'_>, gvr: &GroupVersionResource) -> bool {
    let one_of = |field: &str, x: &str| rule.array_at(field).iter().any(|v| v == "*" || v == x);
    let is_namespace = gvr.group.is_empty() && gvr.version == "v1" && gvr.resource == "namespaces";
    let namespaced = !is_namespace && !a.namespace.is_empty();
    let scope = match rule.str_at("scope") {
        "" | "*" => true,
        "Namespaced" => namespaced,
        "Cluster" => !namespaced,
        _ => false,
    };
    scope
        && one_of("operations", a.operation.as_str())
        && one_of("apiGroups", &gvr.group)
        && one_of("apiVersions", &gvr.version)
        && rule.array_at("resources").iter().filter_map(Value::as_str).any(|x| {
            let (res, sub) = x.split_once('/').unwrap_or((x, ""));
            (res == "*" || res == gvr.resource) && (sub == "*" || sub == a.subresource)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::Operation;
    use serde_json::json;

    fn rule(ops: &str, groups: &str, versions: &str, resources: &str, scope: &str) -> Value {
        json!({"operations": [ops], "apiGroups": [groups], "apiVersions": [versions], "resources": [resources],
            "scope": scope})
    }

    #[test]
    fn rules() {
        use Operation::{Connect, Create, Delete};
        let pods = GroupVersionResource::new("", "v1", "pods");
        let deployments = GroupVersionResource::new("apps", "v1", "deployments");
        let namespaces = GroupVersionResource::new("", "v1", "namespaces");
        let cases = [
            (rule("CREATE", "", "v1", "pods", "*"), Create, &pods, "", "a", true),
            (rule("CREATE", "", "v1", "pods", "*"), Delete, &pods, "", "a", false),
            (rule("CREATE", "", "v1", "pods", "*"), Create, &pods, "status", "a", false),
            (rule("*", "", "v1", "pods/*", "*"), Create, &pods, "status", "a", true),
            // `pods/*` has the pods themselves in it, as upstream's matcher has it.
            (rule("*", "", "v1", "pods/*", "*"), Create, &pods, "", "a", true),
            (rule("*", "*", "*", "*", "*"), Create, &pods, "status", "a", false),
            (rule("*", "*", "*", "*/*", "*"), Connect, &pods, "exec", "a", true),
            (rule("CONNECT", "", "v1", "pods/exec", "*"), Connect, &pods, "exec", "a", true),
            (rule("*", "apps", "v1beta1", "deployments", "*"), Create, &deployments, "", "a", false),
            (rule("*", "", "v1", "*", "Namespaced"), Create, &pods, "", "a", true),
            (rule("*", "", "v1", "*", "Cluster"), Create, &pods, "", "a", false),
            (rule("*", "", "v1", "*", "Namespaced"), Create, &namespaces, "", "a", false),
            (rule("*", "", "v1", "*", "Cluster"), Create, &namespaces, "", "a", true),
        ];
        for (i, (r, op, gvr, sub, ns, want)) in cases.into_iter().enumerate() {
            let a = Admission {
                operation: op,
                subresource: sub,
                namespace: ns,
                name: "",
                dry_run: false,
                kind: None,
                options: &|| Value::Null,
            };
            assert_eq!(matches(&r, &a, gvr), want, "case {i}");
        }
    }
}
