//! The web interface: files compressed when the bundle was built, served as they are.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use serve::Body;
use std::io::Read;

/// One file of the bundle.
pub struct Asset {
    pub path: &'static str,
    pub kind: &'static str,
    /// Changes when the content does; quoted as HTTP has it.
    pub etag: &'static str,
    /// gzip.
    pub bytes: &'static [u8],
}

/// Written by `cargo xtask dashboard`.
pub const BUNDLE: &[Asset] = include!("../dist/table.rs");

/// Bytes that one file may unpack to, for clients without gzip.
const MAX_PLAIN: u64 = 16 << 20;

const PAGE: &str = "index.html";
/// Stands in the page where its nonce goes.
pub const NONCE: &str = "@NONCE@";

pub fn find(path: &str) -> Option<&'static Asset> {
    let path = path.trim_start_matches('/');
    let path = if path.is_empty() { PAGE } else { path };
    BUNDLE.iter().find(|a| a.path == path)
}

pub(crate) fn answer(path: &str, h: &HeaderMap) -> Response<Body> {
    let Some(asset) = find(path) else {
        return crate::status(StatusCode::NOT_FOUND, "there is no such page: begin at /");
    };
    if asset.path == PAGE {
        return page(asset);
    }
    let mut r = Response::new(serve::empty());
    let out = r.headers_mut();
    out.insert(header::ETAG, HeaderValue::from_static(asset.etag));
    // Names stay, contents change with the program: ask each time, which the tag makes cheap.
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if tagged(h, asset.etag) {
        *r.status_mut() = StatusCode::NOT_MODIFIED;
        return r;
    }
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    if takes_gzip(h) {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *r.body_mut() = serve::full(bytes::Bytes::from_static(asset.bytes));
    } else {
        *r.body_mut() = serve::full(plain(asset));
    }
    r
}

/// The page, with a word of its own each time: style sheets that its scripts make carry it.
fn page(asset: &Asset) -> Response<Body> {
    let mut word = [0; 16];
    if aws_lc_rs::rand::fill(&mut word).is_err() {
        return crate::status(StatusCode::INTERNAL_SERVER_ERROR, "no randomness");
    }
    let nonce = URL_SAFE_NO_PAD.encode(word);
    let html = String::from_utf8_lossy(&plain(asset)).replace(NONCE, &nonce);
    let mut r = Response::new(serve::full(html));
    let out = r.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    crate::guard::page_policy(out, &nonce);
    r
}

/// A file's content, unpacked.
pub fn plain(asset: &Asset) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(asset.bytes).take(MAX_PLAIN);
    if let Err(e) = reader.read_to_end(&mut out) {
        tracing::error!(path = asset.path, "the bundle is broken: {e}");
    }
    out
}

fn tagged(h: &HeaderMap, etag: &str) -> bool {
    let tags = h.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|v| v.to_str().ok());
    tags.flat_map(|v| v.split(',')).any(|t| t.trim().trim_start_matches("W/") == etag)
}

fn takes_gzip(h: &HeaderMap) -> bool {
    let all = h.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(',')).any(|e| {
        let mut parts = e.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let off =
            parts.any(|p| matches!(p.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !off
    })
}
