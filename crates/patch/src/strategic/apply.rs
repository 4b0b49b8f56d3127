//! Merging a strategic patch into an object, or into another patch.

use super::order::{is_delete, normalize, partition};
use super::{
    DELETE_PRIMITIVES, DIRECTIVE, ELEMENT_ORDER, Items, Object, RETAIN_KEYS, Strategy, array, bad_order,
    bad_primitive_list, bad_retain_keys, element, items_of, lookup, merge_key_of, no_merge_key,
};
use crate::PatchError;
use schema::Node;
use schema::node::PatchMeta;
use serde_json::Value;

#[derive(Clone, Copy)]
pub(super) struct Options {
    /// Carry directives out. A client that merges one patch into another keeps them instead.
    pub on_server: bool,
}

pub(super) fn merge_map(
    mut original: Object,
    mut patch: Object,
    node: Node<'_>,
    o: Options,
) -> Result<Object, PatchError> {
    if let Some(d) = patch.remove(DIRECTIVE) {
        return match d.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Object::new()),
            _ => Err(bad_directive(&d, patch)),
        };
    }
    retain_keys(&mut original, &mut patch, o)?;
    ordered_lists(&mut original, &mut patch, node, o)?;
    for (key, mut v) in patch {
        let mut key = key;
        let mut deletes = false;
        if key.starts_with(DELETE_PRIMITIVES) {
            if !o.on_server {
                original.insert(key, v);
                continue;
            }
            key = directed(&key, DELETE_PRIMITIVES).ok_or_else(bad_primitive_list)?.to_owned();
            deletes = true;
        }
        if v.is_null() {
            original.remove(&key);
            if o.on_server {
                continue;
            }
        }
        let both = match (original.get_mut(&key).map(Value::take), v) {
            (Some(Value::Object(a)), Value::Object(b)) => {
                let (below, s) = lookup(node, &key);
                Value::Object(if s.replace { b } else { merge_map(a, b, below, o)? })
            }
            (Some(Value::Array(a)), Value::Array(b)) => {
                let (below, s) = lookup(node, &key);
                Value::Array(merge_list(a, b, below, &s.meta, deletes, o)?)
            }
            (Some(old), _) if deletes => old,
            (None, _) if deletes => continue,
            (old, new) => {
                v = new;
                let recurse = !matches!((&old, &v), (Some(a), b) if std::mem::discriminant(a) == std::mem::discriminant(b));
                if o.on_server && recurse {
                    discard_nulls(&mut v);
                }
                match without_directives(v) {
                    Some(v) => v,
                    None => {
                        original.remove(&key);
                        continue;
                    }
                }
            }
        };
        original.insert(key, both);
    }
    Ok(original)
}

fn bad_directive(d: &Value, m: Object) -> PatchError {
    let d = d.as_str().map_or_else(|| d.to_string(), str::to_owned);
    PatchError::Internal(format!("unknown patch type: {d} in map: {}", Value::Object(m)))
}

/// The field that `$directive/field` is about.
fn directed<'k>(key: &'k str, directive: &str) -> Option<&'k str> {
    key.strip_prefix(directive)?.strip_prefix('/')
}

/// `$retainKeys`: drops what the list does not name.
fn retain_keys(original: &mut Object, patch: &mut Object, o: Options) -> Result<(), PatchError> {
    let Some(keep) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    if !o.on_server {
        let had = original.entry(RETAIN_KEYS).or_insert_with(|| keep.clone());
        if *had != keep {
            return Err(PatchError::Internal(format!(
                "{had} and {keep} are not deep equal: this may happen when calculating the 3-way diff patch"
            )));
        }
        return Ok(());
    }
    let Value::Array(keep) = keep else { return Err(bad_retain_keys()) };
    let kept = |k: &str| keep.iter().any(|v| v.as_str() == Some(k));
    for (k, v) in patch.iter() {
        if !v.is_null() && !k.starts_with(DELETE_PRIMITIVES) && !k.starts_with(ELEMENT_ORDER) && !kept(k) {
            return Err(bad_retain_keys());
        }
    }
    original.retain(|k, _| kept(k));
    Ok(())
}

/// `$setElementOrder/…`, together with the lists they are about, which are taken out of the patch.
fn ordered_lists(
    original: &mut Object,
    patch: &mut Object,
    node: Node<'_>,
    o: Options,
) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|k| k.starts_with(ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let Some(order) = patch.remove(&directive) else { continue };
        if !o.on_server {
            let had = original.entry(directive.as_str()).or_insert_with(|| order.clone());
            if *had != order {
                return Err(bad_order());
            }
        }
        let order = array(order)?;
        let key = directed(&directive, ELEMENT_ORDER).ok_or_else(bad_order)?;
        let of_original = original.get(key).cloned().map(array).transpose()?;
        let of_patch = patch.get(key).cloned().map(array).transpose()?;
        let (below, Strategy { meta, .. }) = lookup(node, key);
        check_order(of_patch.as_deref().unwrap_or_default(), &order, &meta.merge_key)?;
        let (server_order, merged, items) = match (of_original, of_patch) {
            (None, None) => continue,
            (Some(a), None) => {
                let items = items_of(&[&a])?;
                (a.clone(), a, items)
            }
            (None, Some(b)) => {
                let items = items_of(&[&b])?;
                match without_directives(Value::Array(b)) {
                    Some(Value::Array(b)) => (Vec::new(), b, items),
                    _ => continue,
                }
            }
            (Some(a), Some(b)) => {
                let items = items_of(&[&a, &b])?;
                let merged = merge_list(a.clone(), b, below, &meta, false, o)?;
                (a, merged, items)
            }
        };
        let (named, rest) = partition(merged, &order, &meta.merge_key)?;
        let both = normalize(named, rest, &order, &server_order, &meta.merge_key, items)?;
        original.insert(key.to_owned(), Value::Array(both));
        patch.remove(key);
    }
    Ok(())
}

/// The patch's list must have its items in the order the directive says.
fn check_order(list: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if list.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut order_left = order.iter();
    for v in list.iter().filter(|v| v.get(DIRECTIVE).is_none() && (key.is_empty() || !is_delete(v))) {
        let found = loop {
            let Some(x) = order_left.next() else { break false };
            let same = if key.is_empty() { v == x } else { merge_key_of(v, key)? == merge_key_of(x, key)? };
            if same {
                break true;
            }
        };
        if !found {
            return Err(PatchError::Internal(format!(
                "The order in patch list:\n{}\n doesn't match {ELEMENT_ORDER} list:\n{}\n",
                Value::from(list),
                Value::from(order)
            )));
        }
    }
    Ok(())
}

fn merge_list(
    mut original: Vec<Value>,
    mut patch: Vec<Value>,
    node: Node<'_>,
    meta: &PatchMeta,
    deletes: bool,
    o: Options,
) -> Result<Vec<Value>, PatchError> {
    if !meta.merge && !deletes {
        return Ok(patch);
    }
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let items = items_of(&[&original, &patch])?;
    let key = meta.merge_key.as_str();
    let (merged, patch, original) = match items {
        Items::Scalars => {
            if o.on_server && deletes {
                original.retain(|v| !patch.contains(v));
                return Ok(original);
            }
            let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
            let mut seen = std::collections::HashSet::new();
            for v in original.iter().chain(&patch) {
                if seen.insert(v.to_string()) {
                    merged.push(v.clone());
                }
            }
            (merged, patch, original)
        }
        Items::Maps => {
            if key.is_empty() {
                return Err(PatchError::Internal("cannot merge lists without merge key".into()));
            }
            (original, patch) = special_items(original, patch, key)?;
            let server_order = original.clone();
            let merged = merge_items(original, &patch, key, element(node), o)?;
            (merged, patch, server_order)
        }
    };
    let (named, rest) = partition(merged, &patch, key)?;
    normalize(named, rest, &patch, &original, key, items)
}

/// Carries out items that are directives: `$patch: delete` and `$patch: replace`.
fn special_items(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for v in patch {
        match v.get(DIRECTIVE) {
            None => rest.push(v),
            Some(Value::String(d)) if d == "delete" => {
                let gone = v.get(key).ok_or_else(|| no_merge_key(&v, key))?;
                original.retain(|x| x.get(key) != Some(gone));
            }
            Some(Value::String(d)) if d == "replace" => replace = true,
            Some(Value::String(d)) if d == "merge" => {
                return Err(PatchError::Internal(
                    "merging lists cannot yet be specified in the patch".into(),
                ));
            }
            Some(d) => {
                let d = d.clone();
                let Value::Object(m) = v else { continue };
                return Err(bad_directive(&d, m));
            }
        }
    }
    if replace { Ok((rest, Vec::new())) } else { Ok((original, rest)) }
}

fn merge_items(
    mut original: Vec<Value>,
    patch: &[Value],
    key: &str,
    node: Node<'_>,
    o: Options,
) -> Result<Vec<Value>, PatchError> {
    for v in patch {
        let name = merge_key_of(v, key)?;
        let at = original.iter().position(|x| x.get(key) == Some(name));
        match (at, v) {
            (Some(i), Value::Object(p)) => {
                let Value::Object(old) = original[i].take() else { continue };
                original[i] = Value::Object(merge_map(old, p.clone(), node, o)?);
            }
            _ => original.push(v.clone()),
        }
    }
    Ok(original)
}

/// Takes out nulls at any depth.
fn discard_nulls(v: &mut Value) {
    match v {
        Value::Object(m) => {
            m.retain(|_, v| !v.is_null());
            m.values_mut().for_each(discard_nulls);
        }
        Value::Array(a) => a.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// What is left of a new value without directives; `None` if it is one itself.
fn without_directives(v: Value) -> Option<Value> {
    match v {
        Value::Object(m) if m.contains_key(DIRECTIVE) => None,
        Value::Object(m) => Some(Value::Object(
            m.into_iter().filter_map(|(k, v)| Some((k, without_directives(v)?))).collect(),
        )),
        Value::Array(a) => Some(Value::Array(a.into_iter().filter_map(without_directives).collect())),
        v => Some(v),
    }
}
