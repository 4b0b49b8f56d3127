//! What a driver publishes of its devices.

use super::claim;
use crate::kit::*;
use crate::podspec::affinity;
use crate::podspec::sources::csi_driver_name;
use meta::quantity::Quantity;

/// A switch that is on or not there.
fn on(v: &Value, f: &'static str, set: &mut Vec<String>, at: &At<'_>, e: &mut Errs) {
    match v.ob(f) {
        Some(true) => set.push(format!("`{f}`")),
        Some(false) => e.invalid(&at.c(f), false, "must be either unset or set to true"),
        None => {}
    }
}

pub(super) fn validate(o: &Value, old: Option<&Value>, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    csi_driver_name(s.s("driver"), &at.c("driver"), e);
    let (pool, pool_at) = (s.v("pool"), at.c("pool"));
    claim::pool_name(pool.s("name"), &pool_at.c("name"), e);
    let n = pool.i("resourceSliceCount");
    if n <= 0 {
        e.invalid(&pool_at.c("resourceSliceCount"), n, "must be greater than zero");
    }
    if pool.i("generation") < 0 {
        let why = "must be greater than or equal to zero";
        e.invalid(&pool_at.c("generation"), pool.i("generation"), why);
    }
    if let Some(was) = old.map(|o| o.v("spec")) {
        e.fixed(&pool_at.c("name"), pool, was.v("pool"), "name");
        e.fixed(&at.c("driver"), s, was, "driver");
        e.immutable(&at.c("nodeName"), s.f("nodeName"), was.f("nodeName"));
    }
    nodes(s, &at, e);
    if s.has("sharedCounters") && s.has("devices") {
        e.invalid(&at, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    let devices_at = at.c("devices");
    let list = s.list("devices");
    let lists = ["bools", "ints", "strings", "versions"];
    let advanced = |d: &Value| {
        !d.list("taints").is_empty()
            || !d.list("consumesCounters").is_empty()
            || keys(d.o("attributes")).any(|(_, a)| lists.iter().any(|f| a.has(f)))
    };
    let max = if list.iter().any(advanced) { 64 } else { 128 };
    if list.len() > max {
        return e.too_many(&devices_at, list.len(), max);
    }
    for (i, d) in list.iter().enumerate() {
        let at = devices_at.i(i);
        let was = old.and_then(|o| o.v("spec").list("devices").iter().find(|x| x.s("name") == d.s("name")));
        // In the oldest version all but the name is one level down.
        if o.s("apiVersion") != "resource.k8s.io/v1beta1" {
            device(d, was, s.b("perDeviceNodeSelection"), &at, e);
        }
        if list[..i].iter().any(|x| x.s("name") == d.s("name")) {
            e.duplicate(&at, d.s("name"));
        }
    }
}

fn nodes(s: &Value, at: &At<'_>, e: &mut Errs) {
    const ONE: &str =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut set = Vec::new();
    match s.os("nodeName") {
        Some("") => {
            e.invalid(&at.c("nodeName"), "", "must be either unset or set to a non-empty string");
        }
        Some(n) => {
            set.push("`nodeName`".to_owned());
            e.subdomain(&at.c("nodeName"), n);
        }
        None => {}
    }
    if let Some(n) = s.set("nodeSelector") {
        let at = at.c("nodeSelector");
        set.push("`nodeSelector`".to_owned());
        affinity::node_selector(n, false, &at, e);
        if n.list("nodeSelectorTerms").len() != 1 {
            let shown = n.v("nodeSelectorTerms").clone();
            e.invalid(&at.c("nodeSelectorTerms"), shown, "must have exactly one node selector term");
        }
    }
    on(s, "allNodes", &mut set, at, e);
    on(s, "perDeviceNodeSelection", &mut set, at, e);
    match set.len() {
        0 => e.required(at, ONE),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            e.invalid(at, shown, format!("{ONE}, but multiple fields are set"));
        }
    }
}

fn device(d: &Value, old: Option<&Value>, own_nodes: bool, at: &At<'_>, e: &mut Errs) {
    e.label(&at.c("name"), d.s("name"));
    let (attributes, capacity) = (d.o("attributes"), d.o("capacity"));
    let n = attributes.map_or(0, Obj::len) + capacity.map_or(0, Obj::len);
    if n > 32 {
        let why = "the total number of attributes and capacities must not exceed 32";
        e.invalid(at, n, why);
    }
    let attributes_at = at.c("attributes");
    for (k, a) in keys(attributes) {
        claim::qualified_name(k, &attributes_at, e);
        attribute(a, &attributes_at.k(k), e);
    }
    if old.is_none_or(|o| !opt_same(o.f("capacity"), d.f("capacity"))) {
        let at = at.c("capacity");
        for (k, c) in keys(capacity) {
            claim::qualified_name(k, &at, e);
            let Some(p) = c.set("requestPolicy") else { continue };
            let at = at.k(k);
            let at = at.c("requestPolicy");
            if d.b("allowMultipleAllocations") {
                policy(p, &quantity(c.v("value")), &at, e);
            } else {
                e.forbidden(&at, "allowMultipleAllocations must be true");
            }
        }
    }
    if old.is_none_or(|o| !opt_same(o.f("taints"), d.f("taints"))) {
        let (list, at) = (d.list("taints"), at.c("taints"));
        if list.len() > 16 {
            e.too_many(&at, list.len(), 16);
        } else {
            for (i, t) in list.iter().enumerate() {
                claim::taint(t, None, &at.i(i), e);
            }
        }
    }
    device_nodes(d, own_nodes, at, e);
    claim::binding_conditions(d, at, e);
}

fn device_nodes(d: &Value, own: bool, at: &At<'_>, e: &mut Errs) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    if !own {
        if ["nodeName", "nodeSelector", "allNodes"].iter().any(|f| d.has(f)) {
            let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            e.invalid(at, Value::Null, why);
        }
        return;
    }
    let mut set = Vec::new();
    match d.os("nodeName") {
        Some("") => e.invalid(&at.c("nodeName"), "", "must not be empty"),
        Some(n) => {
            set.push("`nodeName`".to_owned());
            e.subdomain(&at.c("nodeName"), n);
        }
        None => {}
    }
    if let Some(n) = d.set("nodeSelector") {
        set.push("`nodeSelector`".to_owned());
        affinity::node_selector(n, false, &at.c("nodeSelector"), e);
    }
    on(d, "allNodes", &mut set, at, e);
    match set.len() {
        0 => e.required(at, ONE),
        1 => {}
        _ => e.invalid(at, format!("{{{}}}", set.join(", ")), ONE),
    }
}

fn attribute(a: &Value, at: &At<'_>, e: &mut Errs) {
    if let Some(s) = a.os("string").filter(|s| s.len() > 64) {
        debug_assert!(!s.is_empty());
        e.too_long(&at.c("string"), 64);
    }
    if let Some(v) = a.os("version") {
        let at = at.c("version");
        if !is_semver(v) {
            e.invalid(&at, v, "must be a string compatible with semver.org spec 2.0.0");
        }
        if v.len() > 64 {
            e.too_long(&at, 64);
        }
    }
}

fn is_semver(v: &str) -> bool {
    let word = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let digits = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
    let number = |p: &str| digits(p) && (p == "0" || !p.starts_with('0'));
    let (rest, build) = v.split_once('+').map_or((v, None), |(r, b)| (r, Some(b)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(r, p)| (r, Some(p)));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|p| p.split('.').all(|x| word(x) && (!digits(x) || number(x))))
        && build.is_none_or(|b| b.split('.').all(word))
}

/// How much of a capacity a request may take.
fn policy(p: &Value, max: &Quantity, at: &At<'_>, e: &mut Errs) {
    let (values, range) = (p.list("validValues"), p.set("validRange"));
    if !values.is_empty() && range.is_some() {
        let why = r#"exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time"#;
        return e.forbidden(at, why);
    }
    let default = p.set("default").map(quantity);
    match (values.is_empty(), range, default) {
        (false, _, None) => e.required(&at.c("default"), "required when validValues is defined"),
        (true, Some(_), None) => e.required(&at.c("default"), "required when validRange is defined"),
        (false, _, Some(d)) => valid_values(values, &d, max, &at.c("validValues"), e),
        (true, Some(r), Some(d)) => valid_range(r, &d, max, &at.c("validRange"), e),
        (true, None, _) => {}
    }
}

fn valid_values(values: &[Value], default: &Quantity, max: &Quantity, at: &At<'_>, e: &mut Errs) {
    let list: Vec<Quantity> = values.iter().map(quantity).collect();
    for (i, pair) in list.windows(2).enumerate() {
        if pair[0] > pair[1] {
            e.invalid(&at.i(i + 1), pair[1].to_string(), "values must be sorted in ascending order");
        }
    }
    if list.len() > 10 {
        return e.too_many(at, list.len(), 10);
    }
    for (i, q) in list.iter().enumerate() {
        if q > max {
            e.invalid(&at.i(i), q.to_string(), format!("option is larger than capacity value: {max}"));
        }
        if list[..i].contains(q) {
            e.duplicate(&at.i(i), q.to_string());
        }
    }
    if !list.contains(default) {
        let why = "default value is not valid according to the requestPolicy";
        e.invalid(at, default.to_string(), why);
    }
}

fn valid_range(r: &Value, default: &Quantity, max: &Quantity, at: &At<'_>, e: &mut Errs) {
    let Some(low) = r.set("min").map(quantity) else {
        return e.required(&at.c("min"), "required when validRange is defined");
    };
    let mut no = |f: &str, q: &Quantity, wrong: bool, why: String| {
        if wrong {
            e.invalid(&at.c(f), q.to_string(), why);
        }
    };
    no("min", &low, low > *max, format!("min is larger than capacity value: {max}"));
    no("default", default, *default < low, format!("default is less than min: {low}"));
    if let Some(high) = r.set("max").map(quantity) {
        no("max", &low, low > high, format!("min is larger than max: {high}"));
        no("max", &high, high > *max, format!("max is larger than capacity value: {max}"));
        no("default", default, *default > high, format!("default is more than max: {high}"));
    }
    if let Some(step) = r.set("step").map(quantity) {
        no("step", &step, step.is_zero() || step.is_negative(), "must be greater than zero".to_owned());
    }
}
