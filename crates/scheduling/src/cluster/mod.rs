//! The cluster as the scheduler knows it: nodes with the pods on them, pods that are as good as there, and what is
//! counted once and kept up to date instead of being counted for every pod.

mod counts;
mod owners;
mod terms;
mod volumes;

pub use counts::{Domains, NO_VALUE, Topology};
pub use owners::{Budget, Owners};
pub use terms::{TermUse, Terms};
pub use volumes::{
    Attachment, Capacity, Claim, ClaimKey, Class, CsiDriver, CsiNode, SELECTED_NODE, Volume, VolumePlan,
    Volumes,
};

use crate::matching::{Labels, Namespaces};
use crate::node::{NodeInfo, NodeSpec};
use crate::pod::PodInfo;
use counts::Counts;
use meta::selector::Selector;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A pod on a node.
#[derive(Clone, Debug)]
struct Placed {
    info: Arc<PodInfo>,
    slot: usize,
    /// We decided so and have not heard it from the API yet.
    assumed: bool,
}

/// Everything a decision depends on.
#[derive(Default)]
pub struct Cluster {
    nodes: Vec<NodeInfo>,
    /// The last generation that a node was given.
    generation: u64,
    by_name: HashMap<Arc<str>, usize>,
    free: Vec<usize>,
    soft_taints: usize,
    /// Zones in the order they came, each with its nodes.
    zones: Vec<(String, Vec<usize>)>,
    /// Present nodes, zone by zone in turn.
    order: Vec<usize>,
    pods: HashMap<Arc<str>, Placed>,
    counts: RefCell<Counts>,
    pub terms: Terms,
    pub volumes: Volumes,
    pub owners: Owners,
    pub namespaces: HashMap<String, Labels>,
    /// How many nodes have an image.
    images: HashMap<String, usize>,
    /// How many pods on nodes use a claim.
    claim_users: HashMap<ClaimKey, usize>,
}

impl Cluster {
    /// Present nodes, in the order in which they are looked at.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
    pub fn node(&self, slot: usize) -> &NodeInfo {
        &self.nodes[slot]
    }
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.order.iter().map(|s| &self.nodes[*s])
    }
    /// The number of places in the table, used or not.
    pub fn slots(&self) -> usize {
        self.nodes.len()
    }
    /// A node whose object is there.
    pub fn find(&self, name: &str) -> Option<&NodeInfo> {
        self.by_name.get(name).map(|s| &self.nodes[*s]).filter(|n| n.present)
    }
    pub fn namespace_labels(&self, ns: &str) -> Option<&Labels> {
        self.namespaces.get(ns)
    }
    pub fn nodes_with_image(&self, image: &str) -> usize {
        self.images.get(image).copied().unwrap_or(0)
    }
    pub fn claim_users(&self, key: &ClaimKey) -> usize {
        self.claim_users.get(key).copied().unwrap_or(0)
    }
    pub fn pod(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.pods.get(uid).map(|p| &p.info)
    }
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|p| p.assumed)
    }

    /// How many present nodes have taints that only score.
    pub fn soft_taints(&self) -> usize {
        self.soft_taints
    }
    /// A node to be changed.
    fn touch(&mut self, slot: usize) -> &mut NodeInfo {
        self.generation += 1;
        let n = &mut self.nodes[slot];
        n.generation = self.generation;
        n
    }

    /// Adds or changes a node; answers what it was.
    pub fn set_node(&mut self, spec: NodeSpec) -> (Option<Arc<NodeSpec>>, Arc<NodeSpec>) {
        let spec = Arc::new(spec);
        let slot = self.slot_of(&spec.name);
        let node = self.touch(slot);
        let old = node.present.then(|| node.spec.clone());
        node.spec = spec.clone();
        node.present = true;
        self.soft_taints += usize::from(has_soft_taints(&spec));
        self.soft_taints -= usize::from(old.as_deref().is_some_and(has_soft_taints));
        self.recount_images(old.as_deref(), Some(&spec));
        let moved = old.as_ref().is_none_or(|o| o.zone() != spec.zone());
        if old.as_ref().is_none_or(|o| o.labels != spec.labels) {
            self.counts.get_mut().forget_topologies();
        }
        if moved {
            if let Some(o) = &old {
                self.leave_zone(&o.zone(), slot);
            }
            self.join_zone(spec.zone(), slot);
        }
        (old, spec)
    }
    /// Takes a node out; the pods on it stay known until they go themselves.
    pub fn remove_node(&mut self, name: &str) -> Option<Arc<NodeSpec>> {
        let slot = *self.by_name.get(name)?;
        if !self.nodes[slot].present {
            return None;
        }
        let node = self.touch(slot);
        let old = node.spec.clone();
        node.present = false;
        let empty = node.pods.is_empty();
        self.soft_taints -= usize::from(has_soft_taints(&old));
        self.recount_images(Some(&old), None);
        self.counts.get_mut().forget_topologies();
        self.leave_zone(&old.zone(), slot);
        if empty {
            self.release(slot);
        }
        Some(old)
    }
    fn slot_of(&mut self, name: &Arc<str>) -> usize {
        if let Some(s) = self.by_name.get(name) {
            return *s;
        }
        let spec = Arc::new(NodeSpec { name: name.clone(), ..NodeSpec::default() });
        let slot = match self.free.pop() {
            Some(s) => {
                self.nodes[s] = NodeInfo::new(s, spec, false);
                s
            }
            None => {
                self.nodes.push(NodeInfo::new(self.nodes.len(), spec, false));
                self.nodes.len() - 1
            }
        };
        self.counts.get_mut().grow(self.nodes.len());
        self.by_name.insert(name.clone(), slot);
        slot
    }
    fn release(&mut self, slot: usize) {
        let name = self.nodes[slot].spec.name.clone();
        self.by_name.remove(&name);
        self.free.push(slot);
    }
    fn recount_images(&mut self, old: Option<&NodeSpec>, new: Option<&NodeSpec>) {
        for i in new.iter().flat_map(|n| n.images.keys()) {
            *self.images.entry(i.clone()).or_default() += 1;
        }
        for i in old.iter().flat_map(|n| n.images.keys()) {
            if let Some(n) = self.images.get_mut(i) {
                *n -= 1;
                if *n == 0 {
                    self.images.remove(i);
                }
            }
        }
    }
    fn join_zone(&mut self, zone: String, slot: usize) {
        match self.zones.iter_mut().find(|z| z.0 == zone) {
            Some(z) => z.1.push(slot),
            None => self.zones.push((zone, vec![slot])),
        }
        self.reorder();
    }
    fn leave_zone(&mut self, zone: &str, slot: usize) {
        if let Some(z) = self.zones.iter_mut().find(|z| z.0 == zone) {
            z.1.retain(|s| *s != slot);
        }
        self.zones.retain(|z| !z.1.is_empty());
        self.reorder();
    }
    fn reorder(&mut self) {
        self.order.clear();
        let most = self.zones.iter().map(|z| z.1.len()).max().unwrap_or(0);
        for i in 0..most {
            self.order.extend(self.zones.iter().filter_map(|z| z.1.get(i)));
        }
    }

    /// A pod of the API that has a node. Confirms what was assumed. Answers the pod as it was known.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>) -> Option<Arc<PodInfo>> {
        self.place(pod, false)
    }
    /// A pod that is going to be on its node.
    pub fn assume(&mut self, pod: Arc<PodInfo>) {
        self.place(pod, true);
    }
    /// Takes an assumption back.
    pub fn forget(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        if self.is_assumed(uid) { self.remove_pod(uid) } else { None }
    }
    fn place(&mut self, pod: Arc<PodInfo>, assumed: bool) -> Option<Arc<PodInfo>> {
        let old = self.remove_pod(&pod.uid);
        let slot = self.slot_of(&pod.node);
        self.touch(slot).add(pod.clone());
        self.account(&pod, slot, true);
        self.pods.insert(pod.uid.clone(), Placed { info: pod, slot, assumed });
        old
    }
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let placed = self.pods.remove(uid)?;
        let slot = placed.slot;
        self.touch(slot).remove(uid);
        self.account(&placed.info, slot, false);
        if !self.nodes[slot].present && self.nodes[slot].pods.is_empty() {
            self.release(slot);
        }
        Some(placed.info)
    }
    fn account(&mut self, pod: &PodInfo, slot: usize, add: bool) {
        let Self { counts, namespaces, terms, claim_users, .. } = self;
        counts.get_mut().pod(pod, slot, add, namespaces);
        terms.pod(pod, slot, add);
        for c in pod.claims.iter().filter(|c| !c.ephemeral) {
            let key = ClaimKey::new(&pod.namespace, &c.name);
            let n = claim_users.entry(key.clone()).or_default();
            *n = if add { *n + 1 } else { n.saturating_sub(1) };
            if *n == 0 {
                claim_users.remove(&key);
            }
        }
    }
    /// All pods on nodes.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<PodInfo>> {
        self.pods.values().map(|p| &p.info)
    }

    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        match labels {
            Some(l) if self.namespaces.get(name) == Some(&l) => return,
            Some(l) => {
                self.namespaces.insert(name.to_owned(), l);
            }
            None => {
                self.namespaces.remove(name);
            }
        }
        self.counts.get_mut().forget_by_namespace();
    }

    /// Forgets what was counted: it is counted again when it is asked for.
    pub fn forget_counts(&mut self) {
        *self.counts.get_mut() = Counts::default();
        self.counts.get_mut().grow(self.nodes.len());
    }
    /// How many pods that are in all of these groups each node has, by its slot. Kept up to date once asked for.
    pub fn count(&self, groups: &[(&Namespaces, &Selector)], live: bool) -> Arc<Vec<u32>> {
        self.counts.borrow_mut().get(groups, live, &self.nodes, &self.namespaces)
    }
    /// As [`Self::count`], by the values that nodes have for a label.
    pub fn count_by(&self, groups: &[(&Namespaces, &Selector)], live: bool, key: &str) -> Domains {
        self.counts.borrow_mut().domains(groups, live, key, &self.nodes, &self.namespaces)
    }
    /// The values that nodes have for a label, as numbers.
    pub fn topology(&self, key: &str) -> Arc<Topology> {
        self.counts.borrow_mut().topology(key, &self.nodes)
    }
    /// The number of pods, by node name: for tests and for people.
    pub fn pods_by_node(&self) -> BTreeMap<String, usize> {
        self.nodes().map(|n| (n.name().to_owned(), n.pods.len())).collect()
    }
}

fn has_soft_taints(n: &NodeSpec) -> bool {
    n.taints.iter().any(|t| t.effect == "PreferNoSchedule")
}
