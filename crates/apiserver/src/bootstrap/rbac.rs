//! The default roles and bindings: created, and extended by what is missing in them.

use super::{create, current, replace, together};
use crate::server::ApiServer;
use crate::{Failure, Result};
use authz::bootstrap::{objects, resource_of};
use authz::rbac::GROUP;
use authz::reconcile::{Action, reconcile as decide};
use futures::future::BoxFuture;
use meta::object::ObjectExt;
use meta::{Reason, Value};
use std::sync::Arc;

pub async fn reconcile(s: &Arc<ApiServer>) -> Result<()> {
    let all = objects();
    // Roles before the bindings that name them.
    let bindings = all.iter().position(|o| o.get("roleRef").is_some()).unwrap_or(all.len());
    for part in [&all[..bindings], &all[bindings..]] {
        let mut work: Vec<BoxFuture<'_, Result<()>>> = Vec::with_capacity(part.len());
        for o in part {
            work.push(Box::pin(one(s, o)));
        }
        together(work).await?;
    }
    Ok(())
}

async fn one(s: &Arc<ApiServer>, expected: &Value) -> Result<()> {
    let resource = resource_of(expected);
    let existing = current(s, GROUP, resource, expected.namespace(), expected.name());
    let again = |r: Result<()>| match r {
        // Somebody else was faster: the next start looks again.
        Err(e) if e.is(Reason::Conflict) => Ok(()),
        other => other,
    };
    match decide(expected, existing.as_deref()) {
        Action::None => Ok(()),
        Action::Create(o) => create(s, GROUP, resource, &o).await,
        Action::Update(mut o) => {
            if let Some(m) = o.as_object_mut() {
                m.insert("apiVersion".into(), format!("{GROUP}/v1").into());
            }
            again(replace(s, GROUP, resource, "", &o).await)
        }
        Action::Recreate(o) => {
            let u = super::url(s, GROUP, resource, o.namespace(), o.name())?;
            let uid = existing.as_ref().map_or("", |e| e.uid()).to_owned();
            let body = serde_json::json!({"preconditions": {"uid": uid}});
            let gone: std::result::Result<Value, Failure> = s.internal("DELETE", &u, Some(&body)).await;
            match gone {
                Err(e) if !e.is(Reason::NotFound) => Err(e),
                _ => create(s, GROUP, resource, &o).await,
            }
        }
    }
}
