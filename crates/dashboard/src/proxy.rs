//! Requests for the API server, passed through; and remote commands, whose upgraded connections are joined.

use crate::{Dashboard, failure, guard, refused};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serve::Body;
use std::time::Duration;

/// Bytes of a request's body: what the API server takes (3 MiB) and room for its answer to be the one that says no.
const MAX_BODY: usize = 4 << 20;
/// For a request's body to come in.
const BODY_TIME: Duration = Duration::from_secs(30);
/// For an answer to begin.
const ANSWER_TIME: Duration = Duration::from_secs(65);

impl Dashboard {
    pub(crate) async fn proxy(&self, req: Request<Incoming>) -> Response<Body> {
        let token = match guard::admit(req.method(), req.uri().path(), req.headers()) {
            Ok(t) => t,
            Err(r) => return refused(&r),
        };
        if streams::negotiate::is_websocket(req.headers()) {
            return self.tunnel(req, token).await;
        }
        let (head, body) = req.into_parts();
        let body = match tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(b)) => b.to_bytes(),
            Ok(Err(_)) => {
                let text = "the request is larger than the API server takes (3 MiB), or was broken off";
                return failure(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", text);
            }
            Err(_) => {
                return failure(
                    StatusCode::REQUEST_TIMEOUT,
                    "Timeout",
                    "the request's body did not come in time",
                );
            }
        };
        let mut on = Request::new(body);
        *on.method_mut() = head.method;
        *on.uri_mut() = path_only(&head.uri);
        *on.headers_mut() = guard::forwarded(&head.headers, token);
        match self.call(on).await {
            Ok(answer) => {
                let (head, body) = answer.into_parts();
                let mut r = Response::new(body);
                *r.status_mut() = head.status;
                *r.headers_mut() = guard::returned(&head.headers);
                r
            }
            Err(text) => failure(StatusCode::BAD_GATEWAY, "ServiceUnavailable", &text),
        }
    }

    /// One exchange with the API server; the error is a sentence for the user.
    pub(crate) async fn call(&self, req: Request<Bytes>) -> Result<Response<client::raw::Body>, String> {
        use client::Transport;
        match tokio::time::timeout(ANSWER_TIME, self.upstream.call(req)).await {
            Ok(Ok(r)) => Ok(r),
            Ok(Err(e)) => Err(format!("the dashboard cannot reach the API server: {e}")),
            Err(_) => Err(format!("the API server did not answer within {}s", ANSWER_TIME.as_secs())),
        }
    }

    /// exec and attach: the handshake goes on to the API server, then bytes flow both ways.
    async fn tunnel(&self, mut req: Request<Incoming>, token: Option<http::HeaderValue>) -> Response<Body> {
        if *req.method() != Method::GET {
            return refused(&guard::Refused::Method);
        }
        let Ok(slot) = self.streams.clone().try_acquire_owned() else {
            return failure(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                "too many terminals and watches",
            );
        };
        let protocols = guard::plain_protocols(req.headers()).join(", ");
        let mut on = Request::new(Bytes::new());
        *on.uri_mut() = path_only(req.uri());
        *on.headers_mut() = guard::forwarded(req.headers(), token);
        let h = on.headers_mut();
        h.insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
        h.insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
        for name in [header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION] {
            if let Some(v) = req.headers().get(&name) {
                h.insert(name, v.clone());
            }
        }
        if let Ok(v) = http::HeaderValue::from_str(&protocols)
            && !protocols.is_empty()
        {
            h.insert(header::SEC_WEBSOCKET_PROTOCOL, v);
        }
        let mut far = match tokio::time::timeout(ANSWER_TIME, self.upstream.upgrade(on)).await {
            Ok(Ok(r)) => r,
            Ok(Err(e)) => {
                let text = format!("the dashboard cannot reach the API server: {e}");
                return failure(StatusCode::BAD_GATEWAY, "ServiceUnavailable", &text);
            }
            Err(_) => {
                return failure(
                    StatusCode::GATEWAY_TIMEOUT,
                    "Timeout",
                    "the API server did not answer in time",
                );
            }
        };
        if far.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (head, body) = far.into_parts();
            let body = Limited::new(body, MAX_BODY);
            let mut r = Response::new(body.boxed_unsync());
            *r.status_mut() = head.status;
            *r.headers_mut() = guard::returned(&head.headers);
            return r;
        }
        let mut r = Response::new(serve::empty());
        *r.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        for name in [
            header::CONNECTION,
            header::UPGRADE,
            header::SEC_WEBSOCKET_ACCEPT,
            header::SEC_WEBSOCKET_PROTOCOL,
        ] {
            if let Some(v) = far.headers().get(&name) {
                r.headers_mut().insert(name, v.clone());
            }
        }
        let (near, far) = (hyper::upgrade::on(&mut req), hyper::upgrade::on(&mut far));
        self.rt.spawn_until_stop("dashboard terminal", async move {
            let _slot = slot;
            match tokio::try_join!(near, far) {
                Ok((a, b)) => {
                    let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(a), &mut TokioIo::new(b)).await;
                }
                Err(e) => tracing::debug!("terminal: {e}"),
            }
        });
        r
    }
}

/// Path and query, which is all that a request may say of its target.
pub(crate) fn path_only(uri: &http::Uri) -> http::Uri {
    uri.path_and_query().map_or_else(http::Uri::default, |p| http::Uri::from(p.clone()))
}
