//! Audit: who did what, when, and what came of it (apiserver `pkg/audit`). A policy says what is recorded of a request;
//! events go to a log, one JSON line each, in the order in which they were made. A full queue holds requests up: what is
//! to be recorded is recorded.

pub mod log;
pub mod policy;

use crate::body::Input;
use crate::request::RequestInfo;
use crate::server::{ApiServer, Sender};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use log::{Log, Options};
use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{Status, UserInfo, Value};
use policy::{Level, Policy, Stage, Verdict};
use runtime::Runtime;
use serde_json::json;
use serve::Body;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Events that wait for the disk.
const QUEUE: usize = 10_000;
const USER_AGENT: usize = 1024;
/// Bytes of an object that is recorded; a larger one is left out.
const OBJECT: usize = 10 << 20;

/// The recorder.
pub struct Audit {
    policy: Policy,
    queue: mpsc::Sender<String>,
}

impl Audit {
    /// Opens the log; its writer runs until the runtime has stopped and all is written.
    pub fn new(policy: Policy, options: Options, rt: &Runtime) -> Result<Arc<Self>, String> {
        let (queue, rx) = mpsc::channel(QUEUE);
        let log = Log::open(options)?;
        let clock = rt.clock.clone();
        let stop = rt.stop_token();
        rt.spawn("audit log", async move { write(log, rx, clock, stop).await });
        Ok(Arc::new(Self { policy, queue }))
    }

    /// Begins the record of a request, where the policy wants one. `user`: none when nobody was recognized.
    pub fn begin(
        self: &Arc<Self>,
        s: &ApiServer,
        id: &str,
        info: &RequestInfo,
        req: &Request<Input>,
        sender: &Sender,
        user: Option<&UserInfo>,
    ) -> Option<Record> {
        let verdict = self.policy.judge(info, user)?.clone();
        let (uri, headers) = (req.uri(), req.headers());
        let mut agent =
            headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        if agent.len() > USER_AGENT {
            agent.truncate(USER_AGENT);
            agent.push_str("...TRUNCATED");
        }
        let mut e = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": verdict.level.as_str(), "auditID": id, "stage": "",
            "requestURI": uri.path_and_query().map_or("/", |p| p.as_str()), "verb": info.verb,
            "user": user.map(user_info).unwrap_or_else(|| json!({})),
            "requestReceivedTimestamp": s.now().rfc3339_micro(),
        });
        let ips = source_ips(headers, sender);
        if !ips.is_empty() {
            e["sourceIPs"] = json!(ips);
        }
        if !agent.is_empty() {
            e["userAgent"] = agent.into();
        }
        if info.is_resource {
            let mut r = json!({"resource": info.resource, "apiVersion": info.version});
            for (k, v) in [
                ("namespace", &info.namespace),
                ("name", &info.name),
                ("apiGroup", &info.group),
                ("subresource", &info.subresource),
            ] {
                if !v.is_empty() {
                    r[k] = v.clone().into();
                }
            }
            e["objectRef"] = r;
        }
        let inner = Inner { event: e, verdict, long: info.long_running(), verb: info.verb.clone() };
        Some(Record(Arc::new(Shared {
            audit: self.clone(),
            clock: s.rt.clock.clone(),
            inner: Mutex::new(inner),
        })))
    }
}

async fn write(
    mut log: Log,
    mut rx: mpsc::Receiver<String>,
    clock: runtime::Clock,
    stop: tokio_util::sync::CancellationToken,
) {
    let mut lines = Vec::new();
    loop {
        let n = tokio::select! {
            biased;
            n = rx.recv_many(&mut lines, 256) => n,
            () = stop.cancelled() => {
                rx.close();
                rx.recv_many(&mut lines, QUEUE).await
            }
        };
        if n == 0 {
            return;
        }
        let text = lines.concat().into_bytes();
        lines.clear();
        let now = now(&clock);
        let done = tokio::task::spawn_blocking(move || {
            let r = log.write(&text, now);
            (log, r)
        });
        match done.await {
            Ok((l, r)) => {
                log = l;
                if let Err(e) = r {
                    tracing::error!("{e}");
                }
            }
            Err(e) => {
                tracing::error!("the audit log's writer ended: {e}");
                return;
            }
        }
    }
}

fn now(clock: &runtime::Clock) -> Timestamp {
    let n = clock.unix_nanos();
    Timestamp {
        seconds: n.div_euclid(1_000_000_000),
        nanos: u32::try_from(n.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

fn user_info(u: &UserInfo) -> Value {
    let mut v = json!({"username": u.name});
    if !u.uid.is_empty() {
        v["uid"] = u.uid.clone().into();
    }
    if !u.groups.is_empty() {
        v["groups"] = json!(u.groups);
    }
    if !u.extra.is_empty() {
        v["extra"] = json!(u.extra);
    }
    v
}

/// Where a request comes from: what proxies say, then the connection.
fn source_ips(headers: &HeaderMap, sender: &Sender) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut out: Vec<String> = Vec::new();
    let mut add = |s: &str| {
        if let Ok(ip) = s.trim().parse::<std::net::IpAddr>()
            && !out.contains(&ip.to_string())
        {
            out.push(ip.to_string());
        }
    };
    text("x-forwarded-for").split(',').for_each(&mut add);
    add(text("x-real-ip"));
    match sender {
        Sender::Network(Some(p)) => {
            if let Some(ip) = p.remote.ip() {
                add(&ip.to_string());
            }
        }
        Sender::Network(None) => {}
        Sender::Process(_) => add("::1"),
    }
    out
}

/// The record of one request.
#[derive(Clone)]
pub struct Record(Arc<Shared>);

struct Shared {
    audit: Arc<Audit>,
    clock: runtime::Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    event: Value,
    verdict: Verdict,
    long: bool,
    verb: String,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

impl Record {
    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn line(&self, stage: Stage) -> Option<String> {
        let at = now(&self.0.clock).rfc3339_micro();
        self.with(|i| {
            i.verdict.wants(stage).then(|| {
                i.event["stage"] = stage.as_str().into();
                i.event["stageTimestamp"] = at.into();
                format!("{}\n", i.event)
            })
        })
    }
    async fn emit(&self, stage: Stage) {
        if let Some(line) = self.line(stage)
            && self.0.audit.queue.send(line).await.is_err()
        {
            tracing::debug!("an event after the audit log was closed");
        }
    }

    pub async fn received(&self) {
        self.emit(Stage::RequestReceived).await;
    }
    pub fn impersonates(&self, u: &UserInfo) {
        self.with(|i| i.event["impersonatedUser"] = user_info(u));
    }
    pub fn annotate(&self, key: &str, value: &str) {
        self.with(|i| i.event["annotations"][key] = value.into());
    }
    /// Whether the body is of interest.
    pub fn wants_body(&self) -> bool {
        self.with(|i| {
            !i.long
                && match i.verb.as_str() {
                    // Its name is in it.
                    "create" => true,
                    "update" | "patch" | "delete" | "deletecollection" => i.verdict.level >= Level::Request,
                    _ => false,
                }
        })
    }
    /// Whether the answer's body is of interest.
    pub fn wants_answer(&self) -> bool {
        self.with(|i| !i.long && i.verdict.level >= Level::RequestResponse)
    }
    pub fn body(&self, content_type: &str, body: &[u8]) {
        if body.is_empty() || body.len() > OBJECT {
            return;
        }
        let Some(mut v) = object(content_type, body) else { return };
        self.with(|i| {
            if i.verb == "create" {
                for (k, from) in
                    [("name", "metadata.name"), ("namespace", "metadata.namespace"), ("uid", "metadata.uid")]
                {
                    if i.event["objectRef"].get(k).is_none() && !v.str_at(from).is_empty() {
                        i.event["objectRef"][k] = v.str_at(from).into();
                    }
                }
            }
            if i.verdict.level >= Level::Request {
                if i.verdict.omit_managed_fields {
                    without_managed_fields(&mut v);
                }
                i.event["requestObject"] = v;
            }
        });
    }
    /// The failure that the request ended with.
    pub fn failed(&self, s: &Status) {
        let mut v = serde_json::to_value(s).unwrap_or_default();
        if let Some(m) = v.as_object_mut() {
            m.remove("kind");
            m.remove("apiVersion");
        }
        self.with(|i| i.event["responseStatus"] = v);
    }
    /// Nobody was recognized in the request.
    pub async fn refused(&self, headers: &HeaderMap, certificates: bool) {
        let mut tried = Vec::new();
        let auth = headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or("");
        match auth.split_whitespace().next().map(str::to_ascii_lowercase).as_deref() {
            Some("basic") => tried.push("basic"),
            Some("bearer") => tried.push("bearer"),
            _ => {}
        }
        if certificates {
            tried.push("x509");
        }
        let message = if tried.is_empty() {
            "Authentication failed, no credentials provided".to_owned()
        } else {
            format!("Authentication failed, attempted: {}", tried.join(", "))
        };
        self.with(|i| i.event["responseStatus"] = json!({"metadata": {}, "message": message, "code": 401}));
        self.emit(Stage::ResponseStarted).await;
    }
    pub async fn panicked(&self, what: &str) {
        self.with(|i| {
            i.event["responseStatus"] = json!({
                "metadata": {}, "status": "Failure", "message": format!("APIServer panic'd: {what}"),
                "reason": "InternalError", "code": 500,
            });
        });
        self.emit(Stage::Panic).await;
    }
    /// Records the answer, and hands it on.
    pub async fn answered(&self, mut res: Response<Body>) -> Response<Body> {
        let code = res.status().as_u16();
        self.with(|i| {
            if i.event.get("responseStatus").is_none() {
                i.event["responseStatus"] = json!({"metadata": {}});
            }
            i.event["responseStatus"]["code"] = code.into();
        });
        if self.with(|i| i.long) {
            self.emit(Stage::ResponseStarted).await;
            return res.map(|body| Recorded { body, record: Some(self.clone()) }.boxed_unsync());
        }
        if self.wants_answer() {
            let kind =
                res.headers().get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
            let kind = kind.to_owned();
            let (parts, body) = res.into_parts();
            let (bytes, rest) = read(body).await;
            if let Some(mut v) = rest.is_none().then(|| object(&kind, &bytes)).flatten() {
                self.with(|i| {
                    if i.verdict.omit_managed_fields {
                        without_managed_fields(&mut v);
                    }
                    i.event["responseObject"] = v;
                });
            }
            let body = match rest {
                None => serve::full(bytes),
                Some(rest) => Joined { first: Some(bytes), rest }.boxed_unsync(),
            };
            res = Response::from_parts(parts, body);
        }
        self.emit(Stage::ResponseComplete).await;
        res
    }
}

/// Reads a body as far as it is recorded; what is left of a larger one, or one that broke, is answered too.
async fn read(mut body: Body) -> (Bytes, Option<Body>) {
    let mut all = bytes::BytesMut::new();
    while let Some(f) = body.frame().await {
        match f {
            Ok(f) => all.extend_from_slice(f.data_ref().map_or(&[][..], |d| d)),
            Err(e) => {
                let broken = futures::stream::iter([Err::<Frame<Bytes>, _>(e)]);
                return (all.freeze(), Some(http_body_util::StreamBody::new(broken).boxed_unsync()));
            }
        }
        if all.len() > OBJECT {
            return (all.freeze(), Some(body));
        }
    }
    (all.freeze(), None)
}

/// An object on the wire, as JSON.
fn object(content_type: &str, bytes: &[u8]) -> Option<Value> {
    let kind = content_type.split(';').next().unwrap_or("").trim();
    if bytes.starts_with(b"k8s\0") {
        let env = schema::proto::unwrap(bytes).ok()?;
        let gv = meta::GroupVersion::parse(env.api_version)?;
        let ty = schema::facts::type_of(&gv.group, &gv.version, env.kind)?;
        let mut v = schema::proto::decode(env.raw, ty).ok()?;
        crate::body::set_kind(&mut v, env.api_version, env.kind);
        return Some(v);
    }
    if kind.ends_with("yaml") {
        return schema::yaml::parse(bytes).ok();
    }
    serde_json::from_slice(bytes).ok()
}

fn without_managed_fields(v: &mut Value) {
    let strip = |v: &mut Value| {
        if let Some(m) = v.get_mut("metadata").and_then(Value::as_object_mut) {
            m.remove("managedFields");
        }
    };
    strip(v);
    for list in ["items", "rows"] {
        for x in v.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            strip(x);
            if let Some(o) = x.get_mut("object") {
                strip(o);
            }
        }
    }
}

/// The body of a lasting answer: its end is recorded, however it comes.
struct Recorded {
    body: Body,
    record: Option<Record>,
}

impl HttpBody for Recorded {
    type Data = Bytes;
    type Error = serve::BoxError;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        c: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, serve::BoxError>>> {
        Pin::new(&mut self.body).poll_frame(c)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let Some(r) = self.record.take() else { return };
        if let Some(line) = r.line(Stage::ResponseComplete)
            && let Err(e) = r.0.audit.queue.try_send(line)
        {
            tracing::error!("an audit event is lost: {e}");
        }
    }
}

/// What was read of a body, then its rest.
struct Joined {
    first: Option<Bytes>,
    rest: Body,
}

impl HttpBody for Joined {
    type Data = Bytes;
    type Error = serve::BoxError;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        c: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, serve::BoxError>>> {
        match self.first.take() {
            Some(b) => Poll::Ready(Some(Ok(Frame::data(b)))),
            None => Pin::new(&mut self.rest).poll_frame(c),
        }
    }
}
