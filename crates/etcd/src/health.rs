//! What is served beside gRPC: health, version, metrics.

use crate::server::Member;
use http::{Method, Request, Response, StatusCode};
use serve::Body;
use storage::Storage;

pub fn text(status: StatusCode, body: impl Into<String>) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", body.into())
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut r = Response::new(serve::full(body));
    *r.status_mut() = status;
    r.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    r
}

pub async fn answer<B>(m: &Member, r: &Request<B>) -> Response<Body> {
    if !matches!(*r.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    }
    let json = |status, body: String| typed(status, "application/json", body);
    match r.uri().path() {
        "/health" => match m.room() {
            Ok(()) => json(StatusCode::OK, r#"{"health":"true","reason":""}"#.into()),
            Err(_) => {
                json(StatusCode::SERVICE_UNAVAILABLE, r#"{"health":"false","reason":"ALARM NOSPACE"}"#.into())
            }
        },
        "/livez" => text(StatusCode::OK, "ok\n"),
        // Ready is who can read what was written: here, whoever has opened the data.
        "/readyz" => text(StatusCode::OK, "ok\n"),
        "/version" => {
            let v = crate::VERSION;
            json(StatusCode::OK, format!(r#"{{"etcdserver":"{v}","etcdcluster":"3.7.0","storage":"3.7.0"}}"#))
        }
        "/metrics" => metrics(m).await,
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

async fn metrics(m: &Member) -> Response<Body> {
    let state = m.store.state();
    let (size, used) = m.store.space().await.unwrap_or((m.store.size(), 0));
    let (groups, watchers) = m.store.watchers();
    let quota = m.config.quota().unwrap_or(0);
    let mut out = String::new();
    for (name, kind, value) in [
        ("etcd_server_has_leader", "gauge", 1),
        ("etcd_server_is_leader", "gauge", 1),
        ("etcd_server_quota_backend_bytes", "gauge", quota),
        ("etcd_mvcc_db_total_size_in_bytes", "gauge", size),
        ("etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", used),
        ("etcd_debugging_mvcc_keys_total", "gauge", state.snapshot().len() as u64),
        ("etcd_debugging_mvcc_current_revision", "gauge", state.revision().unsigned_abs()),
        ("etcd_debugging_mvcc_compact_revision", "gauge", state.floor().unsigned_abs()),
        ("etcd_debugging_mvcc_watcher_total", "gauge", watchers as u64),
        ("etcd_debugging_mvcc_watch_stream_total", "gauge", groups as u64),
    ] {
        out.push_str(&format!("# TYPE {name} {kind}\n{name} {value}\n"));
    }
    typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", out)
}
