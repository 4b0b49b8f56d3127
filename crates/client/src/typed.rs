//! Typed calls for `k8s-openapi` kinds.

use crate::kind::Kind;
use crate::raw::{Body, Error, RawList, Transport};
use crate::{url, wire};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub struct ListParams {
    pub label_selector: String,
    pub field_selector: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    /// Server-side apply; the field manager is the client's user agent name unless given, `force` is set.
    Apply,
}

impl PatchKind {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// Bodies of answers are refused beyond this.
const MAX_BODY: usize = 256 << 20;
/// How many objects a page of [`Client::list`] asks for.
const PAGE: &str = "500";

/// A client of one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub transport: Arc<dyn Transport>,
    agent: Arc<str>,
}

impl Client {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, agent: "keelson".into() }
    }
    /// The name in the user agent, and so the field manager of what this client writes.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.agent = name.into();
        self
    }
    /// `namespace` is `None` for cluster-scoped kinds.
    pub async fn get<K: Kind>(&self, namespace: Option<&str>, name: &str) -> Result<K, Error> {
        self.typed(Method::GET, &path::<K>(namespace, name, "")?, None).await
    }
    /// `namespace` `None`: all namespaces.
    pub async fn list<K: Kind>(&self, namespace: Option<&str>, p: &ListParams) -> Result<Vec<K>, Error> {
        let base = url::collection(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT, namespace);
        let mut all = RawList { resource_version: 0, items: Vec::new() };
        let (mut token, mut limit) = (String::new(), PAGE);
        loop {
            let path = url::with_query(
                base.clone(),
                &[
                    ("labelSelector", &p.label_selector),
                    ("fieldSelector", &p.field_selector),
                    ("limit", limit),
                    ("continue", &token),
                ],
            );
            let page = match self.exchange(Method::GET, &path, None, JSON, OBJECTS).await {
                // The snapshot behind the token is gone: one answer with everything.
                Err(e) if !token.is_empty() && e.is(meta::Reason::Expired) => {
                    all.items.clear();
                    (token, limit) = (String::new(), "");
                    continue;
                }
                other => other?,
            };
            token = wire::list_page(&page, &mut all)?;
            if token.is_empty() {
                return all.items.iter().map(crate::informer::decode::whole).collect();
            }
        }
    }
    /// Namespace from the object's metadata.
    pub async fn create<K: Kind>(&self, obj: &K) -> Result<K, Error> {
        let ns = obj.metadata().namespace.as_deref();
        let path = url::collection(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT, ns);
        self.typed(Method::POST, &path, Some(json_of(obj)?)).await
    }
    /// PUT of the main endpoint; name, namespace and resourceVersion from the metadata.
    pub async fn replace<K: Kind>(&self, obj: &K) -> Result<K, Error> {
        self.put(obj, "").await
    }
    /// PUT of the `status` subresource.
    pub async fn replace_status<K: Kind>(&self, obj: &K) -> Result<K, Error> {
        self.put(obj, "status").await
    }
    /// PUT of any subresource that takes the object itself (`status`, `approval`, `finalize`).
    pub async fn put<K: Kind>(&self, obj: &K, subresource: &str) -> Result<K, Error> {
        let m = obj.metadata();
        let path = path::<K>(m.namespace.as_deref(), m.name.as_deref().unwrap_or_default(), subresource)?;
        self.typed(Method::PUT, &path, Some(json_of(obj)?)).await
    }
    /// PATCH; `subresource` may be empty.
    pub async fn patch<K: Kind>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<K, Error> {
        let path = path::<K>(namespace, name, subresource)?;
        object(&self.patched(&path, kind, patch, OBJECTS).await?)
    }
    /// PATCH of any path; answers the JSON bytes that came back.
    pub async fn patch_path(&self, path: &str, kind: PatchKind, patch: &Value) -> Result<Bytes, Error> {
        self.patched(path, kind, patch, JSON).await
    }
    async fn patched(
        &self,
        path: &str,
        kind: PatchKind,
        patch: &Value,
        accept: &str,
    ) -> Result<Bytes, Error> {
        let mut path = path.to_owned();
        if kind == PatchKind::Apply {
            if !path.contains("fieldManager=") {
                path = url::with_query(path, &[("fieldManager", &self.agent)]);
            }
            path = url::with_query(path, &[("force", "true")]);
        }
        self.exchange(Method::PATCH, &path, Some(encode(patch)?), kind.content_type(), accept).await
    }
    pub async fn delete<K: Kind>(
        &self,
        namespace: Option<&str>,
        name: &str,
        opts: &DeleteOptions,
    ) -> Result<(), Error> {
        let path = path::<K>(namespace, name, "")?;
        self.send(Method::DELETE, &path, Some(encode(opts)?), JSON).await.map(drop)
    }
    /// POST to a subresource (`binding`, `eviction`, `token`); answers the JSON that came back.
    pub async fn post_subresource<K: Kind>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        body: &Value,
    ) -> Result<Value, Error> {
        self.request(Method::POST, &path::<K>(namespace, name, subresource)?, Some(body)).await
    }
    /// Any request with a JSON body; answers the JSON that came back, or the failure as [`Error::Status`].
    pub async fn request(
        &self,
        method: http::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let body = body.map(encode).transpose()?;
        let got = self.send(method, path, body, JSON).await?;
        if got.is_empty() {
            return Ok(Value::Null);
        }
        from_slice(&got)
    }
    async fn typed<K: Kind>(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<K, Error> {
        object(&self.exchange(method, path, body, JSON, OBJECTS).await?)
    }
    /// GET of any path in a form other than plain JSON, such as aggregated discovery.
    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Value, Error> {
        from_slice(&self.exchange(Method::GET, path, None, JSON, accept).await?)
    }
    /// One exchange: the answer's bytes when its status is 2xx.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        content_type: &str,
    ) -> Result<Bytes, Error> {
        self.exchange(method, path, body, content_type, JSON).await
    }
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        content_type: &str,
        accept: &str,
    ) -> Result<Bytes, Error> {
        let mut req = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, &*self.agent);
        if body.is_some() {
            req = req.header(header::CONTENT_TYPE, content_type);
        }
        let req = req
            .body(body.unwrap_or_default())
            .map_err(|e| Error::Config(format!("bad request path {path:?}: {e}")))?;
        let resp = self.transport.call(req).await?;
        let (head, body) = resp.into_parts();
        let bytes = read_body(body).await?;
        if head.status.is_success() { Ok(bytes) } else { Err(failure(head.status, &head.headers, &bytes)) }
    }
}

const JSON: &str = "application/json";
/// Typed answers come as protobuf: less to write for the server, and less to read here.
const OBJECTS: &str = "application/vnd.kubernetes.protobuf, application/json";

fn path<K: Kind>(namespace: Option<&str>, name: &str, subresource: &str) -> Result<String, Error> {
    if name.is_empty() {
        return Err(Error::Config(format!("{}: the name of the object is empty", K::URL_PATH_SEGMENT)));
    }
    Ok(url::object(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT, namespace, name, subresource))
}
fn encode<T: Serialize + ?Sized>(v: &T) -> Result<Bytes, Error> {
    serde_json::to_vec(v).map(Bytes::from).map_err(|e| Error::Config(format!("encoding the request: {e}")))
}
fn json_of<K: Kind>(k: &K) -> Result<Bytes, Error> {
    k.to_json().map(Bytes::from).map_err(|e| Error::Config(format!("encoding the request: {e}")))
}
/// The object in an answer, whichever of the forms it has.
fn object<K: Kind>(body: &[u8]) -> Result<K, Error> {
    let read = if body.starts_with(&schema::proto::MAGIC) {
        schema::proto::unwrap(body).and_then(|e| K::from_proto(e.raw, None, true))
    } else {
        K::from_json(body)
    };
    read.map_err(|e| Error::Decode(format!("{}: {e}", K::KIND)))
}
fn from_slice<T: DeserializeOwned>(b: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(b).map_err(|e| Error::Decode(e.to_string()))
}

/// Reads a whole body, of a bounded size.
pub async fn read_body(mut body: Body) -> Result<Bytes, Error> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Error::Transport(format!("reading the answer: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + first.len() + data.len() > MAX_BODY {
            return Err(Error::Transport(format!("the answer is larger than {MAX_BODY} bytes")));
        }
        // Most answers come in one piece and need no copy.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all = std::mem::take(&mut first).into();
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// The error of an answer that is not 2xx: the `Status` it carries, or one made from its code.
pub fn failure(code: StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Error {
    if let Some(s) = wire::status(body).filter(|s| !s.status.is_empty() || !s.reason.is_empty()) {
        return Error::Status(Box::new(s));
    }
    use meta::Reason as R;
    let (reason, message) = match code.as_u16() {
        400 => (R::BadRequest, "the server rejected our request for an unknown reason"),
        401 => (R::Unauthorized, "the server has asked for the client to provide credentials"),
        403 => (R::Forbidden, "the server does not allow access to the requested resource"),
        404 => (R::NotFound, "the server could not find the requested resource"),
        405 => (R::MethodNotAllowed, "the server does not allow this method on the requested resource"),
        406 => (
            R::NotAcceptable,
            "the server was unable to respond with a content type that the client supports",
        ),
        409 => (R::Conflict, "the server reported a conflict"),
        410 => (R::Gone, "the requested object is gone"),
        413 => (R::RequestEntityTooLarge, "Request entity too large"),
        415 => (R::UnsupportedMediaType, "the content type of the request is not supported"),
        422 => (R::Invalid, "the server rejected our request due to an error in our request"),
        429 => (
            R::TooManyRequests,
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => (R::ServiceUnavailable, "the server is currently unable to handle the request"),
        504 => (
            R::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        c if c >= 500 => {
            (R::InternalError, "an error on the server has prevented the request from succeeding")
        }
        _ => (R::Unknown, "the server responded with an unexpected status"),
    };
    let text = String::from_utf8_lossy(&body[..body.len().min(2048)]);
    let message =
        if text.trim().is_empty() { message.to_owned() } else { format!("{message} ({})", text.trim()) };
    let mut s = meta::Status::failure(reason, message);
    s.code = code.as_u16();
    if let Some(secs) = retry_after(headers) {
        s = s.retry_after(i32::try_from(secs).unwrap_or(i32::MAX));
    }
    Error::Status(Box::new(s))
}

/// `Retry-After` in seconds.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
