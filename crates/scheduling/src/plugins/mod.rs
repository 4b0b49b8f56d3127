//! The plugins, one file each.

pub mod balanced_allocation;
pub mod default_preemption;
pub mod dynamic_resources;
pub mod image_locality;
pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_declared_features;
pub mod node_name;
pub mod node_ports;
pub mod node_unschedulable;
pub mod node_volume_limits;
pub mod resources_fit;
pub mod scheduling_gates;
pub mod taint_toleration;
pub mod topology_spread;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;

/// Names in upstream's default order, with their weights when they score.
pub const ALL: [(&str, i64); 20] = [
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeName", 0),
    ("NodeUnschedulable", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 1),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 0),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
    ("NodeDeclaredFeatures", 0),
];

/// A filter that keeps no state.
macro_rules! stateless {
    ($name:ident, $check:expr) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl crate::framework::Filter for $name {
            fn check(
                &mut self,
                cx: crate::framework::Cx<'_>,
                node: &crate::node::NodeInfo,
            ) -> Result<(), crate::status::Refusal> {
                let check: fn(
                    crate::framework::Cx<'_>,
                    &crate::node::NodeInfo,
                ) -> Result<(), crate::status::Refusal> = $check;
                check(cx, node)
            }
            fn copy(&self) -> Box<dyn crate::framework::Filter> {
                Box::new(*self)
            }
            fn as_any(&mut self) -> &mut dyn std::any::Any {
                self
            }
        }
    };
}
pub(crate) use stateless;
