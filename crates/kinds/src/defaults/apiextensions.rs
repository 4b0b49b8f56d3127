//! Defaults of apiextensions.k8s.io/v1 and apiregistration.k8s.io/v1 (X and G `pkg/apis/*/v1/defaults.go`).

use super::DefaultFn;
use crate::val::{Get, Obj, Put};
use meta::time::Timestamp;
use serde_json::json;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("apiextensions.v1.CustomResourceDefinition", crd),
    ("apiextensions.v1.ServiceReference", |o, _| o.default_nil("port", 443)),
    ("apiregistration.v1.ServiceReference", |o, _| o.default_nil("port", 443)),
];

fn crd(o: &mut Obj, _: Timestamp) {
    let s = o.obj("spec");
    s.default_nil("conversion", json!({"strategy": "None"}));
    let names = s.obj("names");
    let kind = names.s("kind").to_owned();
    if !kind.is_empty() {
        names.default_zero("singular", kind.to_lowercase());
        names.default_zero("listKind", format!("{kind}List"));
    }
    let stored = s.list("versions").iter().find(|v| v.b("storage")).map(|v| v.s("name").to_owned());
    if let Some(stored) = stored
        && o.v("status").list("storedVersions").is_empty()
    {
        o.obj("status").put("storedVersions", json!([stored]));
    }
}
