//! Revisions, transactions, compaction, leases and watch history over a persistent ordered map: pure, no IO.
//!
//! [`State`] is the whole of it, and cloning it is cheap: a caller (the `storage` crate) applies a batch of writes to a
//! clone, makes [`State::batches_after`] of the old revision durable, and publishes the clone, or drops it when the
//! disk refused. Semantics are etcd's: the empty store is revision 1, a transaction that changes something is one
//! revision, versions count from 1 and begin again after a delete.

pub mod follow;
mod history;
mod lease;
mod load;
mod range;
mod state;
#[cfg(test)]
mod tests;
mod txn;

pub use lease::{Lease, Millis};
pub use load::{Bad, Loader};
pub use range::{KeyRange, Range, RangeResult, Snapshot, SortBy};
pub use state::{Outcome, State};
pub use txn::{Cmp, Compare, Op, OpResult, Target, Txn, TxnResult};

use bytes::Bytes;
use std::any::Any;
use std::borrow::Borrow;
use std::sync::{Arc, OnceLock};

/// A store revision; 1 is the empty store, as in etcd.
pub type Revision = i64;

/// How many keys one transaction may change: the position within a revision has this many values.
pub const MAX_CHANGES: usize = 1 << 20;

/// One immutable revision of one key, shared by reference by the store, its history, LIST, WATCH and informers.
pub struct Record {
    pub key: Arc<str>,
    /// Empty for a tombstone.
    pub value: Bytes,
    pub create_revision: Revision,
    pub mod_revision: Revision,
    /// Counts from 1; 0 is a tombstone.
    pub version: i64,
    /// 0 is no lease.
    pub lease: i64,
    /// Position among the changes of its revision.
    pub sub: u32,
    /// What the API server worked out from the value (header, other encoding); made once, lives as long as the record.
    pub ext: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Record {
    pub fn is_tombstone(&self) -> bool {
        self.version == 0
    }
    pub fn is_create(&self) -> bool {
        self.version == 1
    }
    /// The record's identity: no two have the same, and later ones compare greater.
    pub fn place(&self) -> Place {
        Place { revision: self.mod_revision, sub: self.sub }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}@{}.{} create {} version {} lease {} ({} bytes)",
            self.key,
            self.mod_revision,
            self.sub,
            self.create_revision,
            self.version,
            self.lease,
            self.value.len()
        )
    }
}

/// Where a record is in the history of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub revision: Revision,
    pub sub: u32,
}

/// One change of one key, in revision order.
#[derive(Clone, Debug)]
pub struct Event {
    /// What was written; a tombstone for a delete.
    pub record: Arc<Record>,
    /// What was there before, `None` for a create.
    pub previous: Option<Arc<Record>>,
}

/// A key in the map: ordered by its bytes, so that any byte string can bound a range.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(pub Arc<str>);

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

pub(crate) type Map = imbl::OrdMap<Key, Arc<Record>>;

/// Why a request to the state was refused; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("revision {asked} has been compacted (floor {floor})")]
    Compacted { asked: Revision, floor: Revision },
    #[error("revision {asked} is in the future (current {current})")]
    Future { asked: Revision, current: Revision },
    #[error("lease {0} not found")]
    NoLease(i64),
    #[error("lease {0} exists already")]
    LeaseExists(i64),
    #[error("a lease cannot last {0} seconds: at least 1, at most 9000000000")]
    LeaseTtl(i64),
    #[error("the key is empty")]
    EmptyKey,
    #[error("the key has no value that could be kept")]
    KeyNotFound,
    #[error("the transaction changes a key twice")]
    DuplicateKey,
    #[error("the transaction changes more than {MAX_CHANGES} keys")]
    TooManyChanges,
}
