//! PodGroupProtection: pod groups stay while pods refer to them. Acts with the gate GenericWorkload.

use super::storage_object_in_use_protection::add_finalizer;
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;

pub(crate) struct PodGroupProtection;

impl Plugin for PodGroupProtection {
    fn name(&self) -> &'static str {
        "PodGroupProtection"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn admit(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        if a.is("scheduling.k8s.io", "podgroups")
            && a.subresource.is_empty()
            && schema::facts::gate("GenericWorkload")
            && let Some(o) = a.object.as_deref_mut()
        {
            add_finalizer(o, "scheduling.k8s.io/podgroup-protection");
        }
        Ok(())
    }
}
