//! `PodTopologySpread`: pods of a group are spread over zones, nodes or whatever a label says.

use crate::cluster::{Cluster, Topology};
use crate::event::Event;
use crate::framework::{Cx, Filter, MAX_SCORE, Plugin, PreFilter};
use crate::matching::{Labels, Namespaces, matches, untolerated};
use crate::node::{NodeInfo, NodeSpec};
use crate::pod::{PodInfo, Spread};
use crate::status::Refusal;
use std::any::Any;
use std::sync::Arc;

const HOSTNAME: &str = "kubernetes.io/hostname";

pub struct PodTopologySpread {
    /// For pods without constraints of their own.
    pub defaults: Vec<Spread>,
    /// The defaults are the system's: a node that lacks one of their labels still counts for the others.
    pub system: bool,
}

impl Default for PodTopologySpread {
    fn default() -> Self {
        let soft = |key: &str, max_skew| Spread {
            max_skew,
            topology_key: key.to_owned(),
            hard: false,
            selector: crate::matching::nothing(),
            min_domains: 1,
            honor_affinity: true,
            honor_taints: false,
        };
        Self { defaults: vec![soft(HOSTNAME, 3), soft("topology.kubernetes.io/zone", 5)], system: true }
    }
}

impl PodTopologySpread {
    /// The constraints of a pod, hard or soft ones.
    fn constraints(&self, pod: &PodInfo, cluster: &Cluster, hard: bool) -> Vec<Arc<Spread>> {
        if !pod.spread.is_empty() {
            return pod.spread.iter().filter(|s| s.hard == hard).cloned().collect();
        }
        let some: Vec<&Spread> = self.defaults.iter().filter(|s| s.hard == hard).collect();
        if some.is_empty() {
            return Vec::new();
        }
        let Some(selector) = cluster.owners.default_selector(pod) else { return Vec::new() };
        some.into_iter().map(|s| Arc::new(Spread { selector: selector.clone(), ..s.clone() })).collect()
    }
}

fn has_all(labels: &Labels, constraints: &[Arc<Spread>]) -> bool {
    constraints.iter().all(|c| labels.contains_key(&c.topology_key))
}

/// Whether a node counts for a constraint at all.
fn included(c: &Spread, pod: &PodInfo, node: &NodeInfo) -> bool {
    (!c.honor_affinity || pod.required_node.matches(&node.spec.labels, node.name()))
        && (!c.honor_taints || !untolerated(&node.spec.taints, &pod.tolerations))
}

/// Whether every node counts for a constraint.
fn includes_all(c: &Spread, pod: &PodInfo) -> bool {
    (!c.honor_affinity || pod.required_node.is_none()) && !c.honor_taints
}

/// The group of pods that a constraint is about.
fn group(cx: Cx<'_>) -> Namespaces {
    Namespaces { names: vec![cx.pod.namespace.to_string()], selector: None }
}

/// Pods of the constraint's group by slot, those being deleted left out.
fn counts(c: &Spread, cx: Cx<'_>) -> Option<Arc<Vec<u32>>> {
    // An empty selector counts nothing (upstream `countPodsMatchSelector`).
    (!c.selector.everything()).then(|| cx.cluster.count(&[(&group(cx), &c.selector)], true))
}

/// As [`counts`], by the values of the constraint's label.
fn counts_by(c: &Spread, cx: Cx<'_>) -> Option<Arc<Vec<u32>>> {
    let by = || cx.cluster.count_by(&[(&group(cx), &c.selector)], true, &c.topology_key).counts;
    (!c.selector.everything()).then(by)
}

/// Counts by value.
#[derive(Clone)]
enum Numbers {
    /// As the cluster has them: every value has a node that counts.
    Shared(Arc<Vec<u32>>),
    /// `None`: no node counts for the value.
    Own(Vec<Option<i64>>),
}

impl Numbers {
    fn at(&self, v: usize) -> i64 {
        match self {
            Self::Shared(c) => i64::from(c[v]),
            Self::Own(c) => c[v].unwrap_or(0),
        }
    }
    fn add(&mut self, v: usize, n: i64) {
        if let Self::Shared(c) = self {
            *self = Self::Own(c.iter().map(|n| Some(i64::from(*n))).collect());
        }
        if let Self::Own(c) = self {
            *c[v].get_or_insert(0) += n;
        }
    }
    /// How many values count, and the least of their counts.
    fn least(&self) -> (usize, Option<i64>) {
        match self {
            Self::Shared(c) => (c.len(), c.iter().min().map(|n| i64::from(*n))),
            Self::Own(c) => (c.iter().flatten().count(), c.iter().flatten().min().copied()),
        }
    }
}

#[derive(Clone)]
struct Hard {
    constraint: Arc<Spread>,
    topology: Arc<Topology>,
    matching: Numbers,
    /// The pod itself is of the group.
    own: i64,
}

impl Hard {
    fn least(&self) -> i64 {
        let (domains, least) = self.matching.least();
        if i64::try_from(domains).unwrap_or(i64::MAX) < self.constraint.min_domains {
            return 0;
        }
        least.unwrap_or(i64::from(i32::MAX))
    }
}

#[derive(Clone)]
struct Check {
    all: Vec<Hard>,
    /// The smallest count of each constraint; recomputed after changes.
    least: Vec<i64>,
}

impl Check {
    fn change(&mut self, cx: Cx<'_>, pod: &PodInfo, node: &NodeInfo, by: i64) {
        if pod.namespace != cx.pod.namespace {
            return;
        }
        if !self.all.iter().all(|h| node.spec.labels.contains_key(&h.constraint.topology_key)) {
            return;
        }
        for (h, least) in self.all.iter_mut().zip(&mut self.least) {
            if !matches(&h.constraint.selector, &pod.labels) || !included(&h.constraint, cx.pod, node) {
                continue;
            }
            if let Some(v) = h.topology.value(node.slot) {
                h.matching.add(v, by);
            }
            *least = h.least();
        }
    }
}

impl Filter for Check {
    fn check(&mut self, _: Cx<'_>, node: &NodeInfo) -> Result<(), Refusal> {
        for (h, least) in self.all.iter().zip(&self.least) {
            let Some(v) = h.topology.value(node.slot) else {
                return Err(Refusal::unresolvable(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                ));
            };
            let skew = h.matching.at(v) + h.own - least;
            if skew > h.constraint.max_skew {
                return Err(Refusal::new("node(s) didn't match pod topology spread constraints"));
            }
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

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        let constraints = self.constraints(cx.pod, cx.cluster, true);
        if constraints.is_empty() {
            return PreFilter::Skip;
        }
        let topologies: Vec<_> = constraints.iter().map(|c| cx.cluster.topology(&c.topology_key)).collect();
        // A node without one of the labels counts for none.
        let whole = constraints.len() == 1 || topologies.iter().all(|t| !t.gaps);
        let mut all: Vec<Hard> = Vec::with_capacity(constraints.len());
        for (c, topology) in constraints.iter().zip(topologies) {
            let matching = if whole && includes_all(c, cx.pod) {
                Numbers::Shared(counts_by(c, cx).unwrap_or_else(|| Arc::new(vec![0; topology.size])))
            } else {
                let pods = counts(c, cx);
                let mut by_value = vec![None; topology.size];
                for node in cx.cluster.nodes() {
                    if !has_all(&node.spec.labels, &constraints) || !included(c, cx.pod, node) {
                        continue;
                    }
                    if let Some(v) = topology.value(node.slot) {
                        let n = pods.as_ref().map_or(0, |p| i64::from(p[node.slot]));
                        *by_value[v].get_or_insert(0) += n;
                    }
                }
                Numbers::Own(by_value)
            };
            let own = i64::from(matches(&c.selector, &cx.pod.labels));
            all.push(Hard { constraint: c.clone(), topology, matching, own });
        }
        let least = all.iter().map(Hard::least).collect();
        PreFilter::Run(Box::new(Check { all, least }))
    }
    fn score(
        &self,
        cx: Cx<'_>,
        nodes: &[usize],
        _: Option<&mut Box<dyn Filter>>,
        scores: &mut [i64],
    ) -> bool {
        let constraints = self.constraints(cx.pod, cx.cluster, false);
        if constraints.is_empty() || cx.cluster.order().is_empty() {
            return false;
        }
        let all_labels = !cx.pod.spread.is_empty() || !self.system;
        let no_gaps = constraints.iter().all(|c| !cx.cluster.topology(&c.topology_key).gaps);
        let whole = !all_labels || constraints.len() == 1 || no_gaps;
        let ignored: Vec<bool> = nodes
            .iter()
            .map(|s| all_labels && !no_gaps && !has_all(&cx.cluster.node(*s).spec.labels, &constraints))
            .collect();
        let left = ignored.iter().filter(|i| !**i).count();
        // Fractions are added up before they are rounded.
        let mut sums = vec![0.0_f64; nodes.len()];
        for c in &constraints {
            let topology = cx.cluster.topology(&c.topology_key);
            let pods = counts(c, cx);
            let on = |slot: usize| pods.as_ref().map_or(0, |p| i64::from(p[slot]));
            let host = c.topology_key == HOSTNAME;
            let mut by_value: Vec<Option<i64>> = Vec::new();
            let mut size = left;
            if !host {
                by_value = vec![None; topology.size];
                for (slot, _) in nodes.iter().zip(&ignored).filter(|n| !n.1) {
                    if let Some(v) = topology.value(*slot) {
                        by_value[v] = Some(0);
                    }
                }
                size = by_value.iter().flatten().count();
                if nodes.iter().zip(&ignored).any(|(s, i)| !i && topology.value(*s).is_none()) {
                    // Nodes without the label are a domain of their own to upstream's count.
                    size += 1;
                }
                if whole && includes_all(c, cx.pod) {
                    let pods = counts_by(c, cx);
                    for (v, n) in by_value.iter_mut().enumerate().filter_map(|(v, n)| Some((v, n.as_mut()?)))
                    {
                        *n = pods.as_ref().map_or(0, |p| i64::from(p[v]));
                    }
                } else {
                    for node in cx.cluster.nodes() {
                        if (all_labels && !has_all(&node.spec.labels, &constraints))
                            || !included(c, cx.pod, node)
                        {
                            continue;
                        }
                        if let Some(Some(n)) = topology.value(node.slot).map(|v| &mut by_value[v]) {
                            *n += on(node.slot);
                        }
                    }
                }
            }
            let weight = ((size + 2) as f64).ln();
            for ((slot, sum), _) in nodes.iter().zip(&mut sums).zip(&ignored).filter(|n| !n.1) {
                let Some(v) = topology.value(*slot) else { continue };
                let n = if host { on(*slot) } else { by_value[v].unwrap_or(0) };
                *sum += n as f64 * weight + (c.max_skew - 1) as f64;
            }
        }
        for ((s, sum), _) in scores.iter_mut().zip(&sums).zip(&ignored).filter(|n| !n.1) {
            *s = sum.round() as i64;
        }
        // The fewest pods is the best.
        let valid = || scores.iter().zip(&ignored).filter(|n| !n.1).map(|n| *n.0);
        let (min, max) = (valid().min().unwrap_or(i64::MAX), valid().max().unwrap_or(0).max(0));
        for (s, i) in scores.iter_mut().zip(&ignored) {
            *s = match (*i, max) {
                (true, _) => 0,
                (_, 0) => MAX_SCORE,
                _ => MAX_SCORE * (max + min - *s) / max,
            };
        }
        true
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, cluster: &Cluster) -> bool {
        let constraints = || self.constraints(pod, cluster, true);
        let involved = |p: &PodInfo| p.placed() && p.namespace == pod.namespace;
        let any = |p: &PodInfo| constraints().iter().any(|c| matches(&c.selector, &p.labels));
        let changed = |old: &PodInfo, new: &PodInfo| {
            old.labels != new.labels
                && constraints()
                    .iter()
                    .any(|c| matches(&c.selector, &old.labels) != matches(&c.selector, &new.labels))
        };
        let node = |n: &NodeSpec| has_all(&n.labels, &constraints());
        match event {
            Event::PodAdded(p) | Event::PodDeleted(p) => involved(p) && any(p),
            Event::PodUpdated { old, new, change } => {
                change.labels && involved(new) && involved(old) && changed(old, new)
            }
            Event::Target { old, new, change } => {
                (change.tolerations && constraints().iter().any(|c| c.honor_taints))
                    || (change.labels && changed(old, new))
            }
            Event::NodeAdded(n) | Event::NodeDeleted(n) => node(n),
            Event::NodeUpdated { old, new, change } if change.labels || change.taints => {
                let cs = constraints();
                let (was, is) = (has_all(&old.labels, &cs), has_all(&new.labels, &cs));
                was != is
                    || (is
                        && (old.taints != new.taints
                            || cs
                                .iter()
                                .any(|c| old.labels.get(&c.topology_key) != new.labels.get(&c.topology_key))))
            }
            _ => false,
        }
    }
}
