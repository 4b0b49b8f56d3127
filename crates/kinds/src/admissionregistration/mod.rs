//! Kinds of admissionregistration.k8s.io.

pub(crate) mod policy;
pub(crate) mod policybinding;
pub(crate) mod webhookconfiguration;
