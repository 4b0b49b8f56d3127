//! What the proxy tells about itself: health for load balancers, `/metrics`, `/proxyMode`. Names are upstream's
//! (`pkg/proxy/healthcheck/proxy_health.go`, `pkg/proxy/metrics`).

use k8s_openapi::api::core::v1::Node;
use runtime::Clock;
use serde_json::json;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// Changes that wait longer than this make the proxy unhealthy.
const PATIENCE: i64 = 60;
/// The cluster autoscaler's mark on a node that goes: load balancers should leave it.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";
const BUCKETS: [f64; 15] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
];

#[derive(Default)]
struct Inner {
    /// Unix seconds of the last time the kernel had everything.
    updated: i64,
    /// Since when changes wait.
    waiting: Option<i64>,
    node_goes: bool,
    syncs: u64,
    full_syncs: u64,
    failures: u64,
    seconds: f64,
    buckets: [u64; BUCKETS.len()],
    services: u64,
    deleted_flows: u64,
}

pub struct Status {
    clock: Clock,
    inner: Mutex<Inner>,
}

impl Status {
    pub fn new(clock: Clock) -> Self {
        let inner = Inner { updated: clock.unix_seconds(), ..Inner::default() };
        Self { clock, inner: Mutex::new(inner) }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner, i64) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner), self.clock.unix_seconds())
    }

    pub fn queued(&self) {
        self.with(|i, now| _ = i.waiting.get_or_insert(now));
    }

    /// The kernel has everything, after so many seconds of work.
    pub fn synced(&self, seconds: f64, full: bool, services: usize, flows: usize) {
        self.with(|i, now| {
            i.updated = now;
            i.waiting = None;
            i.syncs += 1;
            i.full_syncs += u64::from(full);
            i.seconds += seconds;
            i.services = services as u64;
            i.deleted_flows += flows as u64;
            for (n, limit) in i.buckets.iter_mut().zip(BUCKETS) {
                *n += u64::from(seconds <= limit);
            }
        });
    }

    pub fn failed(&self) {
        self.with(|i, _| i.failures += 1);
    }

    pub fn node(&self, n: Option<&Node>) {
        let taints = n.and_then(|n| n.spec.as_ref()).and_then(|s| s.taints.as_ref());
        let marked = taints.into_iter().flatten().any(|t| t.key == TO_BE_DELETED);
        let goes = marked || n.is_some_and(|n| n.metadata.deletion_timestamp.is_some());
        self.with(|i, _| i.node_goes = goes);
    }

    pub fn healthy(&self) -> bool {
        self.with(|i, now| i.waiting.is_none_or(|since| now - since < PATIENCE))
    }

    /// Answers a path: status, content type, body.
    pub fn answer(&self, path: &str) -> (u16, &'static str, String) {
        let json = "application/json";
        let path = path.split('?').next().unwrap_or_default();
        let healthy = self.healthy();
        match path {
            "/healthz" | "/livez" => {
                let (updated, now, goes) = self.with(|i, now| (i.updated, now, i.node_goes));
                // A healthy proxy with nothing to do is up to date now.
                let updated = if healthy { now } else { updated };
                let time = |t: i64| meta::time::Timestamp { seconds: t, nanos: 0 }.rfc3339();
                let mut body = json!({"lastUpdated": time(updated), "currentTime": time(now), "healthy": healthy,
                    "status": {"IPv4": {"lastUpdated": time(updated), "healthy": healthy}}});
                let ready = path == "/livez" || !goes;
                if path == "/healthz" {
                    body["nodeEligible"] = (!goes).into();
                }
                (if healthy && ready { 200 } else { 503 }, json, body.to_string())
            }
            "/proxyMode" => (200, "text/plain; charset=utf-8", "nftables".to_owned()),
            "/metrics" => (200, "text/plain; version=0.0.4; charset=utf-8", self.metrics()),
            _ => (404, "text/plain; charset=utf-8", "404 page not found\n".to_owned()),
        }
    }

    fn metrics(&self) -> String {
        self.with(|i, _| {
            let mut s = String::new();
            let head = |name: &str, kind: &str, help: &str| {
                format!("# HELP {name} [ALPHA] {help}\n# TYPE {name} {kind}\n")
            };
            let d = "kubeproxy_sync_proxy_rules_duration_seconds";
            s += &head(d, "histogram", "SyncProxyRules latency in seconds");
            for (n, limit) in i.buckets.iter().zip(BUCKETS) {
                let _ = writeln!(s, "{d}_bucket{{ip_family=\"IPv4\",le=\"{limit}\"}} {n}");
            }
            let _ = writeln!(s, "{d}_bucket{{ip_family=\"IPv4\",le=\"+Inf\"}} {}", i.syncs);
            let _ = writeln!(s, "{d}_sum{{ip_family=\"IPv4\"}} {}", i.seconds);
            let _ = writeln!(s, "{d}_count{{ip_family=\"IPv4\"}} {}", i.syncs);
            let mut one = |name: &str, kind: &str, help: &str, value: u64| {
                s += &head(name, kind, help);
                let _ = writeln!(s, "{name} {value}");
            };
            let last = u64::try_from(i.updated).unwrap_or_default();
            one(
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "gauge",
                "The last time proxy rules were successfully synced",
                last,
            );
            one(
                "kubeproxy_sync_full_proxy_rules_total",
                "counter",
                "Times the whole table was written",
                i.full_syncs,
            );
            one(
                "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                "counter",
                "Cumulative proxy nftables sync failures",
                i.failures,
            );
            one("kubeproxy_sync_proxy_rules_services", "gauge", "Services that are proxied", i.services);
            one(
                "kubeproxy_conntrack_reconciler_deleted_entries_total",
                "counter",
                "Cumulative conntrack flows deleted by conntrack reconciler",
                i.deleted_flows,
            );
            s
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn health_follows_waiting_changes_and_the_node() {
        let clock = Clock::fixed(1_700_000_000_000_000_000);
        let s = Status::new(clock.clone());
        assert_eq!(s.answer("/healthz").0, 200);
        s.queued();
        clock.advance(Duration::from_secs(61));
        assert_eq!((s.answer("/healthz").0, s.answer("/livez").0), (503, 503));
        s.synced(0.003, true, 7, 0);
        assert_eq!(s.answer("/healthz").0, 200);
        let goes = serde_json::from_value(json!({"metadata": {}, "spec": {"taints": [
            {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}}));
        s.node(Some(&goes.unwrap()));
        assert_eq!((s.answer("/healthz").0, s.answer("/livez").0, s.answer("/x").0), (503, 200, 404));
        let m = s.answer("/metrics").2;
        assert!(m.contains("le=\"0.004\"} 1") && m.contains("le=\"0.002\"} 0"), "{m}");
        assert!(m.contains("kubeproxy_sync_proxy_rules_services 7"), "{m}");
    }
}
