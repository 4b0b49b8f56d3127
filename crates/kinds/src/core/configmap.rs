//! ConfigMaps.

use crate::kit::*;

pub(crate) struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        frozen(o, old, &["data", "binaryData"], &mut e);
        validate(o, &mut e);
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let count = o.v("data").len_of() + o.v("binaryData").len_of();
        row![o.name(), count, age(o, now)]
    }
}

/// What a ConfigMap or Secret may hold, in bytes.
pub(super) const MAX_SIZE: usize = 1024 * 1024;

fn validate(o: &Value, e: &mut Errs) {
    let (data, binary) = (At::new("data"), At::new("binaryData"));
    let mut size = 0;
    for (k, v) in keys(o.o("data")) {
        e.name(&data.k(k), k, names::is_config_map_key);
        if o.v("binaryData").has(k) {
            e.invalid(&data.k(k), k, "duplicate of key present in binaryData");
        }
        size += v.as_str().map_or(0, str::len);
    }
    for (k, v) in keys(o.o("binaryData")) {
        e.name(&binary.k(k), k, names::is_config_map_key);
        size += decoded_len(v);
    }
    if size > MAX_SIZE {
        e.too_long(&At::new(""), MAX_SIZE as i64);
    }
}

/// How many bytes a base64 string stands for.
pub(super) fn decoded_len(v: &Value) -> usize {
    let s = v.as_str().unwrap_or("");
    s.len() / 4 * 3 - s.bytes().rev().take(2).filter(|b| *b == b'=').count()
}

/// Once `immutable` is set, it and the data stay.
pub(super) fn frozen(o: &Value, old: &Value, fields: &[&str], e: &mut Errs) {
    const WHY: &str = "field is immutable when `immutable` is set";
    if !old.b("immutable") {
        return;
    }
    if !o.b("immutable") {
        e.forbidden(&At::new("immutable"), WHY);
    }
    for f in fields {
        if !opt_same(o.f(f), old.f(f)) {
            e.forbidden(&At::new(f), WHY);
        }
    }
}
