//! Making a state from the rows that were kept of it.

use crate::lease::Millis;
use crate::{Event, Key, Place, Record, Revision, State};
use std::sync::Arc;

/// The rows contradict each other: the data is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    #[error("row {0:?} ({1}) is out of order")]
    Order(Place, String),
    #[error("changes between revisions {0} and {1} are missing")]
    Gap(Revision, Revision),
    #[error("row {0:?} ({1}) does not follow what was there before")]
    Version(Place, String),
}

/// Takes rows in order of their place. Rows below the floor are the base; later ones become history.
pub struct Loader {
    state: State,
    last: Place,
    events: Vec<Event>,
    garbage: Vec<Place>,
}

impl Loader {
    pub fn new(floor: Revision) -> Self {
        let state = State { floor, revision: (floor - 1).max(1), ..State::default() };
        Self { state, last: Place { revision: 1, sub: u32::MAX }, events: Vec::new(), garbage: Vec::new() }
    }

    /// A lease with its whole time from `now` on.
    pub fn lease(&mut self, id: i64, ttl: i64, now: Millis) {
        self.state.leases.insert(id, ttl, crate::lease::deadline(ttl, now));
    }

    pub fn row(&mut self, record: Record) -> Result<(), Bad> {
        let place = record.place();
        let bad = |f: fn(Place, String) -> Bad| Err(f(place, record.key.to_string()));
        if place <= self.last || place.revision < 2 || record.key.is_empty() {
            return bad(Bad::Order);
        }
        if record.mod_revision < self.state.floor {
            self.last = place;
            self.base(record);
            return Ok(());
        }
        if place.revision != self.last.revision || self.events.is_empty() {
            self.flush();
            if place.revision != self.state.revision + 1 {
                return Err(Bad::Gap(self.state.revision, place.revision));
            }
        }
        if record.sub as usize != self.events.len() {
            return bad(Bad::Order);
        }
        self.last = place;
        let mut previous = self.state.live.get(record.key.as_bytes()).cloned();
        let fits = match (&previous, record.is_tombstone()) {
            // What the floor's own changes superseded was given up.
            _ if record.mod_revision == self.state.floor => true,
            (p, true) => p.is_some(),
            (None, false) => record.version == 1 && record.create_revision == record.mod_revision,
            (Some(p), false) => {
                record.version == p.version + 1 && record.create_revision == p.create_revision
            }
        };
        if !fits {
            return bad(Bad::Version);
        }
        let mut record = record;
        if let Some(p) = &previous {
            record.key = p.key.clone();
        }
        if record.mod_revision == self.state.floor {
            self.garbage.extend(previous.take().map(|p| p.place()));
        }
        let record = Arc::new(record);
        if record.is_tombstone() {
            self.state.live.remove(record.key.as_bytes());
        } else {
            self.state.live.insert(Key(record.key.clone()), record.clone());
        }
        self.events.push(Event { record, previous });
        Ok(())
    }

    fn base(&mut self, record: Record) {
        let old = if record.is_tombstone() {
            self.garbage.push(record.place());
            self.state.live.remove(record.key.as_bytes())
        } else {
            self.state.live.insert(Key(record.key.clone()), Arc::new(record))
        };
        self.garbage.extend(old.map(|o| o.place()));
    }

    fn flush(&mut self) {
        if !self.events.is_empty() {
            let events = std::mem::take(&mut self.events);
            self.state.remember(events.into());
        }
    }

    /// The state, and the records that nothing refers to. The floor's own revision has changes, so rows must reach it.
    pub fn finish(mut self) -> Result<(State, Vec<Place>), Bad> {
        self.flush();
        if self.state.revision < self.state.floor {
            return Err(Bad::Gap(self.state.revision, self.state.floor));
        }
        let leased: Vec<_> =
            self.state.live.values().filter(|r| r.lease != 0).map(|r| (r.lease, r.key.clone())).collect();
        for (id, key) in leased {
            self.state.leases.attach(id, &key);
        }
        Ok((self.state, self.garbage))
    }
}
