//! Validation that the API declares: an interpreter of the markers in the facts (upstream generates code from them).
//! Plain and beta markers bind; alpha ones do not, but still end the checks of their field. On updates, what did not
//! change is not validated again.

mod formats;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use formats::identifier;

use crate::kit::*;
use rules::{Constraint, FieldRules, Rule};
use schema::TypeId;
use schema::facts::{self, Card};

/// What a validation knows besides the object.
#[derive(Clone, Copy)]
pub(crate) struct Op<'a> {
    pub update: bool,
    /// Whether an option of the kind (mostly a feature gate) is on.
    pub option: &'a dyn Fn(&str) -> bool,
}

/// Validates an object of a type; `old` on updates.
pub(crate) fn validate(ty: TypeId, op: Op<'_>, obj: &Value, old: Option<&Value>, e: &mut Errs) {
    object(ty, op, obj, old, &At::new(""), e);
}

/// What is to be done after a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Continue,
    Stop,
}

fn object(ty: TypeId, op: Op<'_>, obj: &Value, old: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    let Some(r) = rules::of(ty) else { return };
    if !r.union.is_empty() {
        union(&r.union, op, obj, old, at, e);
    }
    for f in &r.fields {
        if let Some(mode) = r.mode {
            by_mode(f, mode, op, obj, old, at, e);
        }
        let (new, was) = (obj.set(f.field.name), old.and_then(|o| o.set(f.field.name)));
        if op.update && old.is_some() && opt_same(new, was) {
            continue;
        }
        field(f, op, new, was, &at.c(f.field.name), e);
    }
}

fn field(f: &FieldRules, op: Op<'_>, new: Option<&Value>, old: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    // Checks that end the others come first.
    let mut stop = false;
    for m in f.rules.iter().filter(|m| m.rule.stops()) {
        stop |= check(&m.rule, m.binding, f, op, new, old, at, e) == Then::Stop;
    }
    if stop {
        return;
    }
    for m in f.rules.iter().filter(|m| !m.rule.stops()) {
        check(&m.rule, m.binding, f, op, new, old, at, e);
    }
    let Some(new) = new else { return };
    if let (Some(values), Value::String(s)) = (f.values, new) {
        e.one_of(at, s, values);
    }
    let Some(ty) = f.child else { return };
    match (f.field.card, new) {
        (Card::List, Value::Array(list)) => {
            for (i, v) in list.iter().enumerate() {
                let was = old.and_then(|o| o.as_array()?.iter().find(|o| f.matches(v, o)));
                if !(op.update && was.is_some_and(|w| deep_same(v, w))) {
                    object(ty, op, v, was, &at.i(i), e);
                }
            }
        }
        (Card::Map, Value::Object(map)) => {
            for (k, v) in map {
                let was = old.and_then(|o| o.get(k));
                if !(op.update && was.is_some_and(|w| deep_same(v, w))) {
                    object(ty, op, v, was, &at.k(k), e);
                }
            }
        }
        (_, v) => object(ty, op, v, old, at, e),
    }
}

/// Whether a field is set, as upstream's checks see it.
fn is_set(f: &FieldRules, v: Option<&Value>) -> bool {
    match v {
        None => false,
        Some(v) if f.field.card != Card::One => !is_zero(v),
        Some(v) => f.field.pointer || !is_zero(v),
    }
}

fn check(
    rule: &Rule,
    binding: bool,
    f: &FieldRules,
    op: Op<'_>,
    new: Option<&Value>,
    old: Option<&Value>,
    at: &At<'_>,
    e: &mut Errs,
) -> Then {
    if !binding {
        // Only whether it would have stopped counts.
        let mut unheard = Errs::default();
        return check(rule, true, f, op, new, old, at, &mut unheard);
    }
    let before = e.len();
    let set = is_set(f, new);
    match rule {
        Rule::Optional => return if set { Then::Continue } else { Then::Stop },
        Rule::Required if !set => e.required(at, ""),
        Rule::Forbidden if set => e.forbidden(at, ""),
        Rule::Immutable if op.update => e.invalid(at, Value::Null, crate::check::IMMUTABLE),
        Rule::MaxItems(max) => {
            let n = new.map_or(0, |v| v.as_array().map_or(v.len_of(), Vec::len));
            if n > *max {
                e.too_many(at, n, *max);
            }
        }
        Rule::Update(c) if op.update => update(*c, f, new, old, at, e),
        Rule::If(name, want, inner) => {
            if (op.option)(name) == *want {
                return check(inner, true, f, op, new, old, at, e);
            }
        }
        Rule::Subfield(name, inner) => {
            let (n, o) = (new.and_then(|v| v.set(name)), old.and_then(|v| v.set(name)));
            if !(op.update && old.is_some() && opt_same(n, o)) {
                return scalar(inner, op, n, &at.c(name), e);
            }
        }
        Rule::EachVal(inner) => each(inner, f, op, new, old, at, e),
        Rule::EachKey(inner) => {
            for (k, _) in keys(new.and_then(Value::as_object)) {
                if !old.is_some_and(|o| o.has(k)) {
                    scalar(inner, op, Some(&Value::from(k)), at, e);
                }
            }
        }
        Rule::Unique => unique(f, new, at, e),
        Rule::Monotonic => {
            if let (Some(n), Some(o)) = (new.and_then(Value::as_i64), old.and_then(Value::as_i64))
                && op.update
                && n < o
            {
                e.invalid(at, n, format!("may not be decreased from {o}"));
            }
        }
        rule => return scalar(rule, op, new, at, e),
    }
    if e.len() > before { Then::Stop } else { Then::Continue }
}

/// Rules that need nothing but one value.
fn scalar(rule: &Rule, op: Op<'_>, v: Option<&Value>, at: &At<'_>, e: &mut Errs) -> Then {
    let before = e.len();
    match (rule, v) {
        (Rule::Optional, v) if v.is_none_or(is_zero) => return Then::Stop,
        (Rule::Format(name), Some(Value::String(s))) => formats::check(name, s, at, e),
        (Rule::Minimum(min), Some(Value::Number(n))) => {
            if let Some(n) = n.as_i64().filter(|n| n < min) {
                e.invalid(at, n, format!("must be greater than or equal to {min}"));
            }
        }
        (Rule::Maximum(max), Some(Value::Number(n))) => {
            if let Some(n) = n.as_i64().filter(|n| n > max) {
                e.invalid(at, n, format!("must be less than or equal to {max}"));
            }
        }
        (Rule::MaxBytes(max), Some(Value::String(s))) if s.len() > *max => e.too_long(at, *max as i64),
        (Rule::MaxLength(max), Some(Value::String(s))) if s.chars().count() > *max => {
            e.0.push(meta::FieldError::too_long_characters(&at.path(), *max as i64));
        }
        (Rule::If(name, want, inner), v) if (op.option)(name) == *want => return scalar(inner, op, v, at, e),
        _ => {}
    }
    if e.len() > before { Then::Stop } else { Then::Continue }
}

fn each(
    inner: &Rule,
    f: &FieldRules,
    op: Op<'_>,
    new: Option<&Value>,
    old: Option<&Value>,
    at: &At<'_>,
    e: &mut Errs,
) {
    match new {
        Some(Value::Array(list)) => {
            for (i, v) in list.iter().enumerate() {
                let known = f.set && old.and_then(Value::as_array).is_some_and(|o| o.contains(v));
                if !(op.update && known) {
                    scalar(inner, op, Some(v), &at.i(i), e);
                }
            }
        }
        Some(Value::Object(map)) => {
            for (k, v) in map {
                if !(op.update && old.is_some_and(|o| o.f(k) == Some(v))) {
                    scalar(inner, op, Some(v), &at.k(k), e);
                }
            }
        }
        _ => {}
    }
}

fn unique(f: &FieldRules, new: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    let list = new.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (i, v) in list.iter().enumerate() {
        if list[..i].iter().any(|x| f.matches(v, x)) {
            e.duplicate(&at.i(i), v.clone());
        }
    }
}

fn update(
    c: Constraint,
    f: &FieldRules,
    new: Option<&Value>,
    old: Option<&Value>,
    at: &At<'_>,
    e: &mut Errs,
) {
    let (is, was) = (is_set(f, new), is_set(f, old));
    let items = |v: Option<&Value>| v.and_then(Value::as_array).cloned().unwrap_or_default();
    match c {
        Constraint::NoSet if !was && is => e.invalid(at, Value::Null, "field cannot be set once created"),
        Constraint::NoUnset if was && !is => {
            e.invalid(at, Value::Null, "field cannot be cleared once set");
        }
        Constraint::NoModify if was && is => {
            e.invalid(at, Value::Null, "field cannot be modified once set");
        }
        Constraint::NoAddItem => {
            let before = items(old);
            for (i, v) in items(new).iter().enumerate() {
                if !before.iter().any(|o| f.matches(v, o)) {
                    e.forbidden(&at.i(i), "item may not be added");
                }
            }
        }
        Constraint::NoRemoveItem => {
            let now = items(new);
            for o in items(old) {
                if !now.iter().any(|v| f.matches(v, &o)) {
                    e.forbidden(at, "item may not be removed");
                }
            }
        }
        _ => {}
    }
}

/// Exactly one of some fields.
fn union(members: &[&str], op: Op<'_>, obj: &Value, old: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    let present = |o: &Value| -> Vec<&str> { members.iter().copied().filter(|m| o.has(m)).collect() };
    let set = present(obj);
    if op.update && old.is_some_and(|o| present(o) == set) {
        return;
    }
    let all: Vec<String> = members.iter().map(|m| format!("`{m}`")).collect();
    let all = all.join(", ");
    match set.len() {
        1 => {}
        0 => e.invalid(at, "", format!("must specify one of: {all}")),
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            e.invalid(at, shown, format!("must specify exactly one of: {all}"));
        }
    }
}

/// A field that is required, optional or forbidden by the value of another.
fn by_mode(
    f: &FieldRules,
    mode: &str,
    op: Op<'_>,
    obj: &Value,
    old: Option<&Value>,
    at: &At<'_>,
    e: &mut Errs,
) {
    if f.by_mode.is_empty() {
        return;
    }
    let name = f.field.name;
    let (new, was) = (obj.set(name), old.and_then(|o| o.set(name)));
    if op.update && old.is_some_and(|o| o.s(mode) == obj.s(mode)) && opt_same(new, was) {
        return;
    }
    let rule = f.by_mode.iter().find(|(v, _)| *v == obj.s(mode)).map_or(&Rule::Forbidden, |(_, r)| r);
    check(rule, true, f, op, new, was, &at.c(name), e);
}

/// Drops from `hand` what `declared` says as well, and appends it.
pub(crate) fn merge(hand: &mut ErrorList, declared: ErrorList) {
    use meta::field::ErrorType::Invalid;
    // Both count bytes, but not all sentences say so.
    let same = |a: &str, b: &str| {
        a == b || a.strip_suffix("characters").is_some_and(|a| b.strip_suffix("bytes") == Some(a))
    };
    hand.retain(|h| {
        !declared.iter().any(|d| {
            h.kind == d.kind && h.field == d.field && (h.kind != Invalid || same(&h.detail, &d.detail))
        })
    });
    hand.extend(declared);
}

/// The type of an object, by its version and kind.
pub(crate) fn type_of(obj: &Value) -> Option<TypeId> {
    let version = obj.s("apiVersion");
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    facts::type_of(group, version, obj.s("kind"))
}
