//! The status of a claim: who has it, which devices it got, what their drivers say.

use super::claim::{Requests, binding_conditions, configuration, pool_name, raw, toleration};
use crate::kit::*;
use crate::podspec::affinity;
use crate::podspec::sources::csi_driver_name;

type DeviceId<'a> = (&'a str, &'a str, &'a str, &'a str);

fn id(d: &Value) -> DeviceId<'_> {
    (d.s("driver"), d.s("pool"), d.s("device"), d.s("shareID"))
}

fn allocated(o: &Value) -> Vec<DeviceId<'_>> {
    o.v("status").v("allocation").v("devices").list("results").iter().map(id).collect()
}

/// Reports of devices go with their allocation.
pub(super) fn forget_deallocated(o: &mut Value, old: &Value) {
    let gone: Vec<DeviceId<'_>> = {
        let now = allocated(o);
        allocated(old).into_iter().filter(|d| !now.contains(d)).collect()
    };
    if gone.is_empty() {
        return;
    }
    let status = o.obj("status");
    if let Some(Value::Array(list)) = status.get_mut("devices") {
        list.retain(|d| !gone.contains(&id(d)));
        if list.is_empty() {
            status.remove("devices");
        }
    }
}

pub(super) fn update(o: &Value, old: &Value, e: &mut Errs) {
    let (at, s, was) = (At::new("status"), o.v("status"), old.v("status"));
    let reserved_at = at.c("reservedFor");
    let reserved = s.list("reservedFor");
    for (i, r) in reserved.iter().enumerate().take(256) {
        let at = reserved_at.i(i);
        for f in ["resource", "name", "uid"] {
            e.non_empty(&at.c(f), r.s(f));
        }
    }
    let known = allocated(o);
    let devices_at = at.c("devices");
    for (i, d) in s.list("devices").iter().enumerate() {
        device(d, &known, &devices_at.i(i), e);
    }
    if !reserved.is_empty() && !s.has("allocation") {
        e.forbidden(&reserved_at, "may not be specified when `allocated` is not set");
    } else if o.deletion_timestamp().is_some()
        && reserved.iter().any(|r| !was.list("reservedFor").contains(r))
    {
        let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        e.forbidden(&reserved_at, why);
    }
    let at = at.c("allocation");
    match (s.set("allocation"), was.set("allocation")) {
        (Some(n), Some(o)) => e.immutable(&at, Some(n), Some(o)),
        (Some(n), None) => allocation(n, &Requests::of(o.v("spec").v("devices")), &at, e),
        _ => {}
    }
}

fn device(d: &Value, known: &[DeviceId<'_>], at: &At<'_>, e: &mut Errs) {
    csi_driver_name(d.s("driver"), &at.c("driver"), e);
    pool_name(d.s("pool"), &at.c("pool"), e);
    e.label(&at.c("device"), d.s("device"));
    if !known.contains(&id(d)) {
        let (driver, pool, device, share) = id(d);
        let mut shown = json!({"Driver": driver, "Pool": pool, "Device": device});
        if !share.is_empty() {
            shown.put("ShareID", share);
        }
        e.invalid(at, shown, "must be an allocated device in the claim");
    }
    let conditions = d.list("conditions");
    if conditions.len() > 8 {
        e.too_many(&at.c("conditions"), conditions.len(), 8);
    }
    e.conditions(&at.c("conditions"), conditions);
    if let Some(data) = d.set("data") {
        raw(data, &at.c("data"), e);
    }
}

fn allocation(a: &Value, requests: &Requests<'_>, at: &At<'_>, e: &mut Errs) {
    let d = a.v("devices");
    let results = at.c("devices.results");
    for (i, r) in d.list("results").iter().enumerate().take(32) {
        let at = results.i(i);
        requests.reference(r.s("request"), &at.c("request"), e);
        e.label(&at.c("device"), r.s("device"));
        binding_conditions(r, &at, e);
        let tolerations = at.c("tolerations");
        for (j, t) in r.list("tolerations").iter().enumerate() {
            toleration(t, &tolerations.i(j), e);
        }
    }
    let config = at.c("devices.config");
    for (i, c) in d.list("config").iter().enumerate().take(64) {
        let at = config.i(i);
        e.required_one_of(&at.c("source"), c.s("source"), &["FromClaim", "FromClass"]);
        requests.references(c, &at.c("requests"), e);
        configuration(c, &at, e);
    }
    if let Some(n) = a.set("nodeSelector") {
        affinity::node_selector(n, false, &at.c("nodeSelector"), e);
    }
}
