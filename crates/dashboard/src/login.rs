//! `/session`: a token is brought once, judged by the API server, and from then on it is in the session's cookies.
//!
//! POST logs in, DELETE logs out, GET tells whether this API server asks for a token at all.

use crate::{Dashboard, failure, guard, refused, session};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serve::Body;
use std::time::Duration;

pub const PATH: &str = "/session";
const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const MAX_BODY: usize = session::MAX_TOKEN + (1 << 10);
const MAX_ANSWER: usize = 256 << 10;
const BODY_TIME: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Ask {
    token: String,
}

impl Dashboard {
    pub(crate) async fn session(&self, req: Request<Incoming>) -> Response<Body> {
        if let Err(r) = guard::same_site(req.headers()) {
            return refused(&r);
        }
        match *req.method() {
            Method::POST => self.login(req).await.unwrap_or_else(|r| r),
            Method::DELETE => logout(&req),
            Method::GET => self.is_open().await,
            _ => refused(&guard::Refused::Method),
        }
    }

    async fn login(&self, req: Request<Incoming>) -> Result<Response<Body>, Response<Body>> {
        let bad = |text: &str| failure(StatusCode::BAD_REQUEST, "BadRequest", text);
        let (head, body) = req.into_parts();
        let tls = guard::came_by_tls(&head.headers).map_err(|r| refused(&r))?;
        if head.headers.get(header::CONTENT_TYPE).is_none_or(|t| t != "application/json") {
            return Err(failure(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "a login is application/json",
            ));
        }
        let body = match tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(b)) => b.to_bytes(),
            _ => return Err(bad("the token is too long, or did not come whole")),
        };
        let ask: Ask = serde_json::from_slice(&body).map_err(|_| bad("a login is {\"token\": \"…\"}"))?;
        if !ask.token.is_empty() && guard::bearer(&ask.token).is_none() {
            return Err(bad("the token has characters that no token has"));
        }
        let user = self.who(&ask.token).await?;
        let broken = || failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "no randomness");
        let key = session::Key::fresh().ok_or_else(broken)?;
        let cookies = session::cookies(&key, &ask.token, tls).ok_or_else(|| bad("the token is too long"))?;
        let mut r = json(&serde_json::json!({"key": key.text(), "user": user}));
        if let Some(old) = session::Key::of(&head.headers) {
            forget(&mut r, &old, &head.headers);
        }
        for c in cookies {
            r.headers_mut().append(header::SET_COOKIE, c);
        }
        Ok(r)
    }

    /// Whose token it is, as the API server says.
    async fn who(&self, token: &str) -> Result<serde_json::Value, Response<Body>> {
        let ask = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
        let mut on = Request::new(Bytes::from_static(ask.as_bytes()));
        *on.method_mut() = Method::POST;
        *on.uri_mut() = http::Uri::from_static(REVIEW);
        let h = on.headers_mut();
        h.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        h.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(v) = guard::bearer(token) {
            h.insert(header::AUTHORIZATION, v);
        }
        let unreachable = |text: &str| failure(StatusCode::BAD_GATEWAY, "ServiceUnavailable", text);
        let (head, body) = self.call(on).await.map_err(|text| unreachable(&text))?.into_parts();
        if !head.status.is_success() {
            let mut r = Response::new(Limited::new(body, MAX_ANSWER).boxed_unsync());
            *r.status_mut() = head.status;
            *r.headers_mut() = guard::returned(&head.headers);
            return Err(r);
        }
        let body = tokio::time::timeout(BODY_TIME, crate::bridge::beginning(body)).await.unwrap_or_default();
        let body: serde_json::Value = serde_json::from_slice(&body)
            .map_err(|_| unreachable("the API server's answer about the token was broken off"))?;
        Ok(body["status"]["userInfo"].clone())
    }

    /// Where authentication is off, everybody may come in without a token.
    async fn is_open(&self) -> Response<Body> {
        json(&serde_json::json!({"open": self.who("").await.is_ok()}))
    }
}

fn logout(req: &Request<Incoming>) -> Response<Body> {
    // Without the key nobody is logged out: not by another site either.
    let Some(key) = session::Key::of(req.headers()) else { return refused(&guard::Refused::NoToken) };
    let mut r = json(&serde_json::json!({}));
    forget(&mut r, &key, req.headers());
    r
}

fn forget(r: &mut Response<Body>, key: &session::Key, h: &http::HeaderMap) {
    for c in session::removal(key, h) {
        r.headers_mut().append(header::SET_COOKIE, c);
    }
}

fn json(v: &serde_json::Value) -> Response<Body> {
    let mut r = Response::new(serve::full(v.to_string()));
    r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    r.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    r
}
