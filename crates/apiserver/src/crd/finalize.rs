//! Takes the objects of a definition away before the definition itself goes (apiextensions-apiserver
//! `pkg/controller/finalizer`).

use super::definition::Definition;
use super::status::{self, FINALIZER};
use crate::cx::{Cx, Notes};
use crate::delete::delete_object;
use crate::options::DeleteOptions;
use crate::query::Query;
use crate::read::store_failure;
use crate::registry::ResourceInfo;
use crate::request::RequestInfo;
use crate::server::{ApiServer, internal_user};
use crate::{Result, object};
use futures::future::BoxFuture;
use http::HeaderMap;
use meta::object::ObjectExt;
use meta::{Reason, Status, Value};
use mvcc::Record;
use std::sync::Arc;
use std::time::Duration;
use storage::{Outcome, WatchItem};

const RETRY: Duration = Duration::from_secs(1);
/// How long objects may take to go before the status says that they do.
const PATIENCE: Duration = Duration::from_secs(60);
/// Deletes at a time.
const TOGETHER: usize = 16;

/// Runs until the definition's finalizer is gone.
pub async fn run(s: &Arc<ApiServer>, info: &ResourceInfo, name: &str) {
    while let Err(e) = attempt(s, info, name).await {
        tracing::warn!(name, error = %e, "cannot take the objects of a definition away; trying again");
        tokio::time::sleep(RETRY).await;
    }
}

struct Verdict {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn new(status: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }
    fn done(&self) -> bool {
        self.status == "False"
    }
}

async fn attempt(s: &Arc<ApiServer>, info: &ResourceInfo, name: &str) -> Result<()> {
    let started =
        Verdict::new("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress");
    let Some(crd) = write(s, info, name, &started).await? else { return Ok(()) };
    let group = crd.str_at("spec.group");
    let overlaps =
        s.registry().any_version(group, crd.str_at("spec.names.plural")).is_some_and(|i| !i.is_custom());
    let verdict = if overlaps {
        Verdict::new(
            "False",
            "OverlappingBuiltInResource",
            "instances overlap with built-in resources in storage",
        )
    } else if status::is_true(&crd, "Established") {
        loop {
            let v = remove_all(s, &crd).await;
            if v.done() || write(s, info, name, &v).await?.is_none() {
                break v;
            }
            if v.reason != "InstanceDeletionCheck" {
                return Err(Status::internal(v.message).into());
            }
        }
    } else {
        Verdict::new("False", "NeverEstablished", "resource was never established")
    };
    write(s, info, name, &verdict).await.map(|_| ())
}

/// Says so in the status; with the last word the finalizer goes. `None`: the definition is gone or not going.
async fn write(s: &Arc<ApiServer>, info: &ResourceInfo, name: &str, v: &Verdict) -> Result<Option<Value>> {
    let key = info.key("", name);
    let snap = s.store.latest().await.map_err(|e| store_failure(&e))?;
    let mut current = snap.get(&key);
    loop {
        let Some(r) = current else { return Ok(None) };
        let mut crd = object::decode(info, &r).await?;
        if crd.deletion_timestamp().is_none() || !crd.finalizers().contains(&FINALIZER) {
            return Ok(None);
        }
        status::set(&mut crd, "Terminating", v.status, v.reason, &v.message, s.now());
        let mut left: Vec<String> = crd.finalizers().into_iter().map(str::to_owned).collect();
        if v.done() {
            left.retain(|f| f != FINALIZER);
        }
        let outcome = if left.is_empty() {
            s.store.delete(&key, Some(r.mod_revision)).await
        } else {
            crd.metadata_mut().insert("finalizers".into(), left.into());
            let bytes = object::encode(info, &mut crd).await?;
            if bytes == r.value {
                return Ok(Some(crd));
            }
            s.store.put(&key, bytes, Some(r.mod_revision), 0).await
        };
        match outcome.map_err(|e| store_failure(&e))? {
            Outcome::Done(_) => return Ok(Some(crd)),
            Outcome::Conflict(now) => current = now,
        }
    }
}

/// Deletes all objects and waits for their finalizers.
async fn remove_all(s: &Arc<ApiServer>, crd: &Value) -> Verdict {
    let failed = |what: &str, e: &dyn std::fmt::Display| {
        Verdict::new("True", "InstanceDeletionFailed", format!("could not {what}: {e}"))
    };
    let def = match Definition::parse(crd, Arc::downgrade(s)) {
        Ok(d) => Arc::new(d),
        Err(e) => return failed("list instances", &e),
    };
    let stored = &def.stored().name;
    let Some(res) = def.resources(true).into_iter().find(|i| i.gvr.version == *stored).map(Arc::new) else {
        return failed("list instances", &"no version is stored");
    };
    let snap = match s.store.latest().await {
        Ok(snap) => snap,
        Err(e) => return failed("list instances", &e),
    };
    let mut records: Vec<Arc<Record>> = Vec::new();
    snap.scan(&res.prefix, "", &mut |r| {
        records.push(r.clone());
        true
    });
    let mut errors: Vec<String> = Vec::new();
    for some in records.chunks(TOGETHER) {
        let work: Vec<BoxFuture<'_, Result<()>>> =
            some.iter().map(|r| -> BoxFuture<'_, Result<()>> { Box::pin(remove(s, &res, r)) }).collect();
        let done = futures::future::join_all(work).await;
        errors.extend(done.into_iter().filter_map(|d| d.err().map(|e| e.to_string())));
    }
    if !errors.is_empty() {
        let text: Vec<&str> = errors.iter().take(10).map(String::as_str).collect();
        return failed("issue all deletes", &text.join(", "));
    }
    match tokio::time::timeout(PATIENCE, emptied(s, &res.prefix)).await {
        Ok(()) => Verdict::new("False", "InstanceDeletionCompleted", "removed all instances"),
        Err(_) => Verdict::new(
            "True",
            "InstanceDeletionCheck",
            "could not confirm zero CustomResources remaining: timed out waiting for the condition",
        ),
    }
}

async fn remove(s: &Arc<ApiServer>, res: &Arc<ResourceInfo>, r: &Record) -> Result<()> {
    let h = &object::ext(r).header;
    let info = RequestInfo {
        is_resource: true,
        verb: "delete".into(),
        group: res.gvr.group.clone(),
        version: res.gvr.version.clone(),
        resource: res.gvr.resource.clone(),
        namespace: h.namespace.clone(),
        name: h.name.clone(),
        ..RequestInfo::default()
    };
    let (name, query) = (h.name.clone(), Query::parse(""));
    let warnings = Arc::new(Notes::default());
    let cx =
        Cx::new(s.clone(), info, res.clone(), HeaderMap::new(), query.clone(), internal_user(), warnings);
    match delete_object(&cx, &name, &DeleteOptions::from_query(&query)?).await {
        Err(e) if !e.is(Reason::NotFound) => Err(e),
        _ => Ok(()),
    }
}

/// Waits until there is no key under the prefix.
async fn emptied(s: &Arc<ApiServer>, prefix: &str) {
    loop {
        let snap = s.store.cached();
        if snap.count(prefix) == 0 {
            return;
        }
        let Ok(mut w) = s.store.watch(prefix, snap.revision()) else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        loop {
            match w.next().await {
                None => return std::future::pending().await,
                Some(WatchItem::Lagged) => break,
                Some(WatchItem::Progress(_)) => {}
                Some(WatchItem::Events(_)) => {
                    if s.store.cached().count(prefix) == 0 {
                        return;
                    }
                }
            }
        }
    }
}
