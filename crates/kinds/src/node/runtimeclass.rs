//! RuntimeClasses.

use crate::kit::*;

pub(crate) struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.s("handler"), age(o, now)]
    }
}
