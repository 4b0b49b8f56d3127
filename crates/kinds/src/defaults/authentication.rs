//! Defaults of authentication.k8s.io/v1.

use super::DefaultFn;
use crate::val::Put;

pub(super) const ROWS: &[(&str, DefaultFn)] =
    &[("authentication.v1.TokenRequestSpec", |o, _| o.default_nil("expirationSeconds", 3600))];
