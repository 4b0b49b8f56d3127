//! A state that follows another store: it begins with that store's keys, and takes its changes with their revisions.

use crate::{Event, Key, Record, Revision, State};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// A change of one key, as the other store tells it.
#[derive(Clone, Debug)]
pub struct Change {
    pub key: String,
    /// What it holds now and by which lease; `None` when it was deleted.
    pub value: Option<(Bytes, i64)>,
}

impl State {
    /// The keys at a revision, without a past.
    pub fn beginning(revision: Revision, records: impl IntoIterator<Item = Record>) -> Self {
        let live = records.into_iter().map(|r| (Key(r.key.clone()), Arc::new(r))).collect();
        Self { revision, floor: revision, live, ..Self::default() }
    }

    /// Takes the changes of one revision. Revisions in between changed nothing that is followed. Answers whether the
    /// revision is later than what is known.
    pub fn follow(&mut self, revision: Revision, changes: Vec<Change>) -> bool {
        if revision <= self.revision {
            return false;
        }
        while self.revision + 1 < revision {
            self.remember(Arc::new([]));
        }
        let mut events = Vec::with_capacity(changes.len());
        for c in changes {
            let previous = self.live.get(c.key.as_bytes()).cloned();
            let key = previous.as_ref().map_or_else(|| Arc::from(c.key.as_str()), |p| p.key.clone());
            let sub = u32::try_from(events.len()).unwrap_or(u32::MAX);
            let record = match (c.value, &previous) {
                (None, None) => continue,
                (None, Some(_)) => Record {
                    key: key.clone(),
                    value: Bytes::new(),
                    create_revision: 0,
                    mod_revision: revision,
                    version: 0,
                    lease: 0,
                    sub,
                    ext: OnceLock::new(),
                },
                (Some((value, lease)), previous) => Record {
                    key: key.clone(),
                    value,
                    create_revision: previous.as_ref().map_or(revision, |p| p.create_revision),
                    mod_revision: revision,
                    version: previous.as_ref().map_or(1, |p| p.version + 1),
                    lease,
                    sub,
                    ext: OnceLock::new(),
                },
            };
            let record = Arc::new(record);
            if record.is_tombstone() {
                self.live.remove(key.as_bytes());
            } else {
                self.live.insert(Key(key), record.clone());
            }
            events.push(Event { record, previous });
        }
        self.remember(events.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &'static str) -> Change {
        Change { key: key.into(), value: Some((Bytes::from_static(value.as_bytes()), 0)) }
    }

    #[test]
    fn follows_with_the_other_stores_revisions() {
        let first = Record {
            key: "/a".into(),
            value: Bytes::from_static(b"1"),
            create_revision: 5,
            mod_revision: 7,
            version: 2,
            lease: 0,
            sub: 0,
            ext: OnceLock::new(),
        };
        let mut s = State::beginning(10, [first]);
        assert!(s.follow(12, vec![put("/a", "2"), put("/b", "1")]));
        assert!(!s.follow(12, vec![put("/a", "3")]));
        assert!(s.follow(13, vec![Change { key: "/a".into(), value: None }]));
        assert_eq!((s.revision(), s.floor()), (13, 10));
        assert!(s.get(b"/a").is_none());
        let old = s.snapshot_at(12).unwrap();
        let a = old.get(b"/a").unwrap();
        assert_eq!((a.create_revision, a.mod_revision, a.version), (5, 12, 3));
        assert_eq!(s.snapshot_at(11).unwrap().get(b"/a").unwrap().version, 2);
        let events: Vec<_> = s.events_after(10, "/").unwrap().map(|e| e.record.mod_revision).collect();
        assert_eq!(events, [12, 12, 13]);
        assert!(s.check_after(8).is_err());
    }
}
