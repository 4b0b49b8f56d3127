//! Leases.

use crate::kit::*;

pub(crate) struct Lease;

impl Strategy for Lease {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.v("spec").s("holderIdentity"), age(o, now)]
    }
}
