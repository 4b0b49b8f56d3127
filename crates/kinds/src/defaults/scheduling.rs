//! Defaults of scheduling.k8s.io, all versions (K/pkg/apis/scheduling/v*/defaults.go).

use super::DefaultFn;
use crate::val::{Obj, Put};
use meta::time::Timestamp;
use serde_json::json;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("scheduling.v1.PriorityClass", |o, _| o.default_nil("preemptionPolicy", "PreemptLowerPriority")),
    ("scheduling.v1alpha3.CompositePodGroup", pod_group),
    ("scheduling.v1alpha3.CompositePodGroupSpec", disruption),
    ("scheduling.v1alpha3.PodGroup", pod_group),
    ("scheduling.v1alpha3.PodGroupSpec", disruption),
    ("scheduling.v1beta1.PodGroup", pod_group),
    ("scheduling.v1beta1.PodGroupSpec", disruption),
];

fn pod_group(o: &mut Obj, _: Timestamp) {
    if schema::facts::gate("PodGroupPreemptionPolicy") {
        o.obj("spec").default_nil("preemptionPolicy", "PreemptLowerPriority");
    }
}

fn disruption(o: &mut Obj, _: Timestamp) {
    o.default_nil("disruptionMode", json!({"single": {}}));
}
