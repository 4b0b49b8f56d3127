//! NetworkPolicies.

use crate::kit::*;

pub(crate) struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), rows::selector(Some(o.v("spec").v("podSelector"))), age(o, now)]
    }
}
