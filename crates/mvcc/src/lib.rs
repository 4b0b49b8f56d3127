//! Revisions, transactions, compaction, leases and watch history over a persistent ordered map: pure, no IO.
//!
//! [`State`] is the whole of it: `apply` decides what a transaction does and what must be made durable; the caller
//! (the `storage` crate) writes that down before it publishes the new state.

use bytes::Bytes;
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// A store revision; 1 is the empty store, as in etcd.
pub type Revision = i64;

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
    /// What the API server worked out from the value (header, other encoding); made once, lives as long as the record.
    pub ext: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Record {
    pub fn is_tombstone(&self) -> bool {
        self.version == 0
    }
}
