//! PriorityClasses.

use crate::kit::*;

pub(crate) struct PriorityClass;

impl Strategy for PriorityClass {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.i("value"), o.b("globalDefault"), age(o, now), o.s("preemptionPolicy")]
    }
}
