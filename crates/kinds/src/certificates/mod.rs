//! Kinds of certificates.k8s.io.

pub(crate) mod certificatesigningrequest;
pub(crate) mod clustertrustbundle;
pub(crate) mod podcertificaterequest;
mod podcertificatestatus;
