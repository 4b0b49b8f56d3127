//! Namespaces.

use crate::kit::*;

pub(crate) struct Namespace;

impl Strategy for Namespace {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.str_at("status.phase"), age(o, now)]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        (label == "status.phase").then(|| o.str_at(label).to_owned())
    }
}
