//! Kinds of resource.k8s.io.

mod claim;
pub(crate) mod deviceclass;
pub(crate) mod devicetaintrule;
pub(crate) mod resourceclaim;
pub(crate) mod resourceclaimtemplate;
pub(crate) mod resourceslice;
mod slice;
mod status;
