//! `NodeAffinity`: node selectors and node affinity, required and preferred.

use crate::cluster::Cluster;
use crate::event::Event;
use crate::framework::{Cx, Filter, Plugin, PreFilter, normalize};
use crate::matching::NodeTerm;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::status::Refusal;
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

/// With what the profile adds for all its pods.
#[derive(Default)]
pub struct NodeAffinity {
    pub added_required: Option<Arc<Vec<NodeTerm>>>,
    pub added_preferred: Vec<(i32, NodeTerm)>,
}

fn any(terms: &[NodeTerm], labels: &crate::matching::Labels, name: &str) -> bool {
    terms.iter().any(|t| t.matches(labels, name))
}

#[derive(Clone)]
struct Check(Option<Arc<Vec<NodeTerm>>>);

impl Filter for Check {
    fn check(&mut self, cx: Cx<'_>, node: &NodeInfo) -> Result<(), Refusal> {
        let labels = &node.spec.labels;
        if self.0.as_ref().is_some_and(|t| !any(t, labels, node.name())) {
            return Err(Refusal::unresolvable("node(s) didn't match scheduler-enforced node affinity"));
        }
        if !cx.pod.required_node.matches(labels, node.name()) {
            return Err(Refusal::unresolvable("node(s) didn't match Pod's node affinity/selector"));
        }
        Ok(())
    }
    fn copy(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }
    fn local(&self) -> bool {
        true
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        let required = &cx.pod.required_node;
        if required.is_none() && self.added_required.is_none() {
            return PreFilter::Skip;
        }
        let check = Box::new(Check(self.added_required.clone()));
        let Some(terms) = required.terms.as_ref().filter(|t| !t.is_empty()) else {
            return PreFilter::Run(check);
        };
        // Terms that name nodes leave only those.
        let mut names = BTreeSet::new();
        for t in terms {
            match t.names() {
                None => return PreFilter::Run(check),
                Some(n) => names.extend(n.into_iter().map(str::to_owned)),
            }
        }
        if names.is_empty() {
            return PreFilter::Refuse(Refusal::unresolvable("pod affinity terms conflict"));
        }
        PreFilter::Only(check, names)
    }
    fn score(
        &self,
        cx: Cx<'_>,
        nodes: &[usize],
        _: Option<&mut Box<dyn Filter>>,
        scores: &mut [i64],
    ) -> bool {
        if cx.pod.preferred_nodes.is_empty() && self.added_preferred.is_empty() {
            return false;
        }
        for (slot, s) in nodes.iter().zip(scores.iter_mut()) {
            let n = cx.cluster.node(*slot);
            let terms = self.added_preferred.iter().chain(&cx.pod.preferred_nodes);
            *s = terms.filter(|(_, t)| t.matches(&n.spec.labels, n.name())).map(|(w, _)| i64::from(*w)).sum();
        }
        normalize(scores, false);
        true
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, _: &Cluster) -> bool {
        let (old, new) = match event {
            Event::NodeAdded(n) => (None, *n),
            Event::NodeUpdated { old, new, change } if change.labels => (Some(*old), *new),
            _ => return false,
        };
        if self.added_required.as_ref().is_some_and(|t| !any(t, &new.labels, &new.name)) {
            return false;
        }
        pod.required_node.matches(&new.labels, &new.name)
            && old.is_none_or(|o| !pod.required_node.matches(&o.labels, &o.name))
    }
}
