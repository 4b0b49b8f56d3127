//! The state of a store elsewhere, followed change by change: readers and watchers here do not ask it.

use crate::watch::Hub;
use crate::writer::Published;
use crate::{Error, Event, Revision, Snapshot, Watch, Watcher};
use arc_swap::ArcSwap;
use mvcc::State;
use mvcc::follow::Change;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

pub struct Mirror {
    published: Arc<ArcSwap<Published>>,
    hub: Arc<Hub>,
    revision: watch::Sender<Revision>,
    /// Whoever changes the state holds it.
    turn: Mutex<()>,
    history_bytes: usize,
}

impl Mirror {
    /// `history_bytes` and `backlog` as in [`crate::Options`].
    pub fn new(state: State, history_bytes: usize, backlog: usize) -> Self {
        Self {
            hub: Hub::new(state.revision(), backlog),
            revision: watch::channel(state.revision()).0,
            published: Arc::new(ArcSwap::from_pointee(Published::new(state))),
            turn: Mutex::new(()),
            history_bytes,
        }
    }

    /// Takes changes, by revision and in order; those that are known already are left out.
    pub fn apply(&self, revisions: Vec<(Revision, Vec<Change>)>) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.published.load().state.clone();
        let before = state.revision();
        for (revision, changes) in revisions {
            state.follow(revision, changes);
        }
        let now = state.revision();
        let Ok(batches) = state.batches_after(before) else { return };
        let batches: Vec<_> = batches.filter(|b| !b.is_empty()).cloned().collect();
        if let Some(floor) = state.floor_for(self.history_bytes) {
            // Refused only for what is forgotten already.
            let _ = state.compact(floor);
        }
        self.published.store(Arc::new(Published::new(state)));
        self.hub.dispatch(&batches, now);
        self.revision.send_replace(now);
    }

    /// Begins anew with another state, after changes were missed: all watchers fall behind.
    pub fn replace(&self, state: State) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state.revision();
        self.published.store(Arc::new(Published::new(state)));
        self.hub.lag();
        self.hub.dispatch(&[], now);
        self.revision.send_replace(now);
    }

    /// Forgets history before a revision.
    pub fn compact(&self, revision: Revision) -> Result<(), Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.published.load().state.clone();
        state.compact(revision)?;
        self.published.store(Arc::new(Published::new(state)));
        Ok(())
    }

    pub fn keys(&self) -> Snapshot {
        self.published.load().keys.clone()
    }

    pub fn revision(&self) -> Revision {
        self.published.load().state.revision()
    }

    pub fn at(&self, revision: Revision) -> Result<Snapshot, Error> {
        let now = self.published.load_full();
        now.state.check_revision(revision)?;
        if revision <= 0 || revision == now.state.revision() {
            return Ok(now.keys.clone());
        }
        Ok(Arc::new(crate::writer::Keys(now.state.snapshot_at(revision)?)))
    }

    pub fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, Error> {
        let keys = mvcc::KeyRange::prefix(prefix);
        Ok(Box::new(Watcher::new(self.hub.clone(), self.published.clone(), keys, after, true)?))
    }

    /// Waits until everything up to a revision is here.
    pub async fn reached(&self, revision: Revision) {
        // The sender lives as long as `self`.
        let _ = self.revision.subscribe().wait_for(|r| *r >= revision).await;
    }

    /// What became of a key after a revision.
    pub fn history(&self, key: &str, after: Revision) -> Result<Vec<Event>, Error> {
        let now = self.published.load_full();
        let all = now.state.events_after(after, key)?;
        Ok(all.filter(|e| &*e.record.key == key).cloned().collect())
    }

    /// Ends all watches.
    pub fn close(&self) {
        self.hub.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WatchItem;
    use bytes::Bytes;

    fn put(key: &str) -> Change {
        Change { key: key.into(), value: Some((Bytes::from_static(b"x"), 0)) }
    }

    #[tokio::test]
    async fn watchers_hear_of_changes_and_fall_behind_when_some_were_missed() {
        let m = Mirror::new(State::beginning(5, []), 1 << 20, 100);
        let mut w = m.watch("/registry/pods/", 5).unwrap();
        m.apply(vec![(6, vec![put("/registry/pods/a")]), (7, vec![put("/registry/nodes/n")])]);
        m.reached(7).await;
        let Some(WatchItem::Events(e)) = w.next().await else { panic!("no events") };
        assert_eq!((e.len(), e[0].record.mod_revision), (1, 6));
        assert_eq!(m.keys().count("/registry/"), 2);
        assert_eq!(m.at(6).unwrap().count("/registry/"), 1);
        m.replace(State::beginning(20, []));
        assert!(matches!(w.next().await, Some(WatchItem::Lagged)));
        assert!(m.watch("/registry/", 7).is_err());
        assert!(m.watch("/registry/", 20).is_ok());
    }
}
