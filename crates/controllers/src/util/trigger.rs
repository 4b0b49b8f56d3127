//! When the change happened that endpoints are rewritten for, from which proxies tell how long the network took to follow
//! (upstream `k8s.io/endpointslice/trigger_time_tracker.go`).

use super::meta::MetaExt;
use super::pods::condition;
use crate::k8s::core::{Pod, Service};
use crate::k8s::{ObjectMeta, Timestamp};
use client::Key;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

#[derive(Default)]
struct Seen {
    service: Option<Timestamp>,
    pods: HashMap<String, Timestamp>,
}

/// What was last seen of each service.
#[derive(Default)]
pub struct Triggers(Mutex<HashMap<Key, Seen>>);

impl Triggers {
    /// The first of the changes since this was last asked of the service; for a new service, its birth.
    pub fn next(&self, service: &Service, pods: &[Pod]) -> Option<Timestamp> {
        let turned = |p: &Pod| {
            let at = condition(p, "Ready")?.last_transition_time.as_ref()?.0;
            Some((p.name().to_owned(), at))
        };
        let now = Seen { service: service.created(), pods: pods.iter().filter_map(turned).collect() };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(was) = all.get_mut(&service.key()) else {
            all.insert(service.key(), now);
            return service.created();
        };
        let pods = now.pods.iter().filter(|(name, at)| was.pods.get(*name).is_none_or(|old| *at > old));
        let service = now.service.filter(|at| was.service.is_none_or(|old| *at > old));
        let first = pods.map(|(_, at)| *at).chain(service).min();
        *was = now;
        first
    }
    pub fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Writes the time into an object that is about to be sent.
pub fn mark(m: &mut ObjectMeta, at: Option<Timestamp>) {
    if let Some(at) = at {
        m.annotations.get_or_insert_default().insert(TRIGGER_TIME.into(), at.to_string());
    } else if let Some(a) = &mut m.annotations {
        a.remove(TRIGGER_TIME);
        if a.is_empty() {
            m.annotations = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn first_change_since_last_time() {
        let service = |at: &str| -> Service {
            let v = json!({"metadata": {"name": "s", "namespace": "ns", "creationTimestamp": at}});
            serde_json::from_value(v).unwrap()
        };
        let pod = |name: &str, at: &str| -> Pod {
            let ready = json!([{"type": "Ready", "status": "True", "lastTransitionTime": at}]);
            let v = json!({"metadata": {"name": name}, "status": {"conditions": ready}});
            serde_json::from_value(v).unwrap()
        };
        let (t1, t2, t3, t4) =
            ("2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "2026-01-01T00:00:03Z", "2026-01-01T00:00:04Z");
        let t = Triggers::default();
        let next = |s: &str, pods: &[Pod]| t.next(&service(s), pods).map(|t| t.to_string());
        assert_eq!(next(t2, &[pod("a", t1)]).as_deref(), Some(t2));
        assert_eq!(next(t2, &[pod("a", t1)]), None);
        assert_eq!(next(t2, &[pod("a", t4), pod("b", t3)]).as_deref(), Some(t3));
        assert_eq!(next(t2, &[]), None, "a pod that went says nothing");
        assert_eq!(next(t3, &[pod("a", t4)]).as_deref(), Some(t3), "made anew");
        t.forget(&Key::new("ns", "s"));
        assert_eq!(next(t2, &[]).as_deref(), Some(t2));

        let mut m = ObjectMeta::default();
        mark(&mut m, Some(t1.parse().unwrap()));
        assert_eq!(m.annotations.clone().unwrap()[TRIGGER_TIME], t1);
        mark(&mut m, None);
        assert_eq!(m.annotations, None);
    }
}
