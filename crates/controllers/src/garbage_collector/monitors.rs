//! Caches of the headers of everything that can be deleted, following discovery.

use crate::util::discovery::{Resource, Served};
use client::informer::Registration;
use client::{Event, InformerFactory, RawInformer, RawObject};
use runtime::Runtime;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Events are told to nobody and own nothing.
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

/// One resource that is followed.
#[derive(Clone)]
pub struct Monitor {
    pub resource: Arc<Resource>,
    pub cache: RawInformer,
    _events: Arc<Registration>,
}

/// An object and its resource.
#[derive(Clone)]
pub struct Item {
    pub resource: Arc<Resource>,
    pub object: RawObject,
}

#[derive(Default)]
pub struct Monitors(RwLock<Vec<Monitor>>);

impl Monitors {
    fn read<T>(&self, f: impl FnOnce(&[Monitor]) -> T) -> T {
        f(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Follows what is served, and follows no longer what is gone. Groups that could not be asked stay as they are.
    pub fn sync<F>(&self, rt: &Runtime, informers: &InformerFactory, served: Served, on_event: F)
    where
        F: Fn(&Arc<Resource>, &Event) + Clone + Send + Sync + 'static,
    {
        let wanted: HashMap<(String, String), Resource> = served
            .resources
            .into_iter()
            .filter(|r| r.can("list") && r.can("watch") && r.can("delete"))
            .filter(|r| !IGNORED.contains(&(r.group.as_str(), r.resource.as_str())))
            .map(|r| ((r.group.clone(), r.resource.clone()), r))
            .collect();
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|m| {
            let failed = served.failed.iter().any(|f| f.split('/').next() == Some(&m.resource.group));
            let key = (m.resource.group.clone(), m.resource.resource.clone());
            failed || wanted.get(&key).is_some_and(|r| *r == *m.resource)
        });
        for (key, r) in wanted {
            if all.iter().any(|m| (&m.resource.group, &m.resource.resource) == (&key.0, &key.1)) {
                continue;
            }
            let resource = Arc::new(r);
            let cache = informers.raw(resource.headers(""));
            let (f, r) = (on_event.clone(), resource.clone());
            let events = Arc::new(cache.on_event(rt, move |e| f(&r, e)));
            all.push(Monitor { resource, cache, _events: events });
        }
    }
    /// Waits until all caches are filled.
    pub async fn synced(&self) {
        let all: Vec<RawInformer> = self.read(|m| m.iter().map(|m| m.cache.clone()).collect());
        for c in all {
            c.synced().await;
        }
    }
    /// The resource of a kind, in whatever version.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<Monitor> {
        let group = api_version.rsplit_once('/').map_or("", |(g, _)| g);
        self.read(|m| m.iter().find(|m| m.resource.group == group && m.resource.kind == kind).cloned())
    }
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<RawObject> {
        self.read(|m| m.iter().find(|m| *m.resource == *resource)?.cache.get(namespace, name))
    }
    /// All objects that have an owner of this uid.
    pub fn dependents(&self, uid: &str) -> Vec<Item> {
        self.read(|all| {
            all.iter()
                .flat_map(|m| {
                    let with = |object| Item { resource: m.resource.clone(), object };
                    m.cache.by_owner(uid).into_iter().map(with)
                })
                .collect()
        })
    }
}
