//! Checks that many kinds share, with upstream's sentences.

use crate::at::{At, Errs};
use crate::val::{Get, Obj, deep_same};
use meta::labels::SelectorOptions;
use meta::quantity::Quantity;
use meta::{Value, labels, names};

pub(crate) const NEGATIVE: &str = "must be greater than or equal to 0";
pub(crate) const NOT_POSITIVE: &str = "must be greater than zero";
pub(crate) const IMMUTABLE: &str = "field is immutable";

/// A quantity; zero when it is missing or unreadable (decoding has refused unreadable ones).
pub(crate) fn quantity(v: &Value) -> Quantity {
    v.as_str().and_then(|s| Quantity::parse(s).ok()).unwrap_or_else(|| match v.as_i64() {
        Some(n) => Quantity::from_units(n, meta::quantity::Format::DecimalSi),
        None => Quantity::zero(),
    })
}

/// The number of an `IntOrString` that is a plain percentage: `25%`.
pub(crate) fn percent(v: &Value) -> Option<i64> {
    v.as_str()?
        .strip_suffix('%')
        .filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?
        .parse()
        .ok()
}

/// The integer of an `IntOrString`; 0 for a string.
pub(crate) fn int_value(v: &Value) -> i64 {
    v.as_i64().unwrap_or(0)
}

/// The number of an `IntOrString`: of a percentage the percents, of other strings the number they spell, else 0.
pub(crate) fn percent_or_int(v: &Value) -> i64 {
    percent(v).unwrap_or_else(|| match v {
        Value::String(s) => s.parse().unwrap_or(0),
        v => int_value(v),
    })
}

impl Errs {
    /// A name, checked by one of `meta::names`.
    pub(crate) fn name(&mut self, at: &At<'_>, value: &str, check: fn(&str) -> Vec<String>) {
        self.each_invalid(at, value, check(value));
    }
    pub(crate) fn label(&mut self, at: &At<'_>, value: &str) {
        self.name(at, value, names::is_dns1123_label);
    }
    pub(crate) fn subdomain(&mut self, at: &At<'_>, value: &str) {
        self.name(at, value, names::is_dns1123_subdomain);
    }
    pub(crate) fn qualified(&mut self, at: &At<'_>, value: &str) {
        self.name(at, value, names::is_qualified_name);
    }
    /// Required, then checked.
    pub(crate) fn required_name(&mut self, at: &At<'_>, value: &str, check: fn(&str) -> Vec<String>) {
        if value.is_empty() { self.required(at, "") } else { self.name(at, value, check) }
    }
    /// A string that must not be empty.
    pub(crate) fn non_empty(&mut self, at: &At<'_>, value: &str) {
        if value.is_empty() {
            self.required(at, "");
        }
    }
    pub(crate) fn nonnegative(&mut self, at: &At<'_>, v: i64) {
        if v < 0 {
            self.invalid(at, v, NEGATIVE);
        }
    }
    /// Counters that are not negative.
    pub(crate) fn counters(&mut self, s: &Value, at: &At<'_>, fields: &[&str]) {
        for f in fields {
            self.nonnegative(&at.c(f), s.i(f));
        }
    }
    pub(crate) fn positive(&mut self, at: &At<'_>, v: i64) {
        if v <= 0 {
            self.invalid(at, v, NOT_POSITIVE);
        }
    }
    pub(crate) fn in_range(&mut self, at: &At<'_>, v: i64, lo: i64, hi: i64) {
        if v < lo || v > hi {
            self.invalid(at, v, names::inclusive_range_error(lo, hi));
        }
    }
    pub(crate) fn port(&mut self, at: &At<'_>, v: i64) {
        self.in_range(at, v, 1, 65535);
    }
    pub(crate) fn unix_id(&mut self, at: &At<'_>, v: Option<i64>) {
        if let Some(v) = v {
            self.in_range(at, v, 0, i64::from(i32::MAX));
        }
    }
    pub(crate) fn port_num_or_name(&mut self, at: &At<'_>, v: &Value) {
        match v {
            Value::String(s) => self.name(at, s, names::is_valid_port_name),
            v => self.port(at, int_value(v)),
        }
    }
    /// One of a sorted list of values.
    pub(crate) fn one_of(&mut self, at: &At<'_>, v: &str, supported: &[&str]) -> bool {
        let ok = supported.contains(&v);
        if !ok {
            self.unsupported(at, v, supported);
        }
        ok
    }
    /// Set, and one of a list of values.
    pub(crate) fn required_one_of(&mut self, at: &At<'_>, v: &str, supported: &[&str]) -> bool {
        if v.is_empty() {
            self.required(at, "");
            return false;
        }
        self.one_of(at, v, supported)
    }
    /// `acme.io/foo`.
    pub(crate) fn domain_prefixed_path(&mut self, at: &At<'_>, v: &str) {
        match v.split_once('/') {
            _ if v.is_empty() => self.required(at, ""),
            Some((host, path)) if !host.is_empty() && !path.is_empty() => {
                self.subdomain(at, host);
                let ok = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
                if !path.bytes().all(ok) {
                    let pattern = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
                    self.invalid(at, path, names::regex_error("Invalid path", pattern, &[]));
                }
            }
            _ => self.invalid(at, v, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
        }
    }
    pub(crate) fn label_name(&mut self, at: &At<'_>, v: &str) {
        self.qualified(at, v);
    }
    pub(crate) fn labels(&mut self, at: &At<'_>, l: Option<&Obj>) {
        if let Some(l) = l.filter(|l| !l.is_empty()) {
            self.0.extend(labels::validate_labels(Some(l), &at.path()));
        }
    }
    pub(crate) fn annotations(&mut self, at: &At<'_>, a: Option<&Obj>) {
        if let Some(a) = a.filter(|a| !a.is_empty()) {
            self.0.extend(meta::metav1::validate_annotations(Some(a), &at.path()));
        }
    }
    pub(crate) fn label_selector(&mut self, at: &At<'_>, s: Option<&Value>, allow_invalid_values: bool) {
        if let Some(s) = s {
            let opts = SelectorOptions { allow_invalid_values, ..SelectorOptions::default() };
            self.0.extend(labels::validate_label_selector(Some(s), opts, &at.path()));
        }
    }
    pub(crate) fn immutable(&mut self, at: &At<'_>, new: Option<&Value>, old: Option<&Value>) {
        if !opt_same(new, old) {
            self.invalid(at, new.cloned().unwrap_or(Value::Null), IMMUTABLE);
        }
    }
    /// Immutable, for a field that is no pointer: when it is gone, its zero is shown.
    pub(crate) fn fixed(&mut self, at: &At<'_>, new: &Value, old: &Value, field: &str) {
        let zero = match old.v(field) {
            Value::String(_) if !field.contains("Time") => Value::from(""),
            Value::Number(_) => 0.into(),
            Value::Bool(_) => false.into(),
            _ => Value::Null,
        };
        let (new, old) = (new.set(field), old.set(field));
        if !opt_same(new, old) {
            self.invalid(at, new.cloned().unwrap_or(zero), IMMUTABLE);
        }
    }
    pub(crate) fn nonnegative_quantity(&mut self, at: &At<'_>, q: &Quantity) {
        if q.is_negative() {
            self.invalid(at, q.to_string(), NEGATIVE);
        }
    }
    pub(crate) fn positive_quantity(&mut self, at: &At<'_>, q: &Quantity) {
        if q.is_negative() || q.is_zero() {
            self.invalid(at, q.to_string(), NOT_POSITIVE);
        }
    }
    /// An `IntOrString` that counts: a non-negative integer or a percentage.
    pub(crate) fn int_or_percent(&mut self, at: &At<'_>, v: &Value) {
        match v {
            Value::String(s) => self.name(at, s, names::is_valid_percent),
            v => self.nonnegative(at, int_value(v)),
        }
    }
    pub(crate) fn not_more_than_100_percent(&mut self, at: &At<'_>, v: &Value) {
        if percent(v).is_some_and(|p| p > 100) {
            self.invalid(at, v.clone(), "must not be greater than 100%");
        }
    }
    pub(crate) fn conditions(&mut self, at: &At<'_>, conditions: &[Value]) {
        if !conditions.is_empty() {
            self.0.extend(meta::metav1::validate_conditions(conditions, &at.path()));
        }
    }
}

/// Whether two optional values are the same, where empty ones are as good as absent ones.
pub(crate) fn opt_same(a: Option<&Value>, b: Option<&Value>) -> bool {
    deep_same(a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null))
}

/// The sorted keys of a map of labels, and so on.
pub(crate) fn keys(o: Option<&Obj>) -> impl Iterator<Item = (&str, &Value)> {
    o.into_iter().flatten().map(|(k, v)| (k.as_str(), v))
}

/// The containers of a pod spec, init first, with the place of each.
pub(crate) fn each_container<'a>(spec: &'a Value, at: &At<'_>, f: &mut dyn FnMut(&'a Value, &At<'_>)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let list_at = at.c(list);
        for (i, c) in spec.list(list).iter().enumerate() {
            f(c, &list_at.i(i));
        }
    }
}

/// All containers of a pod spec.
pub(crate) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    spec.list("initContainers").iter().chain(spec.list("containers")).chain(spec.list("ephemeralContainers"))
}
