//! JSON Merge Patch (RFC 7386), and making such patches (apimachinery `pkg/util/jsonmergepatch`).

use crate::PatchError;
use serde_json::{Map, Value};

/// Applies a merge patch to an object.
pub fn merge_patch(doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    match (doc, patch) {
        (Value::Object(_), Value::Object(p)) => {
            let mut out = doc.clone();
            merge_into(&mut out, p);
            Ok(out)
        }
        _ => Err(PatchError::Malformed("Invalid JSON Patch".into())),
    }
}

fn merge_into(doc: &mut Value, patch: &Map<String, Value>) {
    if !doc.is_object() {
        *doc = Value::Object(Map::new());
    }
    let Value::Object(m) = doc else { return };
    for (k, v) in patch {
        match v {
            Value::Null => {
                m.remove(k);
            }
            Value::Object(p) => merge_into(m.entry(k.clone()).or_insert(Value::Null), p),
            v => {
                let mut v = v.clone();
                prune_nulls(&mut v);
                m.insert(k.clone(), v);
            }
        }
    }
}

/// Takes nulls out of objects inside lists, as upstream's library does; an item that is null stays.
fn prune_nulls(v: &mut Value) {
    match v {
        Value::Object(m) => {
            m.retain(|_, v| !v.is_null());
            m.values_mut().for_each(prune_nulls);
        }
        Value::Array(a) => a.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}

/// The merge patch that makes `modified` of `original`; `{}` if they are the same.
pub fn create_merge_patch(original: &Value, modified: &Value) -> Value {
    diff(original, modified, true, true)
}

/// What kubectl apply sends for kinds it knows no schema of: what `modified` says that `current` has not, and the
/// removal of what was in `original` and is no more.
pub fn three_way_merge(original: &Value, modified: &Value, current: &Value) -> Value {
    let mut patch = diff(current, modified, true, false);
    let removals = diff(original, modified, false, true);
    if let Value::Object(r) = removals {
        overlay(&mut patch, r);
    }
    patch
}

/// Lays the removals (nulls and objects of such) over a patch.
fn overlay(patch: &mut Value, removals: Map<String, Value>) {
    if !patch.is_object() {
        *patch = Value::Object(Map::new());
    }
    let Value::Object(m) = patch else { return };
    for (k, v) in removals {
        match v {
            Value::Object(r) => overlay(m.entry(k).or_insert(Value::Null), r),
            v => {
                m.insert(k, v);
            }
        }
    }
}

fn diff(old: &Value, new: &Value, changes: bool, removals: bool) -> Value {
    let none = Map::new();
    let (o, n) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
    let mut out = Map::new();
    for (k, nv) in n {
        match (o.get(k), nv) {
            (Some(ov), nv) if ov == nv => {}
            (Some(ov @ Value::Object(_)), Value::Object(_)) => {
                let d = diff(ov, nv, changes, removals);
                if d.as_object().is_some_and(|m| !m.is_empty()) {
                    out.insert(k.clone(), d);
                }
            }
            _ if changes => {
                out.insert(k.clone(), nv.clone());
            }
            _ => {}
        }
    }
    if removals {
        for k in o.keys().filter(|k| !n.contains_key(*k)) {
            out.insert(k.clone(), Value::Null);
        }
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests;
