//! Kinds of resource.k8s.io.

pub(crate) mod deviceclass;
pub(crate) mod devicetaintrule;
pub(crate) mod resourceclaim;
pub(crate) mod resourceclaimtemplate;
pub(crate) mod resourceslice;
mod claim;
mod slice;
mod status;
