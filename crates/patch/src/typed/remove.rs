//! Taking paths out of a value (structured-merge-diff `typed/remove.go`).

use super::items::element;
use super::{MAX_DEPTH, Place, child, item};
use crate::fieldset::FieldSet;
use schema::Node;
use serde_json::Value;

/// The value without the members of the set. A map or list that loses all it had becomes null, not absent.
pub fn remove_items(v: Value, set: &FieldSet, node: Node<'_>) -> Value {
    go(v, set, node, 0)
}

fn go(v: Value, set: &FieldSet, node: Node<'_>, depth: usize) -> Value {
    if set.is_empty() || depth > MAX_DEPTH {
        return v;
    }
    let place = Place::of(node, [Some(&v), None]);
    match (v, &place) {
        (Value::Object(m), Place::Struct | Place::Map) => {
            let mut out = serde_json::Map::new();
            for (k, v) in m {
                let v = match set.get_field(&k) {
                    Some(n) if n.member => continue,
                    Some(n) if !n.children.is_empty() => {
                        let at = child(node, &place, &k, depth == 0).map_or(Node::Any, |c| c.0);
                        go(v, &n.children, at, depth + 1)
                    }
                    _ => v,
                };
                out.insert(k, v);
            }
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        (Value::Array(a), Place::Keyed(_) | Place::Set) => {
            let mut out = Vec::with_capacity(a.len());
            for v in a {
                let found = element(&place, &v).ok().and_then(|e| set.get(&e));
                match found {
                    Some(n) if n.member => {}
                    Some(n) if !n.children.is_empty() => out.push(go(v, &n.children, item(node), depth + 1)),
                    _ => out.push(v),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Value::Object(_) | Value::Array(_), Place::Leaf) => Value::Null,
        (v, _) => v,
    }
}
