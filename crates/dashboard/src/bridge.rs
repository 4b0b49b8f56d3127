//! `/stream/PATH`: a GET of the API server's PATH whose answer comes as messages of a WebSocket, piece by piece.
//!
//! A browser opens six HTTP/1.1 connections to a host, for all its tabs together; a few watches would take them all.
//! WebSockets are not counted there. The text message `open` says that the answer is a success; then binary messages
//! carry its body. Any other answer is one text message, `{"code":…,"body":…}`, and the close.

use crate::proxy::path_only;
use crate::{Dashboard, failure, guard, refused};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serve::Body;
use std::sync::Arc;
use std::time::Duration;
use streams::websocket::Role;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Silence after which the browser is pinged, so that one that is gone does not hold a watch.
const PING: Duration = Duration::from_secs(30);
/// Bytes of a refusal that are passed on.
const MAX_REFUSAL: usize = 64 << 10;
/// How long a message may take to be sent.
const SEND_TIME: Duration = Duration::from_secs(60);

impl Dashboard {
    pub(crate) async fn bridge(self: Arc<Self>, mut req: Request<Incoming>, path: &str) -> Response<Body> {
        let token = match guard::admit(req.method(), path, req.headers()) {
            Ok(t) => t,
            Err(r) => return refused(&r),
        };
        let (_, headers) =
            match streams::negotiate::accept_websocket(req.headers(), &[guard::STREAM_PROTOCOL]) {
                Ok(x) => x,
                Err(e) => return failure(e.status, "BadRequest", &e.text),
            };
        let Ok(slot) = self.streams.clone().try_acquire_owned() else {
            return failure(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                "too many terminals and watches",
            );
        };
        let query = req.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
        let Ok(target) = format!("{path}{query}").parse::<http::Uri>() else {
            return failure(StatusCode::BAD_REQUEST, "BadRequest", "the path cannot be sent on");
        };
        let mut on = Request::new(Bytes::new());
        *on.uri_mut() = path_only(&target);
        *on.headers_mut() = guard::forwarded(req.headers(), token);
        if req.uri().path().starts_with(guard::TABLE_PREFIX) {
            on.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static(guard::TABLE));
        }

        let near = hyper::upgrade::on(&mut req);
        let me = self.clone();
        self.rt.spawn_until_stop("dashboard stream", async move {
            let _slot = slot;
            match near.await {
                Ok(io) => me.pump(TokioIo::new(io), on).await,
                Err(e) => tracing::debug!("stream: {e}"),
            }
        });
        let mut r = Response::new(serve::empty());
        *r.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *r.headers_mut() = headers;
        r
    }

    async fn pump(&self, io: TokioIo<hyper::upgrade::Upgraded>, req: Request<Bytes>) {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_write_buffer_size(8 << 20)
            .max_message_size(Some(4 << 10))
            .max_frame_size(Some(4 << 10));
        let mut ws = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let answer = tokio::select! {
            a = self.call(req) => a,
            // Only a close, or a connection that broke, ends this.
            () = gone(&mut ws) => return,
        };
        let refusal = match answer {
            Err(text) => Some((StatusCode::BAD_GATEWAY, Bytes::from(text))),
            Ok(r) if !r.status().is_success() => {
                let (head, body) = r.into_parts();
                let body = tokio::time::timeout(SEND_TIME, beginning(body)).await;
                Some((head.status, body.unwrap_or_default()))
            }
            Ok(r) => {
                if !send(&mut ws, Message::text("open")).await {
                    return;
                }
                let mut body = r.into_body().into_data_stream();
                loop {
                    let piece = tokio::select! {
                        p = tokio::time::timeout(PING, body.next()) => p,
                        () = gone(&mut ws) => return,
                    };
                    let message = match piece {
                        Err(_) => Message::Ping(Bytes::new()),
                        Ok(Some(Ok(b))) if b.is_empty() => continue,
                        Ok(Some(Ok(b))) => Message::Binary(b),
                        // A watch that ends, ends like this too: the interface begins anew.
                        Ok(Some(Err(_)) | None) => break,
                    };
                    if !send(&mut ws, message).await {
                        return;
                    }
                }
                None
            }
        };
        if let Some((code, body)) = refusal {
            let text = serde_json::json!({
                "code": code.as_u16(), "body": String::from_utf8_lossy(&body),
            });
            send(&mut ws, Message::text(text.to_string())).await;
        }
        let _ = tokio::time::timeout(SEND_TIME, ws.close(None)).await;
    }
}

/// What a short answer says; of a long one the beginning.
pub(crate) async fn beginning(body: client::raw::Body) -> Bytes {
    let mut out = Vec::new();
    let mut pieces = body.into_data_stream();
    while let Some(Ok(b)) = pieces.next().await {
        let room = MAX_REFUSAL - out.len();
        out.extend_from_slice(b.get(..room.min(b.len())).unwrap_or_default());
        if out.len() == MAX_REFUSAL {
            break;
        }
    }
    out.into()
}

type Near = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn send(ws: &mut Near, m: Message) -> bool {
    matches!(tokio::time::timeout(SEND_TIME, ws.send(m)).await, Ok(Ok(())))
}

/// Ends when the browser has closed; what it says otherwise (pongs) is nothing to us.
async fn gone(ws: &mut Near) {
    while let Some(Ok(m)) = ws.next().await {
        if m.is_close() {
            return;
        }
    }
}
