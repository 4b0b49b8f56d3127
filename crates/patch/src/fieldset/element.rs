//! One step of a field path (structured-merge-diff `fieldpath/element.go`).

use crate::number;
use serde_json::Value;
use std::cmp::Ordering;
use std::fmt::Write as _;

/// How to get from a place to one below it.
#[derive(Clone, Debug)]
pub enum PathElement {
    /// A field of a struct or a key of a map.
    Field(Box<str>),
    /// The item of a list of maps with these values of its key fields, in the order of their names.
    Key(Box<[(Box<str>, Value)]>),
    /// The item of a set.
    Value(Box<Value>),
    /// The item of an atomic list.
    Index(i64),
}

impl PathElement {
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }
    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
    /// Appends `.name`, `[name="x"]`, `[="x"]` or `[0]`.
    pub fn write(&self, out: &mut String) {
        // Writing to a String cannot fail.
        match self {
            Self::Field(n) => {
                out.push('.');
                out.push_str(n);
            }
            Self::Key(k) => {
                out.push('[');
                for (i, (n, v)) in k.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(n);
                    out.push('=');
                    write_value(v, out);
                }
                out.push(']');
            }
            Self::Value(v) => {
                out.push_str("[=");
                write_value(v, out);
                out.push(']');
            }
            Self::Index(i) => {
                let _ = write!(out, "[{i}]");
            }
        }
    }
}

fn write_value(v: &Value, out: &mut String) {
    match v {
        Value::String(s) => out.push_str(&meta::field::quote(s)),
        Value::Array(a) => {
            out.push('[');
            for (i, v) in a.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(v, out);
            }
            out.push(']');
        }
        Value::Object(m) => {
            for (k, v) in m {
                out.push_str(k);
                out.push('=');
                write_value(v, out);
            }
        }
        v => {
            let _ = write!(out, "{v}");
        }
    }
}

impl std::fmt::Display for PathElement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut s = String::new();
        self.write(&mut s);
        f.write_str(&s)
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => a
                .iter()
                .zip(b.iter())
                .map(|((k, x), (l, y))| k.cmp(l).then_with(|| number::compare(x, y)))
                .find(|o| o.is_ne())
                .unwrap_or(a.len().cmp(&b.len())),
            (Self::Value(a), Self::Value(b)) => number::compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}
impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for PathElement {}
