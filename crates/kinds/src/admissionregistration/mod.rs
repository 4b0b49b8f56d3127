//! Kinds of admissionregistration.k8s.io.

pub(crate) mod policy;
pub(crate) mod policybinding;
mod rules;
pub(crate) mod webhookconfiguration;
