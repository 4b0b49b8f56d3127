//! ReplicaSets.

use crate::kit::*;

pub(crate) struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let (names, images) = rows::containers(s.v("template").v("spec"));
        row![
            o.name(),
            s.i("replicas"),
            st.i("replicas"),
            st.i("readyReplicas"),
            age(o, now),
            names,
            images,
            rows::selector(s.set("selector")),
        ]
    }
}

/// Counters of a status: not negative, and no more than there are.
pub(crate) fn status(s: &Value, e: &mut Errs) {
    let at = At::new("status");
    for f in ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"]
    {
        e.nonnegative(&at.c(f), s.i(f));
    }
    let all = s.i("replicas");
    for f in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
        if s.i(f) > all {
            e.invalid(&at.c(f), s.i(f), "cannot be greater than status.replicas");
        }
    }
    if s.i("availableReplicas") > s.i("readyReplicas") {
        e.invalid(
            &at.c("availableReplicas"),
            s.i("availableReplicas"),
            "cannot be greater than readyReplicas",
        );
    }
}
