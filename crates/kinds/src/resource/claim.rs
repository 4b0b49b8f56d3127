//! What a claim asks for: requests, constraints among them, configuration. Much of it is declared; here is the rest. CEL
//! expressions are not compiled.

use crate::kit::*;
use crate::podspec::sources::csi_driver_name;

/// Names of requests with those of their alternatives.
pub(super) struct Requests<'a>(Vec<(&'a str, Vec<&'a str>)>);

impl<'a> Requests<'a> {
    pub(super) fn of(devices: &'a Value) -> Self {
        let subs = |r: &'a Value| r.list("firstAvailable").iter().map(|s| s.s("name")).collect();
        Self(devices.list("requests").iter().map(|r| (r.s("name"), subs(r))).collect())
    }
    fn has(&self, name: &str) -> bool {
        let (first, second) = name.split_once('/').map_or((name, None), |(a, b)| (a, Some(b)));
        self.0
            .iter()
            .rfind(|(n, _)| *n == first)
            .is_some_and(|(_, subs)| second.is_none_or(|s| subs.contains(&s)))
    }
    /// A reference to a request, or to an alternative of one: `gpu/small`.
    pub(super) fn reference(&self, name: &str, at: &At<'_>, e: &mut Errs) {
        const WHY: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
        let parts: Vec<&str> = name.split('/').collect();
        if parts.len() > 2 {
            return e.invalid(at, name, WHY);
        }
        for p in parts {
            e.label(at, p);
        }
        if !self.has(name) {
            e.invalid(at, name, WHY);
        }
    }
    pub(super) fn references(&self, v: &Value, at: &At<'_>, e: &mut Errs) {
        let list = v.strs("requests");
        if list.len() <= MAX {
            for (i, r) in list.iter().enumerate() {
                self.reference(r, &at.i(i), e);
            }
        }
    }
}

const MAX: usize = 32;

/// Items of a list that is not too long; that it is has been declared.
fn each(
    v: &Value,
    f: &str,
    max: usize,
    at: &At<'_>,
    e: &mut Errs,
    check: &dyn Fn(&Value, &At<'_>, &mut Errs),
) {
    let (list, at) = (v.list(f), at.c(f));
    if list.len() <= max {
        for (i, x) in list.iter().enumerate() {
            check(x, &at.i(i), e);
        }
    }
}

pub(super) fn devices(d: &Value, at: &At<'_>, e: &mut Errs) {
    let requests = Requests::of(d);
    each(d, "requests", MAX, at, e, &request);
    each(d, "constraints", MAX, at, e, &|c, at, e| {
        requests.references(c, &at.c("requests"), e);
        if !c.has("matchAttribute") && !c.has("distinctAttribute") {
            if schema::facts::gate("DRAConsumableCapacity") {
                let why = r#"exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set"#;
                e.required(at, why);
            } else {
                e.required(&at.c("matchAttribute"), "");
            }
        }
    });
    each(d, "config", MAX, at, e, &|c, at, e| {
        requests.references(c, &at.c("requests"), e);
        configuration(c, at, e);
    });
}

fn request(r: &Value, at: &At<'_>, e: &mut Errs) {
    e.label(&at.c("name"), r.s("name"));
    match (r.set("exactly"), !r.list("firstAvailable").is_empty()) {
        (None, false) => e.required(at, "exactly one of `exactly` or `firstAvailable` is required"),
        (Some(_), true) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            e.invalid(at, Value::Null, why);
        }
        (Some(x), false) => exact(x, &at.c("exactly"), e),
        (None, true) => each(r, "firstAvailable", 8, at, e, &|x, at, e| {
            e.label(&at.c("name"), x.s("name"));
            exact(x, at, e);
        }),
    }
}

fn exact(x: &Value, at: &At<'_>, e: &mut Errs) {
    e.required_name(&at.c("deviceClassName"), x.s("deviceClassName"), names::is_dns1123_subdomain);
    each(x, "selectors", MAX, at, e, &selector);
    let (count, count_at) = (x.i("count"), at.c("count"));
    match x.s("allocationMode") {
        "All" if count != 0 => {
            e.invalid(&count_at, count, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count <= 0 => e.invalid(&count_at, count, "must be greater than zero"),
        "All" | "ExactCount" => {}
        m => e.unsupported(&at.c("allocationMode"), m, &["All", "ExactCount"]),
    }
    let tolerations = at.c("tolerations");
    for (i, t) in x.list("tolerations").iter().enumerate() {
        toleration(t, &tolerations.i(i), e);
    }
}

pub(super) fn selector(s: &Value, at: &At<'_>, e: &mut Errs) {
    let at = at.c("cel");
    match s.set("cel") {
        None => e.required(&at, ""),
        Some(c) if c.s("expression").len() > 10 << 10 => e.too_long(&at.c("expression"), 10 << 10),
        Some(_) => {}
    }
}

pub(super) fn toleration(t: &Value, at: &At<'_>, e: &mut Errs) {
    if !t.s("key").is_empty() {
        e.label_name(&at.c("key"), t.s("key"));
    }
    let value = t.s("value");
    match t.s("operator") {
        "Exists" if !value.is_empty() => {
            e.invalid(&at.c("value"), value, "must be empty for operator `Exists`");
        }
        "Equal" => e.name(&at.c("value"), value, names::is_label_value),
        "Exists" => {}
        op => drop(e.required_one_of(&at.c("operator"), op, &["Equal", "Exists"])),
    }
    if !t.s("effect").is_empty() {
        e.one_of(&at.c("effect"), t.s("effect"), EFFECTS);
    }
}

const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];

pub(super) fn taint(t: &Value, old: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    e.label_name(&at.c("key"), t.s("key"));
    e.name(&at.c("value"), t.s("value"), names::is_label_value);
    if old.is_none_or(|o| o.s("effect") != t.s("effect")) {
        e.required_one_of(&at.c("effect"), t.s("effect"), EFFECTS);
    }
}

pub(super) fn configuration(c: &Value, at: &At<'_>, e: &mut Errs) {
    let at = at.c("opaque");
    match c.set("opaque") {
        None => e.required(&at, ""),
        Some(o) => raw(o.v("parameters"), &at.c("parameters"), e),
    }
}

/// A JSON object of someone else's, of bounded size.
pub(super) fn raw(v: &Value, at: &At<'_>, e: &mut Errs) {
    match v {
        Value::Null => e.required(at, ""),
        v if v.to_string().len() > 10 << 10 => e.too_long(at, 10 << 10),
        Value::Object(_) => {}
        _ => e.invalid(at, "<value omitted>", "must be a valid JSON object"),
    }
}

/// The name of a pool of devices.
pub(super) fn pool_name(n: &str, at: &At<'_>, e: &mut Errs) {
    if n.is_empty() {
        return e.required(at, "");
    }
    if n.len() > 253 {
        e.too_long(at, 253);
    }
    for part in n.split('/') {
        e.subdomain(at, part);
    }
}

/// Conditions that say whether a device can be bound, two lists that need each other.
pub(super) fn binding_conditions(d: &Value, at: &At<'_>, e: &mut Errs) {
    const GOOD: &str = "bindingConditions";
    const BAD: &str = "bindingFailureConditions";
    let (good, bad) = (d.strs(GOOD), d.strs(BAD));
    for (f, list) in [(GOOD, &good), (BAD, &bad)] {
        let at = at.c(f);
        for (i, c) in list.iter().enumerate() {
            if list.len() <= 4 {
                e.label_name(&at.i(i), c);
            }
            if list[..i].contains(c) {
                e.duplicate(&at.i(i), *c);
            }
            if f == BAD && good.contains(c) {
                e.invalid(&at.i(i), *c, format!("{BAD} must not overlap with {GOOD}"));
            }
        }
    }
    for (f, list, other, others) in [(GOOD, &good, BAD, &bad), (BAD, &bad, GOOD, &good)] {
        if list.is_empty() && !others.is_empty() {
            e.invalid(&at.c(f), d.v(f).clone(), format!("{f} are required to use {other}"));
        }
    }
}

/// A name, with or without the domain of a driver.
pub(super) fn qualified_name(n: &str, at: &At<'_>, e: &mut Errs) {
    use crate::declare::identifier;
    match n.split('/').collect::<Vec<_>>()[..] {
        [name] => identifier(name, at, e),
        [domain, name] => {
            match domain {
                "" => e.invalid(at, "", "the domain must not be empty"),
                d => csi_driver_name(d, at, e),
            }
            match name {
                "" => e.invalid(at, "", "the name must not be empty"),
                n => identifier(n, at, e),
            }
        }
        _ => {}
    }
}
