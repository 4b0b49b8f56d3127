//! How long a pod may stay on a tainted node.

use crate::k8s::Timestamp;
use crate::k8s::core::{Pod, Taint, Toleration};
use crate::util::meta::MetaExt;
use crate::util::pods;
use crate::util::taints::tolerates;
use std::time::Duration;

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Stays,
    Wait(Duration),
    Evict,
}

/// The taints are the NoExecute ones, and since when they are there. Time runs from the newest taint, or from when the
/// pod came to the node.
pub fn judge(p: &Pod, taints: &[(Taint, Timestamp)], now: Timestamp) -> Verdict {
    if taints.is_empty() {
        return Verdict::Stays;
    }
    let none = Vec::new();
    let tolerations: &Vec<Toleration> = p.spec.as_ref().and_then(|s| s.tolerations.as_ref()).unwrap_or(&none);
    let mut shortest: Option<i64> = None;
    for (t, _) in taints {
        let Some(used) = tolerations.iter().find(|x| tolerates(x, t)) else { return Verdict::Evict };
        if let Some(s) = used.toleration_seconds {
            shortest = Some(shortest.map_or(s, |x| x.min(s)));
        }
    }
    let Some(seconds) = shortest else { return Verdict::Stays };
    let came = pods::condition(p, "PodScheduled").and_then(|c| c.last_transition_time.as_ref().map(|t| t.0));
    let since =
        taints.iter().map(|(_, s)| *s).max().into_iter().chain(came).chain(p.created()).max().unwrap_or(now);
    let left =
        seconds.max(0).saturating_mul(1000).saturating_sub(now.duration_since(since).as_millis() as i64);
    match u64::try_from(left) {
        Ok(ms) if ms > 0 => Verdict::Wait(Duration::from_millis(ms)),
        _ => Verdict::Evict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn judges() {
        let at = |s: i64| Timestamp::from_second(1_000_000 + s).unwrap();
        let taint = |key: &str, since: i64| {
            (Taint { key: key.into(), effect: "NoExecute".into(), ..Taint::default() }, at(since))
        };
        let pod = |t: Value| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [], "tolerations": t}})).unwrap()
        };
        let t = |key: &str, secs: Value| json!({"key": key, "operator": "Exists", "tolerationSeconds": secs});
        let cases = [
            (json!([]), vec![], Verdict::Stays),
            (json!([]), vec![taint("a", 0)], Verdict::Evict),
            (json!([t("a", Value::Null)]), vec![taint("a", 0)], Verdict::Stays),
            (json!([t("a", json!(60))]), vec![taint("a", 0)], Verdict::Wait(Duration::from_secs(50))),
            (json!([t("a", json!(10))]), vec![taint("a", 0)], Verdict::Evict),
            (json!([t("a", json!(0))]), vec![taint("a", 5)], Verdict::Evict),
            (
                json!([t("a", json!(60)), t("b", json!(30))]),
                vec![taint("a", 0), taint("b", 5)],
                Verdict::Wait(Duration::from_secs(25)),
            ),
            (json!([t("a", json!(60))]), vec![taint("a", 0), taint("b", 5)], Verdict::Evict),
        ];
        for (i, (tolerations, taints, want)) in cases.into_iter().enumerate() {
            assert_eq!(judge(&pod(tolerations), &taints, at(10)), want, "case {i}");
        }
    }
}
