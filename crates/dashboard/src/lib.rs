//! The dashboard: a listener that serves the web interface (static bytes in the program) and carries its requests to
//! the API server.
//!
//! It has no identity of its own. A request travels with the token of its session, or not at all; what the user may not
//! do, the dashboard cannot do.
//!
//! - [`assets`]: the bundle, built from `web/` by `cargo xtask dashboard` and committed in `dist/`
//! - [`guard`]: which requests are let in, and the headers every answer gets; pure
//! - [`session`]: the token, sealed into cookies; pure but for randomness
//! - [`login`]: how a session begins and ends
//! - [`proxy`]: requests and remote commands, passed through
//! - [`bridge`]: watches and followed logs as WebSockets, because a browser has only six HTTP/1.1 connections to a host
//! - [`flags`]: the applet

pub mod assets;
mod bridge;
pub mod flags;
pub mod guard;
mod login;
mod proxy;
pub mod session;

pub use flags::run;

use client::HttpTransport;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use runtime::Runtime;
use serve::Body;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Why the dashboard does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the way to the API server: {0}")]
    Upstream(#[source] client::Error),
    #[error("{0}")]
    Bind(#[source] serve::BindError),
    #[error("the certificate that the dashboard is served with: {0}")]
    Tls(String),
}

/// Long-lived connections (watches, logs, terminals) at a time.
const MAX_STREAMS: usize = 1_000;

/// What all requests share.
pub struct Dashboard {
    upstream: HttpTransport,
    streams: Arc<Semaphore>,
    rt: Runtime,
}

impl Dashboard {
    /// `upstream` says where the API server is. Credentials in it are dropped: only users' tokens are ever sent.
    pub fn new(mut upstream: client::Config, rt: Runtime) -> Result<Arc<Self>, Error> {
        upstream.auth = client::config::Auth::None;
        upstream.client_cert = None;
        upstream.impersonate = client::config::Impersonate::default();
        upstream.connect_retries = 1;
        upstream.user_agent = "keelson-dashboard".to_owned();
        let upstream = HttpTransport::new(upstream, &rt).map_err(Error::Upstream)?;
        Ok(Arc::new(Self { upstream, streams: Arc::new(Semaphore::new(MAX_STREAMS)), rt }))
    }

    /// Serves until the runtime stops.
    pub async fn serve(
        self: Arc<Self>,
        listener: serve::Listener,
        tls: Option<&serve::TlsSettings>,
    ) -> Result<(), Error> {
        let limits = serve::Limits {
            max_connections: 2_000,
            header_timeout: Duration::from_secs(60),
            max_header_bytes: 64 << 10,
            max_streams: 200,
            grace: Duration::from_secs(3),
            ..serve::Limits::default()
        };
        let mut server = serve::Server::new(self.rt.clone()).limits(limits);
        if let Some(tls) = tls {
            server = server.tls(tls).map_err(|e| Error::Tls(e.to_string()))?;
        }
        server
            .run(listener, move |req| {
                let me = self.clone();
                async move { me.answer(req).await }
            })
            .await;
        Ok(())
    }

    async fn answer(self: Arc<Self>, req: Request<Incoming>) -> Response<Body> {
        let path = req.uri().path();
        let mut response = if let Some(target) = guard::stream_target(path) {
            let target = target.to_owned();
            self.bridge(req, &target).await
        } else if path == login::PATH {
            let mut r = self.session(req).await;
            guard::sandbox(r.headers_mut());
            r
        } else if guard::is_api(path) {
            let mut r = self.proxy(req).await;
            guard::sandbox(r.headers_mut());
            r
        } else if !matches!(*req.method(), Method::GET | Method::HEAD) {
            status(StatusCode::METHOD_NOT_ALLOWED, "only GET here")
        } else if path == "/healthz" {
            status(StatusCode::OK, "ok")
        } else {
            assets::answer(path, req.headers())
        };
        guard::secure(response.headers_mut());
        response
    }
}

/// The dashboard beside an API server of the same process: binds, then serves as a task of `rt`. Answers the address.
pub async fn start(
    address: SocketAddr,
    upstream: client::Config,
    tls: Option<serve::TlsSettings>,
    rt: &Runtime,
) -> Result<SocketAddr, Error> {
    let dashboard = Dashboard::new(upstream, rt.clone())?;
    let listener = serve::Listener::bind(address).await.map_err(Error::Bind)?;
    let bound = listener.local_addr().unwrap_or(address);
    rt.spawn("dashboard", async move {
        if let Err(e) = dashboard.serve(listener, tls.as_ref()).await {
            tracing::error!("the dashboard cannot serve: {e}");
        }
    });
    Ok(bound)
}

/// A short answer in plain text.
fn status(code: StatusCode, text: &str) -> Response<Body> {
    let mut r = Response::new(serve::full(text.to_owned()));
    *r.status_mut() = code;
    r.headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    r
}

/// A failure in the API server's own form, so that the interface shows all failures alike.
fn failure(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "message": message, "code": code.as_u16(),
    });
    let mut r = Response::new(serve::full(body.to_string()));
    *r.status_mut() = code;
    r.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    r
}

/// A refusal of [`guard`] as an answer.
fn refused(r: &guard::Refused) -> Response<Body> {
    let (code, reason) = match r {
        guard::Refused::NoToken => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        guard::Refused::OtherSite
        | guard::Refused::NoOrigin
        | guard::Refused::NoProxying
        | guard::Refused::Plain => (StatusCode::FORBIDDEN, "Forbidden"),
        guard::Refused::Method => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    };
    failure(code, reason, &r.to_string())
}

#[cfg(test)]
mod tests;
