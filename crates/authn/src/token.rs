//! Where a request carries its bearer token (apiserver `pkg/authentication/request/{bearertoken,websocket}`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};

const WEBSOCKET_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// The token of the `Authorization` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, rest) = value.split_once(' ')?;
    let token = rest.split(' ').next().unwrap_or("");
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The token that a browser hides among the subprotocols of a WebSocket handshake. It counts only where another
/// protocol is offered, which the answer can name.
pub fn websocket(headers: &HeaderMap) -> Option<String> {
    let mut token = None;
    let mut others = 0;
    for p in protocols(headers) {
        match p.strip_prefix(WEBSOCKET_PREFIX) {
            None => others += 1,
            // Two tokens: no token.
            Some(_) if token.is_some() => return None,
            Some(t) => token = Some(t.to_owned()),
        }
    }
    if others == 0 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token?).ok()?;
    String::from_utf8(bytes).ok().filter(|t| !t.is_empty())
}

/// The offered subprotocols without the token.
pub fn websocket_protocols(headers: &HeaderMap) -> Vec<String> {
    protocols(headers).filter(|p| !p.starts_with(WEBSOCKET_PREFIX)).map(str::to_owned).collect()
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    all.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_bearers() {
        for (value, want) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc def", Some("abc")),
            (" BEARER abc ", Some("abc")),
            ("Bearer", None),
            ("Bearer  abc", None),
            ("Basic abc", None),
            ("", None),
        ] {
            let mut h = HeaderMap::new();
            h.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(bearer(&h), want, "{value:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn finds_websocket_tokens() {
        let token = format!("{WEBSOCKET_PREFIX}{}", URL_SAFE_NO_PAD.encode("t"));
        let mut h = HeaderMap::new();
        h.append(SEC_WEBSOCKET_PROTOCOL, token.parse().unwrap());
        assert_eq!(websocket(&h), None);
        h.append(SEC_WEBSOCKET_PROTOCOL, "v5.channel.k8s.io, v4.channel.k8s.io".parse().unwrap());
        assert_eq!(websocket(&h).as_deref(), Some("t"));
        assert_eq!(websocket_protocols(&h), ["v5.channel.k8s.io", "v4.channel.k8s.io"]);
        h.append(SEC_WEBSOCKET_PROTOCOL, token.parse().unwrap());
        assert_eq!(websocket(&h), None);
    }
}
