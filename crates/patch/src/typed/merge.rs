//! Laying an applied configuration over an object (structured-merge-diff `typed/merge.go`).

use super::items::{index, list};
use super::{Invalid, MAX_DEPTH, Place, child, item};
use crate::fieldset::PathElement;
use schema::Node;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The object with what the configuration says; nothing is removed.
pub fn merge(live: Value, config: &Value, node: Node<'_>) -> Result<Value, Invalid> {
    go(Some(live), config, node, 0)
}

fn go(l: Option<Value>, r: &Value, node: Node<'_>, depth: usize) -> Result<Value, Invalid> {
    if depth > MAX_DEPTH {
        return Ok(r.clone());
    }
    let place = Place::of(node, [l.as_ref(), Some(r)]);
    match &place {
        Place::Leaf => Ok(r.clone()),
        Place::Struct | Place::Map => {
            let Some(rm) = object_or_null(r) else { return Ok(r.clone()) };
            let mut out = match l {
                Some(Value::Object(m)) => m,
                _ => Map::new(),
            };
            if out.is_empty() && rm.is_none_or(Map::is_empty) {
                return Ok(r.clone());
            }
            for (k, v) in rm.into_iter().flatten() {
                let n = child(node, &place, k, depth == 0).map_or(Node::Any, |c| c.0);
                let old = out.get_mut(k).map(Value::take);
                let merged = go(old, v, n, depth + 1).map_err(|e| e.under(&PathElement::field(k)))?;
                out.insert(k.clone(), merged);
            }
            Ok(Value::Object(out))
        }
        Place::Keyed(_) | Place::Set => {
            let ra = list(Some(r));
            let la = match l {
                Some(Value::Array(a)) => a,
                _ => Vec::new(),
            };
            if la.is_empty() && ra.is_empty() {
                return Ok(r.clone());
            }
            items(&place, la, ra, item(node), depth).map(Value::Array)
        }
    }
}

/// `Some(None)` for null, `None` for what is neither.
fn object_or_null(v: &Value) -> Option<Option<&Map<String, Value>>> {
    match v {
        Value::Object(m) => Some(Some(m)),
        Value::Null => Some(None),
        _ => None,
    }
}

/// Merges two lists. The order is the live one as far as the configuration does not say otherwise.
fn items(
    place: &Place,
    mut l: Vec<Value>,
    r: &[Value],
    node: Node<'_>,
    depth: usize,
) -> Result<Vec<Value>, Invalid> {
    let ls: Vec<PathElement> = index(place, &l)?.into_iter().map(|x| x.0).collect();
    let rs = index(place, r)?;
    // Live items by element; of items that come twice none takes part in merging.
    let mut live: BTreeMap<&PathElement, Option<usize>> = BTreeMap::new();
    for (i, e) in ls.iter().enumerate() {
        live.entry(e).and_modify(|o| *o = None).or_insert(Some(i));
    }
    let mut config: BTreeSet<&PathElement> = BTreeSet::new();
    for (e, _) in &rs {
        if !config.insert(e) {
            return Err(Invalid::here(format!("duplicate entries for key {e}")));
        }
    }
    let merged = |e: &PathElement, v: &Value, l: &mut [Value]| -> Result<Value, Invalid> {
        let old = live.get(e).copied().flatten().map(|i| l[i].take());
        go(old, v, node, depth + 1).map_err(|x| x.under(e))
    };
    let mut shared = rs.iter().map(|x| &x.0).filter(|e| live.contains_key(e));
    let mut next = shared.next();
    let mut done: BTreeSet<&PathElement> = BTreeSet::new();
    let mut out = Vec::with_capacity(ls.len().max(rs.len()));
    let (mut li, mut ri) = (0, 0);
    while li < ls.len() || ri < rs.len() {
        if let (Some(le), Some((re, rv))) = (ls.get(li), rs.get(ri)) {
            if le == re {
                done.insert(re);
                out.push(merged(re, rv, &mut l)?);
                li += 1;
                ri += 1;
                next = shared.next();
                continue;
            }
            if config.contains(le) && next.is_some_and(|n| n != le) {
                // In both, but the configuration wants another one first.
                li += 1;
                continue;
            }
        }
        if let Some(le) = ls.get(li) {
            if !config.contains(le) {
                out.push(l[li].take());
                li += 1;
                continue;
            }
            if done.contains(le) {
                li += 1;
            }
        }
        if let Some((re, rv)) = rs.get(ri) {
            done.insert(re);
            out.push(merged(re, rv, &mut l)?);
            ri += 1;
            if next.is_some_and(|n| n == re) {
                next = shared.next();
            }
        }
    }
    Ok(out)
}
