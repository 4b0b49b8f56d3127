//! The accept loop and one connection's life.

use crate::gather::{drive, gather};
use crate::listen::{Addr, Listener, Stream};
use crate::tls::{ClientCa, TlsError, TlsSettings};
use crate::{Body, BoxError};
use futures::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use runtime::Runtime;
use rustls::pki_types::CertificateDer;
use std::any::Any;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What one server lets clients take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; more wait in the listener's queue.
    pub max_connections: usize,
    pub handshake_timeout: Duration,
    /// For a request's head on HTTP/1; also how long an idle HTTP/1 connection is kept.
    pub header_timeout: Duration,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub max_streams: u32,
    /// An HTTP/2 connection that is silent this long is pinged, and closed when no answer comes in half of it.
    pub ping_after: Duration,
    /// After a stop: how long requests in flight may go on.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(90),
            max_header_bytes: 1 << 20,
            max_streams: 1_000,
            ping_after: Duration::from_secs(30),
            grace: Duration::from_secs(20),
        }
    }
}

/// The other end of a connection; in every request's extensions, as `Arc<Peer>`.
#[derive(Debug)]
pub struct Peer {
    pub remote: Addr,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The client's certificates, leaf first; its possession of the leaf's key is proven, the chain is not.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Whether the chain leads to the configured authority; `Err` says why not.
    pub verified: Result<(), String>,
    /// What the handler found out of this peer and wants to find again with its next request.
    pub memo: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// An HTTP server to be: [`Server::run`] takes the listener and the handler.
pub struct Server {
    rt: Runtime,
    tls: Option<(TlsAcceptor, Option<Arc<ClientCa>>)>,
    limits: Limits,
    cleartext_http2: bool,
}

impl Server {
    /// Without TLS, default limits.
    pub fn new(rt: Runtime) -> Self {
        Self { rt, tls: None, limits: Limits::default(), cleartext_http2: false }
    }
    pub fn tls(mut self, s: &TlsSettings) -> Result<Self, TlsError> {
        self.tls = Some((TlsAcceptor::from(s.build()?), s.client_ca.clone()));
        Ok(self)
    }
    #[must_use]
    pub fn limits(mut self, l: Limits) -> Self {
        self.limits = l;
        self
    }
    /// Without TLS: HTTP/2 by prior knowledge too (gRPC, Unix sockets).
    #[must_use]
    pub fn cleartext_http2(mut self, on: bool) -> Self {
        self.cleartext_http2 = on;
        self
    }

    /// Serves until the runtime stops; then takes no more connections, tells HTTP/2 clients to go away, and waits for
    /// requests in flight, at most [`Limits::grace`].
    pub async fn run<H, F>(self, listener: Listener, handler: H)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(self.limits.max_connections));
        let conns = self.rt.child();
        let this = Arc::new(self);
        loop {
            let slot = tokio::select! {
                s = slots.clone().acquire_owned() => s,
                () = this.rt.stopping() => break,
            };
            let accepted = tokio::select! {
                a = listener.accept() => a,
                () = this.rt.stopping() => break,
            };
            let (stream, remote) = match accepted {
                Ok(x) => x,
                Err(e) => {
                    // Out of descriptors and the like: connections that end make room.
                    if !matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
                    {
                        tracing::warn!(error = %e, "accepting a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    continue;
                }
            };
            let (this, handler, inner) = (this.clone(), handler.clone(), conns.clone());
            conns.spawn("connection", async move {
                this.connection(stream, remote, handler, inner).await;
                drop(slot);
            });
        }
        drop(listener);
        if !conns.shutdown(this.limits.grace).await {
            tracing::info!("connections cut after the grace period");
        }
    }

    async fn connection<H, F>(&self, stream: Stream, remote: Addr, handler: H, rt: Runtime)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let plain = |remote| Peer {
            remote,
            tls: false,
            certificates: Vec::new(),
            verified: Ok(()),
            memo: OnceLock::new(),
        };
        match stream {
            Stream::Unix(s) => self.http(s, plain(remote), None, handler, rt).await,
            Stream::Tcp(s) => match &self.tls {
                None => self.http(s, plain(remote), None, handler, rt).await,
                Some((acceptor, ca)) => {
                    let handshake = tokio::time::timeout(self.limits.handshake_timeout, acceptor.accept(s));
                    let tls = match handshake.await {
                        Ok(Ok(t)) => t,
                        Ok(Err(e)) => {
                            tracing::debug!(%remote, error = %e, "TLS handshake");
                            return;
                        }
                        Err(_) => {
                            tracing::debug!(%remote, "TLS handshake timed out");
                            return;
                        }
                    };
                    let session = tls.get_ref().1;
                    let h2 = session.alpn_protocol() == Some(b"h2");
                    let certificates: Vec<_> = session
                        .peer_certificates()
                        .map(|c| c.iter().map(|c| c.clone().into_owned()).collect())
                        .unwrap_or_default();
                    let now = u64::try_from(self.rt.clock.unix_seconds()).unwrap_or(0);
                    let verified = match ca {
                        Some(ca) if !certificates.is_empty() => ca.verify(&certificates, now),
                        _ => Err("no certificate".to_owned()),
                    };
                    let peer = Peer { remote, tls: true, certificates, verified, memo: OnceLock::new() };
                    self.http(tls, peer, Some(h2), handler, rt).await;
                }
            },
        }
    }

    async fn http<S, H, F>(&self, stream: S, peer: Peer, h2: Option<bool>, handler: H, rt: Runtime)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let l = &self.limits;
        let open = Arc::new(AtomicUsize::new(0));
        let mut b = Builder::new(Tasks(rt.clone(), open.clone()));
        b.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(l.header_timeout)
            .max_buf_size(l.max_header_bytes.max(8192))
            .max_headers(256);
        b.http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(l.max_header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(l.max_streams)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(4 << 20)
            .max_send_buf_size(1 << 20)
            .keep_alive_interval(l.ping_after)
            .keep_alive_timeout(l.ping_after / 2);
        let b = match h2 {
            Some(true) => b.http2_only(),
            Some(false) => b.http1_only(),
            None if self.cleartext_http2 => b,
            None => b.http1_only(),
        };
        let remote = peer.remote.clone();
        let peer = Arc::new(peer);
        let service = hyper::service::service_fn(move |mut req: Request<Incoming>| {
            req.extensions_mut().insert(peer.clone());
            // Boxed: what holds it is moved several times on its way into a task.
            Box::pin(handler(req)).never_error()
        });
        let (stream, rest) = gather(stream);
        let mut conn = pin!(b.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let done = tokio::select! {
            r = drive(conn.as_mut(), &rest, &open) => r,
            () = rt.stopping() => {
                conn.as_mut().graceful_shutdown();
                match tokio::time::timeout(l.grace, drive(conn.as_mut(), &rest, &open)).await {
                    Ok(r) => r,
                    Err(_) => return,
                }
            }
        };
        if let Err(e) = done {
            log_end(&remote, &e);
        }
    }
}

fn log_end(remote: &Addr, e: &BoxError) {
    tracing::debug!(%remote, error = %e, "connection ended");
}

/// Runs hyper's own tasks (one for each HTTP/2 request) in the task tree, and counts those of the connection.
#[derive(Clone)]
struct Tasks(Runtime, Arc<AtomicUsize>);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, fut: F) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.spawn("http2 stream", Counted { fut, _open: Open(self.1.clone()) });
    }
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project_lite::pin_project! {
    /// A request's task, counted as long as it is there.
    struct Counted<F> {
        #[pin]
        fut: F,
        _open: Open,
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().fut.poll(cx)
    }
}
