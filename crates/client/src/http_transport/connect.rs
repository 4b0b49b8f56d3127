//! Connections: TCP, and TLS over it where the server's address says https.

use super::Io;
use super::tls::Tls;
use crate::config::Config;
use crate::raw::{BoxError, Error};
use futures::future::BoxFuture;
use http::Uri;
use http::uri::Authority;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long one of several servers has to take a connection.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes connections to one server.
#[derive(Clone)]
pub struct Connector(Arc<Shared>);

struct Shared {
    tls: Option<Tls>,
    /// All servers, where there are several.
    servers: Vec<Authority>,
    turn: AtomicUsize,
    /// Ends the connections to the server whose turn it is.
    cut: Mutex<CancellationToken>,
    rt: runtime::Runtime,
}

impl Connector {
    pub fn new(config: &Config, https: bool, cert: super::auth::CertSlot) -> Result<Self, Error> {
        let tls = if https { Some(Tls::new(config, cert)?) } else { None };
        let mut servers = Vec::new();
        if !config.others.is_empty() {
            for text in std::iter::once(&config.server).chain(&config.others) {
                let uri: Uri = text.parse().map_err(|e| Error::Config(format!("server {text:?}: {e}")))?;
                if (uri.scheme() == Some(&http::uri::Scheme::HTTPS)) != https {
                    return Err(Error::Config(format!("server {text:?}: all servers speak https, or none")));
                }
                servers.extend(uri.authority().cloned());
            }
        }
        // Clients spread over the servers.
        let turn = AtomicUsize::new(usize::try_from(crate::rand::next() >> 32).unwrap_or(0));
        let (rt, cut) = (runtime::Runtime::new(), Mutex::default());
        Ok(Self(Arc::new(Shared { tls, servers, turn, cut, rt })))
    }
    /// Another server is taken from now on, and the connections to the one before are ended.
    pub fn next_server(&self) {
        self.0.turn.fetch_add(1, Ordering::Relaxed);
        self.0.cut.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }
    /// Ends what is connected now, when told so.
    fn token(&self) -> CancellationToken {
        let mut cut = self.0.cut.lock().unwrap_or_else(PoisonError::into_inner);
        if cut.is_cancelled() {
            *cut = CancellationToken::new();
        }
        cut.clone()
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
        let me = &self.0;
        if me.servers.is_empty() {
            let authority = uri.authority().ok_or("the address has no host")?;
            return Ok(TokioIo::new(self.connect_to(authority, h2).await?));
        }
        let mut why = String::new();
        for _ in 0..me.servers.len() {
            let turn = me.turn.load(Ordering::Relaxed);
            let server = &me.servers[turn % me.servers.len()];
            let cut = self.token();
            let e = match tokio::time::timeout(ONE_OF_SEVERAL, self.connect_to(server, h2)).await {
                Ok(Ok(io)) => {
                    let cut = Box::pin(cut.cancelled_owned());
                    return Ok(TokioIo::new(MaybeTls::Cut(Box::new(io), cut)));
                }
                Ok(Err(e)) => e.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            why = format!("{why}{}{server}: {e}", if why.is_empty() { "" } else { "; " });
            let _ =
                me.turn.compare_exchange(turn, turn.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
        }
        Err(why.into())
    }
    async fn connect_to(&self, to: &Authority, h2: bool) -> Result<MaybeTls, BoxError> {
        let bare = to.host().trim_start_matches('[').trim_end_matches(']');
        let port = to.port_u16().unwrap_or(if self.0.tls.is_some() { 443 } else { 80 });
        let tcp = TcpStream::connect((bare, port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.0.tls else { return Ok(MaybeTls::Plain(tcp)) };
        let (config, name) = tls.client_config(bare, h2)?;
        let stream = TlsConnector::from(config).connect(name, tcp).await?;
        Ok(MaybeTls::Tls(Box::new(stream)))
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
    /// One that ends when its server is left for another.
    Cut(Box<MaybeTls>, Pin<Box<WaitForCancellationFutureOwned>>),
}

impl MaybeTls {
    fn cut(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        if let Self::Cut(_, cut) = self
            && cut.as_mut().poll(cx).is_ready()
        {
            let text = "the server was left for another";
            return Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, text));
        }
        Ok(())
    }
}

impl Connection for MaybeTls {
    fn connected(&self) -> Connected {
        let c = Connected::new();
        match self {
            Self::Cut(io, _) => io.connected(),
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
        let me = self.get_mut();
        me.cut(cx)?;
        match me {
            Self::Cut(s, _) => Pin::new(s.as_mut()).poll_read(cx, buf),
            Self::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for MaybeTls {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Cut(s, _) => Pin::new(s.as_mut()).poll_write(cx, buf),
            Self::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Cut(s, _) => Pin::new(s.as_mut()).poll_flush(cx),
            Self::Plain(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Cut(s, _) => Pin::new(s.as_mut()).poll_shutdown(cx),
            Self::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
