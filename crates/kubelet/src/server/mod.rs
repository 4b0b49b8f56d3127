//! The kubelet's server on :10250: logs, exec, attach, port-forward, pods, stats, metrics, health.

mod auth;
mod logs;
pub mod metrics;
mod node_logs;
mod stats;
mod stream;

use crate::Error;
use crate::kubelet::{Entry, Kubelet};
use crate::pod::helpers::{self, uid};
use auth::Gate;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use serve::Body;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

type Answer = Response<Body>;

/// A failure: its status and text, as upstream's kubelet answers.
#[derive(Debug)]
struct Fail(StatusCode, String);

impl Fail {
    fn not_found(text: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, text.into())
    }
    fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }
    fn internal(text: impl Into<String>) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, text.into())
    }
}

impl From<cri::Error> for Fail {
    fn from(e: cri::Error) -> Self {
        let code = match e.code {
            cri::Code::NotFound => StatusCode::NOT_FOUND,
            cri::Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(code, e.to_string())
    }
}

fn answer(code: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut r = Response::new(serve::full(body));
    *r.status_mut() = code;
    r.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    r
}
fn text(code: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(code, "text/plain; charset=utf-8", body)
}
fn json_answer(v: &Value) -> Answer {
    answer(StatusCode::OK, "application/json", v.to_string())
}

/// A query, decoded; a name may be there more than once.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(q: &str) -> Self {
        Self(
            q.split('&')
                .filter(|p| !p.is_empty())
                .map(|p| {
                    let (k, v) = p.split_once('=').unwrap_or((p, ""));
                    (unescape(k), unescape(v))
                })
                .collect(),
        )
    }
    fn get(&self, k: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == k).map(|(_, v)| v.as_str())
    }
    fn all(&self, k: &str) -> Vec<String> {
        self.0.iter().filter(|(n, _)| n == k).map(|(_, v)| v.clone()).collect()
    }
    fn flag(&self, names: &[&str]) -> bool {
        names.iter().any(|n| matches!(self.get(n), Some("1" | "true" | "True" | "t")))
    }
}

fn unescape(s: &str) -> String {
    let b = s.as_bytes();
    let mut out = Vec::with_capacity(b.len());
    let mut i = 0;
    while i < b.len() {
        match b[i] {
            b'+' => out.push(b' '),
            b'%' => match s.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok()) {
                Some(n) => {
                    out.push(n);
                    i += 2;
                }
                None => out.push(b'%'),
            },
            c => out.push(c),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

struct Server {
    k: Arc<Kubelet>,
    gate: Gate,
    stats: stats::Rates,
    started: i64,
}

/// A certificate of the kubelet's own, made once and kept.
fn own_certificate(k: &Kubelet) -> Result<(PathBuf, PathBuf), Error> {
    let dir = k.cfg.root_dir.join("pki");
    let (cert, key) = (dir.join("kubelet.crt"), dir.join("kubelet.key"));
    if cert.is_file() && key.is_file() {
        return Ok((cert, key));
    }
    std::fs::create_dir_all(&dir).map_err(|e| Error::Directory(dir.clone(), e))?;
    let mut names = vec![k.cfg.node_name.clone(), "localhost".into()];
    names.extend(k.host_ips.iter().cloned());
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|e| Error::Config(format!("making the server's certificate: {e}")))?;
    let write = |p: &PathBuf, text: String, mode: u32| -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(p, text)
            .and_then(|()| std::fs::set_permissions(p, std::fs::Permissions::from_mode(mode)))
            .map_err(|e| Error::Directory(p.clone(), e))
    };
    write(&key, made.signing_key.serialize_pem(), 0o600)?;
    write(&cert, made.cert.pem(), 0o644)?;
    Ok((cert, key))
}

/// Serves until the runtime stops.
pub async fn run(k: Arc<Kubelet>) -> Result<(), Error> {
    let cfg = &k.cfg;
    let config = |e: String| Error::Config(e);
    let (cert, key) = match (&cfg.tls_cert_file, &cfg.tls_key_file) {
        (Some(c), Some(k)) => (c.clone(), k.clone()),
        _ => own_certificate(&k)?,
    };
    let certificates = serve::CertSource::from_files(&cert, &key).map_err(|e| config(chain(&e)))?;
    let client_ca = match &cfg.client_ca_file {
        None => None,
        Some(p) => {
            let pem =
                std::fs::read(p).map_err(|e| config(format!("--client-ca-file {}: {e}", p.display())))?;
            let bad = |e| config(format!("--client-ca-file {}: {}", p.display(), chain(&e)));
            Some(serve::ClientCa::from_pem(&pem).map_err(bad)?)
        }
    };
    if let Some(dir) = &cfg.serving_cert_dir {
        let store = crate::certs::Store::new(dir, "kubelet-server");
        let want = crate::certs::Want::serving(&cfg.node_name, &k.host_ips);
        let task =
            crate::certs::rotate_serving(certificates.clone(), k.client.clone(), store, want, k.rt.clone());
        k.rt.spawn("serving certificate", task);
    }
    let tls = serve::TlsSettings { certificates, client_ca, http2: true };
    let server = Arc::new(Server {
        gate: Gate::new(k.client.clone(), k.cfg.auth.clone(), k.cfg.node_name.clone(), k.rt.clock.clone()),
        stats: stats::Rates::default(),
        started: k.now(),
        k: k.clone(),
    });
    let addr = |host: &str, port: u16| -> Result<SocketAddr, Error> {
        let ip: std::net::IpAddr =
            host.parse().map_err(|_| config(format!("server address {host:?} is no IP address")))?;
        Ok(SocketAddr::new(ip, port))
    };
    if cfg.healthz_port != 0 {
        let listener = bind("healthz-port", addr(&cfg.healthz_address, cfg.healthz_port)?).await?;
        let s = server.clone();
        k.rt.spawn(
            "kubelet healthz",
            serve::Server::new(k.rt.clone()).run(listener, move |req| {
                let s = s.clone();
                async move { s.health_only(req.uri().path()) }
            }),
        );
    }
    if cfg.read_only_port != 0 {
        let listener = bind("read-only-port", addr(&cfg.address, cfg.read_only_port)?).await?;
        let s = server.clone();
        k.rt.spawn(
            "kubelet read-only",
            serve::Server::new(k.rt.clone()).run(listener, move |req| {
                let s = s.clone();
                async move { s.read_only(req).await }
            }),
        );
    }
    let listener = bind("port", addr(&cfg.address, cfg.port)?).await?;
    let http = serve::Server::new(k.rt.clone()).tls(&tls).map_err(|e| config(chain(&e)))?;
    k.rt.ready.set("kubelet-server", Ok(()));
    let s = server.clone();
    k.rt.spawn(
        "kubelet server",
        http.run(listener, move |req| {
            let s = s.clone();
            async move { s.serve(req).await }
        }),
    );
    Ok(())
}

async fn bind(flag: &str, a: SocketAddr) -> Result<serve::Listener, Error> {
    serve::Listener::bind(a).await.map_err(|e| Error::Config(format!("--{flag}: {}", chain(&e))))
}

/// An error and its causes.
pub(crate) fn chain(e: &dyn std::error::Error) -> String {
    let mut out = e.to_string();
    let mut next = e.source();
    while let Some(e) = next {
        out.push_str(": ");
        out.push_str(&e.to_string());
        next = e.source();
    }
    out
}

impl Server {
    fn health_only(&self, path: &str) -> Answer {
        match path {
            "/healthz" | "/healthz/ping" | "/healthz/log" | "/healthz/syncloop" | "/livez" | "/readyz" => {
                self.healthz()
            }
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }
    fn healthz(&self) -> Answer {
        text(StatusCode::OK, "ok")
    }

    async fn read_only(&self, req: Request<Incoming>) -> Answer {
        let path = req.uri().path().to_owned();
        let ok = ["/healthz", "/pods", "/stats", "/metrics"].iter().any(|p| auth::is_subpath(&path, p));
        if !ok || req.method() != Method::GET {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        }
        self.route(req).await.unwrap_or_else(|f| text(f.0, f.1))
    }

    async fn serve(self: Arc<Self>, req: Request<Incoming>) -> Answer {
        let r = match self.gate.check(&req).await {
            Ok(()) => self.route(req).await,
            Err(f) => Err(f),
        };
        r.unwrap_or_else(|f| {
            let mut a = text(f.0, f.1);
            if a.status() == StatusCode::UNAUTHORIZED {
                let v = header::HeaderValue::from_static("Bearer realm=\"kubelet\"");
                a.headers_mut().insert(header::WWW_AUTHENTICATE, v);
            }
            a
        })
    }

    async fn route(&self, req: Request<Incoming>) -> Result<Answer, Fail> {
        let path = req.uri().path().to_owned();
        let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(unescape).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let query = Query::parse(req.uri().query().unwrap_or(""));
        let get = req.method() == Method::GET;
        let post = req.method() == Method::POST;
        match parts.as_slice() {
            ["healthz", ..] | ["livez"] | ["readyz"] => Ok(self.healthz()),
            ["pods"] if get => Ok(json_answer(&self.pods(|_| true))),
            ["runningpods"] if get => Ok(json_answer(&self.pods(|e| e.state().observed.is_alive()))),
            ["configz"] if get => Ok(json_answer(&json!({"kubeletconfig": self.k.cfg.raw}))),
            ["stats", "summary"] => Ok(json_answer(
                &stats::summary(&self.k, &self.stats, query.flag(&["only_cpu_and_memory"])).await,
            )),
            ["metrics"] => Ok(prometheus(metrics::general(&self.k, self.started))),
            ["metrics", "resource"] => Ok(prometheus(stats::resource_metrics(&self.k).await)),
            ["metrics", "cadvisor"] => Ok(prometheus(stats::cadvisor_metrics(&self.k).await)),
            ["metrics", "probes" | "slis"] => Ok(prometheus(metrics::process(self.started))),
            _ if !self.k.cfg.debugging_handlers => {
                Err(Fail(StatusCode::METHOD_NOT_ALLOWED, "Debug endpoints are disabled.".into()))
            }
            ["containerLogs", ns, pod, container] if get => {
                logs::container(&self.k, ns, pod, container, &query).await
            }
            ["logs", rest @ ..] if get => node_logs::serve(rest, &query).await,
            ["run", ns, pod, rest @ ..] if post => {
                let (id, container) = uid_and_container(rest)?;
                stream::run(self, ns, pod, id, container, &query).await
            }
            ["exec", ns, pod, rest @ ..] if get || post => {
                let (id, container) = uid_and_container(rest)?;
                stream::exec(self, ns, pod, id, container, &query, req).await
            }
            ["attach", ns, pod, rest @ ..] if get || post => {
                let (id, container) = uid_and_container(rest)?;
                stream::attach(self, ns, pod, id, container, &query, req).await
            }
            ["portForward", ns, pod, rest @ ..] if (get || post) && rest.len() < 2 => {
                stream::port_forward(self, ns, pod, rest.first().copied(), &query, req).await
            }
            _ => Err(Fail::not_found("404 page not found\n")),
        }
    }

    /// The pods with the status that this kubelet would report.
    fn pods(&self, f: impl Fn(&Entry) -> bool) -> Value {
        let items: Vec<Value> = self
            .k
            .entries()
            .iter()
            .filter(|e| f(e))
            .map(|e| {
                let mut p: Pod = (*e.pod()).clone();
                if let Some(s) = self.k.status.get(uid(&p)) {
                    p.status = Some(s);
                }
                client::Kind::to_value(&p)
            })
            .map(|mut v| {
                if let Some(m) = v.as_object_mut() {
                    m.remove("kind");
                    m.remove("apiVersion");
                }
                v
            })
            .collect();
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
    }

    /// A pod's entry by name (and uid, where the caller says it).
    fn find(&self, ns: &str, name: &str, id: Option<&str>) -> Result<Arc<Entry>, Fail> {
        let e = self.k.find(ns, name).ok_or_else(|| Fail::not_found("pod does not exist"))?;
        let p = e.pod();
        let mirror = self.k.mirror_of(&p);
        let known = |u: &str| uid(&p) == u || mirror.as_ref().is_some_and(|m| uid(m) == u);
        if id.is_some_and(|u| !known(u)) {
            return Err(Fail::not_found("pod not found"));
        }
        Ok(e)
    }

    /// The running instance of a container.
    fn instance(&self, e: &Entry, container: &str) -> Result<String, Fail> {
        let p = e.pod();
        let newest = e.state().observed.newest(container).cloned();
        match newest {
            Some(i) => Ok(i.id),
            None => Err(Fail::not_found(format!(
                "container not found ({container:?}) in pod {:?}",
                helpers::key(&p)
            ))),
        }
    }
}

fn uid_and_container<'a>(rest: &[&'a str]) -> Result<(Option<&'a str>, &'a str), Fail> {
    match rest {
        [c] => Ok((None, c)),
        [u, c] => Ok((Some(u), c)),
        _ => Err(Fail::not_found("404 page not found\n")),
    }
}

fn prometheus(body: String) -> Answer {
    answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", body)
}

/// Numbers by container state, for metrics.
pub(crate) fn container_states(k: &Kubelet) -> HashMap<&'static str, usize> {
    let mut out = HashMap::new();
    for e in k.entries() {
        for i in &e.state().observed.instances {
            *out.entry(i.state.name()).or_default() += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let q = Query::parse("command=sh&command=-c&command=echo%20a%2Bb+c&input=1&tty=true&x");
        assert_eq!(q.all("command"), ["sh", "-c", "echo a+b c"]);
        assert!(q.flag(&["input", "stdin"]) && q.flag(&["tty"]) && !q.flag(&["output"]));
        assert_eq!(q.get("x"), Some(""));
        assert_eq!(unescape("%zz%"), "%zz%");
    }
}
