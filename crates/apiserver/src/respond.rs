//! Responses: bodies with their headers, failures, gzip.

use crate::Failure;
use crate::encode;
use crate::negotiate::{self, Format, Media, Offer};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use meta::{Status, Value};
use serve::Body;
use std::io::Write;

/// Smaller answers are not worth compressing.
pub const GZIP_MIN: usize = 128 * 1024;

/// An answer with a complete body.
pub fn bytes(code: StatusCode, media_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let mut r = Response::new(serve::full(body));
    *r.status_mut() = code;
    if let Ok(v) = HeaderValue::from_str(media_type) {
        r.headers_mut().insert(CONTENT_TYPE, v);
    }
    r
}

pub fn text(code: StatusCode, body: impl Into<String>) -> Response<Body> {
    bytes(code, "text/plain; charset=utf-8", body.into())
}

/// To another path on this server, for good.
pub fn redirect(to: &str) -> crate::Result<Response<Body>> {
    let mut r = text(StatusCode::MOVED_PERMANENTLY, "");
    let v = http::HeaderValue::from_str(to).map_err(|e| meta::Status::bad_request(e.to_string()))?;
    r.headers_mut().insert(http::header::LOCATION, v);
    Ok(r)
}

/// An encoded object.
pub fn object(code: StatusCode, media: Media, body: Bytes) -> Response<Body> {
    bytes(code, media.format.media_type(), body)
}

/// An encoded object of a GET: compressed when large and the client takes it.
pub fn object_gzip(code: StatusCode, media: Media, body: Bytes, headers: &HeaderMap) -> Response<Body> {
    if body.len() < GZIP_MIN || !negotiate::accepts_gzip(headers) {
        return object(code, media, body);
    }
    let mut z = Gzip::new();
    let mut out = z.push(&body);
    out.extend(z.finish());
    let mut r = object(code, media, out.into());
    r.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    r.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
    r
}

/// An object of any built-in kind.
pub fn value(code: StatusCode, media: Media, v: &Value) -> Response<Body> {
    object(code, media, encode::any_value(v, media))
}

/// A failure in the form that the Accept header asks for; JSON where that is none we have.
pub fn failure(f: &Failure, headers: &HeaderMap, pretty: Option<&str>) -> Response<Body> {
    let media = negotiate::negotiate(headers, pretty, Offer::PLAIN).unwrap_or(Media::JSON);
    status(f, media)
}

/// A `Status` object with its code and headers.
pub fn status(s: &Status, media: Media) -> Response<Body> {
    let code = StatusCode::from_u16(s.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut r = object(code, media, status_bytes(s, media));
    if let Some(n) = s.details.as_ref().map(|d| d.retry_after_seconds).filter(|n| *n > 0)
        && let Ok(v) = HeaderValue::from_str(&n.to_string())
    {
        r.headers_mut().insert(RETRY_AFTER, v);
    }
    r
}

pub fn status_bytes(s: &Status, media: Media) -> Bytes {
    if media.format == Format::Proto {
        return encode::any_value(&serde_json::to_value(s).unwrap_or_default(), media);
    }
    encode::finish_json(serde_json::to_vec(s).unwrap_or_default(), media)
}

/// A gzip stream that hands out what it has after each piece.
pub struct Gzip(Option<GzEncoder<Vec<u8>>>);

impl Default for Gzip {
    fn default() -> Self {
        Self::new()
    }
}

impl Gzip {
    pub fn new() -> Self {
        Self(Some(GzEncoder::new(Vec::new(), Compression::new(1))))
    }
    pub fn push(&mut self, b: &[u8]) -> Vec<u8> {
        let Some(z) = &mut self.0 else { return Vec::new() };
        // Writing to memory does not fail.
        if z.write_all(b).is_err() {
            return Vec::new();
        }
        std::mem::take(z.get_mut())
    }
    /// As [`Gzip::push`], so that the other side can read all of it now.
    pub fn push_flush(&mut self, b: &[u8]) -> Vec<u8> {
        let mut out = self.push(b);
        if let Some(z) = &mut self.0
            && z.flush().is_ok()
        {
            out.append(z.get_mut());
        }
        out
    }
    pub fn finish(&mut self) -> Vec<u8> {
        self.0.take().and_then(|z| z.finish().ok()).unwrap_or_default()
    }
}
