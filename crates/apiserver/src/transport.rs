//! The way into this server from the same process: no socket, no copy of stored bytes.

use crate::body::Input;
use crate::chain;
use crate::cx::{Cx, Notes};
use crate::list::page;
use crate::object::{Form, direct, ext};
use crate::options::ListOptions;
use crate::query::Query;
use crate::registry::ResourceInfo;
use crate::request::RequestInfo;
use crate::server::{ApiServer, Sender};
use crate::watch::{Change, Feed, Item};
use crate::{Failure, Result, encode, object};
use bytes::Bytes;
use client::{Body, Error, ListWatch, RawEvent, RawList, RawObject, RawStream, Transport};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, Method, Request, Response};
use meta::{Status, UserInfo};
use mvcc::Record;
use std::sync::Arc;

/// Requests of one component of this process.
pub struct InProcess {
    server: Arc<ApiServer>,
    user: UserInfo,
}

impl ApiServer {
    /// A transport whose requests are authorized as this user's.
    pub fn transport(self: &Arc<Self>, user: UserInfo) -> Arc<dyn Transport> {
        Arc::new(InProcess { server: self.clone(), user })
    }
}

fn failed(f: Failure) -> Error {
    Error::Status(f)
}

impl InProcess {
    /// The context of a list or watch, after authorization.
    fn cx(&self, what: &ListWatch, verb: &str) -> Result<(Cx, ListOptions)> {
        let mut info = RequestInfo {
            is_resource: true,
            verb: verb.to_owned(),
            group: what.group.clone(),
            version: what.version.clone(),
            resource: what.resource.clone(),
            namespace: what.namespace.clone(),
            field_selector: what.field_selector.clone(),
            label_selector: what.label_selector.clone(),
            ..RequestInfo::default()
        };
        let fields =
            meta::selector::FieldSelector::parse(&what.field_selector).map_err(Status::bad_request)?;
        if let Some(n) = fields.exact("metadata.name") {
            info.name = n.to_owned();
        }
        chain::authorize(&self.server, &info, &self.user, None)?;
        let res = self
            .server
            .resource(&what.group, &what.version, &what.resource)
            .ok_or_else(Status::no_such_resource)?;
        let mut q = form(&[("labelSelector", &what.label_selector), ("fieldSelector", &what.field_selector)]);
        if verb == "watch" {
            q.push_str("&allowWatchBookmarks=true&resourceVersion=1");
        }
        let query = Query::parse(&q);
        let o = ListOptions::parse(&query, &res, verb == "watch", None)?;
        let cx = Cx::new(
            self.server.clone(),
            info,
            res,
            HeaderMap::new(),
            query,
            self.user.clone(),
            Arc::new(Notes::default()),
        );
        Ok((cx, o))
    }

    async fn raw_list(&self, what: ListWatch) -> Result<RawList> {
        let (cx, o) = self.cx(&what, "list")?;
        let p = page(&cx, &what.namespace, &o).await?;
        let mut items = Vec::with_capacity(p.records.len());
        for r in &p.records {
            items.push(raw_object(&cx.res, r, r.mod_revision).await?);
        }
        Ok(RawList { resource_version: unsigned(p.revision), items })
    }

    async fn raw_watch(&self, what: ListWatch, rv: u64) -> Result<RawStream> {
        let (cx, mut o) = self.cx(&what, "watch")?;
        o.resource_version = rv.to_string();
        if rv == 0 {
            // From nothing: the present objects first.
            o.send_initial_events = Some(true);
        }
        let feed = Feed::start(&cx, &what.namespace, &o).await?.endless();
        let open = cx.server.metrics.long_running(&cx.info, "watch");
        let stream = futures::stream::unfold((feed, open), |(mut feed, open)| async move {
            let items = feed.next().await?;
            let mut out = Vec::with_capacity(items.len());
            for i in items {
                out.push(Ok(raw_event(&feed.info, i).await));
            }
            Some((futures::stream::iter(out), (feed, open)))
        });
        Ok(stream.flatten().boxed())
    }
}

fn form(pairs: &[(&str, &String)]) -> String {
    let enc = |s: &str| -> String {
        s.bytes()
            .map(|b| {
                if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
                    char::from(b).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect()
    };
    let v: Vec<String> =
        pairs.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={}", enc(v))).collect();
    v.join("&")
}

fn unsigned(v: i64) -> u64 {
    u64::try_from(v).unwrap_or(0)
}

/// A record as the client crate has objects: the stored bytes themselves where they are in the served version.
async fn raw_object(info: &ResourceInfo, r: &Record, rv: i64) -> Result<RawObject> {
    let e = ext(r);
    let header = e.header.clone();
    let resource_version = unsigned(rv);
    if let Some((raw, _)) = direct(info, r) {
        return Ok(RawObject { header, resource_version, body: raw.clone(), json: false });
    }
    if let (Form::Json(b), true) = (&e.form, info.is_custom()) {
        let mut probe = Vec::new();
        encode::json(info, r, rv, true, &mut probe).await?;
        // Stored as served: shared; converted or defaulted on the way out: a copy.
        let body = if probe.len() <= b.len() + 64 { b.clone() } else { probe.into() };
        return Ok(RawObject { header, resource_version, body, json: true });
    }
    let v = object::decode_at(info, r, rv).await?;
    let mut out = Vec::new();
    encode::value_json(info, v, true, &mut out)?;
    Ok(RawObject { header, resource_version, body: out.into(), json: true })
}

async fn raw_event(info: &ResourceInfo, i: Item) -> RawEvent {
    match i {
        Item::Bookmark { revision, .. } => RawEvent::Bookmark(unsigned(revision)),
        Item::Error(e) => RawEvent::Error(e),
        Item::Change { change, record, revision, .. } => match raw_object(info, &record, revision).await {
            Err(e) => RawEvent::Error(e),
            Ok(o) => match change {
                Change::Added => RawEvent::Added(o),
                Change::Modified => RawEvent::Modified(o),
                Change::Deleted => RawEvent::Deleted(o),
            },
        },
    }
}

impl Transport for InProcess {
    fn call(&self, req: Request<Bytes>) -> BoxFuture<'_, std::result::Result<Response<Body>, Error>> {
        async move {
            debug_assert!(req.method() != Method::CONNECT, "there is no tunnel through this transport");
            Ok(self.server.handle(req.map(Input::Bytes), Sender::Process(self.user.clone())).await)
        }
        .boxed()
    }
    fn whole_objects(&self) -> bool {
        true
    }
    fn list(&self, what: ListWatch) -> BoxFuture<'_, std::result::Result<RawList, Error>> {
        async move { self.raw_list(what).await.map_err(failed) }.boxed()
    }
    fn watch(&self, what: ListWatch, rv: u64) -> BoxFuture<'_, std::result::Result<RawStream, Error>> {
        async move { self.raw_watch(what, rv).await.map_err(failed) }.boxed()
    }
}
