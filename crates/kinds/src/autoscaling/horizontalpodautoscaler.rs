//! HorizontalPodAutoscalers, v1 and v2.

use crate::convert;
use crate::kit::*;

pub(crate) struct HorizontalPodAutoscaler;

impl Strategy for HorizontalPodAutoscaler {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let converted;
        let o = if o.s("apiVersion") == "autoscaling/v1" {
            converted = convert::hpa_v1_to_v2(o.clone());
            &converted
        } else {
            o
        };
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
