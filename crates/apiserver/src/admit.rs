//! Running admission: the built-in plugins, then what is outside, then quota.

use crate::cx::Cx;
use crate::lookup::Lookup;
use crate::{Failure, Result, object, webhooks};
use admission::{Attributes, Effects, Operation};
use meta::object::ObjectExt;
use meta::{GroupResource, GroupVersionKind, Status, Value};
use std::time::Duration;
use storage::{Outcome, WatchItem};

/// How long a request waits for an object that a controller is about to make (a service account).
const AWAIT: Duration = Duration::from_secs(1);
/// Attempts to charge quotas that others charge at the same time.
const QUOTA_TRIES: usize = 10;

/// What admission is asked about.
pub struct Admission<'a> {
    pub operation: Operation,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub dry_run: bool,
    /// The kind of the object, where it is not the resource's own (`Binding`, `Scale`).
    pub kind: Option<&'a GroupVersionKind>,
    /// `CreateOptions`, `UpdateOptions`, `DeleteOptions`; null for a connect. Made when a webhook or policy is asked.
    pub options: &'a (dyn Fn() -> Value + Sync),
}

fn attributes<'a>(
    cx: &'a Cx,
    a: &Admission<'a>,
    object: Option<&'a mut Value>,
    old: Option<&'a Value>,
) -> Attributes<'a> {
    Attributes {
        operation: a.operation,
        resource: &cx.res.gvr,
        kind: a.kind.unwrap_or(&cx.res.gvk),
        subresource: a.subresource,
        namespace: a.namespace,
        name: a.name,
        user: &cx.user,
        dry_run: a.dry_run,
        object,
        old,
        now: cx.now,
        seed: cx.seed,
        effects: Effects::default(),
    }
}

fn note(cx: &Cx, e: &mut Effects) {
    for w in e.warnings.drain(..) {
        cx.warn(w);
    }
    for (k, v) in e.annotations.drain(..) {
        cx.annotate(&k, &v);
    }
}

/// Lets the mutating plugins change the object; all of them twice, where a webhook changed it after others had seen it.
pub async fn mutate(
    cx: &Cx,
    a: &Admission<'_>,
    mut obj: Option<&mut Value>,
    old: Option<&Value>,
) -> Result<()> {
    let mut rounds = webhooks::Rounds::default();
    round(cx, a, obj.as_deref_mut(), old, &mut rounds).await?;
    if rounds.again {
        rounds.second = true;
        round(cx, a, obj, old, &mut rounds).await?;
    }
    Ok(())
}

async fn round(
    cx: &Cx,
    a: &Admission<'_>,
    mut obj: Option<&mut Value>,
    old: Option<&Value>,
    rounds: &mut webhooks::Rounds,
) -> Result<()> {
    // What a second try begins with, where a plugin may ask for one: a pod whose account is about to be made.
    let account =
        || admission::Lookup::get(&Lookup(&cx.server), "", "serviceaccounts", a.namespace, "default");
    let waits = || cx.res.is("", "pods") && account().is_none();
    let retries = a.operation == Operation::Create
        && a.subresource.is_empty()
        && (waits() || cx.server.admission.provisions_namespaces());
    let untouched = if retries { obj.as_deref().cloned() } else { None };
    let mut waited = false;
    let mut provisioned = false;
    loop {
        let (verdict, effects) = {
            let mut at = attributes(cx, a, obj.as_deref_mut(), old);
            let verdict = cx.server.admission.admit(&mut at, &Lookup(&cx.server));
            note(cx, &mut at.effects);
            (verdict, at.effects)
        };
        if effects.provision_namespace && !provisioned {
            provisioned = true;
            Box::pin(provision_namespace(cx, a.namespace)).await?;
        } else {
            match (verdict, effects.await_object) {
                (Ok(()), _) => break,
                (Err(e), Some(what)) if !waited && retries => {
                    waited = true;
                    if !Box::pin(appears(cx, &what)).await {
                        return Err(e.into());
                    }
                }
                (Err(e), _) => return Err(e.into()),
            }
        }
        // Once more, from what the client sent.
        if let (Some(o), Some(u)) = (obj.as_deref_mut(), &untouched) {
            *o = u.clone();
        }
    }
    if crate::policy::mutating(cx) {
        Box::pin(crate::policy::mutate(cx, a, obj.as_deref_mut(), old, rounds.second)).await?;
    }
    if let Some(o) = &cx.server.cfg.outside {
        o.mutate(cx, a, obj.as_deref_mut(), old).await?;
    }
    if webhooks::mutating(cx) {
        Box::pin(webhooks::mutate(cx, a, obj, old, rounds)).await?;
    }
    Ok(())
}

/// Waits a little for an object to come into being.
async fn appears(cx: &Cx, (group, resource, namespace, name): &(String, String, String, String)) -> bool {
    let Some(info) = cx.server.registry().any_version(group, resource).cloned() else { return false };
    let key = info.key(namespace, name);
    let snap = cx.server.store.cached();
    if snap.get(&key).is_some() {
        return true;
    }
    let Ok(mut w) = cx.server.store.watch(&key, snap.revision()) else { return false };
    let wait = async {
        while let Some(i) = w.next().await {
            match i {
                WatchItem::Events(e) if e.iter().any(|e| *e.record.key == *key) => return true,
                WatchItem::Lagged => return false,
                _ => {}
            }
        }
        false
    };
    tokio::time::timeout(AWAIT, wait).await.unwrap_or(false)
}

async fn provision_namespace(cx: &Cx, name: &str) -> Result<()> {
    let ns = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    match cx.server.internal("POST", "/api/v1/namespaces", Some(&ns)).await {
        Err(e) if !e.is(meta::Reason::AlreadyExists) => Err(e),
        _ => Ok(()),
    }
}

/// Lets the validating plugins look at the final object, and charges quotas.
pub async fn validate(
    cx: &Cx,
    a: &Admission<'_>,
    mut obj: Option<&mut Value>,
    old: Option<&Value>,
) -> Result<()> {
    {
        let mut at = attributes(cx, a, obj.as_deref_mut(), old);
        let verdict = cx.server.admission.validate(&mut at, &Lookup(&cx.server));
        note(cx, &mut at.effects);
        verdict?;
    }
    if crate::policy::validating(cx) {
        Box::pin(crate::policy::validate(cx, a, obj.as_deref(), old)).await?;
    }
    if let Some(o) = &cx.server.cfg.outside {
        o.validate(cx, a, obj.as_deref(), old).await?;
    }
    if webhooks::validating(cx) {
        Box::pin(webhooks::validate(cx, a, obj.as_deref(), old)).await?;
    }
    let mut charged: Vec<String> = Vec::new();
    for _ in 0..QUOTA_TRIES {
        let reservations = {
            let mut at = attributes(cx, a, obj.as_deref_mut(), old);
            let verdict = cx.server.admission.validate_last(&mut at, &Lookup(&cx.server));
            note(cx, &mut at.effects);
            verdict?;
            at.effects.reservations
        };
        let mut again = false;
        for q in reservations {
            let name = q.name().to_owned();
            if charged.contains(&name) {
                continue;
            }
            if Box::pin(charge(cx, q)).await? {
                charged.push(name);
            } else {
                again = true;
            }
        }
        if !again {
            return Ok(());
        }
    }
    let gr = GroupResource::new("", "resourcequotas");
    let why = "Unable to complete resource quota checks: too many requests charge the quota at the same time";
    Err(Status::conflict(&gr, a.namespace, why).into())
}

/// Stores a charged quota; false where somebody else changed it meanwhile.
async fn charge(cx: &Cx, mut quota: Value) -> Result<bool> {
    let info = cx
        .server
        .registry()
        .any_version("", "resourcequotas")
        .cloned()
        .ok_or_else(|| -> Failure { Status::internal("resourcequotas are not served").into() })?;
    let expected = quota.resource_version().parse().map_err(Status::internal)?;
    let bytes = object::encode(&info, &mut quota).await?;
    let key = info.key(quota.namespace(), quota.name());
    match cx.server.store.put(&key, bytes, Some(expected), 0).await {
        Ok(Outcome::Done(_)) => Ok(true),
        Ok(Outcome::Conflict(_)) => Ok(false),
        Err(e) => Err(crate::read::store_failure(&e)),
    }
}
