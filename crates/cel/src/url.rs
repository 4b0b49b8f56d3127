//! URLs, as Go's `net/url` takes them apart (apiserver `pkg/cel/library/urls.go`).

use crate::Value;
use crate::eval::{Eval, EvalError};
use crate::value::{Key, Opaque};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    host: String,
    /// As it stands in paths sent to servers.
    escaped_path: String,
    query: String,
    text: String,
}

/// Where something stands in a URL: each place lets other characters be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Host,
    Query,
}

fn unreserved(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'~')
}

fn unescape(s: &str, place: Place) -> Result<Vec<u8>, String> {
    let b = s.as_bytes();
    let mut out = Vec::with_capacity(b.len());
    let mut i = 0;
    while i < b.len() {
        match b[i] {
            b'%' => {
                let hex = s.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
                let ok = b.get(i + 1).is_some_and(u8::is_ascii_hexdigit);
                match hex.filter(|_| ok) {
                    Some(c) => out.push(c),
                    None => {
                        let bad: String = s[i..].chars().take(3).collect();
                        return Err(format!("invalid URL escape {}", meta::field::quote(&bad)));
                    }
                }
                i += 3;
            }
            b'+' if place == Place::Query => {
                out.push(b' ');
                i += 1;
            }
            c if place == Place::Host
                && c < 0x80
                && !unreserved(c)
                && !b"!$&'()*+,;=:[]<>\"".contains(&c) =>
            {
                let bad = meta::field::quote(&char::from(c).to_string());
                return Err(format!("invalid character {bad} in host name"));
            }
            c => {
                out.push(c);
                i += 1;
            }
        }
    }
    Ok(out)
}

/// Whether the path may stand as it is.
fn valid_path(s: &str) -> bool {
    s.bytes().all(|c| unreserved(c) || b"!$&'()*+,;=:@[]/%".contains(&c))
}

fn escape_path(b: &[u8]) -> String {
    let mut out = String::new();
    for c in b {
        if unreserved(*c) || b"$&+,/:;=@".contains(c) {
            out.push(char::from(*c));
        } else {
            out.push_str(&format!("%{c:02X}"));
        }
    }
    out
}

impl Url {
    /// Parses an absolute URL or a path, as `ParseRequestURI` does; a fragment is cut off.
    pub fn parse(s: &str) -> Result<Self, String> {
        let fail = |why: &str| Err(format!("parse {}: {why}", meta::field::quote(s)));
        if s.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return fail("net/url: invalid control character in URL");
        }
        if s.is_empty() {
            return fail("empty url");
        }
        let strict = Self::with(s, true);
        let got = strict.and_then(|_| Self::with(s.split_once('#').map_or(s, |(u, _)| u), false));
        match got {
            Ok(mut u) => {
                s.clone_into(&mut u.text);
                Ok(u)
            }
            Err(e) => fail(&e),
        }
    }

    fn with(s: &str, request: bool) -> Result<Self, String> {
        let mut scheme = String::new();
        let mut rest = s;
        for (i, c) in s.char_indices() {
            match c {
                'a'..='z' | 'A'..='Z' => {}
                '0'..='9' | '+' | '-' | '.' if i > 0 => {}
                ':' if i == 0 => return Err("missing protocol scheme".to_owned()),
                ':' => {
                    scheme = s[..i].to_ascii_lowercase();
                    rest = &s[i + 1..];
                    break;
                }
                _ => break,
            }
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        rest = path;
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                // Something like mailto:x, which has no path.
                return Ok(Self {
                    scheme,
                    host: String::new(),
                    escaped_path: String::new(),
                    query: query.to_owned(),
                    text: String::new(),
                });
            }
            if request {
                return Err("invalid URI for request".to_owned());
            }
            if rest.split('/').next().is_some_and(|p| p.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let mut host = String::new();
        if (!scheme.is_empty() || (!request && !rest.starts_with("///"))) && rest.starts_with("//") {
            let after = &rest[2..];
            let (authority, path) = match after.find('/') {
                Some(i) => (&after[..i], &after[i..]),
                None => (after, ""),
            };
            rest = path;
            host = Self::host_of(authority)?;
        }
        let decoded = unescape(rest, Place::Path)?;
        let escaped_path = if rest.is_empty() || (valid_path(rest)) {
            rest.to_owned()
        } else if decoded == b"*" {
            "*".to_owned()
        } else {
            escape_path(&decoded)
        };
        Ok(Self { scheme, host, escaped_path, query: query.to_owned(), text: String::new() })
    }

    fn host_of(authority: &str) -> Result<String, String> {
        let host = match authority.rsplit_once('@') {
            Some((user, h)) => {
                if !user.bytes().all(|c| unreserved(c) || b"!$&'()*+,;=:%@".contains(&c)) {
                    return Err("net/url: invalid userinfo".to_owned());
                }
                h
            }
            None => authority,
        };
        let port = |p: &str| -> Result<(), String> {
            let ok =
                p.is_empty() || p.strip_prefix(':').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
            if ok { Ok(()) } else { Err(format!("invalid port {} after host", meta::field::quote(p))) }
        };
        if host.starts_with('[') {
            let end = host.rfind(']').ok_or("missing ']' in host")?;
            port(&host[end + 1..])?;
        } else if let Some(i) = host.rfind(':') {
            port(&host[i..])?;
        }
        let bytes = unescape(host, Place::Host)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn hostname(&self) -> (&str, &str) {
        let (mut name, mut port) = (self.host.as_str(), "");
        if let Some(i) = name.rfind(':')
            && name[i + 1..].bytes().all(|b| b.is_ascii_digit())
        {
            port = &name[i + 1..];
            name = &name[..i];
        }
        if let Some(inner) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            name = inner;
        }
        (name, port)
    }

    fn query_map(&self) -> Value {
        let mut out: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
        for pair in self.query.split('&').filter(|p| !p.is_empty() && !p.contains(';')) {
            let (k, v) = pair.split_once('=').unwrap_or((pair, ""));
            let text = |s: &str| unescape(s, Place::Query).map(|b| String::from_utf8_lossy(&b).into_owned());
            let (Ok(k), Ok(v)) = (text(k), text(v)) else { continue };
            out.entry(k.into()).or_default().push(v.into());
        }
        out.into_iter().map(|(k, v)| (Key::String(k), v.into())).collect::<BTreeMap<_, _>>().into()
    }

    /// `getHost` and the like.
    pub fn part(&self, f: &str) -> Option<Value> {
        Some(match f {
            "getScheme" => self.scheme.clone().into(),
            "getHost" => self.host.clone().into(),
            "getHostname" => self.hostname().0.into(),
            "getPort" => self.hostname().1.into(),
            "getEscapedPath" => self.escaped_path.clone().into(),
            "getQuery" => self.query_map(),
            _ => return None,
        })
    }
}

pub fn parse_call(f: &str, s: &str) -> Option<Eval> {
    Some(match f {
        "url" => Url::parse(s)
            .map(|u| Opaque::Url(u).into())
            .map_err(|e| EvalError::new(format!("URL parse error during conversion from string: {e}"))),
        "isURL" => Ok(Value::Bool(Url::parse(s).is_ok())),
        _ => return None,
    })
}
