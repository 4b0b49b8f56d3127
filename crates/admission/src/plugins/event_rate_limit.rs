//! EventRateLimit: events are taken at a limited rate, for the server, a namespace, a user, or a source and object
//! (plugin/pkg/admission/eventratelimit). The buckets are the plugin's only state; time comes with the request.

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;
use meta::field::aggregate;
use meta::object::ObjectExt;
use meta::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What events share a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitType {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

impl LimitType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Namespace => "Namespace",
            Self::User => "User",
            Self::SourceAndObject => "SourceAndObject",
        }
    }
    pub(crate) fn parse(s: &str) -> Option<Self> {
        [Self::Server, Self::Namespace, Self::User, Self::SourceAndObject]
            .into_iter()
            .find(|t| t.as_str() == s)
    }
}

/// One limit of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct EventLimit {
    pub limit_type: LimitType,
    pub qps: u32,
    pub burst: u32,
    /// Buckets that are remembered; 0 means 4096.
    pub cache_size: usize,
}

struct Bucket {
    tokens: f64,
    at: Timestamp,
}

pub(crate) struct EventRateLimit {
    limits: Vec<(EventLimit, Mutex<HashMap<String, Bucket>>)>,
}

impl EventRateLimit {
    pub(crate) fn new(limits: &[EventLimit]) -> Self {
        Self { limits: limits.iter().map(|l| (*l, Mutex::default())).collect() }
    }
}

fn key(t: LimitType, a: &Attributes<'_>) -> String {
    match t {
        LimitType::Server => String::new(),
        LimitType::Namespace => a.namespace.to_owned(),
        LimitType::User => a.user.name.clone(),
        LimitType::SourceAndObject => {
            let e = a.obj();
            let (source, object) = if e.get("involvedObject").is_some() {
                ("source", "involvedObject")
            } else {
                ("deprecatedSource", "regarding")
            };
            let part = |o: &str, f: &str| e.str_at(&format!("{o}.{f}")).to_owned();
            [
                part(source, "component"),
                part(source, "host"),
                part(object, "kind"),
                part(object, "namespace"),
                part(object, "name"),
                part(object, "uid"),
                part(object, "apiVersion"),
            ]
            .concat()
        }
    }
}

/// Takes a token, if there is one.
fn take(l: &EventLimit, buckets: &mut HashMap<String, Bucket>, key: &str, now: Timestamp) -> bool {
    let burst = f64::from(l.burst);
    let size = if l.cache_size == 0 { 4096 } else { l.cache_size };
    if !buckets.contains_key(key)
        && buckets.len() >= size
        && let Some(oldest) = buckets.iter().min_by_key(|(k, b)| (b.at, (*k).clone())).map(|(k, _)| k.clone())
    {
        buckets.remove(&oldest);
    }
    let b = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: burst, at: now });
    let passed = now.millis_since(&b.at).max(0) as f64 / 1000.0;
    b.tokens = (b.tokens + passed * f64::from(l.qps)).min(burst);
    b.at = now;
    let yes = b.tokens >= 1.0;
    if yes {
        b.tokens -= 1.0;
    }
    yes
}

impl Plugin for EventRateLimit {
    fn name(&self) -> &'static str {
        "EventRateLimit"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn validate(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        if a.kind.kind != "Event" || !matches!(a.kind.group.as_str(), "" | "events.k8s.io") || a.dry_run {
            return Ok(());
        }
        let mut over: Vec<String> = Vec::new();
        for (l, buckets) in &self.limits {
            let key = key(l.limit_type, a);
            let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
            if !take(l, &mut buckets, &key, a.now) {
                over.push(format!("limit reached on type {} for key {key}", l.limit_type.as_str()));
            }
        }
        if over.is_empty() { Ok(()) } else { Err(Status::too_many_requests(aggregate(&over), 0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn lets_bursts_through() {
        let l = EventLimit { limit_type: LimitType::Namespace, qps: 2, burst: 3, cache_size: 2 };
        let mut buckets = HashMap::new();
        let mut at = |ms: i64, k: &str| take(&l, &mut buckets, k, Timestamp::default().plus_millis(ms));
        assert_eq!([at(0, "a"), at(0, "a"), at(0, "a"), at(0, "a")], [true, true, true, false]);
        assert_eq!([at(500, "a"), at(500, "a")], [true, false]);
        assert!(at(550, "b"));
        // A third key takes the place of the one that was quiet longest, which begins anew.
        assert!(at(600, "c"));
        assert!(at(600, "a"));
        assert_eq!(
            [at(60_000, "a"), at(60_000, "a"), at(60_000, "a"), at(60_000, "a")],
            [true, true, true, false]
        );
    }

    #[test]
    fn refuses_events_only() {
        let p = EventRateLimit::new(&[EventLimit {
            limit_type: LimitType::User,
            qps: 1,
            burst: 1,
            cache_size: 0,
        }]);
        let run = |what: &str| {
            Ask::new(what).status(&p, &Store::default(), &mut json!({"metadata": {"name": "e"}}), None)
        };
        assert!(run("create events").is_ok());
        let e = run("create events").unwrap_err();
        assert_eq!((e.code, e.message.as_str()), (429, "limit reached on type User for key u"));
        assert!(run("create pods").is_ok());
    }
}
