//! `scale`: the replicas of a workload as an object of their own (kubernetes `pkg/registry/apps/*/storage`, and the
//! same for custom resources).

use crate::admit::{self, Admission};
use crate::body::{self, Expect};
use crate::cx::Cx;
use crate::options::WriteOptions;
use crate::patching::{self, Kind, Patch};
use crate::registry::{Codec, ResourceInfo};
use crate::write::{Update, update};
use crate::{Failure, Result, object, prepare, read, respond};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::selector::Selector;
use meta::{FieldError, GroupKind, GroupResource, Path, Status, Value};
use patch::managed::{OneVersion, Request, scale as entries};
use schema::{FieldValidation, Node, TypeId};
use serde_json::json;
use serve::Body;

const VERSION: &str = "autoscaling/v1";

fn scale_type() -> Result<TypeId> {
    let ty = schema::facts::type_of("autoscaling", "v1", "Scale");
    ty.ok_or_else(|| Status::internal("no type autoscaling/v1 Scale").into())
}

/// Where a resource keeps its replicas and selector.
struct Paths {
    replicas: String,
    status: String,
    /// Of a selector as a string; empty: `spec.selector` is an object.
    selector: String,
}

fn paths(info: &ResourceInfo) -> Result<Paths> {
    match &info.codec {
        Codec::Builtin(_) => Ok(Paths {
            replicas: "spec.replicas".into(),
            status: "status.replicas".into(),
            selector: String::new(),
        }),
        Codec::Custom(c) => {
            let p = c.scale().ok_or_else(|| -> Failure { Status::no_such_resource().into() })?;
            Ok(Paths {
                replicas: p.spec_replicas.to_owned(),
                status: p.status_replicas.to_owned(),
                selector: p.label_selector.to_owned(),
            })
        }
    }
}

fn selector(info: &ResourceInfo, parent: &Value, p: &Paths) -> Result<String> {
    if info.is_custom() {
        return Ok(if p.selector.is_empty() { String::new() } else { parent.str_at(&p.selector).to_owned() });
    }
    let s = parent.at("spec.selector");
    if info.is("", "replicationcontrollers") {
        let pairs = s.and_then(Value::as_object).into_iter().flatten();
        let pairs = pairs.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or("")));
        return Ok(Selector::from_map(pairs).to_string());
    }
    meta::labels::from_label_selector(s).map(|s| s.to_string()).map_err(|e| Status::bad_request(e).into())
}

fn of_parent(info: &ResourceInfo, parent: &Value, p: &Paths) -> Result<Value> {
    let mut m =
        json!({ "name": parent.name(), "uid": parent.uid(), "resourceVersion": parent.resource_version() });
    if info.namespaced {
        m["namespace"] = parent.namespace().into();
    }
    if let Some(t) = parent.at("metadata.creationTimestamp") {
        m["creationTimestamp"] = t.clone();
    }
    let replicas = parent.i64_at(&p.replicas);
    if replicas.is_none() && info.is_custom() {
        let text = format!("the spec replicas field {:?} does not exist", p.replicas);
        return Err(Status::internal(text).into());
    }
    let mut s = json!({
        "kind": "Scale", "apiVersion": VERSION, "metadata": m,
        "spec": {}, "status": { "replicas": parent.i64_at(&p.status).unwrap_or(0) },
    });
    if let Some(n) = replicas.filter(|n| *n != 0) {
        s["spec"]["replicas"] = n.into();
    }
    let text = selector(info, parent, p)?;
    if !text.is_empty() {
        s["status"]["selector"] = text.into();
    }
    Ok(s)
}

/// Whether an update is one of a scale, whose admission sees the scale and not its parent.
fn is_scale(a: &Admission<'_>) -> bool {
    a.subresource == "scale"
}

/// Mutating admission of an update: of the object, or of its scale.
pub async fn mutate(cx: &Cx, a: &Admission<'_>, obj: &mut Value, old: &Value) -> Result<()> {
    if !is_scale(a) {
        return admit::mutate(cx, a, Some(obj), Some(old)).await;
    }
    let p = paths(&cx.res)?;
    let mut s = of_parent(&cx.res, obj, &p)?;
    let before = of_parent(&cx.res, old, &p)?;
    admit::mutate(cx, a, Some(&mut s), Some(&before)).await?;
    obj.set_at(&p.replicas, s.i64_at("spec.replicas").unwrap_or(0));
    Ok(())
}

/// Validating admission of an update: of the object, or of its scale.
pub async fn validate(cx: &Cx, a: &Admission<'_>, obj: &mut Value, old: &Value) -> Result<()> {
    if !is_scale(a) {
        return admit::validate(cx, a, Some(obj), Some(old)).await;
    }
    let p = paths(&cx.res)?;
    let (mut s, before) = (of_parent(&cx.res, obj, &p)?, of_parent(&cx.res, old, &p)?);
    admit::validate(cx, a, Some(&mut s), Some(&before)).await
}

pub async fn get(cx: &Cx) -> Result<Response<Body>> {
    let media = cx.plain_media()?;
    let r = read::record(cx, cx.query.get("resourceVersion").unwrap_or("")).await?;
    let parent = object::decode(&cx.res, &r).await?;
    let s = of_parent(&cx.res, &parent, &paths(&cx.res)?)?;
    Ok(respond::value(StatusCode::OK, media, &s))
}

/// What comes in: a whole scale, or a patch of one.
enum Wanted {
    Whole(Value),
    Patch(Patch),
}

pub async fn write(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let media = cx.plain_media()?;
    let p = paths(&cx.res)?;
    let ty = scale_type()?;
    let (wanted, opts) = if cx.info.verb == "patch" {
        let kind = patching::kind(cx)?;
        let opts = WriteOptions::parse(&cx.query, "PatchOptions", kind == Kind::Apply)?;
        (Wanted::Patch(Patch::parse(kind, input)?), opts)
    } else {
        let opts = WriteOptions::parse(&cx.query, "UpdateOptions", false)?;
        let want = Expect { group: "autoscaling", version: "v1", kind: "Scale", any_version: false };
        let mut v = body::decode_builtin(cx, &cx.headers, input, ty, &want, opts.field_validation)?;
        prepare::match_namespace(&cx.res, &cx.info.namespace, &mut v)?;
        crate::write::check_name(&v, &cx.info.name)?;
        (Wanted::Whole(v), opts)
    };
    let u = Update {
        sub: "scale",
        name: &cx.info.name,
        opts: &opts,
        force_create: false,
        manage: false,
        uid: None,
    };
    let mut change = |old: Option<&Value>| {
        let old = old.ok_or_else(|| cx.not_found(&cx.info.name))?;
        changed(cx, &p, ty, &wanted, &opts, old)
    };
    let (w, _) = update(cx, &u, &mut change).await?;
    let parent = w.value(&cx.res).await?;
    let s = of_parent(&cx.res, &parent, &p)?;
    Ok(respond::value(StatusCode::OK, media, &s))
}

/// The parent with the replicas that are wanted.
fn changed(
    cx: &Cx,
    p: &Paths,
    ty: TypeId,
    wanted: &Wanted,
    opts: &WriteOptions,
    parent: &Value,
) -> Result<Value> {
    let node = Node::Type(ty);
    let replicas = [(cx.res.api_version.as_str(), Some(p.replicas.as_str()))];
    let broken = |e: patch::managed::EntryError| -> Failure { Status::internal(e).into() };
    let mut old = of_parent(&cx.res, parent, p)?;
    if let Some(m) = entries::to_scale(parent.at("metadata.managedFields"), &replicas).map_err(broken)? {
        old.set_at("metadata.managedFields", m);
    }
    let filter = patch::Filter::All;
    let manager = opts.manager(cx.user_agent());
    let request = Request {
        api_version: VERSION,
        schema: node,
        manager: &manager,
        subresource: "scale",
        now: cx.now,
        filter: &filter,
        versions: &OneVersion,
    };
    let decoded = |v: Value, validation: FieldValidation| -> Result<Value> {
        let d = schema::json::canonicalize(v, ty).map_err(|e| Status::bad_request(e.0))?;
        body::report_strict(cx, d.strict, validation, None)?;
        let mut v = d.value;
        body::set_kind(&mut v, VERSION, "Scale");
        Ok(v)
    };
    let new = match wanted {
        Wanted::Whole(v) => {
            let mut v = v.clone();
            patch::managed::update(&request, Some(&old), &mut v);
            v
        }
        Wanted::Patch(patch) if patch.kind == Kind::Apply => {
            let force = opts.force.unwrap_or(false);
            let applied = patch::managed::apply(&request, "Scale", Some(&old), patch.body(), force);
            decoded(applied.map_err(|e| e.status())?, FieldValidation::Ignore)?
        }
        Wanted::Patch(patch) => {
            let full = || {
                let mut out = Vec::new();
                schema::json::encode(&old, ty, &mut out);
                serde_json::from_slice(&out).unwrap_or_else(|_| old.clone())
            };
            let mut v = decoded(patch.apply_to(&old, node, full)?, opts.field_validation)?;
            patch::managed::update(&request, Some(&old), &mut v);
            v
        }
    };
    let n = new.i64_at("spec.replicas").unwrap_or(0);
    if n < 0 {
        let e = FieldError::invalid(
            &Path::new("spec").child("replicas"),
            n,
            "must be greater than or equal to 0",
        );
        return Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), parent.name(), &vec![e]).into());
    }
    if !new.uid().is_empty() && new.uid() != parent.uid() {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            new.uid(),
            parent.uid()
        );
        let gr = GroupResource::new(&cx.res.gvr.group, format!("{}/scale", cx.res.gvr.resource));
        return Err(Status::conflict(&gr, parent.name(), &why).into());
    }
    let mut out = parent.clone();
    out.set_at(&p.replicas, n);
    let version = new.resource_version();
    if version.is_empty() {
        out.metadata_mut().remove("resourceVersion");
    } else {
        out.metadata_mut().insert("resourceVersion".into(), version.into());
    }
    let of_scale = new.at("metadata.managedFields");
    let mine = parent.at("metadata.managedFields");
    match entries::to_parent(mine, of_scale, &cx.res.api_version, &replicas).map_err(broken)? {
        Some(m) => out.set_at("metadata.managedFields", m),
        None => drop(out.remove_at("metadata.managedFields")),
    }
    Ok(out)
}
