//! The process: data, listeners, and which service a request is for.

use crate::convert::{header, refuse};
use crate::flags::{Config, Retention};
use crate::pb::etcdserverpb as pb;
use crate::{compaction, health, kv, lease, maintenance, unary, watch};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use runtime::Runtime;
use serve::{Body, CertSource, ClientCa, Listener, Peer, Server, TlsSettings};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use storage::{Embedded, Options, Storage};
use tonic::{Code, Status};
use tower_service::Service;

/// Room for a request's envelope above `--max-request-bytes`.
pub const OVERHEAD: usize = 512 * 1024;
/// What the history of a server without --auto-compaction may take in memory: a part of the quota, and at least so much.
const HISTORY_PART: u64 = 4;
const HISTORY_LEAST: u64 = 64 << 20;

/// What all services share.
pub struct Member {
    pub store: Arc<Embedded>,
    pub config: Config,
    pub rt: Runtime,
    pub id: u64,
    pub cluster: u64,
    pub term: u64,
    temporary: AtomicU64,
}

/// A number out of names, as upstream's are.
fn identity(parts: &[&str]) -> u64 {
    let mut h = Sha256::new();
    for p in parts {
        h.update((p.len() as u64).to_le_bytes());
        h.update(p.as_bytes());
    }
    let h = h.finalize();
    u64::from_le_bytes([h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]]).max(1)
}

impl Member {
    pub fn header(&self) -> Option<pb::ResponseHeader> {
        let mut h = header(self.store.revision());
        self.sign(&mut h);
        h
    }
    /// Says who answers.
    pub fn sign(&self, h: &mut Option<pb::ResponseHeader>) {
        if let Some(h) = h {
            h.cluster_id = self.cluster;
            h.member_id = self.id;
            h.raft_term = self.term;
        }
    }
    /// Refuses what would make the database larger when it is too large.
    pub fn room(&self) -> Result<(), Status> {
        match self.config.quota() {
            Some(q) if self.store.size() > q => {
                Err(refuse(Code::ResourceExhausted, "mvcc: database space exceeded"))
            }
            _ => Ok(()),
        }
    }
    /// A file for a short time, beside the data.
    pub fn temporary(&self) -> PathBuf {
        let n = self.temporary.fetch_add(1, Ordering::Relaxed);
        self.config.dir().join("keelson").join(format!("snapshot-{}-{n}.tmp", std::process::id()))
    }
}

/// A server that serves.
pub struct Running {
    member: Arc<Member>,
    /// Where clients are served over TCP.
    pub addresses: Vec<SocketAddr>,
    rt: Runtime,
}

impl Running {
    /// Watches that are open.
    pub fn watchers(&self) -> usize {
        self.member.store.watchers().1
    }
    /// Ends connections and closes the data.
    pub async fn stop(self) {
        if !self.rt.shutdown(Duration::from_secs(10)).await {
            tracing::warn!("tasks did not end in time");
        }
        self.member.store.close().await;
    }
}

enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

async fn parse_url(flag: &str, url: &str) -> Result<(bool, Address), String> {
    let bad = |why: &str| format!("--{flag}: {url:?} {why}");
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("is no URL, as http://127.0.0.1:2379"))?;
    let rest = rest.trim_end_matches('/');
    let secure = match scheme {
        "http" => false,
        "https" => true,
        "unix" => return Ok((false, Address::Unix(rest.into()))),
        _ => return Err(bad("is neither http, https nor unix")),
    };
    let found = tokio::net::lookup_host(rest).await.map_err(|e| bad(&format!("cannot be used: {e}")))?;
    let mut found: Vec<_> = found.collect();
    // `localhost` is both; clients of other programs try 127.0.0.1 first.
    found.sort_by_key(SocketAddr::is_ipv6);
    let a = found.first().ok_or_else(|| bad("names no address"))?;
    Ok((secure, Address::Tcp(*a)))
}

fn tls(c: &Config) -> Result<Option<TlsSettings>, String> {
    let (Some(cert), Some(key)) = (&c.cert_file, &c.key_file) else { return Ok(None) };
    let certificates =
        CertSource::from_files(cert, key).map_err(|e| format!("--cert-file, --key-file: {}", chain(&e)))?;
    let client_ca = match &c.trusted_ca_file {
        None => None,
        Some(f) => {
            let pem = std::fs::read(f).map_err(|e| format!("--trusted-ca-file {}: {e}", f.display()))?;
            Some(ClientCa::from_pem(&pem).map_err(|e| format!("--trusted-ca-file: {}", chain(&e)))?)
        }
    };
    Ok(Some(TlsSettings { certificates, client_ca, http2: true }))
}

fn chain(e: &dyn std::error::Error) -> String {
    let mut s = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        s.push_str(&format!(": {e}"));
        next = e.source();
    }
    s
}

/// Opens the data and serves; the answer says where.
pub async fn start(config: Config, rt: Runtime) -> Result<Running, String> {
    let dir = config.dir();
    if dir.join("member/snap/db").exists() {
        return Err(format!(
            "{} holds the data of another etcd, whose format this server does not read: give it another --data-dir, \
             and copy the keys with `etcdctl make-mirror`",
            dir.display()
        ));
    }
    let retention = config.retention()?;
    let history = match config.quota() {
        Some(q) => usize::try_from((q / HISTORY_PART).max(HISTORY_LEAST)).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let options = Options {
        history_bytes: history,
        compact_every: if let Retention::Time(d) = retention { d } else { Duration::ZERO },
        max_value_bytes: config.max_request_bytes,
        durable: !config.unsafe_no_fsync,
        ..Options::default()
    };
    let database = dir.join("keelson/state.db");
    let store = Embedded::open(&database, options, rt.clone()).await.map_err(|e| e.to_string())?;
    if let Retention::Revisions(n) = retention {
        let store = Arc::downgrade(&store);
        rt.spawn_until_stop("etcd compaction", compaction::by_revision(store, n));
    }
    let member = Arc::new(Member {
        id: identity(&[&config.name, &config.initial_cluster_token]),
        cluster: identity(&["cluster", &config.name, &config.initial_cluster_token]),
        term: 2,
        store,
        rt: rt.clone(),
        temporary: AtomicU64::new(0),
        config,
    });
    let listening = listen(&member).await;
    let addresses = match listening {
        Ok(a) => a,
        Err(e) => {
            rt.shutdown(Duration::from_secs(5)).await;
            member.store.close().await;
            return Err(e);
        }
    };
    tracing::info!(name = member.config.name, ?addresses, data = %dir.display(), "etcd API served");
    Ok(Running { member, addresses, rt })
}

async fn listen(member: &Arc<Member>) -> Result<Vec<SocketAddr>, String> {
    let c = &member.config;
    let settings = tls(c)?;
    let mut addresses = Vec::new();
    let clients = c.listen_client_urls.iter().map(|u| ("listen-client-urls", u, true));
    let metrics = c.listen_metrics_urls.iter().map(|u| ("listen-metrics-urls", u, false));
    for (flag, url, all) in clients.chain(metrics) {
        let (secure, address) = parse_url(flag, url).await?;
        let listener = match &address {
            Address::Tcp(a) => {
                Listener::bind(*a).await.map_err(|e| format!("--listen-client-urls: {}", chain(&e)))?
            }
            Address::Unix(p) => Listener::bind_unix(p).await.map_err(|e| chain(&e))?,
        };
        if all {
            addresses.extend(listener.local_addr());
        }
        let mut server = Server::new(member.rt.clone()).cleartext_http2(true);
        let mut must_verify = false;
        if secure {
            let s = settings.as_ref().ok_or_else(|| format!("--{flag}: {url} needs --cert-file"))?;
            server = server.tls(s).map_err(|e| chain(&e))?;
            must_verify = all && c.client_cert_auth;
        }
        let services = Arc::new(Services::new(member, all, must_verify));
        member.rt.spawn("etcd listener", server.run(listener, move |r| services.clone().route(r)));
    }
    Ok(addresses)
}

/// All services.
struct Services {
    member: Arc<Member>,
    /// Not only health and metrics.
    all: bool,
    must_verify: bool,
    /// Of its calls, those of the most frequent kinds are answered without the service below.
    plain: kv::Kv,
    kv: pb::kv_server::KvServer<kv::Kv>,
    watch: pb::watch_server::WatchServer<watch::Watch>,
    lease: pb::lease_server::LeaseServer<lease::Lease>,
    maintenance: pb::maintenance_server::MaintenanceServer<maintenance::Maintenance>,
    cluster: pb::cluster_server::ClusterServer<maintenance::Cluster>,
}

impl Services {
    fn new(m: &Arc<Member>, all: bool, must_verify: bool) -> Self {
        let receive = m.config.max_request_bytes + OVERHEAD;
        // What is sent has no bound but the client's.
        let send = usize::MAX;
        let kv = pb::kv_server::KvServer::new(kv::Kv(m.clone()));
        let watch = pb::watch_server::WatchServer::new(watch::Watch(m.clone()));
        let lease = pb::lease_server::LeaseServer::new(lease::Lease(m.clone()));
        let cluster = pb::cluster_server::ClusterServer::new(maintenance::Cluster(m.clone()));
        let maintenance = pb::maintenance_server::MaintenanceServer::new(maintenance::Maintenance(m.clone()));
        Self {
            member: m.clone(),
            all,
            must_verify,
            plain: kv::Kv(m.clone()),
            kv: kv.max_decoding_message_size(receive).max_encoding_message_size(send),
            watch: watch.max_decoding_message_size(receive).max_encoding_message_size(send),
            lease,
            maintenance,
            cluster,
        }
    }

    async fn route(self: Arc<Self>, req: Request<Incoming>) -> Response<Body> {
        let verified = || {
            let peer = req.extensions().get::<Arc<Peer>>();
            peer.map_or_else(|| Err("no certificate".to_owned()), |p| p.verified.clone())
        };
        let path = req.uri().path();
        // As upstream, probes need no certificate of their own port, but on this one everybody does.
        if self.must_verify
            && let Err(why) = verified()
        {
            tracing::debug!(why, "a client without a certificate of --trusted-ca-file");
            return if is_grpc(&req) {
                grpc(Status::unauthenticated(format!("a client certificate is needed: {why}")))
            } else {
                health::text(
                    http::StatusCode::UNAUTHORIZED,
                    format!("a client certificate is needed: {why}\n"),
                )
            };
        }
        if self.all && is_grpc(&req) && unary::plain(&req) {
            let limit = self.member.config.max_request_bytes + OVERHEAD;
            let kv = &self.plain;
            match path {
                "/etcdserverpb.KV/Range" => {
                    return unary::answer(req.into_body(), limit, async |q| kv.read(q)).await;
                }
                "/etcdserverpb.KV/Put" => {
                    return unary::answer(req.into_body(), limit, |q| kv.store(q)).await;
                }
                "/etcdserverpb.KV/Txn" => {
                    return unary::answer(req.into_body(), limit, |q| kv.transact(q)).await;
                }
                "/etcdserverpb.KV/DeleteRange" => {
                    return unary::answer(req.into_body(), limit, |q| kv.remove(q)).await;
                }
                _ => {}
            }
        }
        // In a box, so that what is asked most does not carry the room for it.
        Box::pin(self.other(req)).await
    }

    async fn other(self: Arc<Self>, req: Request<Incoming>) -> Response<Body> {
        let s = &self;
        let service = req.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        match service {
            "etcdserverpb.KV" if s.all => call(s.kv.clone(), req).await,
            "etcdserverpb.Watch" if s.all => call(s.watch.clone(), req).await,
            "etcdserverpb.Lease" if s.all => call(s.lease.clone(), req).await,
            "etcdserverpb.Maintenance" if s.all => call(s.maintenance.clone(), req).await,
            "etcdserverpb.Cluster" if s.all => call(s.cluster.clone(), req).await,
            _ if is_grpc(&req) => grpc(Status::unimplemented(format!("unknown service {service}"))),
            _ => health::answer(&s.member, &req).await,
        }
    }
}

fn is_grpc(r: &Request<Incoming>) -> bool {
    let t = r.headers().get(http::header::CONTENT_TYPE);
    t.is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
}

pub fn grpc(s: Status) -> Response<Body> {
    let r: Response<tonic::body::Body> = s.into_http();
    r.map(|b| b.map_err(Into::into).boxed_unsync())
}

async fn call<S>(mut service: S, req: Request<Incoming>) -> Response<Body>
where
    S: Service<Request<Incoming>, Response = Response<tonic::body::Body>, Error = std::convert::Infallible>,
{
    match service.call(req).await {
        Ok(r) => r.map(|b| b.map_err(Into::into).boxed_unsync()),
        Err(e) => match e {},
    }
}
