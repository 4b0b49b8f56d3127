//! Events, of the core group and of events.k8s.io: one stored form.

use crate::kit::*;

pub(crate) struct Event;

impl Strategy for Event {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        legacy(o, &mut e);
        if is_new(o) {
            let core = core_form(o);
            series(&core, &mut e);
            if core.s("eventTime").is_empty() {
                e.required(&At::new("eventTime"), "");
            }
            if !matches!(core.s("type"), "Normal" | "Warning") {
                e.invalid(&At::new("type"), "", format!("has invalid value: {}", core.s("type")));
            }
            for f in ["firstTimestamp", "lastTimestamp", "count"] {
                if core.f(f).is_some_and(|v| !is_zero(v)) {
                    e.invalid(&At::new(f), "", "needs to be unset");
                }
            }
            let source = core.v("source");
            if !source.s("component").is_empty() || !source.s("host").is_empty() {
                e.invalid(&At::new("source"), "", "needs to be unset");
            }
        }
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        legacy(o, &mut e);
        if is_new(o) {
            let (new, old) = (core_form(o), core_form(old));
            if !opt_same(new.f("series"), old.f("series")) {
                series(&new, &mut e);
            }
            for f in [
                "involvedObject",
                "reason",
                "message",
                "source",
                "firstTimestamp",
                "lastTimestamp",
                "count",
                "reason",
                "type",
                "eventTime",
                "action",
                "related",
                "reportingComponent",
                "reportingInstance",
            ] {
                let shown = if f == "reportingComponent" { "reportingController" } else { f };
                e.fixed(&At::new(shown), &new, &old, f);
            }
        }
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let o = &core_form(o);
        let (source, regarding) = (o.v("source"), o.v("involvedObject"));
        let event_time = o.s("eventTime");
        let first = match o.s("firstTimestamp") {
            "" => event_time,
            t => t,
        };
        let (last, count) = match (o.set("series"), o.s("lastTimestamp")) {
            (Some(s), _) => (s.s("lastObservedTime"), s.i("count")),
            (None, t) => {
                (if t.is_empty() { first } else { t }, if o.i("count") == 0 { 1 } else { o.i("count") })
            }
        };
        let kind = regarding.s("kind").to_lowercase();
        let target = match regarding.s("name") {
            "" => kind,
            n => format!("{kind}/{n}"),
        };
        let pick = |a, b| if a == "" { b } else { a };
        let component = pick(source.s("component"), o.s("reportingComponent"));
        let host = pick(source.s("host"), o.s("reportingInstance"));
        let source = if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
        row![
            since(last, now),
            o.s("type"),
            o.s("reason"),
            target,
            regarding.s("fieldPath"),
            source,
            o.s("message").trim(),
            since(first, now),
            count,
            o.name(),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        let o = &core_form(o);
        Some(match label {
            "source" => match o.v("source").s("component") {
                "" => o.s("reportingComponent"),
                s => s,
            }
            .to_owned(),
            "reason" | "reportingComponent" | "type" => o.s(label).to_owned(),
            "reportingController" => o.s("reportingComponent").to_owned(),
            l => {
                let field = l.strip_prefix("involvedObject.").or_else(|| l.strip_prefix("regarding."))?;
                match field {
                    "kind" | "namespace" | "name" | "uid" | "apiVersion" | "resourceVersion"
                    | "fieldPath" => o.v("involvedObject").s(field).to_owned(),
                    _ => return None,
                }
            }
        })
    }
}

/// The core form of an event, whichever it came in.
fn core_form(o: &Value) -> Value {
    if o.has("regarding") || o.s("apiVersion").starts_with("events.k8s.io/") {
        crate::convert::event_to_core(o.clone())
    } else {
        o.clone()
    }
}

/// Written through events.k8s.io, which is stricter.
fn is_new(o: &Value) -> bool {
    o.s("apiVersion").starts_with("events.k8s.io/")
}

fn series(o: &Value, e: &mut Errs) {
    let Some(s) = o.set("series") else { return };
    if s.i("count") < 2 {
        e.invalid(&At::new("series.count"), "", "should be at least 2");
    }
    if s.s("lastObservedTime").is_empty() {
        e.required(&At::new("series.lastObservedTime"), "");
    }
}

fn legacy(o: &Value, e: &mut Errs) {
    let new = is_new(o);
    let o = &core_form(o);
    let (ns, of) = (o.namespace(), o.v("involvedObject").s("namespace"));
    let at = At::new("involvedObject.namespace");
    const WHY: &str = "does not match event.namespace";
    if o.s("eventTime").is_empty() {
        let ok = if of.is_empty() { matches!(ns, "" | "default") } else { ns == of };
        if !ok {
            e.invalid(&at, of, WHY);
        }
        return;
    }
    if of.is_empty() && !matches!(ns, "default" | "kube-system") {
        e.invalid(&at, of, WHY);
    }
    let controller = At::new(if new { "reportingController" } else { "reportingComponent" });
    e.non_empty(&controller, o.s("reportingComponent"));
    e.qualified(&controller, o.s("reportingComponent"));
    for (f, max, required) in [
        ("reportingInstance", 128, true),
        ("action", 128, true),
        ("reason", 128, true),
        ("message", 1024, false),
    ] {
        let at = At::new(f);
        if required {
            e.non_empty(&at, o.s(f));
        }
        if o.s(f).len() > max {
            e.invalid(&at, "", format!("can have at most {max} characters"));
        }
    }
}
