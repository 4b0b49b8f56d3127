//! Events, of the core group and of events.k8s.io: one stored form.

use crate::kit::*;

pub(crate) struct Event;

impl Strategy for Event {
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
            (None, "") => (first, o.i("count").max(1)),
            (None, t) => (t, o.i("count").max(1)),
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
