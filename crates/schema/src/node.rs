//! A place in a schema, whatever schema it is: what patching and field management need to know of it.

use crate::TypeId;

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
        todo!()
    }
    /// A named field of a struct.
    pub fn field(&self, _name: &str) -> Option<Node<'a>> {
        todo!()
    }
    /// The element of a list or the value of a map.
    pub fn item(&self) -> Option<Node<'a>> {
        todo!()
    }
    /// Strategic-merge facts; meaningful on a field's node.
    pub fn patch_meta(&self) -> PatchMeta {
        todo!()
    }
}
