//! A schema for tests, and the walkers on it.

use super::*;
use schema::node::{CustomNode, PatchMeta};

/// A place in a test schema.
#[derive(Default)]
pub(crate) struct Spot {
    pub shape: Option<Shape>,
    pub fields: Vec<(&'static str, Spot)>,
    pub item: Option<Box<Spot>>,
    pub patch: PatchMeta,
}

impl CustomNode for Spot {
    fn shape(&self) -> Shape {
        self.shape.clone().unwrap_or(Shape::Any)
    }
    fn field(&self, name: &str) -> Option<Node<'_>> {
        self.fields.iter().find(|f| f.0 == name).map(|f| Node::Custom(&f.1))
    }
    fn item(&self) -> Option<Node<'_>> {
        match (&self.item, &self.shape) {
            (Some(i), _) => Some(Node::Custom(&**i)),
            (None, None) => Some(Node::Any),
            _ => None,
        }
    }
    fn patch_meta(&self) -> PatchMeta {
        self.patch.clone()
    }
}

pub(crate) fn scalar() -> Spot {
    Spot { shape: Some(Shape::Scalar), ..Spot::default() }
}
pub(crate) fn any() -> Spot {
    Spot::default()
}
pub(crate) fn object(fields: Vec<(&'static str, Spot)>) -> Spot {
    Spot { shape: Some(Shape::Struct { atomic: false }), fields, ..Spot::default() }
}
pub(crate) fn atomic_object(fields: Vec<(&'static str, Spot)>) -> Spot {
    Spot { shape: Some(Shape::Struct { atomic: true }), ..object(fields) }
}
pub(crate) fn map(item: Spot, atomic: bool) -> Spot {
    Spot { shape: Some(Shape::Map { atomic }), item: Some(Box::new(item)), ..Spot::default() }
}
pub(crate) fn list(of: ListType, item: Spot) -> Spot {
    Spot { shape: Some(Shape::List(of)), item: Some(Box::new(item)), ..Spot::default() }
}
pub(crate) fn keyed(keys: &[(&str, Option<&str>)], item: Spot) -> Spot {
    let keys = keys.iter().map(|(k, d)| ((*k).to_owned(), d.map(Value::from)));
    list(ListType::Map(keys.collect()), item)
}
/// A list that merges by a key in strategic patches too.
pub(crate) fn merging(key: &str, mut s: Spot) -> Spot {
    s.patch = PatchMeta { merge: true, retain_keys: false, merge_key: key.to_owned() };
    s
}

fn nested() -> Spot {
    object(vec![
        ("a", scalar()),
        ("b", scalar()),
        ("c", atomic_object(vec![("a", scalar()), ("b", scalar())])),
    ])
}
fn thing() -> Spot {
    object(vec![
        ("name", scalar()),
        ("val", scalar()),
        ("sub", nested()),
        ("tags", merging("", list(ListType::Set, scalar()))),
    ])
}

/// A kind with one of everything.
pub(crate) fn root() -> Spot {
    let spec = object(vec![
        ("num", scalar()),
        ("str", scalar()),
        ("nested", nested()),
        ("smap", map(scalar(), false)),
        ("amap", map(scalar(), true)),
        ("set", merging("", list(ListType::Set, scalar()))),
        ("alist", list(ListType::Atomic, nested())),
        ("klist", merging("name", keyed(&[("name", None)], thing()))),
        (
            "ports",
            merging(
                "port",
                keyed(
                    &[("port", None), ("proto", Some("TCP"))],
                    object(vec![("port", scalar()), ("proto", scalar()), ("name", scalar())]),
                ),
            ),
        ),
        ("astruct", atomic_object(vec![("a", scalar()), ("b", scalar())])),
        ("any", any()),
        ("smap2", map(nested(), false)),
    ]);
    object(vec![
        ("apiVersion", scalar()),
        ("kind", scalar()),
        (
            "metadata",
            object(vec![
                ("name", scalar()),
                ("uid", scalar()),
                ("labels", map(scalar(), false)),
                ("annotations", map(scalar(), false)),
            ]),
        ),
        ("spec", spec),
        ("status", object(vec![("num", scalar()), ("conds", keyed(&[("name", None)], thing()))])),
    ])
}
