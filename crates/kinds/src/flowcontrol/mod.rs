//! Kinds of flowcontrol.apiserver.k8s.io.

pub(crate) mod flowschema;
pub(crate) mod prioritylevelconfiguration;
