//! Leases.

use crate::kit::*;

pub(crate) struct Lease;

impl Strategy for Lease {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        let (at, s) = (At::new("spec"), o.v("spec"));
        if let Some(n) = s.oi("leaseDurationSeconds").filter(|n| *n <= 0) {
            e.invalid(&at.c("leaseDurationSeconds"), n, "must be greater than 0");
        }
        e.nonnegative(&at.c("leaseTransitions"), s.i("leaseTransitions"));
        if let Some(x) = s.os("strategy") {
            strategy(x, &at.c("strategy"), &mut e);
        }
        if !s.s("preferredHolder").is_empty() && s.s("strategy").is_empty() {
            e.forbidden(&at.c("preferredHolder"), "may only be specified if `strategy` is defined");
        }
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.v("spec").s("holderIdentity"), age(o, now)]
    }
}

/// How a leader is chosen among candidates.
pub(super) fn strategy(s: &str, at: &At<'_>, e: &mut Errs) {
    // The field comes twice in upstream's path.
    let at = at.c("strategy");
    if s.contains('/') {
        e.qualified(&at, s);
    } else {
        e.one_of(&at, s, &["OldestEmulationVersion"]);
    }
}
