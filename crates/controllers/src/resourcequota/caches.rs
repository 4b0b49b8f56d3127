//! The objects that quotas count: caches of just those resources that some quota is about.

use crate::util::discovery::{Resource, discover};
use admission::Lookup;
use client::{Client, Event, InformerFactory, ListWatch, RawInformer, RawObject};
use meta::{GroupResource, UserInfo};
use runtime::Runtime;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Resources whose objects are looked into; of others only the number counts.
const WHOLE: &[(&str, &str)] = &[
    ("", "pods"),
    ("", "services"),
    ("", "persistentvolumeclaims"),
    ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "deviceclasses"),
];

#[derive(Clone)]
struct Cache {
    kind: String,
    version: String,
    informer: RawInformer,
    whole: bool,
}

#[derive(Default)]
pub struct Caches(RwLock<BTreeMap<(String, String), Cache>>);

fn key(r: &GroupResource) -> (String, String) {
    (r.group.clone(), r.resource.clone())
}

impl Caches {
    fn find(&self, group: &str, resource: &str) -> Option<Cache> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&(group.to_owned(), resource.to_owned())).cloned()
    }
    fn missing(&self, wanted: &[GroupResource]) -> Vec<GroupResource> {
        wanted.iter().filter(|r| self.find(&r.group, &r.resource).is_none()).cloned().collect()
    }

    /// Begins to follow these resources, as far as they are served, and waits until their objects are there. Changes
    /// are told to `on_event`.
    pub async fn follow<F>(
        &self,
        rt: &Runtime,
        informers: &InformerFactory,
        client: &Client,
        wanted: &[GroupResource],
        on_event: F,
    ) -> Result<(), client::Error>
    where
        F: Fn(&GroupResource, &Event) + Clone + Send + Sync + 'static,
    {
        let missing = self.missing(wanted);
        if !missing.is_empty() {
            let mut served: Vec<Resource> = Vec::new();
            for r in &missing {
                let stable = schema::resources().iter().find(|k| {
                    k.group == r.group
                        && k.resource == r.resource
                        && !k.version.contains("alpha")
                        && !k.version.contains("beta")
                });
                if let Some(k) = stable {
                    served.push(Resource {
                        group: r.group.clone(),
                        version: k.version.to_owned(),
                        resource: r.resource.clone(),
                        kind: k.kind.to_owned(),
                        namespaced: k.namespaced,
                        verbs: Vec::new(),
                        subresources: Vec::new(),
                    });
                } else {
                    let all = discover(client).await?.resources.into_iter();
                    let same = |x: &Resource| x.group == r.group && x.resource == r.resource;
                    served.extend(all.filter(same).filter(|x| x.can("list") && x.can("watch")));
                }
            }
            for r in served {
                self.add(rt, informers, &r, on_event.clone());
            }
        }
        for r in wanted {
            if let Some(c) = self.find(&r.group, &r.resource) {
                c.informer.synced().await;
            }
        }
        Ok(())
    }

    fn add<F>(&self, rt: &Runtime, informers: &InformerFactory, r: &Resource, on_event: F)
    where
        F: Fn(&GroupResource, &Event) + Send + Sync + 'static,
    {
        let id = GroupResource::new(&r.group, &r.resource);
        let whole = WHOLE.contains(&(r.group.as_str(), r.resource.as_str()));
        let what = ListWatch {
            group: r.group.clone(),
            version: r.version.clone(),
            resource: r.resource.clone(),
            metadata_only: !whole,
            ..ListWatch::default()
        };
        let informer = informers.raw(what);
        let cache =
            Cache { kind: r.kind.clone(), version: r.version.clone(), informer: informer.clone(), whole };
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.contains_key(&key(&id)) {
            return;
        }
        all.insert(key(&id), cache);
        drop(all);
        crate::util::wake::on_event(rt, &informer, move |e| on_event(&id, e));
    }

    /// An object of a followed resource as a value.
    pub fn value(&self, r: &GroupResource, o: &RawObject) -> Option<Value> {
        let c = self.find(&r.group, &r.resource)?;
        if c.whole {
            return decode(o, &r.group, &c.version, &c.kind);
        }
        Some(json!({"metadata": {"name": o.header.name, "namespace": o.header.namespace}}))
    }
}

fn decode(o: &RawObject, group: &str, version: &str, kind: &str) -> Option<Value> {
    if o.json {
        return serde_json::from_slice(&o.body).ok();
    }
    let ty = schema::facts::type_of(group, version, kind)?;
    let mut out = Vec::with_capacity(o.body.len() * 2);
    schema::transcode::proto_to_json(&o.body, ty, None, "", &mut out).ok()?;
    serde_json::from_slice(&out).ok()
}

impl Lookup for Caches {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let o = self.find(group, resource)?.informer.get(namespace, name)?;
        self.value(&GroupResource::new(group, resource), &o).map(Arc::new)
    }
    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let Some(c) = self.find(group, resource) else { return Vec::new() };
        let r = GroupResource::new(group, resource);
        let all = c.informer.select(namespace, &meta::selector::Selector::default());
        all.iter().filter_map(|o| self.value(&r, o)).map(Arc::new).collect()
    }
    fn authorized(&self, _: &UserInfo, _: &str, _: &str, _: &str, _: &str, _: &str) -> bool {
        false
    }
}
