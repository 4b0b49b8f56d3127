//! The schema as patching and field management see it.

use crate::{Additional, Schema};
use schema::node::{CustomNode, ListType, Node, Shape};

impl CustomNode for Schema {
    fn shape(&self) -> Shape {
        if self.int_or_string {
            return Shape::Scalar;
        }
        if self.embedded {
            // An object with metadata, whatever else it has.
            return Shape::Struct { atomic: self.map_type == "atomic" };
        }
        match self.ty.as_str() {
            "array" => match self.list_type.as_str() {
                "set" => Shape::List(ListType::Set),
                "map" => {
                    let default = |k: &String| self.items.as_ref()?.properties.get(k)?.default.clone();
                    Shape::List(ListType::Map(
                        self.list_keys.iter().map(|k| (k.clone(), default(k))).collect(),
                    ))
                }
                _ => Shape::List(ListType::Atomic),
            },
            "object" => {
                let atomic = self.map_type == "atomic";
                if self.preserve && self.properties.is_empty() && matches!(self.additional, Additional::None)
                {
                    return if atomic { Shape::Map { atomic } } else { Shape::Any };
                }
                match self.additional {
                    Additional::None | Additional::Bool(false) => Shape::Struct { atomic },
                    _ => Shape::Map { atomic },
                }
            }
            "" if self.preserve || self.properties.is_empty() => Shape::Any,
            "" => Shape::Struct { atomic: false },
            _ => Shape::Scalar,
        }
    }
    fn field(&self, name: &str) -> Option<Node<'_>> {
        if self.embedded {
            match name {
                "metadata" => return schema::facts::type_named("meta.v1.ObjectMeta").map(Node::Type),
                "apiVersion" | "kind" => return Some(Node::Any),
                _ => {}
            }
        }
        match self.properties.get(name) {
            Some(s) => Some(Node::Custom(s)),
            None if self.preserve => Some(Node::Any),
            None => match &self.additional {
                Additional::Schema(s) => Some(Node::Custom(s.as_ref())),
                Additional::Bool(true) => Some(Node::Any),
                _ => None,
            },
        }
    }
    fn item(&self) -> Option<Node<'_>> {
        if self.ty == "array" {
            return self.items.as_ref().map(|s| Node::Custom(s.as_ref()));
        }
        match &self.additional {
            Additional::Schema(s) => Some(Node::Custom(s.as_ref())),
            Additional::Bool(true) => Some(Node::Any),
            _ => None,
        }
    }
}
