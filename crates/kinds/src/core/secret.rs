//! Secrets.

use crate::kit::*;

pub(crate) struct Secret;

impl Strategy for Secret {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.s("type"), o.v("data").len_of(), age(o, now)]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        (label == "type").then(|| o.s("type").to_owned())
    }
}
