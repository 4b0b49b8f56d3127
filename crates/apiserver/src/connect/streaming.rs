//! Upgraded connections: joined byte for byte where the other side speaks what the client asks for, and otherwise
//! translated here: WebSocket v5 and tunnels for kubelets that do not do it themselves, and logs over WebSocket.

use super::dial::Connection;
use super::target::Target;
use super::{HOP, Outgoing, dial_failure};
use crate::body::Input;
use crate::server::ApiServer;
use crate::{Result, respond};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use meta::Status;
use serve::Body;
use std::sync::Arc;
use streams::{negotiate, translate, websocket};

/// Bytes of a kubelet's refusal that are read.
const MAX_ERROR: usize = 64 << 10;

pub fn switching(headers: HeaderMap) -> Response<Body> {
    let mut r = respond::bytes(StatusCode::SWITCHING_PROTOCOLS, "", Bytes::new());
    *r.headers_mut() = headers;
    r
}

fn refused(r: negotiate::Refusal) -> Response<Body> {
    respond::text(r.status, format!("{}\n", r.text))
}

/// Joins two connections that have been upgraded.
pub fn join(server: &ApiServer, near: OnUpgrade, far: OnUpgrade) {
    server.rt.spawn_until_stop("upgraded", async move {
        match futures::future::try_join(near, far).await {
            Ok((a, b)) => translate::join(&mut TokioIo::new(a), &mut TokioIo::new(b)).await,
            Err(e) => tracing::debug!("an upgrade came to nothing: {e}"),
        }
    });
}

/// Asks a kubelet for SPDY.
async fn ask(
    server: &ApiServer,
    t: &Target,
    asked: HeaderMap,
) -> std::result::Result<Response<Incoming>, String> {
    let body: Outgoing = Empty::new().map_err(|e| match e {}).boxed_unsync();
    let mut req =
        Request::builder().method(Method::POST).uri(&t.uri).body(body).map_err(|e| e.to_string())?;
    *req.headers_mut() = asked;
    let host = HeaderValue::from_str(&t.host).map_err(|e| e.to_string())?;
    req.headers_mut().insert(header::HOST, host);
    req.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    let mut c = Connection::open(server, t).await?;
    let answer = c.send(req).await?;
    // An upgraded connection is the answer's own.
    Ok(answer)
}

async fn text_of(answer: Response<Incoming>) -> (StatusCode, Bytes) {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ERROR).collect().await;
    (status, body.map(http_body_util::Collected::to_bytes).unwrap_or_default())
}

async fn dial(server: Arc<ApiServer>, t: Target) -> std::result::Result<(TokioIo<Upgraded>, String), String> {
    let mut asked = HeaderMap::new();
    negotiate::ask_spdy(&mut asked, negotiate::COMMAND_PROTOCOLS.iter().copied());
    let answer = ask(&server, &t, asked.clone()).await.map_err(|e| format!("error sending request: {e}"))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (status, text) = text_of(answer).await;
        return Err(format!(
            "unable to upgrade connection: {} ({status})",
            String::from_utf8_lossy(&text).trim()
        ));
    }
    let protocol = negotiate::spdy_answer(&asked, answer.headers())?;
    let io = hyper::upgrade::on(answer).await.map_err(|e| e.to_string())?;
    Ok((TokioIo::new(io), protocol))
}

/// exec and attach over WebSocket v5, SPDY to the kubelet.
pub fn commands(
    server: &Arc<ApiServer>,
    mut req: Request<Input>,
    t: Target,
    wanted: translate::Wanted,
) -> Response<Body> {
    let answer = match negotiate::accept_websocket(req.headers(), translate::PROTOCOLS) {
        Ok((_, h)) => h,
        Err(r) => return refused(r),
    };
    let near = hyper::upgrade::on(&mut req);
    let inner = server.clone();
    server.rt.spawn_until_stop("remote command", async move {
        let near = match near.await {
            Ok(c) => TokioIo::new(c),
            Err(e) => return tracing::debug!("an upgrade came to nothing: {e}"),
        };
        let rt = inner.rt.clone();
        translate::commands(near, wanted, dial(inner, t), &rt).await;
    });
    switching(answer)
}

/// Port-forward through a tunnel, SPDY to the kubelet.
pub async fn tunnel(server: &Arc<ApiServer>, mut req: Request<Input>, t: Target) -> Result<Response<Body>> {
    let mut asked = HeaderMap::new();
    for (k, v) in req.headers() {
        if !HOP.contains(k) && k != header::AUTHORIZATION && k != header::HOST {
            asked.append(k.clone(), v.clone());
        }
    }
    asked.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    asked.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    negotiate::tunnel_to_spdy(&mut asked);
    let mut answer = ask(server, &t, asked.clone()).await.map_err(dial_failure)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (status, text) = text_of(answer).await;
        return Ok(respond::bytes(status, "text/plain; charset=utf-8", text));
    }
    let chosen = negotiate::spdy_answer(&asked, answer.headers()).map_err(Status::internal)?;
    let chosen = format!("{}{chosen}", negotiate::TUNNEL);
    let headers = match negotiate::accept_websocket(req.headers(), &[&chosen]) {
        Ok((_, h)) => h,
        Err(r) => return Ok(refused(r)),
    };
    let (near, far) = (hyper::upgrade::on(&mut req), hyper::upgrade::on(&mut answer));
    server.rt.spawn_until_stop("tunnel", async move {
        match futures::future::try_join(near, far).await {
            Ok((a, b)) => translate::tunnel(TokioIo::new(a), TokioIo::new(b)).await,
            Err(e) => tracing::debug!("an upgrade came to nothing: {e}"),
        }
    });
    Ok(switching(headers))
}

/// An answer that is a stream of bytes, over WebSocket.
pub async fn log(server: &Arc<ApiServer>, mut req: Request<Input>, t: Target) -> Result<Response<Body>> {
    let (protocol, headers) = match negotiate::accept_websocket(req.headers(), websocket::READER_PROTOCOLS) {
        Ok(x) => x,
        Err(r) => return Ok(refused(r)),
    };
    let near = hyper::upgrade::on(&mut req);
    negotiate::drop_websocket(req.headers_mut());
    let answer = super::forward(server, req, t).await?;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    server.rt.spawn_until_stop("websocket reader", async move {
        match near.await {
            Ok(c) => {
                let ws = websocket::over(TokioIo::new(c), websocket::Role::Server).await;
                let data = http_body_util::BodyDataStream::new(answer.into_body());
                websocket::send_reader(ws, &protocol, data).await;
            }
            Err(e) => tracing::debug!("an upgrade came to nothing: {e}"),
        }
    });
    Ok(switching(headers))
}
