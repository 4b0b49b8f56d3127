//! Subresources and kinds with behaviour of their own, one file each. Whatever is not listed here takes the generic path.

mod binding;
mod reviews;
mod token;

use crate::Result;
use crate::body::Input;
use crate::cx::Cx;
use bytes::Bytes;
use http::{Request, Response};
use serve::Body;

/// Whether the request wants a connection to somewhere else.
pub fn connects(cx: &Cx) -> bool {
    matches!(cx.subresource(), "exec" | "attach" | "portforward" | "proxy" | "log")
}

/// A request that is passed on to a kubelet, pod or service. The request is whole: its upgrade can be taken.
pub async fn connect(cx: Cx, req: Request<Input>) -> Result<Response<Body>> {
    crate::connect::connect(cx, req).await
}

/// Answers a get, list or watch that is not the generic one.
pub async fn read(_cx: &Cx) -> Option<Result<Response<Body>>> {
    None
}

/// Answers a write that is not the generic one.
pub async fn write(cx: &Cx, input: &Bytes) -> Option<Result<Response<Body>>> {
    if cx.info.verb != "create" {
        return None;
    }
    match (cx.res.gvr.resource.as_str(), cx.subresource()) {
        _ if reviews::is(cx) => Some(reviews::create(cx, input).await),
        ("serviceaccounts", "token") => Some(token::create(cx, input).await),
        ("pods", "binding") | ("bindings", "") => Some(binding::create(cx, input).await),
        _ => None,
    }
}
