//! HorizontalPodAutoscalers.

use super::Of;
use super::out::{Out, date, l, list, number, word};
use crate::error::Error;
use crate::objects::text;
use serde_json::Value;

pub async fn describe(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let (v, spec) = (of.v, &of.v["spec"]);
    o.head(v);
    o.notes(v);
    l!(o, 0, "CreationTimestamp:\t{}", date(of.text("/metadata/creationTimestamp")));
    let kind = text(spec, "/scaleTargetRef/kind");
    l!(o, 0, "Reference:\t{kind}/{}", text(spec, "/scaleTargetRef/name"));
    l!(o, 0, "Metrics:\t( current / target )");
    for (i, m) in list(spec, "/metrics").enumerate() {
        metric(m, &v["status"]["currentMetrics"][i], o);
    }
    let min = if spec["minReplicas"].is_null() { "<unset>".into() } else { word(&spec["minReplicas"]) };
    l!(o, 0, "Min replicas:\t{min}");
    l!(o, 0, "Max replicas:\t{}", number(&spec["maxReplicas"]));
    if spec["behavior"].is_object() {
        l!(o, 0, "Behavior:");
        behavior("Scale Up", &spec["behavior"]["scaleUp"], o);
        behavior("Scale Down", &spec["behavior"]["scaleDown"], o);
    }
    let n = |at: &str| of.number(at);
    l!(
        o,
        0,
        "{kind} pods:\t{} current / {} desired",
        n("/status/currentReplicas"),
        n("/status/desiredReplicas")
    );
    if list(v, "/status/conditions").next().is_some() {
        l!(o, 0, "Conditions:");
        l!(o, 1, "Type\tStatus\tReason\tMessage");
        l!(o, 1, "----\t------\t------\t-------");
        for c in list(v, "/status/conditions") {
            l!(
                o,
                1,
                "{}\t{}\t{}\t{}",
                text(c, "/type"),
                text(c, "/status"),
                text(c, "/reason"),
                text(c, "/message")
            );
        }
    }
    of.events(o).await;
    Ok(())
}

fn metric(m: &Value, now: &Value, o: &mut Out) {
    let q = |v: &Value| if v.is_null() { "0".to_owned() } else { word(v) };
    // What is measured now, where there is a figure of this kind.
    let current = |kind: &str, field: &str| {
        if now[kind].is_object() { q(&now[kind]["current"][field]) } else { "<unknown>".into() }
    };
    match text(m, "/type") {
        "External" => {
            let (name, t) = (text(m, "/external/metric/name"), &m["external"]["target"]);
            if t["averageValue"].is_null() {
                l!(o, 1, "{name:?} (target value):\t{} / {}", current("external", "value"), q(&t["value"]));
            } else {
                let known = !now["external"]["current"]["averageValue"].is_null();
                let c = if known { current("external", "averageValue") } else { "<unknown>".into() };
                l!(o, 1, "{name:?} (target average value):\t{c} / {}", q(&t["averageValue"]));
            }
        }
        "Pods" => {
            let (name, t) = (text(m, "/pods/metric/name"), &m["pods"]["target"]);
            l!(o, 1, "{name:?} on pods:\t{} / {}", current("pods", "averageValue"), q(&t["averageValue"]));
        }
        "Object" => {
            let (d, t) = (&m["object"]["describedObject"], &m["object"]["target"]);
            let on = format!(
                "\"{}\" on {}/{} ",
                text(m, "/object/metric/name"),
                text(d, "/kind"),
                text(d, "/name")
            );
            if text(t, "/type") == "AverageValue" {
                let c = current("object", "averageValue");
                l!(o, 1, "{on}(target average value):\t{c} / {}", q(&t["averageValue"]));
            } else {
                l!(o, 1, "{on}(target value):\t{} / {}", current("object", "value"), q(&t["value"]));
            }
        }
        "Resource" => {
            let name = format!("resource {} on pods", text(m, "/resource/name"));
            resource(&name, "resource", m, now, o);
        }
        "ContainerResource" => {
            let c = &m["containerResource"];
            let name =
                format!("resource {} of container \"{}\" on pods", text(c, "/name"), text(c, "/container"));
            resource(&name, "containerResource", m, now, o);
        }
        t => l!(o, 1, "<unknown metric type {t:?}>"),
    }
}

fn resource(name: &str, key: &str, m: &Value, now: &Value, o: &mut Out) {
    let (t, c) = (&m[key]["target"], &now[key]["current"]);
    if !t["averageValue"].is_null() {
        let c = if now[key].is_object() { word(&c["averageValue"]) } else { "<unknown>".into() };
        return l!(o, 1, "{name}:\t{c} / {}", word(&t["averageValue"]));
    }
    let shown = if c["averageUtilization"].is_null() {
        "<unknown>".into()
    } else {
        format!("{}% ({})", c["averageUtilization"], word(&c["averageValue"]))
    };
    let target = if t["averageUtilization"].is_null() {
        "<auto>".into()
    } else {
        format!("{}%", t["averageUtilization"])
    };
    l!(o, 1, "{name}  (as a percentage of request):\t{shown} / {target}");
}

fn behavior(title: &str, r: &Value, o: &mut Out) {
    if !r.is_object() {
        return;
    }
    l!(o, 1, "{title}:");
    if !r["stabilizationWindowSeconds"].is_null() {
        l!(o, 2, "Stabilization Window: {} seconds", word(&r["stabilizationWindowSeconds"]));
    }
    if list(r, "/policies").next().is_some() {
        let select = r["selectPolicy"].as_str().unwrap_or("Max");
        l!(o, 2, "Select Policy: {select}");
        l!(o, 2, "Policies:");
        for p in list(r, "/policies") {
            l!(
                o,
                3,
                "- Type: {}\tValue: {}\tPeriod: {} seconds",
                text(p, "/type"),
                number(&p["value"]),
                number(&p["periodSeconds"])
            );
        }
    }
}
