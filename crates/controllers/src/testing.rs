//! A cluster for tests: some controllers against the server in memory, on a paused clock.

use crate::config::Config;
use client::Client;
use client::fake::FakeApi;
use meta::object::ObjectExt;
use runtime::{Clock, Runtime};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub const START: &str = "2024-01-01T00:00:00Z";

pub struct Cluster {
    pub api: FakeApi,
    pub rt: Runtime,
}

impl Cluster {
    /// Runs the named controllers.
    pub async fn start(names: &[&str]) -> Self {
        Self::with(names, |_| {}).await
    }
    /// As [`Cluster::start`], with another configuration.
    pub async fn with(names: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let api = FakeApi::new();
        Self::on(api, names, change).await
    }
    /// On a server that has objects already.
    pub async fn on(api: FakeApi, names: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let mut rt = Runtime::new();
        let start = meta::time::Timestamp::parse(START).unwrap();
        rt.clock = Clock::fixed(start.seconds * 1_000_000_000);
        api.set_now(START);
        let transport = Arc::new(api.clone());
        let mut config = Config::new(Arc::new(move |_| Client::new(transport.clone())));
        config.controllers = names.iter().map(|s| (*s).to_owned()).collect();
        change(&mut config);
        rt.spawn("controllers", crate::run(config, rt.clone()));
        let me = Self { api, rt };
        me.settle().await;
        me
    }
    /// Lets everything run that is due within a minute of timers; the wall clock stands still.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    /// Moves the wall clock.
    pub async fn advance(&self, seconds: u64) {
        self.rt.clock.advance(Duration::from_secs(seconds));
        let now = meta::time::Timestamp { seconds: self.rt.clock.unix_seconds(), nanos: 0 };
        self.api.set_now(&now.rfc3339());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.settle().await;
    }
    /// A merge patch of anything, status included.
    pub fn patch(&self, group: &str, resource: &str, ns: &str, name: &str, patch: Value) {
        self.api.edit(group, resource, ns, name, |v| merge(v, &patch));
    }
    /// Makes a pod run and be ready, as a kubelet would.
    pub fn set_ready(&self, pod: &Value) {
        let status = json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": START}]});
        let node = if pod.str_at("spec.nodeName").is_empty() { "n1" } else { pod.str_at("spec.nodeName") };
        self.patch(
            "",
            "pods",
            pod.namespace(),
            pod.name(),
            json!({"status": status, "spec": {"nodeName": node}}),
        );
    }
    pub fn set_phase(&self, pod: &Value, phase: &str) {
        self.patch("", "pods", pod.namespace(), pod.name(), json!({"status": {"phase": phase}}));
    }
    pub fn names(&self, group: &str, resource: &str) -> Vec<String> {
        self.api.objects(group, resource).iter().map(|v| v.name().to_owned()).collect()
    }
}

fn merge(v: &mut Value, p: &Value) {
    match (v, p) {
        (Value::Object(m), Value::Object(p)) => {
            for (k, x) in p {
                if x.is_null() {
                    m.remove(k);
                } else if x.is_object() {
                    merge(m.entry(k.clone()).or_insert_with(|| json!({})), x);
                } else {
                    m.insert(k.clone(), x.clone());
                }
            }
        }
        (v, p) => *v = p.clone(),
    }
}
