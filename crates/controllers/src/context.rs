//! What a controller is started with.

use crate::config::Config;
use crate::k8s::Timestamp;
use crate::list::Descriptor;
use client::{Client, EventRecorder, Informer, InformerFactory, Kind};
use runtime::Runtime;
use std::sync::Arc;

/// Why a reconcile failed: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Api(#[from] client::Error),
    #[error("{0}")]
    Other(String),
}

impl Error {
    pub fn other(why: impl Into<String>) -> Self {
        Self::Other(why.into())
    }
    /// The namespace is being deleted: nothing can be made in it, and nothing needs to be.
    pub fn namespace_terminating(&self) -> bool {
        matches!(self, Self::Api(e) if is_namespace_terminating(e))
    }
}

/// A creation that failed because the namespace is being deleted.
pub fn is_namespace_terminating(e: &client::Error) -> bool {
    let causes = e.status().and_then(|s| s.details.as_ref()).map(|d| d.causes.as_slice()).unwrap_or_default();
    causes.iter().any(|c| c.reason == "NamespaceTerminating")
}

/// A controller's identity, caches and surroundings. Cheap to clone.
#[derive(Clone)]
pub struct Ctx {
    pub name: &'static str,
    pub rt: Runtime,
    pub client: Client,
    pub informers: InformerFactory,
    pub events: EventRecorder,
    pub config: Arc<Config>,
}

impl Ctx {
    pub fn new(d: &Descriptor, config: &Arc<Config>, informers: &InformerFactory, rt: &Runtime) -> Self {
        let client = (config.client_for)(d.account);
        let events = EventRecorder::new(client.clone(), rt, d.component, "");
        Self {
            name: d.name,
            rt: rt.clone(),
            client,
            informers: informers.clone(),
            events,
            config: config.clone(),
        }
    }
    pub fn informer<K: Kind>(&self) -> Informer<K> {
        self.informers.informer()
    }
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.rt.clock.unix_nanos())).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
