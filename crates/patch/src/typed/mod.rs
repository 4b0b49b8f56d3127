//! Values with a schema: comparing, merging, removing, and which paths a value has
//! (structured-merge-diff `typed/`).
//!
//! All of it walks a value and a [`Node`] together. What a schema calls atomic is a leaf, whatever is in it.

mod compare;
mod fields;
mod items;
mod merge;
mod reconcile;
mod remove;
mod validate;
mod zero;

pub use compare::{Comparison, compare};
pub use fields::{ensure_named_fields, field_set};
pub use merge::merge;
pub use reconcile::{needs_reconcile, reconcile};
pub use remove::remove_items;
pub use validate::{Invalid, validate};

use schema::Node;
use schema::node::{ListType, Shape};
use serde_json::Value;

/// Nesting deeper than this is treated as a leaf; decoders refuse such objects before.
const MAX_DEPTH: usize = schema::MAX_DEPTH;

/// What a schema says about a place, with unknown places deduced from their values.
enum Place {
    Leaf,
    /// Named fields, and perhaps others.
    Struct,
    Map,
    /// Items with keys; their names in order, with defaults.
    Keyed(Vec<(String, Option<Value>)>),
    Set,
}

impl Place {
    /// The place of a value; of two if they are compared.
    fn of(node: Node<'_>, values: [Option<&Value>; 2]) -> Self {
        let fits = |f: fn(&Value) -> bool| values.iter().flatten().all(|v| v.is_null() || f(v));
        match node.shape() {
            Shape::Scalar | Shape::Struct { atomic: true } | Shape::Map { atomic: true } => Self::Leaf,
            Shape::List(ListType::Atomic) => Self::Leaf,
            Shape::Struct { atomic: false } if fits(Value::is_object) => Self::Struct,
            Shape::Map { atomic: false } if fits(Value::is_object) => Self::Map,
            Shape::List(ListType::Set) if fits(Value::is_array) => Self::Set,
            Shape::List(ListType::Map(mut keys)) if fits(Value::is_array) => {
                keys.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Keyed(keys)
            }
            Shape::Any if values.iter().flatten().any(|v| v.is_object()) => Self::Map,
            _ => Self::Leaf,
        }
    }
}

/// The node of a struct's field or a map's value, and whether it is a field with a name of its own. Unknown fields of a
/// struct that keeps them are its items; `None`: the schema does not declare it.
fn child<'a>(node: Node<'a>, place: &Place, name: &str, top: bool) -> Option<(Node<'a>, bool)> {
    if matches!(place, Place::Struct) {
        if let Some(n) = node.field(name) {
            return Some((n, true));
        }
        if top && (name == "apiVersion" || name == "kind") {
            return Some((Node::Any, true));
        }
    }
    match node.item() {
        Some(n) => Some((n, false)),
        None if matches!(node.shape(), Shape::Any) => Some((Node::Any, false)),
        None => None,
    }
}

fn item(node: Node<'_>) -> Node<'_> {
    node.item().unwrap_or(Node::Any)
}

#[cfg(test)]
pub(crate) mod tests;
