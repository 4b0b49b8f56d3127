//! What clients saw of a store: operations with their beginnings and ends, watch streams, leases, and the store's own
//! account of its past. Nothing here judges; that is `model`'s.

use std::sync::Arc;

pub type Rev = i64;
/// Nanoseconds since the test began.
pub type Nanos = u64;
pub type Key = Arc<str>;

/// A key as a client was told it. A value is the number of the operation that wrote it: its bytes follow from that and
/// were compared when they arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kv {
    pub key: Key,
    pub value: Value,
    pub created: Rev,
    pub modified: Rev,
    pub version: i64,
    pub lease: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Of(u64),
    /// Bytes that no operation of this test wrote.
    Torn,
}

/// Keys from the first to before the second; an empty end is no bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Key,
    pub to: Key,
}

impl Span {
    pub fn all() -> Self {
        Self { from: "\0".into(), to: "".into() }
    }
    pub fn one(key: &str) -> Self {
        Self { from: key.into(), to: format!("{key}\0").into() }
    }
    pub fn under(prefix: &str) -> Self {
        // Prefixes here end with a character that has a next one.
        let mut to = prefix.to_owned();
        if let Some(c) = to.pop() {
            to.push(char::from_u32(c as u32 + 1).unwrap_or(c));
        }
        Self { from: prefix.into(), to: to.into() }
    }
    pub fn contains(&self, key: &str) -> bool {
        *key >= *self.from && (self.to.is_empty() || *key < *self.to)
    }
}

#[derive(Clone, Debug)]
pub struct Op {
    /// Unique in a test, never 0; the value of what it puts.
    pub id: u64,
    pub start: Nanos,
    /// `Nanos::MAX` when it was never heard of again.
    pub end: Nanos,
    pub call: Call,
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
pub enum Call {
    /// Changes keys in one transaction, if the key's mod revision is the expected one (0: absent).
    Write { changes: Vec<Change>, expected: Option<(Key, Rev)> },
    /// At a revision; 0 is the newest.
    Read { keys: Span, at: Rev },
}

#[derive(Clone, Debug)]
pub struct Change {
    pub key: Key,
    /// Or deletes.
    pub puts: bool,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    /// The write is that revision.
    Done(Rev),
    /// It was done; at which revision was not told.
    DoneSome,
    /// There was nothing to delete at that revision.
    Nothing(Rev),
    /// The comparison was false at that revision: this is the key.
    Conflict(Rev, Option<Kv>),
    /// Read at a header's revision.
    Found(Rev, Vec<Kv>),
    /// The store promised that it did not happen.
    Refused(String),
    /// It may have happened, or happen yet.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Of a delete only key and mod revision are meaningful.
    pub kv: Kv,
    pub gone: bool,
    /// What was superseded, where the watch asked for it.
    pub previous: Option<Kv>,
}

/// One watch from a client's view: over reconnections, each from the revision after the last one told.
#[derive(Clone, Debug)]
pub struct Stream {
    pub name: String,
    pub keys: Span,
    /// The first revision asked for.
    pub from: Rev,
    pub items: Vec<(Nanos, Item)>,
    /// It was to be told everything up to this revision.
    pub until: Rev,
    /// Events came with what they superseded.
    pub previous: bool,
}

#[derive(Clone, Debug)]
pub enum Item {
    Event(Event),
    /// Everything up to this revision was delivered, says the store.
    Progress(Rev),
    /// Ended by the store: what was asked for had been compacted up to there.
    Compacted(Rev),
}

#[derive(Clone, Debug)]
pub struct Lease {
    pub id: i64,
    pub ttl: Nanos,
    /// Beginnings and ends of the grant and of the renewals that were acknowledged.
    pub renewed: Vec<(Nanos, Nanos)>,
    /// When somebody began to revoke it.
    pub revoked: Option<Nanos>,
}

/// What the store says its past was: every event after `base`, and the keys at `base`.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub base: Rev,
    pub keys: Vec<Kv>,
    pub events: Vec<Event>,
    /// The newest revision.
    pub head: Rev,
}

#[derive(Clone, Debug, Default)]
pub struct History {
    pub ops: Vec<Op>,
    pub streams: Vec<Stream>,
    pub leases: Vec<Lease>,
    pub log: Log,
    /// Every revision changes a key that the log shows, and keys come with their counters. Not so through the
    /// Kubernetes API, where others write, too.
    pub dense: bool,
    /// When the subject last started, and when the keys of the log were read.
    pub up_since: Nanos,
    pub read_at: Nanos,
}
