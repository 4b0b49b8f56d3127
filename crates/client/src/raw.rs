//! The transport below the typed client: HTTP requests, and lists and watches as raw objects.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use schema::Header;
use std::sync::Arc;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered, with a failure.
    #[error("{0}")]
    Status(Box<meta::Status>),
    /// No answer came.
    #[error("{0}")]
    Transport(String),
    /// The answer is not what was asked for.
    #[error("decoding the answer: {0}")]
    Decode(String),
    #[error("{0}")]
    Config(String),
}

impl Error {
    pub fn status(&self) -> Option<&meta::Status> {
        if let Self::Status(s) = self { Some(s) } else { None }
    }
    pub fn is(&self, r: meta::Reason) -> bool {
        self.status().is_some_and(|s| s.is(r))
    }
    pub fn is_not_found(&self) -> bool {
        self.is(meta::Reason::NotFound)
    }
    pub fn is_conflict(&self) -> bool {
        self.is(meta::Reason::Conflict)
    }
    pub fn is_already_exists(&self) -> bool {
        self.is(meta::Reason::AlreadyExists)
    }
}

/// An object as it is stored: shared bytes and the header that indexes need.
#[derive(Clone)]
pub struct RawObject {
    pub header: Arc<Header>,
    pub resource_version: u64,
    /// A bare protobuf message (without envelope), or JSON when `json`. The resourceVersion inside may be empty or old.
    pub body: Bytes,
    pub json: bool,
}

#[derive(Clone)]
pub enum RawEvent {
    Added(RawObject),
    Modified(RawObject),
    Deleted(RawObject),
    Bookmark(u64),
    /// An ERROR event: 410 means list again.
    Error(Box<meta::Status>),
}

pub struct RawList {
    pub resource_version: u64,
    pub items: Vec<RawObject>,
}

pub type RawStream = BoxStream<'static, Result<RawEvent, Error>>;

/// What to list and watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListWatch {
    pub group: String,
    pub version: String,
    pub resource: String,
    /// Empty: all namespaces, or a cluster-scoped resource.
    pub namespace: String,
    pub label_selector: String,
    pub field_selector: String,
    /// Only the header of objects is of interest: a network transport asks for `PartialObjectMetadata`.
    pub metadata_only: bool,
}

/// Carries requests to an API server: over the network, or into the one in this process.
pub trait Transport: Send + Sync + 'static {
    /// One HTTP exchange. The URI is a path and query; the transport adds address and credentials.
    fn call(&self, req: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Body>, Error>>;
    /// Whether lists and watches hand out whole objects at no cost: then nobody needs to ask for headers only.
    fn whole_objects(&self) -> bool {
        false
    }
    /// All objects at the newest revision.
    fn list(&self, what: ListWatch) -> BoxFuture<'_, Result<RawList, Error>>;
    /// Changes after a resource version, with bookmarks.
    fn watch(&self, what: ListWatch, resource_version: u64) -> BoxFuture<'_, Result<RawStream, Error>>;
}
