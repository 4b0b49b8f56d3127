//! Requests that are passed on: logs, exec, attach and port-forward to a pod's kubelet, proxies to nodes, pods, services.
//!
//! An upgrade is passed on as it is: the kubelet (and the container runtime behind it) speaks SPDY and WebSocket to the
//! client itself, and here two connections are joined byte for byte.

mod dial;
mod options;
pub(crate) mod target;

pub use dial::KubeletClient;
pub(crate) use dial::{Trust, client_config};

use crate::body::Input;
use crate::cx::Cx;
use crate::server::ApiServer;
use crate::{Result, object, respond};
use bytes::Bytes;
use dial::Connection;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use meta::object::ObjectExt;
use meta::{Status, UserInfo, Value};
use serve::{Body, BoxError};
use target::Target;

type Outgoing = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// Headers that are about one connection and not about the request (RFC 9110, 7.6.1), and those that only this server
/// may believe.
const HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub async fn connect(cx: Cx, req: Request<Input>) -> Result<Response<Body>> {
    options::admit(&cx, req.uri().query().unwrap_or("")).await?;
    let object = find(&cx).await?;
    let query = req.uri().query().unwrap_or("").to_owned();
    let resource = cx.res.gvr.resource.clone();
    let target = match (resource.as_str(), cx.subresource()) {
        ("pods", "log") => target::log(&cx, &object, &query).await?,
        ("pods", "exec" | "attach") => target::command(&cx, &object, &query).await?,
        ("pods", "portforward") => target::port_forward(&cx, &object, &query).await?,
        ("pods", "proxy") => target::pod(&cx, &object, &query)?,
        ("nodes", "proxy") => target::node(&cx, &object, &query)?,
        ("services", "proxy") => target::service(&cx, &object, &query).await?,
        _ => return Err(Status::no_such_resource().into()),
    };
    forward(&cx.server, req, target).await
}

/// The object in the path. Proxies name it as `[scheme:]name[:port]`.
async fn find(cx: &Cx) -> Result<Value> {
    let name = if cx.subresource() == "proxy" {
        target::split(&cx.info.name).1.to_owned()
    } else {
        cx.info.name.clone()
    };
    target::get(cx, "", &cx.res.gvr.resource, &cx.info.namespace, &name).await
}

fn bad_gateway(what: &str, e: impl std::fmt::Display) -> crate::Failure {
    Status::failure(meta::Reason::ServiceUnavailable, format!("error trying to reach {what}: {e}")).into()
}

/// Sends the request on and answers what comes back; joins the connections when both sides agree to an upgrade.
pub(crate) async fn forward(
    server: &ApiServer,
    mut req: Request<Input>,
    target: Target,
) -> Result<Response<Body>> {
    let upgrade = upgrade_of(req.headers());
    let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut req));
    let (parts, input) = req.into_parts();
    let mut onward = Request::builder().method(if target.get { Method::GET } else { parts.method });
    let uri: Uri =
        target.uri.parse().map_err(|_| Status::bad_request(format!("{:?} is not a path", target.uri)))?;
    onward = onward.uri(uri);
    if let Some(h) = onward.headers_mut() {
        copy_headers(&parts.headers, h, target.keep_credentials);
        if let Some(u) = &upgrade {
            h.insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
            h.insert(header::UPGRADE, u.clone());
        }
        if let Ok(v) = http::HeaderValue::from_str(&target.host) {
            h.insert(header::HOST, v);
        }
        if let Some(u) = &target.user {
            speak_for(u, h);
        }
    }
    let body: Outgoing = match input {
        Input::Bytes(b) => Full::new(b).map_err(|e| match e {}).boxed_unsync(),
        Input::Net(b) => b.map_err(|e| Box::new(e) as BoxError).boxed_unsync(),
    };
    let onward = onward.body(body).map_err(|e| Status::bad_request(e.to_string()))?;
    let mut connection =
        Connection::open(server, &target).await.map_err(|e| bad_gateway(&target.shown, e))?;
    let mut answer = connection.send(onward).await.map_err(|e| bad_gateway(&target.shown, e))?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client_side) = client_side
    {
        let far = hyper::upgrade::on(&mut answer);
        server.rt.spawn_until_stop("upgraded", async move {
            let (near, far) = match futures::future::join(client_side, far).await {
                (Ok(a), Ok(b)) => (a, b),
                (Err(e), _) | (_, Err(e)) => {
                    tracing::debug!("an upgrade came to nothing: {e}");
                    return;
                }
            };
            let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
            // Either side may go at any time: that is how these sessions end.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            drop(connection);
        });
        let mut r = respond::bytes(StatusCode::SWITCHING_PROTOCOLS, "", Bytes::new());
        *r.headers_mut() = answer.headers().clone();
        return Ok(r);
    }
    if target.log && !answer.status().is_success() {
        return Err(kubelet_failure(answer).await);
    }
    let (mut parts, body) = answer.into_parts();
    for h in HOP {
        parts.headers.remove(h);
    }
    // The connection lives as long as the body is read.
    let body = body.map_err(|e| Box::new(e) as BoxError);
    let body = dial::Held::new(body, connection).boxed_unsync();
    Ok(Response::from_parts(parts, body))
}

/// What a kubelet says in plain text, as a failure of the API.
async fn kubelet_failure(answer: Response<hyper::body::Incoming>) -> crate::Failure {
    const MOST: usize = 4096;
    let code = answer.status().as_u16();
    let body = http_body_util::Limited::new(answer.into_body(), MOST).collect().await;
    let text = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).trim().to_owned()).unwrap_or_default();
    let reason = match code {
        400 => meta::Reason::BadRequest,
        401 => meta::Reason::Unauthorized,
        403 => meta::Reason::Forbidden,
        404 => meta::Reason::NotFound,
        _ => meta::Reason::InternalError,
    };
    Status::failure(reason, text).into()
}

/// The protocol the client wants to change to.
fn upgrade_of(h: &HeaderMap) -> Option<http::HeaderValue> {
    let wants = h
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|t| t.trim().eq_ignore_ascii_case("upgrade"));
    wants.then(|| h.get(header::UPGRADE).cloned()).flatten()
}

/// Credentials are this server's business: they never go on, nor does what only it may say of a user.
fn copy_headers(from: &HeaderMap, to: &mut HeaderMap, keep_credentials: bool) {
    for (k, v) in from {
        let name = k.as_str();
        let secret = matches!(k, &header::AUTHORIZATION) && !keep_credentials;
        if HOP.contains(k)
            || secret
            || name.starts_with("x-remote-")
            || name.starts_with("impersonate-")
            || k == header::HOST
        {
            continue;
        }
        to.append(k.clone(), v.clone());
    }
}

/// Says in headers whom a request is for, to a server that believes this one's certificate.
fn speak_for(user: &UserInfo, to: &mut HeaderMap) {
    let mut add = |name: String, value: &str| {
        if let (Ok(n), Ok(v)) = (HeaderName::try_from(name), http::HeaderValue::from_str(value)) {
            to.append(n, v);
        }
    };
    add("x-remote-user".into(), &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid".into(), &user.uid);
    }
    for g in &user.groups {
        add("x-remote-group".into(), g);
    }
    for (k, values) in &user.extra {
        // Keys may hold what header names may not.
        let mut name = String::from("x-remote-extra-");
        for b in k.to_ascii_lowercase().bytes() {
            if b.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&b) {
                name.push(b as char);
            } else {
                name.push_str(&format!("%{b:02X}"));
            }
        }
        for v in values {
            add(name.clone(), v);
        }
    }
}

/// The node a pod is on.
fn node_name(pod: &Value) -> Result<String> {
    match pod.str_at("spec.nodeName") {
        "" => Err(Status::bad_request(format!("pod {} does not have a host assigned", pod.name())).into()),
        n => Ok(n.to_owned()),
    }
}

async fn decode(cx: &Cx, res: &crate::registry::ResourceInfo, key: &str) -> Result<Option<Value>> {
    match cx.server.store.cached().get(key) {
        Some(r) => object::decode(res, &r).await.map(Some),
        None => Ok(None),
    }
}
