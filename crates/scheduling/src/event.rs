//! What happens in the cluster, as far as it may let a pod be scheduled (`framework/events.go`).

use crate::cluster::{Capacity, Claim, Class, CsiDriver, CsiNode, Volume};
use crate::node::NodeSpec;
use crate::pod::PodInfo;

/// What of a node changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeChange {
    pub allocatable: bool,
    pub labels: bool,
    /// Taints, or that it was made schedulable.
    pub taints: bool,
    pub conditions: bool,
    pub annotations: bool,
    pub features: bool,
}

impl NodeChange {
    pub fn between(old: &NodeSpec, new: &NodeSpec) -> Self {
        Self {
            allocatable: old.allocatable != new.allocatable || old.max_pods != new.max_pods,
            labels: old.labels != new.labels,
            taints: old.taints != new.taints || (old.unschedulable && !new.unschedulable),
            conditions: old.conditions != new.conditions,
            annotations: old.annotations != new.annotations,
            features: old.declared_features != new.declared_features,
        }
    }
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// What of a pod changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodChange {
    pub labels: bool,
    pub scaled_down: bool,
    pub gates_gone: bool,
    pub tolerations: bool,
}

impl PodChange {
    pub fn between(old: &PodInfo, new: &PodInfo) -> Self {
        let (o, n) = (&old.charged, &new.charged);
        let less = n.cpu < o.cpu
            || n.memory < o.memory
            || n.storage < o.storage
            || o.scalars.iter().any(|(k, v)| n.scalar(k) < *v);
        Self {
            labels: old.labels != new.labels,
            scaled_down: less,
            gates_gone: new.gates.is_empty() && !old.gates.is_empty(),
            tolerations: old.tolerations.len() != new.tolerations.len(),
        }
    }
}

/// An event with the states around it.
#[derive(Clone, Copy)]
pub enum Event<'a> {
    NodeAdded(&'a NodeSpec),
    NodeUpdated {
        old: &'a NodeSpec,
        new: &'a NodeSpec,
        change: NodeChange,
    },
    NodeDeleted(&'a NodeSpec),
    /// A pod with a node.
    PodAdded(&'a PodInfo),
    PodUpdated {
        old: &'a PodInfo,
        new: &'a PodInfo,
        change: PodChange,
    },
    PodDeleted(&'a PodInfo),
    /// The pod itself that waits.
    Target {
        old: &'a PodInfo,
        new: &'a PodInfo,
        change: PodChange,
    },
    ClaimAdded(&'a Claim),
    ClaimUpdated(&'a Claim),
    VolumeAdded(&'a Volume),
    VolumeUpdated {
        old: &'a Volume,
        new: &'a Volume,
    },
    ClassAdded(&'a Class),
    ClassUpdated {
        old: &'a Class,
        new: &'a Class,
    },
    CsiNodeAdded(&'a CsiNode),
    CsiNodeUpdated {
        old: &'a CsiNode,
        new: &'a CsiNode,
    },
    DriverUpdated {
        name: &'a str,
        old: CsiDriver,
        new: CsiDriver,
    },
    CapacityAdded(&'a Capacity),
    CapacityUpdated {
        old: &'a Capacity,
        new: &'a Capacity,
    },
    AttachmentDeleted,
}
