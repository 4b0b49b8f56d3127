//! Policy rules: matching a request, covering another rule, and the texts they are shown with
//! (pkg/apis/rbac/v1 `evaluation_helpers.go`, component-helpers `auth/rbac/validation`).

use crate::Attributes;
use meta::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// rbac/v1 `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    pub verbs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

fn has(set: &[String], x: &str) -> bool {
    set.iter().any(|s| s == x)
}
fn has_all(set: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|w| has(set, w))
}
fn star_or(set: &[String], x: &str) -> bool {
    set.iter().any(|s| s == "*" || s == x)
}

/// Whether an owner's URL pattern takes in a path (or a narrower pattern).
fn url_covers(pattern: &str, path: &str) -> bool {
    pattern == path || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

impl PolicyRule {
    pub fn resource(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Self {
        let own = |x: &[&str]| x.iter().map(|s| (*s).to_owned()).collect();
        Self { verbs: own(verbs), api_groups: own(groups), resources: own(resources), ..Self::default() }
    }

    /// The rules of a Role or ClusterRole object; what is no rule is left out.
    pub fn of_role(role: &Value) -> Vec<Self> {
        let list = role.get("rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|r| Self::deserialize(r).ok()).collect()
    }

    pub fn to_value(&self) -> Value {
        let list = |x: &[String]| Value::from(x.to_vec());
        let mut m = meta::Map::new();
        m.insert("verbs".into(), list(&self.verbs));
        for (k, v) in [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ] {
            if !v.is_empty() {
                m.insert(k.into(), list(v));
            }
        }
        Value::Object(m)
    }

    /// Whether the rule allows the request.
    pub fn allows(&self, a: &Attributes) -> bool {
        if !star_or(&self.verbs, &a.verb) {
            return false;
        }
        if !a.is_resource {
            return self.non_resource_urls.iter().any(|u| url_covers(u, &a.path));
        }
        star_or(&self.api_groups, &a.group)
            && self.resources.iter().any(|r| resource_matches(r, &a.resource, &a.subresource))
            && (self.resource_names.is_empty() || has(&self.resource_names, &a.name))
    }

    /// The rule as rules with one group, resource, verb and name (or one verb and URL) each.
    pub fn atoms(&self) -> Vec<Self> {
        let mut out = Vec::new();
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let one = |name: Option<&String>| Self {
                        verbs: vec![verb.clone()],
                        api_groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        resource_names: name.into_iter().cloned().collect(),
                        non_resource_urls: Vec::new(),
                    };
                    if self.resource_names.is_empty() {
                        out.push(one(None));
                    } else {
                        out.extend(self.resource_names.iter().map(|n| one(Some(n))));
                    }
                }
            }
        }
        for url in &self.non_resource_urls {
            for verb in &self.verbs {
                out.push(Self {
                    verbs: vec![verb.clone()],
                    non_resource_urls: vec![url.clone()],
                    ..Self::default()
                });
            }
        }
        out
    }

    /// Whether this rule grants all that an atom does.
    fn covers_atom(&self, atom: &Self) -> bool {
        let verbs = has(&self.verbs, "*") || has_all(&self.verbs, &atom.verbs);
        let groups = has(&self.api_groups, "*") || has_all(&self.api_groups, &atom.api_groups);
        let resources = has(&self.resources, "*")
            || atom.resources.iter().all(|r| {
                has(&self.resources, r)
                    || r.split_once('/').is_some_and(|(_, sub)| {
                        self.resources.iter().any(|o| o.strip_prefix("*/") == Some(sub))
                    })
            });
        let names = self.resource_names.is_empty()
            || (!atom.resource_names.is_empty() && has_all(&self.resource_names, &atom.resource_names));
        let urls =
            atom.non_resource_urls.iter().all(|u| self.non_resource_urls.iter().any(|o| url_covers(o, u)));
        verbs && groups && resources && names && urls
    }

    /// `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}`: how escalation errors show a rule.
    pub fn compact(&self) -> String {
        let mut parts = Vec::new();
        for (k, v) in [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ] {
            if !v.is_empty() {
                parts.push(format!("{k}:{}", quoted(v)));
            }
        }
        format!("{{{}}}", parts.join(", "))
    }
}

/// Go's `%q` of a string list: `["a" "b"]`.
pub(crate) fn quoted(list: &[String]) -> String {
    let items: Vec<String> = list.iter().map(|s| meta::field::quote(s)).collect();
    format!("[{}]", items.join(" "))
}

fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    match rule.split_once('/') {
        // A request's subresource may have a slash of its own (`proxy/metrics`): compare whole.
        Some((r, s)) => s == subresource && (r == "*" || r == resource),
        None => false,
    }
}

/// The atoms of `wanted` that `owned` does not grant; none means that all are granted.
pub fn missing(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut out = Vec::new();
    for atom in wanted.iter().flat_map(PolicyRule::atoms) {
        if !owned.iter().any(|o| o.covers_atom(&atom)) {
            out.push(atom);
        }
    }
    out
}

/// Whether `owned` grants all of `wanted`.
pub fn covers(owned: &[PolicyRule], wanted: &[PolicyRule]) -> bool {
    missing(owned, wanted).is_empty()
}

/// Joins atoms that differ only by verb, for shorter messages; the texts come sorted.
pub(crate) fn compact_texts(atoms: &[PolicyRule]) -> Vec<String> {
    let mut joined: Vec<PolicyRule> = Vec::new();
    for a in atoms {
        let same = joined.iter_mut().find(|j| {
            a.non_resource_urls.is_empty()
                && j.non_resource_urls.is_empty()
                && j.api_groups == a.api_groups
                && j.resources == a.resources
                && j.resource_names == a.resource_names
        });
        match same {
            Some(j) => j.verbs.extend(a.verbs.iter().cloned()),
            None => joined.push(a.clone()),
        }
    }
    joined.iter().map(PolicyRule::compact).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests;
