//! `InterPodAffinity`: pods near to or far from other pods, required and preferred, in both directions.

use crate::cluster::{Cluster, Topology};
use crate::event::Event;
use crate::framework::{Cx, Filter, MAX_SCORE, Plugin, PreFilter};
use crate::matching::{Labels, Namespaces, Term};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::status::Refusal;
use meta::selector::Selector;
use std::any::Any;
use std::sync::Arc;

pub struct InterPodAffinity {
    /// What another pod's required affinity to this one counts for the score.
    pub hard_weight: i64,
    pub ignore_preferred_of_existing: bool,
}

impl Default for InterPodAffinity {
    fn default() -> Self {
        Self { hard_weight: 1, ignore_preferred_of_existing: false }
    }
}

fn term_matches(cluster: &Cluster, t: &Term, pod: &PodInfo) -> bool {
    let labels = |ns: &str| -> Option<&Labels> { cluster.namespace_labels(ns) };
    t.matches(&pod.namespace, &pod.labels, &labels)
}
fn matches_all(cluster: &Cluster, terms: &[Arc<Term>], pod: &PodInfo) -> bool {
    !terms.is_empty() && terms.iter().all(|t| term_matches(cluster, t, pod))
}
fn matches_any(cluster: &Cluster, terms: &[Arc<Term>], pod: &PodInfo) -> bool {
    terms.iter().any(|t| term_matches(cluster, t, pod))
}

/// Counts by the values of one label.
#[derive(Clone)]
struct ByValue {
    key: String,
    topology: Arc<Topology>,
    counts: Vec<i64>,
}

impl ByValue {
    fn new(cluster: &Cluster, key: &str) -> Self {
        let topology = cluster.topology(key);
        Self { key: key.to_owned(), counts: vec![0; topology.size], topology }
    }
    fn at(&self, slot: usize) -> Option<i64> {
        self.topology.value(slot).map(|v| self.counts[v])
    }
    fn add(&mut self, slot: usize, n: i64) {
        if let Some(v) = self.topology.value(slot) {
            self.counts[v] += n;
        }
    }
}

fn for_key<'l>(list: &'l mut Vec<ByValue>, cluster: &Cluster, key: &str) -> &'l mut ByValue {
    let i = list.iter().position(|b| b.key == key).unwrap_or_else(|| {
        list.push(ByValue::new(cluster, key));
        list.len() - 1
    });
    &mut list[i]
}

#[derive(Clone)]
struct Check {
    /// Pods whose anti-affinity is against this pod, by label.
    existing: Vec<ByValue>,
    /// Pods that match all terms of the affinity; one entry a term.
    affinity: Vec<ByValue>,
    /// Pods that match a term of the anti-affinity; one entry a term.
    anti: Vec<ByValue>,
    /// The pod matches its own affinity.
    own: bool,
}

impl Check {
    fn change(&mut self, cx: Cx<'_>, pod: &PodInfo, node: &NodeInfo, by: i64) {
        for t in pod.anti_affinity.iter().filter(|t| term_matches(cx.cluster, t, cx.pod)) {
            for_key(&mut self.existing, cx.cluster, &t.topology_key).add(node.slot, by);
        }
        if matches_all(cx.cluster, &cx.pod.affinity, pod) {
            self.affinity.iter_mut().for_each(|a| a.add(node.slot, by));
        }
        for (t, a) in cx.pod.anti_affinity.iter().zip(&mut self.anti) {
            if term_matches(cx.cluster, t, pod) {
                a.add(node.slot, by);
            }
        }
    }
    fn near(&self, slot: usize) -> bool {
        let mut all = true;
        for a in &self.affinity {
            match a.at(slot) {
                None => return false,
                Some(n) => all &= n > 0,
            }
        }
        // The first pod of a group may be anywhere, if it is of the group itself.
        all || (self.own && self.affinity.iter().all(|a| a.counts.iter().all(|n| *n == 0)))
    }
}

impl Filter for Check {
    fn check(&mut self, _: Cx<'_>, node: &NodeInfo) -> Result<(), Refusal> {
        if !self.near(node.slot) {
            return Err(Refusal::unresolvable("node(s) didn't match pod affinity rules"));
        }
        if self.anti.iter().any(|a| a.at(node.slot).is_some_and(|n| n > 0)) {
            return Err(Refusal::new("node(s) didn't match pod anti-affinity rules"));
        }
        if self.existing.iter().any(|a| a.at(node.slot).is_some_and(|n| n > 0)) {
            return Err(Refusal::new("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }
    fn add_pod(&mut self, cx: Cx<'_>, pod: &PodInfo, node: &NodeInfo) {
        self.change(cx, pod, node, 1);
    }
    fn remove_pod(&mut self, cx: Cx<'_>, pod: &PodInfo, node: &NodeInfo) {
        self.change(cx, pod, node, -1);
    }
    fn copy(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// Counts the pods of these groups together.
fn fill(cx: Cx<'_>, into: &mut [ByValue], groups: &[(&Namespaces, &Selector)]) {
    let by_slot = cx.cluster.count(groups, false);
    for node in cx.cluster.nodes() {
        let n = i64::from(by_slot[node.slot]);
        if n > 0 {
            into.iter_mut().for_each(|b| b.add(node.slot, n));
        }
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        let pod = cx.pod;
        let mut existing: Vec<ByValue> = Vec::new();
        for u in cx.cluster.terms.required_anti() {
            if term_matches(cx.cluster, &u.term, pod) {
                let b = for_key(&mut existing, cx.cluster, &u.term.topology_key);
                u.by_slot.iter().for_each(|(slot, n)| b.add(*slot, i64::from(*n)));
            }
        }
        if existing.is_empty() && pod.affinity.is_empty() && pod.anti_affinity.is_empty() {
            return PreFilter::Skip;
        }
        let table = |t: &Arc<Term>| ByValue::new(cx.cluster, &t.topology_key);
        let mut affinity: Vec<ByValue> = pod.affinity.iter().map(table).collect();
        if !affinity.is_empty() {
            let groups: Vec<_> = pod.affinity.iter().map(|t| (&t.namespaces, &t.selector)).collect();
            fill(cx, &mut affinity, &groups);
        }
        let mut anti: Vec<ByValue> = pod.anti_affinity.iter().map(table).collect();
        for (t, b) in pod.anti_affinity.iter().zip(&mut anti) {
            fill(cx, std::slice::from_mut(b), &[(&t.namespaces, &t.selector)]);
        }
        let own = matches_all(cx.cluster, &pod.affinity, pod);
        PreFilter::Run(Box::new(Check { existing, affinity, anti, own }))
    }
    fn score(
        &self,
        cx: Cx<'_>,
        nodes: &[usize],
        _: Option<&mut Box<dyn Filter>>,
        scores: &mut [i64],
    ) -> bool {
        let pod = cx.pod;
        if pod.preferred_pods.is_empty() && (self.ignore_preferred_of_existing || !cx.cluster.terms.any()) {
            return false;
        }
        let mut tables: Vec<ByValue> = Vec::new();
        let mut any = false;
        // What this pod prefers.
        for (w, t) in &pod.preferred_pods {
            let by_slot = cx.cluster.count(&[(&t.namespaces, &t.selector)], false);
            let b = for_key(&mut tables, cx.cluster, &t.topology_key);
            for node in cx.cluster.nodes() {
                let n = i64::from(by_slot[node.slot]);
                if n > 0 && b.topology.value(node.slot).is_some() {
                    any = true;
                    b.add(node.slot, n * i64::from(*w));
                }
            }
        }
        // What pods that are there want of this one.
        let hard = cx.cluster.terms.required().map(|u| (u, self.hard_weight));
        let soft = cx.cluster.terms.preferred().map(|u| (u, i64::from(u.weight)));
        for (u, w) in hard.chain(soft).filter(|(_, w)| *w != 0) {
            if !term_matches(cx.cluster, &u.term, pod) {
                continue;
            }
            let b = for_key(&mut tables, cx.cluster, &u.term.topology_key);
            for (slot, n) in &u.by_slot {
                any |= b.topology.value(*slot).is_some();
                b.add(*slot, i64::from(*n) * w);
            }
        }
        if !any {
            return false;
        }
        for (slot, s) in nodes.iter().zip(scores.iter_mut()) {
            *s = tables.iter().filter_map(|b| b.at(*slot)).sum();
        }
        let (min, max) =
            (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
        for s in scores.iter_mut() {
            let share = if max > min { (*s - min) as f64 / (max - min) as f64 } else { 0.0 };
            *s = (MAX_SCORE as f64 * share) as i64;
        }
        true
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, cluster: &Cluster) -> bool {
        let (with, without) = (&pod.affinity, &pod.anti_affinity);
        match event {
            Event::PodAdded(p) => p.placed() && matches_all(cluster, with, p),
            Event::PodUpdated { old, new, change } => {
                change.labels
                    && ((!matches_all(cluster, with, old) && matches_all(cluster, with, new))
                        || (matches_any(cluster, without, old) && !matches_any(cluster, without, new)))
            }
            Event::PodDeleted(p) => {
                p.placed()
                    && (matches_any(cluster, without, p) || matches_any(cluster, &p.anti_affinity, pod))
            }
            Event::Target { change, .. } => change.labels,
            Event::NodeAdded(n) => {
                !without.is_empty() || with.iter().any(|t| n.labels.contains_key(&t.topology_key))
            }
            Event::NodeUpdated { old, new, change } if change.labels => {
                let at = |t: &Term| (old.labels.get(&t.topology_key), new.labels.get(&t.topology_key));
                with.iter().any(|t| matches!(at(t), (o, Some(n)) if o != Some(n)))
                    || without.iter().any(|t| matches!(at(t), (Some(o), n) if n != Some(o)))
            }
            _ => false,
        }
    }
}
