//! Making strategic patches: from two versions of an object, and the three-way one of `kubectl apply`.

use super::apply::{self, Options as Merge};
use super::order::sort_by;
use super::{
    DELETE_PRIMITIVES, DIRECTIVE, ELEMENT_ORDER, Items, Object, RETAIN_KEYS, Strategy, element, items_of,
    lookup, merge_key_of,
};
use crate::PatchError;
use schema::Node;
use schema::node::PatchMeta;
use serde_json::Value;

/// Why there is no three-way patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Only without `overwrite`: somebody else changed the same fields.
    #[error("patch:\n{patch}\nconflicts with changes made from original to current:\n{changed}\n")]
    Changed { patch: String, changed: String },
    #[error(transparent)]
    Patch(#[from] PatchError),
}

#[derive(Clone, Copy, Default)]
struct Options {
    element_order: bool,
    no_changes: bool,
    no_deletions: bool,
    retain_keys: bool,
}

/// The patch that makes `modified` of `original`; empty if they are the same.
pub fn create_strategic_patch(
    original: &Value,
    modified: &Value,
    node: Node<'_>,
) -> Result<Value, PatchError> {
    let o = Options { element_order: true, ..Options::default() };
    Ok(Value::Object(maps(obj(original)?, obj(modified)?, node, o)?))
}

/// The patch that brings `current` to `modified`, and removes what was in `original` (the last applied configuration)
/// and is not in `modified`.
pub fn three_way_strategic(
    original: &Value,
    modified: &Value,
    current: &Value,
    node: Node<'_>,
    overwrite: bool,
) -> Result<Value, Conflict> {
    let (original, modified, current) = (obj(original)?, obj(modified)?, obj(current)?);
    let o = Options { element_order: true, no_deletions: true, ..Options::default() };
    let delta = maps(current, modified, node, o)?;
    let o = Options { element_order: true, no_changes: true, ..Options::default() };
    let deletions = maps(original, modified, node, o)?;
    let patch = apply::merge_map(deletions, delta, node, Merge { on_server: false })?;
    if !overwrite {
        let changed = maps(original, current, node, Options::default())?;
        if object_conflicts(&patch, &changed, node)? {
            return Err(Conflict::Changed {
                patch: Value::Object(patch).to_string(),
                changed: Value::Object(changed).to_string(),
            });
        }
    }
    Ok(Value::Object(patch))
}

fn obj(v: &Value) -> Result<&Object, PatchError> {
    static NONE: std::sync::LazyLock<Object> = std::sync::LazyLock::new(Object::new);
    match v {
        Value::Object(m) => Ok(m),
        Value::Null => Ok(&NONE),
        _ => Err(PatchError::Malformed("invalid JSON document".into())),
    }
}

fn maps(original: &Object, modified: &Object, node: Node<'_>, o: Options) -> Result<Object, PatchError> {
    let mut patch = Object::new();
    for (k, new) in modified {
        let Some(old) = original.get(k) else {
            if !o.no_changes {
                patch.insert(k.clone(), new.clone());
            }
            continue;
        };
        if k == DIRECTIVE {
            if !old.is_string() || !new.is_string() {
                return Err(PatchError::Internal(format!("invalid value for special key: {DIRECTIVE}")));
            }
            if old != new {
                patch.insert(k.clone(), new.clone());
            }
            continue;
        }
        match (old, new) {
            (Value::Object(a), Value::Object(b)) => {
                let (below, Strategy { meta, replace }) = lookup(node, k);
                if replace {
                    if !o.no_changes {
                        patch.insert(k.clone(), new.clone());
                    }
                    continue;
                }
                let d = maps(a, b, below, Options { retain_keys: meta.retain_keys, ..o })?;
                if !d.is_empty() {
                    patch.insert(k.clone(), Value::Object(d));
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                let (below, Strategy { meta, .. }) = lookup(node, k);
                if !meta.merge {
                    if !o.no_changes && old != new {
                        patch.insert(k.clone(), new.clone());
                    }
                    continue;
                }
                let o = Options { retain_keys: meta.retain_keys, ..o };
                let d = lists(a, b, element(below), &meta, o)?;
                for (key, list) in [
                    (k.clone(), d.add),
                    (format!("{DELETE_PRIMITIVES}/{k}"), d.delete),
                    (format!("{ELEMENT_ORDER}/{k}"), d.order),
                ] {
                    if !list.is_empty() {
                        patch.insert(key, Value::Array(list));
                    }
                }
            }
            _ if !o.no_changes && old != new => {
                patch.insert(k.clone(), new.clone());
            }
            _ => {}
        }
    }
    if !o.no_deletions {
        for k in original.keys().filter(|k| !modified.contains_key(*k)) {
            patch.insert(k.clone(), Value::Null);
        }
    }
    if o.retain_keys {
        let keys: Vec<Value> =
            modified.iter().filter(|(_, v)| !v.is_null()).map(|(k, _)| Value::from(k.as_str())).collect();
        let more = original.iter().any(|(k, v)| !v.is_null() && !modified.contains_key(k));
        if !keys.is_empty() && (!patch.is_empty() || more) {
            patch.insert(RETAIN_KEYS.into(), Value::Array(keys));
        }
    }
    Ok(patch)
}

#[derive(Default)]
struct ListDiff {
    add: Vec<Value>,
    delete: Vec<Value>,
    order: Vec<Value>,
}

fn lists(
    original: &[Value],
    modified: &[Value],
    node: Node<'_>,
    meta: &PatchMeta,
    o: Options,
) -> Result<ListDiff, PatchError> {
    if original.is_empty() {
        if modified.is_empty() || o.no_changes {
            return Ok(ListDiff::default());
        }
        return Ok(ListDiff { add: modified.to_vec(), ..ListDiff::default() });
    }
    let key = meta.merge_key.as_str();
    match items_of(&[original, modified])? {
        Items::Maps => {
            let (add, mut delete) = lists_of_maps(original, modified, node, key, o)?;
            let mut add = sort_by(add, modified, key, Items::Maps)?;
            let mut same_order = original.len() == modified.len();
            for (a, b) in original.iter().zip(modified) {
                same_order = same_order && merge_key_of(a, key)? == merge_key_of(b, key)?;
            }
            add.append(&mut delete);
            let wanted =
                (!o.no_changes && (!add.is_empty() || !same_order)) || (!o.no_deletions && !add.is_empty());
            let mut order = Vec::new();
            if o.element_order && wanted {
                for v in modified {
                    let mut m = Object::new();
                    m.insert(key.to_owned(), v.get(key).cloned().unwrap_or(Value::Null));
                    order.push(Value::Object(m));
                }
            }
            Ok(ListDiff { add, delete: Vec::new(), order })
        }
        Items::Scalars => {
            let (add, delete) = lists_of_scalars(original, modified, o);
            let add = sort_by(add, modified, key, Items::Scalars)?;
            // Upstream has sorted the original list by now: an order other than sorted always goes along.
            let mut sorted = original.to_vec();
            sorted.sort_by_cached_key(text);
            let wanted = (!o.no_deletions && !delete.is_empty()) || (!o.no_changes && sorted != modified);
            let order = if o.element_order && wanted { modified.to_vec() } else { Vec::new() };
            Ok(ListDiff { add, delete, order })
        }
    }
}

/// Go's `%v` of a scalar.
fn text(v: &Value) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

fn lists_of_scalars(original: &[Value], modified: &[Value], o: Options) -> (Vec<Value>, Vec<Value>) {
    let sorted = |l: &[Value]| {
        let mut l: Vec<(String, Value)> = l.iter().map(|v| (text(v), v.clone())).collect();
        l.sort_by(|a, b| a.0.cmp(&b.0));
        l
    };
    let (a, b) = (sorted(original), sorted(modified));
    let (mut i, mut j) = (0, 0);
    let (mut add, mut delete) = (Vec::new(), Vec::new());
    loop {
        match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                i += 1;
                j += 1;
            }
            (Some(x), y) if y.is_none_or(|y| x.0 < y.0) => {
                if !o.no_deletions && delete.last() != Some(&x.1) {
                    delete.push(x.1.clone());
                }
                i += 1;
            }
            (_, Some(y)) => {
                if !o.no_changes {
                    add.push(y.1.clone());
                }
                j += 1;
            }
            (_, None) => return (add, delete),
        }
    }
}

fn lists_of_maps(
    original: &[Value],
    modified: &[Value],
    node: Node<'_>,
    key: &str,
    o: Options,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let sorted = |l: &[Value]| -> Result<Vec<(String, Value, Object)>, PatchError> {
        let mut out = Vec::with_capacity(l.len());
        for v in l {
            let k = merge_key_of(v, key)?;
            out.push((text(k), k.clone(), super::object(v)?.clone()));
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(out)
    };
    let (a, b) = (sorted(original)?, sorted(modified)?);
    let (mut i, mut j) = (0, 0);
    let (mut patch, mut delete) = (Vec::new(), Vec::new());
    loop {
        match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                let mut d = maps(&x.2, &y.2, node, o)?;
                if !d.is_empty() {
                    d.insert(key.to_owned(), y.1.clone());
                    patch.push(Value::Object(d));
                }
                i += 1;
                j += 1;
            }
            (Some(x), y) if y.is_none_or(|y| x.0 < y.0) => {
                if !o.no_deletions {
                    let mut m = Object::new();
                    m.insert(key.to_owned(), x.1.clone());
                    m.insert(DIRECTIVE.into(), "delete".into());
                    delete.push(Value::Object(m));
                }
                i += 1;
            }
            (_, Some(y)) => {
                if !o.no_changes {
                    patch.push(Value::Object(y.2.clone()));
                }
                j += 1;
            }
            (_, None) => return Ok((patch, delete)),
        }
    }
}

/// Whether two patches set anything to different values.
fn object_conflicts(a: &Object, b: &Object, node: Node<'_>) -> Result<bool, PatchError> {
    let (da, db) = (a.get(DIRECTIVE), b.get(DIRECTIVE));
    if da != db {
        return Ok(true);
    }
    for (k, x) in a.iter().filter(|(k, _)| *k != DIRECTIVE && *k != RETAIN_KEYS) {
        let Some(y) = b.get(k) else { continue };
        let (below, s) = lookup(node, k);
        if !(s.replace && x.is_object() && y.is_object()) && value_conflicts(x, y, below, &s.meta)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn value_conflicts(a: &Value, b: &Value, node: Node<'_>, meta: &PatchMeta) -> Result<bool, PatchError> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => object_conflicts(a, b, node),
        (Value::Array(a), Value::Array(b)) => list_conflicts(a, b, element(node), meta),
        _ => Ok(a != b),
    }
}

fn list_conflicts(a: &[Value], b: &[Value], node: Node<'_>, meta: &PatchMeta) -> Result<bool, PatchError> {
    let items = items_of(&[a, b])?;
    if meta.merge {
        if items == Items::Scalars {
            return Ok(false);
        }
        for x in a {
            let key = text(merge_key_of(x, &meta.merge_key)?);
            for y in b {
                if text(merge_key_of(y, &meta.merge_key)?) == key
                    && value_conflicts(x, y, node, &PatchMeta::default())?
                {
                    return Ok(true);
                }
            }
        }
        return Ok(false);
    }
    if a.len() != b.len() {
        return Ok(true);
    }
    let sorted = |l: &[Value]| {
        let mut l: Vec<Value> = l.to_vec();
        if items == Items::Scalars {
            l.sort_by_key(text);
            l.dedup();
        }
        l
    };
    for (x, y) in sorted(a).iter().zip(&sorted(b)) {
        if value_conflicts(x, y, node, &PatchMeta::default())? {
            return Ok(true);
        }
    }
    Ok(false)
}
