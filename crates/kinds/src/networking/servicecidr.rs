//! ServiceCIDRs.

use crate::kit::*;

pub(crate) struct ServiceCIDR;

impl Strategy for ServiceCIDR {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.v("spec").strs("cidrs").join(","), age(o, now)]
    }
}
