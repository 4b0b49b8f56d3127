//! Defaults of networking.k8s.io/v1 (K/pkg/apis/networking/v1/defaults.go).

use super::DefaultFn;
use crate::val::{Get, Obj, Put};
use meta::time::Timestamp;
use serde_json::json;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("networking.v1.IngressClass", ingress_class),
    ("networking.v1.NetworkPolicy", network_policy),
    ("networking.v1.NetworkPolicyPort", |o, _| o.default_nil("protocol", "TCP")),
];

fn ingress_class(o: &mut Obj, _: Timestamp) {
    if let Some(p) = o.o_mut("spec").and_then(|s| s.o_mut("parameters")) {
        p.default_nil("scope", "Cluster");
    }
}

fn network_policy(o: &mut Obj, _: Timestamp) {
    let s = o.obj("spec");
    if s.list("policyTypes").is_empty() {
        let egress = !s.list("egress").is_empty();
        s.put("policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
    }
}
