//! Hints for `trafficDistribution`: each ready endpoint is for its own zone, or its own node.

use crate::k8s::discovery::{Endpoint, EndpointHints, ForNode, ForZone};

/// Which hints a service wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hints {
    None,
    SameZone,
    SameNode,
}

impl Hints {
    pub fn of(traffic_distribution: Option<&str>) -> Self {
        match traffic_distribution {
            Some("PreferClose" | "PreferSameZone") => Self::SameZone,
            Some("PreferSameNode") => Self::SameNode,
            _ => Self::None,
        }
    }
    /// The hints that an endpoint gets. One that is not ready keeps what it has.
    pub fn set(self, e: &mut Endpoint) {
        if self == Self::None {
            e.hints = None;
            return;
        }
        if e.conditions.as_ref().and_then(|c| c.ready) != Some(true) {
            return;
        }
        let zones = e.zone.as_ref().map(|z| vec![ForZone { name: z.clone() }]);
        let node = e.node_name.as_ref().filter(|_| self == Self::SameNode);
        let nodes = node.map(|n| vec![ForNode { name: n.clone() }]);
        e.hints = (zones.is_some() || nodes.is_some())
            .then_some(EndpointHints { for_zones: zones, for_nodes: nodes });
    }
}
