//! Kinds of apiextensions.k8s.io and apiregistration.k8s.io.

pub(crate) mod apiservice;
pub(crate) mod customresourcedefinition;
