//! Counters of requests, in the text format that scrapers of upstream know.

use crate::request::RequestInfo;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds, in seconds, of the duration histogram (upstream's).
const BUCKETS: [f64; 26] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 600.0,
];

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

impl Key {
    fn new(i: &RequestInfo) -> Self {
        let scope = if !i.is_resource {
            ""
        } else if !i.name.is_empty() && i.name_in_path {
            "resource"
        } else if i.namespace.is_empty() {
            "cluster"
        } else {
            "namespace"
        };
        let verb = match i.verb.as_str() {
            "get" => "GET",
            "list" => "LIST",
            "watch" => "WATCH",
            "create" => "POST",
            "update" => "PUT",
            "patch" => "PATCH",
            "delete" => "DELETE",
            "deletecollection" => "DELETECOLLECTION",
            "post" => "POST",
            "put" => "PUT",
            _ => "other",
        };
        Self {
            verb: verb.to_owned(),
            group: i.group.clone(),
            version: i.version.clone(),
            resource: i.resource.clone(),
            subresource: i.subresource.clone(),
            scope,
        }
    }
    fn labels(&self) -> String {
        format!(
            "component=\"apiserver\",group={:?},resource={:?},scope={:?},subresource={:?},verb={:?},version={:?}",
            self.group, self.resource, self.scope, self.subresource, self.verb, self.version
        )
    }
}

#[derive(Default)]
struct Durations {
    counts: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

#[derive(Default)]
struct Inner {
    total: BTreeMap<(Key, u16), u64>,
    durations: BTreeMap<Key, Durations>,
    in_flight: BTreeMap<&'static str, i64>,
    long_running: BTreeMap<Key, i64>,
}

/// The server's counters.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Inner>>);

/// More different keys than this (paths that clients made up) are counted as one.
const MAX_KEYS: usize = 5_000;

/// A request in flight.
pub struct Counted {
    m: Metrics,
    key: Key,
    kind: Option<&'static str>,
}

impl Metrics {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
    pub fn begin(&self, i: &RequestInfo) -> Counted {
        let kind = (!i.long_running()).then_some(if i.mutating() { "mutating" } else { "readOnly" });
        if let Some(k) = kind {
            self.with(|m| *m.in_flight.entry(k).or_default() += 1);
        }
        Counted { m: self.clone(), key: Key::new(i), kind }
    }
    /// A request that lasts; counted until the answer is dropped.
    pub fn long_running(&self, i: &RequestInfo, _what: &str) -> LongRunning {
        let key = Key::new(i);
        self.with(|m| *m.long_running.entry(key.clone()).or_default() += 1);
        LongRunning { m: self.clone(), key }
    }

    /// All families, and `extra` lines of other parts of the server.
    pub fn text(&self, extra: &str) -> String {
        let mut out = String::with_capacity(16 * 1024);
        self.with(|m| {
            let w = &mut out;
            // Writing to a string does not fail.
            let mut line = |s: std::fmt::Arguments<'_>| {
                let _ = w.write_fmt(s);
            };
            line(format_args!("# HELP apiserver_request_total Requests answered.\n# TYPE apiserver_request_total counter\n"));
            for ((k, code), n) in &m.total {
                line(format_args!("apiserver_request_total{{code=\"{code}\",dry_run=\"\",{}}} {n}\n", k.labels()));
            }
            line(format_args!("# HELP apiserver_request_duration_seconds Time to answer, in seconds.\n# TYPE apiserver_request_duration_seconds histogram\n"));
            for (k, d) in &m.durations {
                let l = k.labels();
                let mut cumulated = 0;
                for (b, n) in BUCKETS.iter().zip(d.counts) {
                    cumulated += n;
                    line(format_args!("apiserver_request_duration_seconds_bucket{{dry_run=\"\",{l},le=\"{b}\"}} {cumulated}\n"));
                }
                line(format_args!("apiserver_request_duration_seconds_bucket{{dry_run=\"\",{l},le=\"+Inf\"}} {}\n", d.count));
                line(format_args!("apiserver_request_duration_seconds_sum{{dry_run=\"\",{l}}} {}\n", d.sum));
                line(format_args!("apiserver_request_duration_seconds_count{{dry_run=\"\",{l}}} {}\n", d.count));
            }
            line(format_args!("# HELP apiserver_current_inflight_requests Requests being answered.\n# TYPE apiserver_current_inflight_requests gauge\n"));
            for (k, n) in &m.in_flight {
                line(format_args!("apiserver_current_inflight_requests{{request_kind=\"{k}\"}} {n}\n"));
            }
            line(format_args!("# HELP apiserver_longrunning_requests Watches and other lasting requests.\n# TYPE apiserver_longrunning_requests gauge\n"));
            for (k, n) in &m.long_running {
                line(format_args!("apiserver_longrunning_requests{{{}}} {n}\n", k.labels()));
            }
        });
        out.push_str(extra);
        out
    }
}

impl Counted {
    pub fn end(mut self, code: u16, took: Duration) {
        let key = self.key.clone();
        self.m.with(|m| {
            if m.total.len() < MAX_KEYS || m.total.contains_key(&(key.clone(), code)) {
                *m.total.entry((key.clone(), code)).or_default() += 1;
            }
            if self.kind.is_some() && (m.durations.len() < MAX_KEYS || m.durations.contains_key(&key)) {
                let d = m.durations.entry(key).or_default();
                let s = took.as_secs_f64();
                if let Some(i) = BUCKETS.iter().position(|b| s <= *b) {
                    d.counts[i] += 1;
                }
                d.sum += s;
                d.count += 1;
            }
        });
        self.release();
    }
    fn release(&mut self) {
        if let Some(k) = self.kind.take() {
            self.m.with(|m| *m.in_flight.entry(k).or_default() -= 1);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.release();
    }
}

/// A lasting request.
pub struct LongRunning {
    m: Metrics,
    key: Key,
}

impl Drop for LongRunning {
    fn drop(&mut self) {
        self.m.with(|m| {
            if let Some(n) = m.long_running.get_mut(&self.key) {
                *n -= 1;
                if *n <= 0 {
                    m.long_running.remove(&self.key);
                }
            }
        });
    }
}

impl crate::ApiServer {
    /// Lines about the store and what it holds.
    pub fn extra_metrics(&self) -> String {
        let snap = self.store.cached();
        let mut out = format!(
            "# HELP apiserver_storage_size_bytes Bytes of the store on disk.\n# TYPE apiserver_storage_size_bytes gauge\napiserver_storage_size_bytes{{storage_cluster_id=\"etcd-0\"}} {}\n# HELP apiserver_resource_objects Stored objects by resource.\n# TYPE apiserver_resource_objects gauge\n",
            self.store.size()
        );
        self.fair.metrics(&mut out);
        let mut seen = Vec::new();
        for i in self.registry().iter().filter(|i| i.stored()) {
            if seen.contains(&i.prefix) {
                continue;
            }
            seen.push(i.prefix.clone());
            let (g, r) = (&i.gvr.group, &i.gvr.resource);
            let _ = writeln!(
                out,
                "apiserver_resource_objects{{group={g:?},resource={r:?}}} {}",
                snap.count(&i.prefix)
            );
        }
        out
    }
}
