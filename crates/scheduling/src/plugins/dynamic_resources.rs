//! `DynamicResources`, as far as it goes: this scheduler does not allocate devices, so a pod that asks for some waits
//! instead of being sent to a node that cannot start it.

use crate::framework::{Cx, Plugin, PreFilter};
use crate::status::Refusal;

pub struct DynamicResources;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        if !cx.pod.wants_devices {
            return PreFilter::Skip;
        }
        PreFilter::Refuse(Refusal::unresolvable(
            "pod has resource claims, which this scheduler does not allocate; use a scheduler that does (spec.schedulerName)",
        ))
    }
}
