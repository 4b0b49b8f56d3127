//! Conversions between the served and the stored version of a kind, where they differ, and what upstream's round trip
//! through internal types does to an object (K/pkg/apis/*/v*/conversion.go).

mod crd;
mod event;
mod hpa;
mod round_trip;
#[cfg(test)]
mod tests;

pub use crd::{crd_v1_to_v1beta1, crd_v1beta1_to_v1};
pub use event::{event_from_core, event_to_core};
pub(crate) use hpa::{SPEC_ANNOTATIONS, STATUS_ANNOTATIONS};
pub use hpa::{hpa_v1_to_v2, hpa_v2_to_v1};
pub(crate) use round_trip::{normalize, set_template_generation, template_generation};

use crate::val::{Get, Put};
use meta::Value;
use schema::Resource;

/// From the version of `r` to the version it is stored in; `apiVersion` and `kind` are set.
pub fn to_storage(r: &Resource, obj: Value) -> Value {
    let mut o = convert(r, obj, &api_version(r), r.storage);
    o.put("kind", r.kind);
    o.put("apiVersion", if r.storage.is_empty() { api_version(r) } else { r.storage.to_owned() });
    o
}

/// From a stored object, whose `apiVersion` says its version, to the version of `r`; `apiVersion` and `kind` are set.
/// A stored object without `apiVersion` is in the storage version.
pub fn from_storage(r: &Resource, obj: Value) -> Value {
    let stored = match obj.s("apiVersion") {
        "" => r.storage.to_owned(),
        v => v.to_owned(),
    };
    let want = api_version(r);
    let mut o = convert(r, obj, &stored, &want);
    o.put("kind", r.kind);
    o.put("apiVersion", want);
    o
}

fn api_version(r: &Resource) -> String {
    if r.group.is_empty() { r.version.to_owned() } else { format!("{}/{}", r.group, r.version) }
}

fn convert(r: &Resource, obj: Value, from: &str, to: &str) -> Value {
    match (r.resource, from, to) {
        ("horizontalpodautoscalers", "autoscaling/v1", "autoscaling/v2") => hpa_v1_to_v2(obj),
        ("horizontalpodautoscalers", "autoscaling/v2", "autoscaling/v1") => hpa_v2_to_v1(obj),
        ("events", "events.k8s.io/v1", "v1") => event_to_core(obj),
        ("events", "v1", "events.k8s.io/v1") => event_from_core(obj),
        ("customresourcedefinitions", "apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1beta1") => {
            crd_v1_to_v1beta1(obj)
        }
        ("customresourcedefinitions", "apiextensions.k8s.io/v1beta1", "apiextensions.k8s.io/v1") => {
            crd_v1beta1_to_v1(obj)
        }
        // The other pairs have the same fields.
        _ => obj,
    }
}
