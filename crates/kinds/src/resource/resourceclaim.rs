//! ResourceClaims.

use super::{claim, status};
use crate::kit::*;

pub(crate) struct ResourceClaim;

impl Strategy for ResourceClaim {
    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource == "status" {
            status::forget_deallocated(o, old);
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        // The oldest version has another form, which only its declarations check.
        if o.s("apiVersion") != "resource.k8s.io/v1beta1" {
            claim::devices(o.v("spec").v("devices"), &At::new("spec.devices"), &mut e);
        }
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            status::update(o, old, &mut e);
            return e.0;
        }
        e.immutable(&At::new("spec"), o.f("spec"), old.f("spec"));
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let mut states = Vec::new();
        let deleted = o.deletion_timestamp().is_some();
        if deleted {
            states.push("deleted");
        }
        if o.v("status").has("allocation") {
            states.push("allocated");
            if !o.v("status").list("reservedFor").is_empty() {
                states.push("reserved");
            }
        } else if !deleted {
            states.push("pending");
        }
        row![o.name(), states.join(","), age(o, now)]
    }
}
