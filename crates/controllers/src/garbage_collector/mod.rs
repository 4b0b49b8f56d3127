//! Deletes what has lost its owners, and sees to foreground and orphaning deletions (upstream
//! `pkg/controller/garbagecollector`).
//!
//! The graph is not kept: caches know the objects of each owner's uid, and an owner is looked up by its reference. An
//! owner that no cache has is asked for at the server before anything is deleted for its absence.

mod monitors;
mod plan;

use crate::context::{Ctx, Error};
use crate::util::discovery::{Resource, discover};
use crate::util::wake;
use client::{Event, ListWatch, ObjectRef, Outcome, PatchKind, Queue, RawObject, run_workers};
use http::Method;
use monitors::Monitors;
use plan::{Action, Dependent, OwnerState};
use schema::header::{Header, Owner};
use serde_json::{Value, json};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

const WORKERS: usize = 20;
/// After this time the collector begins even if a cache could not be filled.
const PATIENCE: Duration = Duration::from_secs(30);
/// Discovery follows the definition of a resource with some delay; and is looked at now and then in any case.
const SETTLING: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(2), Duration::from_secs(15)];
const REFRESH: Duration = Duration::from_secs(600);
/// How many uids of absent owners are remembered.
const ABSENT: usize = 500;

/// An object to look at.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Target {
    resource: Arc<Resource>,
    namespace: String,
    name: String,
    uid: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.resource.dotted(), self.namespace, self.name)
    }
}

struct Controller {
    ctx: Ctx,
    monitors: Monitors,
    queue: Queue<Target>,
    absent: Mutex<(HashSet<String>, VecDeque<String>)>,
}

pub async fn run(ctx: Ctx) {
    let rt = ctx.rt.clone();
    let changed = Arc::new(Notify::new());
    for (group, resource) in
        [("apiextensions.k8s.io", "customresourcedefinitions"), ("apiregistration.k8s.io", "apiservices")]
    {
        let what = ListWatch {
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            metadata_only: true,
            ..ListWatch::default()
        };
        let changed = changed.clone();
        wake::on_event(&rt, &ctx.informers.raw(what), move |_| changed.notify_one());
    }
    let me = Arc::new(Controller {
        ctx,
        monitors: Monitors::default(),
        queue: Queue::new(),
        absent: Mutex::default(),
    });
    while !me.refresh().await {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    if tokio::time::timeout(PATIENCE, me.monitors.synced()).await.is_err() {
        tracing::warn!("not all resources could be listed: collecting garbage without them");
    }
    let worker = me.clone();
    run_workers(&rt, me.ctx.name, WORKERS, &me.queue, move |t| {
        let me = worker.clone();
        async move { me.process(t).await }
    });
    loop {
        tokio::select! {
            () = changed.notified() => {
                for wait in SETTLING {
                    tokio::time::sleep(wait).await;
                    me.refresh().await;
                }
            }
            () = tokio::time::sleep(REFRESH) => drop(me.refresh().await),
        }
    }
}

impl Controller {
    /// Follows what the server serves now; answers whether it could be asked.
    async fn refresh(self: &Arc<Self>) -> bool {
        match discover(&self.ctx.client).await {
            Ok(served) => {
                let me = Arc::downgrade(self);
                self.monitors.sync(&self.ctx.rt, &self.ctx.informers, served, move |r, e| {
                    if let Some(me) = me.upgrade() {
                        me.on_event(r, e);
                    }
                });
                true
            }
            Err(e) => {
                tracing::warn!("discovery failed: {e}");
                false
            }
        }
    }

    fn add(&self, resource: &Arc<Resource>, o: &RawObject) {
        let h = &o.header;
        self.queue.add(Target {
            resource: resource.clone(),
            namespace: h.namespace.clone(),
            name: h.name.clone(),
            uid: h.uid.clone(),
        });
    }
    fn add_dependents(&self, uid: &str) {
        for d in self.monitors.dependents(uid) {
            self.add(&d.resource, &d.object);
        }
    }

    /// Finds out whom a change concerns.
    fn on_event(&self, resource: &Arc<Resource>, e: &Event) {
        let (old, new) = match e {
            Event::Added(o) => (None, Some(o)),
            Event::Updated { old, new } => (Some(old), Some(new)),
            Event::Deleted(o) => (Some(o), None),
        };
        let Some(new) = new else {
            let gone = e.object();
            self.note_absent(&gone.header.uid);
            self.add_dependents(&gone.header.uid);
            self.add_waiting_owners(&gone.header, &gone.header.owners);
            return;
        };
        let h = &new.header;
        let was = |f: fn(&Header) -> bool| old.is_some_and(|o| f(&o.header));
        if plan::waits(h) && !was(plan::waits) {
            self.add(resource, new);
            self.add_dependents(&h.uid);
        }
        if plan::orphans(h) && !was(plan::orphans) {
            self.add(resource, new);
        }
        let before = old.map(|o| o.header.owners.as_slice()).unwrap_or_default();
        if h.owners != before {
            // Owners that lost this object, or that it blocks no longer.
            self.add_waiting_owners(h, before);
            if h.owners.iter().any(|o| !matches!(self.cached_owner(h, o), Some(OwnerState::Solid))) {
                self.add(resource, new);
            }
        }
    }

    fn add_waiting_owners(&self, h: &Header, owners: &[Owner]) {
        for o in owners {
            if let Some(m) = self.monitors.of_kind(&o.api_version, &o.kind) {
                let ns = if m.resource.namespaced { h.namespace.as_str() } else { "" };
                if let Some(owner) =
                    m.cache.get(ns, &o.name).filter(|x| x.header.uid == o.uid && plan::waits(&x.header))
                {
                    self.add(&m.resource, &owner);
                }
            }
        }
    }

    fn note_absent(&self, uid: &str) {
        let mut a = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if a.0.insert(uid.to_owned()) {
            a.1.push_back(uid.to_owned());
            if a.1.len() > ABSENT
                && let Some(first) = a.1.pop_front()
            {
                a.0.remove(&first);
            }
        }
    }

    /// What the caches say of an owner of an object; `None`: nothing.
    fn cached_owner(&self, h: &Header, o: &Owner) -> Option<OwnerState> {
        let m = self.monitors.of_kind(&o.api_version, &o.kind)?;
        if m.resource.namespaced && h.namespace.is_empty() {
            return None;
        }
        let ns = if m.resource.namespaced { h.namespace.as_str() } else { "" };
        let found = m.cache.get(ns, &o.name).filter(|x| x.header.uid == o.uid)?;
        Some(if plan::waits(&found.header) { OwnerState::Waiting } else { OwnerState::Solid })
    }

    /// What is the matter with an owner, by the caches, or by asking the server when they do not know it.
    async fn owner_state(&self, t: &Target, h: &Header, o: &Owner) -> Result<OwnerState, Error> {
        if let Some(s) = self.cached_owner(h, o) {
            return Ok(s);
        }
        if self.absent.lock().unwrap_or_else(PoisonError::into_inner).0.contains(&o.uid) {
            return Ok(OwnerState::Absent);
        }
        let Some(m) = self.monitors.of_kind(&o.api_version, &o.kind) else {
            let (k, v) = (&o.kind, &o.api_version);
            return Err(Error::other(format!(
                "unable to get REST mapping for {v}/{k}: no such kind is served"
            )));
        };
        if m.resource.namespaced && h.namespace.is_empty() {
            let about = ObjectRef {
                kind: t.resource.kind.clone(),
                name: h.name.clone(),
                uid: h.uid.clone(),
                ..ObjectRef::default()
            };
            let text =
                format!("ownerRef [{}] of a cluster-scoped object refers to a namespaced kind", describe(o));
            self.ctx.events.event(&about, "Warning", "OwnerRefInvalidNamespace", text);
            // Nobody can say whether such an owner is there: the object stays.
            return Ok(OwnerState::Solid);
        }
        let ns = if m.resource.namespaced { h.namespace.as_str() } else { "" };
        match self.ctx.client.request(Method::GET, &m.resource.path(ns, &o.name), None).await {
            Ok(v) if v["metadata"]["uid"] == o.uid.as_str() => {
                let f = v["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|f| f.iter().any(|x| x == plan::FOREGROUND));
                let deleting = v["metadata"]["deletionTimestamp"].is_string();
                Ok(if deleting && f { OwnerState::Waiting } else { OwnerState::Solid })
            }
            Ok(_) => {
                self.note_absent(&o.uid);
                Ok(OwnerState::Absent)
            }
            Err(e) if e.is_not_found() => {
                self.note_absent(&o.uid);
                Ok(OwnerState::Absent)
            }
            Err(e) => Err(e.into()),
        }
    }

    async fn process(&self, t: Target) -> Result<Outcome, Error> {
        let Some(o) = self.monitors.get(&t.resource, &t.namespace, &t.name) else { return Ok(Outcome::Done) };
        if o.header.uid != t.uid {
            return Ok(Outcome::Done);
        }
        let result =
            if plan::orphans(&o.header) { self.orphan(&t, &o).await } else { self.collect(&t, &o).await };
        match result {
            Err(Error::Api(e)) if e.is_not_found() => Ok(Outcome::Done),
            // The object changed: the cache will say so.
            Err(Error::Api(e)) if e.is_conflict() => Ok(Outcome::Again),
            other => other,
        }
    }

    async fn collect(&self, t: &Target, o: &RawObject) -> Result<Outcome, Error> {
        let h = &o.header;
        let mut owners = Vec::new();
        if !h.deleting {
            for x in &h.owners {
                owners.push(self.owner_state(t, h, x).await?);
            }
        }
        let items = self.monitors.dependents(&h.uid);
        let dependents: Vec<Dependent> = items
            .iter()
            .map(|d| Dependent {
                blocks: d.object.header.owners.iter().any(|x| x.uid == h.uid && x.block_owner_deletion),
                waits: plan::waits(&d.object.header),
            })
            .collect();
        match plan::decide(h, &owners, &dependents) {
            Action::Nothing => {}
            Action::RemoveFinalizer(f) => self.remove_finalizer(t, o, f).await?,
            Action::CheckDependents(which) => {
                for i in which {
                    self.add(&items[i].resource, &items[i].object);
                }
            }
            Action::SetOwners(owners) => self.set_owners(&t.resource, o, &owners).await?,
            Action::Delete { policy, unblock } => {
                let mut version = Some(o.resource_version.to_string());
                if let Some(owners) = unblock {
                    self.set_owners(&t.resource, o, &owners).await?;
                    version = None;
                }
                let body = json!({"propagationPolicy": policy,
                    "preconditions": {"uid": h.uid, "resourceVersion": version}});
                let path = t.resource.path(&h.namespace, &h.name);
                self.ctx.client.request(Method::DELETE, &path, Some(&body)).await?;
                tracing::debug!(object = ?t, policy, "deleted, as its owners are gone");
            }
        }
        Ok(Outcome::Done)
    }

    /// Takes the object out of its dependents' owners, then lets it go.
    async fn orphan(&self, t: &Target, o: &RawObject) -> Result<Outcome, Error> {
        for d in self.monitors.dependents(&o.header.uid) {
            let mut owners = d.object.header.owners.clone();
            owners.retain(|x| x.uid != o.header.uid);
            match self.set_owners(&d.resource, &d.object, &owners).await {
                Err(Error::Api(e)) if e.is_not_found() => {}
                other => other?,
            }
        }
        self.remove_finalizer(t, o, plan::ORPHAN).await?;
        Ok(Outcome::Done)
    }

    async fn remove_finalizer(&self, t: &Target, o: &RawObject, f: &str) -> Result<(), Error> {
        let mut left = o.header.finalizers.clone();
        left.retain(|x| x != f);
        self.patch(&t.resource, o, json!({ "finalizers": left })).await
    }
    async fn set_owners(&self, r: &Resource, o: &RawObject, owners: &[Owner]) -> Result<(), Error> {
        let refs: Vec<Value> = owners.iter().map(owner_json).collect();
        self.patch(r, o, json!({ "ownerReferences": refs })).await
    }
    /// A merge patch of the metadata of an object that has not changed since.
    async fn patch(&self, r: &Resource, o: &RawObject, mut metadata: Value) -> Result<(), Error> {
        metadata["uid"] = json!(o.header.uid);
        metadata["resourceVersion"] = json!(o.resource_version.to_string());
        let path = r.path(&o.header.namespace, &o.header.name);
        let patch = json!({ "metadata": metadata });
        self.ctx.client.patch_path(&path, PatchKind::Merge, &patch).await?;
        Ok(())
    }
}

fn owner_json(o: &Owner) -> Value {
    let mut v = json!({"apiVersion": o.api_version, "kind": o.kind, "name": o.name, "uid": o.uid});
    if o.controller {
        v["controller"] = json!(true);
    }
    if o.block_owner_deletion {
        v["blockOwnerDeletion"] = json!(true);
    }
    v
}

fn describe(o: &Owner) -> String {
    format!("{}/{}, name: {}, uid: {}", o.api_version, o.kind, o.name, o.uid)
}

#[cfg(test)]
mod tests;
