//! From an authorized request to its handler.

use crate::body::Input;
use crate::cx::{Cx, Notes};
use crate::query::Query;
use crate::registry::Codec;
use crate::request::RequestInfo;
use crate::server::{ApiServer, no_such_path};
use crate::{Result, aggregate, delete, list, nonresource, patching, read, sub, watch, write};
use bytes::Bytes;
use http::{Request, Response};
use meta::{Status, UserInfo};
use serve::Body;
use std::sync::Arc;
use std::time::Duration;

/// A request that changes something gives up after this long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(34);

pub async fn dispatch(
    server: Arc<ApiServer>,
    mut req: Request<Input>,
    info: RequestInfo,
    query: Query,
    user: UserInfo,
    warnings: Arc<Notes>,
) -> Result<Response<Body>> {
    if let Some(r) = server.remotes.for_path(&info.path) {
        return Box::pin(aggregate::pass_on(&server, req, &r, user)).await;
    }
    if !info.is_resource {
        return Box::pin(nonresource::serve(&server, req, &info, &query, &user)).await;
    }
    let registry = server.registry();
    let Some(res) = registry.get(&info.group, &info.version, &info.resource) else {
        return if registry.has_group_version(&info.group, &info.version) {
            Err(Status::no_such_resource().into())
        } else {
            Ok(no_such_path())
        };
    };
    // What is passed on needs its headers.
    let headers =
        if sub::connects(&info) { req.headers().clone() } else { std::mem::take(req.headers_mut()) };
    let cx = Cx::new(server, info, res.clone(), headers, query, user, warnings);
    if let Codec::Custom(c) = &cx.res.codec {
        if let Some(w) = c.warning() {
            cx.warn(w);
        }
        if c.terminating() && cx.info.verb == "create" {
            return Err(crate::crd::no_creates(&cx.info.verb));
        }
    }
    check_route(&cx)?;
    match (cx.res.gvr.group.as_str(), cx.res.gvr.resource.as_str()) {
        ("", "endpoints") => {
            cx.warn("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
        }
        ("", "componentstatuses") => cx.warn("v1 ComponentStatus is deprecated in v1.19+"),
        _ => {}
    }
    if sub::connects(&cx.info) {
        return Box::pin(sub::connect(cx, req)).await;
    }
    match cx.info.verb.as_str() {
        "get" | "list" | "watch" => read_verb(&cx).await,
        _ => {
            let input = req.into_body().read().await?;
            write_verb(cx, input).await
        }
    }
}

/// Whether the path and verb are routes of the resource.
fn check_route(cx: &Cx) -> Result<()> {
    let (i, res) = (&cx.info, &cx.res);
    let missing = || Err(Status::no_such_resource().into());
    let is_namespace = res.is("", "namespaces");
    if !res.namespaced && !i.namespace.is_empty() && !is_namespace {
        return missing();
    }
    if res.namespaced && i.namespace.is_empty() && i.name_in_path {
        return missing();
    }
    if i.parts.len() > 3 && i.subresource != "proxy" {
        return missing();
    }
    let not_allowed = || Err(Status::method_not_allowed().into());
    if i.subresource.is_empty() {
        // Discovery hides these while a definition is going away; finalizers must still come off.
        let last = res.is_custom() && matches!(i.verb.as_str(), "update" | "patch");
        if !res.has_verb(&i.verb) && !last {
            return not_allowed();
        }
        // Writes need a namespace, except deletes of a whole kind, which exist in a namespace only too.
        if res.namespaced
            && i.namespace.is_empty()
            && matches!(i.verb.as_str(), "create" | "deletecollection")
        {
            return not_allowed();
        }
        if matches!(i.verb.as_str(), "update" | "patch") && !i.name_in_path
            || i.verb == "create" && i.name_in_path
        {
            return not_allowed();
        }
        return Ok(());
    }
    match res.sub(&i.subresource) {
        None => missing(),
        Some(s) if s.verbs.contains(&i.verb) => Ok(()),
        // OPTIONS is of no verb; `connect` knows the methods.
        Some(_) if i.verb.is_empty() && i.subresource == "proxy" => Ok(()),
        Some(_) => not_allowed(),
    }
}

async fn read_verb(cx: &Cx) -> Result<Response<Body>> {
    if let Some(r) = sub::read(cx).await {
        return r;
    }
    match cx.info.verb.as_str() {
        "get" => read::get(cx).await,
        "list" => Box::pin(list::list(cx)).await,
        _ => Box::pin(watch::watch(cx)).await,
    }
}

/// Runs a write to its end even when the client goes away: half a write would leave allocations behind.
async fn write_verb(cx: Cx, input: Bytes) -> Result<Response<Body>> {
    let (tx, rx) = tokio::sync::oneshot::channel();
    let rt = cx.server.rt.clone();
    let waiting = storage::Waiting::default();
    let work = waiting.work(async move {
        let done = match tokio::time::timeout(WRITE_TIMEOUT, one_write(&cx, input)).await {
            Ok(r) => r,
            Err(_) => Err(Status::timeout(
                format_args!(
                    "request did not complete within requested timeout - context deadline exceeded ({} s)",
                    WRITE_TIMEOUT.as_secs()
                ),
                0,
            )
            .into()),
        };
        if tx.send(done).is_err() {
            tracing::debug!("the client of a write went away");
        }
    });
    rt.spawn("write", work);
    let done = rx.await;
    drop(waiting);
    match done {
        Ok(r) => r,
        Err(_) => Err(Status::internal("the handler panicked; see the server's log").into()),
    }
}

/// Each handler has a box of its own: together they would make every write's future as large as the largest.
async fn one_write(cx: &Cx, input: Bytes) -> Result<Response<Body>> {
    if let Some(r) = sub::write(cx, &input).await {
        return r;
    }
    match cx.info.verb.as_str() {
        "create" => Box::pin(write::create(cx, input)).await,
        "update" => Box::pin(write::replace(cx, input)).await,
        "patch" => Box::pin(patching::patch(cx, input)).await,
        "delete" => Box::pin(delete::delete(cx, input)).await,
        _ => Box::pin(delete::delete_collection(cx, input)).await,
    }
}
