//! Paths that are no resources: discovery, health, version, metrics, keys, OpenAPI.

use crate::body::Input;
use crate::query::Query;
use crate::request::RequestInfo;
use crate::server::{ApiServer, no_such_path};
use crate::{Result, discovery, health, respond, version};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
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
        "healthz" | "livez" | "readyz" => Ok(health::serve(server, path, query).await),
        "openapi" if path == "/openapi/v2" || path == "/openapi/v3" || path.starts_with("/openapi/v3/") => {
            let query = req.uri().query().unwrap_or("");
            crate::openapi_docs::serve(server, req.headers(), path, query).await
        }
        "swagger-ui" if server.cfg.swagger_ui => crate::swagger::serve(&info.path),
        "metrics" if path == "/metrics" => Ok(respond::bytes(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            server.metrics.text(&server.extra_metrics()),
        )),
        ".well-known" | "openid" => Ok(keys(server, req.headers(), path)),
        "" => Ok(respond::bytes(StatusCode::OK, "application/json", discovery::root_paths(server))),
        _ => Ok(no_such_path()),
    }
}

/// The public keys of service account tokens, for whoever verifies such tokens without asking.
fn keys(s: &ApiServer, headers: &HeaderMap, path: &str) -> Response<Body> {
    let (Some(conf), Some(tokens)) =
        (&s.cfg.authentication.service_accounts, &s.authenticator.config().service_accounts)
    else {
        return no_such_path();
    };
    let issuer = tokens.issuers().first().map_or("", String::as_str);
    let host = headers.get(http::header::HOST).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let host = host.unwrap_or_else(|| format!("{}:{}", s.cfg.advertise_address, s.cfg.secure_port));
    let jwks_uri = if conf.jwks_uri.is_empty() {
        format!("https://{host}{}", authn::oidc::JWKS_PATH)
    } else {
        conf.jwks_uri.clone()
    };
    let document = authn::oidc::configuration(issuer, &jwks_uri, tokens.keys());
    let mut r = match (path, document) {
        (authn::oidc::CONFIG_PATH, Ok(d)) => respond::bytes(StatusCode::OK, "application/json", d),
        (authn::oidc::JWKS_PATH, Ok(_)) => {
            respond::bytes(StatusCode::OK, "application/jwk-set+json", authn::oidc::jwks(tokens.keys()))
        }
        _ => return no_such_path(),
    };
    if let Ok(v) = HeaderValue::from_str(&format!("public, max-age={}", authn::oidc::MAX_AGE)) {
        r.headers_mut().insert(http::header::CACHE_CONTROL, v);
    }
    r
}
