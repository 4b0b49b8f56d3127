//! Connections: TCP, and TLS over it where the server's address says https.

use super::Io;
use super::tls::Tls;
use crate::config::Config;
use crate::raw::{BoxError, Error};
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes connections to one server.
#[derive(Clone)]
pub struct Connector(Arc<Shared>);

struct Shared {
    tls: Option<Tls>,
    rt: runtime::Runtime,
}

impl Connector {
    pub fn new(config: &Config, https: bool, cert: super::auth::CertSlot) -> Result<Self, Error> {
        let tls = if https { Some(Tls::new(config, cert)?) } else { None };
        Ok(Self(Arc::new(Shared { tls, rt: runtime::Runtime::new() })))
    }
    pub fn spawn(&self, f: impl Future<Output = ()> + Send + 'static) {
        self.0.rt.spawn("client-upgrade", f);
    }
    /// A connection, over which HTTP/2 is spoken if `h2` and the server agrees.
    pub async fn connect(&self, uri: &Uri, h2: bool) -> Result<Io, BoxError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.connect_now(uri, h2)).await {
            Ok(r) => r,
            Err(_) => Err(format!("no connection within {}s", CONNECT_TIMEOUT.as_secs()).into()),
        }
    }
    async fn connect_now(&self, uri: &Uri, h2: bool) -> Result<Io, BoxError> {
        let host = uri.host().ok_or("the address has no host")?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if self.0.tls.is_some() { 443 } else { 80 });
        let tcp = TcpStream::connect((bare, port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.0.tls else { return Ok(TokioIo::new(MaybeTls::Plain(tcp))) };
        let (config, name) = tls.client_config(bare, h2)?;
        let stream = TlsConnector::from(config).connect(name, tcp).await?;
        Ok(TokioIo::new(MaybeTls::Tls(Box::new(stream))))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Io;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Io, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, uri: Uri) -> Self::Future {
        let me = self.clone();
        Box::pin(async move { me.connect(&uri, true).await })
    }
}

/// A connection with or without TLS.
pub enum MaybeTls {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for MaybeTls {
    fn connected(&self) -> Connected {
        let c = Connected::new();
        match self {
            Self::Tls(s) if s.get_ref().1.alpn_protocol() == Some(b"h2") => c.negotiated_h2(),
            _ => c,
        }
    }
}

impl AsyncRead for MaybeTls {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for MaybeTls {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
