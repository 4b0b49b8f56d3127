//! What a plugin is, and a profile of them (`framework/interface.go`).
//!
//! A plugin is one file and one line in [`crate::plugins::ALL`]. It decides at the points of a cycle that it implements;
//! state of a cycle lives in what [`Plugin::pre_filter`] answers.

use crate::cluster::Cluster;
use crate::event::Event;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::status::Refusal;
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The best a node can get from a plugin.
pub const MAX_SCORE: i64 = 100;

/// What every decision is about.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub cluster: &'a Cluster,
    pub pod: &'a PodInfo,
}

/// What a plugin makes of a pod before it looks at nodes.
pub enum PreFilter {
    /// Every node is fine.
    Skip,
    Run(Box<dyn Filter>),
    /// Only these nodes can be.
    Only(Box<dyn Filter>, BTreeSet<String>),
    /// No node is.
    Refuse(Refusal),
}

/// A plugin's view of one pod in one cycle.
pub trait Filter: Send {
    /// Whether a node takes the pod.
    fn check(&mut self, cx: Cx<'_>, node: &NodeInfo) -> Result<(), Refusal>;
    /// As if this pod were on that node too.
    fn add_pod(&mut self, _cx: Cx<'_>, _pod: &PodInfo, _node: &NodeInfo) {}
    /// As if this pod were not on that node.
    fn remove_pod(&mut self, _cx: Cx<'_>, _pod: &PodInfo, _node: &NodeInfo) {}
    fn copy(&self) -> Box<dyn Filter>;
    fn as_any(&mut self) -> &mut dyn Any;
}

/// A plugin. All methods are optional.
pub trait Plugin: Send + Sync {
    fn name(&self) -> &'static str;
    /// Why a pod may not even wait in line.
    fn pre_enqueue(&self, _pod: &PodInfo) -> Result<(), String> {
        Ok(())
    }
    fn pre_filter(&self, _cx: Cx<'_>) -> PreFilter {
        PreFilter::Skip
    }
    /// Whether its filter looks at nothing but the node and the demands of the pod ([`PodInfo::same_demands`]); its score
    /// does so too where it has one of its own ([`Plugin::own_score`]). Then its verdicts are remembered.
    fn local(&self) -> bool {
        false
    }
    /// The final score of one node, from 0 to [`MAX_SCORE`], where that depends on no other node; a local plugin that
    /// has it has no [`Plugin::score`] besides. `None`: it has none, or all nodes are alike.
    fn own_score(&self, _cx: Cx<'_>, _node: &NodeInfo) -> Option<i64> {
        None
    }
    /// Adds nothing and answers false if all nodes are alike; else a score from 0 to [`MAX_SCORE`] for each node (slots).
    fn score(
        &self,
        _cx: Cx<'_>,
        _nodes: &[usize],
        _mine: Option<&mut Box<dyn Filter>>,
        _scores: &mut [i64],
    ) -> bool {
        false
    }
    /// Whether a pod that this plugin refused may be schedulable after an event.
    fn wants(&self, _event: &Event<'_>, _pod: &PodInfo, _cluster: &Cluster) -> bool {
        false
    }
}

/// What upstream's `DefaultNormalizeScore` does: the highest becomes [`MAX_SCORE`].
pub fn normalize(scores: &mut [i64], reverse: bool) {
    let most = scores.iter().copied().max().unwrap_or(0);
    for s in scores {
        let n = if most == 0 { 0 } else { MAX_SCORE * *s / most };
        *s = if reverse { MAX_SCORE - n } else { n };
    }
}

/// A way of scheduling that pods choose by name.
pub struct Profile {
    pub name: String,
    pub pre_enqueue: Vec<Arc<dyn Plugin>>,
    pub filters: Vec<Arc<dyn Plugin>>,
    pub scores: Vec<(Arc<dyn Plugin>, i64)>,
    /// Preemption, if it is on.
    pub preemption: Option<crate::plugins::default_preemption::DefaultPreemption>,
    /// Volumes are reserved and bound.
    pub binds_volumes: bool,
    /// 0: by the size of the cluster.
    pub percentage_to_score: i64,
}

impl Profile {
    pub fn plugin(&self, name: &str) -> Option<&Arc<dyn Plugin>> {
        let scores = self.scores.iter().map(|s| &s.0);
        self.filters.iter().chain(&self.pre_enqueue).chain(scores).find(|p| p.name() == name)
    }
    /// Why a pod may not wait in line, and who says so.
    pub fn gate(&self, pod: &PodInfo) -> Option<(&'static str, String)> {
        self.pre_enqueue.iter().find_map(|p| Some((p.name(), p.pre_enqueue(pod).err()?)))
    }
}
