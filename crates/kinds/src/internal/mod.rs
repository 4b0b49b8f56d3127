//! Kinds of storagemigration.k8s.io and internal.apiserver.k8s.io.

pub(crate) mod storageversion;
pub(crate) mod storageversionmigration;
