//! An APIService for each group and version that this server serves itself.

use super::{create_all, current, replace, together};
use crate::discovery::version_priority;
use crate::server::ApiServer;
use crate::{Failure, Result};
use futures::future::BoxFuture;
use meta::object::ObjectExt;
use meta::{Reason, Value};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

const GROUP: &str = "apiregistration.k8s.io";

pub async fn ensure(s: &Arc<ApiServer>) -> Result<()> {
    let mut objs: Vec<Value> = Vec::new();
    for (group, versions) in s.registry().groups() {
        if group == GROUP {
            continue;
        }
        for (version, resources) in versions {
            if resources.values().all(|r| r.is_custom()) {
                continue;
            }
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

/// Keeps an APIService for each of these groups and versions of custom resources, and none for others.
pub async fn custom(s: &Arc<ApiServer>, wanted: &BTreeSet<(String, String)>) -> Result<()> {
    const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
    for old in admission::Lookup::list(&crate::lookup::Lookup(s), GROUP, "apiservices", "") {
        let gv = (old.str_at("spec.group").to_owned(), old.str_at("spec.version").to_owned());
        let ours =
            old.at("metadata.labels").and_then(|l| l.get(MANAGED)).and_then(Value::as_str) == Some("true");
        if ours && !wanted.contains(&gv) {
            let u = super::url(s, GROUP, "apiservices", "", old.name())?;
            match s.internal("DELETE", &u, None).await {
                Err(e) if !e.is(Reason::NotFound) => return Err(e),
                _ => {}
            }
        }
    }
    for (group, version) in wanted {
        let name = format!("{version}.{group}");
        let o = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": name, "labels": {MANAGED: "true"}},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": 1000, "versionPriority": 100},
        });
        super::create(s, GROUP, "apiservices", &o).await?;
        available(s, &name).await?;
    }
    Ok(())
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
