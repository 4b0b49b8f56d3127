//! One cache for each list and watch, however many users it has.

use super::store::Shared;
use super::{Handle, Informer, RawInformer, reflector};
use crate::kind::Kind;
use crate::raw::{ListWatch, Transport};
use runtime::Runtime;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Hands out caches. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct InformerFactory {
    transport: Arc<dyn Transport>,
    rt: Runtime,
    caches: Arc<Mutex<HashMap<ListWatch, Weak<Handle>>>>,
}

impl InformerFactory {
    pub fn new(transport: Arc<dyn Transport>, rt: &Runtime) -> Self {
        Self { transport, rt: rt.clone(), caches: Arc::default() }
    }
    /// All objects of a kind.
    pub fn informer<K: Kind>(&self) -> Informer<K> {
        self.filtered(ListWatch::default())
    }
    /// The objects of a kind that a namespace and selectors choose; group, version and resource are filled in.
    pub fn filtered<K: Kind>(&self, what: ListWatch) -> Informer<K> {
        Informer::new(self.raw(ListWatch {
            group: K::GROUP.into(),
            version: K::VERSION.into(),
            resource: K::URL_PATH_SEGMENT.into(),
            ..what
        }))
    }
    /// Any resource.
    pub fn raw(&self, mut what: ListWatch) -> RawInformer {
        what.metadata_only &= !self.transport.whole_objects();
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = |w: &ListWatch| caches.get(w).and_then(Weak::upgrade).map(RawInformer);
        // Whoever wants headers only is served by a cache of whole objects as well.
        let whole = ListWatch { metadata_only: false, ..what.clone() };
        if let Some(h) = cached(&what).or_else(|| cached(&whole)) {
            return h;
        }
        caches.retain(|_, h| h.strong_count() > 0);
        let shared = Arc::new(Shared::new());
        let stop = self.rt.stop_token().child_token();
        let handle = Arc::new(Handle {
            shared: shared.clone(),
            dispatch: Arc::default(),
            _stop: stop.clone().drop_guard(),
        });
        caches.insert(what.clone(), Arc::downgrade(&handle));
        let transport = self.transport.clone();
        self.rt.spawn("reflector", async move {
            tokio::select! {
                () = reflector::run(transport, what, shared) => {}
                () = stop.cancelled() => {}
            }
        });
        RawInformer(handle)
    }
}
