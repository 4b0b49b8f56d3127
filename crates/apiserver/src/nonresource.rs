//! Paths that are no resources: discovery, health, version, metrics, keys, OpenAPI.

use crate::body::Input;
use crate::query::Query;
use crate::request::RequestInfo;
use crate::server::{ApiServer, no_such_path};
use crate::{Result, discovery, health, respond, version};
use http::{Method, Request, Response, StatusCode};
use meta::{Status, UserInfo};
use serve::Body;
use std::sync::Arc;

pub async fn serve(
    server: &Arc<ApiServer>,
    req: Request<Input>,
    info: &RequestInfo,
    query: &Query,
    _user: &UserInfo,
) -> Result<Response<Body>> {
    let path = info.path.trim_end_matches('/');
    let get = matches!(*req.method(), Method::GET | Method::HEAD);
    let first = path.trim_start_matches('/').split('/').next().unwrap_or("");
    if !get {
        return match first {
            "api" | "apis" | "version" => Err(Status::method_not_allowed().into()),
            _ => Ok(no_such_path()),
        };
    }
    match first {
        "api" | "apis" => discovery::serve(server, req.headers(), path, query),
        "version" if path == "/version" => Ok(version::serve()),
        "healthz" | "livez" | "readyz" => Ok(health::serve(server, path, query)),
        "openapi" if path == "/openapi/v2" || path == "/openapi/v3" || path.starts_with("/openapi/v3/") => {
            let query = req.uri().query().unwrap_or("");
            crate::openapi_docs::serve(server, req.headers(), path, query).await
        }
        "metrics" if path == "/metrics" => Ok(respond::bytes(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            server.metrics.text(&server.extra_metrics()),
        )),
        "" => Ok(respond::bytes(StatusCode::OK, "application/json", discovery::root_paths(server))),
        _ => Ok(no_such_path()),
    }
}
