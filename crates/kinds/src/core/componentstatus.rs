//! ComponentStatuses: health of components, probed live.

use crate::kit::*;

pub(crate) struct ComponentStatus;

impl Strategy for ComponentStatus {
    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let c = o.list("conditions").iter().find(|c| c.s("type") == "Healthy");
        let status = c.map_or("Unknown", |c| if c.s("status") == "True" { "Healthy" } else { "Unhealthy" });
        row![o.name(), status, c.map_or("", |c| c.s("message")), c.map_or("", |c| c.s("error"))]
    }
}
