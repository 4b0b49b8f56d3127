//! kubeconfig, network and in-process transports, typed calls, informers, work queues, events, leader election.

pub mod raw;
pub mod typed;

pub use raw::{Body, Error, ListWatch, RawEvent, RawList, RawObject, RawStream, Transport};
pub use typed::{Client, Kind, ListParams, PatchKind};
