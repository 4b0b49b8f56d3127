//! `/openapi/v2` and `/openapi/v3`: documents made by the `openapi` crate when asked for, kept compressed.
//!
//! A document's hash stands for what it is made from (this build, the version's resources, their schemas), so that the
//! index needs no document at all.

use crate::registry::{Codec, Registry, ResourceInfo};
use crate::respond;
use crate::server::{ApiServer, no_such_path};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, EXPIRES, IF_NONE_MATCH, LOCATION, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use meta::{Reason, Status};
use openapi::{ResourceDoc, Schema};
use serde_json::{Map, json};
use serve::Body;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Documents kept, compressed, by their hash.
const KEPT: usize = 64;

/// The documents made so far.
#[derive(Default)]
pub struct Documents(Mutex<HashMap<String, Bytes>>);

fn doc(r: &ResourceInfo) -> ResourceDoc {
    match &r.codec {
        Codec::Builtin(b) => ResourceDoc::from(b.row),
        Codec::Custom(c) => ResourceDoc {
            group: r.gvr.group.clone(),
            version: r.gvr.version.clone(),
            resource: r.gvr.resource.clone(),
            kind: r.gvk.kind.clone(),
            namespaced: r.namespaced,
            verbs: r.verbs.clone(),
            subresources: r
                .subresources
                .iter()
                .map(|s| {
                    (s.name.clone(), (s.group.clone(), s.version.clone(), s.kind.clone()), s.verbs.clone())
                })
                .collect(),
            schema: Schema::Custom(c.openapi()),
        },
    }
}

/// `api/v1`, `apis/apps/v1`.
fn key(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// What a document of these resources is known by.
fn hash(resources: &[ResourceDoc]) -> String {
    let mut text = String::from(env!("CARGO_PKG_VERSION"));
    for r in resources {
        text.push_str(&format!("\n{} {} {} {:?}", r.group, r.version, r.resource, r.verbs));
        if let Schema::Custom(s) = &r.schema {
            text.push_str(&s.to_string());
        }
    }
    openapi::hash(text.as_bytes())
}

fn of_version(reg: &Registry, group: &str, version: &str) -> Vec<ResourceDoc> {
    reg.groups()
        .get(group)
        .and_then(|g| g.get(version))
        .into_iter()
        .flat_map(|m| m.values())
        .map(|r| doc(r))
        .collect()
}

impl Documents {
    /// The compressed document of that hash; made by `make` when it is not kept.
    fn get(&self, hash: &str, make: impl FnOnce() -> Vec<u8>) -> Bytes {
        if let Some(b) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(hash) {
            return b.clone();
        }
        let mut z = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = z.write_all(&make()).and_then(|()| z.finish());
        let packed = Bytes::from(packed.unwrap_or_default());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(hash.to_owned(), packed.clone());
        packed
    }
}

fn unpacked(b: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Err(e) = flate2::read::GzDecoder::new(b).read_to_end(&mut out) {
        tracing::error!("a document that was just packed cannot be unpacked: {e}");
    }
    out
}

/// A packed document, as the client takes it, with its ETag.
fn answer(headers: &HeaderMap, hash: &str, packed: &Bytes, media: &'static str) -> Response<Body> {
    let etag = format!("\"{hash}\"");
    let fresh = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()) == Some(etag.as_str());
    let gzip = headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("gzip"));
    let mut r = if fresh {
        respond::bytes(StatusCode::NOT_MODIFIED, media, Bytes::new())
    } else if gzip {
        let mut r = respond::bytes(StatusCode::OK, media, packed.clone());
        r.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        r
    } else {
        respond::bytes(StatusCode::OK, media, unpacked(packed))
    };
    let h = r.headers_mut();
    h.insert(VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
    if let Ok(v) = HeaderValue::from_str(&etag) {
        h.insert(ETAG, v);
    }
    r
}

const JSON: &str = "application/json";
/// OpenAPI v2 as protobuf, by the name that answers have and by the older one that clients ask for.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const V2_PROTOBUF_ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The form of a document that a client takes, its first choice first. None: none that there is.
fn media(headers: &HeaderMap, path: &str) -> Option<&'static str> {
    let accept = headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    if accept.is_empty() {
        return Some(JSON);
    }
    accept.split(',').find_map(|a| match a.split(';').next().map(str::trim) {
        Some("*/*" | "application/*" | JSON) => Some(JSON),
        Some(V2_PROTOBUF | V2_PROTOBUF_ASKED) if path == "/openapi/v2" => Some(V2_PROTOBUF),
        _ => None,
    })
}

pub async fn serve(
    server: &Arc<ApiServer>,
    headers: &HeaderMap,
    path: &str,
    query: &str,
) -> crate::Result<Response<Body>> {
    let Some(media) = media(headers, path) else {
        let v2 = if path == "/openapi/v2" {
            format!(", {V2_PROTOBUF_ASKED}, {V2_PROTOBUF}")
        } else {
            String::new()
        };
        let why = format!("only the following media types are accepted: {JSON}{v2}");
        return Err(Status::failure(Reason::NotAcceptable, why).into());
    };
    let (server, headers, path, query) = (server.clone(), headers.clone(), path.to_owned(), query.to_owned());
    // Making a document takes tens of milliseconds: not on a thread that serves others.
    tokio::task::spawn_blocking(move || serve_blocking(&server, &headers, &path, &query, media))
        .await
        .map_err(|e| Status::internal(e).into())
}

fn serve_blocking(
    server: &ApiServer,
    headers: &HeaderMap,
    path: &str,
    query: &str,
    media: &'static str,
) -> Response<Body> {
    let reg = server.registry();
    match path {
        "/openapi/v2" => {
            let all: Vec<ResourceDoc> = reg.iter().map(|r| doc(r)).collect();
            let h = hash(&all);
            if media == JSON {
                let make = || openapi::v2(&all).to_string().into_bytes();
                answer(headers, &h, &server.documents.get(&format!("v2{h}"), make), media)
            } else {
                let make = || openapi::v2_protobuf(&openapi::v2(&all));
                // Another form is another entity.
                answer(headers, &format!("{h}-pb"), &server.documents.get(&format!("v2pb{h}"), make), media)
            }
        }
        "/openapi/v3" => {
            let mut paths = Map::new();
            for (group, versions) in reg.groups() {
                for version in versions.keys() {
                    let k = key(group, version);
                    let h = hash(&of_version(&reg, group, version));
                    let url = json!({"serverRelativeURL": format!("/openapi/v3/{k}?hash={h}")});
                    paths.insert(k, url);
                }
            }
            for r in server.remotes.all() {
                if let Some(url) = r.openapi() {
                    paths.insert(key(&r.group, &r.version), json!({"serverRelativeURL": *url}));
                }
            }
            respond::bytes(StatusCode::OK, "application/json", json!({"paths": paths}).to_string())
        }
        _ => {
            let parts: Vec<&str> = path.trim_start_matches("/openapi/v3/").split('/').collect();
            let (group, version) = match parts.as_slice() {
                ["api", v] => ("", *v),
                ["apis", g, v] => (*g, *v),
                _ => return no_such_path(),
            };
            let resources = of_version(&reg, group, version);
            if resources.is_empty() {
                return no_such_path();
            }
            document(server, headers, path, query, &resources)
        }
    }
}

fn document(
    server: &ApiServer,
    headers: &HeaderMap,
    path: &str,
    query: &str,
    resources: &[ResourceDoc],
) -> Response<Body> {
    let h = hash(resources);
    let asked = query.split('&').find_map(|p| p.strip_prefix("hash="));
    if asked.is_some_and(|a| !a.is_empty() && a != h) {
        let mut r = respond::text(StatusCode::MOVED_PERMANENTLY, "");
        if let Ok(v) = HeaderValue::from_str(&format!("{path}?hash={h}")) {
            r.headers_mut().insert(LOCATION, v);
        }
        return r;
    }
    let mut r = answer(
        headers,
        &h,
        &server.documents.get(&h, || openapi::v3(resources).to_string().into_bytes()),
        JSON,
    );
    if asked == Some(h.as_str()) {
        let out = r.headers_mut();
        out.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        out.insert(EXPIRES, HeaderValue::from_static("Thu, 31 Dec 2099 23:59:59 GMT"));
    }
    r
}
