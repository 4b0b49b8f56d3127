//! LimitPodHardAntiAffinityTopology: required anti-affinity may only spread over nodes.

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;
use meta::object::ObjectExt;

pub(crate) struct LimitPodHardAntiAffinityTopology;

const HOSTNAME: &str = "kubernetes.io/hostname";

impl Plugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        "LimitPodHardAntiAffinityTopology"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn validate(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("pods") {
            return Ok(());
        }
        let terms =
            a.obj().array_at("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution");
        match terms.iter().map(|t| t.str_at("topologyKey")).find(|k| *k != HOSTNAME) {
            None => Ok(()),
            Some(k) => Err(Status::forbidden(
                &a.resource.group_resource(),
                a.obj().name(),
                format!(
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {k} but only key {HOSTNAME} \
                     is allowed"
                ),
            )),
        }
    }
}
