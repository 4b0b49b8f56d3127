//! ComponentStatus: the health of the store, the scheduler and the controllers, asked now.

use crate::cx::Cx;
use crate::negotiate::{Partial, Transform};
use crate::options::ListOptions;
use crate::{Result, encode, respond, table};
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::{Reason, Status, Value};
use serde_json::json;
use serve::Body;
use std::net::SocketAddr;
use std::time::Duration;

const PROBE: Duration = Duration::from_secs(2);

/// Name, readiness check of this process, port of a process of its own.
const COMPONENTS: [(&str, &str, u16); 2] =
    [("scheduler", "kube-scheduler", 10259), ("controller-manager", "kube-controller-manager", 10257)];

async fn probe(cx: &Cx, check: &str, port: u16) -> std::result::Result<(), String> {
    let mine = cx.server.rt.ready.all();
    let of = |n: &str| n == check || n.strip_prefix(check).is_some_and(|r| r.starts_with('/'));
    let own: Vec<_> = mine.into_iter().filter(|(n, _)| of(n)).collect();
    if !own.is_empty() {
        return own.into_iter().try_for_each(|(_, s)| s);
    }
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    match tokio::time::timeout(PROBE, tokio::net::TcpStream::connect(addr)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => {
            Err(format!("Get \"https://{addr}/healthz\": dial tcp {addr}: connect: connection refused"))
        }
        Err(_) => Err(format!("Get \"https://{addr}/healthz\": context deadline exceeded")),
    }
}

fn status(name: &str, state: &std::result::Result<(), String>) -> Value {
    let c = match state {
        Ok(()) => json!({ "type": "Healthy", "status": "True", "message": "ok" }),
        Err(e) => json!({ "type": "Healthy", "status": "False", "message": "", "error": e }),
    };
    json!({
        "kind": "ComponentStatus", "apiVersion": "v1", "metadata": { "name": name }, "conditions": [c],
    })
}

async fn all(cx: &Cx) -> Vec<Value> {
    let mut out = Vec::new();
    for (name, check, port) in COMPONENTS {
        out.push(status(name, &probe(cx, check, port).await));
    }
    let store = cx.server.store.health().await.map_err(|e| e.to_string());
    out.push(status("etcd-0", &store));
    out.sort_by(|a, b| a.name().cmp(b.name()));
    out
}

pub async fn read(cx: &Cx) -> Result<Response<Body>> {
    let list = cx.info.verb == "list";
    let media = cx.media(if list { Partial::List } else { Partial::Object })?;
    let include = cx.include()?;
    let mut found = all(cx).await;
    if !list {
        let one = found
            .into_iter()
            .find(|v| v.name() == cx.info.name)
            .ok_or_else(|| cx.not_found(&cx.info.name))?;
        let body = encode::value(&cx.res, one, media, include, cx.now)?;
        return Ok(respond::object(StatusCode::OK, media, body));
    }
    let o = ListOptions::parse(&cx.query, &cx.res, false, None)?;
    found.retain(|v| {
        o.labels.matches_object(v)
            && o.fields.matches(|f| if f == "metadata.name" { v.name().to_owned() } else { String::new() })
    });
    match media.transform {
        Transform::Table(v) => {
            let body = table::of_values(&cx.res, &found, v, include, cx.now)?;
            Ok(respond::object(StatusCode::OK, media, encode::finish_json(body, media)))
        }
        Transform::None => {
            for v in &mut found {
                v.remove_at("kind");
                v.remove_at("apiVersion");
            }
            let l =
                json!({ "kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": found });
            Ok(respond::value(StatusCode::OK, media, &l))
        }
        _ => Err(Status::failure(
            Reason::NotAcceptable,
            "component statuses have no metadata to be listed by itself",
        )
        .into()),
    }
}
