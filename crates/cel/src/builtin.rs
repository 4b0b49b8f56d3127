//! Built-in kinds as types, from the facts table.

use crate::types::{Provider, Type};
use schema::TypeId;
use schema::facts::{Card, Wire, type_named};

/// Knows the fields of every built-in type.
#[derive(Debug)]
pub struct Builtin;

/// The type of a built-in kind.
pub fn of(ty: TypeId) -> Type {
    match ty.facts().special {
        Some(w) => wire(w),
        None => Type::object(ty.name()),
    }
}

fn wire(w: Wire) -> Type {
    match w {
        Wire::String | Wire::Quantity => Type::String,
        Wire::Bytes => Type::Bytes,
        Wire::Bool => Type::Bool,
        Wire::Int32 | Wire::Int64 => Type::Int,
        Wire::Double => Type::Double,
        Wire::Time | Wire::MicroTime => Type::Timestamp,
        Wire::Duration => Type::Duration,
        Wire::Strings => Type::list(Type::String),
        Wire::Struct(t) => of(t),
        Wire::IntOrString
        | Wire::Raw
        | Wire::SchemaOrBool(_)
        | Wire::SchemaOrArray(_)
        | Wire::SchemaOrStrings(_) => Type::Dyn,
    }
}

impl Provider for Builtin {
    fn has(&self, name: &str) -> bool {
        type_named(name).is_some()
    }
    fn field(&self, name: &str, field: &str) -> Option<Type> {
        let f = type_named(name)?.field(&crate::escape::unescape(field))?;
        let one = wire(f.wire);
        Some(match f.card {
            Card::One => one,
            Card::List => Type::list(one),
            Card::Map => Type::map(Type::String, one),
        })
    }
}

/// A custom resource: its schema's fields, and the metadata of any object.
#[derive(Debug)]
pub struct Custom {
    name: String,
    fields: crate::crd::decl::Fields,
}

impl Custom {
    pub fn new(s: &structural::Schema, name: &str) -> Option<Self> {
        let d = crate::crd::decl::decl(s, true, name)?;
        Some(Self { name: name.to_owned(), fields: crate::crd::decl::Fields::of(&d) })
    }
}

impl Provider for Custom {
    fn has(&self, name: &str) -> bool {
        self.fields.has(name)
    }
    fn field(&self, name: &str, field: &str) -> Option<Type> {
        if name == self.name && field == "metadata" {
            return type_named("meta.v1.ObjectMeta").map(of);
        }
        self.fields.field(name, field)
    }
}
