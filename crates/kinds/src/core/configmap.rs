//! ConfigMaps.

use crate::kit::*;

pub(crate) struct ConfigMap;

impl Strategy for ConfigMap {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let count = o.v("data").len_of() + o.v("binaryData").len_of();
        row![o.name(), count, age(o, now)]
    }
}
