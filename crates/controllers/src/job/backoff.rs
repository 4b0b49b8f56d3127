//! How long to wait after failures (upstream `backoff_utils.go`).

use crate::k8s::Timestamp;
use crate::k8s::core::{ContainerStatus, Pod};
use crate::util::meta::MetaExt;
use crate::util::pods;
use std::time::Duration;

const FIRST: u64 = 10;
const MAX: u64 = 600;

/// Failures of a Job since its last success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub failures: u32,
    pub last: Option<Timestamp>,
}

fn latest(all: Option<&Vec<ContainerStatus>>, only: Option<&[&str]>) -> Option<Option<Timestamp>> {
    let mut last = None;
    for c in all.into_iter().flatten().filter(|c| only.is_none_or(|o| o.contains(&c.name.as_str()))) {
        let at = c.state.as_ref().and_then(|s| s.terminated.as_ref()).and_then(|t| t.finished_at.as_ref())?.0;
        last = last.max(Some(at));
    }
    Some(last)
}

/// When a pod ended: by its containers, else by when it was not ready any more, was deleted, or was made.
pub fn finished(p: &Pod) -> Timestamp {
    let sidecars: Vec<&str> = p
        .spec
        .iter()
        .flat_map(|s| s.init_containers.iter().flatten())
        .filter(|c| c.restart_policy.as_deref() == Some("Always"))
        .map(|c| c.name.as_str())
        .collect();
    let status = p.status.as_ref();
    let containers = latest(status.and_then(|s| s.container_statuses.as_ref()), None).flatten();
    let with_sidecars = latest(status.and_then(|s| s.init_container_statuses.as_ref()), Some(&sidecars));
    if let (Some(a), Some(b)) = (containers, with_sidecars) {
        return b.map_or(a, |b| a.max(b));
    }
    let unready = pods::condition(p, "Ready").filter(|c| c.status == "False");
    if let Some(t) = unready.and_then(|c| c.last_transition_time.as_ref()) {
        return t.0;
    }
    if let Some(t) = &p.metadata.deletion_timestamp {
        let grace = u64::try_from(p.metadata.deletion_grace_period_seconds.unwrap_or(0)).unwrap_or(0);
        return t.0.checked_sub(Duration::from_secs(grace)).unwrap_or(t.0);
    }
    p.created().unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Record {
    /// After some pods more ended.
    #[must_use]
    pub fn after(&self, succeeded: &[&Pod], failed: &[&Pod]) -> Self {
        let mut times: Vec<Timestamp> = failed.iter().map(|p| finished(p)).collect();
        times.sort();
        match succeeded.iter().map(|p| finished(p)).max() {
            None if times.is_empty() => self.clone(),
            None => Self { failures: self.failures + times.len() as u32, last: times.last().copied() },
            Some(success) => {
                let later = times.iter().filter(|t| **t > success).count() as u32;
                Self { failures: later, last: times.last().copied().filter(|t| *t > success) }
            }
        }
    }
    pub fn remaining(&self, now: Timestamp) -> Duration {
        remaining(self.failures, self.last, now)
    }
}

/// What is left of the delay after so many failures, of which the last was then.
pub fn remaining(failures: u32, last: Option<Timestamp>, now: Timestamp) -> Duration {
    let Some(last) = last.filter(|_| failures > 0) else { return Duration::ZERO };
    let delay = FIRST.saturating_mul(1 << (failures - 1).min(16)).min(MAX);
    let elapsed = u64::try_from(now.duration_since(last).as_millis()).unwrap_or(0);
    Duration::from_millis((delay * 1000).saturating_sub(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn delays() {
        let at = |s: i64| Timestamp::from_second(1000 + s).unwrap();
        let pod = |s: i64| -> Pod {
            serde_json::from_value(json!({"metadata": {"creationTimestamp": at(s).to_string()}})).unwrap()
        };
        let (a, b, c) = (pod(0), pod(5), pod(9));
        let r = Record::default().after(&[], &[&a, &b]);
        assert_eq!(r, Record { failures: 2, last: Some(at(5)) });
        assert_eq!(r.remaining(at(10)), Duration::from_secs(15));
        assert_eq!(r.after(&[], &[&c]).remaining(at(9)), Duration::from_secs(40));
        assert_eq!(r.after(&[&b], &[&a, &c]), Record { failures: 1, last: Some(at(9)) });
        assert_eq!(r.after(&[&c], &[]), Record::default());
        assert_eq!(remaining(30, Some(at(0)), at(0)), Duration::from_secs(600));
    }
}
