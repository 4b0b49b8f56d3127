//! Which paths a value has (structured-merge-diff `typed/tofieldset.go`).

use super::items::{element, list};
use super::{MAX_DEPTH, Place, child, item};
use crate::fieldset::{FieldSet, PathElement};
use schema::Node;
use schema::node::Shape;
use serde_json::Value;

/// Every leaf of the value and every item. The object is one without managedFields.
pub fn field_set(v: &Value, node: Node<'_>) -> FieldSet {
    go(v, node, 0).1
}

/// Whether the place is a leaf, and what is below it.
fn go(v: &Value, node: Node<'_>, depth: usize) -> (bool, FieldSet) {
    let mut out = FieldSet::new();
    if depth > MAX_DEPTH {
        return (true, out);
    }
    let place = Place::of(node, [Some(v), None]);
    match &place {
        Place::Leaf => return (true, out),
        Place::Struct | Place::Map => {
            for (k, v) in v.as_object().into_iter().flatten() {
                let (n, named) = child(node, &place, k, depth == 0).unwrap_or((Node::Any, false));
                let (leaf, below) = go(v, n, depth + 1);
                let empty = v.is_null() || v.as_object().is_some_and(serde_json::Map::is_empty);
                out.push(|| PathElement::field(k), leaf || empty || !named, below);
            }
        }
        Place::Keyed(_) | Place::Set => {
            let mut items: Vec<(PathElement, &Value)> =
                list(Some(v)).iter().filter_map(|v| Some((element(&place, v).ok()?, v))).collect();
            items.sort_by(|a, b| a.0.cmp(&b.0));
            let n = item(node);
            // Of items that come twice only the element is a path.
            for same in items.chunk_by(|a, b| a.0 == b.0) {
                let below = if let [one] = same { go(one.1, n, depth + 1).1 } else { FieldSet::new() };
                out.push(|| same[0].0.clone(), true, below);
            }
        }
    }
    (false, out)
}

/// The set with every declared field in it that something below it is a member of: `.spec.replicas` brings `.spec`.
/// (Map keys and list items are members by themselves or not at all.)
pub fn ensure_named_fields(mut set: FieldSet, node: Node<'_>) -> FieldSet {
    fn go(set: &mut FieldSet, node: Option<Node<'_>>, depth: usize) {
        let shape = node.map(|n| n.shape());
        for n in set.nodes.iter_mut().filter(|n| !n.children.is_empty()) {
            let below = match (&n.element, &shape, node) {
                (PathElement::Field(name), Some(Shape::Struct { .. }), Some(at)) => match at.field(name) {
                    Some(f) => {
                        n.member = true;
                        Some(f)
                    }
                    None => at.item(),
                },
                (PathElement::Field(_), Some(Shape::Map { .. }), Some(at)) => at.item(),
                (PathElement::Field(_), Some(Shape::Any), _) => Some(Node::Any),
                (PathElement::Key(_), Some(Shape::List(_)), Some(at)) => at.item(),
                _ => None,
            };
            if depth < MAX_DEPTH {
                go(&mut n.children, below, depth + 1);
            }
        }
    }
    go(&mut set, Some(node), 0);
    set
}
