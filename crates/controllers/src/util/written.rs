//! What a controller wrote and its cache may not show yet (in place of upstream's expectations).
//!
//! Deciding on a cache that lags behind one's own writes makes too many pods. So each write is remembered by its
//! resource version, each deletion by uid, and an owner is left alone until the cache has caught up; the event that
//! brings the cache forward also wakes the owner.

use client::{Key, RawInformer};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Writes on behalf of owners.
#[derive(Default)]
pub struct Written(Mutex<HashMap<Key, Entry>>);

#[derive(Default)]
struct Entry {
    version: u64,
    /// uid → key of what was deleted.
    deleted: HashMap<String, Key>,
}

impl Written {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<Key, Entry>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// An object of the owner was written and has this version now.
    pub fn wrote(&self, owner: &Key, version: u64) {
        self.with(|m| {
            let e = m.entry(owner.clone()).or_default();
            e.version = e.version.max(version);
        });
    }
    /// The server took the deletion of an object of the owner.
    pub fn deleted(&self, owner: &Key, uid: &str, object: Key) {
        self.with(|m| m.entry(owner.clone()).or_default().deleted.insert(uid.to_owned(), object));
    }
    /// Whether the cache shows everything that was written for the owner.
    pub fn seen(&self, owner: &Key, cache: &RawInformer) -> bool {
        self.with(|m| {
            let Some(e) = m.get_mut(owner) else { return true };
            if e.version > cache.revision() {
                return false;
            }
            e.deleted.retain(|uid, key| {
                cache
                    .get(&key.namespace, &key.name)
                    .is_some_and(|o| o.header.uid == *uid && !o.header.deleting)
            });
            let all = e.deleted.is_empty();
            if all {
                m.remove(owner);
            }
            all
        })
    }
    /// Whether something was written for the owner that no look at the cache has shown yet.
    pub fn awaits(&self, owner: &Key) -> bool {
        self.with(|m| m.contains_key(owner))
    }
    pub fn forget(&self, owner: &Key) {
        self.with(|m| m.remove(owner));
    }
}
