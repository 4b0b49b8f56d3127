//! The storage trait of the API server and its homes: embedded SQLite with group commit, and what a store elsewhere
//! needs to be followed.
//!
//! Semantics are etcd's: one revision counter, compare-and-set on a key's mod revision, watch from a revision,
//! compaction, leases. A write answers only once it is durable. Reads come from memory.

mod backup;
mod crc;
mod disk;
mod embedded;
mod gone;
mod lock;
mod mirror;
mod timers;
mod watch;
mod writer;

pub use embedded::{Embedded, Options};
pub use gone::{Waiting, gone};
pub use mirror::Mirror;
pub use mvcc::follow::Change;
pub use mvcc::{Event, Outcome, Record, Revision};
pub use watch::Watcher;

use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Why a storage call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("revision {asked} has been compacted (floor {floor})")]
    Compacted { asked: Revision, floor: Revision },
    #[error("revision {asked} is in the future (current {current})")]
    Future { asked: Revision, current: Revision },
    #[error("lease {0} not found")]
    NoLease(i64),
    #[error("request is too large: {0} bytes")]
    TooLarge(usize),
    #[error("the store is shutting down")]
    Closed,
    /// The disk refused. The write did not happen; another try may succeed.
    #[error("{0}")]
    Io(String),
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(#[source] mvcc::Error),
}

impl From<mvcc::Error> for Error {
    fn from(e: mvcc::Error) -> Self {
        match e {
            mvcc::Error::Compacted { asked, floor } => Self::Compacted { asked, floor },
            mvcc::Error::Future { asked, current } => Self::Future { asked, current },
            mvcc::Error::NoLease(id) => Self::NoLease(id),
            e => Self::Invalid(e),
        }
    }
}

/// What a watcher receives.
#[derive(Clone, Debug)]
pub enum WatchItem {
    /// All events of one revision or of one commit, in order; never empty.
    Events(Arc<[Event]>),
    /// Everything up to and with this revision has been delivered. The embedded store says so once, when a watch that
    /// began in the past has caught up; [`Watch::progress`] tells it at any time.
    Progress(Revision),
    /// The watcher fell behind the history that is kept, or too far behind: it must list again. Nothing follows.
    Lagged,
}

/// An immutable view of all keys at one revision: cheap to clone, never blocks writers.
pub trait View: Send + Sync {
    fn revision(&self) -> Revision;
    fn get(&self, key: &str) -> Option<Arc<Record>>;
    /// Records whose key starts with `prefix` and is at or after `start` (when not empty), in key order; the callback
    /// answers whether to go on.
    fn scan(&self, prefix: &str, start: &str, f: &mut dyn FnMut(&Arc<Record>) -> bool);
    /// Number of keys under `prefix`.
    fn count(&self, prefix: &str) -> usize;
}
pub type Snapshot = Arc<dyn View>;

/// Events of keys under a prefix.
pub trait Watch: Send {
    /// The next item, or this task is woken when there is one; `None` when the store is closing.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<WatchItem>>;
    /// Waits for the next item. Dropping the future loses nothing.
    fn next(&mut self) -> BoxFuture<'_, Option<WatchItem>> {
        Box::pin(std::future::poll_fn(|cx| self.poll_next(cx)))
    }
    /// The revision up to which `next` has delivered everything: what a bookmark may say now.
    fn progress(&self) -> Revision;
}

/// The API server's store. Keys begin with `/registry/`.
pub trait Storage: Send + Sync + 'static {
    /// The newest durable state: what a consistent read sees.
    fn latest(&self) -> BoxFuture<'_, Result<Snapshot, Error>>;
    /// The state as far as this process knows it, at once (for the embedded store the same as `latest`).
    fn cached(&self) -> Snapshot;
    /// The state at a past revision.
    fn at(&self, revision: Revision) -> BoxFuture<'_, Result<Snapshot, Error>>;
    /// Writes `value` if the key's mod revision is `expected` (0: the key must be absent; `None`: whatever it is).
    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Option<Revision>,
        lease: i64,
    ) -> BoxFuture<'a, Result<Outcome, Error>>;
    /// Deletes the key if its mod revision is `expected`. An absent key is `Conflict(None)`.
    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Revision>,
    ) -> BoxFuture<'a, Result<Outcome, Error>>;
    /// Events under `prefix` after revision `after`, which may be in the future.
    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, Error>;
    /// A lease of `ttl` seconds; keys written with it go when it ends. Leases may be shared by keys of near expiry.
    fn lease(&self, ttl: i64) -> BoxFuture<'_, Result<i64, Error>>;
    /// Forgets history before `revision`.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>>;
    /// Bytes on disk, for metrics.
    fn size(&self) -> u64;
    /// Whether the store answers: what readiness asks.
    fn health(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// Whether other servers may write there too.
    fn shared(&self) -> bool {
        false
    }
}
