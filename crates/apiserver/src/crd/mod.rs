//! Definitions of custom resources: from the store to what is served (apiextensions-apiserver `pkg/controller`,
//! `pkg/apiserver`).
//!
//! One task follows the definitions in the store. Each goes through [`status::settle`]; what has its names is put into the
//! registry before its status says so. [`definition`] reads a definition, [`served`] is one version of it at work,
//! [`finalize`] takes the objects away with it.

mod convert;
pub mod definition;
mod finalize;
mod served;
mod status;
pub mod webhook;

pub use served::no_creates;

use crate::bootstrap::api_services;
use crate::object;
use crate::registry::{Registry, ResourceInfo};
use crate::server::ApiServer;
use definition::Definition;
use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{Reason, Value};
use mvcc::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use storage::WatchItem;

pub const GROUP: &str = "apiextensions.k8s.io";
pub const RESOURCE: &str = "customresourcedefinitions";
const RETRY: Duration = Duration::from_secs(1);

/// DELETE of a definition: its objects go first.
pub fn before_delete(crd: &mut Value, now: Timestamp) {
    if crd.deletion_timestamp().is_some() {
        return;
    }
    let mut f: Vec<String> = crd.finalizers().into_iter().map(str::to_owned).collect();
    if !f.iter().any(|x| x == status::FINALIZER) {
        f.push(status::FINALIZER.to_owned());
        crd.metadata_mut().insert("finalizers".into(), f.into());
    }
    status::set(
        crd,
        "Terminating",
        "True",
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        now,
    );
}

/// Serves what the store has definitions for, and follows them from now on.
pub fn follow(server: &Arc<ApiServer>) {
    let Some(info) = server.registry().any_version(GROUP, RESOURCE).cloned() else { return };
    let mut f = Follower {
        server: Arc::downgrade(server),
        info,
        all: BTreeMap::new(),
        served: BTreeMap::new(),
        finalizing: BTreeSet::new(),
        wanted: BTreeSet::new(),
        announced: None,
        ready: false,
    };
    let revision = f.load(server);
    let server = server.clone();
    let rt = server.rt.clone();
    rt.spawn_until_stop("custom resource definitions", async move { f.run(server, revision).await });
}

struct Follower {
    server: std::sync::Weak<ApiServer>,
    info: Arc<ResourceInfo>,
    /// By name, in v1.
    all: BTreeMap<String, Value>,
    /// What of each definition is in the registry now.
    served: BTreeMap<String, Value>,
    /// Whose objects are being taken away, with the uid.
    finalizing: BTreeSet<(String, String)>,
    /// Names to look at.
    wanted: BTreeSet<String>,
    /// Groups and versions that have an APIService.
    announced: Option<BTreeSet<(String, String)>>,
    ready: bool,
}

/// A record of a definition, in v1.
fn decode(info: &ResourceInfo, r: &Record) -> Option<Value> {
    match object::decode_builtin(info, r) {
        Ok((mut v, _)) => {
            object::stamp(info, &mut v, r.mod_revision);
            Some(v)
        }
        Err(e) => {
            tracing::error!(key = %r.key, error = %e, "a definition of custom resources cannot be read");
            None
        }
    }
}

impl Follower {
    /// Takes all definitions in, and serves those that were served before.
    fn load(&mut self, server: &ApiServer) -> i64 {
        let snap = server.store.cached();
        let mut now = BTreeMap::new();
        snap.scan(&self.info.prefix, "", &mut |r| {
            if let Some(v) = decode(&self.info, r) {
                now.insert(v.name().to_owned(), v);
            }
            true
        });
        self.wanted.extend(self.all.keys().cloned());
        self.wanted.extend(now.keys().cloned());
        self.all = now;
        let names: Vec<String> = self.all.keys().cloned().collect();
        for n in names {
            self.serve(server, &n);
        }
        snap.revision()
    }

    async fn run(mut self, server: Arc<ApiServer>, mut revision: i64) {
        loop {
            if let Ok(mut w) = server.store.watch(&self.info.prefix, revision) {
                loop {
                    self.work(&server).await;
                    let idle = self.wanted.is_empty() && self.ready;
                    let next = tokio::select! {
                        i = w.next() => Some(i),
                        () = tokio::time::sleep(RETRY), if !idle => None,
                    };
                    match next {
                        // Time to try again.
                        None => continue,
                        Some(None) => return,
                        Some(Some(WatchItem::Lagged)) => break,
                        Some(Some(WatchItem::Progress(_))) => {}
                        Some(Some(WatchItem::Events(events))) => {
                            for e in events.iter() {
                                self.event(&e.record);
                            }
                        }
                    }
                }
            } else {
                tokio::time::sleep(RETRY).await;
            }
            revision = self.load(&server);
        }
    }

    fn event(&mut self, r: &Record) {
        let name = r.key.strip_prefix(self.info.prefix.as_str()).unwrap_or(&r.key).to_owned();
        let next = if r.is_tombstone() { None } else { decode(&self.info, r) };
        let group = next.as_ref().or(self.all.get(&name)).map(|c| c.str_at("spec.group").to_owned());
        match next {
            None => {
                self.all.remove(&name);
                // Its names are free now.
                let others = self.all.values().filter(|c| Some(c.str_at("spec.group")) == group.as_deref());
                self.wanted.extend(others.map(|c| c.name().to_owned()));
            }
            Some(v) => {
                self.all.insert(name.clone(), v);
            }
        }
        self.wanted.insert(name);
    }

    /// Looks at all that is to be looked at.
    async fn work(&mut self, server: &Arc<ApiServer>) {
        // The older ones first: they have the older claim to their names.
        let mut names: Vec<String> = std::mem::take(&mut self.wanted).into_iter().collect();
        names.sort_by_key(|n| {
            self.all.get(n).map(|c| c.str_at("metadata.creationTimestamp").to_owned()).unwrap_or_default()
        });
        for n in names {
            if !self.reconcile(server, &n).await {
                self.wanted.insert(n);
            }
        }
        let now: BTreeSet<(String, String)> = {
            let reg = server.registry();
            let custom = reg.iter().filter(|i| i.is_custom());
            custom
                .map(|i| (i.gvr.group.clone(), i.gvr.version.clone()))
                .filter(|(g, v)| {
                    let all = reg.groups().get(g).and_then(|x| x.get(v));
                    all.is_some_and(|m| m.values().all(|r| r.is_custom()))
                })
                .collect()
        };
        self.ready = true;
        if self.announced.as_ref() != Some(&now) {
            match api_services::custom(server, &now).await {
                Ok(()) => self.announced = Some(now),
                Err(e) => {
                    self.ready = false;
                    tracing::warn!(error = %e, "cannot keep the APIServices of custom resources; trying again");
                }
            }
        }
    }

    /// False: to be tried again.
    async fn reconcile(&mut self, server: &Arc<ApiServer>, name: &str) -> bool {
        let Some(crd) = self.all.get(name) else {
            self.unserve(server, name);
            return true;
        };
        let now = server.now();
        let mut next = crd.clone();
        let group = crd.str_at("spec.group").to_owned();
        let others = self.all.values().filter(|c| c.name() != name && c.str_at("spec.group") == group);
        let changed = status::settle(&mut next, others, now);
        let freed = next.at("status.acceptedNames") != crd.at("status.acceptedNames");
        self.all.insert(name.to_owned(), next.clone());
        self.serve(server, name);
        if changed {
            let u = format!("/apis/{GROUP}/v1/{RESOURCE}/{name}/status");
            match server.internal("PUT", &u, Some(&next)).await {
                Ok(v) => {
                    self.all.insert(name.to_owned(), v);
                }
                // Somebody changed it: the event comes.
                Err(e) if e.is(Reason::Conflict) || e.is(Reason::NotFound) => return true,
                Err(e) => {
                    tracing::warn!(name, error = %e, "cannot write the status of a definition; trying again");
                    return false;
                }
            }
        }
        if freed {
            let others = self.all.values().filter(|c| c.name() != name && c.str_at("spec.group") == group);
            self.wanted
                .extend(others.filter(|c| !status::is_true(c, "NamesAccepted")).map(|c| c.name().to_owned()));
        }
        self.finalize(server, name);
        true
    }

    fn finalize(&mut self, server: &Arc<ApiServer>, name: &str) {
        let Some(crd) = self.all.get(name) else { return };
        if crd.deletion_timestamp().is_none() || !crd.finalizers().contains(&status::FINALIZER) {
            return;
        }
        if !self.finalizing.insert((name.to_owned(), crd.uid().to_owned())) {
            return;
        }
        let (s, info, name) = (server.clone(), self.info.clone(), name.to_owned());
        server.rt.spawn_until_stop("custom resource cleanup", async move {
            finalize::run(&s, &info, &name).await;
        });
    }

    /// Puts a definition into the registry, or takes it out, as its status says.
    fn serve(&mut self, server: &ApiServer, name: &str) {
        let Some(crd) = self.all.get(name) else { return };
        if !status::is_true(crd, "Established") {
            return self.unserve(server, name);
        }
        let print = serde_json::json!([
            crd.get("spec"),
            crd.at("status.acceptedNames"),
            status::is_true(crd, "Terminating"),
            crd.uid(),
            crd.generation() == 1,
        ]);
        if self.served.get(name) == Some(&print) {
            return;
        }
        let def = match Definition::parse(crd, self.server.clone()) {
            Ok(d) => Arc::new(d),
            Err(e) => {
                tracing::error!(name, error = %e, "a definition cannot be served");
                return self.unserve(server, name);
            }
        };
        let built_in = |r: &Registry| r.any_version(&def.group, &def.plural).is_some_and(|i| !i.is_custom());
        server.update_registry(|r| {
            if built_in(r) {
                r.clone()
            } else {
                r.without(&def.group, &def.plural).with(def.resources(false))
            }
        });
        self.served.insert(name.to_owned(), print);
    }

    fn unserve(&mut self, server: &ApiServer, name: &str) {
        if self.served.remove(name).is_none() {
            return;
        }
        let Some((plural, group)) = name.split_once('.') else { return };
        server.update_registry(|r| {
            if r.any_version(group, plural).is_some_and(|i| i.is_custom()) {
                r.without(group, plural)
            } else {
                r.clone()
            }
        });
    }
}
