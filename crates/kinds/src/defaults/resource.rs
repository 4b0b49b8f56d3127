//! Defaults of resource.k8s.io, all versions (K/pkg/apis/resource/v*/defaults.go).

use super::DefaultFn;
use crate::val::{Get, Obj, Put};
use meta::time::Timestamp;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("resource.v1.DeviceSubRequest", request),
    ("resource.v1.DeviceTaint", taint),
    ("resource.v1.DeviceToleration", toleration),
    ("resource.v1.ExactDeviceRequest", request),
    ("resource.v1alpha3.DeviceTaint", taint),
    ("resource.v1alpha3.ResourcePoolStatusRequestSpec", |o, _| o.default_nil("limit", 100)),
    ("resource.v1beta1.DeviceRequest", |o, now| {
        if !o.s("deviceClassName").is_empty() {
            request(o, now);
        }
    }),
    ("resource.v1beta1.DeviceSubRequest", request),
    ("resource.v1beta1.DeviceTaint", taint),
    ("resource.v1beta1.DeviceToleration", toleration),
    ("resource.v1beta2.DeviceSubRequest", request),
    ("resource.v1beta2.DeviceTaint", taint),
    ("resource.v1beta2.DeviceToleration", toleration),
    ("resource.v1beta2.ExactDeviceRequest", request),
];

fn request(o: &mut Obj, _: Timestamp) {
    o.default_zero("allocationMode", "ExactCount");
    if o.s("allocationMode") == "ExactCount" {
        o.default_zero("count", 1);
    }
}

fn toleration(o: &mut Obj, _: Timestamp) {
    o.default_zero("operator", "Equal");
}

/// Upstream's one default that depends on the clock.
fn taint(o: &mut Obj, now: Timestamp) {
    if !o.has("timeAdded") {
        let t = Timestamp { seconds: now.seconds, nanos: 0 };
        o.put("timeAdded", t.rfc3339());
    }
}
