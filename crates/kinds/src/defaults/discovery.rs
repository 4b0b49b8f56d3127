//! Defaults of discovery.k8s.io/v1.

use super::DefaultFn;
use crate::val::Put;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[("discovery.v1.EndpointPort", |o, _| {
    o.default_nil("name", "");
    o.default_nil("protocol", "TCP");
})];
