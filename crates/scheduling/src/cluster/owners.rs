//! What says which pods belong together: Services, ReplicaSets and their like; and budgets for disruptions.

use crate::matching::{Labels, label_selector, matches};
use crate::pod::PodInfo;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use meta::selector::Selector;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    pub namespace: String,
    pub selector: Selector,
    pub allowed: i64,
    pub disrupted: BTreeSet<String>,
}

impl Budget {
    pub fn of(b: &PodDisruptionBudget) -> Self {
        let status = b.status.as_ref();
        Self {
            namespace: b.metadata.namespace.clone().unwrap_or_default(),
            selector: label_selector(b.spec.as_ref().and_then(|s| s.selector.as_ref())),
            allowed: status.map_or(0, |s| i64::from(s.disruptions_allowed.unwrap_or(0))),
            disrupted: status
                .and_then(|s| s.disrupted_pods.as_ref())
                .into_iter()
                .flatten()
                .map(|d| d.0.clone())
                .collect(),
        }
    }
}

type Named<T> = HashMap<String, BTreeMap<String, T>>;

/// By namespace and name.
#[derive(Default)]
pub struct Owners {
    services: Named<Labels>,
    /// Kind in front of the name: `ReplicaSet/web-1`.
    controllers: Named<Selector>,
    budgets: Named<Budget>,
}

fn set<T>(map: &mut Named<T>, ns: &str, name: String, v: Option<T>) {
    match v {
        Some(v) => {
            map.entry(ns.to_owned()).or_default().insert(name, v);
        }
        None => {
            if let Some(m) = map.get_mut(ns) {
                m.remove(&name);
                if m.is_empty() {
                    map.remove(ns);
                }
            }
        }
    }
}

impl Owners {
    /// A Service's selector; one without selects nothing.
    pub fn set_service(&mut self, ns: &str, name: &str, selector: Option<Labels>) {
        set(&mut self.services, ns, name.to_owned(), selector.filter(|s| !s.is_empty()));
    }
    /// A ReplicaSet's, StatefulSet's or ReplicationController's selector.
    pub fn set_controller(&mut self, kind: &str, ns: &str, name: &str, selector: Option<&LabelSelector>) {
        let s = selector.map(|s| label_selector(Some(s)));
        set(&mut self.controllers, ns, format!("{kind}/{name}"), s);
    }
    pub fn set_budget(&mut self, ns: &str, name: &str, b: Option<Budget>) {
        set(&mut self.budgets, ns, name.to_owned(), b);
    }
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.budgets.values().flat_map(BTreeMap::values)
    }
    /// The pods that belong together with this one, by its Services and its controller; `None`: nothing says so.
    pub fn default_selector(&self, pod: &PodInfo) -> Option<Selector> {
        let mut all = Labels::new();
        for s in self.services.get(&*pod.namespace).into_iter().flat_map(BTreeMap::values) {
            if s.iter().all(|(k, v)| pod.labels.get(k) == Some(v)) {
                all.extend(s.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
        let mut selector = Selector::from_map(all.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        if let Some((version, kind, name)) = &pod.controller {
            let known = matches!(
                (version.as_str(), kind.as_str()),
                ("v1", "ReplicationController") | ("apps/v1", "ReplicaSet" | "StatefulSet")
            );
            let of = self.controllers.get(&*pod.namespace).and_then(|m| m.get(&format!("{kind}/{name}")));
            if let Some(of) = of.filter(|o| known && !o.nothing) {
                selector.requirements.extend(of.requirements.iter().cloned());
                selector = Selector::of(selector.requirements);
            }
        }
        (!selector.requirements.is_empty()).then_some(selector)
    }
    /// Whether a budget is about a pod.
    pub fn covers(b: &Budget, pod: &PodInfo) -> bool {
        !pod.labels.is_empty()
            && *b.namespace == *pod.namespace
            && !b.selector.everything()
            && matches(&b.selector, &pod.labels)
            && !b.disrupted.contains(&*pod.name)
    }
}
