//! Which requests are let in, with what they are sent on, and the headers every answer gets. No IO.

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, uri::Authority};

/// Carries the token where something on the way takes `Authorization` away (the API server's own proxy does).
pub const TOKEN: HeaderName = HeaderName::from_static("x-dashboard-authorization");
/// The token as a WebSocket subprotocol, as the API server takes it.
pub const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
/// The same under a name that the API server's proxy leaves alone.
pub const OWN_BEARER_PROTOCOL: &str = "base64url.bearer.dashboard.keelson.";
/// The subprotocol of [`crate::bridge`].
pub const STREAM_PROTOCOL: &str = "stream.dashboard.keelson";

/// Streams of tables: a WebSocket's handshake cannot say what it accepts.
pub const TABLE_PREFIX: &str = "/stream-table";
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

const SCRIPT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
frame-ancestors 'none'";

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

/// Judges a request for the API server; the answer is its token.
pub fn admit(method: &Method, path: &str, h: &HeaderMap) -> Result<HeaderValue, Refused> {
    if !matches!(
        *method,
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    ) {
        return Err(Refused::Method);
    }
    if !same_site(h) {
        return Err(Refused::OtherSite);
    }
    if is_proxying(path) {
        return Err(Refused::NoProxying);
    }
    token(h).ok_or(Refused::NoToken)
}

/// Pages of other sites are kept out twice: they have no token, and their requests say where they come from.
fn same_site(h: &HeaderMap) -> bool {
    if let Some(site) = h.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = h.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, a)| a);
    let is = |name: &HeaderName| h.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    match (origin, is(&HeaderName::from_static("x-forwarded-host")).or_else(|| is(&header::HOST))) {
        (Some(o), Some(host)) => {
            let parse = |s: &str| s.parse::<Authority>().ok().map(|a| a.as_str().to_ascii_lowercase());
            parse(o).is_some() && parse(o) == parse(host)
        }
        // HTTP/2 has no Host; browsers that speak it send Sec-Fetch-Site.
        _ => false,
    }
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

/// The user's token, as an `Authorization` header. Only bearer tokens: a browser sends `Basic` by itself.
fn token(h: &HeaderMap) -> Option<HeaderValue> {
    let bearer = |v: &HeaderValue| {
        let t = v.to_str().ok()?;
        let (scheme, token) = t.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| secret(token.trim()))?
    };
    let given = h.get(&TOKEN).and_then(bearer).or_else(|| h.get(header::AUTHORIZATION).and_then(bearer));
    given.or_else(|| {
        let encoded = streams::negotiate::websocket_protocols(h)
            .into_iter()
            .find_map(|p| p.strip_prefix(OWN_BEARER_PROTOCOL).or_else(|| p.strip_prefix(BEARER_PROTOCOL)))?;
        let raw = URL_SAFE_NO_PAD.decode(encoded).or_else(|_| URL_SAFE.decode(encoded)).ok()?;
        let text = String::from_utf8(raw).ok().filter(|t| !t.is_empty())?;
        secret(&text)
    })
}

fn secret(token: &str) -> Option<HeaderValue> {
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
pub fn forwarded(h: &HeaderMap, token: HeaderValue) -> HeaderMap {
    let mut out = HeaderMap::new();
    pick(h, FORWARDED, &mut out);
    out.insert(header::AUTHORIZATION, token);
    out
}

/// The subprotocols that are asked of the API server: without tokens.
pub fn plain_protocols(h: &HeaderMap) -> Vec<&str> {
    let mut all = streams::negotiate::websocket_protocols(h);
    all.retain(|p| !p.starts_with(BEARER_PROTOCOL) && !p.starts_with(OWN_BEARER_PROTOCOL));
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

/// The headers of every answer.
pub fn secure(h: &mut HeaderMap) {
    if !h.contains_key(header::CONTENT_SECURITY_POLICY) {
        h.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SCRIPT_POLICY));
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
