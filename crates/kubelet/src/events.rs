//! Events of pods and the node: repeated ones are counted, sent in the background, dropped when there are too many.

use crate::pod::helpers;
use k8s_openapi::api::core::v1::Pod;
use runtime::{Clock, Runtime};
use serde_json::{Value, json};
use std::collections::HashMap;
use tokio::sync::mpsc;

const QUEUE: usize = 1000;
const MAX_KNOWN: usize = 4096;
/// Events of one object in a burst, and the seconds that give one more (client-go's spam filter).
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;

/// What happened to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub object: Value,
    pub namespace: String,
    pub kind: String,
    pub reason: String,
    pub message: String,
}

/// Where events go. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    tx: mpsc::Sender<Event>,
    node: std::sync::Arc<str>,
}

impl Recorder {
    /// A recorder and the receiver that [`run`] (or a test) reads.
    pub fn new(node: &str) -> (Self, mpsc::Receiver<Event>) {
        let (tx, rx) = mpsc::channel(QUEUE);
        (Self { tx, node: node.into() }, rx)
    }
    fn send(&self, e: Event) {
        tracing::debug!(kind = e.kind, reason = e.reason, message = e.message, object = %e.object["name"], "event");
        if self.tx.try_send(e).is_err() {
            tracing::debug!("event dropped: the queue is full");
        }
    }
    fn pod_ref(pod: &Pod, field_path: Option<String>) -> Value {
        let mut r = json!({
            "kind": "Pod", "apiVersion": "v1", "namespace": helpers::namespace(pod), "name": helpers::name(pod),
            "uid": helpers::uid(pod),
        });
        if let Some(v) = &pod.metadata.resource_version {
            r["resourceVersion"] = json!(v);
        }
        if let Some(p) = field_path {
            r["fieldPath"] = json!(p);
        }
        r
    }
    /// An event of a pod. `kind` is `Normal` or `Warning`.
    pub fn pod(&self, pod: &Pod, kind: &str, reason: &str, message: &str) {
        self.send(Event {
            object: Self::pod_ref(pod, None),
            namespace: helpers::namespace(pod).to_owned(),
            kind: kind.into(),
            reason: reason.into(),
            message: message.into(),
        });
    }
    /// An event of one container of a pod.
    pub fn container(&self, pod: &Pod, container: &str, kind: &str, reason: &str, message: &str) {
        let path = helpers::field_path(helpers::spec(pod), container);
        self.send(Event {
            object: Self::pod_ref(pod, Some(path)),
            namespace: helpers::namespace(pod).to_owned(),
            kind: kind.into(),
            reason: reason.into(),
            message: message.into(),
        });
    }
    /// An event of this node; its uid is its name, as upstream's kubelet has it.
    pub fn node(&self, kind: &str, reason: &str, message: &str) {
        let name = &*self.node;
        self.send(Event {
            object: json!({"kind": "Node", "name": name, "uid": name}),
            namespace: "default".into(),
            kind: kind.into(),
            reason: reason.into(),
            message: message.into(),
        });
    }
}

struct Known {
    name: String,
    count: u32,
}

struct Bucket {
    tokens: f64,
    at: f64,
}

/// What to send for an event: a new object, or a patch of one.
#[derive(Debug, PartialEq)]
pub enum Send {
    Create(String, Value),
    Patch(String, String, Value),
    Drop,
}

/// Counts and limits. Pure.
pub struct Correlator {
    host: String,
    known: HashMap<String, Known>,
    buckets: HashMap<String, Bucket>,
}

impl Correlator {
    pub fn new(host: &str) -> Self {
        Self { host: host.into(), known: HashMap::new(), buckets: HashMap::new() }
    }
    fn take(&mut self, key: &str, now: f64) -> bool {
        if self.buckets.len() > MAX_KNOWN {
            self.buckets.clear();
        }
        let b = self.buckets.entry(key.to_owned()).or_insert(Bucket { tokens: BURST, at: now });
        b.tokens = (b.tokens + (now - b.at) / REFILL_SECONDS).min(BURST);
        b.at = now;
        if b.tokens < 1.0 {
            return false;
        }
        b.tokens -= 1.0;
        true
    }
    pub fn plan(&mut self, e: &Event, now_nanos: i64) -> Send {
        let object = e.object.to_string();
        #[allow(clippy::cast_precision_loss, reason = "seconds for a rate limit")]
        let seconds = now_nanos as f64 / 1e9;
        if !self.take(&object, seconds) {
            return Send::Drop;
        }
        let time = helpers::time(now_nanos);
        let key = format!("{object}/{}/{}/{}", e.kind, e.reason, e.message);
        if let Some(k) = self.known.get_mut(&key) {
            k.count += 1;
            let patch = json!({"count": k.count, "lastTimestamp": time});
            return Send::Patch(e.namespace.clone(), k.name.clone(), patch);
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        let name = format!("{}.{:x}", e.object["name"].as_str().unwrap_or("event"), now_nanos);
        self.known.insert(key, Known { name: name.clone(), count: 1 });
        Send::Create(
            name.clone(),
            json!({
                "apiVersion": "v1", "kind": "Event",
                "metadata": {"name": name, "namespace": e.namespace},
                "involvedObject": e.object, "reason": e.reason, "message": cut(&e.message), "type": e.kind,
                "source": {"component": "kubelet", "host": self.host},
                "reportingComponent": "kubelet", "reportingInstance": self.host,
                "firstTimestamp": time, "lastTimestamp": time, "count": 1,
            }),
        )
    }
    /// The event is not there any more: make it anew next time.
    pub fn forget(&mut self, name: &str) {
        self.known.retain(|_, k| k.name != name);
    }
}

/// The API server takes at most 1024 bytes.
fn cut(m: &str) -> &str {
    let mut end = m.len().min(1024);
    while !m.is_char_boundary(end) {
        end -= 1;
    }
    &m[..end]
}

/// Sends events until the runtime stops.
pub async fn run(
    client: client::Client,
    host: String,
    mut rx: mpsc::Receiver<Event>,
    clock: Clock,
    rt: Runtime,
) {
    let mut c = Correlator::new(&host);
    loop {
        let e = tokio::select! { e = rx.recv() => e, () = rt.stopping() => return };
        let Some(e) = e else { return };
        // Two events at one nanosecond must not have one name.
        let result = match c.plan(&e, clock.unix_nanos()) {
            Send::Drop => continue,
            Send::Create(name, body) => {
                let path = format!("/api/v1/namespaces/{}/events", e.namespace);
                let r = client.request(http::Method::POST, &path, Some(&body)).await;
                if r.is_err() {
                    c.forget(&name);
                }
                r.map(|_| ())
            }
            Send::Patch(ns, name, body) => {
                let r = client
                    .patch::<k8s_openapi::api::core::v1::Event>(
                        Some(&ns),
                        &name,
                        "",
                        client::PatchKind::Strategic,
                        &body,
                    )
                    .await;
                if r.is_err() {
                    c.forget(&name);
                }
                r.map(|_| ())
            }
        };
        if let Err(err) = result {
            tracing::debug!(error = %err, reason = e.reason, "event not sent");
            if err.status().is_none() {
                // No server: the rest can wait.
                tokio::select! { () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}, () = rt.stopping() => return }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;

    #[test]
    fn counted_and_limited() {
        let (r, mut rx) = Recorder::new("n1");
        let p = pod(json!({"containers": [{"name": "c"}]}));
        r.container(&p, "c", "Normal", "Started", "Container started");
        let e = rx.try_recv().unwrap();
        assert_eq!(e.object["fieldPath"], "spec.containers{c}");
        let mut c = Correlator::new("n1");
        let Send::Create(name, body) = c.plan(&e, 5_000_000_000) else { panic!() };
        assert_eq!((name.as_str(), body["source"]["host"].as_str()), ("p.12a05f200", Some("n1")));
        for n in 2..=25 {
            let Send::Patch(_, again, patch) = c.plan(&e, 6_000_000_000) else { panic!("{n}") };
            assert_eq!((again.as_str(), patch["count"].as_i64()), (name.as_str(), Some(n)));
        }
        assert_eq!(c.plan(&e, 6_000_000_000), Send::Drop, "the burst is over");
        assert!(matches!(c.plan(&e, 400_000_000_000), Send::Patch(..)), "one more after five minutes");
    }
}
