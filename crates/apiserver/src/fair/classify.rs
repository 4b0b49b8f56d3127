//! Which flow a request belongs to: FlowSchemas by precedence (apiserver `pkg/util/flowcontrol/rule.go`).

use crate::request::RequestInfo;
use meta::object::ObjectExt;
use meta::{UserInfo, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A FlowSchema, ready to be asked.
#[derive(Debug)]
pub struct Schema {
    pub name: String,
    pub uid: String,
    pub level: Arc<str>,
    precedence: i64,
    by: By,
    rules: Vec<Rule>,
}

/// What tells the flows of a schema apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    User,
    Namespace,
    Nothing,
}

#[derive(Debug)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

#[derive(Debug)]
enum Subject {
    User(String),
    Group(String),
    /// Namespace and name.
    Account(String, String),
}

#[derive(Debug)]
struct ResourceRule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    cluster: bool,
    namespaces: Vec<String>,
}

#[derive(Debug)]
struct PathRule {
    verbs: Vec<String>,
    paths: Vec<String>,
}

fn strings(v: &Value, path: &str) -> Vec<String> {
    v.array_at(path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a list holds the string, or is the wildcard.
fn has(list: &[String], s: &str) -> bool {
    matches!(list, [one] if one == "*") || list.iter().any(|x| x == s)
}

impl Subject {
    fn new(v: &Value) -> Option<Self> {
        match v.str_at("kind") {
            "User" => Some(Self::User(v.at("user")?.str_at("name").to_owned())),
            "Group" => Some(Self::Group(v.at("group")?.str_at("name").to_owned())),
            "ServiceAccount" => {
                let a = v.at("serviceAccount")?;
                Some(Self::Account(a.str_at("namespace").to_owned(), a.str_at("name").to_owned()))
            }
            _ => None,
        }
    }
    fn matches(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(n) => n == "*" || *n == user.name,
            Self::Group(g) => g == "*" || user.in_group(g),
            Self::Account(ns, name) => {
                let account = user.name.strip_prefix("system:serviceaccount:");
                account
                    .and_then(|a| a.split_once(':'))
                    .is_some_and(|(n, a)| n == ns && (name == "*" || a == name))
            }
        }
    }
}

impl ResourceRule {
    fn matches(&self, i: &RequestInfo) -> bool {
        let resource = match i.subresource.as_str() {
            "" => has(&self.resources, &i.resource),
            sub => has(&self.resources, &format!("{}/{sub}", i.resource)),
        };
        resource
            && has(&self.verbs, &i.verb)
            && has(&self.groups, &i.group)
            && if i.namespace.is_empty() { self.cluster } else { has(&self.namespaces, &i.namespace) }
    }
}

impl PathRule {
    fn matches(&self, i: &RequestInfo) -> bool {
        has(&self.verbs, &i.verb)
            && self.paths.iter().any(|p| {
                let under = p.trim_end_matches('*').trim_end_matches('/');
                p == "*" || *p == i.path || i.path.strip_prefix(under).is_some_and(|r| r.starts_with('/'))
            })
    }
}

impl Rule {
    fn new(v: &Value) -> Self {
        let resources = v.array_at("resourceRules").iter().map(|r| ResourceRule {
            verbs: strings(r, "verbs"),
            groups: strings(r, "apiGroups"),
            resources: strings(r, "resources"),
            cluster: r.bool_at("clusterScope"),
            namespaces: strings(r, "namespaces"),
        });
        let paths = v
            .array_at("nonResourceRules")
            .iter()
            .map(|r| PathRule { verbs: strings(r, "verbs"), paths: strings(r, "nonResourceURLs") });
        Self {
            subjects: v.array_at("subjects").iter().filter_map(Subject::new).collect(),
            resources: resources.collect(),
            paths: paths.collect(),
        }
    }
    fn matches(&self, i: &RequestInfo, user: &UserInfo) -> bool {
        self.subjects.iter().any(|s| s.matches(user))
            && if i.is_resource {
                self.resources.iter().any(|r| r.matches(i))
            } else {
                self.paths.iter().any(|p| p.matches(i))
            }
    }
}

impl Schema {
    pub fn new(v: &Value) -> Self {
        Self {
            name: v.name().to_owned(),
            uid: v.uid().to_owned(),
            level: v.str_at("spec.priorityLevelConfiguration.name").into(),
            precedence: v.i64_at("spec.matchingPrecedence").unwrap_or(1000),
            by: match v.str_at("spec.distinguisherMethod.type") {
                "ByUser" => By::User,
                "ByNamespace" => By::Namespace,
                _ => By::Nothing,
            },
            rules: v.array_at("spec.rules").iter().map(Rule::new).collect(),
        }
    }
    pub fn matches(&self, i: &RequestInfo, user: &UserInfo) -> bool {
        self.rules.iter().any(|r| r.matches(i, user))
    }
    /// A number for the flow of a request that matches.
    pub fn flow(&self, i: &RequestInfo, user: &UserInfo) -> u64 {
        let by = match self.by {
            By::User => user.name.as_str(),
            By::Namespace => i.namespace.as_str(),
            By::Nothing => "",
        };
        let mut h = Sha256::new();
        h.update(&self.name);
        h.update([0]);
        h.update(by);
        let sum: [u8; 32] = h.finalize().into();
        sum[..8].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
    }
}

/// In the order in which they are asked.
pub fn sort(schemas: &mut [Schema]) {
    schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use serde_json::json;

    fn info(method: &str, path: &str) -> RequestInfo {
        let m = http::Method::from_bytes(method.as_bytes()).unwrap();
        RequestInfo::new(&m, path, &Query::default()).unwrap()
    }

    #[test]
    fn rules() {
        let s = |rules: Value| {
            Schema::new(
                &json!({"metadata": {"name": "s"}, "spec": {"rules": [rules], "distinguisherMethod": {"type": "ByUser"}}}),
            )
        };
        let sa = json!([{"kind": "ServiceAccount", "serviceAccount": {"namespace": "ns", "name": "*"}}]);
        let everybody = json!([{"kind": "Group", "group": {"name": "*"}}]);
        let pods = |more: Value| {
            let mut r = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"], "namespaces": ["a"]});
            r.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!([r])
        };
        let paths = json!([{"verbs": ["*"], "nonResourceURLs": ["/healthz", "/x/*"]}]);
        let cases = [
            (
                json!({"subjects": sa, "resourceRules": pods(json!({}))}),
                "GET /api/v1/namespaces/a/pods/p",
                "system:serviceaccount:ns:x",
                true,
            ),
            (
                json!({"subjects": sa, "resourceRules": pods(json!({}))}),
                "GET /api/v1/namespaces/a/pods/p",
                "system:serviceaccount:n:x",
                false,
            ),
            (
                json!({"subjects": everybody, "resourceRules": pods(json!({}))}),
                "GET /api/v1/namespaces/b/pods/p",
                "u",
                false,
            ),
            (
                json!({"subjects": everybody, "resourceRules": pods(json!({}))}),
                "GET /api/v1/namespaces/a/pods/p/log",
                "u",
                true,
            ),
            (
                json!({"subjects": everybody, "resourceRules": pods(json!({}))}),
                "GET /api/v1/namespaces/a/pods/p/status",
                "u",
                false,
            ),
            (
                json!({"subjects": everybody, "resourceRules": pods(json!({"verbs": ["list"]}))}),
                "GET /api/v1/pods",
                "u",
                false,
            ),
            (
                json!({"subjects": everybody, "resourceRules": pods(json!({"verbs": ["list"], "clusterScope": true}))}),
                "GET /api/v1/pods",
                "u",
                true,
            ),
            (json!({"subjects": everybody, "nonResourceRules": paths}), "GET /healthz/etcd", "u", true),
            (json!({"subjects": everybody, "nonResourceRules": paths}), "GET /healthzz", "u", false),
            (json!({"subjects": everybody, "nonResourceRules": paths}), "GET /x/y", "u", true),
            (json!({"subjects": [], "nonResourceRules": paths}), "GET /x/y", "u", false),
        ];
        for (rule, line, user, want) in cases {
            let (m, p) = line.split_once(' ').unwrap();
            assert_eq!(
                s(rule.clone()).matches(&info(m, p), &UserInfo::new(user, &["g"])),
                want,
                "{rule} {line} {user}"
            );
        }
        let f = s(json!({}));
        let flow = |u: &str| f.flow(&info("GET", "/x"), &UserInfo::new(u, &[]));
        assert_ne!(flow("a"), flow("b"));
        assert_eq!(flow("a"), flow("a"));
    }
}
