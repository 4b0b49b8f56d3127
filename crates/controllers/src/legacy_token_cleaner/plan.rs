//! Which tokens are unused.

use crate::k8s::Timestamp;
use crate::k8s::core::{Pod, Secret, ServiceAccount};
use crate::util::meta::MetaExt;
use client::Kind;
use serde_json::Value;

const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
pub const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

const DAY: i64 = 86400;

/// Dates that tokens are compared with, as `2006-01-02`.
#[derive(Debug)]
pub struct Limits {
    pub today: String,
    created_before: Timestamp,
    used_before: String,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    Mark,
    Delete,
}

fn date(t: Timestamp) -> String {
    t.strftime("%Y-%m-%d").to_string()
}
fn is_date(s: &str) -> bool {
    s.len() == 10 && s.parse::<jiff::civil::Date>().is_ok()
}

/// `None` while the use of tokens has not been noted for long enough.
pub fn limits(since: &str, period: i64, now: Timestamp) -> Option<Limits> {
    let day: jiff::civil::Date = since.parse().ok()?;
    let start = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    if now.as_second() < start.as_second().saturating_add(DAY).saturating_add(period) {
        return None;
    }
    let limit = Timestamp::from_second(now.as_second().saturating_sub(period)).ok()?;
    Some(Limits { today: date(now), created_before: limit, used_before: date(limit) })
}

/// `account` is the account that the secret names; `mounted` tells whether some pod uses the secret.
pub fn judge(
    s: &Secret,
    account: Option<&ServiceAccount>,
    l: &Limits,
    mounted: impl FnOnce() -> bool,
) -> Verdict {
    let young = s.created().is_none_or(|t| t >= l.created_before);
    let used = s.label(LAST_USED).is_some_and(|d| !is_date(d) || d >= l.used_before.as_str());
    if young || s.deleting() || used {
        return Verdict::Keep;
    }
    let uid = s.annotation("kubernetes.io/service-account.uid").unwrap_or_default();
    // Those that an account does not list were made by hand.
    let listed = account.is_some_and(|a| {
        (uid.is_empty() || uid == a.uid())
            && a.secrets.iter().flatten().any(|r| r.name.as_deref() == Some(s.name()))
    });
    if !listed || mounted() {
        return Verdict::Keep;
    }
    match s.label(INVALID_SINCE).filter(|d| is_date(d)) {
        None => Verdict::Mark,
        Some(d) if d >= l.used_before.as_str() => Verdict::Keep,
        Some(_) => Verdict::Delete,
    }
}

/// Whether a pod uses a secret, in whatever way.
pub fn mounts(p: &Pod, name: &str) -> bool {
    p.to_value().get("spec").is_some_and(|v| refers(v, name))
}

fn refers(v: &Value, name: &str) -> bool {
    let is = |v: &Value| v["name"] == name;
    match v {
        Value::Object(m) => m.iter().any(|(k, v)| match k.as_str() {
            "secretName" => v == name,
            "secretRef" | "secretKeyRef" | "nodePublishSecretRef" | "secret" if is(v) => true,
            "imagePullSecrets" => v.as_array().into_iter().flatten().any(is),
            _ => refers(v, name),
        }),
        Value::Array(a) => a.iter().any(|v| refers(v, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn judges() {
        let now: Timestamp = "2024-06-01T12:00:00Z".parse().unwrap();
        let year = 365 * DAY;
        assert!(limits("2023-06-02", year, now).is_none());
        assert!(limits("x", year, now).is_none());
        let l = limits("2023-05-01", year, now).unwrap();
        let account: ServiceAccount = serde_json::from_value(
            json!({"metadata": {"name": "a", "uid": "u"}, "secrets": [{"name": "s"}]}),
        )
        .unwrap();
        let check = |created: &str, labels: Value, listed: bool, mounted: bool| {
            let s: Secret = serde_json::from_value(
                json!({"metadata": {"name": "s", "creationTimestamp": created, "labels": labels}}),
            )
            .unwrap();
            judge(&s, listed.then_some(&account), &l, || mounted)
        };
        let old = "2023-01-01T00:00:00Z";
        assert_eq!(check(old, json!({}), true, false), Verdict::Mark);
        assert_eq!(check("2024-01-01T00:00:00Z", json!({}), true, false), Verdict::Keep);
        assert_eq!(check(old, json!({LAST_USED: "2024-05-01"}), true, false), Verdict::Keep);
        assert_eq!(check(old, json!({LAST_USED: "2023-05-01"}), true, false), Verdict::Mark);
        assert_eq!(check(old, json!({}), false, false), Verdict::Keep);
        assert_eq!(check(old, json!({}), true, true), Verdict::Keep);
        assert_eq!(check(old, json!({INVALID_SINCE: "2024-05-01"}), true, false), Verdict::Keep);
        assert_eq!(check(old, json!({INVALID_SINCE: "2023-05-01"}), true, false), Verdict::Delete);
    }

    #[test]
    fn uses() {
        let check = |spec: Value| mounts(&serde_json::from_value(json!({"spec": spec})).unwrap(), "s");
        assert!(check(json!({"containers": [], "volumes": [{"name": "v", "secret": {"secretName": "s"}}]})));
        assert!(check(json!({"containers": [], "imagePullSecrets": [{"name": "s"}]})));
        assert!(check(json!({"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "s"}}]}]})));
        assert!(check(
            json!({"containers": [], "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]})
        ));
        assert!(!check(json!({"containers": [{"name": "s"}]})));
    }
}
