//! `NodeName`: a pod that names its node gets that one. (Such pods are no scheduler's business, but for resizes.)

use super::stateless;
use crate::cluster::Cluster;
use crate::event::Event;
use crate::framework::{Cx, Plugin, PreFilter};
use crate::pod::PodInfo;
use crate::status::Refusal;

pub struct NodeName;

stateless!(Check, |cx, node| {
    if cx.pod.node.is_empty() || *cx.pod.node == *node.name() {
        return Ok(());
    }
    Err(Refusal::unresolvable("node(s) didn't match the requested node name"))
});

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        if cx.pod.node.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Only(Box::new(Check), [cx.pod.node.to_string()].into())
    }
    fn wants(&self, event: &Event<'_>, _: &PodInfo, _: &Cluster) -> bool {
        matches!(event, Event::NodeAdded(_))
    }
}
