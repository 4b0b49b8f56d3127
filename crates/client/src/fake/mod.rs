//! An API server for tests: objects of any resource in memory, with versions, selectors, watches, finalizers and the
//! three JSON patches in short. No defaults, no validation, no admission.

#![allow(clippy::result_large_err, reason = "a test server")]

mod apply;
mod path;

use crate::raw::{Body, Error, ListWatch, RawEvent, RawList, RawObject, RawStream, Transport};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use meta::object::ObjectExt;
use meta::selector::Selector;
use meta::{GroupResource, Status};
use path::Target;
use schema::Header;
use schema::header::Owner;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

type Reaction = Box<dyn Fn(&Request<Bytes>) -> Option<Status> + Send + Sync>;

/// A transport to an API server in memory. Clones are the same server.
#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<(String, String, String), Value>,
    history: Vec<(u64, String, RawEvent)>,
    watchers: Vec<(ListWatch, mpsc::UnboundedSender<Result<RawEvent, Error>>)>,
    reactions: Vec<Reaction>,
    answers: HashMap<String, Value>,
    log: Vec<String>,
    names: u64,
    now: Option<String>,
    /// Watches from before this version are answered 410.
    floor: u64,
}

impl FakeApi {
    pub fn new() -> Self {
        Self::default()
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The time that the server stamps objects with (RFC 3339).
    pub fn set_now(&self, now: &str) {
        self.lock().now = Some(now.to_owned());
    }
    /// Puts an object there as it stands; `resource` is its plural name.
    pub fn seed(&self, resource: &str, mut object: Value) -> Value {
        let group = object.str_at("apiVersion").rsplit_once('/').map_or("", |(g, _)| g).to_owned();
        let mut s = self.lock();
        if object.uid().is_empty() {
            let uid = s.next_name("uid");
            object.set_at("metadata.uid", uid);
        }
        if object.generation() == 0 {
            object.set_at("metadata.generation", 1);
        }
        if object.str_at("metadata.creationTimestamp").is_empty() {
            object.set_at("metadata.creationTimestamp", s.now());
        }
        s.store(&GroupResource::new(group, resource), object, true)
    }
    /// Changes an object in place, as some other client would; nothing when it is not there.
    pub fn edit(&self, group: &str, resource: &str, namespace: &str, name: &str, f: impl FnOnce(&mut Value)) {
        let mut s = self.lock();
        let gr = GroupResource::new(group, resource);
        let Some(mut v) = s.objects.get(&key(&gr, namespace, name)).cloned() else { return };
        let spec = v.at("spec").cloned();
        f(&mut v);
        if v.at("spec") != spec.as_ref() {
            let generation = v.generation() + 1;
            v.set_at("metadata.generation", generation);
        }
        s.store(&gr, v, false);
    }
    /// Takes an object away, whatever its finalizers.
    pub fn remove(&self, group: &str, resource: &str, namespace: &str, name: &str) {
        let mut s = self.lock();
        let gr = GroupResource::new(group, resource);
        if let Some(v) = s.objects.get(&key(&gr, namespace, name)).cloned() {
            s.remove(&gr, v);
        }
    }
    /// An object as it is now.
    pub fn object(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lock().objects.get(&key(&GroupResource::new(group, resource), namespace, name)).cloned()
    }
    /// All objects of a resource.
    pub fn objects(&self, group: &str, resource: &str) -> Vec<Value> {
        let gr = GroupResource::new(group, resource).to_string();
        self.lock().objects.iter().filter(|(k, _)| k.0 == gr).map(|(_, v)| v.clone()).collect()
    }
    /// Lets requests fail: the first reaction that answers something decides.
    pub fn react(&self, f: impl Fn(&Request<Bytes>) -> Option<Status> + Send + Sync + 'static) {
        self.lock().reactions.push(Box::new(f));
    }
    /// Answers GETs of a path with this; or other requests, as `POST /path`.
    pub fn answer(&self, path: &str, v: Value) {
        self.lock().answers.insert(path.to_owned(), v);
    }
    /// The writes so far, as `METHOD path body`; forgotten once read.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().log)
    }
    /// Ends all watches, and answers those that would go on from before now with 410.
    pub fn expire_watches(&self) {
        let mut s = self.lock();
        s.revision += 1;
        s.floor = s.revision;
        s.history.clear();
        let gone = || Err(Error::Status(Box::new(Status::expired("too old resource version"))));
        for (_, tx) in s.watchers.drain(..) {
            let _ = tx.send(gone());
        }
    }
}

fn key(gr: &GroupResource, ns: &str, name: &str) -> (String, String, String) {
    (gr.to_string(), ns.to_owned(), name.to_owned())
}

/// The header of an object held as a value.
fn header(v: &Value) -> Header {
    let pairs = |path: &str| -> Vec<(String, String)> {
        let m = v.at(path).and_then(Value::as_object);
        m.into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
    };
    let owner = |o: &Value| Owner {
        api_version: o.str_at("apiVersion").into(),
        kind: o.str_at("kind").into(),
        name: o.str_at("name").into(),
        uid: o.str_at("uid").into(),
        controller: o.bool_at("controller"),
        block_owner_deletion: o.bool_at("blockOwnerDeletion"),
    };
    Header {
        name: v.name().into(),
        namespace: v.namespace().into(),
        uid: v.uid().into(),
        generation: v.generation(),
        labels: pairs("metadata.labels"),
        annotations: pairs("metadata.annotations"),
        owners: v.array_at("metadata.ownerReferences").iter().map(owner).collect(),
        finalizers: v.finalizers().into_iter().map(str::to_owned).collect(),
        deleting: v.deletion_timestamp().is_some(),
    }
}

fn raw(v: &Value) -> RawObject {
    RawObject {
        header: Arc::new(header(v)),
        resource_version: v.resource_version().parse().unwrap_or(0),
        body: Bytes::from(v.to_string()),
        json: true,
    }
}

fn wanted(what: &ListWatch, o: &RawObject, v: Option<&Value>) -> bool {
    let fields = what.field_selector.split(',').filter(|f| !f.is_empty()).all(|f| {
        let (path, want) = f.split_once('=').unwrap_or((f, ""));
        let (path, negate) = path.strip_suffix('!').map_or((path, false), |p| (p, true));
        let body: Value = v.cloned().unwrap_or_else(|| serde_json::from_slice(&o.body).unwrap_or_default());
        (body.str_at(path) == want.trim_start_matches('=')) != negate
    });
    let labels = Selector::parse(&what.label_selector).is_ok_and(|s| s.matches(|k| o.header.label(k)));
    (what.namespace.is_empty() || what.namespace == o.header.namespace) && labels && fields
}

impl State {
    fn next_name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}-{}", self.names)
    }
    fn emit(&mut self, gr: &GroupResource, e: RawEvent) {
        self.history.push((self.revision, gr.to_string(), e.clone()));
        self.watchers.retain(|(w, tx)| {
            if w.group != gr.group || w.resource != gr.resource || !event_wanted(w, &e) {
                return !tx.is_closed();
            }
            tx.send(Ok(e.clone())).is_ok()
        });
    }
    /// Writes an object with the next version.
    fn store(&mut self, gr: &GroupResource, mut v: Value, new: bool) -> Value {
        self.revision += 1;
        v.set_at("metadata.resourceVersion", self.revision.to_string());
        self.objects.insert(key(gr, v.namespace(), v.name()), v.clone());
        let o = raw(&v);
        self.emit(gr, if new { RawEvent::Added(o) } else { RawEvent::Modified(o) });
        v
    }
    fn remove(&mut self, gr: &GroupResource, mut v: Value) -> Value {
        self.revision += 1;
        v.set_at("metadata.resourceVersion", self.revision.to_string());
        self.objects.remove(&key(gr, v.namespace(), v.name()));
        self.emit(gr, RawEvent::Deleted(raw(&v)));
        v
    }
    fn now(&self) -> String {
        self.now.clone().unwrap_or_else(|| "2024-01-01T00:00:00Z".into())
    }
}

fn event_wanted(w: &ListWatch, e: &RawEvent) -> bool {
    match e {
        RawEvent::Added(o) | RawEvent::Modified(o) | RawEvent::Deleted(o) => wanted(w, o, None),
        _ => true,
    }
}

impl FakeApi {
    fn handle(&self, req: &Request<Bytes>) -> Result<Value, Status> {
        let mut s = self.lock();
        let path = req.uri().path().to_owned();
        if req.method() != Method::GET {
            let body = String::from_utf8_lossy(req.body());
            s.log.push(format!("{} {path} {body}", req.method()).trim_end().to_owned());
        }
        if let Some(f) = s.reactions.iter().find_map(|r| r(req)) {
            return Err(f);
        }
        let asked =
            if req.method() == Method::GET { path.clone() } else { format!("{} {path}", req.method()) };
        if let Some(v) = s.answers.get(&asked) {
            return Ok(v.clone());
        }
        let t = Target::parse(&path).ok_or_else(Status::no_such_resource)?;
        if req.method() == Method::GET && t.name.is_empty() {
            return Ok(s.list(&t, req.uri().query().unwrap_or_default()));
        }
        s.serve(req.method(), &t, req)
    }
}

impl State {
    fn list(&self, t: &Target, query: &str) -> Value {
        let what = ListWatch {
            namespace: t.namespace.clone(),
            label_selector: path::query(query, "labelSelector"),
            field_selector: path::query(query, "fieldSelector"),
            ..ListWatch::default()
        };
        let gr = t.resource.to_string();
        let all = self.objects.iter().filter(|(k, v)| k.0 == gr && wanted(&what, &raw(v), Some(v)));
        let items: Vec<&Value> = all.map(|(_, v)| v).collect();
        json!({ "kind": "List", "apiVersion": "v1",
            "metadata": { "resourceVersion": self.revision.max(1).to_string() }, "items": items })
    }

    fn serve(&mut self, method: &Method, t: &Target, req: &Request<Bytes>) -> Result<Value, Status> {
        let gr = &t.resource;
        let parse = |b: &[u8]| {
            serde_json::from_slice::<Value>(b).map_err(|e| Status::bad_request(format!("bad body: {e}")))
        };
        if *method == Method::POST {
            if t.subresource == "binding" {
                let node = parse(req.body())?.str_at("target.name").to_owned();
                let pod = self.objects.get_mut(&key(gr, &t.namespace, &t.name));
                let mut pod = pod.ok_or_else(|| Status::not_found(gr, &t.name))?.clone();
                pod.set_at("spec.nodeName", node);
                self.store(gr, pod, false);
            }
            if !t.subresource.is_empty() {
                return Ok(json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }));
            }
            return self.create(t, parse(req.body())?);
        }
        if *method == Method::DELETE && t.name.is_empty() {
            let gr = gr.to_string();
            let here = self.objects.iter().filter(|(k, _)| k.0 == gr && k.1 == t.namespace);
            for v in here.map(|(_, v)| v.clone()).collect::<Vec<_>>() {
                self.delete(&t.resource, v, &Value::Null)?;
            }
            return Ok(json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }));
        }
        let old = self.objects.get(&key(gr, &t.namespace, &t.name)).cloned();
        let old = old.ok_or_else(|| Status::not_found(gr, &t.name))?;
        match method.as_str() {
            "GET" => Ok(old),
            "PUT" => {
                let new = parse(req.body())?;
                self.update(t, old, new)
            }
            "PATCH" => {
                let kind =
                    req.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
                let new = apply::patch(&old, kind, &parse(req.body())?)?;
                self.update(t, old, new)
            }
            "DELETE" => {
                let opts = if req.body().is_empty() { Value::Null } else { parse(req.body())? };
                self.delete(gr, old, &opts)
            }
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn create(&mut self, t: &Target, mut v: Value) -> Result<Value, Status> {
        if v.name().is_empty() {
            let prefix = v.str_at("metadata.generateName").to_owned();
            let name = self.next_name(prefix.trim_end_matches('-'));
            v.set_at("metadata.name", name);
        }
        if !t.namespace.is_empty() {
            v.set_at("metadata.namespace", t.namespace.as_str());
        }
        if self.objects.contains_key(&key(&t.resource, &t.namespace, v.name())) {
            return Err(Status::already_exists(&t.resource, v.name()));
        }
        let uid = self.next_name("uid");
        v.set_at("metadata.uid", uid);
        v.set_at("metadata.creationTimestamp", self.now());
        v.set_at("metadata.generation", 1);
        Ok(self.store(&t.resource, v, true))
    }

    fn update(&mut self, t: &Target, old: Value, mut new: Value) -> Result<Value, Status> {
        let gr = &t.resource;
        if !new.resource_version().is_empty() && new.resource_version() != old.resource_version() {
            return Err(Status::modified(gr, &t.name));
        }
        let status = new.at("status").cloned();
        if matches!(t.subresource.as_str(), "status" | "approval") {
            // As upstream for most kinds: spec and labels are kept, annotations are taken.
            for f in ["spec", "metadata.labels", "metadata.ownerReferences", "metadata.finalizers"] {
                match old.at(f) {
                    Some(v) => new.set_at(f, v.clone()),
                    None => drop(new.remove_at(f)),
                }
            }
            new.set_at("status", status.unwrap_or_default());
        } else if let Some(s) = old.at("status") {
            new.set_at("status", s.clone());
        } else {
            new.remove_at("status");
        }
        for f in [
            "metadata.uid",
            "metadata.creationTimestamp",
            "metadata.deletionTimestamp",
            "metadata.generation",
        ] {
            if let Some(v) = old.at(f) {
                new.set_at(f, v.clone());
            }
        }
        if new.at("spec") != old.at("spec") {
            new.set_at("metadata.generation", old.generation() + 1);
        }
        let finalized = new.finalizers().is_empty() && new.array_at("spec.finalizers").is_empty();
        // A pod that runs is gone only when its kubelet says so.
        let runs = gr.resource == "pods" && new.i64_at("metadata.deletionGracePeriodSeconds") != Some(0);
        if new.deletion_timestamp().is_some() && finalized && !runs {
            return Ok(self.remove(gr, new));
        }
        new.set_at("metadata.resourceVersion", old.resource_version());
        if new == old {
            return Ok(old);
        }
        Ok(self.store(gr, new, false))
    }

    fn delete(&mut self, gr: &GroupResource, mut v: Value, opts: &Value) -> Result<Value, Status> {
        for (field, have) in [("uid", v.uid()), ("resourceVersion", v.resource_version())] {
            let want = opts.str_at(&format!("preconditions.{field}"));
            if !want.is_empty() && want != have {
                return Err(Status::conflict(gr, v.name(), "the precondition failed"));
            }
        }
        let mut finalizers: Vec<String> = v.finalizers().into_iter().map(str::to_owned).collect();
        match opts.str_at("propagationPolicy") {
            "Foreground" => finalizers.push("foregroundDeletion".into()),
            "Orphan" => finalizers.push("orphan".into()),
            _ => {}
        }
        finalizers.dedup();
        let running = gr.resource == "pods" && !v.str_at("spec.nodeName").is_empty();
        let grace = opts.i64_at("gracePeriodSeconds").unwrap_or(if running { 30 } else { 0 });
        let waits = running && grace > 0 && !matches!(v.str_at("status.phase"), "Succeeded" | "Failed");
        if finalizers.is_empty() && v.array_at("spec.finalizers").is_empty() && !waits {
            return Ok(self.remove(gr, v));
        }
        if !finalizers.is_empty() {
            v.set_at("metadata.finalizers", json!(finalizers));
        }
        if v.deletion_timestamp().is_none() {
            v.set_at("metadata.deletionTimestamp", self.now());
            v.set_at("metadata.deletionGracePeriodSeconds", grace);
        }
        Ok(self.store(gr, v, false))
    }
}

impl Transport for FakeApi {
    fn call(&self, req: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Error>> {
        let (code, v) = match self.handle(&req) {
            Ok(v) => (StatusCode::OK, v),
            Err(s) => (
                StatusCode::from_u16(s.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                serde_json::to_value(&s).unwrap_or_default(),
            ),
        };
        let body = Full::new(Bytes::from(v.to_string())).map_err(|e| match e {}).boxed_unsync();
        let mut resp = Response::new(body);
        *resp.status_mut() = code;
        futures::future::ready(Ok(resp)).boxed()
    }
    fn list(&self, what: ListWatch) -> BoxFuture<'_, Result<RawList, Error>> {
        let s = self.lock();
        let gr = GroupResource::new(&what.group, &what.resource).to_string();
        let items = s.objects.iter().filter(|(k, v)| k.0 == gr && wanted(&what, &raw(v), Some(v)));
        let items = items.map(|(_, v)| raw(v)).collect();
        let list = RawList { resource_version: s.revision.max(1), items };
        futures::future::ready(Ok(list)).boxed()
    }
    fn watch(&self, what: ListWatch, rv: u64) -> BoxFuture<'_, Result<RawStream, Error>> {
        let mut s = self.lock();
        if rv < s.floor {
            let e = Error::Status(Box::new(Status::expired("too old resource version")));
            return futures::future::ready(Err(e)).boxed();
        }
        let (tx, rx) = mpsc::unbounded_channel();
        let gr = GroupResource::new(&what.group, &what.resource).to_string();
        for (_, _, e) in s.history.iter().filter(|(r, g, e)| *r > rv && *g == gr && event_wanted(&what, e)) {
            let _ = tx.send(Ok(e.clone()));
        }
        s.watchers.push((what, tx));
        let stream = futures::stream::unfold(rx, |mut rx| async move { rx.recv().await.map(|e| (e, rx)) });
        futures::future::ready(Ok(stream.boxed())).boxed()
    }
}
