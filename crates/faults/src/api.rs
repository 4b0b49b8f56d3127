//! A client of the Kubernetes API that writes down what it asks and what it is told: ConfigMaps as keys, resource
//! versions as revisions.

use crate::client::{Recorder, bytes_of, lock, value_of};
use crate::history::{Call, Change, Event, Item, Key, Kv, Nanos, Op, Outcome, Rev, Span, Stream, Value};
use crate::watcher::Watcher;
use base64::Engine;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value as Json, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const OURS: &str = "labelSelector=app%3Dfaults";
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where the API is and who asks.
#[derive(Clone)]
pub struct Target {
    port: u16,
    tls: tokio_rustls::TlsConnector,
}

impl Target {
    /// Out of a kubeconfig that holds its certificates.
    pub fn new(kubeconfig: &Path, port: u16) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(kubeconfig).map_err(|e| format!("{}: {e}", kubeconfig.display()))?;
        // YAML or JSON: what follows the name, quoted or not.
        let field = |name: &str| {
            let (_, rest) = text.split_once(name).ok_or_else(|| format!("the kubeconfig has no {name}"))?;
            let rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)));
            let decoded =
                base64::engine::general_purpose::STANDARD.decode(&rest[..end.unwrap_or(rest.len())]);
            decoded.map_err(|e| format!("{name}: {e}"))
        };
        let certs = |pem: &[u8]| {
            let all: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem).collect();
            all.map_err(|e| e.to_string())
        };
        let mut roots = rustls::RootCertStore::empty();
        for c in certs(&field("certificate-authority-data")?)? {
            roots.add(c).map_err(|e| e.to_string())?;
        }
        let key = PrivateKeyDer::from_pem_slice(&field("client-key-data")?).map_err(|e| e.to_string())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_client_auth_cert(certs(&field("client-certificate-data")?)?, key)
            .map_err(|e| e.to_string())?;
        Ok(Self { port, tls: Arc::new(config).into() })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let text = |e: std::io::Error| e.to_string();
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.map_err(text)?;
        let name = ServerName::try_from("127.0.0.1").map_err(|e| e.to_string())?;
        let tls = self.tls.connect(name, tcp).await.map_err(text)?;
        let io = hyper_util::rt::TokioIo::new(tls);
        let (send, conn) = hyper::client::conn::http1::handshake(io).await.map_err(|e| e.to_string())?;
        tokio::spawn(async move {
            // How a connection ended is seen by whoever waits for an answer on it.
            let _ = conn.await;
        });
        Ok(send)
    }
}

fn request(method: Method, path: &str, body: Option<&Json>) -> Result<Request<Full<Bytes>>, String> {
    let r = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
    let r = r.header("accept", "application/json").header("content-type", "application/json");
    let body = body.map_or_else(Bytes::new, |b| b.to_string().into());
    r.body(Full::new(body)).map_err(|e| e.to_string())
}

/// One connection, made anew whenever it is lost.
pub struct Client {
    target: Target,
    log: Arc<Recorder>,
    conn: Option<SendRequest<Full<Bytes>>>,
}

fn revision(v: &Json) -> Rev {
    v["metadata"]["resourceVersion"].as_str().and_then(|t| t.parse().ok()).unwrap_or(0)
}

fn kv(v: &Json) -> Kv {
    let name = v["metadata"]["name"].as_str().unwrap_or_default();
    let value = v["data"]["v"].as_str().map_or(Value::Torn, |t| value_of(t.as_bytes()));
    Kv { key: name.into(), value, created: 0, modified: revision(v), version: 0, lease: 0 }
}

impl Client {
    pub fn new(target: &Target, log: &Arc<Recorder>) -> Self {
        Self { target: target.clone(), log: log.clone(), conn: None }
    }

    async fn call(
        &mut self,
        m: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<(StatusCode, Json), String> {
        let one = async {
            if self.conn.as_ref().is_none_or(SendRequest::is_closed) {
                self.conn = Some(self.target.connect().await?);
            }
            let conn = self.conn.as_mut().ok_or("no connection")?;
            let answer = conn.send_request(request(m, path, body)?).await.map_err(|e| e.to_string())?;
            let status = answer.status();
            let all = answer.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
            let v = serde_json::from_slice(&all).unwrap_or(Json::Null);
            Ok((status, v))
        };
        let done = tokio::time::timeout(Duration::from_secs(5), one).await;
        let done = done.unwrap_or_else(|_| Err("no answer in time".into()));
        if done.is_err() {
            self.conn = None;
        }
        done
    }

    fn note(&self, id: u64, start: Nanos, call: Call, outcome: Outcome) -> Outcome {
        let end = if matches!(outcome, Outcome::Unknown(_)) { Nanos::MAX } else { self.log.now() };
        lock(&self.log.ops).push(Op { id, start, end, call, outcome: outcome.clone() });
        outcome
    }

    /// Creates (revision 0), changes or deletes a ConfigMap that is at a revision.
    pub async fn write(&mut self, name: &str, at: Rev, puts: bool) -> Outcome {
        let id = self.log.next.fetch_add(1, Ordering::Relaxed);
        let value = String::from_utf8_lossy(&bytes_of(id)).into_owned();
        let mut object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"v": value},
            "metadata": {"name": name, "labels": {"app": "faults"}},
        });
        let one = format!("{MAPS}/{name}");
        let start = self.log.now();
        let answer = if !puts {
            let options = json!({"kind": "DeleteOptions", "apiVersion": "v1",
                "preconditions": {"resourceVersion": at.to_string()}});
            self.call(Method::DELETE, &one, Some(&options)).await
        } else if at == 0 {
            self.call(Method::POST, MAPS, Some(&object)).await
        } else {
            object["metadata"]["resourceVersion"] = at.to_string().into();
            self.call(Method::PUT, &one, Some(&object)).await
        };
        let outcome = match answer {
            Ok((s, _)) if s.is_success() && !puts => Outcome::DoneSome,
            Ok((s, v)) if s.is_success() => Outcome::Done(revision(&v)),
            Ok((s @ (StatusCode::CONFLICT | StatusCode::NOT_FOUND), v)) => {
                Outcome::Refused(format!("{s}: {v}"))
            }
            Ok((s, v)) => Outcome::Unknown(format!("{s}: {v}")),
            Err(e) => Outcome::Unknown(e),
        };
        let changes = vec![Change { key: name.into(), puts }];
        self.note(id, start, Call::Write { changes, expected: Some((name.into(), at)) }, outcome)
    }

    /// A consistent list of all.
    pub async fn list(&mut self) -> Outcome {
        let id = self.log.next.fetch_add(1, Ordering::Relaxed);
        let start = self.log.now();
        let outcome = match self.call(Method::GET, &format!("{MAPS}?{OURS}"), None).await {
            Ok((s, v)) if s.is_success() => {
                Outcome::Found(revision(&v), v["items"].as_array().into_iter().flatten().map(kv).collect())
            }
            Ok((s, v)) => Outcome::Unknown(format!("{s}: {v}")),
            Err(e) => Outcome::Unknown(e),
        };
        self.note(id, start, Call::Read { keys: Span::all(), at: 0 }, outcome)
    }

    pub async fn ready(&mut self) -> bool {
        matches!(self.call(Method::GET, "/readyz", None).await, Ok((s, _)) if s.is_success())
    }
}

/// Watches what changes after a revision, over every loss of its connection.
pub fn watch(target: &Target, log: &Arc<Recorder>, name: String, after: Rev) -> Watcher {
    let (target, log) = (target.clone(), log.clone());
    let (keys, items) = (Span::all(), Vec::new());
    let mut s = Stream { name, keys, from: after + 1, items, until: 0, previous: false };
    Watcher::spawn(async move |mut told| {
        let mut at = after;
        loop {
            // Whatever ended it, there is another try.
            let _ = follow(&target, &log, &mut s, &mut at, &mut told).await;
            let until = *told.borrow_and_update();
            let over = s.items.last().is_some_and(|(_, i)| matches!(i, Item::Compacted(_)));
            if until < 0 || over || until > 0 && at >= until {
                s.until = until.max(0);
                return s;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    })
}

async fn follow(
    target: &Target,
    log: &Recorder,
    s: &mut Stream,
    at: &mut Rev,
    until: &mut watch::Receiver<Rev>,
) -> Result<(), String> {
    let mut conn = target.connect().await?;
    let path = format!("{MAPS}?{OURS}&watch=true&allowWatchBookmarks=true&resourceVersion={at}");
    let answer = conn.send_request(request(Method::GET, &path, None)?).await.map_err(|e| e.to_string())?;
    if answer.status() == StatusCode::GONE {
        s.items.push((log.now(), Item::Compacted(*at + 1)));
        return Ok(());
    }
    let mut body: Incoming = answer.into_body();
    let mut text = Vec::new();
    loop {
        tokio::select! {
            f = body.frame() => {
                let Some(f) = f else { return Ok(()) };
                let Ok(data) = f.map_err(|e| e.to_string())?.into_data() else { continue };
                text.extend_from_slice(&data);
                while let Some(n) = text.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = text.drain(..=n).collect();
                    let v: Json = serde_json::from_slice(&line).map_err(|e| e.to_string())?;
                    take(&v, log.now(), s, at)?;
                }
            }
            _ = until.changed() => {}
        }
        let u = *until.borrow();
        if u < 0 || u > 0 && *at >= u {
            return Ok(());
        }
    }
}

fn take(v: &Json, now: Nanos, s: &mut Stream, at: &mut Rev) -> Result<(), String> {
    let object = &v["object"];
    let item = match v["type"].as_str().unwrap_or_default() {
        "ADDED" | "MODIFIED" => Item::Event(Event { kv: kv(object), gone: false, previous: None }),
        "DELETED" => Item::Event(gone(&kv(object).key, revision(object))),
        "BOOKMARK" => Item::Progress(revision(object)),
        _ if object["code"] == 410 => Item::Compacted(*at + 1),
        _ => return Err(v.to_string()),
    };
    *at = (*at).max(revision(object));
    s.items.push((now, item));
    Ok(())
}

fn gone(key: &Key, modified: Rev) -> Event {
    let kv = Kv { key: key.clone(), value: Value::Of(0), created: 0, modified, version: 0, lease: 0 };
    Event { kv, gone: true, previous: None }
}
