//! exec, attach, port-forward: the runtime's streaming server is asked the same upgrade, and the two connections are
//! spliced byte for byte. What runtimes do not speak (WebSocket with channels that close one by one, SPDY in WebSocket)
//! is translated here. `run`: a command and its output.

use super::{Answer, Fail, Query, Server, text};
use crate::pod::helpers::{self, spec};
use bytes::Bytes;
use cri::v1 as rt;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use streams::{negotiate, translate};
use tokio::net::TcpStream;

const DIAL: Duration = Duration::from_secs(10);
const MAX_ERROR: usize = 64 << 10;

struct Streams {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Streams {
    fn of(q: &Query) -> Result<Self, Fail> {
        let tty = q.flag(&["tty"]);
        let s = Self {
            stdin: q.flag(&["input", "stdin"]),
            stdout: q.flag(&["output", "stdout"]),
            // A terminal has one stream.
            stderr: q.flag(&["error", "stderr"]) && !tty,
            tty,
        };
        if s.stdin || s.stdout || s.stderr {
            Ok(s)
        } else {
            Err(Fail::bad("you must specify at least 1 of stdin, stdout, stderr"))
        }
    }
    fn wanted(&self) -> translate::Wanted {
        translate::Wanted { stdin: self.stdin, stdout: self.stdout, stderr: self.stderr, tty: self.tty }
    }
}

pub(super) async fn exec(
    s: &Server,
    ns: &str,
    name: &str,
    id: Option<&str>,
    container: &str,
    q: &Query,
    req: Request<Incoming>,
) -> Result<Answer, Fail> {
    let st = Streams::of(q)?;
    let entry = s.find(ns, name, id)?;
    let container_id = s.instance(&entry, container)?;
    let r =
        s.k.cri
            .exec(rt::ExecRequest {
                container_id,
                cmd: q.all("command"),
                tty: st.tty,
                stdin: st.stdin,
                stdout: st.stdout,
                stderr: st.stderr,
            })
            .await?;
    command(s, r.url, st.wanted(), req).await
}

pub(super) async fn attach(
    s: &Server,
    ns: &str,
    name: &str,
    id: Option<&str>,
    container: &str,
    q: &Query,
    req: Request<Incoming>,
) -> Result<Answer, Fail> {
    let st = Streams::of(q)?;
    let entry = s.find(ns, name, id)?;
    let container_id = s.instance(&entry, container)?;
    let pod = entry.pod();
    // The terminal is the container's, whatever the caller thinks.
    let tty = helpers::find_container(spec(&pod), container).is_some_and(|c| c.tty == Some(true));
    let r =
        s.k.cri
            .attach(rt::AttachRequest {
                container_id,
                stdin: st.stdin,
                tty,
                stdout: st.stdout,
                stderr: st.stderr && !tty,
            })
            .await?;
    command(s, r.url, st.wanted(), req).await
}

pub(super) async fn port_forward(
    s: &Server,
    ns: &str,
    name: &str,
    id: Option<&str>,
    q: &Query,
    req: Request<Incoming>,
) -> Result<Answer, Fail> {
    let entry = s.find(ns, name, id)?;
    let sandbox = entry
        .state()
        .observed
        .active_sandbox()
        .map(|s| s.id.clone())
        .ok_or_else(|| Fail::not_found(format!("failed to find sandbox for pod {name:?}")))?;
    let mut ports = vec![];
    // Without a tunnel a WebSocket has a pair of channels for each port.
    let channels =
        negotiate::is_websocket(req.headers()) && negotiate::tunnelled_protocols(req.headers()).is_empty();
    if channels && q.all("port").is_empty() {
        return Err(Fail::bad("query parameter \"port\" is required"));
    }
    for list in q.all("port").iter().chain(q.all("ports").iter()) {
        for p in list.split(',').filter(|p| !p.is_empty()) {
            let n: u16 = p.parse().map_err(|_| Fail::bad(format!("unable to parse {p:?} as a port")))?;
            if n == 0 {
                return Err(Fail::bad(format!("port {p:?} must be > 0")));
            }
            ports.push(i32::from(n));
        }
    }
    let r = s.k.cri.port_forward(rt::PortForwardRequest { pod_sandbox_id: sandbox, port: ports }).await?;
    forward(s, &r.url, req).await
}

pub(super) async fn run(
    s: &Server,
    ns: &str,
    name: &str,
    id: Option<&str>,
    container: &str,
    q: &Query,
) -> Result<Answer, Fail> {
    let entry = s.find(ns, name, id)?;
    let container_id = s.instance(&entry, container)?;
    let cmd: Vec<String> =
        q.get("cmd").unwrap_or("").split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
    let r = crate::act::exec(&*s.k.cri, &container_id, &cmd, Duration::ZERO).await?;
    let out = crate::act::output(&r);
    if r.exit_code == 0 {
        Ok(text(StatusCode::OK, out))
    } else {
        Err(Fail::internal(format!("command '{}' exited with {}: {out}", cmd.join(" "), r.exit_code)))
    }
}

/// Headers that make the upgrade.
fn passes(n: &HeaderName) -> bool {
    let n = n.as_str();
    matches!(n, "connection" | "upgrade" | "origin" | "x-stream-protocol-version")
        || n.starts_with("sec-websocket-")
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, f: impl Fn(&HeaderName) -> bool) {
    for (k, v) in from {
        if f(k) {
            to.append(k.clone(), v.clone());
        }
    }
}

/// Asks the runtime's streaming server.
async fn ask(
    rt: &runtime::Runtime,
    url: &str,
    method: http::Method,
    headers: HeaderMap,
) -> Result<Response<Incoming>, String> {
    let uri: http::Uri = url.parse().map_err(|e| format!("the runtime's streaming URL {url:?}: {e}"))?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    let host = uri.host().unwrap_or("127.0.0.1").trim_matches(['[', ']']).to_owned();
    let stream = tokio::time::timeout(DIAL, TcpStream::connect((host.as_str(), port)))
        .await
        .map_err(|_| format!("dial tcp {authority}: i/o timeout"))?
        .map_err(|e| format!("dial tcp {authority}: {e}"))?;
    let _ = stream.set_nodelay(true);
    let (mut send, conn) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| format!("the runtime's streaming server: {e}"))?;
    rt.spawn_until_stop("stream connection", async move {
        if let Err(e) = conn.with_upgrades().await {
            tracing::debug!(error = %e, "connection to the runtime's streaming server");
        }
    });
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut out = Request::builder()
        .method(method)
        .uri(target)
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
    *out.headers_mut() = headers;
    let host = header::HeaderValue::from_str(&authority).map_err(|e| e.to_string())?;
    out.headers_mut().insert(header::HOST, host);
    if out.method() == http::Method::POST {
        out.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from_static("0"));
    }
    send.send_request(out).await.map_err(|e| format!("the runtime's streaming server: {e}"))
}

/// What the runtime says instead of upgrading.
async fn refusal(got: Response<Incoming>) -> (StatusCode, Bytes) {
    let code = got.status();
    let body = Limited::new(got.into_body(), MAX_ERROR).collect().await;
    (code, body.map(http_body_util::Collected::to_bytes).unwrap_or_default())
}

fn switching(headers: HeaderMap) -> Answer {
    let mut a = Response::new(serve::empty());
    *a.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *a.headers_mut() = headers;
    a
}

/// exec and attach: passed on as asked, or translated where a client asks for what runtimes do not speak.
async fn command(
    s: &Server,
    url: String,
    wanted: translate::Wanted,
    mut req: Request<Incoming>,
) -> Result<Answer, Fail> {
    if !negotiate::wants_stream_close(req.headers()) {
        return splice(s, &url, req).await;
    }
    let (_, answer) = negotiate::accept_websocket(req.headers(), translate::PROTOCOLS)
        .map_err(|r| Fail(r.status, r.text))?;
    let client = hyper::upgrade::on(&mut req);
    let rt = s.k.rt.clone();
    s.k.rt.spawn_until_stop("stream", async move {
        let client = match client.await {
            Ok(c) => TokioIo::new(c),
            Err(e) => return tracing::debug!(error = %e, "upgrading a stream failed"),
        };
        translate::commands(client, wanted, dial_command(&rt, &url), &rt).await;
    });
    Ok(switching(answer))
}

/// A SPDY connection to the runtime for a command, and the protocol it chose.
async fn dial_command(rt: &runtime::Runtime, url: &str) -> Result<(TokioIo<Upgraded>, String), String> {
    let mut asked = HeaderMap::new();
    negotiate::ask_spdy(&mut asked, negotiate::COMMAND_PROTOCOLS.iter().copied());
    let got = ask(rt, url, http::Method::POST, asked.clone()).await?;
    if got.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (code, text) = refusal(got).await;
        return Err(format!(
            "unable to upgrade connection: {} ({code})",
            String::from_utf8_lossy(&text).trim()
        ));
    }
    let protocol = negotiate::spdy_answer(&asked, got.headers())?;
    let io = hyper::upgrade::on(got).await.map_err(|e| e.to_string())?;
    Ok((TokioIo::new(io), protocol))
}

/// Port-forward: passed on as asked, or taken out of its tunnel.
async fn forward(s: &Server, url: &str, mut req: Request<Incoming>) -> Result<Answer, Fail> {
    if negotiate::tunnelled_protocols(req.headers()).is_empty() {
        return splice(s, url, req).await;
    }
    let mut asked = HeaderMap::new();
    copy(req.headers(), &mut asked, passes);
    negotiate::tunnel_to_spdy(&mut asked);
    let mut got = ask(&s.k.rt, url, http::Method::POST, asked.clone()).await.map_err(Fail::internal)?;
    if got.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (code, body) = refusal(got).await;
        return Ok(text(code, body));
    }
    let chosen = negotiate::spdy_answer(&asked, got.headers()).map_err(Fail::internal)?;
    let chosen = format!("{}{chosen}", negotiate::TUNNEL);
    let (_, answer) =
        negotiate::accept_websocket(req.headers(), &[&chosen]).map_err(|r| Fail(r.status, r.text))?;
    let (client, runtime) = (hyper::upgrade::on(&mut req), hyper::upgrade::on(&mut got));
    s.k.rt.spawn_until_stop("stream", async move {
        match futures::future::try_join(client, runtime).await {
            Ok((a, b)) => translate::tunnel(TokioIo::new(a), TokioIo::new(b)).await,
            Err(e) => tracing::debug!(error = %e, "upgrading a stream failed"),
        }
    });
    Ok(switching(answer))
}

/// Passes an upgrade on to the runtime's streaming server.
async fn splice(s: &Server, url: &str, mut req: Request<Incoming>) -> Result<Answer, Fail> {
    if !negotiate::is_upgrade(req.headers()) || !req.headers().contains_key(header::UPGRADE) {
        return Err(Fail::bad("Upgrade request required"));
    }
    let mut asked = HeaderMap::new();
    copy(req.headers(), &mut asked, passes);
    let mut got = ask(&s.k.rt, url, req.method().clone(), asked).await.map_err(Fail::internal)?;
    if got.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (code, body) = refusal(got).await;
        return Ok(text(code, body));
    }
    let mut headers = HeaderMap::new();
    copy(got.headers(), &mut headers, passes);
    let (client, runtime) = (hyper::upgrade::on(&mut req), hyper::upgrade::on(&mut got));
    s.k.rt.spawn_until_stop("stream", async move {
        match futures::future::try_join(client, runtime).await {
            Ok((a, b)) => translate::join(&mut TokioIo::new(a), &mut TokioIo::new(b)).await,
            Err(e) => tracing::debug!(error = %e, "upgrading a stream failed"),
        }
    });
    Ok(switching(headers))
}
