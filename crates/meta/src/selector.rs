//! Label and field selectors as they come in a query: `a=b,c in (d,e),!f`, `spec.nodeName=n1`
//! (apimachinery `pkg/labels`, `pkg/fields`).

use crate::field::{FieldError, Path, aggregate};
use crate::names;
use serde_json::Value;
use std::fmt;

/// How a requirement compares. Equality is `In` with one value, inequality `NotIn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub op: Op,
    pub values: Vec<String>,
    /// Written with `=` or `!=`, and printed so.
    pub equality: bool,
}

impl Requirement {
    /// Checks key and values as upstream's constructor does; the error is its aggregated message.
    pub fn new(key: impl Into<String>, op: Op, values: Vec<String>) -> Result<Self, String> {
        let key = key.into();
        let mut errs = Vec::new();
        let values_path = Path::new("values");
        let invalid_set = |why: &str| FieldError::invalid(&values_path, Value::from(values.clone()), why);
        let bad_key = names::is_qualified_name(&key);
        if !bad_key.is_empty() {
            errs.push(FieldError::invalid(&Path::new("key"), key.as_str(), bad_key.join("; ")));
        }
        match op {
            Op::In | Op::NotIn if values.is_empty() => {
                errs.push(invalid_set("for 'in', 'notin' operators, values set can't be empty"));
            }
            Op::Exists | Op::DoesNotExist if !values.is_empty() => {
                errs.push(invalid_set("values set must be empty for exists and does not exist"));
            }
            Op::Gt | Op::Lt => {
                if values.len() != 1 {
                    errs.push(invalid_set("for 'Gt', 'Lt' operators, exactly one value is required"));
                }
                for (i, v) in values.iter().enumerate() {
                    if v.parse::<i64>().is_err() {
                        errs.push(FieldError::invalid(
                            &values_path.index(i),
                            v.as_str(),
                            "for 'Gt', 'Lt' operators, the value must be an integer",
                        ));
                    }
                }
            }
            _ => {}
        }
        for (i, v) in values.iter().enumerate() {
            let bad = names::is_label_value(v);
            if !bad.is_empty() {
                errs.push(FieldError::invalid(&values_path.index(i).key(&key), v.as_str(), bad.join("; ")));
            }
        }
        if errs.is_empty() { Ok(Self { key, op, values, equality: false }) } else { Err(aggregate(&errs)) }
    }

    /// The same, to be printed with `=` or `!=`.
    #[must_use]
    pub fn as_equality(mut self) -> Self {
        self.equality = self.values.len() == 1 && matches!(self.op, Op::In | Op::NotIn);
        self
    }

    /// Whether a label's value (`None`: no such label) satisfies this.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let has = |v: &str| self.values.iter().any(|x| x == v);
        match self.op {
            Op::In => value.is_some_and(has),
            Op::NotIn => !value.is_some_and(has),
            Op::Exists => value.is_some(),
            Op::DoesNotExist => value.is_none(),
            Op::Gt | Op::Lt => {
                let (Some(Ok(l)), [r]) = (value.map(str::parse::<i64>), self.values.as_slice()) else {
                    return false;
                };
                let Ok(r) = r.parse::<i64>() else { return false };
                if self.op == Op::Gt { l > r } else { l < r }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (k, v) = (&self.key, &self.values);
        match (self.op, v.as_slice()) {
            (Op::Exists, _) => f.write_str(k),
            (Op::DoesNotExist, _) => write!(f, "!{k}"),
            (Op::In, [one]) if self.equality => write!(f, "{k}={one}"),
            (Op::NotIn, [one]) if self.equality => write!(f, "{k}!={one}"),
            (Op::Gt, _) => write!(f, "{k}>{}", v.join(",")),
            (Op::Lt, _) => write!(f, "{k}<{}", v.join(",")),
            (op, _) => {
                let mut v: Vec<&str> = v.iter().map(String::as_str).collect();
                v.sort_unstable();
                let word = if op == Op::In { "in" } else { "notin" };
                write!(f, "{k} {word} ({})", v.join(","))
            }
        }
    }
}

/// All requirements must hold; none selects everything.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selector {
    pub requirements: Vec<Requirement>,
    /// Selects nothing at all (a nil `LabelSelector`).
    pub nothing: bool,
}

impl Selector {
    /// Requirements in the order of their keys, as upstream keeps them.
    pub fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }
    /// The selector of a plain map (`spec.selector` of a Service): every pair must be there. Nothing is validated.
    pub fn from_map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::of(
            pairs
                .into_iter()
                .map(|(k, v)| Requirement {
                    key: k.into(),
                    op: Op::In,
                    values: vec![v.into()],
                    equality: true,
                })
                .collect(),
        )
    }
    /// Parses a label selector; the error is upstream's whole message.
    pub fn parse(s: &str) -> Result<Self, String> {
        parse::selector(s).map(Self::of)
    }
    pub fn everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }
    /// `get` answers the value of a label.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(get(&r.key)))
    }
    /// Matches the labels of an object held as a value.
    pub fn matches_object(&self, obj: &Value) -> bool {
        let labels = obj.get("metadata").and_then(|m| m.get("labels"));
        self.matches(|k| labels?.get(k)?.as_str())
    }
    /// The one value that a label must have, where the selector says so.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let r = self.requirements.iter().find(|r| r.key == key)?;
        match (r.op, r.values.as_slice()) {
            (Op::In, [one]) => Some(one),
            _ => None,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{r}")?;
        }
        Ok(())
    }
}

/// One `field=value` or `field!=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    pub field: String,
    pub value: String,
    pub negate: bool,
}

/// A field selector: all terms must hold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FieldSelector(pub Vec<FieldTerm>);

impl FieldSelector {
    /// Parses `a=b,c!=d` with `\`, `,` and `=` escaped by a backslash in values; the error is upstream's message.
    pub fn parse(s: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let (mut start, mut escaped) = (0, false);
        for (i, c) in s.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                ',' => {
                    parts.push(&s[start..i]);
                    start = i + 1;
                }
                _ => {}
            }
        }
        parts.push(&s[start..]);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            let at = part.char_indices().find(|(i, c)| *c == '=' || part[*i..].starts_with("!="));
            let Some((at, c)) = at else {
                return Err(format!("invalid selector: '{s}'; can't understand '{part}'"));
            };
            let rest = &part[at..];
            let rhs = &rest[if c == '!' || rest.starts_with("==") { 2 } else { 1 }..];
            let term = FieldTerm { field: part[..at].into(), value: unescape(rhs)?, negate: c == '!' };
            terms.push(term);
        }
        Ok(Self(terms))
    }
    pub fn everything(&self) -> bool {
        self.0.is_empty()
    }
    /// The value that `field` must have, where the selector says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|t| !t.negate && t.field == field).map(|t| t.value.as_str())
    }
    /// `get` answers the value of a field; an absent one is empty.
    pub fn matches(&self, get: impl Fn(&str) -> String) -> bool {
        self.0.iter().all(|t| (get(&t.field) == t.value) != t.negate)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, t) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let op = if t.negate { "!=" } else { "=" };
            write!(f, "{comma}{}{op}{}", t.field, escape_value(&t.value))?;
        }
        Ok(())
    }
}

/// A literal as a field selector's value.
pub fn escape_value(s: &str) -> String {
    s.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

fn unescape(s: &str) -> Result<String, String> {
    let mut out = String::with_capacity(s.len());
    let mut chars = s.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(e @ ('\\' | ',' | '=')) => out.push(e),
                other => {
                    let seq: String = std::iter::once('\\').chain(other).collect();
                    return Err(format!("invalid field selector: invalid escape sequence: {seq}"));
                }
            },
            ',' | '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                ));
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

mod parse;
#[cfg(test)]
mod tests;
