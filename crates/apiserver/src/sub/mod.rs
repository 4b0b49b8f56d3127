//! Subresources and kinds with behaviour of their own, one file each. Whatever is not listed here takes the generic path.

mod binding;
mod component_status;
mod eviction;
mod review;
pub mod scale;
mod token;
mod token_review;

pub use token_review::user_info;

use crate::Result;
use crate::body::{self, Expect, Input};
use crate::cx::Cx;
use crate::options::WriteOptions;
use crate::request::RequestInfo;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use meta::{Status, Value};
use serve::Body;

/// Whether the request wants a connection to somewhere else.
pub fn connects(info: &RequestInfo) -> bool {
    matches!(info.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy" | "log")
}

/// A request that is passed on to a kubelet, pod or service. The request is whole: its upgrade can be taken.
pub async fn connect(cx: Cx, req: Request<Input>) -> Result<Response<Body>> {
    crate::connect::connect(cx, req).await
}

/// Answers a get, list or watch that is not the generic one.
pub async fn read(cx: &Cx) -> Option<Result<Response<Body>>> {
    match (cx.res.gvr.resource.as_str(), cx.subresource()) {
        (_, "scale") => Some(Box::pin(scale::get(cx)).await),
        ("componentstatuses", "") if cx.res.gvr.group.is_empty() => {
            Some(Box::pin(component_status::read(cx)).await)
        }
        _ => None,
    }
}

/// Answers a write that is not the generic one.
pub async fn write(cx: &Cx, input: &Bytes) -> Option<Result<Response<Body>>> {
    let (group, resource) = (cx.res.gvr.group.as_str(), cx.res.gvr.resource.as_str());
    Some(match (group, resource, cx.subresource()) {
        ("", "pods", "binding") | ("", "bindings", "") => Box::pin(binding::create(cx, input)).await,
        ("", "pods", "eviction") => Box::pin(eviction::create(cx, input)).await,
        ("", "serviceaccounts", "token") => Box::pin(token::create(cx, input)).await,
        (_, _, "scale") => Box::pin(scale::write(cx, input)).await,
        ("authorization.k8s.io", _, "") => Box::pin(review::create(cx, input)).await,
        ("authentication.k8s.io", "tokenreviews", "") => Box::pin(token_review::token(cx, input)).await,
        ("authentication.k8s.io", "selfsubjectreviews", "") => Box::pin(token_review::own(cx, input)).await,
        _ => return None,
    })
}

/// Decodes the body of a POST that is of another built-in kind than the resource's, with defaults.
fn decode(cx: &Cx, input: &Bytes, want: &Expect<'_>, opts: &WriteOptions) -> Result<Value> {
    let ty = schema::facts::type_of(want.group, want.version, want.kind)
        .ok_or_else(|| Status::internal(format_args!("no type {}", want.kind)))?;
    let mut v = body::decode_builtin(cx, &cx.headers, input, ty, want, opts.field_validation)?;
    kinds::default_object(want.group, want.version, want.kind, &mut v, cx.now);
    Ok(v)
}

/// The options of a POST and its decoded body of the resource's own (never stored) kind.
fn own_kind(cx: &Cx, input: &Bytes) -> Result<(Value, WriteOptions)> {
    let opts = WriteOptions::parse(&cx.query, "CreateOptions", false)?;
    let want = Expect {
        group: &cx.res.gvk.group,
        version: &cx.res.gvk.version,
        kind: &cx.res.gvk.kind,
        any_version: false,
    };
    Ok((decode(cx, input, &want, &opts)?, opts))
}

/// `Status` of success, as POSTs to such subresources answer.
fn success(cx: &Cx, code: StatusCode) -> Result<Response<Body>> {
    let mut s = Status::success();
    s.code = code.as_u16();
    let media = cx.plain_media()?;
    Ok(crate::respond::status(&s, media))
}
