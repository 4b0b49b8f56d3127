//! Admission webhooks: mutating ones one after the other, validating ones side by side (apiserver
//! `pkg/admission/plugin/webhook`).

mod conditions;
mod config;
mod review;
mod rules;

pub use config::{Phase, Webhook, Webhooks, environment};

use crate::admit::Admission;
use crate::body::{admit_custom, default_object};
use crate::cx::Cx;
use crate::registry::{Codec, ResourceInfo};
use crate::{Failure, Result};
use admission::Operation;
use meta::{GroupVersionKind, GroupVersionResource, Status, Value};
use rules::Subject;
use schema::FieldValidation;
use std::sync::Arc;

/// As what a webhook is asked about the object.
#[derive(Clone)]
pub struct Asked {
    kind: GroupVersionKind,
    resource: GroupVersionResource,
    info: Arc<ResourceInfo>,
}

/// Configurations of admission are exempt, so that a broken one can always be repaired.
const EXEMPT: [&str; 6] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// Questions of authentication and authorization that are answered and never stored.
const VIRTUAL: [(&str, &str); 6] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

fn exempt(cx: &Cx) -> bool {
    let k = &cx.res.gvk;
    k.group == "admissionregistration.k8s.io" && EXEMPT.contains(&k.kind.as_str())
        || VIRTUAL.iter().any(|(g, r)| cx.res.is(g, r))
}

/// What stands before the mutating webhooks; true where they changed the object, so that the plugins before them should
/// look again.
pub async fn mutate(
    cx: &Cx,
    a: &Admission<'_>,
    obj: &mut Option<&mut Value>,
    old: Option<&Value>,
    round: &mut Round,
) -> Result<bool> {
    let hooks = cx.server.webhooks.get(&cx.server, Phase::Mutating);
    if hooks.is_empty() || exempt(cx) {
        return Ok(false);
    }
    let again = round.second;
    // Where nothing changed since the webhooks were asked, only those before their last change are asked again.
    if again && obj.as_deref() != round.output.as_ref() {
        round.require();
    }
    let mut changed = false;
    for (n, w) in hooks.iter().enumerate() {
        if again && !round.asked_again.contains(&n) {
            continue;
        }
        let Some(asked) = select(cx, a, w, obj.as_deref(), old).await? else { continue };
        match call_mutating(cx, a, w, &asked, obj.as_deref(), old).await {
            Ok(Some(new)) => {
                if let Some(o) = obj.as_deref_mut() {
                    *o = new;
                }
                changed = true;
                round.require();
            }
            Ok(None) => {}
            Err(Trouble::Answer(f)) => return Err(f),
            Err(Trouble::Call(why)) => failed(w, &why)?,
        }
        if w.reinvoke {
            round.asked.push(n);
        }
    }
    if changed || again {
        round.output = obj.as_deref().cloned();
    }
    Ok(changed)
}

/// What one request remembers between its two rounds of mutation.
#[derive(Default)]
pub struct Round {
    pub second: bool,
    /// Webhooks with `reinvocationPolicy: IfNeeded` that were asked.
    asked: Vec<usize>,
    /// Those among them that were asked before the object changed.
    asked_again: Vec<usize>,
    output: Option<Value>,
}

impl Round {
    fn require(&mut self) {
        self.asked_again.append(&mut self.asked);
    }
    /// Whether the webhooks are there to be asked a second time.
    pub fn begin_second(&mut self) {
        self.second = true;
    }
}

/// Asks all validating webhooks at once; the first that refuses, in their order, is the answer.
pub async fn validate(cx: &Cx, a: &Admission<'_>, obj: Option<&Value>, old: Option<&Value>) -> Result<()> {
    let hooks = cx.server.webhooks.get(&cx.server, Phase::Validating);
    if hooks.is_empty() || exempt(cx) {
        return Ok(());
    }
    let mut calls = Vec::new();
    for w in hooks.iter() {
        if let Some(asked) = select(cx, a, w, obj, old).await? {
            calls.push(async move {
                match call(cx, a, Phase::Validating, w, &asked, obj, old).await {
                    Ok(_) => Ok(()),
                    Err(Trouble::Answer(f)) => Err(f),
                    Err(Trouble::Call(why)) => failed(w, &why),
                }
            });
        }
    }
    futures::future::join_all(calls).await.into_iter().collect()
}

/// Why a call did not end in consent.
enum Trouble {
    /// The request is refused.
    Answer(Failure),
    /// The webhook could not be asked, or answered what is no answer: its failure policy says what follows.
    Call(String),
}

fn failed(w: &Webhook, why: &str) -> Result<()> {
    let text = format!("failed calling webhook {:?}: {why}", w.name);
    if w.ignore_failure {
        tracing::warn!(configuration = w.configuration, "{text}; failing open");
        return Ok(());
    }
    Err(Status::internal(text).into())
}

/// Whether a webhook is to be asked, and as what.
async fn select(
    cx: &Cx,
    a: &Admission<'_>,
    w: &Webhook,
    obj: Option<&Value>,
    old: Option<&Value>,
) -> Result<Option<Asked>> {
    let internal = |e: &String| -> Failure { Status::internal(e).into() };
    // A namespace that is not there matters only where the rules match.
    let namespace = in_namespace(cx, a, w, obj)?;
    if namespace == Some(false) {
        return Ok(None);
    }
    let objects = w.objects.as_ref().map_err(internal)?;
    if !objects.everything() && ![obj, old].into_iter().flatten().any(|o| objects.matches_object(o)) {
        return Ok(None);
    }
    let subject = |resource| Subject {
        operation: a.operation.as_str(),
        resource,
        subresource: a.subresource,
        namespace: a.namespace,
    };
    let own = a.kind.unwrap_or(&cx.res.gvk);
    let mut asked = w.rules.iter().any(|r| r.matches(&subject(&cx.res.gvr))).then(|| Asked {
        kind: own.clone(),
        resource: cx.res.gvr.clone(),
        info: cx.res.clone(),
    });
    if asked.is_none() && w.equivalent && cx.res.stored() {
        let registry = cx.server.registry();
        let others: Vec<&Arc<ResourceInfo>> =
            registry.iter().filter(|i| i.prefix == cx.res.prefix && i.gvr != cx.res.gvr).collect();
        asked = w.rules.iter().find_map(|r| {
            let i = others.iter().find(|i| r.matches(&subject(&i.gvr)))?;
            let kind = if a.kind.is_some() { own.clone() } else { i.gvk.clone() };
            Some(Asked { kind, resource: i.gvr.clone(), info: (*i).clone() })
        });
    }
    let Some(asked) = asked else { return Ok(None) };
    if namespace.is_none() {
        return Err(Status::not_found(&meta::GroupResource::new("", "namespaces"), a.namespace).into());
    }
    if w.conditions.is_empty() {
        return Ok(Some(asked));
    }
    let (object, before) = (shape(cx, a, &asked, obj).await?, shape(cx, a, &asked, old).await?);
    let request = review::request(cx, a, &asked, "", Value::Null, Value::Null);
    match conditions::hold(cx, a, &w.conditions, &object, &before, &request) {
        Ok(true) => Ok(Some(asked)),
        Ok(false) => Ok(None),
        Err(_) if w.ignore_failure => Ok(None),
        Err(why) => Err(Status::forbidden(&cx.res.group_resource(), a.name, why).into()),
    }
}

/// Whether the namespace is one of the webhook's; `None`: there is no such namespace.
fn in_namespace(cx: &Cx, a: &Admission<'_>, w: &Webhook, obj: Option<&Value>) -> Result<Option<bool>> {
    let is_namespace = cx.res.is("", "namespaces");
    if a.namespace.is_empty() && !is_namespace {
        return Ok(Some(true));
    }
    let selector = w.namespaces.as_ref().map_err(|e| -> Failure { Status::internal(e).into() })?;
    if selector.everything() {
        return Ok(Some(true));
    }
    if is_namespace
        && a.subresource.is_empty()
        && matches!(a.operation, Operation::Create | Operation::Update)
        && let Some(o) = obj
    {
        return Ok(Some(selector.matches_object(o)));
    }
    let lookup = crate::lookup::Lookup(&cx.server);
    let namespace = admission::Lookup::get(&lookup, "", "namespaces", "", a.namespace);
    Ok(namespace.map(|n| selector.matches_object(&n)))
}

/// The type that facts have of an admitted object.
fn type_of(a: &Admission<'_>, asked: &Asked) -> Option<schema::TypeId> {
    match a.kind {
        Some(k) => schema::facts::type_of(&k.group, &k.version, &k.kind),
        None => asked.info.builtin_type(),
    }
}

/// An object as clients of the asked version see it; null for none.
async fn shape(cx: &Cx, a: &Admission<'_>, asked: &Asked, v: Option<&Value>) -> Result<Value> {
    let Some(v) = v else { return Ok(Value::Null) };
    let v = convert(&cx.res, &asked.info, v.clone(), a).await?;
    let Some(ty) = type_of(a, asked) else { return Ok(v) };
    let mut out = Vec::new();
    schema::json::encode(&v, ty, &mut out);
    serde_json::from_slice(&out).map_err(|e| Status::internal(e).into())
}

/// The same object in another version of its resource.
async fn convert(
    from: &Arc<ResourceInfo>,
    to: &Arc<ResourceInfo>,
    v: Value,
    a: &Admission<'_>,
) -> Result<Value> {
    if from.gvr == to.gvr || a.kind.is_some() {
        return Ok(v);
    }
    let mut v = match (&from.codec, &to.codec) {
        (Codec::Builtin(f), Codec::Builtin(t)) => {
            kinds::convert::from_storage(t.row, kinds::convert::to_storage(f.row, v))
        }
        (Codec::Custom(f), Codec::Custom(t)) => t.read(f.to_stored(v).await?).await?,
        _ => v,
    };
    if let Some(m) = v.as_object_mut() {
        m.insert("kind".into(), to.gvk.kind.clone().into());
        m.insert("apiVersion".into(), to.api_version.clone().into());
    }
    Ok(v)
}

/// The object that a mutating webhook makes of this one; `None` where it changes nothing.
async fn call_mutating(
    cx: &Cx,
    a: &Admission<'_>,
    w: &Webhook,
    asked: &Asked,
    obj: Option<&Value>,
    old: Option<&Value>,
) -> std::result::Result<Option<Value>, Trouble> {
    let answer = |s: Status| Trouble::Answer(s.into());
    let Some(patch) = call(cx, a, Phase::Mutating, w, asked, obj, old).await? else { return Ok(None) };
    if patch.as_array().is_some_and(Vec::is_empty) {
        return Ok(None);
    }
    let Some(before) = obj else {
        return Err(answer(Status::internal(format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            w.name
        ))));
    };
    let wire = shape(cx, a, asked, obj).await.map_err(Trouble::Answer)?;
    let patched = patch::json_patch(&wire, &patch).map_err(|e| answer(Status::internal(e)))?;
    let mut new = match type_of(a, asked) {
        Some(ty) => schema::json::canonicalize(patched, ty).map_err(|e| answer(Status::internal(e.0)))?.value,
        None => patched,
    };
    // The decoder leaves the kind to its caller.
    if let Some(m) = new.as_object_mut() {
        m.insert("kind".into(), asked.kind.kind.clone().into());
        m.insert("apiVersion".into(), asked.kind.group_version().to_string().into());
    }
    let mut new = convert(&asked.info, &cx.res, new, a).await.map_err(Trouble::Answer)?;
    if a.kind.is_none() {
        match &cx.res.codec {
            Codec::Builtin(_) => default_object(&cx.res, &mut new, cx),
            Codec::Custom(_) => {
                admit_custom(cx, &mut new, Vec::new(), FieldValidation::Ignore, None)
                    .map_err(Trouble::Answer)?;
            }
        }
    }
    Ok((new != *before).then_some(new))
}

/// Asks a webhook; answers its patch, if it has one.
async fn call(
    cx: &Cx,
    a: &Admission<'_>,
    phase: Phase,
    w: &Webhook,
    asked: &Asked,
    obj: Option<&Value>,
    old: Option<&Value>,
) -> std::result::Result<Option<Value>, Trouble> {
    if a.dry_run && !w.dry_run {
        let why = format!("admission webhook {:?} does not support dry run", w.name);
        return Err(Trouble::Answer(Status::bad_request(why).into()));
    }
    let version = w.version.ok_or_else(|| {
        Trouble::Call(
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)"
                .to_owned(),
        )
    })?;
    let hook = w.hook.as_ref().map_err(|e| Trouble::Call(format!("could not get REST client: {e}")))?;
    let object = shape(cx, a, asked, obj).await.map_err(Trouble::Answer)?;
    let before = shape(cx, a, asked, old).await.map_err(Trouble::Answer)?;
    let uid = cx.server.uuid();
    let body = review::review(version, review::request(cx, a, asked, &uid, object, before)).to_string();
    let query = format!("timeout={}s", w.timeout.as_secs());
    let answer = hook
        .post(&cx.server, &query, body.into(), w.timeout)
        .await
        .map_err(|e| Trouble::Call(format!("failed to call webhook: {e}")))?;
    let v = review::verdict(phase, version, &uid, &answer).map_err(Trouble::Call)?;
    for (k, x) in &v.annotations {
        cx.annotate(&format!("{}/{k}", w.name), x);
    }
    for x in &v.warnings {
        cx.warn(x.clone());
    }
    if !v.allowed {
        return Err(Trouble::Answer(review::denial(&w.name, &v.result).into()));
    }
    Ok(v.patch)
}
