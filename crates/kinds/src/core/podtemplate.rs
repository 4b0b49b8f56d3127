//! PodTemplates.

use crate::kit::*;

pub(crate) struct PodTemplate;

impl Strategy for PodTemplate {
    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let t = o.v("template");
        let (names, images) = rows::containers(t.v("spec"));
        row![o.name(), names, images, rows::labels(t.v("metadata").o("labels"))]
    }
}
