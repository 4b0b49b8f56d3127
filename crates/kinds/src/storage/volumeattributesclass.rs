//! VolumeAttributesClasses.

use super::storageclass::{parameters, provisioner};
use crate::kit::*;

pub(crate) struct VolumeAttributesClass;

impl Strategy for VolumeAttributesClass {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        provisioner(o.s("driverName"), &At::new("driverName"), &mut e);
        parameters(o.o("parameters"), false, &At::new("parameters"), &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        for f in ["driverName", "parameters"] {
            if !opt_same(o.set(f), old.set(f)) {
                e.forbidden(&At::new(f), format!("updates to {f} are forbidden."));
            }
        }
        e.0.extend(self.validate(cx, o));
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.s("driverName"), age(o, now)]
    }
}
