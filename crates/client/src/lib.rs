//! kubeconfig, network and in-process transports, typed calls, informers, work queues, events, leader election.
//!
//! Everything a component needs to be a client of the API: [`Transport`] carries requests (over the network
//! [`HttpTransport`], configured by [`Config`]; in the process the API server's own), [`Client`] makes typed calls over
//! one, [`InformerFactory`] keeps shared caches of raw objects, [`Queue`] and [`run_workers`] drive reconcilers.

pub mod backoff;
pub mod config;
pub mod events;
pub mod fake;
pub mod http_transport;
pub mod informer;
pub mod kind;
pub mod leader;
pub mod peer;
pub mod queue;
mod rand;
pub mod raw;
pub mod retry;
pub mod typed;
pub mod url;
mod wire;
pub mod workers;

pub use backoff::Backoff;
pub use config::Config;
pub use events::{EventRecorder, ObjectRef};
pub use http_transport::{HttpTransport, check_key_pair, server_verifier};
pub use informer::{Event, Informer, InformerFactory, Key, RawInformer, Subscription};
pub use kind::Kind;
pub use queue::Queue;
pub use raw::{Body, Error, ListWatch, RawEvent, RawList, RawObject, RawStream, Transport};
pub use retry::retry_on_conflict;
pub use typed::{Client, ListParams, PatchKind};
pub use workers::{Outcome, run_workers};
