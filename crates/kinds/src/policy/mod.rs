//! Kinds of policy.

pub(crate) mod poddisruptionbudget;
