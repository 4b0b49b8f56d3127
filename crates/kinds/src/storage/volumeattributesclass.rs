//! VolumeAttributesClasses.

use crate::kit::*;

pub(crate) struct VolumeAttributesClass;

impl Strategy for VolumeAttributesClass {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.s("driverName"), age(o, now)]
    }
}
