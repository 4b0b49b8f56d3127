//! The session: a user's token, sealed into cookies that only the page of its own browser can have opened.
//!
//! The API server's token lives in cookies that no script can read, encrypted with a key that the server forgets at
//! once: the page keeps it (it is no token: without the cookies it opens nothing) and sends it with each request. So
//!
//! - a script in the page never sees the token, and what it steals is worth nothing elsewhere;
//! - cookies go to every port of a host, so another server there gets them: bytes it cannot open;
//! - a page of another site can make a browser send the cookies, but not the key, and so changes nothing (CSRF);
//! - nothing is kept here: a restart ends no session, and replicas need no common secret.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Carries the page's key.
pub const KEY: HeaderName = HeaderName::from_static("x-dashboard-key");
/// The key as a WebSocket subprotocol: a handshake has no headers of its own.
pub const KEY_PROTOCOL: &str = "key.dashboard.keelson.";
/// Bytes of the longest token that is taken. Those of identity providers that list groups are long.
pub const MAX_TOKEN: usize = 16 << 10;
/// Browsers keep cookies of 4096 bytes: name, value and attributes.
const PIECE: usize = 3_600;
const MAX_PIECES: usize = (MAX_TOKEN + 16).div_ceil(3) * 4 / PIECE + 1;
/// Set from a page that came over TLS: the browser then takes it from this very host only, for no other path.
const HOST_PREFIX: &str = "__Host-";

/// What opens one session's cookies.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// A new one; `None` when the system has no randomness to give.
    pub fn fresh() -> Option<Self> {
        let mut k = [0; 32];
        aws_lc_rs::rand::fill(&mut k).ok()?;
        Some(Self(k))
    }

    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The key of a request, from its header or its subprotocols.
    pub fn of(h: &HeaderMap) -> Option<Self> {
        if let Some(v) = h.get(&KEY) {
            return Self::parse(v.to_str().ok()?);
        }
        let mut asked = streams::negotiate::websocket_protocols(h).into_iter();
        Self::parse(asked.find_map(|p| p.strip_prefix(KEY_PROTOCOL))?)
    }

    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Names the session's cookies, so that dashboards on several ports of a host do not take each other's.
    fn id(&self) -> String {
        let sum = digest(&SHA256, &self.0);
        sum.as_ref().iter().take(6).map(|b| format!("{b:02x}")).collect()
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0).ok()?))
    }

    /// A key seals one token in its life, so the nonce need not differ.
    fn seal(&self, token: &str) -> Option<String> {
        let mut data = token.as_bytes().to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        self.cipher()?.seal_in_place_append_tag(nonce, Aad::empty(), &mut data).ok()?;
        Some(URL_SAFE_NO_PAD.encode(data))
    }

    fn open(&self, sealed: &str) -> Option<String> {
        let mut data = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let plain = self.cipher()?.open_in_place(nonce, Aad::empty(), &mut data).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

/// The cookies that keep a token. `None`: it is too long, or the system cannot encrypt.
pub fn cookies(key: &Key, token: &str, tls: bool) -> Option<Vec<HeaderValue>> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let sealed = key.seal(token)?;
    let mut out = Vec::new();
    for (n, piece) in sealed.as_bytes().chunks(PIECE).enumerate() {
        let piece = std::str::from_utf8(piece).ok()?;
        out.push(cookie(&name(key, n, tls), piece, "")?);
    }
    Some(out)
}

/// Takes back the cookies of a session that came with a request.
pub fn removal(key: &Key, h: &HeaderMap) -> Vec<HeaderValue> {
    let id = key.id();
    let mine = |n: &&str| {
        let rest = n.strip_prefix(HOST_PREFIX).unwrap_or(n);
        rest.strip_prefix("keelson-").and_then(|r| r.split_once('-')).is_some_and(|(i, _)| i == id)
    };
    pairs(h).map(|(n, _)| n).filter(mine).filter_map(|n| cookie(n, "", "; Max-Age=0")).collect()
}

/// The token of a request's session: its cookies opened with its key. It may be empty, where the API asks for none.
pub fn token(h: &HeaderMap) -> Option<String> {
    let key = Key::of(h)?;
    let sealed = |tls: bool| {
        let mut all = String::new();
        for n in 0..MAX_PIECES {
            let name = name(&key, n, tls);
            match pairs(h).find(|(k, _)| *k == name) {
                Some((_, v)) => all.push_str(v),
                None => break,
            }
        }
        (!all.is_empty()).then_some(all)
    };
    [true, false].into_iter().find_map(|tls| key.open(&sealed(tls)?))
}

fn name(key: &Key, n: usize, tls: bool) -> String {
    format!("{}keelson-{}-{n}", if tls { HOST_PREFIX } else { "" }, key.id())
}

/// `Secure` also without TLS: browsers take a loopback address for secure, and elsewhere it should not be sent.
fn cookie(name: &str, value: &str, more: &str) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{more}");
    let mut v = HeaderValue::from_str(&text).ok()?;
    v.set_sensitive(true);
    Some(v)
}

fn pairs(h: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let all = h.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(';')).filter_map(|p| p.trim().split_once('='))
}
