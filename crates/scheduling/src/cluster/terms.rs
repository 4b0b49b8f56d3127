//! The affinity terms of pods on nodes, each different one once, with the nodes where pods have it.

use super::{Cluster, Domains};
use crate::matching::Term;
use crate::pod::PodInfo;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A term and how many pods have it, by slot.
pub struct TermUse {
    pub term: Arc<Term>,
    /// Of a preferred term; negative for anti-affinity. 0 for required ones.
    pub weight: i32,
    pub by_slot: BTreeMap<usize, u32>,
    /// The same by the values of the term's label, once asked for.
    domains: RefCell<Option<Domains>>,
}

impl TermUse {
    /// How many pods have the term, by the values of its label.
    pub fn domains(&self, cluster: &Cluster) -> Domains {
        let topology = cluster.topology(&self.term.topology_key);
        let mut d = self.domains.borrow_mut();
        match &*d {
            Some(d) if Arc::ptr_eq(&d.topology, &topology) => d.clone(),
            _ => d.insert(Domains::new(topology, self.by_slot.iter().map(|(s, n)| (*s, *n)))).clone(),
        }
    }
}

type Map = HashMap<(Arc<str>, i32), TermUse>;

/// All terms of pods on nodes.
#[derive(Default)]
pub struct Terms {
    required_anti: Map,
    required: Map,
    preferred: Map,
}

impl Terms {
    pub fn required_anti(&self) -> impl Iterator<Item = &TermUse> {
        self.required_anti.values()
    }
    pub fn required(&self) -> impl Iterator<Item = &TermUse> {
        self.required.values()
    }
    pub fn preferred(&self) -> impl Iterator<Item = &TermUse> {
        self.preferred.values()
    }
    pub fn any_required_anti(&self) -> bool {
        !self.required_anti.is_empty()
    }
    /// Whether any pod on a node has affinity of the kinds that count for scores.
    pub fn any(&self) -> bool {
        !self.required.is_empty() || !self.preferred.is_empty()
    }
    pub(super) fn pod(&mut self, pod: &PodInfo, slot: usize, add: bool) {
        for t in &pod.anti_affinity {
            change(&mut self.required_anti, t, 0, slot, add);
        }
        for t in &pod.affinity {
            change(&mut self.required, t, 0, slot, add);
        }
        for (w, t) in &pod.preferred_pods {
            change(&mut self.preferred, t, *w, slot, add);
        }
    }
}

fn change(map: &mut Map, term: &Arc<Term>, weight: i32, slot: usize, add: bool) {
    let key = (term.text.clone(), weight);
    if add {
        let e = map.entry(key).or_insert_with(|| TermUse {
            term: term.clone(),
            weight,
            by_slot: BTreeMap::new(),
            domains: RefCell::default(),
        });
        *e.by_slot.entry(slot).or_default() += 1;
        if let Some(d) = e.domains.get_mut() {
            d.change(slot, true);
        }
        return;
    }
    let Some(e) = map.get_mut(&key) else { return };
    if let Some(n) = e.by_slot.get_mut(&slot) {
        *n -= 1;
        if *n == 0 {
            e.by_slot.remove(&slot);
        }
        if let Some(d) = e.domains.get_mut() {
            d.change(slot, false);
        }
    }
    if e.by_slot.is_empty() {
        map.remove(&key);
    }
}
