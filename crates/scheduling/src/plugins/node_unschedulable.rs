//! `NodeUnschedulable`: cordoned nodes take only pods that tolerate it.

use super::stateless;
use crate::cluster::Cluster;
use crate::event::Event;
use crate::framework::{Cx, Plugin, PreFilter};
use crate::matching::{tolerated, unschedulable_taint};
use crate::pod::PodInfo;
use crate::status::Refusal;

pub struct NodeUnschedulable;

stateless!(Check, |cx, node| {
    if !node.spec.unschedulable || tolerated(&unschedulable_taint(), &cx.pod.tolerations) {
        return Ok(());
    }
    Err(Refusal::unresolvable("node(s) were unschedulable"))
});

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }
    fn local(&self) -> bool {
        true
    }
    fn pre_filter(&self, _: Cx<'_>) -> PreFilter {
        PreFilter::Run(Box::new(Check))
    }
    fn wants(&self, event: &Event<'_>, _: &PodInfo, _: &Cluster) -> bool {
        match event {
            Event::NodeAdded(n) => !n.unschedulable,
            Event::NodeUpdated { old, new, change } => {
                change.taints && old.unschedulable && !new.unschedulable
            }
            Event::Target { new, change, .. } => {
                change.tolerations && tolerated(&unschedulable_taint(), &new.tolerations)
            }
            _ => false,
        }
    }
}
