//! WATCH: a [`Feed`] of selected changes, and its encoding as a stream of frames.

use crate::cx::Cx;
use crate::negotiate::{Format, Media, MetaVersion, Transform};
use crate::object::{FrameKey, ext};
use crate::options::ListOptions;
use crate::read::{at_least, parse_version, snapshot, store_failure};
use crate::registry::{Codec, ResourceInfo};
use crate::select::{Filter, Scope, scope};
use crate::server::ApiServer;
use crate::table::{self, Include};
use crate::{Failure, Result, encode, respond};
use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body_util::{BodyExt, StreamBody};
use meta::Status;
use meta::time::Timestamp;
use mvcc::Record;
use serde_json::json;
use serve::Body;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use storage::{Watch, WatchItem};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// The last bookmark comes this long before the watch ends by itself.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
const PIECE: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// What a watcher is told.
pub enum Item {
    /// `record` holds the object's state; `revision` is what its resourceVersion shall say; `at` is where frames of
    /// this event are kept for other watchers.
    Change {
        change: Change,
        record: Arc<Record>,
        revision: i64,
        at: Option<Arc<Record>>,
    },
    Bookmark {
        revision: i64,
        initial_end: bool,
    },
    /// The last item.
    Error(Failure),
}

/// Selected changes of a resource.
pub struct Feed {
    server: Arc<ApiServer>,
    pub info: Arc<ResourceInfo>,
    filter: Filter,
    only: Option<String>,
    initial: VecDeque<Arc<Record>>,
    initial_end: bool,
    error: Option<Failure>,
    source: Option<Box<dyn Watch>>,
    /// Events up to here are not for this watcher (it asked for a revision that does not exist yet).
    floor: i64,
    /// Everything up to here has been told.
    told: i64,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    /// Fires at the instant beside it; made once, for a watch waits often.
    timer: (Pin<Box<Sleep>>, Instant),
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Of the registry, where the resource may leave it.
    changes: Option<tokio::sync::watch::Receiver<u64>>,
}

impl Feed {
    /// Starts a watch as the options say.
    pub async fn start(cx: &Cx, namespace: &str, o: &ListOptions) -> Result<Self> {
        let scope = scope(&cx.res, namespace, o);
        let (prefix, only) = match scope {
            Scope::One(k) => (k.clone(), Some(k)),
            Scope::Under(p) => (p, None),
        };
        let min = cx.server.cfg.min_request_timeout.max(1);
        let timeout = match o.timeout_seconds {
            Some(t) if t > 0 => Duration::from_secs(u64::try_from(t).unwrap_or(0)),
            _ => Duration::from_secs(min + cx.seed % min),
        };
        let now = Instant::now();
        let deadline = now + timeout;
        let mut feed = Self {
            server: cx.server.clone(),
            info: cx.res.clone(),
            filter: Filter::new(o),
            only,
            initial: VecDeque::new(),
            initial_end: false,
            error: None,
            source: None,
            floor: 0,
            told: 0,
            bookmarks: o.bookmarks,
            next_bookmark: (now + BOOKMARK_EVERY).min(deadline - BOOKMARK_BEFORE_END.min(timeout)),
            deadline,
            timer: (Box::pin(tokio::time::sleep_until(deadline)), deadline),
            stop: Box::pin(cx.server.rt.stop_token().cancelled_owned()),
            changes: cx.res.is_custom().then(|| cx.server.registry_changes()),
        };
        let rv = o.resource_version.as_str();
        let legacy = matches!(rv, "" | "0");
        let after = if o.send_initial_events == Some(true) {
            let snap =
                if legacy { snapshot(cx, rv).await? } else { at_least(cx, parse_version(rv)?).await? };
            match &feed.only {
                Some(key) => feed.initial.extend(snap.get(key)),
                None => snap.scan(&prefix, "", &mut |r| {
                    feed.initial.push_back(r.clone());
                    true
                }),
            }
            feed.initial_end = o.bookmarks;
            snap.revision()
        } else if legacy {
            snapshot(cx, rv).await?.revision()
        } else {
            parse_version(rv)?
        };
        feed.told = after;
        let store = &cx.server.store;
        let source = match store.watch(&prefix, after) {
            Err(storage::Error::Future { current, .. }) => {
                feed.floor = after;
                store.watch(&prefix, current)
            }
            other => other,
        };
        match source {
            Ok(s) => feed.source = Some(s),
            Err(storage::Error::Compacted { asked, floor }) => {
                let text = format!("too old resource version: {asked} ({floor})");
                feed.initial.clear();
                feed.initial_end = false;
                feed.error = Some(Status::expired(text).into());
            }
            Err(e) => return Err(store_failure(&e)),
        }
        Ok(feed)
    }

    /// A watch that never ends by itself and always tells bookmarks (for components in this process).
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.deadline = Instant::now() + Duration::from_secs(10 * 365 * 86_400);
        self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
        self
    }

    /// The next items, at least one; `None` when the watch is over.
    pub async fn next(&mut self) -> Option<Vec<Item>> {
        if let Some(e) = self.error.take() {
            self.source = None;
            return Some(vec![Item::Error(e)]);
        }
        loop {
            if let Some(items) = self.take_initial().await {
                return Some(items);
            }
            let source = self.source.as_mut()?;
            let wake = if self.bookmarks { self.next_bookmark.min(self.deadline) } else { self.deadline };
            if self.timer.1 != wake {
                self.timer.0.as_mut().reset(wake);
                self.timer.1 = wake;
            }
            let item = tokio::select! {
                biased;
                // First, so that a task that was woken for it does not look at all else.
                item = std::future::poll_fn(|cx| source.poll_next(cx)) => item,
                () = self.stop.as_mut() => return None,
                // Its clients find out what it is now by beginning anew.
                () = redefined(&mut self.changes, &self.server, &self.info) => return None,
                () = self.timer.0.as_mut() => {
                    if Instant::now() >= self.deadline {
                        return None;
                    }
                    self.told = self.told.max(source.progress());
                    self.next_bookmark = self.following_bookmark();
                    return Some(vec![Item::Bookmark { revision: self.told, initial_end: false }]);
                }
            };
            match item {
                None | Some(WatchItem::Lagged) => return None,
                Some(WatchItem::Progress(r)) => self.told = self.told.max(r),
                Some(WatchItem::Events(events)) => {
                    let mut out = Vec::with_capacity(events.len());
                    for e in events.iter() {
                        self.told = self.told.max(e.record.mod_revision);
                        if self.only.as_deref().is_none_or(|k| k == &*e.record.key)
                            && e.record.mod_revision > self.floor
                        {
                            out.extend(classify(&self.info, &self.filter, e).await);
                        }
                    }
                    if !out.is_empty() {
                        return Some(out);
                    }
                }
            }
        }
    }

    fn following_bookmark(&self) -> Instant {
        let now = Instant::now();
        let last = self.deadline.checked_sub(BOOKMARK_BEFORE_END).unwrap_or(self.deadline);
        let next = now + BOOKMARK_EVERY;
        if next > last && now < last { last } else { next }
    }

    async fn take_initial(&mut self) -> Option<Vec<Item>> {
        if self.initial.is_empty() && !self.initial_end {
            return None;
        }
        let mut out = Vec::new();
        while out.len() < 100 {
            let Some(record) = self.initial.pop_front() else { break };
            if self.filter.matches(&self.info, &record).await {
                let revision = record.mod_revision;
                out.push(Item::Change { change: Change::Added, record, revision, at: None });
            }
        }
        if self.initial.is_empty() && self.initial_end {
            self.initial_end = false;
            out.push(Item::Bookmark { revision: self.told, initial_end: true });
        }
        (!out.is_empty()).then_some(out)
    }
}

/// Ends when a custom resource is not served any more as it was.
async fn redefined(
    changes: &mut Option<tokio::sync::watch::Receiver<u64>>,
    server: &ApiServer,
    info: &ResourceInfo,
) {
    let (Some(changes), Codec::Custom(mine)) = (changes, &info.codec) else {
        return std::future::pending().await;
    };
    loop {
        let now = server.resource(&info.gvr.group, &info.gvr.version, &info.gvr.resource);
        match now.as_deref().map(|i| &i.codec) {
            Some(Codec::Custom(c)) if c.identity() == mine.identity() => {}
            _ => return,
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// What an event of the store means to a watcher with this filter; `None`: nothing.
async fn classify(info: &ResourceInfo, filter: &Filter, e: &storage::Event) -> Option<Item> {
    let r = &e.record;
    let before = match &e.previous {
        Some(p) if !p.is_tombstone() => filter.matches(info, p).await.then_some(p),
        _ => None,
    };
    let after = !r.is_tombstone() && filter.matches(info, r).await;
    let (change, record) = match (before, after) {
        (None, false) => return None,
        (None, true) => (Change::Added, r),
        (Some(_), true) => (Change::Modified, r),
        (Some(p), false) => (Change::Deleted, p),
    };
    Some(Item::Change { change, record: record.clone(), revision: r.mod_revision, at: Some(r.clone()) })
}

/// Encodes items as frames.
struct Encoder {
    server: Arc<ApiServer>,
    info: Arc<ResourceInfo>,
    media: Media,
    include: Include,
    columns_told: bool,
}

impl Encoder {
    fn proto(&self) -> bool {
        self.media.format == Format::Proto
    }

    fn cache_key(&self, change: Change) -> Option<FrameKey> {
        let encoding = match (self.media.transform, self.proto()) {
            (Transform::None, false) => 0,
            (Transform::None, true) => 1,
            (Transform::Partial(MetaVersion::V1), false) => 2,
            (Transform::Partial(MetaVersion::V1Beta1), false) => 3,
            (Transform::Partial(MetaVersion::V1), true) => 4,
            (Transform::Partial(MetaVersion::V1Beta1), true) => 5,
            _ => return None,
        };
        Some(FrameKey { event: change as u8, encoding, info: self.info.id })
    }

    /// One frame, of which watchers of the same form share the bytes.
    async fn item(&mut self, item: &Item) -> Bytes {
        match item {
            Item::Change { change, record, revision, at } => {
                let slot = at.as_ref().zip(self.cache_key(*change));
                match slot.and_then(|(at, k)| ext(at).frame(k)) {
                    Some(f) => f,
                    None => match self.change(*change, record, *revision).await {
                        Ok(f) => {
                            let f = Bytes::from(f);
                            if let Some((at, k)) = slot {
                                ext(at).keep_frame(k, f.clone());
                                self.server.frames.kept(at, f.len());
                            }
                            f
                        }
                        Err(e) => self.error(&e).into(),
                    },
                }
            }
            Item::Bookmark { revision, initial_end } => self.bookmark(*revision, *initial_end).into(),
            Item::Error(e) => self.error(e).into(),
        }
    }

    /// All frames: large ones and a single one as they are, small ones gathered.
    async fn items(&mut self, items: &[Item], ready: &mut VecDeque<Bytes>) {
        let mut tail = Vec::new();
        for i in items {
            let frame = self.item(i).await;
            if items.len() == 1 || frame.len() >= PIECE / 4 {
                if !tail.is_empty() {
                    ready.push_back(std::mem::take(&mut tail).into());
                }
                ready.push_back(frame);
            } else {
                tail.extend_from_slice(&frame);
            }
        }
        if !tail.is_empty() {
            ready.push_back(tail.into());
        }
    }

    async fn change(&mut self, change: Change, r: &Record, rv: i64) -> Result<Vec<u8>> {
        let mut obj = Vec::with_capacity(r.value.len() * 2 + 128);
        match (self.media.transform, self.proto()) {
            (Transform::Table(v), _) => {
                let now = now(&self.server);
                let meta = json!({ "resourceVersion": rv.to_string() });
                table::open(&self.info, v, &meta, !self.columns_told, &mut obj);
                table::row(&self.info, r, rv, v, self.include, now, &mut obj).await?;
                obj.extend_from_slice(b"]}");
                self.columns_told = true;
            }
            (Transform::Partial(v), false) => encode::partial_json(&self.info, r, rv, v, &mut obj).await?,
            (Transform::Partial(v), true) => {
                let mut raw = Vec::with_capacity(1024);
                encode::partial_proto(&self.info, r, rv, &mut raw).await?;
                obj = schema::proto::wrap(v.api_version(), "PartialObjectMetadata", &raw);
            }
            (_, true) => {
                let mut raw = Vec::with_capacity(r.value.len() + 32);
                encode::proto(&self.info, r, rv, &mut raw).await?;
                obj = schema::proto::wrap(&self.info.api_version, &self.info.gvk.kind, &raw);
            }
            (_, false) => encode::json(&self.info, r, rv, true, &mut obj).await?,
        }
        Ok(self.frame(change.name(), &obj))
    }

    fn bookmark(&self, revision: i64, initial_end: bool) -> Vec<u8> {
        let mut meta = json!({ "resourceVersion": revision.to_string() });
        if initial_end {
            meta["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let (kind, api_version) = match self.media.transform {
            Transform::Partial(v) => ("PartialObjectMetadata", v.api_version()),
            _ => (self.info.gvk.kind.as_str(), self.info.api_version.as_str()),
        };
        let obj = json!({ "kind": kind, "apiVersion": api_version, "metadata": meta });
        if let Transform::Table(v) = self.media.transform {
            // A table without rows; what the bookmark says is its list metadata.
            let mut out = Vec::new();
            table::open(&self.info, v, &meta, false, &mut out);
            out.extend_from_slice(b"]}");
            return self.frame("BOOKMARK", &out);
        }
        let media = Media { pretty: false, ..self.media };
        let body = encode::any_value(&obj, media);
        let body = body.strip_suffix(b"\n").unwrap_or(&body);
        self.frame("BOOKMARK", body)
    }

    fn error(&self, e: &Status) -> Vec<u8> {
        let media = Media { pretty: false, transform: Transform::None, ..self.media };
        let body = respond::status_bytes(e, media);
        self.frame("ERROR", body.strip_suffix(b"\n").unwrap_or(&body))
    }

    fn frame(&self, ty: &str, obj: &[u8]) -> Vec<u8> {
        if !self.proto() {
            let mut out = Vec::with_capacity(obj.len() + 40);
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(ty.as_bytes());
            out.extend_from_slice(b"\",\"object\":");
            out.extend_from_slice(obj);
            out.extend_from_slice(b"}\n");
            return out;
        }
        let raw = 1 + encode::varint_len(obj.len()) + obj.len();
        let len = 2 + ty.len() + 1 + encode::varint_len(raw) + raw;
        let mut out = Vec::with_capacity(len + 4);
        out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        out.push(0x0a);
        encode::put_varint(ty.len(), &mut out);
        out.extend_from_slice(ty.as_bytes());
        out.push(0x12);
        encode::put_varint(raw, &mut out);
        out.push(0x0a);
        encode::put_varint(obj.len(), &mut out);
        out.extend_from_slice(obj);
        out
    }
}

fn now(server: &ApiServer) -> Timestamp {
    Timestamp { seconds: server.rt.clock.unix_seconds(), nanos: 0 }
}

/// WATCH.
pub async fn watch(cx: &Cx) -> Result<Response<Body>> {
    let media = cx.stream_media()?;
    let include = cx.include()?;
    let name = (!cx.info.name.is_empty()).then_some(cx.info.name.as_str());
    let o = ListOptions::parse(&cx.query, &cx.res, true, name)?;
    let feed = Feed::start(cx, &cx.info.namespace, &o).await?;
    let enc =
        Encoder { server: cx.server.clone(), info: cx.res.clone(), media, include, columns_told: false };
    let open = cx.server.metrics.long_running(&cx.info, "watch");
    let stream = futures::stream::unfold(
        (feed, enc, VecDeque::<Bytes>::new(), open),
        |(mut feed, mut enc, mut ready, open)| async move {
            loop {
                if let Some(b) = ready.pop_front() {
                    return Some((Ok(http_body::Frame::data(b)), (feed, enc, ready, open)));
                }
                let items = feed.next().await?;
                enc.items(&items, &mut ready).await;
            }
        },
    );
    let mut r: Response<Body> = Response::new(StreamBody::new(stream).boxed_unsync());
    let ct = match media.format {
        Format::Proto => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    };
    r.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(ct));
    Ok(r)
}
