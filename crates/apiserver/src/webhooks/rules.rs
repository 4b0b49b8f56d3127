//! Which requests a webhook's rules are about (apiserver `pkg/admission/plugin/webhook/predicates`).

use meta::object::ObjectExt;
use meta::{GroupVersionResource, Value};

/// A `RuleWithOperations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// `pods`, `pods/status`, `*/scale`, `*/*`
    resources: Vec<(String, String)>,
    scope: String,
}

/// What is matched.
pub struct Subject<'a> {
    pub operation: &'a str,
    pub resource: &'a GroupVersionResource,
    pub subresource: &'a str,
    /// Of a namespace object: itself.
    pub namespace: &'a str,
}

fn strings(v: &Value, f: &str) -> Vec<String> {
    v.array_at(f).iter().filter_map(|x| x.as_str().map(str::to_owned)).collect()
}

fn among(items: &[String], x: &str) -> bool {
    items.iter().any(|i| i == "*" || i == x)
}

impl Rule {
    pub fn parse(v: &Value) -> Self {
        Self {
            operations: strings(v, "operations"),
            groups: strings(v, "apiGroups"),
            versions: strings(v, "apiVersions"),
            resources: strings(v, "resources")
                .iter()
                .map(|r| r.split_once('/').unwrap_or((r, "")))
                .map(|(r, s)| (r.to_owned(), s.to_owned()))
                .collect(),
            scope: v.str_at("scope").to_owned(),
        }
    }

    pub fn matches(&self, s: &Subject<'_>) -> bool {
        let cluster = s.namespace.is_empty()
            || (s.resource.group.is_empty()
                && s.resource.version == "v1"
                && s.resource.resource == "namespaces");
        let scope = match self.scope.as_str() {
            "Namespaced" => !cluster,
            "Cluster" => cluster,
            _ => true,
        };
        scope
            && among(&self.operations, s.operation)
            && among(&self.groups, &s.resource.group)
            && among(&self.versions, &s.resource.version)
            && self.resources.iter().any(|(r, sub)| {
                (r == "*" || *r == s.resource.resource) && (sub == "*" || *sub == *s.subresource)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_match_as_upstream_has_it() {
        let pods = GroupVersionResource::new("", "v1", "pods");
        let namespaces = GroupVersionResource::new("", "v1", "namespaces");
        let rule = |resources: &[&str], scope: &str| {
            Rule::parse(&json!({"operations": ["CREATE"], "apiGroups": ["", "apps"], "apiVersions": ["*"],
                "resources": resources, "scope": scope}))
        };
        for (resources, scope, op, resource, sub, namespace, want) in [
            (&["pods"][..], "*", "CREATE", &pods, "", "a", true),
            (&["pods"], "", "CREATE", &pods, "", "a", true),
            (&["pods"], "*", "UPDATE", &pods, "", "a", false),
            (&["pods"], "*", "CREATE", &pods, "status", "a", false),
            (&["pods/*"], "*", "CREATE", &pods, "status", "a", true),
            (&["pods/*"], "*", "CREATE", &pods, "", "a", true),
            (&["*"], "*", "CREATE", &pods, "status", "a", false),
            (&["*/status"], "*", "CREATE", &pods, "status", "a", true),
            (&["*/*"], "*", "CREATE", &pods, "exec", "a", true),
            (&["services"], "*", "CREATE", &pods, "", "a", false),
            (&["pods"], "Cluster", "CREATE", &pods, "", "a", false),
            (&["pods"], "Namespaced", "CREATE", &pods, "", "a", true),
            (&["namespaces"], "Namespaced", "CREATE", &namespaces, "", "a", false),
            (&["namespaces"], "Cluster", "CREATE", &namespaces, "", "a", true),
        ] {
            let s = Subject { operation: op, resource, subresource: sub, namespace };
            assert_eq!(rule(resources, scope).matches(&s), want, "{resources:?} {scope} {op} {sub}");
        }
    }
}
