//! exec, attach, port-forward: the runtime's streaming server is asked the same upgrade, and the two connections are
//! spliced byte for byte. `run`: a command and its output.

use super::{Answer, Fail, Query, Server, text};
use crate::pod::helpers::{self, spec};
use bytes::Bytes;
use cri::v1 as rt;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::time::Duration;
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
    splice(s, &r.url, req).await
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
    splice(s, &r.url, req).await
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
    for list in q.all("port").iter().chain(q.all("ports").iter()) {
        for p in list.split(',').filter(|p| !p.is_empty()) {
            let n: u16 = p.parse().map_err(|_| Fail::bad(format!("invalid port {p:?}")))?;
            ports.push(i32::from(n));
        }
    }
    let r = s.k.cri.port_forward(rt::PortForwardRequest { pod_sandbox_id: sandbox, port: ports }).await?;
    splice(s, &r.url, req).await
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

/// Passes an upgrade on to the runtime's streaming server.
async fn splice(s: &Server, url: &str, mut req: Request<Incoming>) -> Result<Answer, Fail> {
    if !req.headers().contains_key(header::UPGRADE) {
        return Err(Fail::bad("Upgrade request required"));
    }
    let uri: http::Uri =
        url.parse().map_err(|e| Fail::internal(format!("the runtime's streaming URL {url:?}: {e}")))?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    let host = uri.host().unwrap_or("127.0.0.1").trim_matches(['[', ']']).to_owned();
    let stream = tokio::time::timeout(DIAL, TcpStream::connect((host.as_str(), port)))
        .await
        .map_err(|_| Fail::internal(format!("dial tcp {authority}: i/o timeout")))?
        .map_err(|e| Fail::internal(format!("dial tcp {authority}: {e}")))?;
    let _ = stream.set_nodelay(true);
    let (mut send, conn) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| Fail::internal(format!("the runtime's streaming server: {e}")))?;
    s.k.rt.spawn_until_stop("stream connection", async move {
        if let Err(e) = conn.with_upgrades().await {
            tracing::debug!(error = %e, "connection to the runtime's streaming server");
        }
    });
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut out = Request::builder()
        .method(req.method().clone())
        .uri(target)
        .header(header::HOST, authority)
        .body(Empty::<Bytes>::new())
        .map_err(|e| Fail::internal(e.to_string()))?;
    copy(req.headers(), out.headers_mut(), passes);
    if req.method() == http::Method::POST {
        out.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from_static("0"));
    }
    let mut got = send
        .send_request(out)
        .await
        .map_err(|e| Fail::internal(format!("the runtime's streaming server: {e}")))?;
    if got.status() != StatusCode::SWITCHING_PROTOCOLS {
        let code = got.status();
        let body = Limited::new(got.into_body(), MAX_ERROR).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return Ok(text(code, body));
    }
    let mut answer = Response::new(serve::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    copy(got.headers(), answer.headers_mut(), passes);
    let (client, runtime) = (hyper::upgrade::on(&mut req), hyper::upgrade::on(&mut got));
    s.k.rt.spawn_until_stop("stream", async move {
        match futures::future::try_join(client, runtime).await {
            Ok((a, b)) => {
                let (mut a, mut b) = (TokioIo::new(a), TokioIo::new(b));
                if let Err(e) = tokio::io::copy_bidirectional(&mut a, &mut b).await {
                    tracing::debug!(error = %e, "stream ended");
                }
            }
            Err(e) => tracing::debug!(error = %e, "upgrading a stream failed"),
        }
    });
    Ok(answer)
}
