//! PodDisruptionBudgets.

use crate::kit::*;

pub(crate) struct PodDisruptionBudget;

impl Strategy for PodDisruptionBudget {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let n = |k| s.set(k).map_or_else(|| "N/A".to_owned(), rows::int_or_string);
        row![
            o.name(),
            n("minAvailable"),
            n("maxUnavailable"),
            o.v("status").i("disruptionsAllowed"),
            age(o, now)
        ]
    }
}
