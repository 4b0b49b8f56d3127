//! ResourceClaimTemplates.

use crate::kit::*;

pub(crate) struct ResourceClaimTemplate;

impl Strategy for ResourceClaimTemplate {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), age(o, now)]
    }
}
