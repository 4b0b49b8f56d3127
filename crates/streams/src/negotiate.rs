//! The headers by which two sides agree on SPDY or WebSocket and on what is spoken inside. No IO.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use std::fmt::Write as _;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

pub const SPDY: &str = "SPDY/3.1";
/// The subprotocol of SPDY in WebSocket: this and what SPDY carries.
pub const TUNNEL: &str = "SPDY/3.1+";
pub const PORT_FORWARD: &str = "portforward.k8s.io";
pub const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
pub const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// Remote commands over SPDY, best first.
pub const COMMAND_PROTOCOLS: &[&str] =
    &["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io"];

/// Why there is no upgrade: what to answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub status: StatusCode,
    pub text: String,
}

fn refuse<T>(status: StatusCode, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, text: text.into() })
}

fn contains(h: &HeaderMap, name: HeaderName, what: &str) -> bool {
    h.get_all(name)
        .iter()
        .any(|v| v.as_bytes().windows(what.len()).any(|w| w.eq_ignore_ascii_case(what.as_bytes())))
}

/// A header's values, each split at commas.
fn list(h: &HeaderMap, name: HeaderName) -> Vec<&str> {
    let values = h.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(str::trim).filter(|p| !p.is_empty()).collect()
}

/// Whether a request or an answer is about changing the protocol.
pub fn is_upgrade(h: &HeaderMap) -> bool {
    contains(h, header::CONNECTION, "upgrade")
}
pub fn is_websocket(h: &HeaderMap) -> bool {
    is_upgrade(h) && h.get(header::UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
pub fn is_spdy(h: &HeaderMap) -> bool {
    is_upgrade(h) && contains(h, header::UPGRADE, SPDY)
}
pub fn websocket_protocols(h: &HeaderMap) -> Vec<&str> {
    list(h, header::SEC_WEBSOCKET_PROTOCOL)
}
/// Asks for WebSocket with channels that can be closed one by one: what container runtimes do not speak.
pub fn wants_stream_close(h: &HeaderMap) -> bool {
    is_websocket(h) && websocket_protocols(h).contains(&"v5.channel.k8s.io")
}
/// The protocols that a client wants to speak over SPDY in WebSocket.
pub fn tunnelled_protocols(h: &HeaderMap) -> Vec<&str> {
    if !is_websocket(h) {
        return Vec::new();
    }
    let wanted = websocket_protocols(h).into_iter();
    wanted.filter(|p| p.ends_with(".k8s.io")).filter_map(|p| p.strip_prefix(TUNNEL)).collect()
}

fn set(h: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(v) = HeaderValue::from_str(value) {
        h.insert(name, v);
    }
}

/// What a server answers (with 101) to a request for a WebSocket, and the subprotocol: the client's first that is
/// supported. The empty name in `supported` stands for none asked for.
pub fn accept_websocket(h: &HeaderMap, supported: &[&str]) -> Result<(String, HeaderMap), Refusal> {
    if !is_websocket(h) {
        return refuse(StatusCode::BAD_REQUEST, "not websocket protocol");
    }
    let Some(key) = h.get(header::SEC_WEBSOCKET_KEY) else {
        return refuse(StatusCode::BAD_REQUEST, "mismatch challenge/response");
    };
    if h.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return refuse(StatusCode::BAD_REQUEST, "missing or bad WebSocket Version");
    }
    let wanted = websocket_protocols(h);
    let chosen = if wanted.is_empty() { supported.iter().find(|p| p.is_empty()) } else { None };
    let chosen = chosen.or_else(|| wanted.iter().find(|p| supported.contains(p)));
    let Some(chosen) = chosen else {
        let text = format!("requested protocol(s) are not supported: {wanted:?}; supports {supported:?}");
        return refuse(StatusCode::FORBIDDEN, text);
    };
    let mut out = HeaderMap::new();
    set(&mut out, header::CONNECTION, "Upgrade");
    set(&mut out, header::UPGRADE, "websocket");
    set(&mut out, header::SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes()));
    if !chosen.is_empty() {
        set(&mut out, header::SEC_WEBSOCKET_PROTOCOL, chosen);
    }
    Ok(((*chosen).to_owned(), out))
}

/// What a server answers (with 101) to a request for SPDY, and the protocol: the client's first that is supported.
pub fn accept_spdy(h: &HeaderMap, supported: &[&str]) -> Result<(String, HeaderMap), Refusal> {
    if !is_spdy(h) {
        return refuse(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request");
    }
    let wanted = list(h, STREAM_PROTOCOL);
    if wanted.is_empty() {
        let text = "unable to upgrade: header X-Stream-Protocol-Version does not exist in request";
        return refuse(StatusCode::BAD_REQUEST, text);
    }
    let Some(chosen) = wanted.iter().find(|p| supported.contains(p)) else {
        let text = format!(
            "unable to upgrade: unable to negotiate protocol: client supports {wanted:?}, server accepts {supported:?}"
        );
        return refuse(StatusCode::FORBIDDEN, text);
    };
    let mut out = HeaderMap::new();
    set(&mut out, header::CONNECTION, "Upgrade");
    set(&mut out, header::UPGRADE, SPDY);
    set(&mut out, STREAM_PROTOCOL, chosen);
    Ok(((*chosen).to_owned(), out))
}

/// Turns a request for a tunnel into one for the SPDY inside.
pub fn tunnel_to_spdy(h: &mut HeaderMap) {
    let inner: Vec<String> = tunnelled_protocols(h).into_iter().map(str::to_owned).collect();
    drop_websocket(h);
    ask_spdy(h, inner.iter().map(String::as_str));
}

/// Takes the headers of a WebSocket handshake away.
pub fn drop_websocket(h: &mut HeaderMap) {
    for n in [
        header::SEC_WEBSOCKET_PROTOCOL,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::UPGRADE,
        header::CONNECTION,
        STREAM_PROTOCOL,
    ] {
        h.remove(n);
    }
}

pub fn ask_spdy<'a>(h: &mut HeaderMap, protocols: impl IntoIterator<Item = &'a str>) {
    set(h, header::CONNECTION, "Upgrade");
    set(h, header::UPGRADE, SPDY);
    h.remove(STREAM_PROTOCOL);
    for p in protocols {
        if let Ok(v) = HeaderValue::from_str(p) {
            h.append(STREAM_PROTOCOL, v);
        }
    }
}

/// A request for SPDY.
pub fn spdy_request<B: Default>(path: &str, protocols: &[&str]) -> Result<Request<B>, http::Error> {
    let mut r = Request::builder().method(Method::POST).uri(path).body(B::default())?;
    ask_spdy(r.headers_mut(), protocols.iter().copied());
    set(r.headers_mut(), header::CONTENT_LENGTH, "0");
    Ok(r)
}

/// A request for a WebSocket.
pub fn websocket_request<B: Default>(path: &str, protocols: &[&str]) -> Result<Request<B>, http::Error> {
    let mut r = Request::builder().method(Method::GET).uri(path).body(B::default())?;
    let h = r.headers_mut();
    set(h, header::CONNECTION, "Upgrade");
    set(h, header::UPGRADE, "websocket");
    set(h, header::SEC_WEBSOCKET_KEY, &generate_key());
    set(h, header::SEC_WEBSOCKET_VERSION, "13");
    let mut all = String::new();
    for p in protocols {
        let _ = write!(all, "{}{p}", if all.is_empty() { "" } else { ", " });
    }
    if !all.is_empty() {
        set(h, header::SEC_WEBSOCKET_PROTOCOL, &all);
    }
    Ok(r)
}

/// What a client makes of the answer 101 to [`websocket_request`]: the subprotocol.
pub fn websocket_answer(asked: &HeaderMap, answer: &HeaderMap) -> Result<String, String> {
    if !is_websocket(answer) {
        return Err("unable to upgrade connection: it is no websocket".into());
    }
    let key = asked.get(header::SEC_WEBSOCKET_KEY).map(|k| derive_accept_key(k.as_bytes()));
    let accept = answer.get(header::SEC_WEBSOCKET_ACCEPT).and_then(|v| v.to_str().ok());
    if accept != key.as_deref() {
        return Err("websocket: bad handshake: the answer is not to this request".into());
    }
    let got = answer.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|v| v.to_str().ok()).unwrap_or("").trim();
    let wanted = websocket_protocols(asked);
    if got.is_empty() && wanted.is_empty() || wanted.contains(&got) {
        return Ok(got.to_owned());
    }
    Err(format!("invalid protocol, expected one of {wanted:?}, got {got:?}"))
}

/// What a client makes of the answer 101 to [`spdy_request`]: the protocol, empty if the server did not say.
pub fn spdy_answer(asked: &HeaderMap, answer: &HeaderMap) -> Result<String, String> {
    if !is_spdy(answer) {
        return Err("unable to upgrade connection: missing upgrade headers in response".into());
    }
    let got = answer.get(STREAM_PROTOCOL).and_then(|v| v.to_str().ok()).unwrap_or("").trim();
    let wanted = list(asked, STREAM_PROTOCOL);
    if got.is_empty() || wanted.contains(&got) {
        return Ok(got.to_owned());
    }
    Err(format!("unable to negotiate protocol: client supports {wanted:?}, server returned {got:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn headers(text: &str) -> HeaderMap {
        let mut h = HeaderMap::new();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (k, v) = line.split_once(": ").unwrap();
            h.append(HeaderName::try_from(k).unwrap(), v.parse().unwrap());
        }
        h
    }
    fn show(r: &Result<(String, HeaderMap), Refusal>) -> String {
        match r {
            Err(e) => format!("{} {}", e.status.as_u16(), e.text),
            Ok((p, h)) => {
                let mut lines: Vec<_> =
                    h.iter().map(|(k, v)| format!("{k}: {}", v.to_str().unwrap())).collect();
                lines.sort();
                format!("{p:?}\n{}", lines.join("\n"))
            }
        }
    }
    fn websocket(extra: &str, want: Expect) {
        let all = format!(
            "connection: keep-alive, Upgrade\nupgrade: WebSocket\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\n{extra}"
        );
        want.assert_eq(&show(&accept_websocket(
            &headers(&all),
            &["", "v4.channel.k8s.io", "v5.channel.k8s.io"],
        )));
    }

    #[test]
    fn websockets_are_accepted() {
        websocket(
            "sec-websocket-version: 13\nsec-websocket-protocol: x, v5.channel.k8s.io\nsec-websocket-protocol: v4.channel.k8s.io",
            expect![[r#"
                "v5.channel.k8s.io"
                connection: Upgrade
                sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
                sec-websocket-protocol: v5.channel.k8s.io
                upgrade: websocket"#]],
        );
        websocket(
            "sec-websocket-version: 13",
            expect![[r#"
                ""
                connection: Upgrade
                sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
                upgrade: websocket"#]],
        );
        websocket(
            "sec-websocket-version: 13\nsec-websocket-protocol: x",
            expect![[
                r#"403 requested protocol(s) are not supported: ["x"]; supports ["", "v4.channel.k8s.io", "v5.channel.k8s.io"]"#
            ]],
        );
        websocket("sec-websocket-version: 8", expect!["400 missing or bad WebSocket Version"]);
    }

    #[test]
    fn spdy_is_accepted() {
        let check = |text: &str, want: Expect| {
            want.assert_eq(&show(&accept_spdy(&headers(text), &["v4.channel.k8s.io"])));
        };
        check(
            "connection: Upgrade\nupgrade: SPDY/3.1\nx-stream-protocol-version: v5.channel.k8s.io\nx-stream-protocol-version: v4.channel.k8s.io",
            expect![[r#"
                "v4.channel.k8s.io"
                connection: Upgrade
                upgrade: SPDY/3.1
                x-stream-protocol-version: v4.channel.k8s.io"#]],
        );
        check(
            "connection: Upgrade\nupgrade: SPDY/3.1\nx-stream-protocol-version: v5.channel.k8s.io",
            expect![[
                r#"403 unable to upgrade: unable to negotiate protocol: client supports ["v5.channel.k8s.io"], server accepts ["v4.channel.k8s.io"]"#
            ]],
        );
        check(
            "connection: Upgrade\nupgrade: SPDY/3.1",
            expect!["400 unable to upgrade: header X-Stream-Protocol-Version does not exist in request"],
        );
        check("upgrade: SPDY/3.1", expect!["400 unable to upgrade: missing upgrade headers in request"]);
    }

    #[test]
    fn tunnels_are_unwrapped() {
        let mut h = headers(
            "connection: Upgrade\nupgrade: websocket\nsec-websocket-key: x\nsec-websocket-version: 13\nsec-websocket-protocol: SPDY/3.1+portforward.k8s.io\nuser-agent: u",
        );
        assert_eq!(tunnelled_protocols(&h), ["portforward.k8s.io"]);
        tunnel_to_spdy(&mut h);
        let mut lines: Vec<_> = h.iter().map(|(k, v)| format!("{k}: {}", v.to_str().unwrap())).collect();
        lines.sort();
        let want = [
            "connection: Upgrade",
            "upgrade: SPDY/3.1",
            "user-agent: u",
            "x-stream-protocol-version: portforward.k8s.io",
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn a_client_checks_the_answer() {
        let asked = websocket_request::<()>("/x?y=1", &["v5.channel.k8s.io"]).unwrap();
        let (p, answer) = accept_websocket(asked.headers(), &["v5.channel.k8s.io"]).unwrap();
        assert_eq!(p, "v5.channel.k8s.io");
        assert_eq!(websocket_answer(asked.headers(), &answer), Ok(p));
        let other = websocket_request::<()>("/x", &["v5.channel.k8s.io"]).unwrap();
        assert!(websocket_answer(other.headers(), &answer).is_err());
    }
}
