//! Whether a configuration fits its schema as far as merging needs it (structured-merge-diff `typed/validate.go`).
//! Scalars are not looked at: decoding the merged object does that.

use super::items::element;
use super::{MAX_DEPTH, Place, child, item};
use crate::fieldset::PathElement;
use schema::Node;
use schema::node::{ListType, Shape};
use serde_json::Value;
use std::collections::BTreeSet;

/// What is wrong with a value: places and texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub Vec<(String, String)>);

impl Invalid {
    pub(super) fn here(text: String) -> Self {
        Self(vec![(String::new(), text)])
    }
    pub(super) fn under(mut self, e: &PathElement) -> Self {
        for (path, _) in &mut self.0 {
            *path = format!("{e}{path}");
        }
        self
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = |f: &mut std::fmt::Formatter<'_>, (p, t): &(String, String)| {
            if p.is_empty() { write!(f, "{t}") } else { write!(f, "{p}: {t}") }
        };
        if let [e] = &self.0[..] {
            return one(f, e);
        }
        write!(f, "errors:")?;
        for e in &self.0 {
            write!(f, "\n  ")?;
            one(f, e)?;
        }
        Ok(())
    }
}
impl std::error::Error for Invalid {}

/// Unknown fields, lists and maps that are none, items without keys, items that come twice.
pub fn validate(v: &Value, node: Node<'_>) -> Result<(), Invalid> {
    let mut w = Walk { path: String::new(), errors: Vec::new() };
    w.go(v, node, 0);
    if w.errors.is_empty() { Ok(()) } else { Err(Invalid(w.errors)) }
}

struct Walk {
    path: String,
    errors: Vec<(String, String)>,
}

impl Walk {
    fn error(&mut self, text: String) {
        self.errors.push((self.path.clone(), text));
    }
    fn below(&mut self, e: &PathElement, v: &Value, node: Node<'_>, depth: usize) {
        let n = self.path.len();
        e.write(&mut self.path);
        self.go(v, node, depth + 1);
        self.path.truncate(n);
    }
    fn go(&mut self, v: &Value, node: Node<'_>, depth: usize) {
        if depth > MAX_DEPTH || v.is_null() {
            return;
        }
        let shape = node.shape();
        match (&shape, v) {
            (Shape::Struct { .. } | Shape::Map { .. }, Value::Object(m)) => {
                let place = if matches!(shape, Shape::Struct { .. }) { Place::Struct } else { Place::Map };
                for (k, v) in m {
                    let e = PathElement::field(k);
                    match child(node, &place, k, depth == 0) {
                        Some((n, _)) => self.below(&e, v, n, depth),
                        None => {
                            let n = self.path.len();
                            e.write(&mut self.path);
                            self.error("field not declared in schema".into());
                            self.path.truncate(n);
                            return;
                        }
                    }
                }
            }
            (Shape::List(t), Value::Array(a)) => {
                let place = match t {
                    ListType::Atomic => None,
                    _ => Some(Place::of(node, [Some(v), None])),
                };
                let n = item(node);
                let mut seen = BTreeSet::new();
                for (i, v) in a.iter().enumerate() {
                    let e = match &place {
                        None => PathElement::Index(i as i64),
                        Some(p) => match element(p, v) {
                            Ok(e) => e,
                            Err(t) => {
                                self.error(format!("element {i}: {t}"));
                                return;
                            }
                        },
                    };
                    if seen.contains(&e) {
                        self.error(format!("duplicate entries for key {e}"));
                    }
                    self.below(&e, v, n, depth);
                    if place.is_some() {
                        seen.insert(e);
                    }
                }
            }
            (Shape::Struct { .. } | Shape::Map { .. }, v) => self.error(format!("expected map, got {v}")),
            (Shape::List(_), v) => self.error(format!("expected list, got {v}")),
            (Shape::Scalar | Shape::Any, _) => {}
        }
    }
}
