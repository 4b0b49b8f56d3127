//! CREATE and UPDATE: from a decoded object to a committed record (apiserver `pkg/registry/generic/registry/store.go`).

use crate::admit::{self, Admission};
use crate::cx::Cx;
use crate::hooks;
use crate::negotiate::{Media, Partial};
use crate::options::WriteOptions;
use crate::read::store_failure;
use crate::registry::ResourceInfo;
use crate::sub::scale;
use crate::{Failure, Result, body, encode, managed, object, prepare, respond};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::{FieldError, GroupKind, GroupVersionKind, Path, Reason, Status, Value};
use mvcc::Record;
use serve::Body;
use std::sync::Arc;
use storage::Outcome;

/// Attempts to find a free name.
const NAME_TRIES: usize = 8;
/// Longest part of a generated name that comes from `generateName`.
const NAME_BASE: usize = 63 - 5;

/// What a write led to.
pub enum Written {
    /// Committed (or found unchanged).
    Record(Arc<Record>),
    /// Not in the store: a dry run, or an object whose last finalizer went.
    Value(Value),
}

impl Written {
    /// The object, decoded.
    pub async fn value(self, info: &ResourceInfo) -> Result<Value> {
        match self {
            Self::Record(r) => object::decode(info, &r).await,
            Self::Value(v) => Ok(v),
        }
    }
}

/// The answer to a write.
pub async fn answer(cx: &Cx, code: StatusCode, media: Media, w: Written) -> Result<Response<Body>> {
    let include = cx.include()?;
    let body = match w {
        Written::Record(r) => encode::record(&cx.res, &r, media, include, cx.now).await?,
        Written::Value(v) => encode::value(&cx.res, v, media, include, cx.now)?,
    };
    Ok(respond::object(code, media, body))
}

/// POST.
pub async fn create(cx: &Cx, input: Bytes) -> Result<Response<Body>> {
    let media = cx.media(Partial::Object)?;
    let opts = WriteOptions::parse(&cx.query, "CreateOptions", false)?;
    let mut obj = body::decode_object(cx, &cx.headers, &input, opts.field_validation)?;
    prepare::wipe_system_fields(&mut obj);
    prepare::match_namespace(&cx.res, &cx.info.namespace, &mut obj)?;
    let w = create_object(cx, obj, &opts).await?;
    answer(cx, StatusCode::CREATED, media, w).await
}

/// Creates an object that is decoded, defaulted, and in the request's namespace.
pub async fn create_object(cx: &Cx, mut obj: Value, opts: &WriteOptions) -> Result<Written> {
    obj.metadata_mut().remove("resourceVersion");
    prepare::dedup_owners(cx, &mut obj, false);
    managed::on_update(cx, "", None, &mut obj, &opts.manager(cx.user_agent()));
    admit_create(cx, &mut obj, opts).await?;
    store_new(cx, obj, opts).await
}

fn namespace_of<'a>(cx: &'a Cx, name: &'a str) -> &'a str {
    // A namespace's own admission happens in it.
    if cx.res.is("", "namespaces") && cx.info.namespace.is_empty() { name } else { &cx.info.namespace }
}

async fn admit_create(cx: &Cx, obj: &mut Value, opts: &WriteOptions) -> Result<()> {
    let name = obj.name().to_owned();
    let a = Admission {
        operation: admission::Operation::Create,
        subresource: "",
        namespace: namespace_of(cx, &name),
        name: &name,
        dry_run: opts.dry_run,
        kind: None,
        options: &|| opts.shown(&cx.query, "CreateOptions"),
    };
    admit::mutate(cx, &a, Some(obj), None).await?;
    prepare::dedup_owners(cx, obj, true);
    Ok(())
}

/// Stores an admitted object, trying other names where the server makes the name.
async fn store_new(cx: &Cx, obj: Value, opts: &WriteOptions) -> Result<Written> {
    let generate = obj.str_at("metadata.generateName").to_owned();
    if generate.is_empty() || !obj.name().is_empty() {
        return store_once(cx, obj, opts).await;
    }
    let base: String = generate.chars().take(NAME_BASE).collect();
    let mut last = None;
    for _ in 0..NAME_TRIES {
        let mut seed = [0; 5];
        cx.server.fill_random(&mut seed);
        let mut o = obj.clone();
        let name = format!("{base}{}", meta::names::suffix(seed));
        o.metadata_mut().insert("name".into(), name.clone().into());
        match store_once(cx, o, opts).await {
            Err(e) if e.is(Reason::AlreadyExists) => last = Some(generated_name_taken(cx, &name)),
            other => return other,
        }
    }
    Err(last.unwrap_or_else(|| generated_name_taken(cx, &base)))
}

fn generated_name_taken(cx: &Cx, name: &str) -> Failure {
    let gr = cx.res.group_resource();
    let mut s = Status::already_exists(&gr, name).retry_after(1);
    s.message = format!(
        "{gr} {name:?} already exists, the server was not able to generate a unique name for the object"
    );
    s.into()
}

async fn store_once(cx: &Cx, mut obj: Value, opts: &WriteOptions) -> Result<Written> {
    let m = obj.metadata_mut();
    m.insert("uid".into(), cx.server.uuid().into());
    m.insert("creationTimestamp".into(), cx.now.rfc3339().into());
    let begun = hooks::begin_create(cx, &mut obj, opts.dry_run).await?;
    let done = commit_new(cx, obj, opts).await;
    begun.finish(cx, done.is_ok()).await;
    done
}

async fn commit_new(cx: &Cx, mut obj: Value, opts: &WriteOptions) -> Result<Written> {
    prepare::for_create(cx, &mut obj);
    prepare::validate_create(cx, &obj)?;
    let name = obj.name().to_owned();
    let a = Admission {
        operation: admission::Operation::Create,
        subresource: "",
        namespace: namespace_of(cx, &name),
        name: &name,
        dry_run: opts.dry_run,
        kind: None,
        options: &|| opts.shown(&cx.query, "CreateOptions"),
    };
    admit::validate(cx, &a, Some(&mut obj), None).await?;
    let key = cx.res.key(obj.namespace(), &name);
    let store = &cx.server.store;
    if opts.dry_run {
        let snap = store.latest().await.map_err(|e| store_failure(&e))?;
        return match snap.get(&key) {
            Some(r) => Err(taken(cx, &name, Some(&r))),
            None => Ok(Written::Value(obj)),
        };
    }
    let mut bytes = object::encode(&cx.res, &mut obj).await?;
    let lease = lease(cx).await?;
    loop {
        match store.put(&key, bytes.clone(), Some(0), lease).await {
            Ok(Outcome::Done(r)) => {
                hooks::after_create(cx, &obj).await;
                return Ok(Written::Record(r));
            }
            Ok(Outcome::Conflict(r)) => return Err(taken(cx, &name, r.as_ref())),
            // Too large: once more without the managed fields, which may be most of it.
            Err(storage::Error::TooLarge(_)) if obj.at("metadata.managedFields").is_some() => {
                obj.metadata_mut().remove("managedFields");
                bytes = object::encode(&cx.res, &mut obj).await?;
            }
            Err(e) => return Err(store_failure(&e)),
        }
    }
}

/// 409: the name is taken, perhaps by an object on its way out.
fn taken(cx: &Cx, name: &str, by: Option<&Arc<Record>>) -> Failure {
    let mut s = Status::already_exists(&cx.res.group_resource(), name);
    if by.is_some_and(|r| object::ext(r).header.deleting) {
        s.message = format!("object is being deleted: {}", s.message);
    }
    s.into()
}

async fn lease(cx: &Cx) -> Result<i64> {
    if cx.res.gvr.resource != "events" || cx.res.is_custom() || cx.server.cfg.event_ttl <= 0 {
        return Ok(0);
    }
    cx.server.store.lease(cx.server.cfg.event_ttl).await.map_err(|e| store_failure(&e))
}

/// PUT on the main endpoint, or on a subresource that holds the same kind.
pub async fn replace(cx: &Cx, input: Bytes) -> Result<Response<Body>> {
    let media = cx.media(Partial::Object)?;
    let opts = WriteOptions::parse(&cx.query, "UpdateOptions", false)?;
    let read = || -> Result<Value> {
        let mut obj = body::decode_object(cx, &cx.headers, &input, opts.field_validation)?;
        prepare::match_namespace(&cx.res, &cx.info.namespace, &mut obj)?;
        check_name(&obj, &cx.info.name)?;
        prepare::dedup_owners(cx, &mut obj, false);
        Ok(obj)
    };
    let obj = read()?;
    let u = Update {
        sub: cx.subresource(),
        name: &cx.info.name,
        opts: &opts,
        force_create: false,
        manage: true,
        uid: Some(obj.uid().to_owned()).filter(|u| !u.is_empty()),
    };
    // Once more from the body where somebody was faster.
    let mut first = Some(obj);
    let (w, created) = update(cx, &u, &mut |_| first.take().map_or_else(read, Ok)).await?;
    answer(cx, if created { StatusCode::CREATED } else { StatusCode::OK }, media, w).await
}

pub fn check_name(obj: &Value, name: &str) -> Result<()> {
    if obj.name() == name {
        return Ok(());
    }
    let text = if obj.name().is_empty() {
        format!("the name of the object ({name} based on URL) was undeterminable: name must be provided")
    } else {
        format!("the name of the object ({}) does not match the name on the URL ({name})", obj.name())
    };
    Err(Status::bad_request(text).into())
}

/// An update to be.
pub struct Update<'a> {
    /// The subresource whose rules hold; empty for the main endpoint.
    pub sub: &'a str,
    pub name: &'a str,
    pub opts: &'a WriteOptions,
    /// Create the object when it is absent, whatever the kind (apply).
    pub force_create: bool,
    /// Work out managedFields from what changed (apply has done so itself).
    pub manage: bool,
    /// The uid that the object must have.
    pub uid: Option<String>,
}

/// Makes the new object from the current one (`None`: absent).
pub type Change<'a> = dyn FnMut(Option<&Value>) -> Result<Value> + Send + 'a;

/// Changes an object, again and again until nobody else changed it in between; true where it was created.
pub async fn update(cx: &Cx, u: &Update<'_>, change: &mut Change<'_>) -> Result<(Written, bool)> {
    let key = cx.res.key(&cx.info.namespace, u.name);
    let mut current = {
        let snap = cx.server.store.latest().await.map_err(|e| store_failure(&e))?;
        snap.get(&key)
    };
    loop {
        let Some(r) = current else {
            if !cx.res.create_on_update && !u.force_create {
                return Err(cx.not_found(u.name));
            }
            return Box::pin(create_by_update(cx, u, change)).await.map(|w| (w, true));
        };
        match attempt(cx, u, change, &key, &r).await? {
            Attempt::Done(w) => return Ok((w, false)),
            Attempt::Again(now) => current = now,
        }
    }
}

async fn create_by_update(cx: &Cx, u: &Update<'_>, change: &mut Change<'_>) -> Result<Written> {
    let mut obj = change(None)?;
    if let Some(uid) = &u.uid {
        return Err(uid_differs(cx, u.name, uid, ""));
    }
    prepare::wipe_system_fields(&mut obj);
    obj.metadata_mut().remove("resourceVersion");
    if u.manage {
        managed::on_update(cx, u.sub, None, &mut obj, &u.opts.manager(cx.user_agent()));
    }
    admit_create(cx, &mut obj, u.opts).await?;
    crate::chain::require(cx, "create")?;
    store_once(cx, obj, u.opts).await
}

fn uid_differs(cx: &Cx, name: &str, wanted: &str, have: &str) -> Failure {
    let key = cx.res.key(&cx.info.namespace, name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object meta: {have}"
    );
    Status::conflict(&cx.res.group_resource(), name, &why).into()
}

enum Attempt {
    Done(Written),
    /// Somebody was faster; what is there now.
    Again(Option<Arc<Record>>),
}

/// The kind that admission of a scale sees.
fn scale_kind(cx: &Cx, sub: &str) -> Option<GroupVersionKind> {
    let s = cx.res.sub(sub).filter(|_| sub == "scale")?;
    Some(GroupVersionKind::new(&s.group, &s.version, &s.kind))
}

async fn attempt(
    cx: &Cx,
    u: &Update<'_>,
    change: &mut Change<'_>,
    key: &str,
    r: &Arc<Record>,
) -> Result<Attempt> {
    let gr = cx.res.group_resource();
    let old = object::decode(&cx.res, r).await?;
    if let Some(uid) = &u.uid
        && uid != old.uid()
    {
        return Err(uid_differs(cx, u.name, uid, old.uid()));
    }
    let mut obj = change(Some(&old))?;
    if u.manage {
        managed::on_update(cx, u.sub, Some(&old), &mut obj, &u.opts.manager(cx.user_agent()));
    }
    let scale = scale_kind(cx, u.sub);
    let a = Admission {
        operation: admission::Operation::Update,
        subresource: u.sub,
        namespace: namespace_of(cx, u.name),
        name: u.name,
        dry_run: u.opts.dry_run,
        kind: scale.as_ref(),
        options: &|| u.opts.shown(&cx.query, "UpdateOptions"),
    };
    scale::mutate(cx, &a, &mut obj, &old).await?;
    prepare::dedup_owners(cx, &mut obj, true);

    if obj.resource_version().is_empty() {
        if !cx.res.unconditional_update {
            let e = FieldError {
                kind: meta::field::ErrorType::Invalid,
                field: Path::new("metadata").child("resourceVersion").to_string(),
                value: Some("0x0".into()),
                detail: "must be specified for an update".into(),
            };
            let kind = GroupKind::new(&gr.group, &gr.resource);
            return Err(Status::invalid(&kind, u.name, &vec![e]).into());
        }
        object::set_resource_version(&mut obj, r.mod_revision);
    } else if obj.resource_version() != old.resource_version() {
        return Err(Status::modified(&gr, u.name).into());
    }

    let begun = hooks::begin_update(cx, u.sub, &mut obj, &old, u.opts.dry_run).await?;
    let done = commit_update(cx, u, &a, obj, &old, key, r).await;
    begun.finish(cx, matches!(done, Ok(Attempt::Done(_)))).await;
    done
}

async fn commit_update(
    cx: &Cx,
    u: &Update<'_>,
    a: &Admission<'_>,
    mut obj: Value,
    old: &Value,
    key: &str,
    r: &Arc<Record>,
) -> Result<Attempt> {
    prepare::match_namespace(&cx.res, &cx.info.namespace, &mut obj)?;
    prepare::for_update(cx, u.sub, &mut obj, old);
    prepare::keep_metadata(&mut obj, old);
    prepare::validate_update(cx, u.sub, &obj, old)?;
    managed::keep_timestamps(old, &mut obj);
    scale::validate(cx, a, &mut obj, old).await?;
    let store = &cx.server.store;

    if deletes(&cx.res, &obj, old) {
        if !u.opts.dry_run {
            match store.delete(key, Some(r.mod_revision)).await.map_err(|e| store_failure(&e))? {
                Outcome::Done(_) | Outcome::Conflict(None) => hooks::after_delete(cx, &obj).await,
                Outcome::Conflict(now) => return Ok(Attempt::Again(now)),
            }
        }
        return Ok(Attempt::Done(Written::Value(obj)));
    }
    let mut bytes = object::encode(&cx.res, &mut obj).await?;
    if bytes == r.value {
        return Ok(Attempt::Done(Written::Record(r.clone())));
    }
    if u.opts.dry_run {
        return Ok(Attempt::Done(Written::Value(obj)));
    }
    let lease = match lease(cx).await? {
        0 => r.lease,
        l => l,
    };
    loop {
        match store.put(key, bytes.clone(), Some(r.mod_revision), lease).await {
            Ok(Outcome::Done(new)) => {
                hooks::after_update(cx, &obj, old).await;
                return Ok(Attempt::Done(Written::Record(new)));
            }
            Ok(Outcome::Conflict(now)) => return Ok(Attempt::Again(now)),
            Err(storage::Error::TooLarge(_)) if obj.at("metadata.managedFields").is_some() => {
                obj.metadata_mut().remove("managedFields");
                bytes = object::encode(&cx.res, &mut obj).await?;
            }
            Err(e) => return Err(store_failure(&e)),
        }
    }
}

/// Changes an object below strategies and admission, which the caller has seen to.
pub async fn modify(
    cx: &Cx,
    name: &str,
    dry_run: bool,
    change: &mut (dyn FnMut(&mut Value) -> Result<()> + Send),
) -> Result<Written> {
    let store = &cx.server.store;
    let key = cx.res.key(&cx.info.namespace, name);
    let mut current = store.latest().await.map_err(|e| store_failure(&e))?.get(&key);
    loop {
        let Some(r) = current else { return Err(cx.not_found(name)) };
        let mut obj = object::decode(&cx.res, &r).await?;
        change(&mut obj)?;
        let bytes = object::encode(&cx.res, &mut obj).await?;
        if bytes == r.value {
            return Ok(Written::Record(r));
        }
        if dry_run {
            return Ok(Written::Value(obj));
        }
        match store.put(&key, bytes, Some(r.mod_revision), r.lease).await.map_err(|e| store_failure(&e))? {
            Outcome::Done(new) => return Ok(Written::Record(new)),
            Outcome::Conflict(now) => current = now,
        }
    }
}

/// Whether an update takes the last finalizer of an object that is being deleted.
fn deletes(info: &ResourceInfo, obj: &Value, old: &Value) -> bool {
    obj.finalizers().is_empty()
        && old.deletion_timestamp().is_some()
        && old.i64_at("metadata.deletionGracePeriodSeconds").unwrap_or(0) == 0
        && (!info.is("", "namespaces") || obj.array_at("spec.finalizers").is_empty())
}
