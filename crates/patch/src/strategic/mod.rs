//! Strategic merge patches (apimachinery `pkg/util/strategicpatch`): merge patches that know which lists merge by which
//! key, with directives: `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…`.

mod apply;
mod diff;
mod order;

pub use diff::{Conflict, create_strategic_patch, three_way_strategic};

use crate::PatchError;
use schema::Node;
use schema::node::{PatchMeta, Shape};
use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// Applies a strategic merge patch to an object of a built-in type.
pub fn strategic_merge(current: &Value, patch: &Value, node: Node<'_>) -> Result<Value, PatchError> {
    let (Value::Object(o), Value::Object(p)) = (current, patch) else {
        return Err(PatchError::Malformed("invalid JSON document".into()));
    };
    let options = apply::Options { on_server: true };
    Ok(Value::Object(apply::merge_map(o.clone(), p.clone(), node, options)?))
}

fn bad_order() -> PatchError {
    PatchError::Malformed("invalid patch format of setElementOrder list".into())
}
fn bad_primitive_list() -> PatchError {
    // Upstream has no code for this one.
    PatchError::Internal("invalid patch format of primitive list".into())
}
fn bad_retain_keys() -> PatchError {
    PatchError::Malformed("invalid patch format of retainKeys".into())
}
fn no_merge_key(m: &Value, key: &str) -> PatchError {
    PatchError::Internal(format!("map: {m} does not contain declared merge key: {key}"))
}
fn bad_type(expected: &str, actual: &Value) -> PatchError {
    PatchError::Internal(format!("expected a {expected}, but received a {}", go_type(actual)))
}
fn go_type(v: &Value) -> &'static str {
    match v {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// How a field merges.
#[derive(Default)]
struct Strategy {
    meta: PatchMeta,
    /// Objects are replaced as a whole (the selector of a PodDisruptionBudget).
    replace: bool,
}

/// The node below a key, and how the field merges.
fn lookup<'a>(node: Node<'a>, key: &str) -> (Node<'a>, Strategy) {
    match node.shape() {
        Shape::Struct { .. } => match node.field(key) {
            Some(f) => {
                let replace = match f {
                    Node::Field(t, i) => schema::facts::fields(t)
                        .get(usize::from(i))
                        .is_some_and(|f| f.meta.patch_strategy == "replace"),
                    _ => false,
                };
                (f, Strategy { meta: f.patch_meta(), replace })
            }
            None => (node.item().unwrap_or(Node::Any), Strategy::default()),
        },
        Shape::Map { .. } => (node.item().unwrap_or(Node::Any), Strategy::default()),
        _ => (Node::Any, Strategy::default()),
    }
}

/// The node of a list's items.
fn element(node: Node<'_>) -> Node<'_> {
    node.item().unwrap_or(Node::Any)
}

fn object(v: &Value) -> Result<&Object, PatchError> {
    v.as_object().ok_or_else(|| bad_type("map[string]interface {}", v))
}
fn array(v: Value) -> Result<Vec<Value>, PatchError> {
    match v {
        Value::Array(a) => Ok(a),
        v => Err(bad_type("[]interface {}", &v)),
    }
}
fn merge_key_of<'v>(v: &'v Value, key: &str) -> Result<&'v Value, PatchError> {
    object(v)?.get(key).ok_or_else(|| no_merge_key(v, key))
}

/// What a list that merges holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Items {
    Maps,
    Scalars,
}

/// The one kind of item that all lists have.
fn items_of(lists: &[&[Value]]) -> Result<Items, PatchError> {
    let mut all = lists.iter().flat_map(|l| l.iter());
    let Some(first) = all.next() else {
        return Err(PatchError::Internal("no elements in any of the given slices".into()));
    };
    if first.is_array() {
        return Err(PatchError::Failed("lists of lists are not supported".into()));
    }
    let kind = std::mem::discriminant(first);
    if first.is_null() || all.any(|v| std::mem::discriminant(v) != kind) {
        return Err(PatchError::Internal("list element types are not identical".into()));
    }
    Ok(if first.is_object() { Items::Maps } else { Items::Scalars })
}

#[cfg(test)]
mod tests;
