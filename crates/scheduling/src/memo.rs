//! Verdicts that are remembered: what the plugins that look at one node alone say about a kind of pod and a node, as long as
//! the node stays what it is. Most pods are like many others (a Deployment's), and one decision changes one node.

use crate::cluster::Cluster;
use crate::framework::{Cx, Profile};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::status::Refusal;
use std::sync::Arc;

/// Kinds of pods that are remembered.
const KINDS: usize = 8;

/// What a node's own plugins say: who refuses and why, or the weighted sum of their scores.
pub type Verdict = Result<i64, (&'static str, Refusal)>;

#[derive(Clone)]
struct Entry {
    /// The state of the node that this is about ([`NodeInfo::generation`]); 0: none.
    generation: u64,
    verdict: Result<i64, Box<(&'static str, Refusal)>>,
}

struct Kind {
    pod: Arc<PodInfo>,
    used: u64,
    /// By slot.
    entries: Vec<Entry>,
}

/// The memory of one profile.
#[derive(Default)]
pub struct Memo {
    kinds: Vec<Kind>,
    clock: u64,
}

/// The memory of one kind of pods.
pub struct Remembered<'m>(&'m mut Vec<Entry>);

impl Memo {
    /// What is remembered of pods like this one.
    pub fn of(&mut self, pod: &Arc<PodInfo>, cluster: &Cluster) -> Remembered<'_> {
        self.clock += 1;
        let i = match self.kinds.iter().position(|k| k.pod.same_demands(pod)) {
            Some(i) => i,
            None if self.kinds.len() < KINDS => {
                self.kinds.push(Kind { pod: pod.clone(), used: 0, entries: Vec::new() });
                self.kinds.len() - 1
            }
            None => {
                let i = (0..KINDS).min_by_key(|i| self.kinds[*i].used).unwrap_or(0);
                self.kinds[i].pod = pod.clone();
                self.kinds[i].entries.clear();
                i
            }
        };
        let kind = &mut self.kinds[i];
        kind.used = self.clock;
        kind.entries.resize(cluster.slots(), Entry { generation: 0, verdict: Ok(0) });
        Remembered(&mut kind.entries)
    }
    /// As if nothing had been asked yet.
    pub fn forget(&mut self) {
        self.kinds.clear();
    }
}

impl Remembered<'_> {
    /// What is known of a node as it is now.
    pub fn get(&self, node: &NodeInfo) -> Option<Result<i64, &(&'static str, Refusal)>> {
        let e = self.0.get(node.slot).filter(|e| e.generation == node.generation)?;
        Some(e.verdict.as_ref().copied().map_err(|e| &**e))
    }
    pub fn set(&mut self, node: &NodeInfo, verdict: Verdict) {
        if let Some(e) = self.0.get_mut(node.slot) {
            *e = Entry { generation: node.generation, verdict: verdict.map_err(Box::new) };
        }
    }
}

/// The weighted sum of the scores that depend on the node alone and are compared as they are.
pub fn own_score(profile: &Profile, cx: Cx<'_>, node: &NodeInfo) -> i64 {
    let scores = profile.scores.iter().filter(|s| s.0.local());
    scores.filter_map(|(p, weight)| Some(p.own_score(cx, node)? * weight)).sum()
}
