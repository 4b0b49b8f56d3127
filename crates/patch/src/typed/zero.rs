//! Fields that upstream's JSON always has, and their zero values.
//!
//! Upstream compares Go structs: next to a struct that is there, a field without `omitempty` is there too, as zero, even
//! where our value leaves it out. So creating a Deployment adds `.spec.template.spec.restartPolicy` but not
//! `.spec.template.spec`.

use schema::Node;
use schema::facts::{Card, Wire, fields};
use serde_json::{Map, Value};
use std::sync::LazyLock;

static EMPTY: LazyLock<[Value; 7]> = LazyLock::new(|| {
    [
        Value::Null,
        Value::Object(Map::new()),
        Value::String(String::new()),
        Value::Bool(false),
        Value::from(0),
        Value::from("0"),
        Value::from("0s"),
    ]
});

/// The value an absent field stands for where the struct around it is present; `None`: absent is absent.
pub(super) fn zero_of(node: Node<'_>) -> Option<&'static Value> {
    let Node::Field(ty, i) = node else { return None };
    let f = fields(ty).get(usize::from(i))?;
    let z = &*EMPTY;
    if f.omit_zero {
        return None;
    }
    // omitempty never leaves out a struct.
    if f.card == Card::One && !f.pointer && matches!(f.wire, Wire::Struct(_)) {
        return Some(&z[1]);
    }
    if f.omit_empty {
        return None;
    }
    if f.pointer || f.card != Card::One {
        return Some(&z[0]);
    }
    Some(match f.wire {
        Wire::String => &z[2],
        Wire::Bool => &z[3],
        Wire::Int32 | Wire::Int64 | Wire::Double | Wire::IntOrString => &z[4],
        Wire::Quantity => &z[5],
        Wire::Duration => &z[6],
        _ => &z[0],
    })
}

/// The fields that upstream's JSON of this struct has as null where ours has nothing.
pub(super) fn nulls(node: Node<'_>) -> impl Iterator<Item = &'static str> {
    let ty = match node {
        Node::Type(t) => Some(t),
        Node::Field(t, i) | Node::Item(t, i) => {
            fields(t).get(usize::from(i)).and_then(|f| f.wire.struct_type())
        }
        Node::Custom(_) | Node::Any => None,
    };
    ty.map_or(&[][..], fields)
        .iter()
        .filter(|f| {
            !f.omit_empty
                && !f.omit_zero
                && (f.pointer || f.card != Card::One || matches!(f.wire, Wire::Time | Wire::MicroTime))
        })
        .map(|f| f.name)
}
