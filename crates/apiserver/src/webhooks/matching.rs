//! Which webhooks a request concerns, and the form in which each wants to see the object.

use super::config::Webhook;
use crate::admit::Admission;
use crate::cx::Cx;
use crate::lookup::Lookup;
use crate::registry::{Codec, ResourceInfo};
use crate::{Failure, Result, body, policy, rules};
use admission::Operation;
use meta::object::ObjectExt;
use meta::selector::Selector;
use meta::{GroupVersionKind, Status, Value};
use std::sync::Arc;

/// A webhook's claim on a request.
pub struct Found {
    /// The resource that the request is shown as: its own, or another version of it.
    pub info: Arc<ResourceInfo>,
    pub kind: GroupVersionKind,
}

impl Found {
    pub fn same(&self, other: &Self) -> bool {
        self.info.gvr == other.info.gvr && self.kind == other.kind
    }
}

fn internal(e: impl std::fmt::Display) -> Failure {
    Status::internal(e).into()
}

/// Whether the webhook is to be asked, and as what; its conditions are not looked at.
pub fn find(
    cx: &Cx,
    a: &Admission<'_>,
    obj: Option<&Value>,
    old: Option<&Value>,
    w: &Webhook,
) -> Result<Option<Found>> {
    // A failure counts only for webhooks whose rules match.
    let in_namespace = match namespace_selected(cx, a, obj, &w.namespaces) {
        Ok(false) => return Ok(None),
        other => other,
    };
    let selected = match &w.objects {
        Err(e) => Err(internal(e)),
        Ok(s) if s.everything() => Ok(true),
        Ok(s) => Ok([obj, old].into_iter().flatten().any(|o| s.matches_object(o))),
    };
    if matches!(selected, Ok(false)) {
        return Ok(None);
    }
    let Some(found) = by_rules(cx, a, w)? else { return Ok(None) };
    in_namespace?;
    selected?;
    Ok(Some(found))
}

fn namespace_selected(
    cx: &Cx,
    a: &Admission<'_>,
    obj: Option<&Value>,
    selector: &std::result::Result<Selector, String>,
) -> Result<bool> {
    let namespaces = cx.res.gvr.resource == "namespaces";
    if a.namespace.is_empty() && !namespaces {
        return Ok(true);
    }
    let s = selector.as_ref().map_err(internal)?;
    if s.everything() {
        return Ok(true);
    }
    if namespaces && a.subresource.is_empty() && matches!(a.operation, Operation::Create | Operation::Update)
    {
        return Ok(obj.is_some_and(|o| s.matches_object(o)));
    }
    let ns = admission::Lookup::get(&Lookup(&cx.server), "", "namespaces", "", a.namespace);
    let ns = ns.ok_or_else(|| Status::not_found(&meta::GroupResource::new("", "namespaces"), a.namespace))?;
    Ok(s.matches_object(&ns))
}

fn by_rules(cx: &Cx, a: &Admission<'_>, w: &Webhook) -> Result<Option<Found>> {
    let hits = |r: &Value, gvr| rules::matches(r, a, gvr);
    if w.rules.iter().any(|r| hits(r, &cx.res.gvr)) {
        let kind = a.kind.unwrap_or(&cx.res.gvk).clone();
        return Ok(Some(Found { info: cx.res.clone(), kind }));
    }
    if !w.equivalent {
        return Ok(None);
    }
    let registry = cx.server.registry();
    let others: Vec<&Arc<ResourceInfo>> = registry
        .iter()
        .filter(|i| {
            i.gvr != cx.res.gvr
                && equivalent(&cx.res, i)
                && (a.subresource.is_empty() || i.sub(a.subresource).is_some())
        })
        .collect();
    for r in &w.rules {
        if let Some(i) = others.iter().find(|i| hits(r, &i.gvr)) {
            let kind = match i.sub(a.subresource) {
                Some(s) => GroupVersionKind::new(&s.group, &s.version, &s.kind),
                None => i.gvk.clone(),
            };
            return Ok(Some(Found { info: Arc::clone(i), kind }));
        }
    }
    Ok(None)
}

/// Whether two resources are the same objects in other versions.
fn equivalent(a: &ResourceInfo, b: &ResourceInfo) -> bool {
    if a.stored() || b.stored() {
        a.prefix == b.prefix
    } else {
        a.gvr.group == b.gvr.group && a.gvr.resource == b.gvr.resource
    }
}

/// Whether the conditions let the webhook be asked.
pub fn conditions(cx: &Cx, a: &Admission<'_>, w: &Webhook, found: &Found, v: &Versioned) -> Result<bool> {
    let value = |v: &Option<Value>| v.as_ref().map_or(cel::Value::Null, cel::json::dynamic);
    let input = cel::policy::Input {
        object: value(&v.object),
        old_object: value(&v.old),
        ..policy::input::input(cx, a, &found.info, &found.kind, None, None)
    };
    w.conditions
        .matches(&input, !w.ignore_failures)
        .map_err(|why| Status::forbidden(&cx.res.group_resource(), a.name, why).into())
}

/// The objects of a request in the version that a webhook wants, as they are sent.
pub struct Versioned {
    pub object: Option<Value>,
    pub old: Option<Value>,
}

impl Versioned {
    pub async fn new(
        cx: &Cx,
        a: &Admission<'_>,
        f: &Found,
        obj: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<Self> {
        Ok(Self { object: form(cx, a, f, obj).await?, old: form(cx, a, f, old).await? })
    }
}

/// Whether the object is of the resource's own kind, in another version than the webhook wants.
fn converts(cx: &Cx, a: &Admission<'_>, f: &Found) -> bool {
    f.kind != *a.kind.unwrap_or(&cx.res.gvk)
}

async fn form(cx: &Cx, a: &Admission<'_>, f: &Found, v: Option<&Value>) -> Result<Option<Value>> {
    let Some(v) = v else { return Ok(None) };
    let mut v = v.clone();
    if converts(cx, a, f) {
        v = convert(&cx.res, &f.info, v).await?;
    }
    let gv = meta::GroupVersion::new(&f.kind.group, &f.kind.version).to_string();
    body::set_kind(&mut v, &gv, &f.kind.kind);
    Ok(Some(match type_of(f) {
        Some(ty) => {
            let mut out = Vec::new();
            schema::json::encode(&v, ty, &mut out);
            serde_json::from_slice(&out).map_err(internal)?
        }
        None => v,
    }))
}

/// The type of what is sent; none for custom resources.
fn type_of(f: &Found) -> Option<schema::TypeId> {
    if f.info.is_custom() && f.info.gvk == f.kind {
        return None;
    }
    schema::facts::type_of(&f.kind.group, &f.kind.version, &f.kind.kind)
}

/// An object in another version of its resource.
async fn convert(from: &ResourceInfo, to: &ResourceInfo, v: Value) -> Result<Value> {
    match (&from.codec, &to.codec) {
        (Codec::Builtin(f), Codec::Builtin(t)) => {
            Ok(kinds::convert::from_storage(t.row, kinds::convert::to_storage(f.row, v)))
        }
        (Codec::Custom(f), Codec::Custom(t)) => t.read(f.to_stored(v).await?).await,
        _ => Err(internal(format!("unable to convert to {:?}: unknown kind", to.gvr))),
    }
}

/// What a patch made of an object as it was sent, decoded, defaulted, and in the request's version.
pub async fn back(cx: &Cx, a: &Admission<'_>, f: &Found, v: Value) -> Result<Value> {
    let gv = meta::GroupVersion::new(&f.kind.group, &f.kind.version).to_string();
    let (have_gv, have_kind) = (v.str_at("apiVersion").to_owned(), v.str_at("kind").to_owned());
    if have_gv != gv || have_kind != f.kind.kind {
        return Err(internal(format!(
            "unable to decode the patched object: {have_gv}, Kind={have_kind} is not {gv}, Kind={}",
            f.kind.kind
        )));
    }
    let mut v = v;
    match (type_of(f), &f.info.codec) {
        (Some(ty), _) => {
            v = schema::json::canonicalize(v, ty).map_err(|e| internal(e.0))?.value;
            body::set_kind(&mut v, &gv, &f.kind.kind);
            kinds::default_object(&f.kind.group, &f.kind.version, &f.kind.kind, &mut v, cx.now);
        }
        (None, Codec::Custom(c)) => c.admit(&mut v, &mut Vec::new())?,
        (None, Codec::Builtin(_)) => return Err(internal(format!("no type {}", f.kind.kind))),
    }
    if converts(cx, a, f) {
        v = convert(&f.info, &cx.res, v).await?;
        let k = a.kind.unwrap_or(&cx.res.gvk);
        body::set_kind(&mut v, &meta::GroupVersion::new(&k.group, &k.version).to_string(), &k.kind);
        if let Codec::Builtin(b) = &cx.res.codec {
            v = schema::json::canonicalize(v, b.ty).map_err(|e| internal(e.0))?.value;
        }
    }
    Ok(v)
}
