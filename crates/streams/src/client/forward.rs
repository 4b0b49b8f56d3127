//! Ports of a pod, brought here (upstream `client-go/tools/portforward`).

use super::{Error, spdy, websocket};
use crate::negotiate::{PORT_FORWARD, TUNNEL};
use crate::spdy::{Connection, Headers, Options, Stream};
use crate::websocket::{self as ws, Role, Tunnel};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use runtime::Runtime;
use std::fmt::Display;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PING: Duration = Duration::from_secs(10);
/// How long the other side may take to say how it went, after the data's end.
const RESULT: Duration = Duration::from_secs(10);
/// Bytes of an error that are read.
const MAX_ERROR: u64 = 64 << 10;

/// A connection to a pod's port-forwarding.
pub struct PortForward {
    conn: Connection,
    next: AtomicU64,
}

/// One connection to a port: bytes both ways, and what goes wrong on the other side.
pub struct Forwarded {
    pub data: Stream,
    pub error: Stream,
}

impl PortForward {
    /// Over SPDY in WebSocket, and where the server does not upgrade to that, over SPDY. `path`: the subresource.
    pub async fn open<D, F, E>(dial: D, path: &str, rt: &Runtime) -> Result<Self, Error>
    where
        D: Fn(Request<Bytes>) -> F,
        F: Future<Output = Result<Response<Incoming>, E>>,
        E: Display,
    {
        let options = Options { ping: Some(PING), ..Options::default() };
        let tunnel = format!("{TUNNEL}{PORT_FORWARD}");
        let conn = match websocket(&dial, path, &[&tunnel]).await {
            Ok((io, _)) => {
                let ws = ws::over(io, Role::Client).await;
                Connection::client(Tunnel::new(ws), options, rt)
            }
            Err(e) if e.is_upgrade_failure() => {
                tracing::debug!("fallback to SPDY: {e}");
                let (io, protocol) = spdy(&dial, path, &[PORT_FORWARD]).await?;
                if protocol != PORT_FORWARD {
                    return Err(Error::Negotiation(format!(
                        "unable to negotiate protocol: client supports {PORT_FORWARD:?}, server returned {protocol:?}"
                    )));
                }
                Connection::client(io, options, rt)
            }
            Err(e) => return Err(e),
        };
        Ok(Self::over(conn))
    }

    pub fn over(conn: Connection) -> Self {
        Self { conn, next: AtomicU64::new(0) }
    }

    /// A new connection to a port of the pod.
    pub async fn connect(&self, port: u16) -> io::Result<Forwarded> {
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let headers = |kind: &str| {
            Headers::new()
                .with("streamType", kind)
                .with("port", port.to_string())
                .with("requestID", id.clone())
        };
        let mut error = self.conn.open(headers("error")).await?;
        // Nothing is said on it from here.
        error.finish();
        let data = self.conn.open(headers("data")).await?;
        Ok(Forwarded { data, error })
    }

    /// Joins a local connection to a port of the pod, until either side has had enough. `Ok(Some(_))`: what the other
    /// side says went wrong.
    pub async fn forward<S>(&self, port: u16, mut local: S) -> io::Result<Option<String>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Forwarded { data, error } = self.connect(port).await?;
        let (mut from_pod, mut to_pod) = tokio::io::split(data);
        let (mut from_local, mut to_local) = tokio::io::split(&mut local);
        let up = async {
            let r = tokio::io::copy(&mut from_local, &mut to_pod).await;
            let _ = to_pod.shutdown().await;
            match r {
                Err(e) => e,
                // What the pod still says is waited for.
                Ok(_) => std::future::pending().await,
            }
        };
        let down = async {
            let r = tokio::io::copy(&mut from_pod, &mut to_local).await;
            let _ = to_local.shutdown().await;
            r.map(|_| ())
        };
        let r = tokio::select! { r = down => r, e = up => Err(e) };
        // The data stream is reset, so that nothing of it stands in the way of others.
        drop((from_pod, to_pod));
        let mut said = Vec::new();
        let _ = tokio::time::timeout(RESULT, error.take(MAX_ERROR).read_to_end(&mut said)).await;
        if !said.is_empty() {
            return Ok(Some(String::from_utf8_lossy(&said).into_owned()));
        }
        r.map(|()| None)
    }

    /// Until the connection to the pod is lost.
    pub async fn closed(&self) {
        self.conn.closed().await;
    }
    pub fn is_closed(&self) -> bool {
        self.conn.is_closed()
    }
}
