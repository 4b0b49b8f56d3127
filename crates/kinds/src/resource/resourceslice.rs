//! ResourceSlices.

use crate::kit::*;

pub(crate) struct ResourceSlice;

impl Strategy for ResourceSlice {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        row![o.name(), s.s("nodeName"), s.s("driver"), s.v("pool").s("name"), age(o, now)]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.nodeName" | "spec.driver" | "spec.pool.name")
            .then(|| o.str_at(label).to_owned())
    }
}
