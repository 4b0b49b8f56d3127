//! PodGroups.

use crate::kit::*;

pub(crate) struct PodGroup;

impl Strategy for PodGroup {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let policy = if o.v("spec").v("schedulingPolicy").has("gang") { "Gang" } else { "Basic" };
        let workload = o.v("spec").set("workloadRef").map_or("<none>", |w| w.s("workloadName"));
        let mut status = match rows::condition(o, "PodGroupInitiallyScheduled") {
            None => "Pending",
            Some(c) if c.s("status") == "True" => "Scheduled",
            Some(_) => "Unschedulable",
        };
        if let Some(c) = rows::condition(o, "DisruptionTarget") {
            status = c.s("reason");
        }
        row![o.name(), policy, workload, status, age(o, now)]
    }
}
