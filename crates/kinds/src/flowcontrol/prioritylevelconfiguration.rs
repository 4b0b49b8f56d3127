//! PriorityLevelConfigurations.

use crate::kit::*;

pub(crate) struct PriorityLevelConfiguration;

impl Strategy for PriorityLevelConfiguration {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let limited = o.v("spec").v("limited");
        let queuing = limited.v("limitResponse").v("queuing");
        let n = |v: &Value, k| v.set(k).cloned().unwrap_or_else(|| Value::from("<none>"));
        row![
            o.name(),
            o.v("spec").s("type"),
            n(limited, "nominalConcurrencyShares"),
            n(queuing, "queues"),
            n(queuing, "handSize"),
            n(queuing, "queueLengthLimit"),
            age(o, now),
        ]
    }
}
