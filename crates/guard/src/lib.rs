//! HTTPS for health and metrics: who asks is told by certificate or TokenReview, what they may by SubjectAccessReview.

pub mod applet;
pub mod flags;
pub mod process;

pub use flags::Serving;

use client::{Client, Config, HttpTransport};
use http::{Request, Response, StatusCode, header};
use k8s_openapi::api::core::v1::ConfigMap;
use meta::UserInfo;
use meta::user::AUTHENTICATED;
use runtime::{Clock, Readiness, Runtime};
use serde_json::{Value, json};
use serve::{Body, CertSource, ClientCa, Listener, Peer, TlsSettings};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The release of Kubernetes whose components these are.
pub const VERSION: &str = "v1.37.2";

/// Answers that are kept at most.
const CACHED: usize = 1024;
/// How often the cluster's client CA is looked up, and how long one look may take.
const LOOKUP: Duration = Duration::from_secs(60);
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

type Fail = (StatusCode, String);

/// Answers of reviews, for as long as they are good.
struct Cache<K, V>(Mutex<HashMap<K, (V, i64)>>);

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
    fn get(&self, k: &K, now: i64) -> Option<V> {
        let c = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        c.get(k).filter(|v| now < v.1).map(|v| v.0.clone())
    }
    fn put(&self, k: K, v: V, until: i64) {
        let mut c = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if c.len() >= CACHED {
            c.clear();
        }
        c.insert(k, (v, until));
    }
}

/// What a component shows of itself.
pub struct Shown {
    /// The component's name, for its clients.
    pub component: &'static str,
    /// What `/readyz` calls being ready.
    pub readiness: &'static str,
    /// The text of `/metrics`.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

struct Gate {
    flags: Serving,
    shown: Shown,
    authentication: Option<Client>,
    authorization: Option<Client>,
    clock: Clock,
    /// By the token's hash.
    tokens: Cache<Vec<u8>, Option<UserInfo>>,
    rights: Cache<String, bool>,
}

impl Gate {
    /// Milliseconds.
    fn now(&self) -> i64 {
        self.clock.unix_nanos() / 1_000_000
    }
    fn until(&self, ttl: Duration) -> i64 {
        self.now().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
    }
    async fn check<B>(&self, req: &Request<B>) -> Result<(), Fail> {
        let user = self.user(req).await?;
        let path = req.uri().path();
        if self.flags.authorization_always_allow_paths.iter().any(|p| allows(p, path)) {
            return Ok(());
        }
        let verb = req.method().as_str().to_lowercase();
        if self.allowed(&user, &verb, path).await? {
            return Ok(());
        }
        let what = format!("forbidden: User \"{}\" cannot {verb} path \"{path}\"", user.name);
        Err((StatusCode::FORBIDDEN, what))
    }
    async fn user<B>(&self, req: &Request<B>) -> Result<UserInfo, Fail> {
        let refused = || (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
        let peer = req.extensions().get::<Arc<Peer>>().filter(|p| p.verified.is_ok());
        if let Some(leaf) = peer.and_then(|p| p.certificates.first())
            && let Ok(Some(mut u)) = authn::cert::user_from_der(leaf)
        {
            u.groups.push(AUTHENTICATED.into());
            return Ok(u);
        }
        let (Some(token), Some(c)) = (authn::token::bearer(req.headers()), &self.authentication) else {
            return Ok(UserInfo::anonymous());
        };
        let key = Sha256::digest(token.as_bytes()).to_vec();
        if let Some(u) = self.tokens.get(&key, self.now()) {
            return u.ok_or_else(refused);
        }
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let answer =
            c.request(http::Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews", Some(&body)).await;
        let user = reviewed(&answer.map_err(|_| refused())?);
        let until = self.until(self.flags.authentication_token_webhook_cache_ttl);
        self.tokens.put(key, user.clone(), until);
        user.ok_or_else(refused)
    }
    async fn allowed(&self, u: &UserInfo, verb: &str, path: &str) -> Result<bool, Fail> {
        let Some(c) = &self.authorization else { return Ok(false) };
        let key = format!("{}\0{:?}\0{:?}\0{verb}\0{path}", u.name, u.groups, u.extra);
        if let Some(a) = self.rights.get(&key, self.now()) {
            return Ok(a);
        }
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
            "user": u.name, "uid": u.uid, "groups": u.groups, "extra": u.extra,
            "nonResourceAttributes": {"verb": verb, "path": path}}});
        let at = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = c.request(http::Method::POST, at, Some(&body)).await;
        let answer =
            answer.map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, format!("Internal Server Error: {e}")))?;
        let allowed = answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true);
        let f = &self.flags;
        let ttl = if allowed {
            f.authorization_webhook_cache_authorized_ttl
        } else {
            f.authorization_webhook_cache_unauthorized_ttl
        };
        self.rights.put(key, allowed, self.until(ttl));
        Ok(allowed)
    }
}

/// Whether a path is one of those that all may see: itself, or below if that ends in `*`.
fn allows(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.trim_start_matches('/'), path.trim_start_matches('/'));
    match pattern.strip_suffix('*') {
        Some(p) => path.starts_with(p),
        None => path == pattern,
    }
}

fn reviewed(v: &Value) -> Option<UserInfo> {
    if v.pointer("/status/authenticated").and_then(Value::as_bool) != Some(true) {
        return None;
    }
    let u = v.pointer("/status/user")?;
    let text = |k: &str| u.get(k).and_then(Value::as_str).unwrap_or("").to_owned();
    let strings = |v: &Value| -> Vec<String> {
        v.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
    };
    let extra = u.get("extra").and_then(Value::as_object).into_iter().flatten();
    Some(UserInfo {
        name: text("username"),
        uid: text("uid"),
        groups: u.get("groups").map(strings).unwrap_or_default(),
        extra: extra.map(|(k, v)| (k.clone(), strings(v))).collect(),
    })
}

/// A client for reviews.
fn reviewer(kubeconfig: Option<&Path>, name: &str, rt: &Runtime) -> Result<Option<Client>, String> {
    let Some(p) = kubeconfig else { return Ok(None) };
    let config = Config::from_kubeconfig_file(p).map_err(|e| e.to_string())?;
    let transport = HttpTransport::new(config, rt).map_err(|e| e.to_string())?;
    Ok(Some(Client::new(Arc::new(transport)).named(name)))
}

/// The client CA that the API server published.
async fn published(c: &Client) -> Option<String> {
    let get = c.get::<ConfigMap>(Some("kube-system"), "extension-apiserver-authentication");
    match tokio::time::timeout(LOOKUP_TIMEOUT, get).await {
        Ok(Ok(m)) => m.data?.remove("client-ca-file"),
        Ok(Err(e)) => {
            tracing::warn!("cannot look up the client CA of the cluster: {e}");
            None
        }
        Err(_) => None,
    }
}

async fn follow_published(c: Client, ca: Arc<ClientCa>) {
    let mut last = String::new();
    loop {
        if let Some(pem) = published(&c).await.filter(|p| *p != last) {
            match ca.replace(pem.as_bytes()) {
                Ok(()) => last = pem,
                Err(e) => tracing::warn!("the client CA of the cluster is no good: {e}"),
            }
        }
        tokio::time::sleep(LOOKUP).await;
    }
}

/// Serves until the runtime stops.
pub async fn start(flags: &Serving, port: u16, shown: Shown, rt: &Runtime) -> Result<(), String> {
    let port = flags.secure_port.unwrap_or(port);
    if port == 0 {
        return Ok(());
    }
    let text = |e: serve::TlsError| e.to_string();
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .map_err(|e| format!("making a certificate: {e}"))?;
    let certificates = match (&flags.tls_cert_file, &flags.tls_private_key_file) {
        (Some(cert), Some(key)) => CertSource::from_files(cert, key)
            .map_err(|e| format!("--tls-cert-file, --tls-private-key-file: {e}"))?,
        _ => CertSource::from_pem(own.cert.pem().as_bytes(), own.signing_key.serialize_pem().as_bytes())
            .map_err(text)?,
    };
    let gate = Arc::new(Gate {
        authentication: reviewer(flags.authentication_kubeconfig.as_deref(), shown.component, rt)?,
        authorization: reviewer(flags.authorization_kubeconfig.as_deref(), shown.component, rt)?,
        clock: rt.clock.clone(),
        tokens: Cache::new(),
        rights: Cache::new(),
        flags: flags.clone(),
        shown,
    });
    let client_ca = match &flags.client_ca_file {
        Some(p) => {
            let pem = std::fs::read(p).map_err(|e| format!("open {}: {e}", p.display()))?;
            ClientCa::from_pem(&pem).map_err(text)?
        }
        None => {
            // Nobody has a certificate of this one; the cluster's takes its place.
            let ca = ClientCa::from_pem(own.cert.pem().as_bytes()).map_err(text)?;
            if let Some(c) = gate.authentication.clone().filter(|_| !flags.authentication_skip_lookup) {
                rt.spawn_until_stop("client CA", follow_published(c, ca.clone()));
            }
            ca
        }
    };
    let tls = TlsSettings { certificates, client_ca: Some(client_ca), http2: true };
    let address = SocketAddr::new(flags.bind_address, port);
    let listener = Listener::bind(address)
        .await
        .map_err(|e| format!("failed to listen on {address} (--secure-port): {e}"))?;
    let server = serve::Server::new(rt.clone()).tls(&tls).map_err(text)?;
    let ready = rt.ready.clone();
    rt.spawn("health and metrics", async move {
        let answer = move |req: Request<_>| {
            let (gate, ready) = (gate.clone(), ready.clone());
            async move { answer(&gate, &ready, &req).await }
        };
        server.run(listener, answer).await;
    });
    Ok(())
}

async fn answer<B>(gate: &Gate, ready: &Readiness, req: &Request<B>) -> Response<Body> {
    if let Err((code, text)) = gate.check(req).await {
        return plain(code, text);
    }
    let path = req.uri().path();
    if path == "/metrics" {
        return plain(StatusCode::OK, (gate.shown.metrics)());
    }
    let verbose =
        req.uri().query().is_some_and(|q| q.split('&').any(|p| p.split('=').next() == Some("verbose")));
    health(path, verbose, gate.shown.readiness, ready)
        .unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()))
}

fn health(path: &str, verbose: bool, readiness: &str, ready: &Readiness) -> Option<Response<Body>> {
    let (kind, one) = match path.trim_start_matches('/').split_once('/') {
        Some((k, one)) => (k, Some(one)),
        None => (path.trim_start_matches('/'), None),
    };
    let mut checks = vec![("ping", true)];
    match kind {
        "healthz" | "livez" => {}
        "readyz" => checks.push((readiness, ready.is_ready())),
        _ => return None,
    }
    if let Some(one) = one {
        let (_, ok) = checks.iter().find(|c| c.0 == one)?;
        return Some(if *ok {
            plain(StatusCode::OK, "ok".to_owned())
        } else {
            plain(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {one} is not ready\n"))
        });
    }
    let mut all = String::new();
    for (name, ok) in &checks {
        all += &if *ok { format!("[+]{name} ok\n") } else { format!("[-]{name} failed: reason withheld\n") };
    }
    Some(match checks.iter().all(|c| c.1) {
        true if verbose => plain(StatusCode::OK, format!("{all}{kind} check passed\n")),
        true => plain(StatusCode::OK, "ok".to_owned()),
        false => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{all}{kind} check failed\n")),
    })
}

fn plain(code: StatusCode, text: String) -> Response<Body> {
    let mut r = Response::new(serve::full(text));
    *r.status_mut() = code;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    r.headers_mut().insert(header::CONTENT_TYPE, kind);
    r
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::fake::FakeApi;
    use http_body_util::BodyExt;

    async fn ask(gate: &Gate, ready: &Readiness, path: &str, token: &str) -> String {
        let mut req = Request::builder().uri(path);
        if !token.is_empty() {
            req = req.header("Authorization", format!("Bearer {token}"));
        }
        let r = answer(gate, ready, &req.body(()).unwrap()).await;
        let code = r.status().as_u16();
        let body = r.into_body().collect().await.unwrap().to_bytes();
        format!("{code} {}", String::from_utf8_lossy(&body).lines().next().unwrap_or(""))
    }

    #[tokio::test]
    async fn health_is_open_and_metrics_are_guarded() {
        let api = FakeApi::new();
        let review = json!({"status": {"authenticated": true, "user": {"username": "prometheus", "groups": ["monitors"]}}});
        api.answer("POST /apis/authentication.k8s.io/v1/tokenreviews", review);
        let c = Some(Client::new(Arc::new(api.clone())));
        let gate = |authentication: Option<Client>, authorization: Option<Client>| Gate {
            flags: Serving::default(),
            shown: Shown {
                component: "kube-scheduler",
                readiness: "sched-handler-sync",
                metrics: Box::new(|| "# HELP some_total Some.\n".to_owned()),
            },
            authentication,
            authorization,
            clock: Clock::fixed(0),
            tokens: Cache::new(),
            rights: Cache::new(),
        };
        let ready = Readiness::default();
        ready.set("kube-scheduler", Err("not yet".into()));
        let closed = gate(None, None);
        assert_eq!(ask(&closed, &ready, "/healthz", "").await, "200 ok");
        assert_eq!(ask(&closed, &ready, "/readyz", "").await, "500 [+]ping ok");
        assert_eq!(
            ask(&closed, &ready, "/readyz/ping", "").await,
            "403 forbidden: User \"system:anonymous\" cannot get path \"/readyz/ping\""
        );
        ready.set("kube-scheduler", Ok(()));
        assert_eq!(ask(&closed, &ready, "/readyz", "").await, "200 ok");
        let open = gate(c.clone(), c);
        let at = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";
        api.answer(at, json!({"status": {"allowed": false}}));
        assert_eq!(
            ask(&open, &ready, "/metrics", "t").await,
            "403 forbidden: User \"prometheus\" cannot get path \"/metrics\""
        );
        api.answer(at, json!({"status": {"allowed": true}}));
        // The answer of before holds for a while.
        assert!(ask(&open, &ready, "/metrics", "t").await.starts_with("403"));
        open.clock.advance(Duration::from_secs(11));
        assert_eq!(ask(&open, &ready, "/metrics", "t").await, "200 # HELP some_total Some.");
        assert_eq!(ask(&open, &ready, "/nothing", "t").await, "404 404 page not found");
    }
}
