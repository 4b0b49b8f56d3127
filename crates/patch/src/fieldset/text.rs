//! `fieldsV1`: sets as JSON (structured-merge-diff `fieldpath/serialize.go`, `serialize-pe.go`).
//!
//! `{"f:spec":{"f:ports":{".":{},"k:{\"port\":80}":{}}}}`: `.` says that the place itself is a member too, an empty
//! object that it is one and has nothing below.

use super::{FieldSet, PathElement};
use serde_json::{Map, Value};

/// Why text is not a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("parsing key as path element: {0}")]
    Element(String),
    #[error("{0}")]
    Json(String),
    #[error("expected an object, got {0}")]
    NotAnObject(String),
}

/// Nesting that no object reaches.
const MAX_DEPTH: usize = 256;

impl PathElement {
    /// Reads `f:name`, `k:{…}`, `v:…`, `i:0`; `None` for a kind of element this version does not know.
    pub fn parse(s: &str) -> Result<Option<Self>, ParseError> {
        let bad = |m: String| ParseError::Element(m);
        let b = s.as_bytes();
        if b.len() < 2 {
            return Err(bad("key must be 2 characters long:".into()));
        }
        if b[1] != b':' {
            return Err(bad(format!("missing colon: {s}")));
        }
        let rest = &s[2..];
        Ok(Some(match b[0] {
            b'f' => Self::Field(rest.into()),
            b'v' => Self::Value(Box::new(serde_json::from_str(rest).map_err(|e| bad(e.to_string()))?)),
            b'k' => {
                let m: Map<String, Value> = serde_json::from_str(rest).map_err(|e| bad(e.to_string()))?;
                Self::Key(m.into_iter().map(|(k, v)| (k.into_boxed_str(), v)).collect())
            }
            b'i' => Self::Index(
                rest.parse().map_err(|_| bad(format!("strconv.Atoi: parsing {rest:?}: invalid syntax")))?,
            ),
            _ => return Ok(None),
        }))
    }
    /// The text of [`Self::parse`].
    pub fn serialize(&self, out: &mut String) {
        match self {
            Self::Field(n) => {
                out.push_str("f:");
                out.push_str(n);
            }
            Self::Key(k) => {
                out.push_str("k:{");
                for (i, (n, v)) in k.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    quote(n, false, out);
                    out.push(':');
                    write_json(v, out);
                }
                out.push('}');
            }
            Self::Value(v) => {
                out.push_str("v:");
                write_json(v, out);
            }
            Self::Index(i) => {
                out.push_str("i:");
                out.push_str(&i.to_string());
            }
        }
    }
}

/// JSON with `<`, `>` and `&` escaped, as Go writes it.
pub(crate) fn write_json(v: &Value, out: &mut String) {
    match v {
        Value::String(s) => quote(s, true, out),
        Value::Array(a) => {
            out.push('[');
            for (i, v) in a.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(v, out);
            }
            out.push(']');
        }
        Value::Object(m) => {
            out.push('{');
            for (i, (k, v)) in m.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                quote(k, true, out);
                out.push(':');
                write_json(v, out);
            }
            out.push('}');
        }
        v => out.push_str(&v.to_string()),
    }
}

fn quote(s: &str, html: bool, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' if html => out.push_str("\\u003c"),
            '>' if html => out.push_str("\\u003e"),
            '&' if html => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

impl FieldSet {
    /// Reads `fieldsV1`.
    pub fn from_value(v: &Value) -> Result<Self, ParseError> {
        Ok(read(v, 0)?.0.unwrap_or_default())
    }
    /// Writes `fieldsV1`.
    pub fn to_value(&self) -> Value {
        Value::Object(write(self, false))
    }
    /// Reads the JSON text of `fieldsV1`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let v: Value = serde_json::from_str(text).map_err(|e| ParseError::Json(e.to_string()))?;
        Self::from_value(&v)
    }
    /// The JSON text, elements in upstream's order (which a [`Value`] does not keep).
    pub fn to_json(&self) -> String {
        fn go(s: &FieldSet, me: bool, out: &mut String, buf: &mut String) {
            out.push('{');
            let mut first = true;
            if me && !s.is_empty() {
                out.push_str("\".\":{}");
                first = false;
            }
            for n in &s.nodes {
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                buf.clear();
                n.element.serialize(buf);
                quote(buf, false, out);
                out.push(':');
                go(&n.children, n.member, out, buf);
            }
            out.push('}');
        }
        let (mut out, mut buf) = (String::new(), String::new());
        go(self, false, &mut out, &mut buf);
        out
    }
}

/// What is below a place, and whether the place is a member.
fn read(v: &Value, depth: usize) -> Result<(Option<FieldSet>, bool), ParseError> {
    let m = match v {
        Value::Object(m) if depth < MAX_DEPTH => m,
        Value::Null => return Ok((None, true)),
        Value::Object(_) => return Err(ParseError::Json("exceeded max depth".into())),
        v => return Err(ParseError::NotAnObject(v.to_string())),
    };
    let (mut set, mut member) = (FieldSet { nodes: Vec::with_capacity(m.len()) }, false);
    for (k, v) in m {
        if k == "." {
            member = true;
            continue;
        }
        let Some(e) = PathElement::parse(k)? else { continue };
        let (below, is_member) = read(v, depth + 1)?;
        set.push(|| e, is_member, below.unwrap_or_default());
    }
    if set.is_empty() {
        return Ok((None, true));
    }
    Ok((Some(set), member))
}

fn write(s: &FieldSet, me: bool) -> Map<String, Value> {
    let mut m = Map::new();
    if me && !s.is_empty() {
        m.insert(".".into(), Value::Object(Map::new()));
    }
    for n in &s.nodes {
        let mut key = String::new();
        n.element.serialize(&mut key);
        m.insert(key, Value::Object(write(&n.children, n.member)));
    }
    m
}
