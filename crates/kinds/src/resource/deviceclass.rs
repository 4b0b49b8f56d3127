//! DeviceClasses.

use crate::kit::*;

pub(crate) struct DeviceClass;

impl Strategy for DeviceClass {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), age(o, now)]
    }
}
