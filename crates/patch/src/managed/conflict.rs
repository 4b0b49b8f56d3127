//! Conflicts of a server-side apply and how they are told (apimachinery `managedfields/internal/conflict.go`).

use super::entry::{Entry, Operation};
use crate::fieldset::FieldSet;
use meta::{Reason, Status};

/// The fields of one other manager that an apply would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// `"kubectl-edit" using apps/v1`
    pub manager: String,
    pub fields: FieldSet,
}

impl Conflict {
    pub(super) fn of(e: &Entry, fields: FieldSet) -> Self {
        let mut manager = meta::field::quote(&e.manager);
        if !e.subresource.is_empty() {
            manager = format!("{manager} with subresource {}", meta::field::quote(&e.subresource));
        }
        if e.operation == Operation::Update {
            manager = format!("{manager} using {}", e.api_version);
        }
        Self { manager, fields }
    }
}

/// All conflicts of an apply, ordered by manager.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflicts(pub Vec<Conflict>);

impl Conflicts {
    /// The answer: 409 with one cause a field.
    pub fn status(&self) -> Status {
        let mut s = Status::failure(Reason::Conflict, self.to_string());
        for c in &self.0 {
            let text = format!("conflict with {}", c.manager);
            for path in c.fields.paths() {
                s = s.with_cause("FieldManagerConflict", text.as_str(), &path);
            }
        }
        s
    }
    pub(super) fn fields(&self) -> FieldSet {
        self.0.iter().fold(FieldSet::new(), |all, c| all.union(c.fields.clone()))
    }
    /// Without the fields that may be taken over.
    pub(super) fn without(self, allowed: &FieldSet) -> Self {
        let left = self.0.into_iter().map(|c| Conflict { fields: c.fields.difference(allowed), ..c });
        Self(left.filter(|c| !c.fields.is_empty()).collect())
    }
}

impl std::fmt::Display for Conflicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n: usize = self.0.iter().map(|c| c.fields.len()).sum();
        if let ([c], 1) = (&self.0[..], n) {
            let path = c.fields.paths().concat();
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {path}", c.manager);
        }
        write!(f, "Apply failed with {n} conflicts: ")?;
        for (i, c) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "conflicts with {}:", c.manager)?;
            for p in c.fields.paths() {
                write!(f, "\n- {p}")?;
            }
        }
        Ok(())
    }
}
impl std::error::Error for Conflicts {}
