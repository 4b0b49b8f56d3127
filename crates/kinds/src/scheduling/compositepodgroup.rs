//! CompositePodGroups.

use crate::kit::*;

pub(crate) struct CompositePodGroup;

impl Strategy for CompositePodGroup {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let policy = if o.v("spec").v("schedulingPolicy").has("gang") { "Gang" } else { "Basic" };
        let workload = o.v("spec").set("workloadRef").map_or("<none>", |w| w.s("workloadName"));
        row![o.name(), policy, workload, age(o, now)]
    }
}
