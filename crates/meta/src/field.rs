//! Field paths and the errors of validation, with upstream's words
//! (apimachinery `pkg/util/validation/field/errors.go`).

use serde_json::Value;
use std::fmt;

/// A path to a field: `spec.containers[0].name`, `metadata.labels[app]`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Path(String);

impl Path {
    /// The empty path: the object itself.
    pub fn root() -> Self {
        Self::default()
    }
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }
    #[must_use]
    pub fn index(&self, i: usize) -> Self {
        Self(format!("{}[{i}]", self.0))
    }
    #[must_use]
    pub fn key(&self, k: &str) -> Self {
        Self(format!("{}[{k}]", self.0))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What kind of error a field has; gives the words of the message and the reason of the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TooFew,
    TooShort,
    Internal,
    TypeInvalid,
}

impl ErrorType {
    /// `FieldValueInvalid` and its like, as in `Status.details.causes[].reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::TooShort => "FieldValueTooShort",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::TooShort => "Too short",
            Self::Internal => "Internal error",
        }
    }
}

/// One error of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub kind: ErrorType,
    pub field: String,
    /// The value as the message shows it, already quoted; `None` where the message shows no value.
    pub value: Option<String>,
    pub detail: String,
}

/// Errors in the order they were found; an empty list is a valid object.
pub type ErrorList = Vec<FieldError>;

/// A value as an error message shows it: strings quoted as Go's `%q` does, structures as Go's JSON (with `<`, `>` and `&`
/// escaped).
pub fn show(v: &Value) -> String {
    match v {
        Value::String(s) => quote(s),
        Value::Array(_) | Value::Object(_) => {
            let s = v.to_string();
            if s.contains(['<', '>', '&']) {
                s.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
            } else {
                s
            }
        }
        _ => v.to_string(),
    }
}

/// A string as Go's `%q` prints it.
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control()
                || matches!(c, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}') =>
            {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl FieldError {
    pub fn new(kind: ErrorType, path: &Path, value: Option<String>, detail: impl Into<String>) -> Self {
        Self { kind, field: path.to_string(), value, detail: detail.into() }
    }
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, path, None, detail)
    }
    pub fn invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, path, Some(show(&value.into())), detail)
    }
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, path, None, detail)
    }
    pub fn duplicate(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::Duplicate, path, Some(show(&value.into())), "")
    }
    pub fn not_found(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::NotFound, path, Some(show(&value.into())), "")
    }
    /// `supported` is shown in the order given (upstream sorts: pass it sorted).
    pub fn not_supported(path: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| quote(s)).collect();
        let detail =
            if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        Self::new(ErrorType::NotSupported, path, Some(show(&value.into())), detail)
    }
    /// `max` in bytes; a negative maximum leaves the limit out of the message.
    pub fn too_long(path: &Path, max: i64) -> Self {
        let detail = if max >= 0 {
            format!("may not be more than {max} byte{}", if max == 1 { "" } else { "s" })
        } else {
            "value is too long".to_owned()
        };
        Self::new(ErrorType::TooLong, path, None, detail)
    }
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        let detail = format!("must have at most {max} item{}", if max == 1 { "" } else { "s" });
        Self::new(ErrorType::TooMany, path, Some(actual.to_string()), detail)
    }
    /// Like [`Self::too_long`], counted in characters.
    pub fn too_long_characters(path: &Path, max: i64) -> Self {
        let detail = format!("may not be more than {max} character{}", if max == 1 { "" } else { "s" });
        Self::new(ErrorType::TooLong, path, None, detail)
    }
    pub fn too_short(path: &Path, min: i64) -> Self {
        let detail = format!("must be at least {min} character{}", if min == 1 { "" } else { "s" });
        Self::new(ErrorType::TooShort, path, None, detail)
    }
    pub fn too_few(path: &Path, actual: usize, min: usize) -> Self {
        let detail = format!("must have at least {min} item{}", if min == 1 { "" } else { "s" });
        Self::new(ErrorType::TooFew, path, Some(actual.to_string()), detail)
    }
    pub fn type_invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::TypeInvalid, path, Some(show(&value.into())), detail)
    }
    pub fn internal(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Internal, path, None, detail)
    }
    /// The message without the field: `Invalid value: "x": must be …`; as in `Status.details.causes[].message`.
    pub fn body(&self) -> String {
        let mut s = self.kind.words().to_owned();
        if let Some(v) = &self.value {
            s.push_str(": ");
            s.push_str(v);
        }
        if !self.detail.is_empty() {
            s.push_str(": ");
            s.push_str(&self.detail);
        }
        s
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// Errors as one sentence, as Go's `ToAggregate` prints them: one alone, several in brackets, repeated ones once.
pub fn aggregate<T: fmt::Display>(errors: &[T]) -> String {
    let mut seen: Vec<String> = Vec::new();
    for e in errors {
        let s = e.to_string();
        if !seen.contains(&s) {
            seen.push(s);
        }
    }
    if let [one] = seen.as_slice() { one.clone() } else { format!("[{}]", seen.join(", ")) }
}
