//! The server: its parts, its entrances, the life of one request.

use crate::aggregate::Remotes;
use crate::audit::Audit;
use crate::body::Input;
use crate::chain;
use crate::config::Config;
use crate::cx::Notes;
use crate::fair::Fair;
use crate::metrics::Metrics;
use crate::object;
use crate::query::{self, Query};
use crate::registry::{Registry, ResourceInfo};
use crate::request::RequestInfo;
use crate::{Failure, auth, dispatch, fair, patching, respond};
use arc_swap::ArcSwap;
use authn::{Authenticator, Signer};
use authz::Authorizer;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use meta::time::Timestamp;
use meta::{Status, UserInfo, Value};
use mvcc::Record;
use runtime::Runtime;
use serve::{Body, Listener, Peer, TlsSettings};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use storage::Storage;

/// Bytes of watch frames that are kept for other watchers.
const FRAMES: usize = 16 << 20;

/// A running API server.
pub struct ApiServer {
    pub cfg: Config,
    pub rt: Runtime,
    pub store: Arc<dyn Storage>,
    registry: ArcSwap<Registry>,
    /// Tells of changes of the registry.
    changes: tokio::sync::watch::Sender<u64>,
    pub authenticator: Authenticator,
    /// Of service account tokens.
    pub signer: Option<Signer>,
    pub authorizer: Arc<dyn Authorizer>,
    pub fed: auth::Fed,
    pub admission: admission::Chain,
    pub metrics: Metrics,
    pub frames: Frames,
    pub documents: crate::openapi_docs::Documents,
    pub fair: Arc<Fair>,
    pub audit: Option<Arc<Audit>>,
    /// Groups and versions that other servers serve.
    pub remotes: Remotes,
    pub webhooks: crate::webhooks::Webhooks,
    pub policies: crate::policy::Policies,
}

impl ApiServer {
    /// A server, not yet listening. The error names what is wrong with the configuration.
    pub fn new(mut cfg: Config, rt: Runtime) -> std::result::Result<Arc<Self>, String> {
        let registry = Registry::builtin(|r| cfg.enables(r));
        let admission = admission::Chain::new(&cfg.admission)?;
        let (authenticator, signer) = auth::authenticator(&cfg.authentication);
        let (authorizer, fed) = auth::authorizer(&cfg.authorization);
        let audit = match cfg.audit.take() {
            Some((policy, log)) => Some(Audit::new(policy, log, &rt)?),
            None => None,
        };
        let seats = if cfg.max_in_flight == 0 { 0 } else { cfg.max_in_flight + cfg.max_mutating_in_flight };
        let this = Arc::new(Self {
            store: cfg.storage.clone(),
            registry: ArcSwap::from_pointee(registry),
            changes: tokio::sync::watch::Sender::new(0),
            authenticator,
            signer,
            authorizer,
            fed,
            admission,
            metrics: Metrics::default(),
            frames: Frames::default(),
            documents: crate::openapi_docs::Documents::default(),
            fair: Fair::new(seats, cfg.request_timeout),
            remotes: Remotes::default(),
            webhooks: crate::webhooks::Webhooks::default(),
            policies: crate::policy::Policies::default(),
            audit,
            cfg,
            rt,
        });
        auth::follow(&this);
        fair::load(&this);
        crate::crd::follow(&this);
        let s = this.clone();
        crate::webhooks::load(&s);
        this.rt.spawn_until_stop("webhook configurations", crate::webhooks::follow(s));
        Ok(this)
    }

    pub fn now(&self) -> Timestamp {
        let nanos = self.rt.clock.unix_nanos();
        Timestamp {
            seconds: nanos.div_euclid(1_000_000_000),
            nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
        }
    }

    /// A request of the server itself, with all rights. Answers the object that came back.
    pub fn internal<'a>(
        self: &'a Arc<Self>,
        method: &'a str,
        uri: &'a str,
        body: Option<&'a Value>,
    ) -> BoxFuture<'a, crate::Result<Value>> {
        async move {
            let req = Request::builder()
                .method(method)
                .uri(uri)
                .header(
                    http::header::CONTENT_TYPE,
                    if method == "PATCH" { patching::APPLY } else { "application/json" },
                )
                .header(http::header::USER_AGENT, "kube-apiserver")
                .body(Input::Bytes(body.map(|b| b.to_string().into()).unwrap_or_default()))
                .map_err(Status::internal)?;
            let res = self.handle(req, Sender::Process(internal_user())).await;
            let ok = res.status().is_success();
            let body = res.into_body().collect().await.map_err(Status::internal)?.to_bytes();
            if ok {
                return Ok(serde_json::from_slice(&body).unwrap_or_default());
            }
            match serde_json::from_slice::<Status>(&body) {
                Ok(s) => Err(s.into()),
                Err(_) => Err(Status::internal(String::from_utf8_lossy(&body)).into()),
            }
        }
        .boxed()
    }

    /// The resources served now.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }
    /// Changes what is served.
    pub fn update_registry(&self, f: impl Fn(&Registry) -> Registry) {
        self.registry.rcu(|r| f(r));
        self.changes.send_modify(|n| *n += 1);
    }
    /// Wakes at each change of what is served.
    pub fn registry_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changes.subscribe()
    }
    pub fn resource(&self, group: &str, version: &str, resource: &str) -> Option<Arc<ResourceInfo>> {
        self.registry.load().get(group, version, resource).cloned()
    }

    /// Random bytes from the system, asked for many at a time.
    pub fn fill_random(&self, buf: &mut [u8]) {
        const AHEAD: usize = 512;
        thread_local! {
            static POOL: RefCell<([u8; AHEAD], usize)> = const { RefCell::new(([0; AHEAD], AHEAD)) };
        }
        let fresh = |buf: &mut [u8]| {
            if let Err(e) = getrandom::fill(buf) {
                tracing::error!(error = %e, "no randomness from the system");
            }
        };
        if buf.len() > AHEAD / 8 {
            return fresh(buf);
        }
        POOL.with_borrow_mut(|(pool, used)| {
            if *used + buf.len() > AHEAD {
                fresh(pool);
                *used = 0;
            }
            let piece = &mut pool[*used..*used + buf.len()];
            buf.copy_from_slice(piece);
            // Nothing that was handed out stays here.
            piece.fill(0);
            *used += buf.len();
        });
    }
    pub fn random(&self) -> u64 {
        let mut b = [0; 8];
        self.fill_random(&mut b);
        u64::from_le_bytes(b)
    }
    /// A random (version 4) UUID.
    pub fn uuid(&self) -> String {
        let mut b = [0u8; 16];
        self.fill_random(&mut b);
        b[6] = b[6] & 0x0f | 0x40;
        b[8] = b[8] & 0x3f | 0x80;
        let mut out = String::with_capacity(36);
        for (i, x) in b.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                out.push('-');
            }
            for digit in [x >> 4, x & 15] {
                out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        out
    }

    /// Serves a listener until the runtime stops. Clients are asked for certificates of any configured authority.
    pub async fn serve(
        self: &Arc<Self>,
        listener: Listener,
        tls: Option<&TlsSettings>,
    ) -> std::result::Result<(), serve::TlsError> {
        let mut server = serve::Server::new(self.rt.clone());
        if let Some(t) = tls {
            let mut t = t.clone();
            if let Some(ca) = self.client_authorities()? {
                t.client_ca = Some(ca);
            }
            server = server.tls(&t)?;
        }
        let this = self.clone();
        server
            .run(listener, move |req| {
                let this = this.clone();
                async move {
                    let peer = req.extensions().get::<Arc<Peer>>().cloned();
                    this.handle(req.map(Input::Net), Sender::Network(peer)).await
                }
            })
            .await;
        Ok(())
    }

    /// Both bundles in one: a client sends only certificates of authorities that the server names.
    fn client_authorities(&self) -> std::result::Result<Option<Arc<serve::ClientCa>>, serve::TlsError> {
        let a = &self.cfg.authentication;
        match (&a.client_ca, &a.front_proxy) {
            (Some(ca), None) => Ok(Some(ca.clone())),
            (None, Some(f)) => Ok(Some(f.ca.clone())),
            (Some(ca), Some(f)) => {
                serve::ClientCa::from_pem((ca.pem() + "\n" + &f.ca.pem()).as_bytes()).map(Some)
            }
            (None, None) => Ok(None),
        }
    }

    /// Serves a listener that asks nobody who they are: whoever reaches it may do everything.
    pub async fn serve_insecure(self: &Arc<Self>, listener: Listener) {
        let this = self.clone();
        let user =
            UserInfo::new("system:unsecured", &[meta::user::SYSTEM_MASTERS, meta::user::AUTHENTICATED]);
        serve::Server::new(self.rt.clone())
            .run(listener, move |req| {
                let (this, sender) = (this.clone(), Sender::Process(user.clone()));
                async move { this.handle(req.map(Input::Net), sender).await }
            })
            .await;
    }

    /// Answers one request.
    pub async fn handle(self: &Arc<Self>, req: Request<Input>, sender: Sender) -> Response<Body> {
        let headers = req.headers().clone();
        let query = Query::parse(req.uri().query().unwrap_or(""));
        let pretty = query.get("pretty").map(str::to_owned);
        let warnings = Arc::new(Notes::default());
        let audit_id = headers
            .get("audit-id")
            .filter(|v| v.len() <= 64 && !v.is_empty())
            .cloned()
            .or_else(|| HeaderValue::from_str(&self.uuid()).ok());
        let id = audit_id.as_ref().and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let run = self.clone().run(req, id, query, sender, warnings.clone());
        let mut panicked = false;
        let mut res = match AssertUnwindSafe(run).catch_unwind().await {
            Ok(Ok(r)) => r,
            Ok(Err(f)) => {
                if let Some(r) = warnings.record() {
                    r.failed(&f);
                }
                respond::failure(&f, &headers, pretty.as_deref())
            }
            Err(panic) => {
                let what = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                tracing::error!(panic = what, "a handler panicked");
                if let Some(r) = warnings.record() {
                    r.panicked(what).await;
                }
                let f: Failure = Status::internal("the handler panicked; see the server's log").into();
                panicked = true;
                respond::failure(&f, &headers, pretty.as_deref())
            }
        };
        if let Some(r) = warnings.record().filter(|_| !panicked) {
            res = r.answered(res).await;
        }
        let h = res.headers_mut();
        if let Some(id) = audit_id {
            h.insert("audit-id", id);
        }
        if !h.contains_key(http::header::CACHE_CONTROL) {
            h.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        }
        if let Some(c) = warnings.class() {
            chain::classified(h, c);
        }
        for w in warnings.headers() {
            if let Ok(v) = HeaderValue::from_bytes(w.as_bytes()) {
                h.append(http::header::WARNING, v);
            }
        }
        res
    }

    async fn run(
        self: Arc<Self>,
        mut req: Request<Input>,
        audit_id: String,
        query: Query,
        sender: Sender,
        warnings: Arc<Notes>,
    ) -> crate::Result<Response<Body>> {
        let path = query::decode(req.uri().path(), false)
            .ok_or_else(|| Status::bad_request("the path is not valid percent-encoded UTF-8"))?;
        let info = RequestInfo::new(req.method(), &path, &query).map_err(|e| Status::bad_request(e.0))?;
        let user = match &sender {
            Sender::Process(u) => u.clone(),
            Sender::Network(peer) => {
                match chain::authenticate(&self, req.headers_mut(), peer.as_deref(), &path, &warnings) {
                    Ok(u) => u,
                    Err(e) => {
                        let r = self.record(&audit_id, &info, &req, &sender, None);
                        if let Some(r) = r {
                            r.refused(
                                req.headers(),
                                peer.as_ref().is_some_and(|p| !p.certificates.is_empty()),
                            )
                            .await;
                        }
                        return Err(e);
                    }
                }
            }
        };
        if let Some(r) = self.record(&audit_id, &info, &req, &sender, Some(&user)) {
            let r = warnings.keep(r);
            r.received().await;
            if r.wants_body() {
                let (parts, body) = req.into_parts();
                let body = body.read().await?;
                let kind = parts.headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
                r.body(kind.unwrap_or(""), &body);
                req = Request::from_parts(parts, Input::Bytes(body));
            }
            if r.wants_answer() {
                req.headers_mut().remove(http::header::ACCEPT_ENCODING);
            }
        }
        let user = match &sender {
            Sender::Process(_) => user,
            Sender::Network(_) => {
                let name = user.name.clone();
                let u = chain::impersonate(&self, req.headers_mut(), &info, user)?;
                if let Some(r) = warnings.record().filter(|_| u.name != name) {
                    r.impersonates(&u);
                }
                u
            }
        };
        let long = info.long_running();
        // Components of this process are never turned away, as upstream's loopback client is not.
        let mut _seat = None;
        if matches!(sender, Sender::Network(_)) && (!long || info.verb == "watch") {
            let class = warnings.classify(self.fair.classify(&info, &user));
            if !long {
                _seat = self.fair.enter(class).await;
                if _seat.is_none() {
                    return Ok(chain::too_many());
                }
            }
        }
        let limit = deadline(&query, self.cfg.request_timeout)?;
        chain::authorize(&self, &info, &user, warnings.record())?;
        let started = tokio::time::Instant::now();
        let counted = self.metrics.begin(&info);
        let work = Box::pin(dispatch::dispatch(self.clone(), req, info, query, user, warnings));
        let res = if long {
            work.await
        } else {
            match tokio::time::timeout(limit, work).await {
                Ok(r) => r,
                Err(_) => {
                    Err(Status::timeout("request did not complete within the allotted timeout", 0).into())
                }
            }
        };
        let code = match &res {
            Ok(r) => r.status(),
            Err(f) => StatusCode::from_u16(f.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        };
        counted.end(code.as_u16(), started.elapsed());
        res
    }
}

impl ApiServer {
    fn record(
        &self,
        id: &str,
        info: &RequestInfo,
        req: &Request<Input>,
        sender: &Sender,
        user: Option<&UserInfo>,
    ) -> Option<crate::audit::Record> {
        self.audit.as_ref()?.begin(self, id, info, req, sender, user)
    }
}

/// How long a request may take: what its `timeout` says, up to the server's own limit.
fn deadline(query: &Query, most: Duration) -> crate::Result<Duration> {
    let Some(text) = query.get("timeout").filter(|t| !t.is_empty()) else { return Ok(most) };
    let nanos = meta::time::parse_duration(text)
        .map_err(|e| Status::bad_request(format!("invalid timeout specified in the request URL - {e}")))?;
    let wanted = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    Ok(if wanted.is_zero() || wanted > most { most } else { wanted })
}

/// The identity of the server's own requests.
pub fn internal_user() -> UserInfo {
    UserInfo::new("system:apiserver", &[meta::user::SYSTEM_MASTERS, meta::user::AUTHENTICATED])
}

/// Who a request comes from, as far as the connection tells.
#[derive(Clone)]
pub enum Sender {
    /// Credentials are in the request.
    Network(Option<Arc<Peer>>),
    /// A component of this process, with this identity.
    Process(UserInfo),
}

/// Keeps the memory of cached watch frames in bounds: the oldest go first.
#[derive(Default)]
pub struct Frames(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    queue: VecDeque<(Weak<Record>, usize)>,
    total: usize,
}

impl Frames {
    /// A frame of this size was put beside the record.
    pub fn kept(&self, r: &Arc<Record>, size: usize) {
        let mut k = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        k.queue.push_back((Arc::downgrade(r), size));
        k.total += size;
        while k.total > FRAMES {
            let Some((old, n)) = k.queue.pop_front() else { break };
            k.total -= n;
            if let Some(old) = old.upgrade() {
                object::ext(&old).drop_frames();
            }
        }
    }
}

/// A failure for what the path names and nobody serves.
pub fn no_such_path() -> Response<Body> {
    respond::text(StatusCode::NOT_FOUND, "404 page not found\n")
}
