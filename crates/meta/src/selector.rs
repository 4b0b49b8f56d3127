//! Label and field selectors as they come in a query: `a=b,c in (d,e),!f`, `spec.nodeName=n1`
//! (apimachinery `pkg/labels`, `pkg/fields`).

use std::fmt;

/// How a requirement compares.
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
}

/// All requirements must hold; none selects everything.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selector {
    pub requirements: Vec<Requirement>,
    /// Selects nothing at all (a nil `LabelSelector`).
    pub nothing: bool,
}

impl Selector {
    /// Parses a label selector; the error is upstream's message after `unable to parse requirement: `.
    pub fn parse(_s: &str) -> Result<Self, String> {
        todo!()
    }
    pub fn everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }
    /// `get` answers the value of a label.
    pub fn matches<'a>(&self, _get: impl Fn(&str) -> Option<&'a str>) -> bool {
        todo!()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
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
    pub fn parse(_s: &str) -> Result<Self, String> {
        todo!()
    }
    pub fn everything(&self) -> bool {
        self.0.is_empty()
    }
    /// The value that `field` must have, where the selector says so.
    pub fn exact(&self, _field: &str) -> Option<&str> {
        todo!()
    }
}
