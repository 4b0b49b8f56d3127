//! Defaults of certificates.k8s.io.

use super::DefaultFn;
use crate::val::Put;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("certificates.v1.PodCertificateRequestSpec", |o, _| o.default_nil("maxExpirationSeconds", 86400)),
    ("certificates.v1beta1.PodCertificateRequestSpec", |o, _| o.default_nil("maxExpirationSeconds", 86400)),
];
