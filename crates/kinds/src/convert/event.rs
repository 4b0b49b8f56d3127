//! Events: `events.k8s.io/v1` and the core form, which is the stored one (K/pkg/apis/events/v1/conversion.go).

use crate::val::Put;
use meta::Value;

/// `events.k8s.io` name, core name.
const FIELDS: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn rename(o: &mut Value, from: &str, to: &str) {
    if let Some(v) = o.drop_key(from) {
        o.put(to, v);
    }
}

pub fn event_to_core(mut o: Value) -> Value {
    for (events, core) in FIELDS {
        rename(&mut o, events, core);
    }
    o
}

pub fn event_from_core(mut o: Value) -> Value {
    for (events, core) in FIELDS {
        rename(&mut o, core, events);
    }
    o
}
