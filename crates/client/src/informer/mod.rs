//! Shared caches of raw objects, kept current by one list and watch each.
//!
//! A cache holds shared bytes and headers; typed objects are decoded when somebody looks, and not kept.

pub(crate) mod decode;
mod dispatch;
mod factory;
mod reflector;
mod store;
mod subscribe;

pub use decode::{decode, shared};
pub use dispatch::Registration;
pub use factory::InformerFactory;
pub use store::IndexFn;
pub use subscribe::{Event, Subscription};

use crate::kind::Kind;
use crate::raw::{Error, RawObject};
use meta::selector::Selector;
use runtime::Runtime;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use store::Shared;
use tokio_util::sync::DropGuard;

/// A namespace (empty for cluster-scoped objects) and a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
    /// The namespace as calls of the typed client take it.
    pub fn ns(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|n| !n.is_empty())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

impl RawObject {
    pub fn key(&self) -> Key {
        Key::new(&self.header.namespace, &self.header.name)
    }
    pub fn decode<K: Kind>(&self) -> Result<K, Error> {
        decode(self)
    }
    /// As [`RawObject::decode`], the object shared with others who look at it at about the same time.
    pub fn shared<K: Kind>(&self) -> Result<Arc<K>, Error> {
        shared(self)
    }
    /// The uid of the controller that owns it.
    pub fn controller(&self) -> Option<&schema::header::Owner> {
        self.header.owners.iter().find(|o| o.controller)
    }
}

/// A cache of raw objects. Cheap to clone; the list and watch behind it end with the last clone.
#[derive(Clone)]
pub struct RawInformer(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    dispatch: Arc<dispatch::Dispatch>,
    _stop: DropGuard,
}

impl RawInformer {
    /// Whether the first list has arrived.
    pub fn has_synced(&self) -> bool {
        self.0.shared.has_synced()
    }
    /// Waits for the first list.
    pub async fn synced(&self) {
        self.0.shared.synced().await;
    }
    /// Everything up to this resource version has been seen.
    pub fn revision(&self) -> u64 {
        self.0.shared.revision()
    }
    pub fn get(&self, namespace: &str, name: &str) -> Option<RawObject> {
        self.0.shared.read(|s| s.get(&Key::new(namespace, name)).cloned())
    }
    pub fn len(&self) -> usize {
        self.0.shared.read(|s| s.len())
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// All objects, ordered by namespace and name.
    pub fn list(&self) -> Vec<RawObject> {
        self.0.shared.read(|s| s.all().cloned().collect())
    }
    /// The objects of a namespace (empty: all) that a selector selects.
    pub fn select(&self, namespace: &str, selector: &Selector) -> Vec<RawObject> {
        let wanted = |o: &&RawObject| selector.matches(|k| o.header.label(k));
        self.0.shared.read(|s| {
            if namespace.is_empty() {
                s.all().filter(wanted).cloned().collect()
            } else {
                s.in_namespace(namespace).filter(wanted).cloned().collect()
            }
        })
    }
    /// The objects that have an owner of this uid.
    pub fn by_owner(&self, uid: &str) -> Vec<RawObject> {
        self.0.shared.read(|s| s.by_owner(uid))
    }
    /// Adds an index, unless there is one of that name.
    pub fn add_index(&self, name: &'static str, f: IndexFn) {
        self.0.shared.add_index(name, f);
    }
    /// The objects for which the index function of that name answered `value`.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<RawObject> {
        self.0.shared.read(|s| s.by_index(name, value))
    }
    /// All values that an index has.
    pub fn index_values(&self, name: &str) -> Vec<String> {
        self.0.shared.read(|s| s.index_values(name))
    }
    /// Changes from now on, beginning with an `Added` for each object there is.
    pub fn subscribe(&self) -> Subscription {
        let mut s = self.0.shared.subscribe();
        s.keep = Some(self.clone());
        s
    }
    /// Calls `f` for each change from now on, beginning with an `Added` for each object there is, until what is answered
    /// is dropped or the runtime stops. One task calls all handlers of a cache: `f` must be quick.
    pub fn on_event<F>(&self, rt: &Runtime, f: F) -> Registration
    where
        F: Fn(&Event) + Send + Sync + 'static,
    {
        self.0.dispatch.join(self, rt, Box::new(f))
    }
}

/// A cache of one kind, whose objects are decoded on access. Cheap to clone.
pub struct Informer<K> {
    raw: RawInformer,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), kind: PhantomData }
    }
}

impl<K: Kind> Informer<K> {
    pub fn new(raw: RawInformer) -> Self {
        Self { raw, kind: PhantomData }
    }
    pub fn raw(&self) -> &RawInformer {
        &self.raw
    }
    pub fn has_synced(&self) -> bool {
        self.raw.has_synced()
    }
    pub async fn synced(&self) {
        self.raw.synced().await;
    }
    pub fn revision(&self) -> u64 {
        self.raw.revision()
    }
    /// `None` also when the object cannot be decoded, which is logged.
    pub fn get(&self, namespace: &str, name: &str) -> Option<K> {
        self.raw.get(namespace, name).and_then(decoded)
    }
    pub fn list(&self) -> Vec<K> {
        self.raw.list().into_iter().filter_map(decoded).collect()
    }
    /// The objects of a namespace (empty: all) that a selector selects.
    pub fn select(&self, namespace: &str, selector: &Selector) -> Vec<K> {
        self.raw.select(namespace, selector).into_iter().filter_map(decoded).collect()
    }
    pub fn in_namespace(&self, namespace: &str) -> Vec<K> {
        self.select(namespace, &Selector::default())
    }
    pub fn by_owner(&self, uid: &str) -> Vec<K> {
        self.raw.by_owner(uid).into_iter().filter_map(decoded).collect()
    }
    /// Adds an index over the decoded object, unless there is one of that name.
    pub fn add_index<F>(&self, name: &'static str, f: F)
    where
        F: Fn(&K) -> Vec<String> + Send + Sync + 'static,
    {
        self.raw.add_index(name, Arc::new(move |o| shared::<K>(o).map(|k| f(&k)).unwrap_or_default()));
    }
    pub fn by_index(&self, name: &str, value: &str) -> Vec<K> {
        self.raw.by_index(name, value).into_iter().filter_map(decoded).collect()
    }
    pub fn subscribe(&self) -> Subscription {
        self.raw.subscribe()
    }
}

fn decoded<K: Kind>(o: RawObject) -> Option<K> {
    match decode(&o) {
        Ok(k) => Some(k),
        Err(e) => {
            tracing::error!(kind = K::KIND, object = %o.key(), "cannot decode a cached object: {e}");
            None
        }
    }
}

#[cfg(test)]
mod tests;
