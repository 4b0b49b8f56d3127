//! PriorityClasses.

use crate::kit::*;

pub(crate) struct PriorityClass;

impl Strategy for PriorityClass {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        let (name, value) = (o.name(), o.i("value"));
        if name.starts_with("system-") {
            if let Some(why) = not_of_the_system(o) {
                e.forbidden(
                    &At::new("metadata.name"),
                    format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}"),
                );
            }
        } else if value > 1_000_000_000 {
            let why = "maximum allowed value of a user defined priority is 1000000000";
            e.forbidden(&At::new("value"), why);
        }
        if let Some(p) = o.os("preemptionPolicy") {
            e.required_one_of(&At::new("preemptionPolicy"), p, &["PreemptLowerPriority", "Never"]);
        }
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if o.i("value") != old.i("value") {
            e.forbidden(&At::new("value"), "may not be changed in an update.");
        }
        let f = "preemptionPolicy";
        e.immutable(&At::new(f), o.f(f), old.f(f));
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.i("value"), o.b("globalDefault"), age(o, now), o.s("preemptionPolicy")]
    }
}

/// Why a class with a name of the system is not one of its own.
fn not_of_the_system(o: &Value) -> Option<String> {
    let name = o.name();
    let value = match name {
        "system-node-critical" => 2_000_001_000,
        "system-cluster-critical" => 2_000_000_000,
        _ => return Some(format!("{name} is not a known system priority class")),
    };
    if o.i("value") != value {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    o.b("globalDefault").then(|| format!("globalDefault of {name} PriorityClass must be false"))
}
