//! Counters of requests, in the text format that scrapers of upstream know.

use crate::request::RequestInfo;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Upper bounds, in seconds, of the duration histogram (upstream's).
const BUCKETS: [f64; 26] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 600.0,
];

/// What requests are counted by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Labels<'a> {
    verb: &'static str,
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    subresource: &'a str,
    scope: &'static str,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

impl<'a> Labels<'a> {
    fn new(i: &'a RequestInfo) -> Self {
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
            verb,
            group: &i.group,
            version: &i.version,
            resource: &i.resource,
            subresource: &i.subresource,
            scope,
        }
    }
    fn key(&self) -> Key {
        Key {
            verb: self.verb,
            group: self.group.to_owned(),
            version: self.version.to_owned(),
            resource: self.resource.to_owned(),
            subresource: self.subresource.to_owned(),
            scope: self.scope,
        }
    }
}

impl Key {
    fn labels(&self) -> String {
        format!(
            "component=\"apiserver\",group={:?},resource={:?},scope={:?},subresource={:?},verb={:?},version={:?}",
            self.group, self.resource, self.scope, self.subresource, self.verb, self.version
        )
    }
    fn borrowed(&self) -> Labels<'_> {
        Labels {
            verb: self.verb,
            group: &self.group,
            version: &self.version,
            resource: &self.resource,
            subresource: &self.subresource,
            scope: self.scope,
        }
    }
}

#[derive(Default)]
struct Durations {
    counts: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

#[derive(Default)]
struct Totals {
    codes: BTreeMap<u16, u64>,
    durations: Durations,
}

/// The requests with the same labels.
struct Family {
    key: Key,
    totals: Mutex<Totals>,
    long_running: AtomicI64,
}

#[derive(Default)]
struct Inner {
    /// By the hash of their labels.
    families: RwLock<HashMap<u64, Vec<Arc<Family>>>>,
    hasher: RandomState,
    mutating: AtomicI64,
    reading: AtomicI64,
}

/// The server's counters.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Inner>);

/// More different labels than this (paths that clients made up) are counted as one.
const MAX_KEYS: usize = 5_000;

/// A request in flight.
pub struct Counted {
    m: Metrics,
    family: Arc<Family>,
    /// Whether it changes something; `None` for those that last, and those that have ended.
    mutating: Option<bool>,
    timed: bool,
}

impl Inner {
    fn in_flight(&self, mutating: bool) -> &AtomicI64 {
        if mutating { &self.mutating } else { &self.reading }
    }
    fn family(&self, l: Labels<'_>) -> Arc<Family> {
        let hash = self.hasher.hash_one(l);
        let find = |all: &HashMap<u64, Vec<Arc<Family>>>| {
            all.get(&hash)?.iter().find(|f| f.key.borrowed() == l).cloned()
        };
        if let Some(f) = find(&self.families.read().unwrap_or_else(PoisonError::into_inner)) {
            return f;
        }
        let mut all = self.families.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(f) = find(&all) {
            return f;
        }
        if all.len() >= MAX_KEYS {
            let none =
                Labels { verb: "other", group: "", version: "", resource: "", subresource: "", scope: "" };
            drop(all);
            return self.other(none);
        }
        let f = Arc::new(Family::new(l.key()));
        all.entry(hash).or_default().push(f.clone());
        f
    }
    /// What is counted as one.
    fn other(&self, none: Labels<'_>) -> Arc<Family> {
        let mut all = self.families.write().unwrap_or_else(PoisonError::into_inner);
        let same = all.entry(self.hasher.hash_one(none)).or_default();
        if let Some(f) = same.iter().find(|f| f.key.borrowed() == none) {
            return f.clone();
        }
        let f = Arc::new(Family::new(none.key()));
        same.push(f.clone());
        f
    }
    /// All of them, in order.
    fn all(&self) -> Vec<Arc<Family>> {
        let all = self.families.read().unwrap_or_else(PoisonError::into_inner);
        let mut v: Vec<_> = all.values().flatten().cloned().collect();
        v.sort_by(|a, b| a.key.cmp(&b.key));
        v
    }
}

impl Family {
    fn new(key: Key) -> Self {
        Self { key, totals: Mutex::default(), long_running: AtomicI64::new(0) }
    }
    fn totals<T>(&self, f: impl FnOnce(&mut Totals) -> T) -> T {
        f(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Metrics {
    pub fn begin(&self, i: &RequestInfo) -> Counted {
        let mutating = (!i.long_running()).then(|| i.mutating());
        if let Some(m) = mutating {
            self.0.in_flight(m).fetch_add(1, Ordering::Relaxed);
        }
        let family = self.0.family(Labels::new(i));
        Counted { m: self.clone(), family, mutating, timed: mutating.is_some() }
    }
    /// A request that lasts; counted until the answer is dropped.
    pub fn long_running(&self, i: &RequestInfo, _what: &str) -> LongRunning {
        let family = self.0.family(Labels::new(i));
        family.long_running.fetch_add(1, Ordering::Relaxed);
        LongRunning(family)
    }

    /// All families, and `extra` lines of other parts of the server.
    pub fn text(&self, extra: &str) -> String {
        let mut out = String::with_capacity(16 * 1024);
        let w = &mut out;
        // Writing to a string does not fail.
        let mut line = |s: std::fmt::Arguments<'_>| {
            let _ = w.write_fmt(s);
        };
        let families: Vec<(String, Arc<Family>)> =
            self.0.all().into_iter().map(|f| (f.key.labels(), f)).collect();
        line(format_args!(
            "# HELP apiserver_request_total Requests answered.\n# TYPE apiserver_request_total counter\n"
        ));
        for (l, f) in &families {
            for (code, n) in f.totals(|t| t.codes.clone()) {
                line(format_args!("apiserver_request_total{{code=\"{code}\",dry_run=\"\",{l}}} {n}\n"));
            }
        }
        line(format_args!(
            "# HELP apiserver_request_duration_seconds Time to answer, in seconds.\n# TYPE apiserver_request_duration_seconds histogram\n"
        ));
        for (l, f) in &families {
            let (counts, sum, count) = f.totals(|t| (t.durations.counts, t.durations.sum, t.durations.count));
            if count == 0 {
                continue;
            }
            let mut cumulated = 0;
            for (b, n) in BUCKETS.iter().zip(counts) {
                cumulated += n;
                line(format_args!(
                    "apiserver_request_duration_seconds_bucket{{dry_run=\"\",{l},le=\"{b}\"}} {cumulated}\n"
                ));
            }
            line(format_args!(
                "apiserver_request_duration_seconds_bucket{{dry_run=\"\",{l},le=\"+Inf\"}} {count}\n"
            ));
            line(format_args!("apiserver_request_duration_seconds_sum{{dry_run=\"\",{l}}} {sum}\n"));
            line(format_args!("apiserver_request_duration_seconds_count{{dry_run=\"\",{l}}} {count}\n"));
        }
        line(format_args!(
            "# HELP apiserver_current_inflight_requests Requests being answered.\n# TYPE apiserver_current_inflight_requests gauge\n"
        ));
        for (kind, n) in [("mutating", &self.0.mutating), ("readOnly", &self.0.reading)] {
            let n = n.load(Ordering::Relaxed);
            line(format_args!("apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {n}\n"));
        }
        line(format_args!(
            "# HELP apiserver_longrunning_requests Watches and other lasting requests.\n# TYPE apiserver_longrunning_requests gauge\n"
        ));
        for (l, f) in &families {
            let n = f.long_running.load(Ordering::Relaxed);
            if n > 0 {
                line(format_args!("apiserver_longrunning_requests{{{l}}} {n}\n"));
            }
        }
        out.push_str(extra);
        out
    }
}

impl Counted {
    pub fn end(mut self, code: u16, took: Duration) {
        let timed = self.timed;
        self.family.totals(|t| {
            *t.codes.entry(code).or_default() += 1;
            if timed {
                let (d, s) = (&mut t.durations, took.as_secs_f64());
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
        if let Some(mutating) = self.mutating.take() {
            self.m.0.in_flight(mutating).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.release();
    }
}

/// A lasting request.
pub struct LongRunning(Arc<Family>);

impl Drop for LongRunning {
    fn drop(&mut self) {
        self.0.long_running.fetch_sub(1, Ordering::Relaxed);
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
