//! What a proxied answer says of places is made to lead back through the proxy: `Location` headers and the links of
//! HTML (apimachinery `pkg/util/proxy/transport.go`). Only links are changed; all else of a page stays as it is.

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{DeflateDecoder, GzDecoder};
use flate2::write::{DeflateEncoder, GzEncoder};
use http::header::{self, HeaderMap, HeaderValue};
use std::io::{Read, Write};

/// Bytes of a page; a longer one passes as it is.
pub const MAX_PAGE: usize = 16 << 20;

/// Which attributes of which elements are links.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text, whatever it looks like.
const RAW: &[&str] =
    &["script", "style", "textarea", "title", "iframe", "noembed", "noframes", "noscript", "xmp"];

/// How one proxied request's answer is rewritten.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// What paths are put behind: `/api/v1/namespaces/n/pods/p/proxy`.
    pub prefix: String,
    /// The other side's address, and the name by which the client asked: links to them are links to here.
    pub hosts: [String; 2],
}

impl Rewrite {
    /// A link that is to the other side's own host and absolute, led through the proxy.
    pub fn url(&self, url: &str) -> String {
        let same = || url.to_owned();
        if url.bytes().any(|b| b.is_ascii_control()) {
            return same();
        }
        let (rest, fragment) = split(url, '#');
        let (rest, query) = split(rest, '?');
        let (scheme, rest) = scheme(rest);
        let (host, path) = match rest.strip_prefix("//") {
            Some(r) => r.split_at(r.find('/').unwrap_or(r.len())),
            None => ("", rest),
        };
        if (!host.is_empty() && self.hosts.iter().all(|h| h != host)) || !path.starts_with('/') {
            return same();
        }
        let mut out = String::new();
        // The name that the client asked by stays.
        if !host.is_empty() && host == self.hosts[1] {
            if !scheme.is_empty() {
                out.push_str(scheme);
                out.push(':');
            }
            out.push_str("//");
            out.push_str(host);
        }
        if path.starts_with(&self.prefix) {
            out.push_str(path);
        } else {
            out.push_str(&clean(&format!("{}/{path}", self.prefix)));
            if path.ends_with('/') && !out.ends_with('/') {
                out.push('/');
            }
        }
        for (sign, part) in [('?', query), ('#', fragment)] {
            if let Some(p) = part {
                out.push(sign);
                out.push_str(p);
            }
        }
        out
    }

    pub fn location(&self, h: &mut HeaderMap) {
        let new = h.get(header::LOCATION).and_then(|v| v.to_str().ok()).map(|v| self.url(v));
        if let Some(v) = new.and_then(|v| HeaderValue::from_str(&v).ok()) {
            h.insert(header::LOCATION, v);
        }
    }

    /// A page, in its encoding; none: it stays as it is.
    pub fn page(&self, encoding: &str, body: &[u8]) -> Option<Bytes> {
        let limit = MAX_PAGE as u64 + 1;
        let mut plain = Vec::new();
        match encoding {
            "" => return Some(self.html(body).into()),
            "gzip" => GzDecoder::new(body).take(limit).read_to_end(&mut plain),
            "deflate" => DeflateDecoder::new(body).take(limit).read_to_end(&mut plain),
            _ => return None,
        }
        .ok()
        .filter(|n| *n <= MAX_PAGE)?;
        let new = self.html(&plain);
        match encoding {
            "gzip" => {
                let mut w = GzEncoder::new(Vec::new(), Compression::default());
                w.write_all(&new).and_then(|()| w.finish()).ok().map(Bytes::from)
            }
            _ => {
                let mut w = DeflateEncoder::new(Vec::new(), Compression::best());
                w.write_all(&new).and_then(|()| w.finish()).ok().map(Bytes::from)
            }
        }
    }

    fn html(&self, b: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(b.len() + b.len() / 16);
        let mut at = 0;
        while at < b.len() {
            let open = find(b, at, b"<").unwrap_or(b.len());
            out.extend_from_slice(&b[at..open]);
            at = open;
            let end = match b.get(open + 1) {
                Some(c) if c.is_ascii_alphabetic() => {
                    let (name, end) = self.tag(b, open, &mut out);
                    at = end;
                    if RAW.contains(&name.as_str()) { end_of_raw(b, end, &name) } else { end }
                }
                Some(b'!') if b[open..].starts_with(b"<!--") => {
                    find(b, open + 4, b"-->").map_or(b.len(), |i| i + 3)
                }
                Some(b'!' | b'/' | b'?') => find(b, open, b">").map_or(b.len(), |i| i + 1),
                Some(_) => open + 1,
                None => b.len(),
            };
            out.extend_from_slice(&b[at..end]);
            at = end;
        }
        out
    }

    /// Copies the tag at `open` with its links rewritten; its name, and where it ends.
    fn tag(&self, b: &[u8], open: usize, out: &mut Vec<u8>) -> (String, usize) {
        let is_end = |c: u8| c.is_ascii_whitespace() || c == b'>' || c == b'/';
        let until = |from: usize, stop: &dyn Fn(u8) -> bool| {
            b[from..].iter().position(|c| stop(*c)).map_or(b.len(), |i| from + i)
        };
        let mut at = until(open + 1, &is_end);
        let name = String::from_utf8_lossy(&b[open + 1..at]).to_ascii_lowercase();
        let links = LINKS.iter().find(|(n, _)| *n == name).map_or(&[][..], |(_, a)| a);
        let mut copied = open;
        loop {
            at = until(at, &|c| !c.is_ascii_whitespace() && c != b'/');
            if at >= b.len() || b[at] == b'>' {
                at = (at + 1).min(b.len());
                break;
            }
            let start = at;
            // A name may begin with '='.
            at = until(at + 1, &|c| is_end(c) || c == b'=');
            let attribute = String::from_utf8_lossy(&b[start..at]).to_ascii_lowercase();
            let value = until(at, &|c| !c.is_ascii_whitespace());
            if b.get(value) != Some(&b'=') {
                continue;
            }
            let value = until(value + 1, &|c| !c.is_ascii_whitespace());
            let (from, to, end) = match b.get(value) {
                Some(q @ (b'"' | b'\'')) => {
                    let to = until(value + 1, &|c| c == *q);
                    (value + 1, to, (to + 1).min(b.len()))
                }
                Some(_) => {
                    let to = until(value, &|c| c.is_ascii_whitespace() || c == b'>');
                    (value, to, to)
                }
                None => (b.len(), b.len(), b.len()),
            };
            at = end;
            if links.contains(&attribute.as_str())
                && let Ok(text) = std::str::from_utf8(&b[from.min(to)..to])
            {
                let old = unescape(text);
                let new = self.url(&old);
                if new != old {
                    out.extend_from_slice(&b[copied..value]);
                    out.push(b'"');
                    out.extend_from_slice(escape(&new).as_bytes());
                    out.push(b'"');
                    copied = end;
                }
            }
        }
        out.extend_from_slice(&b[copied..at]);
        (name, at)
    }
}

fn split(s: &str, at: char) -> (&str, Option<&str>) {
    s.split_once(at).map_or((s, None), |(a, b)| (a, Some(b)))
}

fn scheme(s: &str) -> (&str, &str) {
    match s.split_once(':') {
        Some((a, b))
            if a.starts_with(|c: char| c.is_ascii_alphabetic())
                && a.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c)) =>
        {
            (a, b)
        }
        _ => ("", s),
    }
}

/// Go's `path.Clean` of an absolute path.
fn clean(p: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in p.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            p => parts.push(p),
        }
    }
    format!("/{}", parts.join("/"))
}

fn find(b: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = b.get(from..)?;
    rest.windows(what.len()).position(|w| w == what).map(|i| from + i)
}

/// Where the content of a raw element ends: at its end tag.
fn end_of_raw(b: &[u8], from: usize, name: &str) -> usize {
    let mut at = from;
    while let Some(i) = find(b, at, b"</") {
        let n = &b[i + 2..];
        if n.len() >= name.len() && n[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
            return i;
        }
        at = i + 2;
    }
    b.len()
}

/// The references that a link may hold.
fn unescape(s: &str) -> String {
    if !s.contains('&') {
        return s.to_owned();
    }
    s.replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

fn escape(s: &str) -> String {
    s.replace('&', "&amp;").replace('"', "&#34;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn rewrite() -> Rewrite {
        Rewrite {
            prefix: "/api/v1/namespaces/n/pods/p/proxy".into(),
            hosts: ["10.0.0.1:80".into(), "localhost:8001".into()],
        }
    }

    #[test]
    fn urls() {
        for (from, to) in [
            ("/", "/api/v1/namespaces/n/pods/p/proxy/"),
            ("/a/../b/?x=/y#/z", "/api/v1/namespaces/n/pods/p/proxy/b/?x=/y#/z"),
            ("relative/x", "relative/x"),
            ("?q", "?q"),
            ("mailto:a@b", "mailto:a@b"),
            ("http://10.0.0.1:80/x", "/api/v1/namespaces/n/pods/p/proxy/x"),
            ("https://localhost:8001/x", "https://localhost:8001/api/v1/namespaces/n/pods/p/proxy/x"),
            ("http://other/x", "http://other/x"),
            ("//other/x", "//other/x"),
            ("http://10.0.0.1:80", "http://10.0.0.1:80"),
            ("/api/v1/namespaces/n/pods/p/proxy/here", "/api/v1/namespaces/n/pods/p/proxy/here"),
        ] {
            assert_eq!(rewrite().url(from), to);
        }
    }

    fn check(page: &str, want: Expect) {
        let r = Rewrite { prefix: "/P".into(), ..rewrite() };
        want.assert_eq(&String::from_utf8(r.html(page.as_bytes())).unwrap());
    }

    #[test]
    fn pages() {
        check(
            "<!DOCTYPE html><HTML><a class=x HREF = '/a?b=1&amp;c'>/a</a><img src=/i.png><p title='/t'>1 < 2 <",
            expect![[
                r#"<!DOCTYPE html><HTML><a class=x HREF = "/P/a?b=1&amp;c">/a</a><img src="/P/i.png"><p title='/t'>1 < 2 <"#
            ]],
        );
        check(
            "<script src=\"/s.js\">if (a<b) x='<a href=\"/no\">'</script><!-- <a href='/no'> --><link href=/l />",
            expect![[
                r#"<script src="/P/s.js">if (a<b) x='<a href="/no">'</script><!-- <a href='/no'> --><link href="/P/l" />"#
            ]],
        );
        check(
            "<a href='http://elsewhere/'><a href><a href=",
            expect!["<a href='http://elsewhere/'><a href><a href="],
        );
        check("<a href='/x", expect!["<a href=\"/P/x\""]);
        check("<", expect!["<"]);
    }

    #[test]
    fn encodings() {
        let r = rewrite();
        let page = b"<a href=/x>";
        let mut w = GzEncoder::new(Vec::new(), Compression::default());
        w.write_all(page).unwrap();
        let got = r.page("gzip", &w.finish().unwrap()).unwrap();
        let mut plain = String::new();
        GzDecoder::new(&got[..]).read_to_string(&mut plain).unwrap();
        assert_eq!(plain, "<a href=\"/api/v1/namespaces/n/pods/p/proxy/x\">");
        assert_eq!(r.page("br", page), None);
        assert_eq!(r.page("gzip", page), None);
    }
}
