//! How much of which request is recorded (`audit.k8s.io/v1` Policy; apiserver `pkg/audit/policy`).

use crate::request::RequestInfo;
use meta::object::ObjectExt;
use meta::{UserInfo, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "None" => Self::None,
            "Metadata" => Self::Metadata,
            "Request" => Self::Request,
            "RequestResponse" => Self::RequestResponse,
            _ => return None,
        })
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "RequestReceived" => Self::RequestReceived,
            "ResponseStarted" => Self::ResponseStarted,
            "ResponseComplete" => Self::ResponseComplete,
            "Panic" => Self::Panic,
            _ => return None,
        })
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// What is to be recorded of a request.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub level: Level,
    omit: Vec<Stage>,
    pub omit_managed_fields: bool,
}

impl Verdict {
    pub fn wants(&self, s: Stage) -> bool {
        !self.omit.contains(&s)
    }
}

#[derive(Debug)]
struct Rule {
    verdict: Verdict,
    users: Vec<String>,
    groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    paths: Vec<String>,
}

#[derive(Debug)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    names: Vec<String>,
}

#[derive(Debug)]
pub struct Policy(Vec<Rule>);

fn strings(v: &Value, field: &str) -> Result<Vec<String>, String> {
    let list = match v.get(field) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(l)) => l,
        Some(_) => return Err(format!("{field}: not a list")),
    };
    let one =
        |x: &Value| x.as_str().map(str::to_owned).ok_or_else(|| format!("{field}: {x} is not a string"));
    list.iter().map(one).collect()
}

fn stages(v: &Value) -> Result<Vec<Stage>, String> {
    let one = |s: &String| Stage::parse(s).ok_or_else(|| format!("omitStages: {s:?} is no stage"));
    strings(v, "omitStages")?.iter().map(one).collect()
}

impl Rule {
    fn new(v: &Value, policy: &Value, i: usize) -> Result<Self, String> {
        let bad = |e: String| format!("rules[{i}].{e}");
        let level = Level::parse(v.str_at("level")).ok_or_else(|| {
            bad(format!(
                "level: {:?} is not one of None, Metadata, Request, RequestResponse",
                v.str_at("level")
            ))
        })?;
        let mut omit = stages(policy)?;
        omit.extend(stages(v).map_err(bad)?);
        let own = v.get("omitManagedFields").and_then(Value::as_bool);
        let list = |field: &str| strings(v, field).map_err(bad);
        let resources = v.array_at("resources").iter().map(|r| {
            Ok(GroupResources {
                group: r.str_at("group").to_owned(),
                resources: strings(r, "resources")?,
                names: strings(r, "resourceNames")?,
            })
        });
        let r = Self {
            verdict: Verdict {
                level,
                omit,
                omit_managed_fields: own.unwrap_or_else(|| policy.bool_at("omitManagedFields")),
            },
            users: list("users")?,
            groups: list("userGroups")?,
            verbs: list("verbs")?,
            resources: resources.collect::<Result<_, String>>().map_err(bad)?,
            namespaces: list("namespaces")?,
            paths: list("nonResourceURLs")?,
        };
        if !(r.paths.is_empty() || r.resources.is_empty() && r.namespaces.is_empty()) {
            return Err(bad(
                "nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs".into(),
            ));
        }
        Ok(r)
    }
    fn matches(&self, i: &RequestInfo, user: Option<&UserInfo>) -> bool {
        let has = |list: &[String], s: &str| list.iter().any(|x| x == s);
        if !self.users.is_empty() && !user.is_some_and(|u| has(&self.users, &u.name)) {
            return false;
        }
        if !self.groups.is_empty() && !user.is_some_and(|u| u.groups.iter().any(|g| has(&self.groups, g))) {
            return false;
        }
        if !self.verbs.is_empty() && !has(&self.verbs, &i.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return i.is_resource
                && (self.namespaces.is_empty() || has(&self.namespaces, &i.namespace))
                && (self.resources.is_empty() || self.resources.iter().any(|r| r.matches(i)));
        }
        if !self.paths.is_empty() {
            return !i.is_resource
                && self.paths.iter().any(|p| {
                    p == "*" || *p == i.path || p.strip_suffix('*').is_some_and(|p| i.path.starts_with(p))
                });
        }
        true
    }
}

impl GroupResources {
    fn matches(&self, i: &RequestInfo) -> bool {
        if self.group != "*" && self.group != i.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.names.is_empty() && !self.names.contains(&i.name) {
            return false;
        }
        self.resources.iter().any(|r| match r.split_once('/') {
            _ if r == "*" => true,
            None => *r == i.resource && i.subresource.is_empty(),
            Some(("*", sub)) => !sub.is_empty() && sub == i.subresource,
            Some((resource, "*")) => resource == i.resource,
            Some((resource, sub)) => resource == i.resource && sub == i.subresource,
        })
    }
}

impl Policy {
    /// From YAML or JSON.
    pub fn parse(text: &str) -> Result<Self, String> {
        let v = schema::yaml::parse(text.as_bytes()).map_err(|e| e.0)?;
        let (version, kind) = (v.str_at("apiVersion"), v.str_at("kind"));
        if (version, kind) != ("audit.k8s.io/v1", "Policy") {
            return Err(format!("an audit.k8s.io/v1 Policy is wanted, not a {version:?} {kind:?}"));
        }
        let rules = v.array_at("rules").iter().enumerate().map(|(i, r)| Rule::new(r, &v, i));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        if rules.is_empty() {
            return Err("loaded illegal policy with 0 rules".into());
        }
        Ok(Self(rules))
    }
    /// What the first rule says that matches. Without one nothing is recorded.
    pub fn judge(&self, i: &RequestInfo, user: Option<&UserInfo>) -> Option<&Verdict> {
        let rule = self.0.iter().find(|r| r.matches(i, user))?;
        (rule.verdict.level != Level::None).then_some(&rule.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [system:kube-proxy], verbs: [watch], resources: [{group: "", resources: [endpoints]}]}
- {level: None, userGroups: [system:nodes]}
- {level: None, nonResourceURLs: [/healthz*, /version]}
- {level: Metadata, resources: [{group: "", resources: [secrets, configmaps], resourceNames: [x]}]}
- {level: Request, resources: [{group: "", resources: [pods/*]}, {group: apps, resources: ["*/scale"]}], omitStages: [ResponseStarted]}
- {level: RequestResponse, namespaces: [ns], omitManagedFields: true}
- {level: Metadata, verbs: [get]}
"#;

    #[test]
    fn first_rule_that_matches() {
        let p = Policy::parse(POLICY).unwrap();
        let cases = [
            ("GET /api/v1/endpoints?watch=1", "system:kube-proxy", "None"),
            ("GET /api/v1/endpoints", "system:kube-proxy", "None"),
            ("GET /api/v1/namespaces/a/configmaps/x", "u", "Metadata"),
            ("PUT /api/v1/namespaces/a/configmaps/y", "u", "None"),
            ("POST /api/v1/namespaces/a/pods/p/exec", "u", "Request"),
            ("PUT /apis/apps/v1/namespaces/a/deployments/d/scale", "u", "Request"),
            ("PUT /apis/apps/v1/namespaces/ns/deployments/d", "u", "RequestResponse"),
            ("GET /healthz/etcd", "u", "None"),
            ("GET /livez", "u", "Metadata"),
            ("POST /livez", "u", "None"),
            ("PUT /apis/apps/v1/namespaces/ns/deployments/d", "node", "None"),
        ];
        for (line, user, want) in cases {
            let (m, uri) = line.split_once(' ').unwrap();
            let (path, q) = uri.split_once('?').unwrap_or((uri, ""));
            let i = RequestInfo::new(&m.parse().unwrap(), path, &Query::parse(q)).unwrap();
            let groups: &[&str] = if user == "node" { &["system:nodes"] } else { &[] };
            let v = p.judge(&i, Some(&UserInfo::new(user, groups)));
            assert_eq!(v.map_or("None", |v| v.level.as_str()), want, "{line}");
            if let Some(v) = v {
                assert!(!v.wants(Stage::RequestReceived) && v.wants(Stage::Panic));
                assert_eq!(v.wants(Stage::ResponseStarted), v.level != Level::Request);
                assert_eq!(v.omit_managed_fields, v.level == Level::RequestResponse);
            }
        }
    }

    #[test]
    fn bad_policies() {
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
        for (text, want) in [
            ("kind: Policy".to_owned(), "an audit.k8s.io/v1 Policy is wanted"),
            (head.to_owned(), "0 rules"),
            (format!("{head}rules: [{{level: Much}}]"), "rules[0].level: \"Much\""),
            (format!("{head}rules: [{{level: None, omitStages: [x]}}]"), "\"x\" is no stage"),
            (
                format!("{head}rules: [{{level: None, namespaces: [n]}}]"),
                "rules[0].namespaces: false is not a string",
            ),
            (format!("{head}rules: [{{level: None, namespaces: [a], nonResourceURLs: [/]}}]"), "both"),
        ] {
            let e = Policy::parse(&text).unwrap_err();
            assert!(e.contains(want), "{e}");
        }
    }
}
