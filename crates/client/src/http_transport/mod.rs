//! The transport over the network: HTTP/2 or HTTP/1.1, TLS, credentials, retries.

mod auth;
mod connect;
mod tls;

pub use tls::{check_key_pair, server_verifier};

use crate::config::Config;
use crate::raw::{Body, BoxError, Error, ListWatch, RawList, RawStream, Transport};
use crate::typed::{failure, read_body, retry_after};
use crate::wire::{self, Frames, Framing};
use crate::{Backoff, rand, url};
use auth::Credentials;
use bytes::Bytes;
use connect::Connector;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::Runtime;
use std::sync::Arc;
use std::time::Duration;

/// How often an answer that says `Retry-After` is asked for again (client-go `rest/request.go`).
const MAX_RETRIES: u32 = 10;
/// The longest `Retry-After` that is heeded.
const MAX_RETRY_AFTER: u64 = 60;
const PAGE: &str = "500";
/// How often one of several servers is asked whether it is ready, how long it may take to say so, and how often in a
/// row it may not be.
const LOOK_EVERY: Duration = Duration::from_secs(3);
const READY_WITHIN: Duration = Duration::from_secs(5);
const READY_FAILURES: u32 = 2;
const PROTO: &str = "application/vnd.kubernetes.protobuf,application/json";
const PROTO_WATCH: &str = "application/vnd.kubernetes.protobuf;stream=watch,application/json";

/// Requests to an API server over the network. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct HttpTransport {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool<Connector, Full<Bytes>>,
    connector: Connector,
    credentials: Credentials,
    /// Scheme and authority, and the path in front of every request's own.
    scheme: http::uri::Scheme,
    authority: http::uri::Authority,
    prefix: String,
    config: Config,
}

/// Hyper's tasks belong to the component's runtime.
#[derive(Clone)]
struct Spawner(Runtime);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, f: F) {
        self.0.spawn_until_stop("client-connection", async move {
            f.await;
        });
    }
}

impl HttpTransport {
    /// Checks the configuration and loads its certificates; connects when first used.
    pub fn new(config: Config, rt: &Runtime) -> Result<Self, Error> {
        let text = if config.server.contains("://") {
            config.server.clone()
        } else {
            format!("http://{}", config.server)
        };
        let bad = |why: &dyn std::fmt::Display| Error::Config(format!("server {text:?}: {why}"));
        let server: Uri = text.parse().map_err(|e| bad(&e))?;
        let scheme = server.scheme().cloned().unwrap_or(http::uri::Scheme::HTTP);
        let authority = server.authority().cloned().ok_or_else(|| bad(&"it has no host"))?;
        let prefix = server.path().trim_end_matches('/').to_owned();
        let credentials = Credentials::new(&config, rt.clock.clone());
        let connector = Connector::new(&config, scheme == http::uri::Scheme::HTTPS, credentials.cert_slot())?;
        // Dead peers are noticed as client-go does: a ping after 30 s of silence, 15 s to answer it.
        let pool = Pool::builder(Spawner(rt.clone()))
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(15))
            .http2_initial_stream_window_size(1 << 20)
            .http2_initial_connection_window_size(8 << 20)
            .build(connector.clone());
        let several = !config.others.is_empty();
        let me = Self {
            inner: Arc::new(Inner { pool, connector, credentials, scheme, authority, prefix, config }),
        };
        if several {
            rt.spawn_until_stop("client-failover", me.clone().stay_ready());
        }
        Ok(me)
    }

    /// Of several servers: leaves one that is not ready for the next.
    async fn stay_ready(self) {
        let mut failures = 0;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let req = Request::get("/readyz").body(Bytes::new());
            let Ok(mut req) = req else { return };
            if self.inner.prepare(&mut req).await.is_err() {
                continue;
            }
            let answer =
                tokio::time::timeout(READY_WITHIN, self.inner.pool.request(req.map(Full::new))).await;
            // One that does not let this client ask is no worse for it.
            let ready = matches!(answer, Ok(Ok(r)) if !r.status().is_server_error());
            failures = if ready { 0 } else { failures + 1 };
            if failures == READY_FAILURES {
                failures = 0;
                tracing::warn!("the server is not ready: another is taken");
                self.inner.connector.next_server();
            }
        }
    }

    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// A request for an upgraded connection (exec, attach, port-forward), over an HTTP/1.1 connection of its own. On
    /// 101 take the connection with `hyper::upgrade::on`.
    pub async fn upgrade(&self, mut req: Request<Bytes>) -> Result<Response<Incoming>, Error> {
        let me = &self.inner;
        me.prepare(&mut req).await?;
        let uri = req.uri().clone();
        let io = me.connector.connect(&uri, false).await.map_err(|e| transport_error(&uri, &*e))?;
        let (mut send, conn) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(|e| Error::Transport(format!("connecting to {}: {e}", me.authority)))?;
        // Driven by whoever holds the response or the upgraded connection; ends with it.
        me.connector.spawn(async move {
            if let Err(e) = conn.with_upgrades().await {
                tracing::debug!("upgraded connection: {e}");
            }
        });
        // HTTP/1.1 wants path and Host.
        let host = HeaderValue::from_str(me.authority.as_str()).map_err(|e| Error::Config(e.to_string()))?;
        req.headers_mut().insert(header::HOST, host);
        *req.uri_mut() = uri
            .path_and_query()
            .map_or("/", |p| p.as_str())
            .parse()
            .map_err(|e| Error::Config(format!("bad request path: {e}")))?;
        let resp = send.send_request(req.map(Full::new)).await;
        resp.map_err(|e| Error::Transport(format!("{} {uri}: {}", Method::GET, chain(&e))))
    }

    async fn send(&self, req: Request<Bytes>) -> Result<Response<Body>, Error> {
        let me = &self.inner;
        let (head, body) = req.into_parts();
        let idempotent = matches!(head.method, Method::GET | Method::HEAD);
        let watch = head.uri.query().is_some_and(|q| q.contains("watch=true") || q.contains("follow=true"));
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let (mut retries, mut connects, mut refreshed) = (0, 0, false);
        loop {
            let mut req = Request::from_parts(head.clone(), body.clone());
            me.prepare(&mut req).await?;
            let uri = req.uri().clone();
            let call = me.pool.request(req.map(Full::new));
            let got = match me.config.timeout.filter(|_| !watch) {
                Some(t) => match tokio::time::timeout(t, call).await {
                    Ok(r) => r,
                    Err(_) => {
                        return Err(Error::Transport(format!(
                            "{} {uri}: no answer within {}s",
                            head.method,
                            t.as_secs()
                        )));
                    }
                },
                None => call.await,
            };
            match got {
                Ok(resp) => {
                    let status = resp.status();
                    if status == StatusCode::UNAUTHORIZED && !refreshed && me.credentials.forget().await {
                        refreshed = true;
                        continue;
                    }
                    let again = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
                    match retry_after(resp.headers()).filter(|_| again && retries < MAX_RETRIES) {
                        Some(secs) => {
                            retries += 1;
                            let wait = Duration::from_secs(secs.min(MAX_RETRY_AFTER));
                            tracing::debug!(%uri, %status, ?wait, "asked to try again later");
                            drop(resp);
                            tokio::time::sleep(wait).await;
                        }
                        None => return Ok(resp.map(|b| b.map_err(boxed).boxed_unsync())),
                    }
                }
                Err(e) => {
                    // Without a connection nothing was sent: safe to repeat. A broken one: only reads are.
                    if (e.is_connect() || idempotent) && connects < me.config.connect_retries {
                        connects += 1;
                        tokio::time::sleep(backoff.next()).await;
                        continue;
                    }
                    return Err(transport_error(&uri, &e));
                }
            }
        }
    }

    async fn get(&self, path: &str, accept: &'static str) -> Result<Response<Body>, Error> {
        let req = Request::get(path)
            .header(header::ACCEPT, accept)
            .body(Bytes::new())
            .map_err(|e| Error::Config(format!("bad request path {path:?}: {e}")))?;
        let resp = self.send(req).await?;
        if resp.status().is_success() {
            return Ok(resp);
        }
        let (head, body) = resp.into_parts();
        Err(failure(head.status, &head.headers, &read_body(body).await?))
    }

    async fn list_all(&self, what: ListWatch) -> Result<RawList, Error> {
        let base = collection(&what);
        let accept = accept(&what, false);
        let mut list = RawList { resource_version: 0, items: Vec::new() };
        let (mut token, mut limit) = (String::new(), PAGE);
        loop {
            let path = url::with_query(
                base.clone(),
                &[
                    ("labelSelector", &what.label_selector),
                    ("fieldSelector", &what.field_selector),
                    ("limit", limit),
                    ("continue", &token),
                ],
            );
            let resp = match self.get(&path, accept).await {
                // The snapshot behind the token is gone: all at once.
                Err(e) if !token.is_empty() && e.is(meta::Reason::Expired) => {
                    list.items.clear();
                    (token, limit) = (String::new(), "");
                    continue;
                }
                other => other?,
            };
            token = wire::list_page(&read_body(resp.into_body()).await?, &mut list)?;
            if token.is_empty() {
                return Ok(list);
            }
        }
    }

    async fn watch_from(&self, what: ListWatch, rv: u64) -> Result<RawStream, Error> {
        // As client-go: between five and ten minutes, so that servers and watches are spread anew now and then.
        let timeout = 300 + rand::next() % 300;
        let path = url::with_query(
            collection(&what),
            &[
                ("watch", "true"),
                ("allowWatchBookmarks", "true"),
                ("labelSelector", &what.label_selector),
                ("fieldSelector", &what.field_selector),
                ("resourceVersion", &rv.to_string()),
                ("timeoutSeconds", &timeout.to_string()),
            ],
        );
        let resp = self.get(&path, accept(&what, true)).await?;
        let kind = resp.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let frames = Frames::new(Framing::of(kind));
        let state = (resp.into_body().into_data_stream(), frames, false);
        let events = futures::stream::unfold(state, |(mut body, mut frames, over)| async move {
            if over {
                return None;
            }
            loop {
                match frames.next() {
                    Ok(Some(e)) => return Some((Ok(e), (body, frames, false))),
                    Ok(None) => {}
                    Err(e) => return Some((Err(e), (body, frames, true))),
                }
                match body.next().await {
                    None => return None,
                    Some(Ok(chunk)) => frames.push(&chunk),
                    Some(Err(e)) => {
                        let e = Error::Transport(format!("reading a watch: {e}"));
                        return Some((Err(e), (body, frames, true)));
                    }
                }
            }
        });
        Ok(events.boxed())
    }
}

fn boxed(e: hyper::Error) -> BoxError {
    Box::new(e)
}

fn collection(w: &ListWatch) -> String {
    url::collection(&w.group, &w.version, &w.resource, Some(&w.namespace))
}

fn accept(w: &ListWatch, watch: bool) -> &'static str {
    match (w.metadata_only, watch) {
        (false, false) => PROTO,
        (false, true) => PROTO_WATCH,
        (true, false) => {
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
        }
        (true, true) => {
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1;stream=watch,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
        }
    }
}

impl Inner {
    /// Puts the server's address, credentials and identity into a request.
    async fn prepare(&self, req: &mut Request<Bytes>) -> Result<(), Error> {
        let path = req.uri().path_and_query().map_or("/", |p| p.as_str());
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path}", self.prefix))
            .build()
            .map_err(|e| Error::Config(format!("bad request path {path:?}: {e}")))?;
        *req.uri_mut() = uri;
        let h = req.headers_mut();
        if !h.contains_key(header::USER_AGENT) {
            h.insert(header::USER_AGENT, header_value(&self.config.user_agent)?);
        }
        if !h.contains_key(header::AUTHORIZATION)
            && let Some(v) = self.credentials.authorization().await?
        {
            h.insert(header::AUTHORIZATION, v);
        }
        let i = &self.config.impersonate;
        if !i.user.is_empty() && !h.contains_key("impersonate-user") {
            h.insert("impersonate-user", header_value(&i.user)?);
            if !i.uid.is_empty() {
                h.insert("impersonate-uid", header_value(&i.uid)?);
            }
            for g in &i.groups {
                h.append("impersonate-group", header_value(g)?);
            }
            for (k, vs) in &i.extra {
                let name = format!("impersonate-extra-{}", url::escape_query(&k.to_lowercase()));
                let name = http::HeaderName::try_from(name).map_err(|e| Error::Config(e.to_string()))?;
                for v in vs {
                    h.append(name.clone(), header_value(v)?);
                }
            }
        }
        Ok(())
    }
}

fn header_value(s: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(s).map_err(|e| Error::Config(format!("{s:?} cannot be sent in a header: {e}")))
}

/// An error and its sources on one line.
fn chain(e: &dyn std::error::Error) -> String {
    let mut out = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        let s = e.to_string();
        if !out.contains(&s) {
            out.push_str(": ");
            out.push_str(&s);
        }
        next = e.source();
    }
    out
}

/// Upstream's sentence for a refused connection, else the chain.
fn transport_error(uri: &Uri, e: &(dyn std::error::Error + 'static)) -> Error {
    let mut next = Some(e);
    while let Some(e) = next {
        if let Some(io) = e.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return Error::Transport(format!(
                "The connection to the server {} was refused - did you specify the right host or port?",
                uri.authority().map_or("", |a| a.as_str())
            ));
        }
        next = e.source();
    }
    let text = chain(e);
    Error::Transport(format!("{uri}: {text}{}", advice(&text)))
}

/// What to look at where a server's certificate is refused, with upstream's words for it.
fn advice(error: &str) -> String {
    let all = [
        (
            "UnknownIssuer",
            "x509: certificate signed by unknown authority: certificate-authority in the kubeconfig is not the one that signed the server's certificate",
        ),
        (
            "not valid for name",
            "x509: certificate is not valid for that host: use a name that it has, or have the name added to it",
        ),
        (
            "certificate expired",
            "x509: certificate has expired or is not yet valid: renew the server's certificate, or set the clock of this host",
        ),
        (
            "certificate not valid yet",
            "x509: certificate has expired or is not yet valid: the clock of this host, or of the one that made it, is wrong",
        ),
        ("InvalidContentType", "the server speaks no TLS there: the kubeconfig's server must be http://"),
    ];
    let found = all.iter().find(|(mark, _)| error.contains(mark));
    found.map(|(_, text)| format!(" ({text})")).unwrap_or_default()
}

impl Transport for HttpTransport {
    fn call(&self, req: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Error>> {
        self.send(req).boxed()
    }
    fn list(&self, what: ListWatch) -> BoxFuture<'_, Result<RawList, Error>> {
        self.list_all(what).boxed()
    }
    fn watch(&self, what: ListWatch, resource_version: u64) -> BoxFuture<'_, Result<RawStream, Error>> {
        self.watch_from(what, resource_version).boxed()
    }
}

/// The stream under a connection.
pub(crate) type Io = TokioIo<connect::MaybeTls>;

#[cfg(test)]
mod tests;
