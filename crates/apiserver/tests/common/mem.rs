//! A store in memory, on the engine of the real one: fast, and compacted at will.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use mvcc::{Record, Revision, State};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use storage::{Error, Event, Outcome, Snapshot, Storage, View, Watch, WatchItem};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

pub struct Mem {
    state: Mutex<State>,
    changed: watch::Sender<Revision>,
}

struct Seen(mvcc::Snapshot);

impl View for Seen {
    fn revision(&self) -> Revision {
        self.0.revision()
    }
    fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.0.get(key.as_bytes()).cloned()
    }
    fn scan(&self, prefix: &str, start: &str, f: &mut dyn FnMut(&Arc<Record>) -> bool) {
        self.0.scan(prefix, start, f);
    }
    fn count(&self, prefix: &str) -> usize {
        self.0.count(prefix)
    }
}

impl Mem {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::new()), changed: watch::channel(1).0 })
    }
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut s = self.state.lock().unwrap();
        let t = f(&mut s);
        self.changed.send_replace(s.revision());
        t
    }
}

struct Cursor {
    store: Arc<Mem>,
    prefix: String,
    after: Revision,
    changed: WatchStream<Revision>,
}

impl Watch for Cursor {
    fn progress(&self) -> Revision {
        self.after
    }
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        loop {
            let now = self.store.state.lock().unwrap().revision();
            if now > self.after {
                let events: Vec<Event> = {
                    let s = self.store.state.lock().unwrap();
                    match s.events_after(self.after, &self.prefix) {
                        Err(_) => return Poll::Ready(Some(WatchItem::Lagged)),
                        Ok(e) => e.cloned().collect(),
                    }
                };
                self.after = events.last().map_or(now, |e| e.record.mod_revision.max(now));
                return Poll::Ready(Some(if events.is_empty() {
                    WatchItem::Progress(now)
                } else {
                    WatchItem::Events(events.into())
                }));
            }
            if ready!(self.changed.poll_next_unpin(cx)).is_none() {
                return Poll::Ready(None);
            }
        }
    }
}

/// The store, shared, as the trait wants it.
pub struct Home(pub Arc<Mem>);

impl Storage for Home {
    fn latest(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        async { Ok(self.cached()) }.boxed()
    }
    fn cached(&self) -> Snapshot {
        Arc::new(Seen(self.0.with(|s| s.snapshot())))
    }
    fn at(&self, revision: Revision) -> BoxFuture<'_, Result<Snapshot, Error>> {
        async move {
            let s = self.0.with(|s| s.snapshot_at(revision)).map_err(Error::from)?;
            Ok(Arc::new(Seen(s)) as Snapshot)
        }
        .boxed()
    }
    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Option<Revision>,
        lease: i64,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        async move {
            if value.len() > 2 << 20 {
                return Err(Error::TooLarge(value.len()));
            }
            self.0.with(|s| s.put(key, value, expected, lease)).map_err(Error::from)
        }
        .boxed()
    }
    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Revision>,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        async move { Ok(self.0.with(|s| s.delete(key, expected))) }.boxed()
    }
    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, Error> {
        let current = self.0.with(|s| {
            s.check_after(after).map_err(Error::from)?;
            Ok::<_, Error>(s.revision())
        })?;
        if after > current {
            return Err(Error::Future { asked: after, current });
        }
        let (store, changed) = (self.0.clone(), WatchStream::from_changes(self.0.changed.subscribe()));
        Ok(Box::new(Cursor { store, prefix: prefix.to_owned(), after, changed }))
    }
    fn lease(&self, ttl: i64) -> BoxFuture<'_, Result<i64, Error>> {
        async move {
            self.0.with(|s| {
                let id = s.leases().count() as i64 + 1;
                s.grant(id, ttl, 0).map(|l| l.id).map_err(Error::from)
            })
        }
        .boxed()
    }
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.0.with(|s| s.compact(revision)).map(|_| ()).map_err(Error::from) }.boxed()
    }
    fn size(&self) -> u64 {
        0
    }
}
