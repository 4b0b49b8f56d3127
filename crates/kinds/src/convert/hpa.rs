//! HorizontalPodAutoscalers: v2 is stored; v1 carries what it has no fields for in annotations
//! (K/pkg/apis/autoscaling/v1/conversion.go).

use crate::val::{Get, Obj, Put};
use meta::Value;
use serde_json::json;

pub(crate) const STATUS_ANNOTATIONS: &[&str] = &[CURRENT, CONDITIONS];
pub(crate) const SPEC_ANNOTATIONS: &[&str] = &[METRICS, BEHAVIOR];
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const ROUND_TRIP: [&str; 6] = [
    METRICS,
    CURRENT,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

/// Takes the annotations that only v1 readers may see out of an object.
pub(super) fn drop_annotations(o: &mut Value) {
    let Some(meta) = o.o_mut("metadata") else { return };
    let Some(a) = meta.o_mut("annotations") else { return };
    for k in ROUND_TRIP {
        a.remove(k);
    }
    if a.is_empty() {
        meta.remove("annotations");
    }
}

fn cpu_utilization(percent: &Value) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": percent}}})
}

/// The metric that v1 has a field for.
fn is_cpu(m: &Value) -> bool {
    m.s("type") == "Resource"
        && m.v("resource").s("name") == "cpu"
        && m.v("resource").v("target").has("averageUtilization")
}

fn parse(o: &Value, annotation: &str) -> Option<Value> {
    serde_json::from_str(o.v("metadata").v("annotations").os(annotation)?).ok()
}

pub fn hpa_v1_to_v2(mut o: Value) -> Value {
    let metrics = parse(&o, METRICS);
    let behavior = parse(&o, BEHAVIOR);
    let current = parse(&o, CURRENT);
    let conditions = parse(&o, CONDITIONS);
    drop_annotations(&mut o);

    let spec = o.obj("spec");
    let cpu = spec.drop_key("targetCPUUtilizationPercentage").filter(|v| !v.is_null());
    let mut all = Vec::new();
    if let Some(Value::Array(list)) = metrics {
        all.extend(list.iter().map(spec_to_v2));
    }
    all.extend(cpu.as_ref().map(cpu_utilization));
    if all.is_empty() {
        all.push(cpu_utilization(&Value::from(80)));
    }
    spec.put("metrics", all);
    if let Some(Value::Object(b)) = behavior {
        let b = behavior_from_go(&b);
        if !b.is_empty() {
            spec.put("behavior", b);
        }
    }

    if let Some(st) = o.o_mut("status") {
        let cpu = st.drop_key("currentCPUUtilizationPercentage").filter(|v| !v.is_null());
        if let Some(n) = cpu {
            st.put(
                "currentMetrics",
                json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": n}}}]),
            );
        }
    }
    if let Some(Value::Array(list)) = current {
        o.obj("status").put("currentMetrics", list.iter().map(status_to_v2).collect::<Vec<_>>());
    }
    if let Some(c @ Value::Array(_)) = conditions {
        o.obj("status").put("conditions", c);
    }
    o
}

pub fn hpa_v2_to_v1(mut o: Value) -> Value {
    drop_annotations(&mut o);
    let mut notes: Vec<(&str, String)> = Vec::new();

    let spec = o.obj("spec");
    let metrics = spec.drop_key("metrics");
    let metrics = metrics.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(m) = metrics.iter().find(|m| is_cpu(m)) {
        let n = m.v("resource").v("target").v("averageUtilization").clone();
        spec.put("targetCPUUtilizationPercentage", n);
    }
    let others: Vec<Value> = metrics.iter().filter(|m| !is_cpu(m)).map(spec_to_v1).collect();
    if !others.is_empty() {
        notes.push((METRICS, go_list("autoscaling.v1.MetricSpec", &others)));
    }
    if let Some(Value::Object(b)) = spec.drop_key("behavior") {
        notes.push((BEHAVIOR, behavior_to_go(&b)));
    }

    if let Some(st) = o.o_mut("status") {
        if let Some(Value::Array(current)) = st.drop_key("currentMetrics") {
            for m in &current {
                let n = m.v("resource").v("current").v("averageUtilization");
                if m.s("type") == "Resource" && m.v("resource").s("name") == "cpu" && !n.is_null() {
                    st.put("currentCPUUtilizationPercentage", n.clone());
                }
            }
            if !current.is_empty() {
                let list: Vec<Value> = current.iter().map(status_to_v1).collect();
                notes.push((CURRENT, go_list("autoscaling.v1.MetricStatus", &list)));
            }
        }
        if let Some(Value::Array(c)) = st.drop_key("conditions")
            && !c.is_empty()
        {
            notes.push((CONDITIONS, go_list("autoscaling.v1.HorizontalPodAutoscalerCondition", &c)));
        }
    }
    if !notes.is_empty() {
        let a = o.obj("metadata").obj("annotations");
        for (k, v) in notes {
            a.put(k, v);
        }
    }
    o
}

/// A list as Go's `json.Marshal` writes it.
fn go_list(ty: &str, list: &[Value]) -> String {
    let mut out = Vec::from(*b"[");
    for (i, v) in list.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match schema::facts::type_named(ty) {
            Some(ty) => schema::json::encode(v, ty, &mut out),
            None => out.extend(v.to_string().bytes()),
        }
    }
    out.push(b']');
    String::from_utf8(out).unwrap_or_default()
}

/// Copies fields that are set, under another name or path.
fn copy(from: &Value, to: &mut Obj, pairs: &[(&[&str], &[&str])]) {
    for (a, b) in pairs {
        let Some(v) = a.iter().try_fold(from, |v, k| v.get(k)).filter(|v| !v.is_null()) else { continue };
        let Some((last, above)) = b.split_last() else { continue };
        let mut at = &mut *to;
        for k in above {
            at = at.obj(k);
        }
        at.put(last, v.clone());
    }
}

const FIELD: &[(&str, &str)] = &[
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
    ("External", "external"),
];

/// The union member a metric carries.
fn member(m: &Value) -> Option<&'static str> {
    FIELD.iter().map(|(_, f)| *f).find(|f| m.has(f))
}

type Pairs = &'static [(&'static [&'static str], &'static [&'static str])];

/// v1 path, v2 path, of a metric's target.
fn spec_pairs(member: &str) -> Pairs {
    match member {
        "object" => &[
            (&["target"], &["describedObject"]),
            (&["metricName"], &["metric", "name"]),
            (&["selector"], &["metric", "selector"]),
            (&["targetValue"], &["target", "value"]),
            (&["averageValue"], &["target", "averageValue"]),
        ],
        "pods" => &[
            (&["metricName"], &["metric", "name"]),
            (&["selector"], &["metric", "selector"]),
            (&["targetAverageValue"], &["target", "averageValue"]),
        ],
        "external" => &[
            (&["metricName"], &["metric", "name"]),
            (&["metricSelector"], &["metric", "selector"]),
            (&["targetValue"], &["target", "value"]),
            (&["targetAverageValue"], &["target", "averageValue"]),
        ],
        _ => &[
            (&["name"], &["name"]),
            (&["container"], &["container"]),
            (&["targetAverageUtilization"], &["target", "averageUtilization"]),
            (&["targetAverageValue"], &["target", "averageValue"]),
        ],
    }
}

/// v1 path, v2 path, of a metric's current value.
fn status_pairs(member: &str) -> Pairs {
    match member {
        "object" => &[
            (&["target"], &["describedObject"]),
            (&["metricName"], &["metric", "name"]),
            (&["selector"], &["metric", "selector"]),
            (&["currentValue"], &["current", "value"]),
            (&["averageValue"], &["current", "averageValue"]),
        ],
        "pods" => &[
            (&["metricName"], &["metric", "name"]),
            (&["selector"], &["metric", "selector"]),
            (&["currentAverageValue"], &["current", "averageValue"]),
        ],
        "external" => &[
            (&["metricName"], &["metric", "name"]),
            (&["metricSelector"], &["metric", "selector"]),
            (&["currentValue"], &["current", "value"]),
            (&["currentAverageValue"], &["current", "averageValue"]),
        ],
        _ => &[
            (&["name"], &["name"]),
            (&["container"], &["container"]),
            (&["currentAverageUtilization"], &["current", "averageUtilization"]),
            (&["currentAverageValue"], &["current", "averageValue"]),
        ],
    }
}

fn reshape(m: &Value, pairs: fn(&str) -> Pairs, forward: bool) -> (Obj, Option<&'static str>) {
    let mut out = Obj::new();
    out.put("type", m.s("type"));
    let which = member(m);
    if let Some(f) = which {
        let from = m.v(f);
        let to = out.obj(f);
        for (v1, v2) in pairs(f) {
            let (a, b) = if forward { (v1, v2) } else { (v2, v1) };
            copy(from, to, &[(a, b)]);
        }
    }
    (out, which)
}

fn spec_to_v2(m: &Value) -> Value {
    let (mut out, which) = reshape(m, spec_pairs, true);
    if let Some(f) = which {
        let v1 = m.v(f);
        let zero = |k: &str| matches!(v1.s(k), "" | "0");
        let target = out.obj(f).obj("target");
        let ty = match f {
            "object" if v1.has("averageValue") => {
                if zero("targetValue") {
                    target.remove("value");
                }
                "AverageValue"
            }
            "object" => {
                target.default_nil("value", "0");
                "Value"
            }
            "pods" => {
                target.default_nil("averageValue", "0");
                "AverageValue"
            }
            "external" if v1.has("targetValue") => "Value",
            "external" => "AverageValue",
            _ if v1.has("targetAverageUtilization") => "Utilization",
            _ => "AverageValue",
        };
        target.put("type", ty);
    }
    Value::Object(out)
}

fn spec_to_v1(m: &Value) -> Value {
    Value::Object(reshape(m, spec_pairs, false).0)
}

fn status_to_v2(m: &Value) -> Value {
    let (mut out, which) = reshape(m, status_pairs, true);
    if let Some(f) = which {
        // Quantities that v1 always carries become pointers to zero.
        let current = out.obj(f).obj("current");
        match f {
            "object" | "external" => current.default_nil("value", "0"),
            _ => current.default_nil("averageValue", "0"),
        }
    }
    Value::Object(out)
}

fn status_to_v1(m: &Value) -> Value {
    Value::Object(reshape(m, status_pairs, false).0)
}

/// The behaviour as Go writes its internal type, which has no JSON names: nothing omitted, nothing renamed.
fn behavior_to_go(b: &Obj) -> String {
    let rules = |k: &str| {
        b.set(k).map_or("null".to_owned(), |r| {
            let raw = |k: &str| r.set(k).map_or("null".to_owned(), Value::to_string);
            let policies = match r.set("policies").and_then(Value::as_array) {
                None => "null".to_owned(),
                Some(l) => {
                    let each = |p: &Value| {
                        let ty = Value::from(p.s("type"));
                        let (value, period) = (p.i("value"), p.i("periodSeconds"));
                        format!(r#"{{"Type":{ty},"Value":{value},"PeriodSeconds":{period}}}"#)
                    };
                    format!("[{}]", l.iter().map(each).collect::<Vec<_>>().join(","))
                }
            };
            format!(
                r#"{{"StabilizationWindowSeconds":{},"SelectPolicy":{},"Policies":{policies},"Tolerance":{}}}"#,
                raw("stabilizationWindowSeconds"),
                raw("selectPolicy"),
                raw("tolerance")
            )
        })
    };
    format!(r#"{{"ScaleUp":{},"ScaleDown":{}}}"#, rules("scaleUp"), rules("scaleDown"))
}

/// Reads what [`behavior_to_go`] wrote, whatever the case of its names, as Go does.
fn behavior_from_go(b: &Obj) -> Obj {
    const NAMES: [&str; 9] = [
        "scaleUp",
        "scaleDown",
        "stabilizationWindowSeconds",
        "selectPolicy",
        "policies",
        "tolerance",
        "type",
        "value",
        "periodSeconds",
    ];
    fn fix(v: &Value) -> Option<Value> {
        Some(match v {
            Value::Null => return None,
            Value::Object(o) => Value::Object(behavior_from_go(o)),
            Value::Array(a) => Value::Array(a.iter().filter_map(fix).collect()),
            v => v.clone(),
        })
    }
    b.iter()
        .filter_map(|(k, v)| {
            let name = NAMES.iter().find(|n| n.eq_ignore_ascii_case(k))?;
            Some(((*name).to_owned(), fix(v)?))
        })
        .collect()
}
