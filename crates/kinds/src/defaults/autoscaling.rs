//! Defaults of autoscaling (K/pkg/apis/autoscaling/{v1,v2}/defaults.go).

use super::DefaultFn;
use crate::val::{Get, Obj, Put};
use meta::Value;
use meta::time::Timestamp;
use serde_json::json;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("autoscaling.v1.HorizontalPodAutoscaler", |o, _| o.obj("spec").default_nil("minReplicas", 1)),
    ("autoscaling.v2.HorizontalPodAutoscaler", v2),
];

fn v2(o: &mut Obj, _: Timestamp) {
    let s = o.obj("spec");
    s.default_nil("minReplicas", 1);
    if s.list("metrics").is_empty() {
        s.put(
            "metrics",
            json!([{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 80}}}]),
        );
    }
    if let Some(b) = s.o_mut("behavior") {
        rules(b);
    }
}

/// Completes the scaling rules of both directions of a `behavior`.
pub(crate) fn rules(behavior: &mut Obj) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let up =
        json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent.clone()]});
    let down = json!({"selectPolicy": "Max", "policies": [percent]});
    for (k, defaults) in [("scaleUp", up), ("scaleDown", down)] {
        let Value::Object(defaults) = defaults else { continue };
        let r = behavior.obj(k);
        for (field, v) in defaults {
            r.default_nil(&field, v);
        }
    }
}
