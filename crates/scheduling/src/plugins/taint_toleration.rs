//! `TaintToleration`: nodes with taints take only pods that tolerate them, and rather others where they only prefer not to.

use super::stateless;
use crate::cluster::Cluster;
use crate::event::Event;
use crate::framework::{Cx, Filter, MAX_SCORE, Plugin, PreFilter, normalize};
use crate::matching::{Toleration, tolerated, untolerated};
use crate::pod::PodInfo;
use crate::status::Refusal;

pub struct TaintToleration;

stateless!(Check, |cx, node| {
    if untolerated(&node.spec.taints, &cx.pod.tolerations) {
        return Err(Refusal::unresolvable("node(s) had untolerated taint(s)"));
    }
    Ok(())
});

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }
    fn local(&self) -> bool {
        true
    }
    fn pre_filter(&self, _: Cx<'_>) -> PreFilter {
        PreFilter::Run(Box::new(Check))
    }
    fn score(
        &self,
        cx: Cx<'_>,
        nodes: &[usize],
        _: Option<&mut Box<dyn Filter>>,
        scores: &mut [i64],
    ) -> bool {
        if cx.cluster.soft_taints() == 0 {
            scores.fill(MAX_SCORE);
            return true;
        }
        let by: Vec<Toleration> = cx
            .pod
            .tolerations
            .iter()
            .filter(|t| t.effect.is_empty() || t.effect == "PreferNoSchedule")
            .cloned()
            .collect();
        for (slot, s) in nodes.iter().zip(scores.iter_mut()) {
            let taints = &cx.cluster.node(*slot).spec.taints;
            let n = taints.iter().filter(|t| t.effect == "PreferNoSchedule" && !tolerated(t, &by)).count();
            *s = i64::try_from(n).unwrap_or(i64::MAX);
        }
        normalize(scores, true);
        true
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, _: &Cluster) -> bool {
        match event {
            Event::NodeAdded(n) => !untolerated(&n.taints, &pod.tolerations),
            Event::NodeUpdated { old, new, change } => {
                change.taints
                    && untolerated(&old.taints, &pod.tolerations)
                    && !untolerated(&new.taints, &pod.tolerations)
            }
            Event::Target { change, .. } => change.tolerations,
            _ => false,
        }
    }
}
