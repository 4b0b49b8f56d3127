//! The trait [`Storage`] on the embedded store.

use super::{Embedded, SharedLease, lock};
use crate::watch::Watcher;
use crate::writer::Keys;
use crate::{Error, Outcome, Revision, Snapshot, Storage, Watch};
use bytes::Bytes;
use futures::future::BoxFuture;
use mvcc::{KeyRange, Millis};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Old states kept for readers that page through one.
const PAST: usize = 4;
/// Upstream's lease manager: a lease is shared by keys that end within this many seconds…
const LEASE_SHARE: i64 = 60;
/// …or this part of their time, whichever is shorter, and by so many keys.
const LEASE_SHARE_PART: i64 = 20;
const LEASE_KEYS: u32 = 1000;

impl Storage for Embedded {
    fn latest(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        Box::pin(std::future::ready(Ok(self.cached())))
    }

    fn cached(&self) -> Snapshot {
        self.published.load().keys.clone()
    }

    fn at(&self, revision: Revision) -> BoxFuture<'_, Result<Snapshot, Error>> {
        let at = || -> Result<Snapshot, Error> {
            let now = self.published.load_full();
            now.state.check_revision(revision)?;
            if revision <= 0 || revision == now.state.revision() {
                return Ok(now.keys.clone());
            }
            let floor = now.state.floor();
            let mut past = lock(&self.past);
            past.retain(|(r, _)| *r >= floor);
            if let Some(i) = past.iter().position(|(r, _)| *r == revision) {
                let hit = past.remove(i);
                past.push(hit);
                return Ok(past[past.len() - 1].1.clone());
            }
            drop(past);
            let s: Snapshot = Arc::new(Keys(now.state.snapshot_at(revision)?));
            let mut past = lock(&self.past);
            if past.len() >= PAST {
                past.remove(0);
            }
            past.push((revision, s.clone()));
            Ok(s)
        };
        Box::pin(std::future::ready(at()))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Option<Revision>,
        lease: i64,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        let size = key.len() + value.len();
        let key: Box<str> = key.into();
        Box::pin(async move {
            self.sized(size)?;
            self.submit(move |d| {
                d.bytes += size;
                Ok(d.state.put(&key, value, expected, lease)?)
            })
            .await
        })
    }

    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Revision>,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        let key: Box<str> = key.into();
        Box::pin(self.submit(move |d| Ok(d.state.delete(&key, expected))))
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, Error> {
        let keys = KeyRange::prefix(prefix);
        Ok(Box::new(Watcher::new(self.hub.clone(), self.published.clone(), keys, after, true)?))
    }

    fn lease(&self, ttl: i64) -> BoxFuture<'_, Result<i64, Error>> {
        Box::pin(async move {
            let share = (ttl / LEASE_SHARE_PART).clamp(0, LEASE_SHARE) * 1000;
            let want = |now: Millis| now.saturating_add(ttl.saturating_mul(1000));
            let now = self.clock.steady_nanos() / 1_000_000;
            {
                let mut shared = lock(&self.leases);
                shared.retain(|l| l.deadline > now);
                let fits = |l: &&mut SharedLease| {
                    l.deadline > want(now) && l.deadline <= want(now) + share && l.keys < LEASE_KEYS
                };
                if let Some(l) = shared.iter_mut().find(fits) {
                    l.keys += 1;
                    return Ok(l.id);
                }
            }
            let (id, ttl) = self.grant(0, ttl.saturating_add(share / 1000)).await?;
            let mut shared = lock(&self.leases);
            if shared.len() >= 8 {
                shared.pop_front();
            }
            let deadline = now.saturating_add(ttl.saturating_mul(1000));
            shared.push_back(SharedLease { id, deadline, keys: 1 });
            Ok(id)
        })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.submit(move |d| d.compact(revision)))
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }
}
