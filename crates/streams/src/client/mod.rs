//! The client's side: commands in containers and forwarded ports, over WebSocket or, where the server cannot, SPDY.
//!
//! Nothing here makes connections: a caller gives a function that sends one request over HTTP/1.1 and answers the
//! response (`client::HttpTransport::upgrade`).

mod command;
mod forward;

pub use command::{Command, Input, Outcome, Output, Session, Size, Wanted, command};
pub use forward::{Forwarded, PortForward};

use crate::negotiate;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::fmt::Display;
use std::io;

/// Bytes of a refusal that are read.
const MAX_ERROR: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error("{0}")]
    Dial(String),
    /// The server answered something else than 101; a `Status` of the API perhaps.
    #[error("unable to upgrade streaming request: {} ({status})", String::from_utf8_lossy(.body).trim())]
    Refused { status: StatusCode, body: Bytes },
    #[error("unable to upgrade streaming request: {0}")]
    Negotiation(String),
    #[error("error sending request: {0}")]
    Request(#[from] http::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("error stream protocol error: {0}")]
    ErrorStream(String),
}

impl Error {
    /// The server does not speak this way; another may work.
    pub fn is_upgrade_failure(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Negotiation(_))
    }
    /// The `Status` that the server answered instead.
    pub fn status(&self) -> Option<serde_json::Value> {
        match self {
            Self::Refused { body, .. } => {
                let v: serde_json::Value = serde_json::from_slice(body).ok()?;
                (v.get("kind")? == "Status").then_some(v)
            }
            _ => None,
        }
    }
}

/// Sends a request for an upgrade and takes the connection; `check` reads the protocol from both sides' headers.
async fn upgrade<D, F, E>(
    dial: &D,
    req: Request<Bytes>,
    check: fn(&HeaderMap, &HeaderMap) -> Result<String, String>,
) -> Result<(TokioIo<Upgraded>, String), Error>
where
    D: Fn(Request<Bytes>) -> F,
    F: Future<Output = Result<Response<Incoming>, E>>,
    E: Display,
{
    let asked = req.headers().clone();
    let answer = dial(req).await.map_err(|e| Error::Dial(e.to_string()))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ERROR).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return Err(Error::Refused { status, body });
    }
    let protocol = check(&asked, answer.headers()).map_err(Error::Negotiation)?;
    let io = hyper::upgrade::on(answer).await.map_err(|e| Error::Negotiation(crate::chain(&e)))?;
    Ok((TokioIo::new(io), protocol))
}

async fn spdy<D, F, E>(dial: &D, path: &str, protocols: &[&str]) -> Result<(TokioIo<Upgraded>, String), Error>
where
    D: Fn(Request<Bytes>) -> F,
    F: Future<Output = Result<Response<Incoming>, E>>,
    E: Display,
{
    upgrade(dial, negotiate::spdy_request(path, protocols)?, negotiate::spdy_answer).await
}

async fn websocket<D, F, E>(
    dial: &D,
    path: &str,
    protocols: &[&str],
) -> Result<(TokioIo<Upgraded>, String), Error>
where
    D: Fn(Request<Bytes>) -> F,
    F: Future<Output = Result<Response<Incoming>, E>>,
    E: Display,
{
    upgrade(dial, negotiate::websocket_request(path, protocols)?, negotiate::websocket_answer).await
}
