//! CSINodes.

use crate::kit::*;

pub(crate) struct CSINode;

impl Strategy for CSINode {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.array_at("spec.drivers").len(), age(o, now)]
    }
}
