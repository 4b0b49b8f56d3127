//! HorizontalPodAutoscalers, v1 and v2.

use crate::convert;
use crate::kit::*;
use crate::podspec::resources;
use std::borrow::Cow;

pub(crate) struct HorizontalPodAutoscaler;

impl Strategy for HorizontalPodAutoscaler {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        let m = o.obj("metadata");
        if let Some(a) = m.o_mut("annotations") {
            a.retain(|k, _| !convert::STATUS_ANNOTATIONS.contains(&k.as_str()));
            if a.is_empty() {
                m.remove("annotations");
            }
        }
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if o.s("apiVersion") != "autoscaling/v1" {
            return;
        }
        // What an update may not change is in annotations here, too.
        let kept =
            if cx.subresource == "status" { convert::SPEC_ANNOTATIONS } else { convert::STATUS_ANNOTATIONS };
        for k in kept {
            match old.annotation(k) {
                Some(v) => o.obj("metadata").obj("annotations").put(k, v),
                None if o.annotation(k).is_some() => {
                    o.obj("metadata").obj("annotations").remove(*k);
                }
                None => {}
            }
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        let o = as_v2(o);
        validate(&o, None, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            status(o.v("status"), &mut e);
            return e.0;
        }
        let (o, old) = (as_v2(o), as_v2(old));
        validate(&o, Some(&old), &mut e);
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let o = &*as_v2(o);
        let (s, st) = (o.v("spec"), o.v("status"));
        let r = s.v("scaleTargetRef");
        let min = s.oi("minReplicas").map_or("<unset>".to_owned(), |n| n.to_string());
        row![
            o.name(),
            format!("{}/{}", r.s("kind"), r.s("name")),
            metrics(s.list("metrics"), st.list("currentMetrics")),
            min,
            s.i("maxReplicas"),
            st.i("currentReplicas"),
            age(o, now),
        ]
    }
}

/// Current and wanted value of the first two metrics.
fn metrics(specs: &[Value], statuses: &[Value]) -> String {
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let list: Vec<String> = specs.iter().enumerate().map(|(i, m)| metric(m, statuses.get(i))).collect();
    match list.len() {
        n if n > 2 => format!("{} + {} more...", list[..2].join(", "), n - 2),
        _ => list.join(", "),
    }
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let field = match spec.s("type") {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let (spec, status) = (spec.v(field), status.and_then(|s| s.set(field)));
    let target = spec.v("target");
    let current = |k: &str, missing: &str| match status {
        None => "<unknown>".to_owned(),
        Some(s) => s.v("current").os(k).unwrap_or(missing).to_owned(),
    };
    let wanted = |k: &str| target.os(k).unwrap_or("<nil>").to_owned();
    match field {
        "pods" => format!("{}/{}", current("averageValue", "<nil>"), wanted("averageValue")),
        "external" | "object" if target.has("averageValue") => {
            format!("{}/{} (avg)", current("averageValue", "<unknown>"), wanted("averageValue"))
        }
        "external" | "object" => format!("{}/{}", current("value", "<nil>"), wanted("value")),
        _ if target.has("averageValue") => {
            format!("{}: {}/{}", spec.s("name"), current("averageValue", "<nil>"), wanted("averageValue"))
        }
        _ => {
            let percent = |n: Option<i64>| n.map(|n| format!("{n}%"));
            let now = status.and_then(|s| percent(s.v("current").oi("averageUtilization")));
            let goal = percent(target.oi("averageUtilization"));
            format!(
                "{}: {}/{}",
                spec.s("name"),
                now.as_deref().unwrap_or("<unknown>"),
                goal.as_deref().unwrap_or("<auto>")
            )
        }
    }
}

/// The object as the newest version has it; upstream validates and prints that.
fn as_v2(o: &Value) -> Cow<'_, Value> {
    match o.s("apiVersion") {
        "autoscaling/v1" => Cow::Owned(convert::hpa_v1_to_v2(o.clone())),
        _ => Cow::Borrowed(o),
    }
}

/// What a reference's `apiVersion` may be.
#[derive(Clone, Copy)]
struct Reference {
    no_group: bool,
    anything: bool,
}

fn validate(o: &Value, old: Option<&Value>, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let was = old.map(|o| o.v("spec"));
    let (min, max) = (s.oi("minReplicas"), s.i("maxReplicas"));
    let to_zero =
        schema::facts::gate("HPAScaleToZero") || was.is_some_and(|w| w.oi("minReplicas") == Some(0));
    let least = i64::from(!to_zero);
    if let Some(min) = min.filter(|min| *min < least) {
        e.invalid(&at.c("minReplicas"), min, format!("must be greater than or equal to {least}"));
    }
    match max {
        0 => e.required(&at.c("maxReplicas"), "must be set and greater than 0"),
        n if n < 0 => e.invalid(&at.c("maxReplicas"), n, "must be greater than or equal to 1"),
        _ => {}
    }
    if min.is_some_and(|min| max < min) {
        e.invalid(&at.c("maxReplicas"), max, "must be greater than or equal to `minReplicas`");
    }
    let target = s.v("scaleTargetRef");
    let same = |f: &str| was.is_some_and(|w| w.v("scaleTargetRef").s(f) == target.s(f));
    let allow = Reference {
        no_group: target.s("kind") == "ReplicationController",
        anything: same("apiVersion") && same("kind"),
    };
    reference(target, allow, &at.c("scaleTargetRef"), e);
    let mut allow = Reference { no_group: true, anything: false };
    allow.anything = was.is_some_and(|w| {
        w.list("metrics").iter().any(|m| {
            m.s("type") == "Object"
                && m.has("object")
                && version_error(m.v("object").v("describedObject").s("apiVersion"), allow).is_some()
        })
    });
    let metrics_at = at.c("metrics");
    let list = s.list("metrics");
    for (i, m) in list.iter().enumerate() {
        metric_spec(m, allow, &metrics_at.i(i), e);
    }
    if min == Some(0) && !list.iter().any(|m| matches!(m.s("type"), "Object" | "External")) {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        e.forbidden(&metrics_at, why);
    }
    let at = at.c("behavior");
    for f in ["scaleUp", "scaleDown"] {
        if let Some(r) = s.v("behavior").set(f) {
            scaling_rules(r, &at.c(f), e);
        }
    }
}

fn version_error(version: &str, allow: Reference) -> Option<String> {
    if allow.anything {
        return None;
    }
    let group = match version.split('/').collect::<Vec<_>>()[..] {
        [_] => "",
        [group, _] => group,
        _ => return Some(format!("unexpected GroupVersion string: {version}")),
    };
    (group.is_empty() && !allow.no_group).then(|| "apiVersion must specify API group".to_owned())
}

fn reference(r: &Value, allow: Reference, at: &At<'_>, e: &mut Errs) {
    for f in ["kind", "name"] {
        e.required_name(&at.c(f), r.s(f), names::is_path_segment_name);
    }
    if let Some(why) = version_error(r.s("apiVersion"), allow) {
        e.invalid(&at.c("apiVersion"), r.s("apiVersion"), why);
    }
}

fn scaling_rules(r: &Value, at: &At<'_>, e: &mut Errs) {
    if let Some(n) = r.oi("stabilizationWindowSeconds") {
        let at = at.c("stabilizationWindowSeconds");
        if n < 0 {
            e.invalid(&at, n, "must be greater than or equal to zero");
        }
        if n > 3600 {
            e.invalid(&at, n, "must be less than or equal to 3600");
        }
    }
    if let Some(p) = r.os("selectPolicy") {
        e.one_of(&at.c("selectPolicy"), p, &["Disabled", "Max", "Min"]);
    }
    let policies_at = at.c("policies");
    let policies = r.list("policies");
    if policies.is_empty() {
        e.required(&policies_at, "must specify at least one Policy");
    }
    for (i, p) in policies.iter().enumerate() {
        let at = policies_at.i(i);
        e.one_of(&at.c("type"), p.s("type"), &["Percent", "Pods"]);
        e.positive(&at.c("value"), p.i("value"));
        let seconds = p.i("periodSeconds");
        e.positive(&at.c("periodSeconds"), seconds);
        if seconds > 1800 {
            e.invalid(&at.c("periodSeconds"), seconds, "must be less than or equal to 1800");
        }
    }
    if let Some(t) = r.set("tolerance") {
        e.nonnegative_quantity(&at.c("tolerance"), &quantity(t));
    }
}

/// Sources in the order in which upstream looks at them.
const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

fn metric_spec(m: &Value, allow: Reference, at: &At<'_>, e: &mut Errs) {
    const TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
    let ty = m.s("type");
    if ty.is_empty() {
        e.required(&at.c("type"), "must specify a metric source type");
    }
    e.one_of(&at.c("type"), ty, TYPES);
    let present: Vec<&str> = SOURCES.iter().map(|(_, f)| *f).filter(|f| m.has(f)).collect();
    if let Some(f) = present.first() {
        source(f, m.v(f), allow, &at.c(f), e);
    }
    let expected = SOURCES.iter().find(|(t, _)| *t == ty).map(|(_, f)| *f);
    if let Some(f) = expected.filter(|f| !m.has(f)) {
        e.required(&at.c(f), "must populate information for the given metric source");
    }
    if present.len() != 1 {
        for f in present.iter().filter(|f| Some(**f) != expected) {
            e.forbidden(&at.c(f), "must populate the given metric source only");
        }
    }
}

fn source(kind: &str, s: &Value, allow: Reference, at: &At<'_>, e: &mut Errs) {
    let target_at = at.c("target");
    let t = s.v("target");
    let has = |f: &str| t.has(f);
    if kind == "object" {
        reference(s.v("describedObject"), allow, &at.c("describedObject"), e);
    }
    if matches!(kind, "object" | "external" | "pods") {
        let name = s.v("metric").s("name");
        let at = at.c("metric.name");
        if name.is_empty() {
            e.required(&at, "must specify a metric name");
        } else {
            e.name(&at, name, names::is_path_segment_name);
        }
    } else if s.s("name").is_empty() {
        e.required(&at.c("name"), "must specify a resource name");
    }
    if kind == "containerResource" {
        if !s.s("name").is_empty() {
            resources::container_name(s.s("name"), &at.c("name"), e);
        }
        let at = at.c("container");
        match s.s("container") {
            "" => e.required(&at, "must specify a container"),
            c => e.label(&at, c),
        }
    }
    target(t, &target_at, e);
    let average = target_at.c("averageValue");
    match kind {
        "object" if !has("value") && !has("averageValue") => {
            e.required(&average, "must set either a target value or averageValue");
        }
        "external" if !has("value") && !has("averageValue") => {
            e.required(&average, "must set either a target value for metric or a per-pod target");
        }
        "external" if has("value") && has("averageValue") => {
            let why = "may not set both a target value for metric and a per-pod target";
            e.forbidden(&target_at.c("value"), why);
        }
        "pods" if !has("averageValue") => {
            e.required(&average, "must specify a positive target averageValue");
        }
        "resource" | "containerResource" => match (has("averageUtilization"), has("averageValue")) {
            (false, false) => {
                let why = "must set either a target raw value or a target utilization";
                e.required(&target_at.c("averageUtilization"), why);
            }
            (true, true) => {
                e.forbidden(&average, "may not set both a target raw value and a target utilization");
            }
            _ => {}
        },
        _ => {}
    }
}

fn target(t: &Value, at: &At<'_>, e: &mut Errs) {
    let ty = t.s("type");
    if ty.is_empty() {
        e.required(&at.c("type"), "must specify a metric target type");
    }
    if !matches!(ty, "Utilization" | "Value" | "AverageValue") {
        e.invalid(&at.c("type"), ty, "must be either Utilization, Value, or AverageValue");
    }
    for f in ["value", "averageValue"] {
        if let Some(v) = t.set(f) {
            let q = quantity(v);
            if q.is_zero() || q.is_negative() {
                e.invalid(&at.c(f), q.to_string(), "must be positive");
            }
        }
    }
    if let Some(n) = t.oi("averageUtilization").filter(|n| *n < 1) {
        e.invalid(&at.c("averageUtilization"), n, "must be greater than 0");
    }
}

fn status(s: &Value, e: &mut Errs) {
    let at = At::new("status");
    let conditions = at.c("conditions");
    for (i, c) in s.list("conditions").iter().enumerate() {
        e.nonnegative(&conditions.i(i).c("observedGeneration"), c.i("observedGeneration"));
    }
    e.counters(s, &at, &["currentReplicas", "desiredReplicas"]);
}
