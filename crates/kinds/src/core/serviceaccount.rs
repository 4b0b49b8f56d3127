//! ServiceAccounts.

use crate::kit::*;

pub(crate) struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), age(o, now)]
    }
}
