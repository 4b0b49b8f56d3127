//! CSIDrivers.

use crate::kit::*;

pub(crate) struct CSIDriver;

impl Strategy for CSIDriver {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let tokens = match s.list("tokenRequests") {
            [] => "<unset>".to_owned(),
            l => l.iter().map(|t| t.s("audience")).collect::<Vec<_>>().join(","),
        };
        row![
            o.name(),
            s.ob("attachRequired").unwrap_or(true),
            s.b("podInfoOnMount"),
            s.b("storageCapacity"),
            tokens,
            s.b("requiresRepublish"),
            or_none(&s.strs("volumeLifecycleModes").join(",")),
            age(o, now),
        ]
    }
}
