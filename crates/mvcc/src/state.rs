//! The state and its single-key writes.

use crate::lease::Leases;
use crate::{Error, Event, Key, Map, Record, Revision, Snapshot};
use bytes::Bytes;
use imbl::{OrdMap, Vector};
use std::sync::{Arc, OnceLock};

/// The outcome of a conditional write.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It happened; the record written (a tombstone for a delete).
    Done(Arc<Record>),
    /// The key's mod revision was another one; its record now, `None` when absent.
    Conflict(Option<Arc<Record>>),
}

/// Keys, history since the compaction floor, and leases. Cloning takes constant time and shares everything.
#[derive(Clone)]
pub struct State {
    pub(crate) revision: Revision,
    /// The oldest revision that can be read; 0 when nothing was compacted.
    pub(crate) floor: Revision,
    pub(crate) live: Map,
    /// The changes of each revision; the last element is those of `revision`, and there is no gap.
    pub(crate) history: Vector<Arc<[Event]>>,
    pub(crate) history_bytes: usize,
    /// The keys as they were at some revisions within the history, so that the past is never far from one of them.
    pub(crate) checkpoints: OrdMap<Revision, Map>,
    pub(crate) since_checkpoint: usize,
    pub(crate) leases: Leases,
}

impl Default for State {
    fn default() -> Self {
        Self {
            revision: 1,
            floor: 0,
            live: Map::new(),
            history: Vector::new(),
            history_bytes: 0,
            checkpoints: OrdMap::new(),
            since_checkpoint: 0,
            leases: Leases::default(),
        }
    }
}

impl State {
    /// The empty store.
    pub fn new() -> Self {
        Self::default()
    }
    pub fn revision(&self) -> Revision {
        self.revision
    }
    /// The oldest revision that can be read; 0 when nothing was compacted.
    pub fn floor(&self) -> Revision {
        self.floor
    }
    pub fn get(&self, key: &[u8]) -> Option<&Arc<Record>> {
        self.live.get(key)
    }
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { revision: self.revision, live: self.live.clone() }
    }

    /// Writes `value` if the key's mod revision is `expected` (0: the key must be absent; `None`: whatever it is).
    pub fn put(
        &mut self,
        key: &str,
        value: Bytes,
        expected: Option<Revision>,
        lease: i64,
    ) -> Result<Outcome, Error> {
        if key.is_empty() {
            return Err(Error::EmptyKey);
        }
        if let Some(c) = self.conflict(key, expected) {
            return Ok(c);
        }
        self.leases.check(lease)?;
        let mut w = Change::new(self);
        let record = w.put(key, value, lease);
        w.finish();
        Ok(Outcome::Done(record))
    }

    /// Deletes the key if its mod revision is `expected`. An absent key is `Conflict(None)`.
    pub fn delete(&mut self, key: &str, expected: Option<Revision>) -> Outcome {
        if let Some(c) = self.conflict(key, expected) {
            return c;
        }
        let mut w = Change::new(self);
        let Some(record) = w.delete(key.as_bytes()) else { return Outcome::Conflict(None) };
        w.finish();
        Outcome::Done(record)
    }

    fn conflict(&self, key: &str, expected: Option<Revision>) -> Option<Outcome> {
        let now = self.live.get(key.as_bytes());
        let expected = expected?;
        let is = now.map_or(0, |r| r.mod_revision);
        (is != expected).then(|| Outcome::Conflict(now.cloned()))
    }
}

/// The changes of one revision in the making. The state holds them at once; they become history at the end.
pub(crate) struct Change<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) events: Vec<Event>,
}

impl<'a> Change<'a> {
    pub(crate) fn new(state: &'a mut State) -> Self {
        Self { state, events: Vec::new() }
    }

    /// The revision that readers within the change see: the next one as soon as something changed.
    pub(crate) fn revision(&self) -> Revision {
        self.state.revision + i64::from(!self.events.is_empty())
    }

    fn sub(&self) -> u32 {
        // MAX_CHANGES is far below; a transaction checks it.
        u32::try_from(self.events.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn put(&mut self, key: &str, value: Bytes, lease: i64) -> Arc<Record> {
        let previous = self.state.live.get(key.as_bytes()).cloned();
        let mod_revision = self.state.revision + 1;
        let key = previous.as_ref().map_or_else(|| Arc::from(key), |p| p.key.clone());
        let record = Arc::new(Record {
            key: key.clone(),
            value,
            create_revision: previous.as_ref().map_or(mod_revision, |p| p.create_revision),
            mod_revision,
            version: previous.as_ref().map_or(1, |p| p.version + 1),
            lease,
            sub: self.sub(),
            ext: OnceLock::new(),
        });
        let old_lease = previous.as_ref().map_or(0, |p| p.lease);
        if old_lease != lease {
            self.state.leases.detach(old_lease, &key);
            self.state.leases.attach(lease, &key);
        }
        self.state.live.insert(Key(key), record.clone());
        self.events.push(Event { record: record.clone(), previous });
        record
    }

    /// `None` when there is no such key.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Option<Arc<Record>> {
        let previous = self.state.live.remove(key)?;
        self.state.leases.detach(previous.lease, &previous.key);
        let record = Arc::new(Record {
            key: previous.key.clone(),
            value: Bytes::new(),
            create_revision: 0,
            mod_revision: self.state.revision + 1,
            version: 0,
            lease: 0,
            sub: self.sub(),
            ext: OnceLock::new(),
        });
        self.events.push(Event { record: record.clone(), previous: Some(previous) });
        Some(record)
    }

    /// Makes the changes a revision, if there are any. Answers the store's revision.
    pub(crate) fn finish(self) -> Revision {
        let Self { state, events } = self;
        if !events.is_empty() {
            state.remember(events.into());
        }
        state.revision
    }
}
