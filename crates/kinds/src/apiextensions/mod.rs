//! Kinds of apiextensions.k8s.io and apiregistration.k8s.io.

pub(crate) mod apiservice;
mod crd_schema;
pub(crate) mod customresourcedefinition;
