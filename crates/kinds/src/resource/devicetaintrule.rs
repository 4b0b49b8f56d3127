//! DeviceTaintRules.

use super::claim;
use crate::kit::*;
use crate::podspec::sources::csi_driver_name;

pub(crate) struct DeviceTaintRule;

impl Strategy for DeviceTaintRule {
    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        let taint = |o: &Value, f: &str| o.v("spec").v("taint").s(f).to_owned();
        if cx.subresource.is_empty()
            && taint(o, "effect") != taint(old, "effect")
            && taint(o, "timeAdded") == taint(old, "timeAdded")
        {
            o.obj("spec").obj("taint").put("timeAdded", cx.now.rfc3339());
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, None, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            let list = o.v("status").list("conditions");
            let at = At::new("status.conditions");
            e.conditions(&at, list);
            if list.len() > 8 {
                e.too_many(&at, list.len(), 8);
            }
            return e.0;
        }
        validate(o, Some(old), &mut e);
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let t = o.v("spec").v("taint");
        let added = match t.s("timeAdded") {
            "" => String::new(),
            time => since(time, now),
        };
        row![o.name(), t.s("key"), t.s("value"), t.s("effect"), added, age(o, now)]
    }
}

fn validate(o: &Value, old: Option<&Value>, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    if let Some(d) = s.set("deviceSelector") {
        let at = at.c("deviceSelector");
        if let Some(n) = d.os("driver") {
            csi_driver_name(n, &at.c("driver"), e);
        }
        if let Some(n) = d.os("pool") {
            claim::pool_name(n, &at.c("pool"), e);
        }
        if let Some(n) = d.os("device") {
            e.label(&at.c("device"), n);
        }
    }
    let was = old.map(|o| o.v("spec").v("taint"));
    claim::taint(s.v("taint"), was, &at.c("taint"), e);
}
