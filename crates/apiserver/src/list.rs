//! LIST: a snapshot of what is in scope, selected, cut into pages, streamed in pieces.

use crate::cx::Cx;
use crate::negotiate::{Format, Media, Partial, Transform};
use crate::options::{ListOptions, VersionMatch};
use crate::read::{at_least, parse_version, snapshot, store_failure};
use crate::registry::ResourceInfo;
use crate::select::{Filter, Scope, scope};
use crate::table::{self, Include};
use crate::{Failure, Result, encode, negotiate, respond};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, VARY};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use meta::time::Timestamp;
use meta::{Status, Value};
use mvcc::Record;
use serde_json::json;
use serve::Body;
use std::sync::Arc;
use storage::Snapshot;

/// Bytes of one piece of a streamed list.
const PIECE: usize = 64 * 1024;

const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// What a list found.
pub struct Page {
    pub revision: i64,
    pub records: Vec<Arc<Record>>,
    pub continue_token: String,
    pub remaining: Option<i64>,
}

fn bad_token(why: impl std::fmt::Display) -> Failure {
    Status::bad_request(format!("invalid continue token: {why}")).into()
}

/// Where a continue token says to go on: revision (-1: the newest) and key.
fn decode_token(token: &str, prefix: &str) -> Result<(i64, String)> {
    const BAD: &str = "continue key is not valid";
    let data = URL_SAFE_NO_PAD.decode(token).map_err(|e| bad_token(format_args!("{BAD}: {e}")))?;
    let v: Value = serde_json::from_slice(&data).map_err(|e| bad_token(format_args!("{BAD}: {e}")))?;
    let version = v.get("v").and_then(Value::as_str).unwrap_or("");
    if version != "meta.k8s.io/v1" {
        return Err(bad_token(format_args!(
            "{BAD}: server does not recognize this encoded version {version}"
        )));
    }
    let rv = v.get("rv").and_then(Value::as_i64).unwrap_or(0);
    if rv == 0 {
        return Err(bad_token(format_args!(
            "{BAD}: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"
        )));
    }
    let start = v.get("start").and_then(Value::as_str).unwrap_or("");
    if start.is_empty() {
        return Err(bad_token(format_args!("{BAD}: encoded start key empty (version meta.k8s.io/v1)")));
    }
    let relative = start.strip_prefix('/').unwrap_or(start);
    if relative.is_empty() || relative.split('/').any(|s| matches!(s, "" | "." | "..")) {
        return Err(bad_token(format_args!("{BAD}: {start}")));
    }
    Ok((rv, format!("{prefix}{relative}")))
}

fn encode_token(after: &str, prefix: &str, rv: i64) -> String {
    let start = after.strip_prefix(prefix).unwrap_or(after);
    let start = Value::from(start).to_string();
    URL_SAFE_NO_PAD.encode(format!(r#"{{"v":"meta.k8s.io/v1","rv":{rv},"start":{start}}}"#))
}

/// Reads what the options select.
pub async fn page(cx: &Cx, namespace: &str, o: &ListOptions) -> Result<Page> {
    let scope = scope(&cx.res, namespace, o);
    let (prefix, one) = match &scope {
        Scope::One(k) => (k.as_str(), true),
        Scope::Under(p) => (p.as_str(), false),
    };
    let rv = o.resource_version.as_str();
    let mut start = String::new();
    let mut limit = usize::try_from(o.limit).unwrap_or(usize::MAX);
    let snap: Snapshot = if !one && !o.continue_token.is_empty() {
        let (at, key) = decode_token(&o.continue_token, prefix)?;
        if !matches!(rv, "" | "0") {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            )
            .into());
        }
        start = key;
        if at < 0 {
            snapshot(cx, "").await?
        } else {
            // Another server, which is ahead of this one, may have given the token.
            if cx.server.store.shared() {
                at_least(cx, at).await?;
            }
            match cx.server.store.at(at).await {
                Ok(s) => s,
                Err(storage::Error::Compacted { .. }) => {
                    let mut s = Status::expired(INCONSISTENT);
                    s.metadata.continue_token = encode_token(&start, prefix, -1);
                    return Err(s.into());
                }
                Err(e) => return Err(store_failure(&e)),
            }
        }
    } else if rv.is_empty() {
        snapshot(cx, "").await?
    } else {
        let n = parse_version(rv)?;
        let exact = match o.version_match {
            VersionMatch::Exact => true,
            VersionMatch::NotOlderThan => false,
            VersionMatch::Unset => o.limit > 0 && n > 0,
        };
        if n == 0 {
            // From the cache everything comes at once, whatever limit was asked for.
            limit = 0;
            cx.server.store.cached()
        } else if exact {
            if cx.server.store.shared() {
                at_least(cx, n).await?;
            }
            cx.server.store.at(n).await.map_err(|e| match e {
                storage::Error::Future { asked, current } => crate::read::future(asked, current, 1),
                e => store_failure(&e),
            })?
        } else {
            at_least(cx, n).await?
        }
    };
    let filter = Filter::new(o);
    let mut p = Page {
        revision: snap.revision(),
        records: Vec::new(),
        continue_token: String::new(),
        remaining: None,
    };
    if one {
        if let Some(r) = snap.get(prefix)
            && filter.matches(&cx.res, &r).await
        {
            p.records.push(r);
        }
        return Ok(p);
    }
    if filter.everything() {
        let mut more = false;
        snap.scan(prefix, &start, &mut |r| {
            if limit > 0 && p.records.len() == limit {
                more = true;
                return false;
            }
            p.records.push(r.clone());
            true
        });
        if more && let Some(last) = p.records.last() {
            p.continue_token = encode_token(&format!("{}\0", last.key), prefix, p.revision);
            // Counted from where this page began.
            let total = if start.is_empty() { snap.count(prefix) } else { count_from(&snap, prefix, &start) };
            p.remaining = i64::try_from(total.saturating_sub(limit)).ok();
        }
        return Ok(p);
    }
    // With selectors: go through the records in batches, because looking at fields may have to wait.
    let mut batch: Vec<Arc<Record>> = Vec::with_capacity(256);
    loop {
        batch.clear();
        snap.scan(prefix, &start, &mut |r| {
            batch.push(r.clone());
            batch.len() < 256
        });
        let done = batch.len() < 256;
        for r in &batch {
            if !filter.matches(&cx.res, r).await {
                continue;
            }
            if limit > 0 && p.records.len() == limit {
                if let Some(last) = p.records.last() {
                    p.continue_token = encode_token(&format!("{}\0", last.key), prefix, p.revision);
                }
                return Ok(p);
            }
            p.records.push(r.clone());
        }
        match batch.last() {
            Some(last) if !done => start = format!("{}\0", last.key),
            _ => return Ok(p),
        }
    }
}

fn count_from(snap: &Snapshot, prefix: &str, start: &str) -> usize {
    let mut n = 0;
    snap.scan(prefix, start, &mut |_| {
        n += 1;
        true
    });
    n
}

/// LIST.
pub async fn list(cx: &Cx) -> Result<Response<Body>> {
    let media = cx.media(Partial::List)?;
    let include = cx.include()?;
    let name = (!cx.info.name.is_empty()).then_some(cx.info.name.as_str());
    let o = ListOptions::parse(&cx.query, &cx.res, false, name)?;
    let p = page(cx, &cx.info.namespace, &o).await?;
    answer(cx, media, include, p).await
}

/// A page in the form asked for.
pub async fn answer(cx: &Cx, media: Media, include: Include, p: Page) -> Result<Response<Body>> {
    let mut w = Writer::new(cx.res.clone(), media, include, cx.now, p).await?;
    let mut first = Vec::with_capacity(PIECE);
    let want = respond::GZIP_MIN;
    while first.len() < want {
        if !w.next(&mut first, want).await? {
            break;
        }
    }
    if w.done {
        let body = if w.whole() { encode::finish_json(first, media) } else { first.into() };
        return Ok(respond::object_gzip(StatusCode::OK, media, body, &cx.headers));
    }
    if w.whole() {
        while w.next(&mut first, usize::MAX).await? {}
        let body = encode::finish_json(first, media);
        return Ok(respond::object_gzip(StatusCode::OK, media, body, &cx.headers));
    }
    let gzip = negotiate::accepts_gzip(&cx.headers);
    let z = gzip.then(respond::Gzip::new);
    let stream = futures::stream::unfold((w, Some(first), z), |(mut w, first, mut z)| async move {
        let mut piece = match first {
            Some(f) => f,
            None if w.done => return None,
            None => {
                let mut out = Vec::with_capacity(PIECE + 4096);
                if let Err(e) = w.next(&mut out, PIECE).await {
                    w.done = true;
                    return Some((Err(serve::BoxError::from(e.to_string())), (w, None, z)));
                }
                out
            }
        };
        if let Some(z) = &mut z {
            piece = z.push(&piece);
            if w.done {
                piece.extend(z.finish());
            }
        }
        Some((Ok(http_body::Frame::data(Bytes::from(piece))), (w, None, z)))
    });
    let mut r = Response::new(StreamBody::new(stream).boxed_unsync());
    let h = r.headers_mut();
    h.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(media.format.media_type()));
    if gzip {
        h.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        h.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    Ok(r)
}

/// Writes a list piece by piece.
struct Writer {
    info: Arc<ResourceInfo>,
    media: Media,
    include: Include,
    now: Timestamp,
    page: Page,
    next: usize,
    head: Vec<u8>,
    done: bool,
    /// A protobuf list whose items had to be encoded to know their length.
    encoded: Option<Vec<Vec<u8>>>,
}

impl Writer {
    async fn new(
        info: Arc<ResourceInfo>,
        media: Media,
        include: Include,
        now: Timestamp,
        page: Page,
    ) -> Result<Self> {
        let mut w =
            Self { info, media, include, now, page, next: 0, head: Vec::new(), done: false, encoded: None };
        w.head = w.make_head().await?;
        Ok(w)
    }

    /// Whether the compact JSON must be all there before it can be shown (YAML, indented).
    fn whole(&self) -> bool {
        self.media.format == Format::Yaml || self.media.format == Format::Json && self.media.pretty
    }

    fn list_meta(&self) -> Value {
        let mut m = json!({ "resourceVersion": self.page.revision.to_string() });
        if !self.page.continue_token.is_empty() {
            m["continue"] = self.page.continue_token.clone().into();
        }
        if let Some(n) = self.page.remaining {
            m["remainingItemCount"] = n.into();
        }
        m
    }

    /// Kind and apiVersion of the list.
    fn gvk(&self) -> (String, String) {
        match self.media.transform {
            Transform::Partial(v) => ("PartialObjectMetadataList".into(), v.api_version().into()),
            _ => (self.info.list_kind.clone(), self.info.api_version.clone()),
        }
    }

    async fn make_head(&mut self) -> Result<Vec<u8>> {
        let meta = self.list_meta();
        let mut out = Vec::new();
        if let Transform::Table(v) = self.media.transform {
            table::open(&self.info, v, &meta, true, &mut out);
            return Ok(out);
        }
        let (kind, api_version) = self.gvk();
        if self.media.format != Format::Proto {
            let s = format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{meta},"items":["#);
            return Ok(s.into_bytes());
        }
        // The length of all comes before the first item.
        let ty = schema::facts::type_named("meta.v1.ListMeta")
            .ok_or_else(|| Status::internal("no type meta.v1.ListMeta"))?;
        let meta = schema::proto::encode(&meta, ty);
        let mut total = 1 + encode::varint_len(meta.len()) + meta.len();
        let plain = self.media.transform == Transform::None;
        let lens: Option<Vec<usize>> = if plain {
            self.page.records.iter().map(|r| encode::proto_len(&self.info, r, r.mod_revision)).collect()
        } else {
            None
        };
        let lens = match lens {
            Some(l) => l,
            None => {
                let mut all = Vec::with_capacity(self.page.records.len());
                for r in &self.page.records {
                    let mut b = Vec::new();
                    self.item_proto(r, &mut b).await?;
                    all.push(b);
                }
                let l = all.iter().map(Vec::len).collect();
                self.encoded = Some(all);
                l
            }
        };
        total += lens.iter().map(|l| 1 + encode::varint_len(*l) + l).sum::<usize>();
        out.extend_from_slice(&proto_head(&api_version, &kind, total));
        out.push(0x0a);
        encode::put_varint(meta.len(), &mut out);
        out.extend_from_slice(&meta);
        Ok(out)
    }

    async fn item_proto(&self, r: &Record, out: &mut Vec<u8>) -> Result<()> {
        match self.media.transform {
            Transform::Partial(_) => encode::partial_proto(&self.info, r, r.mod_revision, out).await,
            _ => encode::proto(&self.info, r, r.mod_revision, out).await,
        }
    }

    /// Appends items until `out` holds `want` bytes or the list ends; false when it has ended.
    async fn next(&mut self, out: &mut Vec<u8>, want: usize) -> Result<bool> {
        if self.done {
            return Ok(false);
        }
        out.append(&mut self.head);
        let rv = |r: &Record| r.mod_revision;
        while self.next < self.page.records.len() {
            if out.len() >= want {
                return Ok(true);
            }
            let i = self.next;
            self.next += 1;
            let r = self.page.records[i].clone();
            if self.media.format == Format::Proto {
                let item = match self.encoded.as_mut().and_then(|e| e.get_mut(i)) {
                    Some(e) => std::mem::take(e),
                    None => {
                        let mut b = Vec::with_capacity(r.value.len() + 32);
                        self.item_proto(&r, &mut b).await?;
                        b
                    }
                };
                out.push(0x12);
                encode::put_varint(item.len(), out);
                out.extend_from_slice(&item);
                continue;
            }
            if i > 0 {
                out.push(b',');
            }
            match self.media.transform {
                Transform::Table(v) => {
                    table::row(&self.info, &r, rv(&r), v, self.include, self.now, out).await?;
                }
                Transform::Partial(v) => encode::partial_json(&self.info, &r, rv(&r), v, out).await?,
                _ => {
                    let head = self.info.is_custom();
                    encode::json(&self.info, &r, rv(&r), head, out).await?;
                }
            }
        }
        self.done = true;
        if self.media.format == Format::Proto {
            out.extend_from_slice(PROTO_TAIL);
        } else {
            out.extend_from_slice(b"]}");
            if !self.whole() {
                out.push(b'\n');
            }
        }
        Ok(false)
    }
}

/// `runtime.Unknown`'s contentEncoding and contentType, both empty.
const PROTO_TAIL: &[u8] = &[0x1a, 0, 0x22, 0];

/// The envelope up to the raw bytes, `len` of which follow.
fn proto_head(api_version: &str, kind: &str, len: usize) -> Vec<u8> {
    let mut ty = Vec::new();
    for (tag, s) in [(0x0a, api_version), (0x12, kind)] {
        ty.push(tag);
        encode::put_varint(s.len(), &mut ty);
        ty.extend_from_slice(s.as_bytes());
    }
    let mut out = schema::proto::MAGIC.to_vec();
    out.push(0x0a);
    encode::put_varint(ty.len(), &mut out);
    out.extend_from_slice(&ty);
    out.push(0x12);
    encode::put_varint(len, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let t = encode_token("/registry/pods/a/b\0", "/registry/pods/", 7);
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&t).unwrap()).unwrap();
        assert_eq!(text, r#"{"v":"meta.k8s.io/v1","rv":7,"start":"a/b\u0000"}"#);
        assert_eq!(decode_token(&t, "/registry/pods/").unwrap(), (7, "/registry/pods/a/b\0".to_owned()));
        for bad in [
            "%%",
            &URL_SAFE_NO_PAD.encode("{}"),
            &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#),
            &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}"#),
        ] {
            assert_eq!(decode_token(bad, "/registry/pods/").unwrap_err().code, 400, "{bad}");
        }
    }
}
