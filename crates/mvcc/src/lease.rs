//! Leases: keys that go away together when nobody renews them. Time is an argument.

use crate::state::Change;
use crate::{Error, Key, Revision, State};
use imbl::{OrdMap, OrdSet};
use std::sync::Arc;

/// Milliseconds since 1970.
pub type Millis = i64;

/// etcd's bound: about 285 years.
const MAX_TTL: i64 = 9_000_000_000;

#[derive(Clone, Debug)]
pub struct Lease {
    pub id: i64,
    /// Seconds.
    pub ttl: i64,
    pub deadline: Millis,
    keys: OrdSet<Key>,
}

impl Lease {
    /// The keys that go with the lease, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.keys.iter().map(|k| &k.0)
    }
}

#[derive(Clone, Default)]
pub(crate) struct Leases {
    by_id: OrdMap<i64, Lease>,
    by_deadline: OrdSet<(Millis, i64)>,
}

impl Leases {
    pub(crate) fn check(&self, id: i64) -> Result<(), Error> {
        if id == 0 || self.by_id.contains_key(&id) { Ok(()) } else { Err(Error::NoLease(id)) }
    }
    pub(crate) fn attach(&mut self, id: i64, key: &Arc<str>) {
        if let Some(l) = self.by_id.get_mut(&id) {
            l.keys.insert(Key(key.clone()));
        }
    }
    pub(crate) fn detach(&mut self, id: i64, key: &Arc<str>) {
        if let Some(l) = self.by_id.get_mut(&id) {
            l.keys.remove(key.as_bytes());
        }
    }
    pub(crate) fn insert(&mut self, id: i64, ttl: i64, deadline: Millis) {
        self.by_id.insert(id, Lease { id, ttl, deadline, keys: OrdSet::new() });
        self.by_deadline.insert((deadline, id));
    }
    fn remove(&mut self, id: i64) -> Option<Lease> {
        let l = self.by_id.remove(&id)?;
        self.by_deadline.remove(&(l.deadline, id));
        Some(l)
    }
}

pub(crate) fn deadline(ttl: i64, now: Millis) -> Millis {
    now.saturating_add(ttl.saturating_mul(1000))
}

impl State {
    pub fn lease(&self, id: i64) -> Option<&Lease> {
        self.leases.by_id.get(&id)
    }
    /// All leases, by number.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.by_id.values()
    }
    /// When the next lease ends.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.leases.by_deadline.get_min().map(|(d, _)| *d)
    }
    /// Leases that have ended and not been revoked yet.
    pub fn ended(&self, now: Millis) -> Vec<i64> {
        self.leases.by_deadline.iter().take_while(|(d, _)| *d <= now).map(|(_, id)| *id).collect()
    }
    /// Makes a lease of `ttl` seconds. The number is the caller's choice; it must not be 0.
    pub fn grant(&mut self, id: i64, ttl: i64, now: Millis) -> Result<&Lease, Error> {
        if !(1..=MAX_TTL).contains(&ttl) {
            return Err(Error::LeaseTtl(ttl));
        }
        if id == 0 {
            return Err(Error::NoLease(id));
        }
        if self.leases.by_id.contains_key(&id) {
            return Err(Error::LeaseExists(id));
        }
        self.leases.insert(id, ttl, deadline(ttl, now));
        self.leases.by_id.get(&id).ok_or(Error::NoLease(id))
    }
    /// Gives the lease its whole time again.
    pub fn keepalive(&mut self, id: i64, now: Millis) -> Result<&Lease, Error> {
        let l = self.leases.by_id.get_mut(&id).ok_or(Error::NoLease(id))?;
        let old = std::mem::replace(&mut l.deadline, deadline(l.ttl, now));
        let new = l.deadline;
        self.leases.by_deadline.remove(&(old, id));
        self.leases.by_deadline.insert((new, id));
        self.leases.by_id.get(&id).ok_or(Error::NoLease(id))
    }
    /// Ends the lease and deletes its keys, in one revision. Answers the store's revision.
    pub fn revoke(&mut self, id: i64) -> Result<Revision, Error> {
        let lease = self.leases.remove(id).ok_or(Error::NoLease(id))?;
        let mut w = Change::new(self);
        for k in lease.keys() {
            w.delete(k.as_bytes());
        }
        Ok(w.finish())
    }
    /// Revokes the leases that have ended, at most `limit`; one revision each. Answers their numbers.
    pub fn expire(&mut self, now: Millis, limit: usize) -> Vec<i64> {
        let mut ended = self.ended(now);
        ended.truncate(limit);
        ended.retain(|id| self.revoke(*id).is_ok());
        ended
    }
}
