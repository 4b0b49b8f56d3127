//! A node and what is on it.

use crate::matching::{Labels, Taint};
use crate::pod::{HostPort, PodInfo, image_name};
use crate::resources::{Resources, amount};
use k8s_openapi::api::core::v1 as core;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a Node object says. Shared, never changed.
#[derive(Debug, Default)]
pub struct NodeSpec {
    pub name: Arc<str>,
    pub labels: Labels,
    pub annotations: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allocatable: Resources,
    pub max_pods: i64,
    /// Names with tag, and sizes.
    pub images: HashMap<String, i64>,
    pub conditions: Vec<(String, String)>,
    pub declared_features: Vec<String>,
}

impl NodeSpec {
    pub fn of(n: &core::Node) -> Self {
        let status = n.status.as_ref();
        let allocatable = status.and_then(|s| s.allocatable.as_ref());
        let mut images = HashMap::new();
        for i in status.iter().flat_map(|s| s.images.iter().flatten()) {
            for name in i.names.iter().flatten() {
                images.insert(image_name(name), i.size_bytes.unwrap_or(0));
            }
        }
        let conditions = status.iter().flat_map(|s| s.conditions.iter().flatten());
        Self {
            name: n.metadata.name.as_deref().unwrap_or_default().into(),
            labels: n.metadata.labels.clone().unwrap_or_default(),
            annotations: n.metadata.annotations.clone().unwrap_or_default(),
            taints: n
                .spec
                .iter()
                .flat_map(|s| s.taints.iter().flatten())
                .map(|t| Taint {
                    key: t.key.clone(),
                    value: t.value.clone().unwrap_or_default(),
                    effect: t.effect.clone(),
                })
                .collect(),
            unschedulable: n.spec.as_ref().and_then(|s| s.unschedulable).unwrap_or(false),
            allocatable: allocatable.map(Resources::of).unwrap_or_default(),
            max_pods: allocatable.and_then(|a| a.get("pods")).map_or(0, |q| amount("pods", q)),
            images,
            conditions: conditions.map(|c| (c.type_.clone(), c.status.clone())).collect(),
            declared_features: status.and_then(|s| s.declared_features.clone()).unwrap_or_default(),
        }
    }
    /// Region and zone, by which nodes are taken in turn.
    pub fn zone(&self) -> String {
        let get = |new: &str, old: &str| {
            self.labels.get(new).or_else(|| self.labels.get(old)).map_or("", String::as_str)
        };
        let region = get("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region");
        let zone = get("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone");
        if region.is_empty() && zone.is_empty() { String::new() } else { format!("{region}:\u{0}:{zone}") }
    }
}

/// A node's place in the table, with the pods on it.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// Its index in the table.
    pub slot: usize,
    pub spec: Arc<NodeSpec>,
    /// Whether the Node object is there; pods may be known before.
    pub present: bool,
    /// Another one whenever anything here changes, among all nodes.
    pub generation: u64,
    pub pods: Vec<Arc<PodInfo>>,
    pub requested: Resources,
    /// CPU and memory, with defaults for containers that ask for none.
    pub non_zero: (i64, i64),
    pub ports: Vec<HostPort>,
}

impl NodeInfo {
    pub fn new(slot: usize, spec: Arc<NodeSpec>, present: bool) -> Self {
        Self {
            slot,
            spec,
            present,
            generation: 0,
            pods: Vec::new(),
            requested: Resources::default(),
            non_zero: (0, 0),
            ports: Vec::new(),
        }
    }
    /// The node with some of its pods.
    #[must_use]
    pub fn with_pods(&self, f: impl Fn(&Arc<PodInfo>) -> bool) -> Self {
        let mut n = Self::new(self.slot, self.spec.clone(), self.present);
        self.pods.iter().filter(|p| f(p)).for_each(|p| n.add(p.clone()));
        n
    }
    pub fn name(&self) -> &str {
        &self.spec.name
    }
    pub fn label(&self, key: &str) -> Option<&str> {
        self.spec.labels.get(key).map(String::as_str)
    }
    pub fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.charged);
        self.non_zero.0 += pod.non_zero.0;
        self.non_zero.1 += pod.non_zero.1;
        self.ports.extend(pod.ports.iter().cloned());
        self.pods.push(pod);
    }
    pub fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let i = self.pods.iter().position(|p| &*p.uid == uid)?;
        let pod = self.pods.swap_remove(i);
        self.requested.sub(&pod.charged);
        self.non_zero.0 -= pod.non_zero.0;
        self.non_zero.1 -= pod.non_zero.1;
        for p in &pod.ports {
            if let Some(i) = self.ports.iter().position(|x| x == p) {
                self.ports.swap_remove(i);
            }
        }
        Some(pod)
    }
    /// Whether any of these ports is taken.
    pub fn port_conflict(&self, wanted: &[HostPort]) -> bool {
        ports_conflict(wanted, &self.ports)
    }
}

pub fn ports_conflict(wanted: &[HostPort], used: &[HostPort]) -> bool {
    wanted.iter().any(|w| {
        used.iter().any(|u| {
            w.port == u.port
                && w.protocol == u.protocol
                && (w.ip == u.ip || w.ip == "0.0.0.0" || u.ip == "0.0.0.0")
        })
    })
}
