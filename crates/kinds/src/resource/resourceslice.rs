//! ResourceSlices.

use super::slice;
use crate::kit::*;

pub(crate) struct ResourceSlice;

impl Strategy for ResourceSlice {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        slice::validate(o, None, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        slice::validate(o, Some(old), &mut e);
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        let driver = o.v("spec").s("driver");
        if driver == driver.to_lowercase() {
            return Vec::new();
        }
        let shown = meta::field::quote(driver);
        vec![format!("spec.driver: driver names should be lowercase; {shown} contains uppercase characters")]
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        row![o.name(), s.s("nodeName"), s.s("driver"), s.v("pool").s("name"), age(o, now)]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.nodeName" | "spec.driver" | "spec.pool.name")
            .then(|| o.str_at(label).to_owned())
    }
}
