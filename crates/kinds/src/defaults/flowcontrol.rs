//! Defaults of flowcontrol.apiserver.k8s.io/v1 (K/pkg/apis/flowcontrol/v1/defaults.go).

use super::DefaultFn;
use crate::val::{Obj, Put};
use meta::time::Timestamp;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", |o, _| shares(o, 0)),
    ("flowcontrol.v1.FlowSchemaSpec", |o, _| o.default_zero("matchingPrecedence", 1000)),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", |o, _| shares(o, 30)),
    ("flowcontrol.v1.QueuingConfiguration", queuing),
];

fn shares(o: &mut Obj, n: i32) {
    o.default_nil("nominalConcurrencyShares", n);
    o.default_nil("lendablePercent", 0);
}

fn queuing(o: &mut Obj, _: Timestamp) {
    o.default_zero("handSize", 8);
    o.default_zero("queues", 64);
    o.default_zero("queueLengthLimit", 50);
}
