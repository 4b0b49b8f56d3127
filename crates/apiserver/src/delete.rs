//! DELETE and deletecollection: finalizers, grace periods, preconditions (apiserver `pkg/registry/rest/delete.go`,
//! `pkg/registry/generic/registry/store.go`).

use crate::admit::{self, Admission};
use crate::body::{self, Expect};
use crate::cx::Cx;
use crate::list::{self, page};
use crate::negotiate::{Media, Partial};
use crate::options::{DeleteOptions, ListOptions};
use crate::read::store_failure;
use crate::registry::Gc;
use crate::{Failure, Result, encode, hooks, object, respond};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::status::Details;
use meta::time::Timestamp;
use meta::{FieldError, GroupKind, GroupResource, Path, Status, Value};
use mvcc::Record;
use schema::FieldValidation;
use serve::Body;
use std::sync::Arc;
use storage::Outcome;

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Objects of one page of a deletecollection.
const PAGE: i64 = 10_000;

/// What a delete answers with.
pub enum Deleted {
    Object(Value),
    Status { uid: String },
}

/// Options from the body, or from the query when there is none.
fn options(cx: &Cx, input: &Bytes) -> Result<DeleteOptions> {
    if input.is_empty() {
        return DeleteOptions::from_query(&cx.query);
    }
    let ty = schema::facts::type_named("meta.v1.DeleteOptions")
        .ok_or_else(|| Status::internal("no type meta.v1.DeleteOptions"))?;
    // Each group has DeleteOptions of its own versions; all are this type.
    let want = Expect { group: "meta.k8s.io", version: "v1", kind: "DeleteOptions", any_version: true };
    let v = body::decode_builtin(cx, &cx.headers, input, ty, &want, FieldValidation::Ignore)?;
    DeleteOptions::from_value(&v)
}

/// DELETE of one object.
pub async fn delete(cx: &Cx, input: Bytes) -> Result<Response<Body>> {
    let media = cx.media(Partial::Object)?;
    let o = options(cx, &input)?;
    if o.ignore_store_read_error {
        crate::chain::require(cx, "unsafe-delete-ignore-read-errors")?;
    }
    let (d, gone) = delete_object(cx, &cx.info.name, &o).await?;
    let code =
        if !gone && o.orphan_dependents == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
    match d {
        Deleted::Object(v) => {
            let body = encode::value(&cx.res, v, media, cx.include()?, cx.now)?;
            Ok(respond::object(code, media, body))
        }
        Deleted::Status { uid } => {
            let plain = Media { transform: crate::negotiate::Transform::None, ..media };
            let s = Status::success().with_details(Details {
                name: cx.info.name.clone(),
                group: cx.res.gvr.group.clone(),
                kind: cx.res.gvr.resource.clone(),
                uid,
                ..Details::default()
            });
            Ok(respond::object(code, plain, respond::status_bytes(&s, plain)))
        }
    }
}

/// What to do with an object that is to go.
enum Plan {
    /// Nothing more: it is on its way already.
    Pending,
    Now,
    /// Mark it and wait for finalizers or the kubelet.
    Mark,
}

/// Deletes one object; true when it is gone.
pub async fn delete_object(cx: &Cx, name: &str, o: &DeleteOptions) -> Result<(Deleted, bool)> {
    let key = cx.res.key(&cx.info.namespace, name);
    let snap = cx.server.store.latest().await.map_err(|e| store_failure(&e))?;
    let mut current = snap.get(&key);
    loop {
        let Some(r) = current else { return Err(cx.not_found(name)) };
        match attempt(cx, name, o, &key, &r).await? {
            Attempt::Done(d, gone) => return Ok((d, gone)),
            Attempt::Again(now) => current = now,
        }
    }
}

enum Attempt {
    Done(Deleted, bool),
    Again(Option<Arc<Record>>),
}

async fn attempt(cx: &Cx, name: &str, o: &DeleteOptions, key: &str, r: &Arc<Record>) -> Result<Attempt> {
    let old = match object::decode(&cx.res, r).await {
        Ok(v) => v,
        Err(e) if o.ignore_store_read_error => return unsafe_delete(cx, key, r, e).await,
        Err(e) => return Err(e),
    };
    preconditions(cx, &old, o)?;
    let mut obj = old.clone();
    hooks::before_delete(cx, &mut obj);
    let namespace = cx.res.is("", "namespaces");
    let plan = if namespace { plan_namespace(cx, &mut obj, o) } else { plan(cx, &mut obj, o) };
    if matches!(plan, Plan::Pending) {
        return Ok(Attempt::Done(finished(cx, obj, namespace), false));
    }
    let a = Admission {
        operation: admission::Operation::Delete,
        subresource: "",
        namespace: if namespace { name } else { &cx.info.namespace },
        name,
        dry_run: o.dry_run,
        kind: None,
        options: &|| o.shown(),
    };
    admit::mutate(cx, &a, None, Some(&old)).await?;
    admit::validate(cx, &a, None, Some(&old)).await?;
    let store = &cx.server.store;
    if matches!(plan, Plan::Mark) {
        if o.dry_run {
            return Ok(Attempt::Done(Deleted::Object(obj), false));
        }
        let bytes = object::encode(&cx.res, &mut obj).await?;
        if bytes == r.value {
            return Ok(Attempt::Done(Deleted::Object(obj), false));
        }
        return match store.put(key, bytes, Some(r.mod_revision), r.lease).await {
            Ok(Outcome::Done(new)) => {
                hooks::after_update(cx, &obj, &old).await;
                object::set_resource_version(&mut obj, new.mod_revision);
                Ok(Attempt::Done(Deleted::Object(obj), false))
            }
            Ok(Outcome::Conflict(now)) => Ok(Attempt::Again(now)),
            Err(e) => Err(store_failure(&e)),
        };
    }
    if !o.dry_run {
        match store.delete(key, Some(r.mod_revision)).await {
            Ok(Outcome::Done(t)) => {
                object::set_resource_version(&mut obj, t.mod_revision);
                hooks::after_delete(cx, &obj).await;
            }
            Ok(Outcome::Conflict(now)) => return Ok(Attempt::Again(now)),
            Err(e) => return Err(store_failure(&e)),
        }
    }
    Ok(Attempt::Done(finished(cx, obj, false), true))
}

fn finished(cx: &Cx, obj: Value, whole: bool) -> Deleted {
    if whole || cx.res.delete_returns_object {
        Deleted::Object(obj)
    } else {
        Deleted::Status { uid: obj.uid().to_owned() }
    }
}

/// An object that nobody can read any more goes without ceremony (its owner was asked for a special permission).
async fn unsafe_delete(cx: &Cx, key: &str, r: &Arc<Record>, why: Failure) -> Result<Attempt> {
    tracing::warn!(key, error = %why, "deleting an object that cannot be decoded");
    match cx.server.store.delete(key, Some(r.mod_revision)).await.map_err(|e| store_failure(&e))? {
        Outcome::Done(_) => Ok(Attempt::Done(Deleted::Status { uid: String::new() }, true)),
        Outcome::Conflict(now) => Ok(Attempt::Again(now)),
    }
}

fn preconditions(cx: &Cx, obj: &Value, o: &DeleteOptions) -> Result<()> {
    let conflict = |why: String| {
        let gr = GroupResource::new(&cx.res.gvk.group, &cx.res.gvk.kind);
        Err(Status::conflict(&gr, obj.name(), &why).into())
    };
    if let Some(uid) = &o.uid
        && uid != obj.uid()
    {
        return conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            obj.uid()
        ));
    }
    if let Some(rv) = &o.resource_version
        && rv != obj.resource_version()
    {
        return conflict(format!(
            "the ResourceVersion in the precondition ({rv}) does not match the ResourceVersion in record ({}). The object might have been modified",
            obj.resource_version()
        ));
    }
    Ok(())
}

/// The finalizers that the garbage collector shall see.
fn gc_finalizers(cx: &Cx, obj: &Value, o: &DeleteOptions) -> Vec<String> {
    let have = obj.finalizers();
    let has = |f: &str| have.contains(&f);
    let (orphan, foreground) = if cx.res.gc == Gc::Unsupported {
        (false, false)
    } else if let Some(orphan) = o.orphan_dependents {
        (orphan, false)
    } else {
        match o.propagation.as_deref() {
            Some("Orphan") => (true, false),
            Some("Foreground") => (false, true),
            Some(_) => (false, false),
            None if has(ORPHAN) => (true, false),
            None if has(FOREGROUND) => (false, true),
            None => (cx.res.gc == Gc::Orphan, false),
        }
    };
    let mut out: Vec<String> =
        have.iter().filter(|f| !matches!(**f, ORPHAN | FOREGROUND)).map(|f| (*f).to_owned()).collect();
    if orphan {
        out.push(ORPHAN.to_owned());
    }
    if foreground {
        out.push(FOREGROUND.to_owned());
    }
    out
}

fn set_finalizers(obj: &mut Value, f: Vec<String>) {
    let mut have: Vec<&str> = obj.finalizers();
    let mut want: Vec<&str> = f.iter().map(String::as_str).collect();
    have.sort_unstable();
    want.sort_unstable();
    if have == want {
        return;
    }
    if f.is_empty() {
        obj.metadata_mut().remove("finalizers");
    } else {
        obj.metadata_mut().insert("finalizers".into(), f.into());
    }
}

fn deletion_time(obj: &Value) -> Option<Timestamp> {
    Timestamp::parse(obj.deletion_timestamp()?)
}

fn mark(obj: &mut Value, at: Timestamp, grace: i64) {
    let first = obj.deletion_timestamp().is_none();
    if first && obj.generation() > 0 {
        let g = obj.generation() + 1;
        obj.metadata_mut().insert("generation".into(), g.into());
    }
    let m = obj.metadata_mut();
    m.insert("deletionTimestamp".into(), at.rfc3339().into());
    m.insert("deletionGracePeriodSeconds".into(), grace.into());
}

/// Decides, and changes the object accordingly.
fn plan(cx: &Cx, obj: &mut Value, o: &DeleteOptions) -> Plan {
    let asked = o.grace.map(|g| if g < 0 { 1 } else { g });
    let mut grace = 0;
    if cx.res.is("", "pods") {
        match graceful(cx, obj, asked) {
            Graceful::Pending => return Plan::Pending,
            Graceful::No => {}
            Graceful::Yes(g) => grace = g,
        }
    }
    let finalizers = gc_finalizers(cx, obj, o);
    set_finalizers(obj, finalizers);
    let pending = !obj.finalizers().is_empty();
    if grace > 0 {
        return Plan::Mark;
    }
    if !pending {
        return Plan::Now;
    }
    // Finalizers keep it: it is marked, and gone as soon as the last of them is.
    let at = match deletion_time(obj) {
        Some(t) if t <= cx.now => t,
        _ => cx.now,
    };
    mark(obj, at, 0);
    Plan::Mark
}

enum Graceful {
    No,
    Pending,
    Yes(i64),
}

/// Pods end gracefully: the kubelet deletes them, with grace 0, when their containers have stopped.
fn graceful(cx: &Cx, pod: &mut Value, asked: Option<i64>) -> Graceful {
    if let Some(at) = deletion_time(pod) {
        let old = pod.i64_at("metadata.deletionGracePeriodSeconds").unwrap_or(0);
        let old = if old < 0 { 1 } else { old };
        if old == 0 {
            return Graceful::No;
        }
        // The period may only become shorter.
        let Some(mut period) = asked.filter(|p| *p < old) else { return Graceful::Pending };
        let mut end = at.plus_seconds(period - old);
        if end < cx.now {
            end = cx.now;
            if period != 0 {
                period = 1;
            }
        }
        mark(pod, end, period);
        return Graceful::Yes(period);
    }
    let mut period = asked.or_else(|| pod.i64_at("spec.terminationGracePeriodSeconds")).unwrap_or(0);
    if pod.str_at("spec.nodeName").is_empty() || matches!(pod.str_at("status.phase"), "Failed" | "Succeeded")
    {
        period = 0;
    }
    if period < 0 {
        period = 1;
    }
    mark(pod, cx.now.plus_seconds(period), period);
    Graceful::Yes(period)
}

/// A namespace is first marked and Terminating; it goes when nothing holds it any more.
fn plan_namespace(cx: &Cx, ns: &mut Value, o: &DeleteOptions) -> Plan {
    if ns.deletion_timestamp().is_some() {
        if !ns.array_at("spec.finalizers").is_empty() {
            return Plan::Pending;
        }
        return plan(cx, ns, o);
    }
    let finalizers = gc_finalizers(cx, ns, o);
    set_finalizers(ns, finalizers);
    ns.metadata_mut().insert("deletionTimestamp".into(), cx.now.rfc3339().into());
    ns.set_at("status.phase", "Terminating");
    Plan::Mark
}

/// DELETE of all that is selected.
pub async fn delete_collection(cx: &Cx, input: Bytes) -> Result<Response<Body>> {
    let media = cx.media(Partial::List)?;
    let include = cx.include()?;
    let mut lo = ListOptions::parse(&cx.query, &cx.res, false, None)?;
    let o = options(cx, &input)?;
    if o.ignore_store_read_error {
        let e = FieldError::invalid(
            &Path::new("ignoreStoreReadErrorWithClusterBreakingPotential"),
            true,
            "is not allowed with DELETECOLLECTION, try again after removing the option",
        );
        return Err(Status::invalid(&GroupKind::new("meta.k8s.io", "DeleteOptions"), "", &vec![e]).into());
    }
    let only_one_page = lo.limit > 0;
    if !only_one_page {
        lo.limit = PAGE;
    }
    let mut all = page(cx, &cx.info.namespace, &lo).await?;
    let mut done = 0;
    loop {
        for r in &all.records[done..] {
            let h = object::ext(r).header.clone();
            let one = OneOf { cx, namespace: &h.namespace };
            match one.delete(&h.name, &o).await {
                Err(e) if e.is(meta::Reason::NotFound) => {}
                other => drop(other?),
            }
        }
        done = all.records.len();
        if only_one_page || all.continue_token.is_empty() {
            break;
        }
        lo.continue_token = std::mem::take(&mut all.continue_token);
        lo.resource_version.clear();
        let next = page(cx, &cx.info.namespace, &lo).await?;
        all.records.extend(next.records);
        all.continue_token = next.continue_token;
        all.remaining = None;
    }
    list::answer(cx, media, include, all).await
}

/// Deletes single objects of a collection that spans namespaces.
struct OneOf<'a> {
    cx: &'a Cx,
    namespace: &'a str,
}

impl OneOf<'_> {
    async fn delete(&self, name: &str, o: &DeleteOptions) -> Result<(Deleted, bool)> {
        if self.cx.info.namespace == self.namespace || !self.cx.res.namespaced {
            return delete_object(self.cx, name, o).await;
        }
        let mut cx = self.cx.on(self.cx.res.clone());
        cx.info.namespace = self.namespace.to_owned();
        delete_object(&cx, name, o).await
    }
}
