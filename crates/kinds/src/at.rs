//! Where validation stands: a path that costs nothing until something is wrong, and the list it then goes to.

use meta::field::ErrorType;
use meta::{ErrorList, FieldError, Path, Value};

#[derive(Clone, Copy)]
enum Seg<'a> {
    /// A field, or several joined by dots.
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A field's place, linked to its parent's on the stack.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    up: Option<&'a At<'a>>,
    seg: Seg<'a>,
}

impl<'a> At<'a> {
    pub(crate) const fn new(name: &'a str) -> Self {
        Self { up: None, seg: Seg::Name(name) }
    }
    /// A field below this one; `a.b` is a field of a field.
    pub(crate) fn c(&'a self, name: &'a str) -> At<'a> {
        At { up: Some(self), seg: Seg::Name(name) }
    }
    pub(crate) fn i(&'a self, index: usize) -> At<'a> {
        At { up: Some(self), seg: Seg::Index(index) }
    }
    pub(crate) fn k(&'a self, key: &'a str) -> At<'a> {
        At { up: Some(self), seg: Seg::Key(key) }
    }
    pub(crate) fn path(&self) -> Path {
        let above = self.up.map_or_else(Path::root, At::path);
        match self.seg {
            Seg::Name("") => above,
            Seg::Name(n) => above.child(n),
            Seg::Index(i) => above.index(i),
            Seg::Key(k) => above.key(k),
        }
    }
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path().fmt(f)
    }
}

/// Errors as they are found.
#[derive(Default)]
pub(crate) struct Errs(pub(crate) ErrorList);

impl Errs {
    pub(crate) fn required(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(FieldError::required(&at.path(), detail));
    }
    pub(crate) fn invalid(&mut self, at: &At<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.0.push(FieldError::invalid(&at.path(), value, detail));
    }
    /// Invalid, without showing the value.
    pub(crate) fn invalid_omit(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(FieldError::new(ErrorType::Invalid, &at.path(), None, detail));
    }
    /// Invalid once for each sentence, as name checks give them.
    pub(crate) fn each_invalid(&mut self, at: &At<'_>, value: &str, sentences: Vec<String>) {
        for s in sentences {
            self.invalid(at, value, s);
        }
    }
    pub(crate) fn forbidden(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(FieldError::forbidden(&at.path(), detail));
    }
    pub(crate) fn duplicate(&mut self, at: &At<'_>, value: impl Into<Value>) {
        self.0.push(FieldError::duplicate(&at.path(), value));
    }
    pub(crate) fn not_found(&mut self, at: &At<'_>, value: impl Into<Value>) {
        self.0.push(FieldError::not_found(&at.path(), value));
    }
    /// `supported` as upstream shows it: sorted.
    pub(crate) fn unsupported(&mut self, at: &At<'_>, value: impl Into<Value>, supported: &[&str]) {
        self.0.push(FieldError::not_supported(&at.path(), value, supported));
    }
    pub(crate) fn too_long(&mut self, at: &At<'_>, max: i64) {
        self.0.push(FieldError::too_long(&at.path(), max));
    }
    pub(crate) fn too_many(&mut self, at: &At<'_>, actual: usize, max: usize) {
        self.0.push(FieldError::too_many(&at.path(), actual, max));
    }
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
