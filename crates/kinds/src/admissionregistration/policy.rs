//! Validating- and MutatingAdmissionPolicies.

use crate::kit::*;

pub(crate) struct Policy;

impl Strategy for Policy {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let count = s.list("validations").len() + s.list("mutations").len();
        let param = s
            .set("paramKind")
            .map_or_else(|| "<unset>".to_owned(), |p| format!("{}/{}", p.s("apiVersion"), p.s("kind")));
        row![o.name(), count, param, age(o, now)]
    }
}
