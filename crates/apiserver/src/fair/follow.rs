//! Keeps priority and fairness as its objects say, and tells in their status what is missing.

use crate::object::decode_builtin;
use crate::registry::ResourceInfo;
use crate::server::ApiServer;
use meta::Value;
use meta::object::ObjectExt;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use storage::{Watch, WatchItem};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";
const RETRY: Duration = Duration::from_secs(1);

fn info(s: &ApiServer, resource: &str) -> Option<Arc<ResourceInfo>> {
    s.registry().any_version(GROUP, resource).cloned()
}

/// Reads the objects that the store holds; answers the schemas, the names of the levels, and the revision.
pub fn load(s: &ApiServer) -> (Vec<Value>, Vec<String>, i64) {
    let snap = s.store.cached();
    let all = |resource: &str| {
        let mut out = Vec::new();
        if let Some(i) = info(s, resource) {
            snap.scan(&i.prefix, "", &mut |r| {
                out.extend(decode_builtin(&i, r).map(|(v, _)| v));
                true
            });
        }
        out
    };
    let (schemas, levels) = (all("flowschemas"), all("prioritylevelconfigurations"));
    s.fair.configure(&schemas, &levels);
    let names = levels.iter().map(|l| l.name().to_owned()).collect();
    (schemas, names, snap.revision())
}

/// Follows the objects until the server stops.
pub async fn follow(s: Arc<ApiServer>) {
    loop {
        let (schemas, levels, revision) = load(&s);
        let mut done = true;
        for f in &schemas {
            done &= tell(&s, f, &levels).await;
        }
        if !done {
            tokio::time::sleep(RETRY).await;
            continue;
        }
        let watch = |resource: &str| -> Option<Box<dyn Watch>> {
            let i = info(&s, resource)?;
            s.store.watch(&i.prefix, revision).ok()
        };
        match (watch("flowschemas"), watch("prioritylevelconfigurations")) {
            (Some(mut a), Some(mut b)) => {
                if !changed(&mut *a, &mut *b).await {
                    return;
                }
            }
            _ => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Ends when something changed; false: the store is closing.
async fn changed(a: &mut dyn Watch, b: &mut dyn Watch) -> bool {
    loop {
        let item = tokio::select! { i = a.next() => i, i = b.next() => i };
        match item {
            None => return false,
            Some(WatchItem::Progress(_)) => {}
            Some(_) => return true,
        }
    }
}

/// Sets the condition `Dangling` of a schema; false: it could not.
async fn tell(s: &Arc<ApiServer>, schema: &Value, levels: &[String]) -> bool {
    let level = schema.str_at("spec.priorityLevelConfiguration.name");
    let reference =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = if levels.iter().any(|l| l == level) {
        ("False", "Found", format!("{reference} and it exists"))
    } else {
        ("True", "NotFound", format!("{reference} but there is no such object"))
    };
    let now = schema.array_at("status.conditions").iter().find(|c| c.str_at("type") == "Dangling");
    if now.is_some_and(|c| {
        c.str_at("status") == status && c.str_at("reason") == reason && c.str_at("message") == message
    }) {
        return true;
    }
    let since = now
        .filter(|c| c.str_at("status") == status)
        .map_or_else(|| s.now().rfc3339(), |c| c.str_at("lastTransitionTime").to_owned());
    let name = schema.name();
    let apply = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "FlowSchema", "metadata": {"name": name},
        "status": {"conditions": [{
            "type": "Dangling", "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
        }]},
    });
    let uri = format!("/apis/{GROUP}/v1/flowschemas/{name}/status?fieldManager={MANAGER}&force=true");
    match s.internal("PATCH", &uri, Some(&apply)).await {
        // It went meanwhile.
        Err(e) if e.is(meta::Reason::NotFound) => true,
        Err(e) => {
            tracing::warn!(name, error = %e, "the status of a FlowSchema cannot be written");
            false
        }
        Ok(_) => true,
    }
}
