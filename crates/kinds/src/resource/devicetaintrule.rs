//! DeviceTaintRules.

use crate::kit::*;

pub(crate) struct DeviceTaintRule;

impl Strategy for DeviceTaintRule {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let t = o.v("spec").v("taint");
        let added = match t.s("timeAdded") {
            "" => String::new(),
            time => since(time, now),
        };
        row![o.name(), t.s("key"), t.s("value"), t.s("effect"), added, age(o, now)]
    }
}
