//! Workloads.

use crate::kit::*;

pub(crate) struct Workload;

impl Strategy for Workload {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), age(o, now)]
    }
}
