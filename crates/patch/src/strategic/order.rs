//! The order of items in merged lists: what the patch names in its order, the rest where the server had it.

use super::{DIRECTIVE, Items, merge_key_of};
use crate::PatchError;
use serde_json::Value;
use std::collections::HashMap;

/// Positions of items in a list, by merge key or by value; the first one counts.
struct Ranks(HashMap<String, usize>);

impl Ranks {
    fn of(list: &[Value], key: &str, items: Items) -> Self {
        let mut m = HashMap::with_capacity(list.len());
        for (i, v) in list.iter().enumerate() {
            if let Some(k) = name(v, key, items) {
                m.entry(k).or_insert(i);
            }
        }
        Self(m)
    }
    fn get(&self, v: &Value, key: &str, items: Items) -> Option<usize> {
        self.0.get(&name(v, key, items)?).copied()
    }
}

fn name(v: &Value, key: &str, items: Items) -> Option<String> {
    match items {
        Items::Maps => Some(v.as_object()?.get(key)?.to_string()),
        Items::Scalars => Some(v.to_string()),
    }
}

/// Splits a merged list into what the patch names and what only the server has.
pub(super) fn partition(
    merged: Vec<Value>,
    by: &[Value],
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let items = if key.is_empty() { Items::Scalars } else { Items::Maps };
    let named = Ranks::of(by, key, items);
    let (mut patch, mut server) = (Vec::new(), Vec::new());
    for v in merged {
        if items == Items::Maps {
            merge_key_of(&v, key)?;
        }
        if named.get(&v, key, items).is_some() { patch.push(v) } else { server.push(v) }
    }
    Ok((patch, server))
}

/// Puts patch items and server items together.
pub(super) fn normalize(
    patch: Vec<Value>,
    server: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    key: &str,
    items: Items,
) -> Result<Vec<Value>, PatchError> {
    let patch = sort_by(patch, patch_order, key, items)?;
    let server = sort_by(server, server_order, key, items)?;
    let ranks = Ranks::of(server_order, key, items);
    let rank = |v: &Value| ranks.get(v, key, items);
    let mut out = Vec::with_capacity(patch.len() + server.len());
    let (mut l, mut r) = (server.into_iter().peekable(), patch.into_iter().peekable());
    while let (Some(a), Some(b)) = (l.peek(), r.peek()) {
        let first = matches!((rank(a), rank(b)), (Some(x), Some(y)) if x < y);
        out.extend(if first { l.next() } else { r.next() });
    }
    out.extend(r);
    out.extend(l);
    Ok(out)
}

/// Sorts items as the order has them; items to be deleted come last.
pub(super) fn sort_by(
    list: Vec<Value>,
    order: &[Value],
    key: &str,
    items: Items,
) -> Result<Vec<Value>, PatchError> {
    let (mut list, mut deleted) = (list, Vec::new());
    if items == Items::Maps {
        for v in list.iter().chain(order) {
            merge_key_of(v, key)?;
        }
        (deleted, list) = list.into_iter().partition(is_delete);
    }
    let ranks = Ranks::of(order, key, items);
    let mut ranked: Vec<(Option<usize>, Value)> =
        list.into_iter().map(|v| (ranks.get(&v, key, items), v)).collect();
    if ranked.iter().all(|r| r.0.is_some()) {
        ranked.sort_by_key(|r| r.0);
    } else {
        // Upstream's comparison says "less" for items it does not find: they go to the front.
        for i in 1..ranked.len() {
            let mut j = i;
            while j > 0 && !matches!((ranked[j].0, ranked[j - 1].0), (Some(a), Some(b)) if a >= b) {
                ranked.swap(j, j - 1);
                j -= 1;
            }
        }
    }
    let mut out: Vec<Value> = ranked.into_iter().map(|r| r.1).collect();
    out.append(&mut deleted);
    Ok(out)
}

pub(super) fn is_delete(v: &Value) -> bool {
    v.get(DIRECTIVE).and_then(Value::as_str) == Some("delete")
}
