//! Which requests are let in, with what they are sent on, and the headers every answer gets. No IO.

use crate::session;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, uri::Authority};

/// The subprotocol of [`crate::bridge`].
pub const STREAM_PROTOCOL: &str = "stream.dashboard.keelson";

/// Streams of tables: a WebSocket's handshake cannot say what it accepts.
pub const TABLE_PREFIX: &str = "/stream-table";
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// What every page may do; the page itself may in addition use the style sheets that its scripts make (`nonce`).
const POLICY: &str = "default-src 'none'; script-src 'self'; img-src 'self' data:; font-src 'self'; \
connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
style-src 'self'";

/// What goes on to the API server of a request's headers; nothing else does.
const FORWARDED: &[&str] = &["accept", "accept-language", "content-type", "if-match", "if-none-match"];

/// What comes back of an answer's.
const RETURNED: &[&str] = &[
    "content-type",
    "warning",
    "retry-after",
    "etag",
    "audit-id",
    "x-kubernetes-pf-flowschema-uid",
    "x-kubernetes-pf-prioritylevel-uid",
];

/// Why a request is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no token: log in first")]
    NoToken,
    #[error("the request comes from a page of another site")]
    OtherSite,
    #[error("the request does not say which page it comes from")]
    NoOrigin,
    #[error("over plain HTTP the token could be read on its way: open the dashboard with https://")]
    Plain,
    #[error(
        "the dashboard does not open what runs in the cluster (the proxy subresource): use kubectl proxy or port-forward"
    )]
    NoProxying,
    #[error("the method is not one that the API server has")]
    Method,
}

/// Whether a path is the API server's.
pub fn is_api(path: &str) -> bool {
    let under = |root: &str| path.strip_prefix(root).is_some_and(|r| r.is_empty() || r.starts_with('/'));
    ["/api", "/apis", "/version", "/openapi", "/livez", "/readyz"].into_iter().any(under)
}

/// The API server's path behind one of a stream.
pub fn stream_target(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(TABLE_PREFIX).or_else(|| path.strip_prefix("/stream"));
    rest.filter(|p| is_api(p))
}

/// Judges a request for the API server; the answer is what it is authorized with, nothing where the API asks for none.
pub fn admit(method: &Method, path: &str, h: &HeaderMap) -> Result<Option<HeaderValue>, Refused> {
    if !matches!(
        *method,
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    ) {
        return Err(Refused::Method);
    }
    same_site(h)?;
    if is_proxying(path) {
        return Err(Refused::NoProxying);
    }
    token(h)
}

/// Pages of other sites are kept out twice: they have no key, and their requests say where they come from.
pub fn same_site(h: &HeaderMap) -> Result<(), Refused> {
    if h.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(Refused::OtherSite);
    }
    let Some(origin) = h.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, a)| a);
    let is = |name: &HeaderName| h.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    let host = is(&HeaderName::from_static("x-forwarded-host")).or_else(|| is(&header::HOST));
    let parse = |s: &str| s.parse::<Authority>().ok().map(|a| a.as_str().to_ascii_lowercase());
    match (origin, host) {
        (Some(o), Some(host)) if parse(o).is_some() && parse(o) == parse(host) => Ok(()),
        // HTTP/2 has no Host; browsers that speak it have said Sec-Fetch-Site.
        (Some(_), None) if h.contains_key("sec-fetch-site") => Ok(()),
        _ => Err(Refused::OtherSite),
    }
}

/// Whether the page that a login comes from was fetched over TLS. Without, it must be on this very machine.
pub fn came_by_tls(h: &HeaderMap) -> Result<bool, Refused> {
    let origin = h.get(header::ORIGIN).and_then(|o| o.to_str().ok()).ok_or(Refused::NoOrigin)?;
    if origin.starts_with("https://") {
        return Ok(true);
    }
    let authority = origin.strip_prefix("http://").and_then(|a| a.parse::<Authority>().ok());
    let authority = authority.ok_or(Refused::OtherSite)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if here { Ok(false) } else { Err(Refused::Plain) }
}

/// `…/{pods,services,nodes}/NAME/proxy`: pages that anybody in the cluster writes must not come from this origin.
fn is_proxying(path: &str) -> bool {
    let decoded: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(percent_decode).collect();
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let ["api", _, rest @ ..] = segments.as_slice() else { return false };
    let rest = match rest {
        ["namespaces", _, more @ ..] if !more.is_empty() => more,
        all => all,
    };
    matches!(rest, [_, _, "proxy", ..] | ["proxy", ..])
}

fn percent_decode(s: &str) -> String {
    let mut out = Vec::with_capacity(s.len());
    let mut bytes = s.bytes();
    while let Some(b) = bytes.next() {
        let hex = |c: Option<u8>| c.and_then(|c| char::from(c).to_digit(16));
        if b == b'%' {
            let mut ahead = bytes.clone();
            if let (Some(a), Some(c)) = (hex(ahead.next()), hex(ahead.next())) {
                out.push(u8::try_from(a * 16 + c).unwrap_or(b'?'));
                bytes = ahead;
                continue;
            }
        }
        out.push(b);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The user's token: of the session, or a bearer token as scripts send it (a browser sends only `Basic` by itself).
fn token(h: &HeaderMap) -> Result<Option<HeaderValue>, Refused> {
    if let Some(given) = h.get(header::AUTHORIZATION) {
        let given = given.to_str().ok().and_then(|t| t.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        return given.and_then(|(_, t)| bearer(t.trim())).map(Some).ok_or(Refused::NoToken);
    }
    let token = session::token(h).ok_or(Refused::NoToken)?;
    // Any page may open a WebSocket anywhere, and the browser sends cookies along.
    if streams::negotiate::is_websocket(h) && !h.contains_key(header::ORIGIN) {
        return Err(Refused::NoOrigin);
    }
    if token.is_empty() { Ok(None) } else { bearer(&token).map(Some).ok_or(Refused::NoToken) }
}

/// A token as a header; `None` if it cannot be one.
pub fn bearer(token: &str) -> Option<HeaderValue> {
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let mut v = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    v.set_sensitive(true);
    Some(v)
}

fn pick(from: &HeaderMap, names: &[&'static str], to: &mut HeaderMap) {
    for n in names {
        for v in from.get_all(*n) {
            to.append(HeaderName::from_static(n), v.clone());
        }
    }
}

/// The headers of a request as it is sent on.
pub fn forwarded(h: &HeaderMap, token: Option<HeaderValue>) -> HeaderMap {
    let mut out = HeaderMap::new();
    pick(h, FORWARDED, &mut out);
    if let Some(token) = token {
        out.insert(header::AUTHORIZATION, token);
    }
    out
}

/// The subprotocols that are asked of the API server: without the session's key.
pub fn plain_protocols(h: &HeaderMap) -> Vec<&str> {
    let mut all = streams::negotiate::websocket_protocols(h);
    all.retain(|p| !p.starts_with(session::KEY_PROTOCOL));
    all
}

/// The headers of an answer as it is given back.
pub fn returned(h: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    pick(h, RETURNED, &mut out);
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    out
}

/// What came from the API server is data: opened as a page it can do nothing.
pub fn sandbox(h: &mut HeaderMap) {
    h.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'"),
    );
}

/// The policy of the page: style sheets that carry this word are its own.
pub fn page_policy(h: &mut HeaderMap, nonce: &str) {
    if let Ok(v) = HeaderValue::from_str(&format!("{POLICY} 'nonce-{nonce}'")) {
        h.insert(header::CONTENT_SECURITY_POLICY, v);
    }
}

/// The headers of every answer.
pub fn secure(h: &mut HeaderMap) {
    if !h.contains_key(header::CONTENT_SECURITY_POLICY) {
        h.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), clipboard-write=(self)",
        ),
    ] {
        h.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}
