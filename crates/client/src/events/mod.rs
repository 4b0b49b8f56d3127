//! Events about objects (client-go `tools/record`): bounded, merged with those before, rate limited, written in the
//! background. Recording never waits and never fails.

mod correlator;

use crate::informer::Key;
use crate::kind::Kind;
use crate::raw::Error;
use crate::typed::{Client, PatchKind};
use crate::url;
use correlator::{Correlator, Verdict};
use http::Method;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use runtime::Runtime;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::mpsc;

/// How many events may wait to be written; more are dropped.
const WAITING: usize = 1000;
const ATTEMPTS: u32 = 12;

/// The object an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ObjectRef {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    pub field_path: String,
}

impl ObjectRef {
    pub fn of<K: Kind>(o: &K) -> Self {
        let m = o.metadata();
        Self {
            api_version: K::API_VERSION.into(),
            kind: K::KIND.into(),
            namespace: m.namespace.clone().unwrap_or_default(),
            name: m.name.clone().unwrap_or_default(),
            uid: m.uid.clone().unwrap_or_default(),
            resource_version: m.resource_version.clone().unwrap_or_default(),
            field_path: String::new(),
        }
    }
    /// Of a kind known by name only, as for nodes of which only the name matters.
    pub fn named(api_version: &str, kind: &str, key: &Key, uid: &str) -> Self {
        Self {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: uid.into(),
            ..Self::default()
        }
    }
    fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: text(&self.api_version),
            kind: text(&self.kind),
            namespace: text(&self.namespace),
            name: text(&self.name),
            uid: text(&self.uid),
            resource_version: text(&self.resource_version),
            field_path: text(&self.field_path),
        }
    }
}

fn text(s: &str) -> Option<String> {
    Some(s.to_owned()).filter(|s| !s.is_empty())
}

/// Records events for one component. Cheap to clone.
#[derive(Clone)]
pub struct EventRecorder {
    queue: Option<mpsc::Sender<Event>>,
    clock: runtime::Clock,
    component: String,
    host: String,
}

impl EventRecorder {
    /// Starts the writer.
    pub fn new(client: Client, rt: &Runtime, component: &str, host: &str) -> Self {
        let (tx, rx) = mpsc::channel(WAITING);
        rt.spawn_until_stop("event-writer", write(client, rx));
        Self { queue: Some(tx), clock: rt.clock.clone(), component: component.into(), host: host.into() }
    }
    /// One that drops everything.
    pub fn none() -> Self {
        Self { queue: None, clock: runtime::Clock::system(), component: String::new(), host: String::new() }
    }
    /// Records `type` `Normal` or `Warning`.
    pub fn event(&self, about: &ObjectRef, kind: &str, reason: &str, message: impl Into<String>) {
        self.annotated(about, kind, reason, message, &[]);
    }
    pub fn normal<K: Kind>(&self, about: &K, reason: &str, message: impl Into<String>) {
        self.event(&ObjectRef::of(about), "Normal", reason, message);
    }
    pub fn warning<K: Kind>(&self, about: &K, reason: &str, message: impl Into<String>) {
        self.event(&ObjectRef::of(about), "Warning", reason, message);
    }
    /// With annotations.
    pub fn annotated(
        &self,
        about: &ObjectRef,
        kind: &str,
        reason: &str,
        message: impl Into<String>,
        annotations: &[(&str, &str)],
    ) {
        self.record(about, kind, reason, message.into(), annotations, |_| {});
    }
    /// With what was done or failed, and what else it concerns, as events.k8s.io has it.
    pub fn acted(
        &self,
        about: &ObjectRef,
        related: Option<&ObjectRef>,
        kind: &str,
        (reason, action): (&str, &str),
        message: impl Into<String>,
    ) {
        self.record(about, kind, reason, message.into(), &[], |e| {
            e.action = Some(action.to_owned());
            e.related = related.map(ObjectRef::reference);
        });
    }
    fn record(
        &self,
        about: &ObjectRef,
        kind: &str,
        reason: &str,
        message: String,
        annotations: &[(&str, &str)],
        more: impl FnOnce(&mut Event),
    ) {
        let Some(queue) = &self.queue else { return };
        let nanos = self.clock.unix_nanos();
        let now = Timestamp::from_nanosecond(i128::from(nanos)).map(Time).ok();
        let namespace = if about.namespace.is_empty() { "default" } else { &about.namespace };
        let mut event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{nanos:x}", about.name)),
                namespace: Some(namespace.to_owned()),
                annotations: (!annotations.is_empty())
                    .then(|| annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
                ..ObjectMeta::default()
            },
            involved_object: about.reference(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            first_timestamp: now.clone(),
            last_timestamp: now,
            count: Some(1),
            type_: Some(kind.to_owned()),
            source: Some(EventSource { component: text(&self.component), host: text(&self.host) }),
            reporting_component: text(&self.component),
            reporting_instance: text(&self.host),
            ..Event::default()
        };
        more(&mut event);
        if queue.try_send(event).is_err() {
            tracing::debug!(reason, "too many events wait to be written: one is dropped");
        }
    }
}

async fn write(client: Client, mut queue: mpsc::Receiver<Event>) {
    let mut correlator = Correlator::default();
    while let Some(event) = queue.recv().await {
        let now = event.last_timestamp.as_ref().map_or(0, |t| t.0.as_second());
        let (key, verdict) = correlator.judge(event, now);
        let Some(written) = send(&client, verdict).await else { continue };
        correlator.written(&key, &written);
    }
}

/// Creates an event. What comes back would be the event itself: it is not decoded.
async fn create(client: &Client, e: &Event) -> Result<(), Error> {
    let path = url::collection("", "v1", "events", e.metadata.namespace.as_deref());
    let body = serde_json::to_vec(e).map_err(|e| Error::Config(format!("encoding an event: {e}")))?;
    client.send(Method::POST, &path, Some(body.into()), "application/json").await.map(drop)
}

async fn count(client: &Client, e: &Event, patch: &Value) -> Result<(), Error> {
    let (ns, name) = (e.metadata.namespace.as_deref(), e.metadata.name.as_deref().unwrap_or_default());
    let path = url::object("", "v1", "events", ns, name, "");
    match client.patch_path(&path, PatchKind::Strategic, patch).await {
        // It is kept for an hour only: begin anew.
        Err(e) if e.is_not_found() => {}
        other => return other.map(drop),
    }
    create(client, e).await
}

/// Writes what was judged; answers the event that is there now.
async fn send(client: &Client, verdict: Verdict) -> Option<Event> {
    for attempt in 1..=ATTEMPTS {
        let result = match &verdict {
            Verdict::Drop => return None,
            Verdict::Create(e) => create(client, e).await,
            Verdict::Patch { event, patch } => count(client, event, patch).await,
        };
        match result {
            Ok(()) => {
                return match verdict {
                    Verdict::Drop => None,
                    Verdict::Create(event) | Verdict::Patch { event, .. } => Some(*event),
                };
            }
            Err(e) if e.status().is_some_and(|s| s.code < 500 && s.code != 429) => {
                tracing::debug!("the server refused an event: {e}");
                return None;
            }
            Err(e) if attempt == ATTEMPTS => tracing::debug!("giving up on an event: {e}"),
            Err(_) => tokio::time::sleep(crate::rand::jitter(Duration::from_secs(5), 1.0)).await,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeApi;
    use crate::typed::ListParams;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn repeated_events_become_counts() {
        let api = FakeApi::new();
        let client = Client::new(Arc::new(api.clone()));
        let mut rt = Runtime::new();
        rt.clock = runtime::Clock::fixed(1_000_000_000_000);
        let rec = EventRecorder::new(client.clone(), &rt, "tester", "h");
        let about = ObjectRef {
            kind: "Pod".into(),
            namespace: "ns".into(),
            name: "p".into(),
            ..ObjectRef::default()
        };
        for _ in 0..3 {
            rec.event(&about, "Normal", "Started", "it runs");
            rt.clock.advance(Duration::from_secs(1));
        }
        rec.event(&about, "Normal", "Started", "another");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let all: Vec<Event> = client.list(Some("ns"), &ListParams::default()).await.unwrap();
        let mut got: Vec<_> = all.iter().map(|e| (e.message.as_deref().unwrap(), e.count.unwrap())).collect();
        got.sort_unstable();
        assert_eq!(got, [("another", 1), ("it runs", 3)]);
        let e = all.iter().find(|e| e.count == Some(3)).unwrap();
        assert_eq!(e.first_timestamp.as_ref().unwrap().0.as_second(), 1000);
        assert_eq!(e.last_timestamp.as_ref().unwrap().0.as_second(), 1002);
    }
}
