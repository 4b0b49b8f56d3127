//! Label selectors, node selectors, affinity terms, tolerations: parsed once, matched often.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use meta::selector::{Op, Requirement, Selector};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

pub type Labels = BTreeMap<String, String>;

pub fn matches(s: &Selector, labels: &Labels) -> bool {
    s.matches(|k| labels.get(k).map(String::as_str))
}

pub fn nothing() -> Selector {
    Selector { requirements: Vec::new(), nothing: true }
}

/// The selector a `LabelSelector` stands for: none selects nothing, an empty one everything. A bad one, which the API
/// server would not have taken, selects nothing.
pub fn label_selector(s: Option<&LabelSelector>) -> Selector {
    let Some(s) = s else { return nothing() };
    let mut reqs = Vec::new();
    for (k, v) in s.match_labels.iter().flatten() {
        reqs.push(Requirement { key: k.clone(), op: Op::In, values: vec![v.clone()], equality: true });
    }
    for e in s.match_expressions.iter().flatten() {
        let op = match e.operator.as_str() {
            "In" => Op::In,
            "NotIn" => Op::NotIn,
            "Exists" => Op::Exists,
            "DoesNotExist" => Op::DoesNotExist,
            _ => return nothing(),
        };
        let values = e.values.clone().unwrap_or_default();
        reqs.push(Requirement { key: e.key.clone(), op, values, equality: false });
    }
    Selector::of(reqs)
}

/// One term of a node selector: all requirements on labels and on the name.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeTerm {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
    /// Cannot be parsed or is empty: matches no node.
    never: bool,
}

fn requirement(e: &core::NodeSelectorRequirement) -> Option<Requirement> {
    let op = match e.operator.as_str() {
        "In" => Op::In,
        "NotIn" => Op::NotIn,
        "Exists" => Op::Exists,
        "DoesNotExist" => Op::DoesNotExist,
        "Gt" => Op::Gt,
        "Lt" => Op::Lt,
        _ => return None,
    };
    Some(Requirement {
        key: e.key.clone(),
        op,
        values: e.values.clone().unwrap_or_default(),
        equality: false,
    })
}

impl NodeTerm {
    pub fn of(t: &core::NodeSelectorTerm) -> Self {
        let parse = |l: &Option<Vec<core::NodeSelectorRequirement>>| -> Option<Vec<Requirement>> {
            l.iter().flatten().map(requirement).collect()
        };
        let (labels, fields) = (parse(&t.match_expressions), parse(&t.match_fields));
        let never = labels.is_none()
            || fields.is_none()
            || labels.as_ref().is_some_and(Vec::is_empty) && fields.as_ref().is_some_and(Vec::is_empty);
        Self { labels: labels.unwrap_or_default(), fields: fields.unwrap_or_default(), never }
    }
    pub fn matches(&self, labels: &Labels, name: &str) -> bool {
        !self.never
            && self.labels.iter().all(|r| r.matches(labels.get(&r.key).map(String::as_str)))
            && self.fields.iter().all(|r| r.matches((r.key == "metadata.name").then_some(name)))
    }
    /// The names that `matchFields` allow; `None`: any.
    pub fn names(&self) -> Option<Vec<&str>> {
        let mut names: Option<Vec<&str>> = None;
        for r in self.fields.iter().filter(|r| r.key == "metadata.name" && r.op == Op::In) {
            let of = r.values.iter().map(String::as_str);
            names = Some(match names {
                None => of.collect(),
                Some(had) => had.into_iter().filter(|n| r.values.iter().any(|v| v == n)).collect(),
            });
        }
        names
    }
}

/// A node selector: any of its terms.
pub fn node_selector(s: &core::NodeSelector) -> Vec<NodeTerm> {
    s.node_selector_terms.iter().map(NodeTerm::of).collect()
}

/// What a pod demands of its node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequiredNode {
    pub selector: Labels,
    pub terms: Option<Vec<NodeTerm>>,
}

impl RequiredNode {
    /// `nodeSelector` and required node affinity.
    pub fn of(spec: &core::PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        Self { selector: spec.node_selector.clone().unwrap_or_default(), terms: required.map(node_selector) }
    }
    pub fn is_none(&self) -> bool {
        self.selector.is_empty() && self.terms.is_none()
    }
    pub fn matches(&self, labels: &Labels, name: &str) -> bool {
        self.selector.iter().all(|(k, v)| labels.get(k) == Some(v))
            && self.terms.as_ref().is_none_or(|t| t.iter().any(|t| t.matches(labels, name)))
    }
}

/// Which namespaces a term looks into.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespaces {
    pub names: Vec<String>,
    pub selector: Option<Selector>,
}

impl Namespaces {
    /// `labels` answers the labels of a namespace.
    pub fn contain<'a>(&self, ns: &str, labels: &dyn Fn(&str) -> Option<&'a Labels>) -> bool {
        if self.names.iter().any(|n| n == ns) {
            return true;
        }
        let Some(s) = &self.selector else { return false };
        match labels(ns) {
            Some(l) => matches(s, l),
            None => s.matches(|_| None),
        }
    }
}

/// A pod affinity or anti-affinity term. Terms of the same text are the same.
#[derive(Debug)]
pub struct Term {
    pub topology_key: String,
    pub selector: Selector,
    pub namespaces: Namespaces,
    pub text: Arc<str>,
}

impl Term {
    pub fn of(t: &core::PodAffinityTerm, namespace: &str) -> Self {
        let mut names = t.namespaces.clone().unwrap_or_default();
        let selector = t.namespace_selector.as_ref().map(|s| label_selector(Some(s)));
        if names.is_empty() && selector.is_none() {
            names.push(namespace.to_owned());
        }
        names.sort();
        let namespaces = Namespaces { names, selector };
        let label_selector = label_selector(t.label_selector.as_ref());
        let text = format!("{} {}", t.topology_key, group_text(&namespaces, &label_selector));
        Self { topology_key: t.topology_key.clone(), selector: label_selector, namespaces, text: text.into() }
    }
    pub fn matches<'a>(
        &self,
        namespace: &str,
        pod: &Labels,
        ns: &dyn Fn(&str) -> Option<&'a Labels>,
    ) -> bool {
        matches(&self.selector, pod) && self.namespaces.contain(namespace, ns)
    }
}

/// A text that is the same for the same group of pods.
pub fn group_text(ns: &Namespaces, s: &Selector) -> String {
    let mut t = String::new();
    for n in &ns.names {
        t.push_str(n);
        t.push(',');
    }
    if let Some(s) = &ns.selector {
        let _ = write!(t, "[{s}]");
    }
    if s.nothing {
        t.push_str(" nothing");
    } else {
        let _ = write!(t, " {s}");
    }
    t
}

#[derive(Clone, Debug, PartialEq)]
pub struct Toleration {
    pub key: String,
    /// `Exists`; else the value must be equal.
    pub exists: bool,
    pub value: String,
    pub effect: String,
}

impl Toleration {
    pub fn of(t: &core::Toleration) -> Option<Self> {
        let exists = match t.operator.as_deref() {
            Some("Exists") => true,
            None | Some("" | "Equal") => false,
            // Comparisons are behind a gate that is off: they tolerate nothing.
            Some(_) => return None,
        };
        Some(Self {
            key: t.key.clone().unwrap_or_default(),
            exists,
            value: t.value.clone().unwrap_or_default(),
            effect: t.effect.clone().unwrap_or_default(),
        })
    }
    fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        (self.effect.is_empty() || self.effect == effect)
            && (self.key.is_empty() || self.key == key)
            && (self.exists || self.value == value)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

pub fn tolerated(taint: &Taint, by: &[Toleration]) -> bool {
    by.iter().any(|t| t.tolerates(&taint.key, &taint.value, &taint.effect))
}

/// Whether any taint that keeps pods away is not tolerated.
pub fn untolerated(taints: &[Taint], by: &[Toleration]) -> bool {
    taints.iter().filter(|t| t.effect == "NoSchedule" || t.effect == "NoExecute").any(|t| !tolerated(t, by))
}

/// The taint that `spec.unschedulable` stands for.
pub fn unschedulable_taint() -> Taint {
    Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        value: String::new(),
        effect: "NoSchedule".into(),
    }
}
