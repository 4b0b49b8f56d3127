//! A cache together with what was just written: binding decides on its own last writes, not on a cache that is late.

use crate::util::meta::MetaExt;
use client::{Informer, Key, Kind, RawObject};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub struct Fresh<K> {
    pub cache: Informer<K>,
    written: Mutex<HashMap<Key, K>>,
}

impl<K: Kind> Fresh<K> {
    pub fn new(cache: Informer<K>) -> Self {
        Self { cache, written: Mutex::default() }
    }
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, K>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn wrote(&self, o: &K) {
        self.lock().insert(o.key(), o.clone());
    }
    pub fn get(&self, key: &Key) -> Option<K> {
        self.newest(key, self.cache.raw().get(&key.namespace, &key.name))
    }
    fn newest(&self, key: &Key, cached: Option<RawObject>) -> Option<K> {
        let mut all = self.lock();
        if let Some(mine) = all.get(key) {
            // Not there at a revision after the write: it was deleted.
            let seen = cached.as_ref().map_or_else(|| self.cache.revision(), |o| o.resource_version);
            if mine.version() > seen {
                return Some(mine.clone());
            }
            all.remove(key);
        }
        drop(all);
        cached.and_then(|o| o.decode().ok())
    }
    /// The objects of an index, as last written.
    pub fn by_index(&self, index: &str, value: &str) -> Vec<K> {
        let all = self.cache.raw().by_index(index, value);
        all.into_iter().filter_map(|o| self.newest(&o.key(), Some(o))).collect()
    }
}
