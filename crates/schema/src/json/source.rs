//! Where a decoder reads from: JSON text or a parsed value.

use crate::{DecodeError, MAX_DEPTH, Value};
use serde_json::Map;
use std::borrow::Cow;

/// What a value begins with.
pub(super) enum Ev<'a> {
    Null,
    Bool(bool),
    Num(Num<'a>),
    Str(Cow<'a, str>),
    Arr,
    Obj,
}

impl Ev<'_> {
    /// Go's name of it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Num(_) => "number",
            Self::Str(_) => "string",
            Self::Arr => "array",
            Self::Obj => "object",
        }
    }
}

pub(super) enum Num<'a> {
    Text(&'a str),
    Parsed(serde_json::Number),
}

impl Num<'_> {
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(t) => Cow::Borrowed(t),
            Self::Parsed(n) => {
                let mut out = Vec::new();
                super::write::number(n, &mut out);
                Cow::Owned(String::from_utf8(out).unwrap_or_default())
            }
        }
    }
    /// As Go's ParseInt.
    pub(super) fn int(&self) -> Option<i64> {
        match self {
            Self::Text(t) => t.parse().ok(),
            Self::Parsed(n) => n.as_i64().or_else(|| {
                let f = n.as_f64()?;
                (f.fract() == 0.0 && f.abs() < 9e15).then_some(f as i64)
            }),
        }
    }
    /// A number where there is no schema: an integer when it is one, however it is written.
    pub(super) fn untyped(&self) -> Option<serde_json::Number> {
        match self {
            Self::Text(t) => {
                if let Ok(i) = t.parse::<i64>() {
                    return Some(i.into());
                }
                if let Ok(u) = t.parse::<u64>() {
                    return Some(u.into());
                }
                super::write::to_number(t.parse().ok()?)
            }
            Self::Parsed(n) => match n.as_f64() {
                Some(f) if n.is_f64() => super::write::to_number(f),
                _ => Some(n.clone()),
            },
        }
    }
}

pub(super) trait Source<'a> {
    /// Begins the next value; an array or object is then read with `elem` and `value`, or `key` and `value`.
    fn value(&mut self) -> Result<Ev<'a>, DecodeError>;
    /// Whether the array has another element; `false` takes its end.
    fn elem(&mut self, first: bool) -> Result<bool, DecodeError>;
    /// The object's next key; `None` takes its end.
    fn key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, DecodeError>;
    /// Nothing may follow.
    fn end(&mut self) -> Result<(), DecodeError>;
    /// Reads over the next value.
    fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
        let ev = self.value()?;
        self.rest(&ev, depth)
    }
    /// Reads over what a value holds after its beginning.
    fn rest(&mut self, ev: &Ev<'a>, depth: usize) -> Result<(), DecodeError> {
        if matches!(ev, Ev::Arr | Ev::Obj) && depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        let mut first = true;
        match ev {
            Ev::Arr => {
                while self.elem(first)? {
                    first = false;
                    self.skip(depth + 1)?;
                }
            }
            Ev::Obj => {
                while self.key(first)?.is_some() {
                    first = false;
                    self.skip(depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

pub(super) fn too_deep() -> DecodeError {
    DecodeError("exceeded max depth".into())
}

/// Builds values without a schema.
pub(super) struct Untyped {
    pub(super) report: bool,
    /// Paths of keys that came twice.
    pub(super) duplicates: Vec<String>,
}

impl Untyped {
    pub(super) fn build<'a, S: Source<'a>>(
        &mut self,
        src: &mut S,
        ev: Ev<'a>,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        if depth >= MAX_DEPTH && matches!(ev, Ev::Arr | Ev::Obj) {
            return Err(too_deep());
        }
        Ok(match ev {
            Ev::Null => Value::Null,
            Ev::Bool(b) => Value::Bool(b),
            Ev::Str(s) => Value::String(s.into_owned()),
            Ev::Num(n) => match n.untyped() {
                Some(n) => Value::Number(n),
                None => {
                    return Err(DecodeError(format!(
                        "json: cannot unmarshal number {} into Go value of type float64",
                        n.text()
                    )));
                }
            },
            Ev::Arr => {
                let mut a = Vec::new();
                while src.elem(a.is_empty())? {
                    let mark = self.duplicates.len();
                    let ev = src.value()?;
                    let v = self.build(src, ev, depth + 1)?;
                    self.prefix(mark, &format_args!("[{}]", a.len()));
                    a.push(v);
                }
                Value::Array(a)
            }
            Ev::Obj => {
                let mut m = Map::new();
                let mut first = true;
                while let Some(k) = src.key(first)? {
                    first = false;
                    if self.report && self.duplicates.len() < 1000 && m.contains_key(&*k) {
                        self.duplicates.push(k.clone().into_owned());
                    }
                    let mark = self.duplicates.len();
                    let ev = src.value()?;
                    let v = self.build(src, ev, depth + 1)?;
                    self.prefix(mark, &format_args!("{k}"));
                    m.insert(k.into_owned(), v);
                }
                Value::Object(m)
            }
        })
    }
    fn prefix(&mut self, mark: usize, with: &dyn std::fmt::Display) {
        for d in &mut self.duplicates[mark..] {
            *d = join(with, d);
        }
    }
}

/// `a` and `b` as a path; an index is joined without a dot.
pub(super) fn join(a: &dyn std::fmt::Display, b: &str) -> String {
    if b.starts_with('[') { format!("{a}{b}") } else { format!("{a}.{b}") }
}

/// A parsed value, taken apart.
pub(super) struct ValueSource {
    next: Value,
    open: Vec<Open>,
}
enum Open {
    Arr(std::vec::IntoIter<Value>),
    Obj(serde_json::map::IntoIter),
}

impl ValueSource {
    pub(super) fn new(v: Value) -> Self {
        Self { next: v, open: Vec::new() }
    }
}

impl Source<'static> for ValueSource {
    fn value(&mut self) -> Result<Ev<'static>, DecodeError> {
        Ok(match std::mem::take(&mut self.next) {
            Value::Null => Ev::Null,
            Value::Bool(b) => Ev::Bool(b),
            Value::Number(n) => Ev::Num(Num::Parsed(n)),
            Value::String(s) => Ev::Str(Cow::Owned(s)),
            Value::Array(a) => {
                self.open.push(Open::Arr(a.into_iter()));
                Ev::Arr
            }
            Value::Object(m) => {
                self.open.push(Open::Obj(m.into_iter()));
                Ev::Obj
            }
        })
    }
    fn elem(&mut self, _first: bool) -> Result<bool, DecodeError> {
        if let Some(Open::Arr(a)) = self.open.last_mut()
            && let Some(v) = a.next()
        {
            self.next = v;
            return Ok(true);
        }
        self.open.pop();
        Ok(false)
    }
    fn key(&mut self, _first: bool) -> Result<Option<Cow<'static, str>>, DecodeError> {
        let entry = match self.open.last_mut() {
            Some(Open::Obj(m)) => m.next(),
            _ => None,
        };
        match entry {
            Some((k, v)) => {
                self.next = v;
                Ok(Some(Cow::Owned(k)))
            }
            None => {
                self.open.pop();
                Ok(None)
            }
        }
    }
    fn end(&mut self) -> Result<(), DecodeError> {
        Ok(())
    }
}
