//! `NodeResourcesFit`: a node has what the pod asks for, and by default the emptier one is the better one.

use crate::cluster::Cluster;
use crate::event::Event;
use crate::framework::{Cx, Filter, MAX_SCORE, Plugin, PreFilter};
use crate::node::{NodeInfo, NodeSpec};
use crate::pod::PodInfo;
use crate::resources::{Resources, is_scalar};
use crate::status::{Code, Reason, Reasons, Refusal};
use std::any::Any;
use std::sync::Arc;

/// How nodes are compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    LeastAllocated,
    MostAllocated,
    /// Points of utilization (0 to 100) and score (0 to 100).
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

#[derive(Clone, Debug)]
pub struct NodeResourcesFit {
    pub strategy: Strategy,
    /// Resources that count for the score, with weights.
    pub resources: Vec<(String, i64)>,
    pub ignored: Arc<Vec<String>>,
    pub ignored_groups: Arc<Vec<String>>,
}

impl Default for NodeResourcesFit {
    fn default() -> Self {
        Self {
            strategy: Strategy::LeastAllocated,
            resources: vec![("cpu".into(), 1), ("memory".into(), 1)],
            ignored: Arc::default(),
            ignored_groups: Arc::default(),
        }
    }
}

#[derive(Clone)]
struct Check {
    ignored: Arc<Vec<String>>,
    groups: Arc<Vec<String>>,
}

/// What is missing, and whether the node could ever have it.
fn missing(
    pod: &PodInfo,
    spec: &NodeSpec,
    used: &Resources,
    pods: usize,
    c: Option<&Check>,
) -> Vec<(Reason, bool)> {
    let mut out = Vec::new();
    if i64::try_from(pods).unwrap_or(i64::MAX) >= spec.max_pods {
        out.push(("Too many pods".into(), false));
    }
    let (want, have) = (&pod.requests, &spec.allocatable);
    if want.is_zero() {
        return out;
    }
    let mut look = |want: i64, have: i64, used: i64, reason: &'static str| {
        if want > 0 && want > have - used {
            out.push((Reason::Borrowed(reason), want > have));
        }
    };
    look(want.cpu, have.cpu, used.cpu, "Insufficient cpu");
    look(want.memory, have.memory, used.memory, "Insufficient memory");
    look(want.storage, have.storage, used.storage, "Insufficient ephemeral-storage");
    for (name, n) in want.scalars.iter().filter(|s| s.1 > 0) {
        if let Some(c) = c
            && !name.contains("kubernetes.io/")
            && !name.starts_with("hugepages-")
        {
            let group = name.split('/').next().unwrap_or_default();
            if c.ignored.iter().any(|i| **i == **name) || c.groups.iter().any(|g| g == group) {
                continue;
            }
        }
        let cap = have.scalar(name);
        if *n > cap - used.scalar(name) {
            out.push((format!("Insufficient {name}").into(), *n > cap));
        }
    }
    out
}

impl Filter for Check {
    fn check(&mut self, cx: Cx<'_>, node: &NodeInfo) -> Result<(), Refusal> {
        let mut lacks = missing(cx.pod, &node.spec, &node.requested, node.pods.len(), Some(self));
        if lacks.is_empty() {
            return Ok(());
        }
        let code = if lacks.iter().any(|l| l.1) { Code::Unresolvable } else { Code::Unschedulable };
        let reasons = match lacks.len() {
            1 => Reasons::One(lacks.remove(0).0),
            _ => Reasons::Many(lacks.into_iter().map(|l| l.0).collect()),
        };
        Err(Refusal { code, reasons })
    }
    fn copy(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }
    fn pre_filter(&self, _: Cx<'_>) -> PreFilter {
        PreFilter::Run(Box::new(Check { ignored: self.ignored.clone(), groups: self.ignored_groups.clone() }))
    }
    fn local(&self) -> bool {
        true
    }
    fn own_score(&self, cx: Cx<'_>, n: &NodeInfo) -> Option<i64> {
        let (mut score, mut weights) = (0, 0);
        for (name, weight) in &self.resources {
            let want = cx.pod.scored.get(name);
            if want == 0 && is_scalar(name) {
                continue;
            }
            let cap = n.spec.allocatable.get(name);
            if cap == 0 {
                continue;
            }
            let used = match name.as_str() {
                "cpu" => n.non_zero.0,
                "memory" => n.non_zero.1,
                _ => n.requested.get(name),
            };
            let one = self.one(used + want, cap);
            if one > 0 || !matches!(self.strategy, Strategy::RequestedToCapacityRatio(_)) {
                score += one * weight;
                weights += weight;
            }
        }
        Some(match (&self.strategy, weights) {
            (_, 0) => 0,
            (Strategy::RequestedToCapacityRatio(_), w) => (score as f64 / w as f64).round() as i64,
            (_, w) => score / w,
        })
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, _: &Cluster) -> bool {
        let fits = |n: &NodeSpec| missing(pod, n, &Resources::default(), 0, None).is_empty();
        match event {
            Event::PodDeleted(p) => p.placed(),
            Event::PodUpdated { old, new, change } => {
                let (o, n, w) = (&old.charged, &new.charged, &pod.requests);
                change.scaled_down
                    && ((w.cpu > 0 && n.cpu < o.cpu)
                        || (w.memory > 0 && n.memory < o.memory)
                        || (w.storage > 0 && n.storage < o.storage)
                        || w.scalars.iter().any(|(k, v)| *v > 0 && n.scalar(k) < o.scalar(k)))
            }
            Event::Target { change, .. } => change.scaled_down,
            Event::NodeAdded(n) => fits(n),
            Event::NodeUpdated { old, new, change } => {
                let (o, n, w) = (&old.allocatable, &new.allocatable, &pod.requests);
                change.allocatable
                    && fits(new)
                    && (new.max_pods > old.max_pods
                        || (w.cpu > 0 && n.cpu > o.cpu)
                        || (w.memory > 0 && n.memory > o.memory)
                        || (w.storage > 0 && n.storage > o.storage)
                        || w.scalars.iter().any(|(k, v)| *v > 0 && n.scalar(k) > o.scalar(k)))
            }
            _ => false,
        }
    }
}

impl NodeResourcesFit {
    fn one(&self, requested: i64, capacity: i64) -> i64 {
        match &self.strategy {
            Strategy::LeastAllocated if requested > capacity => 0,
            Strategy::LeastAllocated => {
                i64::try_from(i128::from(capacity - requested) * i128::from(MAX_SCORE) / i128::from(capacity))
                    .unwrap_or(0)
            }
            Strategy::MostAllocated => {
                let r = requested.min(capacity);
                i64::try_from(i128::from(r) * i128::from(MAX_SCORE) / i128::from(capacity)).unwrap_or(0)
            }
            Strategy::RequestedToCapacityRatio(shape) => utilization_score(shape, requested, capacity),
        }
    }
}

/// The score of a utilization on a line of points.
pub fn utilization_score(shape: &[(i64, i64)], requested: i64, capacity: i64) -> i64 {
    let p = if capacity == 0 || requested > capacity {
        100
    } else {
        i64::try_from(i128::from(requested) * 100 / i128::from(capacity)).unwrap_or(100)
    };
    for (i, (u, s)) in shape.iter().enumerate() {
        if p <= *u {
            let Some((u0, s0)) = i.checked_sub(1).map(|i| shape[i]) else { return *s };
            if u == &u0 {
                return *s;
            }
            return s0 + (s - s0) * (p - u0) / (u - u0);
        }
    }
    shape.last().map_or(0, |l| l.1)
}
