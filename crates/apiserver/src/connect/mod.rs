//! Requests that are passed on: logs, exec, attach and port-forward to a pod's kubelet, proxies to nodes, pods, services.
//!
//! An upgrade is passed on as it is, where the other side speaks what the client asks for: two connections are joined
//! byte for byte. `streaming` has the rest.

mod dial;
mod options;
mod rewrite;
mod streaming;
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
use meta::object::ObjectExt;
use meta::{Status, UserInfo, Value};
use rewrite::Rewrite;
use serve::{Body, BoxError, Peer};
use std::sync::Arc;
use streams::negotiate;
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

const PROXIED: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];

pub async fn connect(cx: Cx, req: Request<Input>) -> Result<Response<Body>> {
    options::admit(&cx, req.uri().query().unwrap_or("")).await?;
    let resource = cx.res.gvr.resource.clone();
    let streams = resource == "pods" && matches!(cx.subresource(), "exec" | "attach" | "portforward");
    // A GET with an upgrade does as much as a POST (AuthorizePodWebsocketUpgradeCreatePermission).
    if streams && cx.info.verb != "create" {
        crate::chain::require(&cx, "create")?;
    }
    let object = find(&cx).await?;
    let query = req.uri().query().unwrap_or("").to_owned();
    let server = &cx.server;
    let headers = req.headers();
    let target = match (resource.as_str(), cx.subresource()) {
        ("pods", "log") => {
            let t = target::log(&cx, &object, &query).await?;
            if negotiate::is_websocket(headers) {
                return streaming::log(server, req, t).await;
            }
            t
        }
        ("pods", "exec" | "attach") => {
            let (t, wanted) = target::command(&cx, &object, &query).await?;
            upgrade_required(headers)?;
            if !t.websockets && negotiate::wants_stream_close(headers) {
                return Ok(streaming::commands(server, req, t, wanted));
            }
            t
        }
        ("pods", "portforward") => {
            let t = target::port_forward(&cx, &object, &query).await?;
            upgrade_required(headers)?;
            if !t.websockets && !negotiate::tunnelled_protocols(headers).is_empty() {
                return streaming::tunnel(server, req, t).await;
            }
            t
        }
        (_, "proxy") => {
            if !PROXIED.contains(req.method()) {
                return Err(Status::method_not_allowed().into());
            }
            let plain =
                !negotiate::is_upgrade(headers) && matches!(*req.method(), Method::GET | Method::HEAD);
            // Links on a page without the slash would lead elsewhere.
            if plain && cx.info.subpath().is_empty() {
                let query = if query.is_empty() { query } else { format!("?{query}") };
                return respond::redirect(&format!("{}/{query}", cx.info.path));
            }
            match resource.as_str() {
                "pods" => target::pod(&cx, &object, &query)?,
                "nodes" => target::node(&cx, &object, &query)?,
                "services" => target::service(&cx, &object, &query).await?,
                _ => return Err(Status::no_such_resource().into()),
            }
        }
        _ => return Err(Status::no_such_resource().into()),
    };
    forward(server, req, target).await
}

fn upgrade_required(h: &HeaderMap) -> Result<()> {
    if negotiate::is_upgrade(h) && h.contains_key(header::UPGRADE) {
        return Ok(());
    }
    Err(Status::bad_request("Upgrade request required").into())
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

fn unreachable(e: impl std::fmt::Display) -> crate::Failure {
    Status::failure(meta::Reason::ServiceUnavailable, format!("error trying to reach service: {e}")).into()
}

fn dial_failure(e: impl std::fmt::Display) -> crate::Failure {
    Status::internal(format!("error dialing backend: {e}")).into()
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
    let method = if target.get { Method::GET } else { parts.method.clone() };
    let uri: Uri =
        target.uri.parse().map_err(|_| Status::bad_request(format!("{:?} is not a path", target.uri)))?;
    let rewrite = target.prefix.as_ref().map(|prefix| Rewrite {
        prefix: prefix.clone(),
        hosts: [target.host.clone(), asked_host(&parts).unwrap_or_else(|| target.host.clone())],
    });
    let mut onward = Request::builder().method(&method).uri(uri);
    if let Some(h) = onward.headers_mut() {
        copy_headers(&parts.headers, h, target.keep_credentials);
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(v) = http::HeaderValue::from_str(value) {
                h.insert(name, v);
            }
        };
        set(header::HOST, rewrite.as_ref().map_or(&target.host, |r| &r.hosts[1]));
        if let Some(ip) = parts.extensions.get::<Arc<Peer>>().and_then(|p| p.remote.ip()) {
            let before = parts.headers.get(&FORWARDED_FOR).and_then(|v| v.to_str().ok());
            set(FORWARDED_FOR, &before.map_or_else(|| ip.to_string(), |b| format!("{b}, {ip}")));
        }
        match (&upgrade, &rewrite) {
            (Some(u), _) => {
                h.insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
                h.insert(header::UPGRADE, u.clone());
            }
            (None, Some(r)) => {
                let path = target.uri.split('?').next().unwrap_or_default();
                set(FORWARDED_URI, &format!("{}{path}", r.prefix));
            }
            (None, None) => {}
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
    let failed = |e: String| -> crate::Failure {
        if upgrade.is_some() {
            dial_failure(e)
        } else if target.log {
            Status::internal(format!("Get \"https://{}{}\": {e}", target.address, target.uri)).into()
        } else {
            unreachable(e)
        }
    };
    let mut connection = Connection::open(server, &target).await.map_err(failed)?;
    let mut answer = connection.send(onward).await.map_err(failed)?;
    if let Some(near) = client_side {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            streaming::join(server, near, hyper::upgrade::on(&mut answer));
            return Ok(streaming::switching(answer.headers().clone()));
        }
        if answer.status().as_u16() < 400 {
            let what = format!("invalid upgrade response: status code {}", answer.status().as_u16());
            return Err(Status::internal(what).into());
        }
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
    let mut answer = Response::from_parts(parts, body);
    if let Some(r) = &rewrite {
        if answer.headers().contains_key(header::LOCATION) {
            r.location(answer.headers_mut());
        } else if method != Method::HEAD && is_html(answer.headers()) {
            return Ok(page(r, answer).await);
        }
    }
    Ok(answer)
}

/// The name by which the client asked.
fn asked_host(p: &http::request::Parts) -> Option<String> {
    let of_header = p.headers.get(header::HOST).and_then(|v| v.to_str().ok());
    of_header.or_else(|| p.uri.authority().map(http::uri::Authority::as_str)).map(str::to_owned)
}

fn is_html(h: &HeaderMap) -> bool {
    let kind = h.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim() == "text/html"
}

/// A page with its links rewritten. One that is too long, or breaks off, passes as far as it goes.
async fn page(r: &Rewrite, answer: Response<Body>) -> Response<Body> {
    let (mut parts, mut body) = answer.into_parts();
    let encoding = parts.headers.get(header::CONTENT_ENCODING).and_then(|v| v.to_str().ok());
    let encoding = encoding.unwrap_or_default().to_owned();
    let mut all = bytes::BytesMut::new();
    let whole = loop {
        match body.frame().await {
            None => break true,
            Some(Ok(f)) => all.extend_from_slice(f.data_ref().map_or(&[][..], |d| d)),
            Some(Err(_)) => break false,
        }
        if all.len() > rewrite::MAX_PAGE {
            break false;
        }
    };
    let all = all.freeze();
    if whole && let Some(new) = r.page(&encoding, &all) {
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, serve::full(new));
    }
    use futures::StreamExt;
    let first = futures::stream::iter([Ok::<_, BoxError>(http_body::Frame::data(all))]);
    let rest = http_body_util::BodyStream::new(body);
    let body = http_body_util::StreamBody::new(first.chain(rest)).boxed_unsync();
    Response::from_parts(parts, body)
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

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

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
