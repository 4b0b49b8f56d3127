//! Calls to webhooks: HTTPS POSTs to a URL or to a service of the cluster (apiserver `pkg/util/webhook`).

use crate::connect::{Trust, client_config};
use crate::object;
use crate::server::ApiServer;
use base64::Engine;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use meta::Value;
use meta::object::ObjectExt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes of an answer, at most.
const MAX_ANSWER: usize = 8 << 20;
const CONNECT: Duration = Duration::from_secs(5);
/// Endpoints of a service to draw from, and to try.
const ENDPOINTS: usize = 1000;
const TRIED: usize = 3;
/// Connections that are kept for the next call.
const KEPT: usize = 8;
/// Where a webhook is (`WebhookClientConfig`).
#[derive(Clone, Debug)]
pub struct Target {
    pub place: Place,
    pub ca: Option<Vec<u8>>,
    pub review_versions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Url { host: String, port: u16, path: String },
    Service { namespace: String, name: String, port: i64, path: String },
}

impl Target {
    /// From a client configuration, as it stands in the object.
    pub fn parse(c: &Value) -> Result<Self, String> {
        let ca = match c.str_at("caBundle") {
            "" => None,
            b => {
                let pem = base64::engine::general_purpose::STANDARD
                    .decode(b)
                    .map_err(|e| format!("caBundle: {e}"))?;
                Some(pem).filter(|p| !p.trim_ascii().is_empty())
            }
        };
        let place = match c.at("service") {
            Some(s) => Place::Service {
                namespace: s.str_at("namespace").to_owned(),
                name: s.str_at("name").to_owned(),
                port: s.i64_at("port").unwrap_or(443),
                path: s.str_at("path").to_owned(),
            },
            None => {
                let u: Uri = c.str_at("url").parse().map_err(|e| format!("url: {e}"))?;
                let host = u.host().ok_or("url: no host")?.to_owned();
                let path = u.path_and_query().map_or("/", |p| p.as_str()).to_owned();
                Place::Url { host, port: u.port_u16().unwrap_or(443), path }
            }
        };
        Ok(Self { place, ca, review_versions: Vec::new() })
    }

    fn url(&self) -> String {
        match &self.place {
            Place::Url { host, port, path } => format!("https://{host}:{port}{path}"),
            Place::Service { namespace, name, port, path } => {
                format!("https://{name}.{namespace}.svc:{port}/{}", path.trim_start_matches('/'))
            }
        }
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// A webhook with its idle connections.
pub struct Hook {
    pub target: Target,
    tls: Mutex<Option<Arc<ClientConfig>>>,
    idle: Mutex<Vec<Sender>>,
}

impl Hook {
    pub fn new(target: Target) -> Self {
        Self { target, tls: Mutex::default(), idle: Mutex::default() }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let mut kept = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(t) = &*kept {
            return Ok(t.clone());
        }
        let trust = self.target.ca.as_deref().map_or(Trust::System, Trust::Bundle);
        let t = client_config(trust, None)?;
        *kept = Some(t.clone());
        Ok(t)
    }

    /// POSTs a review; answers the body of the answer. `query` may hold `timeout=10s`.
    pub async fn post(
        &self,
        server: &Arc<ApiServer>,
        query: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, String> {
        let url = self.target.url();
        let shown = if query.is_empty() { url.clone() } else { format!("{url}?{query}") };
        match tokio::time::timeout(timeout, self.exchange(server, &shown, body)).await {
            Ok(Ok((status, b))) if status.is_success() => match b.is_empty() {
                true => Err(format!("0-length response with status code: {}", status.as_u16())),
                false => Ok(b),
            },
            Ok(Ok((status, b))) => Err(unhappy(status, &b)),
            Ok(Err(e)) => Err(format!("Post {shown:?}: {e}")),
            Err(_) => Err(format!("Post {shown:?}: context deadline exceeded")),
        }
    }

    async fn exchange(
        &self,
        server: &Arc<ApiServer>,
        url: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let uri: Uri = url.parse().map_err(|e: http::uri::InvalidUri| e.to_string())?;
        let authority = uri.authority().map(|a| a.as_str().to_owned()).unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let request = || {
            Request::post(path.as_str())
                .header(HOST, authority.as_str())
                .header(CONTENT_TYPE, "application/json")
                .header(ACCEPT, "application/json, */*")
                .header(USER_AGENT, "kube-apiserver-admission")
                .body(Full::new(body.clone()))
                .map_err(|e| e.to_string())
        };
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let kept = idle.is_some();
            let mut c = match idle {
                Some(c) => c,
                None => self.connect(server).await?,
            };
            if c.ready().await.is_err() {
                if kept {
                    continue;
                }
                return Err("connection closed".to_owned());
            }
            let res = match c.send_request(request()?).await {
                Ok(r) => r,
                // The other side closed a kept connection just now.
                Err(e) if kept && (e.is_canceled() || e.is_incomplete_message()) => continue,
                Err(e) => return Err(e.to_string()),
            };
            let status = res.status();
            let body =
                Limited::new(res.into_body(), MAX_ANSWER).collect().await.map_err(|e| e.to_string())?;
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(c);
            }
            drop(idle);
            let body = body.to_bytes();
            return Ok((status, body));
        }
    }

    async fn connect(&self, server: &Arc<ApiServer>) -> Result<Sender, String> {
        let (addresses, host) = match &self.target.place {
            Place::Url { host, port, .. } => {
                let bare = host.trim_matches(['[', ']']).to_owned();
                let address =
                    if bare.contains(':') { format!("[{bare}]:{port}") } else { format!("{bare}:{port}") };
                (vec![address], bare)
            }
            Place::Service { namespace, name, port, .. } => {
                (service(server, namespace, name, *port)?, format!("{name}.{namespace}.svc"))
            }
        };
        let mut failed = String::new();
        let mut tcp = None;
        for a in &addresses {
            match tokio::time::timeout(CONNECT, TcpStream::connect(a)).await {
                Ok(Ok(s)) => {
                    tcp = Some(s);
                    break;
                }
                Ok(Err(e)) => failed = format!("dial tcp {a}: {e}"),
                Err(_) => failed = format!("dial tcp {a}: i/o timeout"),
            }
        }
        let tcp = tcp.ok_or(failed)?;
        let _ = tcp.set_nodelay(true);
        let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
        let tls =
            TlsConnector::from(self.tls()?).connect(name, tcp).await.map_err(|e| format!("tls: {e}"))?;
        let (send, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(|e| e.to_string())?;
        server.rt.spawn_until_stop("webhook connection", async move {
            if let Err(e) = connection.await {
                tracing::debug!(error = %e, "a webhook's connection ended");
            }
        });
        Ok(send)
    }
}

/// What an answer says that is no success (client-go `newUnstructuredResponseError`).
fn unhappy(status: StatusCode, body: &[u8]) -> String {
    const MOST: usize = 2048;
    if let Ok(s) = serde_json::from_slice::<meta::Status>(body)
        && s.kind == "Status"
        && !s.message.is_empty()
    {
        return s.message;
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(MOST)]).trim().to_owned();
    let text = if text.is_empty() { "unknown".to_owned() } else { text };
    match status.as_u16() {
        409 => "the server reported a conflict".into(),
        404 => "the server could not find the requested resource".into(),
        400 => "the server rejected our request for an unknown reason".into(),
        401 => "the server has asked for the client to provide credentials".into(),
        403 | 406 | 415 => text,
        405 => "the server does not allow this method on the requested resource".into(),
        422 => "the server rejected our request due to an error in our request".into(),
        503 => "the server is currently unable to handle the request".into(),
        504 => "the server was unable to return a response in the time allotted, but may still be processing the request".into(),
        429 => "the server has received too many requests and has asked us to try again later".into(),
        500.. => format!("an error on the server ({text:?}) has prevented the request from succeeding"),
        n => format!("the server responded with the status code {n} but did not return more details"),
    }
}

fn join(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// Addresses of a service, best first: its endpoints, beginning with one drawn at random, then its cluster IP.
fn service(server: &ApiServer, namespace: &str, name: &str, port: i64) -> Result<Vec<String>, String> {
    let reg = server.registry();
    let snap = server.store.cached();
    let find = |group: &str, resource: &str| reg.any_version(group, resource).cloned();
    let info = find("", "services").ok_or("services are not served")?;
    let r = snap.get(&info.key(namespace, name)).ok_or_else(|| format!("service {name:?} not found"))?;
    let (svc, _) = object::decode_builtin(&info, &r).map_err(|e| e.message.clone())?;
    if svc.str_at("spec.type") == "ExternalName" {
        return Ok(vec![join(svc.str_at("spec.externalName"), port)]);
    }
    let p = svc.array_at("spec.ports").iter().find(|p| p.i64_at("port") == Some(port));
    let p = p.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let mut out = Vec::new();
    if let Some(slices) = find("discovery.k8s.io", "endpointslices") {
        snap.scan(&slices.scope_prefix(namespace), "", &mut |r| {
            if object::ext(r).header.label("kubernetes.io/service-name") == Some(name)
                && let Ok((s, _)) = object::decode_builtin(&slices, r)
            {
                let ports = s.array_at("ports");
                let own = ports.iter().find(|q| q.str_at("name") == p.str_at("name"));
                if let Some(n) = own.and_then(|q| q.i64_at("port")) {
                    let ready = s.array_at("endpoints").iter();
                    let ready =
                        ready.filter(|e| e.at("conditions.ready").and_then(Value::as_bool) != Some(false));
                    for e in ready {
                        out.extend(
                            e.array_at("addresses").iter().filter_map(Value::as_str).map(|a| join(a, n)),
                        );
                    }
                }
            }
            out.len() < ENDPOINTS
        });
    }
    if out.len() > 1 {
        let n = out.len() as u64;
        out.rotate_left(usize::try_from(server.random() % n).unwrap_or(0));
        out.truncate(TRIED);
    }
    let ip = svc.str_at("spec.clusterIP");
    if !ip.is_empty() && ip != "None" {
        out.push(join(ip, port));
    }
    if out.is_empty() { Err(format!("no endpoints available for service {name:?}")) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn targets() {
        let t = Target::parse(&json!({"url": "https://h:8443/a?b=c"})).unwrap();
        assert_eq!(t.url(), "https://h:8443/a?b=c");
        let t = Target::parse(&json!({"service": {"namespace": "n", "name": "s", "path": "/p"}})).unwrap();
        assert_eq!(t.url(), "https://s.n.svc:443/p");
        assert!(Target::parse(&json!({"url": "nonsense url"})).is_err());
        assert!(Target::parse(&json!({"url": "https://h", "caBundle": "!"})).is_err());
    }
}
