//! `InterPodAffinity`: pods near to or far from other pods, required and preferred, in both directions.

use crate::cluster::{Cluster, Domains, Topology};
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
    key: Arc<str>,
    topology: Arc<Topology>,
    counts: Numbers,
}

/// What the cluster counts is shared as long as nothing is added.
#[derive(Clone)]
enum Numbers {
    Shared(Arc<Vec<u32>>),
    Own(Vec<i64>),
}

impl Numbers {
    fn at(&self, v: usize) -> i64 {
        match self {
            Self::Shared(c) => i64::from(c[v]),
            Self::Own(c) => c[v],
        }
    }
    fn own(&mut self) -> &mut Vec<i64> {
        if let Self::Shared(c) = self {
            *self = Self::Own(c.iter().map(|n| i64::from(*n)).collect());
        }
        match self {
            Self::Own(c) => c,
            Self::Shared(_) => unreachable!("it has just become the other"),
        }
    }
    fn all_zero(&self) -> bool {
        match self {
            Self::Shared(c) => c.iter().all(|n| *n == 0),
            Self::Own(c) => c.iter().all(|n| *n == 0),
        }
    }
}

impl ByValue {
    fn of(key: &str, d: Domains) -> Self {
        Self { key: key.into(), topology: d.topology, counts: Numbers::Shared(d.counts) }
    }
    fn at(&self, slot: usize) -> Option<i64> {
        self.topology.value(slot).map(|v| self.counts.at(v))
    }
    fn add(&mut self, slot: usize, n: i64) {
        if let Some(v) = self.topology.value(slot) {
            self.counts.own()[v] += n;
        }
    }
}

/// Adds counts, each times a weight, to those of the same label.
fn add_domains(list: &mut Vec<ByValue>, key: &str, d: Domains, weight: i64) {
    let scaled = |to: &mut Vec<i64>| {
        to.iter_mut().zip(d.counts.iter()).for_each(|(t, n)| *t += i64::from(*n) * weight);
    };
    match list.iter_mut().find(|b| &*b.key == key) {
        Some(b) => scaled(b.counts.own()),
        None if weight == 1 => list.push(ByValue::of(key, d)),
        None => {
            let mut counts = vec![0; d.counts.len()];
            scaled(&mut counts);
            list.push(ByValue { key: key.into(), topology: d.topology, counts: Numbers::Own(counts) });
        }
    }
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
    /// No pod matches the affinity anywhere.
    first: bool,
}

impl Check {
    fn change(&mut self, cx: Cx<'_>, pod: &PodInfo, node: &NodeInfo, by: i64) {
        for t in pod.anti_affinity.iter().filter(|t| term_matches(cx.cluster, t, cx.pod)) {
            let key = &*t.topology_key;
            let i = self.existing.iter().position(|b| &*b.key == key).unwrap_or_else(|| {
                let topology = cx.cluster.topology(key);
                let counts = Numbers::Own(vec![0; topology.size]);
                self.existing.push(ByValue { key: key.into(), topology, counts });
                self.existing.len() - 1
            });
            self.existing[i].add(node.slot, by);
        }
        if matches_all(cx.cluster, &cx.pod.affinity, pod) {
            self.affinity.iter_mut().for_each(|a| a.add(node.slot, by));
            self.first = self.affinity.iter().all(|a| a.counts.all_zero());
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
        all || (self.own && self.first)
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

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        let pod = cx.pod;
        let mut existing: Vec<ByValue> = Vec::new();
        for u in cx.cluster.terms.required_anti() {
            if term_matches(cx.cluster, &u.term, pod) {
                add_domains(&mut existing, &u.term.topology_key, u.domains(cx.cluster), 1);
            }
        }
        if existing.is_empty() && pod.affinity.is_empty() && pod.anti_affinity.is_empty() {
            return PreFilter::Skip;
        }
        let count = |groups: &[(&Namespaces, &Selector)], t: &Term| {
            ByValue::of(&t.topology_key, cx.cluster.count_by(groups, false, &t.topology_key))
        };
        let all: Vec<_> = pod.affinity.iter().map(|t| (&t.namespaces, &t.selector)).collect();
        let affinity: Vec<ByValue> = pod.affinity.iter().map(|t| count(&all, t)).collect();
        let anti: Vec<ByValue> =
            pod.anti_affinity.iter().map(|t| count(&[(&t.namespaces, &t.selector)], t)).collect();
        let own = matches_all(cx.cluster, &pod.affinity, pod);
        let first = affinity.iter().all(|a| a.counts.all_zero());
        PreFilter::Run(Box::new(Check { existing, affinity, anti, own, first }))
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
        let mut add = |t: &Term, d: Domains, weight: i64| {
            if d.counts.iter().any(|n| *n > 0) {
                any = true;
                add_domains(&mut tables, &t.topology_key, d, weight);
            }
        };
        for (w, t) in &pod.preferred_pods {
            let d = cx.cluster.count_by(&[(&t.namespaces, &t.selector)], false, &t.topology_key);
            add(t, d, i64::from(*w));
        }
        // What pods that are there want of this one.
        let hard = cx.cluster.terms.required().map(|u| (u, self.hard_weight));
        let soft = cx.cluster.terms.preferred().map(|u| (u, i64::from(u.weight)));
        for (u, w) in hard.chain(soft).filter(|(_, w)| *w != 0) {
            if term_matches(cx.cluster, &u.term, pod) {
                add(&u.term, u.domains(cx.cluster), w);
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
