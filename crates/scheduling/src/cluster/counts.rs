//! Pods per node for groups that plugins ask about, and label values as small numbers.
//!
//! Spreading a Deployment asks for every pod "how many of its pods does each node have". The first time they are counted,
//! from then on the numbers follow pods that come and go; groups nobody asks about any more are dropped.

use crate::matching::{Labels, Namespaces, matches};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use meta::selector::Selector;
use std::collections::HashMap;
use std::sync::Arc;

/// Groups kept at a time.
const MAX_GROUPS: usize = 256;
/// A node without the label.
pub const NO_VALUE: u32 = u32::MAX;

/// The values of one label.
#[derive(Debug)]
pub struct Topology {
    /// By slot; [`NO_VALUE`] where there is none.
    pub values: Vec<u32>,
    /// How many different values there are.
    pub size: usize,
    /// Whether a node that is there has none.
    pub gaps: bool,
}

/// Pods by the values of a label.
#[derive(Clone, Debug)]
pub struct Domains {
    pub topology: Arc<Topology>,
    pub counts: Arc<Vec<u32>>,
}

impl Domains {
    /// Adds up what the nodes have.
    pub(super) fn new(topology: Arc<Topology>, by_slot: impl Iterator<Item = (usize, u32)>) -> Self {
        let mut counts = vec![0; topology.size];
        for (slot, n) in by_slot {
            if let Some(v) = topology.value(slot) {
                counts[v] += n;
            }
        }
        Self { topology, counts: Arc::new(counts) }
    }
    pub(super) fn change(&mut self, slot: usize, add: bool) {
        if let Some(v) = self.topology.value(slot) {
            change(&mut Arc::make_mut(&mut self.counts)[v], add);
        }
    }
}

fn change(n: &mut u32, add: bool) {
    *n = if add { *n + 1 } else { n.saturating_sub(1) };
}

struct Group {
    parts: Vec<(Namespaces, Selector)>,
    /// Pods that are being deleted do not count.
    live: bool,
    by_slot: Arc<Vec<u32>>,
    domains: Vec<Domains>,
    used: u64,
}

impl Group {
    fn has(&self, pod: &PodInfo, namespaces: &HashMap<String, Labels>) -> bool {
        if self.live && pod.deleting {
            return false;
        }
        let labels = |ns: &str| namespaces.get(ns);
        self.parts.iter().all(|(n, s)| n.contain(&pod.namespace, &labels) && matches(s, &pod.labels))
    }
}

#[derive(Default)]
pub(super) struct Counts {
    groups: Vec<Group>,
    topologies: HashMap<String, Arc<Topology>>,
    clock: u64,
    slots: usize,
}

impl Counts {
    pub fn grow(&mut self, slots: usize) {
        self.slots = slots;
        for g in &mut self.groups {
            if g.by_slot.len() < slots {
                Arc::make_mut(&mut g.by_slot).resize(slots, 0);
            }
        }
        self.forget_topologies();
    }
    pub fn forget_topologies(&mut self) {
        self.topologies.clear();
        self.groups.iter_mut().for_each(|g| g.domains.clear());
    }
    /// Namespaces changed their labels.
    pub fn forget_by_namespace(&mut self) {
        self.groups.retain(|g| g.parts.iter().all(|(n, _)| n.selector.is_none()));
    }
    pub fn pod(&mut self, pod: &PodInfo, slot: usize, add: bool, namespaces: &HashMap<String, Labels>) {
        for g in &mut self.groups {
            if g.has(pod, namespaces)
                && let Some(n) = Arc::make_mut(&mut g.by_slot).get_mut(slot)
            {
                change(n, add);
                g.domains.iter_mut().for_each(|d| d.change(slot, add));
            }
        }
    }
    /// The group of pods that are in all of these.
    fn group(
        &mut self,
        parts: &[(&Namespaces, &Selector)],
        live: bool,
        nodes: &[NodeInfo],
        namespaces: &HashMap<String, Labels>,
    ) -> &mut Group {
        self.clock += 1;
        let clock = self.clock;
        let same = |g: &Group| {
            g.live == live
                && g.parts.len() == parts.len()
                && g.parts.iter().zip(parts).all(|(g, p)| g.0 == *p.0 && g.1 == *p.1)
        };
        let i = match self.groups.iter().position(same) {
            Some(i) => i,
            None => {
                let g = self.counted(parts, live, nodes, namespaces);
                if self.groups.len() >= MAX_GROUPS
                    && let Some(i) = (0..self.groups.len()).min_by_key(|i| self.groups[*i].used)
                {
                    self.groups.swap_remove(i);
                }
                self.groups.push(g);
                self.groups.len() - 1
            }
        };
        self.groups[i].used = clock;
        &mut self.groups[i]
    }
    fn counted(
        &self,
        parts: &[(&Namespaces, &Selector)],
        live: bool,
        nodes: &[NodeInfo],
        namespaces: &HashMap<String, Labels>,
    ) -> Group {
        let parts = parts.iter().map(|(n, s)| ((*n).clone(), (*s).clone())).collect();
        let mut g = Group { parts, live, by_slot: Arc::default(), domains: Vec::new(), used: 0 };
        let mut by_slot = vec![0; self.slots];
        for n in nodes {
            let count = n.pods.iter().filter(|p| g.has(p, namespaces)).count();
            if let Some(x) = by_slot.get_mut(n.slot) {
                *x = u32::try_from(count).unwrap_or(u32::MAX);
            }
        }
        g.by_slot = Arc::new(by_slot);
        g
    }
    pub fn get(
        &mut self,
        parts: &[(&Namespaces, &Selector)],
        live: bool,
        nodes: &[NodeInfo],
        namespaces: &HashMap<String, Labels>,
    ) -> Arc<Vec<u32>> {
        self.group(parts, live, nodes, namespaces).by_slot.clone()
    }
    /// As [`Self::get`], by the values of a label.
    pub fn domains(
        &mut self,
        parts: &[(&Namespaces, &Selector)],
        live: bool,
        key: &str,
        nodes: &[NodeInfo],
        namespaces: &HashMap<String, Labels>,
    ) -> Domains {
        let topology = self.topology(key, nodes);
        let g = self.group(parts, live, nodes, namespaces);
        if let Some(d) = g.domains.iter().find(|d| Arc::ptr_eq(&d.topology, &topology)) {
            return d.clone();
        }
        let d = Domains::new(topology, g.by_slot.iter().copied().enumerate());
        g.domains.push(d.clone());
        d
    }
    pub fn topology(&mut self, key: &str, nodes: &[NodeInfo]) -> Arc<Topology> {
        if let Some(t) = self.topologies.get(key) {
            return t.clone();
        }
        let mut ids: HashMap<&str, u32> = HashMap::new();
        let mut values = vec![NO_VALUE; nodes.len()];
        for n in nodes.iter().filter(|n| n.present) {
            if let Some(v) = n.label(key) {
                let next = u32::try_from(ids.len()).unwrap_or(NO_VALUE);
                values[n.slot] = *ids.entry(v).or_insert(next);
            }
        }
        let gaps = nodes.iter().any(|n| n.present && values[n.slot] == NO_VALUE);
        let t = Arc::new(Topology { values, size: ids.len(), gaps });
        self.topologies.insert(key.to_owned(), t.clone());
        t
    }
}

impl Topology {
    pub fn value(&self, slot: usize) -> Option<usize> {
        self.values.get(slot).filter(|v| **v != NO_VALUE).map(|v| *v as usize)
    }
}
