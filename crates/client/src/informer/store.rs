//! The cache itself: objects by key, indexes, and who wants to hear of changes.

use super::Key;
use super::dispatch::Handover;
use super::subscribe::{Change, Event, Sink, Subscription};
use crate::raw::RawObject;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use tokio::sync::watch;

/// Answers the values under which an object is found.
pub type IndexFn = Arc<dyn Fn(&RawObject) -> Vec<String> + Send + Sync>;

/// Keys are shared: by the objects, the indexes and the events that wait.
type Postings = HashMap<String, BTreeSet<Arc<Key>>>;

struct Index {
    f: IndexFn,
    postings: Postings,
    /// What an object was filed under, so that it can be taken out again.
    values: HashMap<Arc<Key>, Vec<String>>,
}

#[derive(Default)]
pub struct State {
    objects: BTreeMap<Arc<Key>, RawObject>,
    owners: Postings,
    indexes: HashMap<&'static str, Index>,
    sinks: Vec<Weak<Sink>>,
}

impl State {
    pub fn get(&self, key: &Key) -> Option<&RawObject> {
        self.objects.get(key)
    }
    pub fn len(&self) -> usize {
        self.objects.len()
    }
    pub fn all(&self) -> impl Iterator<Item = &RawObject> {
        self.objects.values()
    }
    pub fn in_namespace<'a>(&'a self, ns: &'a str) -> impl Iterator<Item = &'a RawObject> {
        let from = Key::new(ns, "");
        self.objects
            .range::<Key, _>((Bound::Included(&from), Bound::Unbounded))
            .take_while(move |(k, _)| k.namespace == ns)
            .map(|(_, o)| o)
    }
    fn of(&self, keys: Option<&BTreeSet<Arc<Key>>>) -> Vec<RawObject> {
        keys.into_iter().flatten().filter_map(|k| self.objects.get(k)).cloned().collect()
    }
    pub fn by_owner(&self, uid: &str) -> Vec<RawObject> {
        self.of(self.owners.get(uid))
    }
    pub fn by_index(&self, name: &str, value: &str) -> Vec<RawObject> {
        self.of(self.indexes.get(name).and_then(|i| i.postings.get(value)))
    }
    pub fn index_values(&self, name: &str) -> Vec<String> {
        self.indexes.get(name).map(|i| i.postings.keys().cloned().collect()).unwrap_or_default()
    }

    fn unfile(&mut self, key: &Key, o: &RawObject) {
        for owner in &o.header.owners {
            remove(&mut self.owners, &owner.uid, key);
        }
        for index in self.indexes.values_mut() {
            for v in index.values.remove(key).unwrap_or_default() {
                remove(&mut index.postings, &v, key);
            }
        }
    }
    fn file(&mut self, key: &Arc<Key>, o: &RawObject) {
        for owner in &o.header.owners {
            self.owners.entry(owner.uid.clone()).or_default().insert(key.clone());
        }
        for index in self.indexes.values_mut() {
            index.add(key, o);
        }
    }
    fn notify(&mut self, key: &Arc<Key>, change: &Change) {
        self.sinks.retain(|s| s.upgrade().is_some_and(|s| s.push(key, change)));
    }
    fn put(&mut self, o: RawObject) {
        let key = o.key();
        let key = self.objects.get_key_value(&key).map_or_else(|| Arc::new(key), |(k, _)| k.clone());
        let old = self.objects.insert(key.clone(), o.clone());
        match &old {
            // Seen already: a list that says what the watch said.
            Some(old) if old.resource_version == o.resource_version && old.header.uid == o.header.uid => {
                return;
            }
            Some(old) => self.unfile(&key, old),
            None => {}
        }
        self.file(&key, &o);
        self.notify(&key, &Change { old, new: Some(o) });
    }
    /// `last` is the object as the deletion event has it.
    fn remove(&mut self, key: &Key, last: Option<RawObject>) {
        let Some((key, old)) = self.objects.remove_entry(key) else { return };
        self.unfile(&key, &old);
        self.notify(&key, &Change { old: Some(last.unwrap_or(old)), new: None });
    }
}

fn remove(postings: &mut Postings, value: &str, key: &Key) {
    if let Some(set) = postings.get_mut(value) {
        set.remove(key);
        if set.is_empty() {
            postings.remove(value);
        }
    }
}

impl Index {
    fn add(&mut self, key: &Arc<Key>, o: &RawObject) {
        let values = (self.f)(o);
        for v in &values {
            self.postings.entry(v.clone()).or_default().insert(key.clone());
        }
        if !values.is_empty() {
            self.values.insert(key.clone(), values);
        }
    }
}

/// A cache shared by its reflector and its users.
pub struct Shared {
    state: RwLock<State>,
    /// 0 until the first list.
    revision: watch::Sender<u64>,
}

impl Shared {
    pub fn new() -> Self {
        Self { state: RwLock::default(), revision: watch::Sender::new(0) }
    }
    pub fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
    fn write<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
    pub fn has_synced(&self) -> bool {
        *self.revision.borrow() > 0
    }
    pub async fn synced(&self) {
        // The sender is `self`, so waiting cannot fail.
        let _ = self.revision.subscribe().wait_for(|r| *r > 0).await;
    }
    pub fn revision(&self) -> u64 {
        *self.revision.borrow()
    }
    pub fn set_revision(&self, rv: u64) {
        self.revision.send_if_modified(|r| {
            let newer = rv.max(1) > *r;
            *r = rv.max(1).max(*r);
            newer
        });
    }
    pub fn put(&self, o: RawObject) {
        let rv = o.resource_version;
        self.write(|s| s.put(o));
        self.set_revision(rv);
    }
    pub fn delete(&self, o: RawObject) {
        let rv = o.resource_version;
        self.write(|s| s.remove(&o.key(), Some(o)));
        self.set_revision(rv);
    }
    /// Makes the cache what a list says; the differences are events.
    pub fn replace(&self, rv: u64, items: Vec<RawObject>) {
        self.write(|s| {
            let listed: std::collections::HashSet<Key> = items.iter().map(RawObject::key).collect();
            let gone: Vec<Arc<Key>> = s.objects.keys().filter(|k| !listed.contains(&***k)).cloned().collect();
            for key in gone {
                s.remove(&key, None);
            }
            for o in items {
                s.put(o);
            }
        });
        self.set_revision(rv);
    }
    pub fn add_index(&self, name: &'static str, f: IndexFn) {
        self.write(|s| {
            if s.indexes.contains_key(name) {
                return;
            }
            let mut index = Index { f, postings: HashMap::new(), values: HashMap::new() };
            for (key, o) in &s.objects {
                index.add(key, o);
            }
            s.indexes.insert(name, index);
        });
    }
    /// Takes what waits in a sink, which from now on is told of changes, and the objects there are.
    pub fn attach(&self, sink: &Arc<Sink>) -> Handover {
        self.write(|s| {
            let pending: Vec<Event> = std::iter::from_fn(|| sink.take()).collect();
            if !s.sinks.iter().any(|w| std::ptr::eq(w.as_ptr(), Arc::as_ptr(sink))) {
                s.sinks.push(Arc::downgrade(sink));
            }
            (pending, s.objects.values().cloned().collect())
        })
    }
    /// The sink is told no more, and forgets what waits in it.
    pub fn detach(&self, sink: &Arc<Sink>) {
        self.write(|s| s.sinks.retain(|w| !std::ptr::eq(w.as_ptr(), Arc::as_ptr(sink))));
        while sink.take().is_some() {}
    }
    pub fn subscribe(&self) -> Subscription {
        self.write(|s| {
            let sink = Arc::new(Sink::default());
            for (key, o) in &s.objects {
                sink.push(key, &Change { old: None, new: Some(o.clone()) });
            }
            s.sinks.push(Arc::downgrade(&sink));
            Subscription::new(sink)
        })
    }
}
