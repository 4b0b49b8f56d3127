//! Owned paths and a schema that changed since they were written (structured-merge-diff `typed/reconcile_schema.go`).
//!
//! Where a list or map became atomic, who owned something below it now owns it as a whole.

use super::MAX_DEPTH;
use crate::fieldset::{FieldSet, PathElement};
use schema::Node;
use schema::node::{ListType, Shape};
use serde_json::Value;

fn atomic(s: &Shape) -> bool {
    matches!(s, Shape::List(ListType::Atomic) | Shape::Struct { atomic: true } | Shape::Map { atomic: true })
}

/// The node below, for a field name or (`None`) a list item.
fn below<'a>(node: Node<'a>, shape: &Shape, field: Option<&str>) -> Option<Node<'a>> {
    match (shape, field) {
        (Shape::Struct { .. }, Some(f)) => node.field(f).or_else(|| node.item()),
        (Shape::Map { .. }, Some(_)) | (Shape::List(_), None) => node.item(),
        _ => None,
    }
}

/// Whether [`reconcile`] would change the set that this `fieldsV1` is.
pub fn needs_reconcile(fields: &Value, node: Node<'_>) -> bool {
    fn go(fields: &Value, node: Node<'_>, depth: usize) -> bool {
        let Some(m) = fields.as_object().filter(|m| m.keys().any(|k| k != ".")) else { return false };
        let shape = node.shape();
        if depth > 0 && atomic(&shape) {
            return true;
        }
        if depth > MAX_DEPTH || matches!(shape, Shape::Any | Shape::Scalar) {
            return false;
        }
        m.iter().any(|(k, v)| {
            if v.as_object().is_none_or(serde_json::Map::is_empty) {
                return false;
            }
            below(node, &shape, k.strip_prefix("f:")).is_some_and(|n| go(v, n, depth + 1))
        })
    }
    go(fields, node, 0)
}

/// Makes the set fit the schema.
pub fn reconcile(set: &mut FieldSet, node: Node<'_>) {
    fn go(set: &mut FieldSet, node: Node<'_>, depth: usize) {
        let shape = node.shape();
        if depth > MAX_DEPTH || matches!(shape, Shape::Any | Shape::Scalar) {
            return;
        }
        for n in set.nodes.iter_mut().filter(|n| !n.children.is_empty()) {
            let field = if let PathElement::Field(f) = &n.element { Some(&**f) } else { None };
            let Some(at) = below(node, &shape, field) else { continue };
            if atomic(&at.shape()) {
                n.member = true;
                n.children = FieldSet::new();
            } else {
                go(&mut n.children, at, depth + 1);
            }
        }
    }
    go(set, node, 0);
}
