//! The past: what changed since a revision, the keys as they were, and forgetting it.

use crate::{Error, Event, Key, Place, Revision, Snapshot, State};
use std::sync::Arc;

/// After so many changes the keys as they are become a checkpoint, which bounds the work of going back.
const CHECKPOINT: usize = 8192;
/// What an event costs by itself.
const EVENT_COST: usize = 200;
/// What a superseded record costs beside its value: itself, and what its readers keep with it.
const RECORD_COST: usize = 800;

fn cost(e: &Event) -> usize {
    EVENT_COST + e.previous.as_ref().map_or(0, |p| RECORD_COST + p.value.len())
}

impl State {
    /// Takes the changes of the next revision into the history; the keys show them already.
    pub(crate) fn remember(&mut self, events: Arc<[Event]>) {
        self.revision += 1;
        self.history_bytes += events.iter().map(cost).sum::<usize>();
        self.since_checkpoint += events.len();
        self.history.push_back(events);
        if self.since_checkpoint >= CHECKPOINT {
            self.since_checkpoint = 0;
            self.checkpoints.insert(self.revision, self.live.clone());
        }
    }

    /// The first revision whose changes are known.
    fn first(&self) -> Revision {
        self.revision + 1 - self.history.len() as i64
    }

    /// Whether a watcher that has seen everything up to `after` can go on from here. Beginning with the floor's own
    /// changes it does not learn what these superseded.
    pub fn check_after(&self, after: Revision) -> Result<(), Error> {
        if after + 1 < self.floor {
            return Err(Error::Compacted { asked: after + 1, floor: self.floor });
        }
        Ok(())
    }

    /// The changes of each revision later than `after`, oldest first.
    pub fn batches_after(
        &self,
        after: Revision,
    ) -> Result<impl DoubleEndedIterator<Item = &Arc<[Event]>>, Error> {
        self.check_after(after)?;
        let skip = usize::try_from(after + 1 - self.first()).unwrap_or(0).min(self.history.len());
        Ok((skip..self.history.len()).filter_map(|i| self.history.get(i)))
    }

    /// Changes of keys under `prefix` later than `after`, oldest first.
    pub fn events_after<'a>(
        &'a self,
        after: Revision,
        prefix: &'a str,
    ) -> Result<impl Iterator<Item = &'a Event>, Error> {
        let batches = self.batches_after(after)?;
        Ok(batches.flat_map(|b| b.iter()).filter(move |e| e.record.key.starts_with(prefix)))
    }

    /// Events in the history and the bytes it holds that the present does not.
    pub fn history_size(&self) -> (usize, usize) {
        (self.history.len(), self.history_bytes)
    }

    /// Whether a read at `revision` is possible; 0 and below is the present.
    pub fn check_revision(&self, revision: Revision) -> Result<(), Error> {
        if revision > self.revision {
            return Err(Error::Future { asked: revision, current: self.revision });
        }
        if revision > 0 && revision < self.floor {
            return Err(Error::Compacted { asked: revision, floor: self.floor });
        }
        Ok(())
    }

    /// The keys as they were at a revision; 0 is the present.
    pub fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Error> {
        self.check_revision(revision)?;
        if revision <= 0 || revision == self.revision {
            return Ok(self.snapshot());
        }
        let near = self.checkpoints.range(revision..).next();
        let (from, mut live) = match near {
            Some((r, m)) => (*r, m.clone()),
            None => (self.revision, self.live.clone()),
        };
        let newer = usize::try_from(self.revision - from).unwrap_or(0);
        for events in self.batches_after(revision)?.rev().skip(newer) {
            for e in events.iter().rev() {
                match &e.previous {
                    Some(p) => live.insert(Key(p.key.clone()), p.clone()),
                    None => live.remove(e.record.key.as_bytes()),
                };
            }
        }
        Ok(Snapshot { revision, live })
    }

    /// The revision to compact to so that the history holds at most `bytes` that the present does not.
    pub fn floor_for(&self, bytes: usize) -> Option<Revision> {
        let mut over = self.history_bytes.checked_sub(bytes).filter(|o| *o > 0)?;
        let mut r = self.first();
        for b in &self.history {
            r += 1;
            let c = b.iter().map(cost).sum::<usize>();
            if c >= over {
                break;
            }
            over -= c;
        }
        Some(r.min(self.revision))
    }

    /// Forgets what was before `revision`: it becomes the oldest that can be read. Answers the records that nothing
    /// refers to any more.
    ///
    /// The changes of the floor's own revision stay, without what they superseded, as in etcd.
    pub fn compact(&mut self, revision: Revision) -> Result<Vec<Place>, Error> {
        if revision <= self.floor {
            return Err(Error::Compacted { asked: revision, floor: self.floor });
        }
        if revision > self.revision {
            return Err(Error::Future { asked: revision, current: self.revision });
        }
        self.floor = revision;
        let mut gone = Vec::new();
        let mut first = self.first();
        while first < revision {
            let Some(events) = self.history.pop_front() else { break };
            for e in events.iter() {
                self.history_bytes -= cost(e);
                gone.extend(e.previous.as_ref().map(|p| p.place()));
                if e.record.is_tombstone() {
                    gone.push(e.record.place());
                }
            }
            first += 1;
        }
        if first == revision
            && let Some(floor) = self.history.get_mut(0)
        {
            let mut bare = Vec::with_capacity(floor.len());
            for e in floor.iter() {
                self.history_bytes -= cost(e);
                gone.extend(e.previous.as_ref().map(|p| p.place()));
                let e = Event { record: e.record.clone(), previous: None };
                self.history_bytes += cost(&e);
                bare.push(e);
            }
            *floor = bare.into();
        }
        while let Some(r) = self.checkpoints.get_min().map(|(r, _)| *r).filter(|r| *r < revision) {
            self.checkpoints.remove(&r);
        }
        Ok(gone)
    }
}
