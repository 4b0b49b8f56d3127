//! `NodePorts`: host ports are free.

use super::stateless;
use crate::cluster::Cluster;
use crate::event::Event;
use crate::framework::{Cx, Plugin, PreFilter};
use crate::node::ports_conflict;
use crate::pod::PodInfo;
use crate::status::Refusal;

pub struct NodePorts;

stateless!(Check, |cx, node| {
    if node.port_conflict(&cx.pod.ports) {
        return Err(Refusal::new("node(s) didn't have free ports for the requested pod ports"));
    }
    Ok(())
});

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }
    fn local(&self) -> bool {
        true
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        if cx.pod.ports.is_empty() { PreFilter::Skip } else { PreFilter::Run(Box::new(Check)) }
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, _: &Cluster) -> bool {
        match event {
            Event::NodeAdded(_) => true,
            Event::PodDeleted(p) => p.placed() && ports_conflict(&pod.ports, &p.ports),
            _ => false,
        }
    }
}
