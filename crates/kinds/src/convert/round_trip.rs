//! What upstream's conversion to internal types and back leaves of an object of one and the same version: run with
//! defaulting, so that admission, field management and storage see its result.

use crate::val::{Get, Put};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::Value;
use meta::object::ObjectExt;
use serde_json::json;

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Applies the round trip of a kind.
pub(crate) fn normalize(group: &str, version: &str, kind: &str, o: &mut Value) {
    match (group, version, kind) {
        ("", "v1", "Secret") => secret(o),
        ("", "v1", "Node") => node(o),
        ("apps", "v1", "StatefulSet") => stateful_set(o),
        ("apps", "v1", "DaemonSet") => {
            rolling(o, "updateStrategy");
            daemon_set(o);
        }
        ("apps", "v1", "Deployment") => rolling(o, "strategy"),
        ("autoscaling", "v1", "HorizontalPodAutoscaler") => {
            *o = super::hpa_v2_to_v1(super::hpa_v1_to_v2(std::mem::take(o)));
        }
        ("autoscaling", "v2", "HorizontalPodAutoscaler") => super::hpa::drop_annotations(o),
        _ => {}
    }
}

/// `stringData` is write-only and wins over `data`.
fn secret(o: &mut Value) {
    let Some(Value::Object(strings)) = o.drop_key("stringData") else { return };
    if strings.is_empty() {
        return;
    }
    let data = o.obj("data");
    for (k, v) in strings {
        data.put(&k, STANDARD.encode(v.as_str().unwrap_or("")));
    }
}

/// `podCIDR` and the first of `podCIDRs` are the same.
fn node(o: &mut Value) {
    let Some(spec) = o.o_mut("spec") else { return };
    let one = spec.s("podCIDR").to_owned();
    let first = spec.strs("podCIDRs").first().map(|s| (*s).to_owned());
    match (one.is_empty(), first) {
        (false, first) if first.as_deref() != Some(&one) => spec.put("podCIDRs", json!([one])),
        (true, Some(first)) => spec.put("podCIDR", first),
        _ => {}
    }
}

fn stateful_set(o: &mut Value) {
    let Some(spec) = o.o_mut("spec") else { return };
    for t in spec.each("volumeClaimTemplates") {
        t.put("apiVersion", "v1");
        t.put("kind", "PersistentVolumeClaim");
    }
}

/// The limits of a rolling update are not optional inside.
fn rolling(o: &mut Value, strategy: &str) {
    let spec = o.o_mut("spec");
    if let Some(r) = spec.and_then(|s| s.o_mut(strategy)).and_then(|s| s.o_mut("rollingUpdate")) {
        r.default_nil("maxUnavailable", 0);
        r.default_nil("maxSurge", 0);
    }
}

/// The template generation lives in an annotation that is always there.
fn daemon_set(o: &mut Value) {
    let n = template_generation(o);
    set_template_generation(o, n);
}

/// The value of the annotation; 0 where it is missing or no number.
pub(crate) fn template_generation(o: &Value) -> i64 {
    o.annotation(TEMPLATE_GENERATION).and_then(|v| v.parse().ok()).unwrap_or(0)
}

pub(crate) fn set_template_generation(o: &mut Value, n: i64) {
    o.obj("metadata").obj("annotations").put(TEMPLATE_GENERATION, n.to_string());
}
