//! ResourceClaims.

use crate::kit::*;

pub(crate) struct ResourceClaim;

impl Strategy for ResourceClaim {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let mut states = Vec::new();
        let deleted = o.deletion_timestamp().is_some();
        if deleted {
            states.push("deleted");
        }
        if o.v("status").has("allocation") {
            states.push("allocated");
            if !o.v("status").list("reservedFor").is_empty() {
                states.push("reserved");
            }
        } else if !deleted {
            states.push("pending");
        }
        row![o.name(), states.join(","), age(o, now)]
    }
}
