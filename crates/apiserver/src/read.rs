//! GET of one object, and the revisions at which reads happen.

use crate::cx::Cx;
use crate::negotiate::Partial;
use crate::{Failure, Result, encode, respond};
use http::{Response, StatusCode};
use meta::status::{Cause, Details};
use meta::{Reason, Status};
use mvcc::Record;
use serve::Body;
use std::sync::Arc;
use std::time::Duration;
use storage::Snapshot;

/// How long a read waits for a revision that this server has not seen yet.
const FUTURE_WAIT: Duration = Duration::from_secs(3);
const FUTURE_STEP: Duration = Duration::from_millis(50);

/// A failure of the store.
pub fn store_failure(e: &storage::Error) -> Failure {
    match e {
        storage::Error::Compacted { .. } => {
            Status::expired("The resourceVersion for the provided list is too old.").into()
        }
        storage::Error::Future { asked, current } => future(*asked, *current, 1),
        storage::Error::Closed => Status::unavailable("the store is shutting down").into(),
        storage::Error::TooLarge(_) => {
            Status::failure(Reason::RequestEntityTooLarge, "etcdserver: request is too large").into()
        }
        storage::Error::NoLease(_) | storage::Error::Io(_) | storage::Error::Invalid(_) => {
            Status::internal(e).into()
        }
    }
}

/// The 504 of a resource version that does not exist yet.
pub fn future(asked: i64, current: i64, retry: i32) -> Failure {
    let message = format!("Too large resource version: {asked}, current: {current}");
    let mut s = Status::timeout(message, retry);
    let d = s.details.get_or_insert_with(Box::<Details>::default);
    d.causes.push(Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    });
    s.into()
}

/// A resource version as clients write it.
pub fn parse_version(v: &str) -> Result<i64> {
    v.parse::<u64>().ok().and_then(|n| i64::try_from(n).ok()).ok_or_else(|| {
        Status::bad_request(format!(
            "invalid resource version: strconv.ParseUint: parsing {v:?}: invalid syntax"
        ))
        .into()
    })
}

/// The newest state, once it is at least at `revision`.
pub async fn at_least(cx: &Cx, revision: i64) -> Result<Snapshot> {
    let store = &cx.server.store;
    let snap = store.cached();
    if snap.revision() >= revision {
        return Ok(snap);
    }
    let mut waited = Duration::ZERO;
    loop {
        let snap = store.latest().await.map_err(|e| store_failure(&e))?;
        if snap.revision() >= revision {
            return Ok(snap);
        }
        if waited >= FUTURE_WAIT {
            return Err(future(revision, snap.revision(), 1));
        }
        tokio::time::sleep(FUTURE_STEP).await;
        waited += FUTURE_STEP;
    }
}

/// The state that a GET or LIST with this `resourceVersion` (not exact) reads.
pub async fn snapshot(cx: &Cx, resource_version: &str) -> Result<Snapshot> {
    match resource_version {
        "" => cx.server.store.latest().await.map_err(|e| store_failure(&e)),
        "0" => Ok(cx.server.store.cached()),
        v => at_least(cx, parse_version(v)?).await,
    }
}

/// The record that the request names.
pub async fn record(cx: &Cx, resource_version: &str) -> Result<Arc<Record>> {
    let snap = snapshot(cx, resource_version).await?;
    let key = cx.res.key(&cx.info.namespace, &cx.info.name);
    snap.get(&key).ok_or_else(|| cx.not_found(&cx.info.name))
}

/// GET.
pub async fn get(cx: &Cx) -> Result<Response<Body>> {
    let media = cx.media(Partial::Object)?;
    let include = cx.include()?;
    let r = record(cx, cx.query.get("resourceVersion").unwrap_or("")).await?;
    let body = encode::record(&cx.res, &r, media, include, cx.now).await?;
    Ok(respond::object_gzip(StatusCode::OK, media, body, &cx.headers))
}
