//! What particular resources do around a write, beyond their strategy: allocation, escalation checks, cleaning up.

use crate::Result;
use crate::alloc::{self, Claim};
use crate::cx::Cx;
use meta::Value;

/// What was begun before a write and must be finished after it.
pub enum Begun {
    Nothing,
    Service(Claim),
}

impl Begun {
    /// Keeps what was begun, or gives it back.
    pub async fn finish(self, cx: &Cx, committed: bool) {
        if let Self::Service(c) = self {
            Box::pin(c.finish(&cx.server, committed)).await;
        }
    }
}

pub async fn begin_create(cx: &Cx, obj: &mut Value, dry_run: bool) -> Result<Begun> {
    if cx.res.gvr.group == authz::rbac::GROUP {
        escalation(cx, obj, None)?;
    }
    if cx.res.is("", "services") {
        return Box::pin(alloc::begin_create(cx, obj, dry_run)).await.map(Begun::Service);
    }
    Ok(Begun::Nothing)
}

pub async fn begin_update(cx: &Cx, sub: &str, obj: &mut Value, old: &Value, dry_run: bool) -> Result<Begun> {
    if cx.res.gvr.group == authz::rbac::GROUP {
        escalation(cx, obj, Some(old))?;
    }
    if cx.res.is("", "services") && sub.is_empty() {
        return Box::pin(alloc::begin_update(cx, obj, old, dry_run)).await.map(Begun::Service);
    }
    Ok(Begun::Nothing)
}

/// Nobody grants what they do not hold.
fn escalation(cx: &Cx, obj: &Value, old: Option<&Value>) -> Result<()> {
    let w = authz::escalation::Write {
        user: &cx.user,
        resource: &cx.res.gvr.resource,
        namespace: &cx.info.namespace,
        name: &cx.info.name,
        object: obj,
        old,
    };
    Ok(authz::escalation::check(&w, &*cx.server.authorizer, &cx.server.fed.rbac)?)
}

pub async fn after_create(cx: &Cx, obj: &Value) {
    crate::policy::written(cx, obj);
    crate::webhooks::written(cx);
}

pub async fn after_update(cx: &Cx, obj: &Value, _old: &Value) {
    crate::policy::written(cx, obj);
    crate::webhooks::written(cx);
}

pub async fn after_delete(cx: &Cx, obj: &Value) {
    if cx.res.is("", "services") {
        Box::pin(alloc::release_all(&cx.server, obj)).await;
    }
    crate::webhooks::written(cx);
}

/// Changes an object that is to be deleted, before anything is decided about it.
pub fn before_delete(cx: &Cx, obj: &mut Value) {
    if cx.res.is(crate::crd::GROUP, crate::crd::RESOURCE) {
        crate::crd::before_delete(obj, cx.now);
    }
}
