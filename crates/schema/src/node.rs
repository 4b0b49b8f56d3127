//! A place in a schema, whatever schema it is: what patching and field management need to know of it.

use crate::TypeId;
use crate::facts::{self, Card, Field, Wire};

/// How a list merges under server-side apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    Atomic,
    Set,
    /// By the values of these keys; a key left out of an item has the default given here (JSON), if any.
    Map(Vec<(String, Option<meta::Value>)>),
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// String, number, boolean, or anything without inner structure (quantities, times, int-or-string, raw JSON).
    Scalar,
    /// Named fields ([`Node::field`]); atomic ones are owned as a whole.
    Struct {
        atomic: bool,
    },
    /// String keys, one kind of value ([`Node::item`]).
    Map {
        atomic: bool,
    },
    List(ListType),
    /// Unknown: preserved, deduced from the value as upstream's deduced typing does.
    Any,
}

/// `patchStrategy` and `patchMergeKey` of a list field, for strategic merge patches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchMeta {
    pub merge: bool,
    pub retain_keys: bool,
    pub merge_key: String,
}

/// A place in a built-in type or in a custom resource's schema.
#[derive(Clone, Copy)]
pub enum Node<'a> {
    /// A value of a built-in type.
    Type(TypeId),
    /// A field of a built-in type (index into its fields), with list or map around its element type.
    Field(TypeId, u16),
    /// The element of that field's list or map.
    Item(TypeId, u16),
    /// A place in another schema.
    Custom(&'a dyn CustomNode),
    Any,
}

/// A place in a schema that is not in the table; implemented by `structural`.
pub trait CustomNode {
    fn shape(&self) -> Shape;
    fn field(&self, name: &str) -> Option<Node<'_>>;
    fn item(&self) -> Option<Node<'_>>;
    fn patch_meta(&self) -> PatchMeta {
        PatchMeta::default()
    }
}

impl<'a> Node<'a> {
    pub fn shape(&self) -> Shape {
        match *self {
            Self::Any => Shape::Any,
            Self::Custom(c) => c.shape(),
            Self::Type(t) => match t.facts().special {
                Some(w) => element(w, ""),
                None => Shape::Struct { atomic: t.facts().map_type == "atomic" },
            },
            Self::Item(t, i) => get(t, i).map_or(Shape::Any, |f| element(f.wire, "")),
            Self::Field(t, i) => match get(t, i) {
                None => Shape::Any,
                Some(f) => match f.card {
                    Card::One => element(f.wire, f.meta.map_type),
                    Card::Map => Shape::Map { atomic: f.meta.map_type == "atomic" },
                    Card::List => Shape::List(list_type(f)),
                },
            },
        }
    }
    /// A named field of a struct.
    pub fn field(&self, name: &str) -> Option<Node<'a>> {
        let ty = match *self {
            Self::Any => return None,
            Self::Custom(c) => return c.field(name),
            Self::Type(t) => t,
            Self::Item(t, i) => struct_of(get(t, i)?)?,
            Self::Field(t, i) => {
                let f = get(t, i)?;
                if f.card != Card::One {
                    return None;
                }
                struct_of(f)?
            }
        };
        let i = ty.field_index(name)?;
        Some(Node::Field(ty, u16::try_from(i).ok()?))
    }
    /// The element of a list or the value of a map.
    pub fn item(&self) -> Option<Node<'a>> {
        match *self {
            Self::Any => Some(Self::Any),
            Self::Custom(c) => c.item(),
            Self::Type(_) => None,
            // A list in a map: strings.
            Self::Item(t, i) => (get(t, i)?.wire == Wire::Strings).then_some(Self::Any),
            Self::Field(t, i) => match get(t, i)?.card {
                Card::One => None,
                _ => Some(Self::Item(t, i)),
            },
        }
    }
    /// Strategic-merge facts; meaningful on a field's node.
    pub fn patch_meta(&self) -> PatchMeta {
        match *self {
            Self::Custom(c) => c.patch_meta(),
            Self::Field(t, i) => get(t, i).map_or_else(PatchMeta::default, |f| PatchMeta {
                merge: f.meta.patch_strategy.split(',').any(|s| s == "merge"),
                retain_keys: f.meta.patch_strategy.split(',').any(|s| s == "retainKeys"),
                merge_key: f.meta.patch_key.to_owned(),
            }),
            _ => PatchMeta::default(),
        }
    }
}

fn get(t: TypeId, i: u16) -> Option<&'static Field> {
    facts::fields(t).get(usize::from(i))
}
fn struct_of(f: &Field) -> Option<TypeId> {
    if let Wire::Struct(t) = f.wire { Some(t) } else { None }
}
/// A single value; `map_type` is the field's word against the type's own.
fn element(w: Wire, map_type: &str) -> Shape {
    match w {
        Wire::Struct(t) => {
            let m = if map_type.is_empty() { t.facts().map_type } else { map_type };
            Shape::Struct { atomic: m == "atomic" }
        }
        Wire::Strings => Shape::List(ListType::Atomic),
        _ => Shape::Scalar,
    }
}
fn list_type(f: &Field) -> ListType {
    match f.meta.list_type {
        "set" => ListType::Set,
        "map" => {
            let keys = f.meta.list_keys.iter().map(|k| {
                let default = struct_of(f)
                    .and_then(|t| t.field(k))
                    .and_then(|f| serde_json::from_str(f.meta.default).ok());
                ((*k).to_owned(), default)
            });
            ListType::Map(keys.collect())
        }
        _ => ListType::Atomic,
    }
}

#[cfg(test)]
mod tests;
