//! An APIService for each group and version that this server serves itself.

use super::{create_all, current, replace, together};
use crate::discovery::version_priority;
use crate::server::ApiServer;
use crate::{Failure, Result};
use futures::future::BoxFuture;
use meta::object::ObjectExt;
use meta::{Reason, Value};
use serde_json::json;
use std::sync::Arc;

const GROUP: &str = "apiregistration.k8s.io";

pub async fn ensure(s: &Arc<ApiServer>) -> Result<()> {
    let mut objs: Vec<Value> = Vec::new();
    for (group, versions) in s.registry().groups() {
        if group == GROUP {
            continue;
        }
        for version in versions.keys() {
            let (of_group, of_version) = version_priority(group, version);
            let mut o = json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {
                    "name": format!("{version}.{group}"),
                    "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"},
                },
                "spec": {"version": version, "groupPriorityMinimum": of_group, "versionPriority": of_version},
            });
            if !group.is_empty() {
                o["spec"]["group"] = group.clone().into();
            }
            objs.push(o);
        }
    }
    create_all(s, GROUP, "apiservices", &objs).await?;
    let mut work: Vec<BoxFuture<'_, Result<()>>> = Vec::with_capacity(objs.len());
    for o in &objs {
        work.push(Box::pin(available(s, o.name())));
    }
    together(work).await
}

/// Says of one that it is available.
async fn available(s: &Arc<ApiServer>, name: &str) -> Result<()> {
    let Some(have) = current(s, GROUP, "apiservices", "", name) else { return Ok(()) };
    if have.at("spec.service").is_some() || !have.array_at("status.conditions").is_empty() {
        return Ok(());
    }
    let mut next = (*have).clone();
    let c = json!([{
        "type": "Available", "status": "True", "reason": "Local",
        "message": "Local APIServices are always available", "lastTransitionTime": s.now().rfc3339(),
    }]);
    next.set_at("status.conditions", c);
    let done: std::result::Result<(), Failure> = replace(s, GROUP, "apiservices", "status", &next).await;
    match done {
        Err(e) if e.is(Reason::Conflict) || e.is(Reason::NotFound) => Ok(()),
        other => other,
    }
}
