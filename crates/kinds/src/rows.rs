//! What table cells have in common (K/pkg/printers/internalversion/printers.go).

use crate::val::{Get, Obj};
use meta::Value;
use meta::object::ObjectExt;
use meta::time::{Timestamp, human_duration};

/// The cells of a row.
macro_rules! row {
    ($($cell:expr),+ $(,)?) => {
        Some(vec![$(meta::Value::from($cell)),+])
    };
}
pub(crate) use row;

/// How long ago a time was; `<unknown>` when there is none.
pub(crate) fn since(time: &str, now: Timestamp) -> String {
    match Timestamp::parse(time) {
        Some(t) => human_duration(now.seconds_since(&t)),
        None => "<unknown>".to_owned(),
    }
}

pub(crate) fn age(obj: &Value, now: Timestamp) -> String {
    since(obj.str_at("metadata.creationTimestamp"), now)
}

/// Names and images of a pod spec's containers, each joined by commas.
pub(crate) fn containers(pod_spec: &Value) -> (String, String) {
    let all = pod_spec.list("containers");
    let join = |k: &str| all.iter().map(|c| c.s(k)).collect::<Vec<_>>().join(",");
    (join("name"), join("image"))
}

/// `a=b,c=d`, or `<none>`.
pub(crate) fn labels(labels: Option<&Obj>) -> String {
    match labels.filter(|l| !l.is_empty()) {
        None => "<none>".to_owned(),
        Some(l) => {
            let mut pairs: Vec<_> =
                l.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect();
            pairs.sort_unstable();
            pairs.join(",")
        }
    }
}

/// A `LabelSelector` in a selector's words; `<none>` when it is empty.
pub(crate) fn selector(s: Option<&Value>) -> String {
    match meta::labels::from_label_selector(s) {
        Err(_) => "<error>".to_owned(),
        Ok(s) => match s.to_string() {
            s if s.is_empty() => "<none>".to_owned(),
            s => s,
        },
    }
}

/// The first `max` of a list, and how many more there are.
pub(crate) fn list_with_more(list: &[String], max: usize) -> String {
    match list.len() {
        0 => "<unset>".to_owned(),
        n if n > max => format!("{} + {} more...", list[..max].join(","), n - max),
        _ => list.join(","),
    }
}

pub(crate) fn or_none(s: &str) -> &str {
    if s.is_empty() { "<none>" } else { s }
}

pub(crate) fn or_unset(s: Option<&str>) -> &str {
    s.unwrap_or("<unset>")
}

/// An `IntOrString`: `3`, `25%`.
pub(crate) fn int_or_string(v: &Value) -> String {
    match v {
        Value::String(s) => s.clone(),
        v => v.to_string(),
    }
}

/// A condition of a kind's status.
pub(crate) fn condition<'a>(obj: &'a Value, ty: &str) -> Option<&'a Value> {
    obj.array_at("status.conditions").iter().find(|c| c.s("type") == ty)
}

pub(crate) fn condition_true(obj: &Value, ty: &str) -> bool {
    condition(obj, ty).is_some_and(|c| c.s("status") == "True")
}

/// Addresses or host names of a load balancer, sorted.
pub(crate) fn load_balancer(obj: &Value) -> Vec<&str> {
    let mut all: Vec<&str> = obj
        .array_at("status.loadBalancer.ingress")
        .iter()
        .map(|i| if i.s("ip").is_empty() { i.s("hostname") } else { i.s("ip") })
        .filter(|s| !s.is_empty())
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// `RWO,ROX,RWX,RWOP`, in this order.
pub(crate) fn access_modes(modes: &[Value]) -> String {
    [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ]
    .iter()
    .filter(|(m, _)| modes.iter().any(|v| v.as_str() == Some(m)))
    .map(|(_, s)| *s)
    .collect::<Vec<_>>()
    .join(",")
}
