//! The Watch service: many watches on one stream. Each watch is a task that writes into the stream's queue; the
//! stream's own task answers requests and gathers progress.

use crate::convert;
use crate::pb::etcdserverpb as pb;
use crate::server::Member;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use mvcc::{KeyRange, Revision};
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use storage::{Error, Event, Watch as _, WatchItem, Watcher};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Responses that wait for a slow client; then its watches wait.
const QUEUE: usize = 16;
/// Watches on one stream.
const MOST: usize = 100_000;
/// The number of no watch.
const NONE: i64 = -1;

type Out = mpsc::Sender<Result<pb::WatchResponse, Status>>;

pub struct Watch(pub Arc<Member>);

#[tonic::async_trait]
impl pb::watch_server::Watch for Watch {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(
        &self,
        r: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (out, queue) = mpsc::channel(QUEUE);
        let session =
            Session { member: self.0.clone(), out, watches: HashMap::new(), next: 0, progress: None };
        self.0.rt.spawn("etcd watch stream", session.serve(r.into_inner()));
        Ok(Response::new(ReceiverStream::new(queue).boxed()))
    }
}

/// Asks a watch to answer when everything up to a revision is in the stream's queue.
struct Ask {
    revision: Revision,
    answer: oneshot::Sender<Revision>,
}

struct Running {
    asks: mpsc::Sender<Ask>,
    /// Dropped to end the watch.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

struct Session {
    member: Arc<Member>,
    out: Out,
    watches: HashMap<i64, Running>,
    next: i64,
    /// The gathering of progress that is under way, and whether it was asked for again meanwhile.
    progress: Option<(BoxFuture<'static, Option<Revision>>, bool)>,
}

impl Session {
    async fn serve(mut self, mut requests: Streaming<pb::WatchRequest>) {
        let mut open = true;
        loop {
            let gathered = async {
                match &mut self.progress {
                    Some((f, _)) => f.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                r = requests.message(), if open => match r {
                    Ok(Some(r)) => {
                        if !self.request(r).await {
                            break;
                        }
                    }
                    // The client says no more, and may still listen.
                    Ok(None) => open = false,
                    Err(_) => break,
                },
                revision = gathered => {
                    let again = self.progress.take().is_some_and(|p| p.1);
                    if let Some(r) = revision
                        && !self.send(self.response(NONE, r)).await
                    {
                        break;
                    }
                    if again {
                        self.gather();
                    }
                }
                () = self.out.closed() => break,
                () = self.member.rt.stopping() => break,
            }
        }
        for (_, w) in self.watches.drain() {
            drop(w.stop);
        }
    }

    fn response(&self, id: i64, revision: Revision) -> pb::WatchResponse {
        let mut header = convert::header(revision);
        self.member.sign(&mut header);
        pb::WatchResponse { header, watch_id: id, ..Default::default() }
    }

    async fn send(&mut self, r: pb::WatchResponse) -> bool {
        self.out.send(Ok(r)).await.is_ok()
    }

    /// Carries out a request; `false` when the client is gone.
    async fn request(&mut self, r: pb::WatchRequest) -> bool {
        use pb::watch_request::RequestUnion as R;
        match r.request_union {
            Some(R::CreateRequest(c)) => self.create(c).await,
            Some(R::CancelRequest(c)) => self.cancel(c.watch_id).await,
            Some(R::ProgressRequest(_)) => {
                match &mut self.progress {
                    Some((_, again)) => *again = true,
                    None => self.gather(),
                }
                true
            }
            None => true,
        }
    }

    async fn create(&mut self, c: pb::WatchCreateRequest) -> bool {
        let revision = self.member.store.revision();
        let key: bytes::Bytes = if c.key.is_empty() { vec![0].into() } else { c.key.clone() };
        let keys = KeyRange::of_request(key, &c.range_end);
        let refused = if c.start_revision < 0 {
            Some("etcdserver: mvcc: required revision has been compacted")
        } else if keys.is_empty() {
            Some("mvcc: watcher range is empty")
        } else if c.watch_id != 0 && self.watches.contains_key(&c.watch_id) {
            Some("mvcc: duplicate watch ID provided on the WatchStream")
        } else if self.watches.len() >= MOST {
            Some("etcdserver: too many watches on one stream")
        } else {
            None
        };
        if let Some(why) = refused {
            let no = pb::WatchResponse {
                created: true,
                canceled: true,
                cancel_reason: why.to_owned(),
                ..self.response(NONE, revision)
            };
            return self.send(no).await;
        }
        let mut id = c.watch_id;
        if id == 0 {
            while self.watches.contains_key(&self.next) {
                self.next += 1;
            }
            id = self.next;
            self.next += 1;
        }
        let after = if c.start_revision == 0 { revision } else { c.start_revision - 1 };
        let watcher = self.member.store.watch_range(keys.clone(), after);
        if !self.send(pb::WatchResponse { created: true, ..self.response(id, revision) }).await {
            return false;
        }
        let watcher = match watcher {
            Ok(w) => w,
            Err(Error::Compacted { floor, .. }) => {
                // Upstream names no revision here.
                let gone =
                    pb::WatchResponse { canceled: true, compact_revision: floor, ..self.response(id, 0) };
                return self.send(gone).await;
            }
            Err(e) => {
                let no = pb::WatchResponse {
                    canceled: true,
                    cancel_reason: e.to_string(),
                    ..self.response(id, revision)
                };
                return self.send(no).await;
            }
        };
        let (asks, asked) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let one = One {
            member: self.member.clone(),
            out: self.out.clone(),
            id,
            keys,
            watcher,
            last: after,
            previous: c.prev_kv,
            no_put: c.filters.contains(&(pb::watch_create_request::FilterType::Noput as i32)),
            no_delete: c.filters.contains(&(pb::watch_create_request::FilterType::Nodelete as i32)),
            fragment: c.fragment,
            notify: c.progress_notify,
        };
        let task = self.member.rt.spawn("etcd watch", async move {
            tokio::select! { () = one.run(asked) => {}, _ = stopped => {} }
        });
        self.watches.insert(id, Running { asks, stop, task });
        true
    }

    async fn cancel(&mut self, id: i64) -> bool {
        let Some(w) = self.watches.remove(&id) else { return true };
        drop(w.stop);
        // Nothing of it may come after the answer.
        if w.task.await.is_err() {
            tracing::debug!(id, "a watch ended badly");
        }
        let r = self.member.store.revision();
        self.send(pb::WatchResponse { canceled: true, ..self.response(id, r) }).await
    }

    /// Begins to find out up to which revision all watches of the stream have everything.
    fn gather(&mut self) {
        self.watches.retain(|_, w| !w.task.is_finished());
        let asks: Vec<_> = self.watches.values().map(|w| w.asks.clone()).collect();
        if asks.is_empty() {
            return;
        }
        let store = self.member.store.clone();
        let gathering = async move {
            let revision = store.revision();
            if !store.dispatched(revision).await {
                return None;
            }
            let mut answers = Vec::with_capacity(asks.len());
            for a in asks {
                let (answer, told) = oneshot::channel();
                a.send(Ask { revision, answer }).await.ok()?;
                answers.push(told);
            }
            let mut least = Revision::MAX;
            for told in answers {
                least = least.min(told.await.ok()?);
            }
            Some(least)
        };
        self.progress = Some((Box::pin(gathering), false));
    }
}

/// One watch.
struct One {
    member: Arc<Member>,
    out: Out,
    id: i64,
    keys: KeyRange,
    watcher: Watcher,
    /// Everything up to here was looked at.
    last: Revision,
    previous: bool,
    no_put: bool,
    no_delete: bool,
    fragment: bool,
    notify: bool,
}

impl One {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut waiting: Vec<Ask> = Vec::new();
        let every = self.member.config.watch_progress_notify_interval.max(Duration::from_millis(100));
        // Not all at the same moment, when a client makes many watches at once.
        let jitter = every.mul_f64(f64::from((self.id & 0xff) as u8) / 2560.0);
        let mut told = tokio::time::Instant::now();
        loop {
            let progress = self.watcher.progress();
            for a in waiting.extract_if(.., |a| a.revision <= progress) {
                // The stream may have ended.
                let _ = a.answer.send(progress);
            }
            tokio::select! {
                item = self.watcher.next_item() => {
                    told = tokio::time::Instant::now();
                    let go_on = match item {
                        Some(WatchItem::Events(e)) => self.deliver(&e).await,
                        Some(WatchItem::Progress(_)) => true,
                        Some(WatchItem::Lagged) => self.again().await,
                        None => false,
                    };
                    if !go_on {
                        return;
                    }
                }
                ask = asked.recv() => match ask {
                    Some(a) => waiting.push(a),
                    None => return,
                },
                () = tokio::time::sleep_until(told + every + jitter), if self.notify => {
                    told = tokio::time::Instant::now();
                    let r = self.response(self.watcher.progress());
                    if self.out.send(Ok(r)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn response(&self, revision: Revision) -> pb::WatchResponse {
        let mut header = convert::header(revision);
        self.member.sign(&mut header);
        pb::WatchResponse { header, watch_id: self.id, ..Default::default() }
    }

    /// Fell behind the group: goes on from the history, which is longer than the group's queue.
    async fn again(&mut self) -> bool {
        match self.member.store.watch_range(self.keys.clone(), self.last) {
            Ok(w) => {
                self.watcher = w;
                true
            }
            Err(Error::Compacted { floor, .. }) => {
                let gone = pb::WatchResponse { canceled: true, compact_revision: floor, ..self.response(0) };
                // Either way it is over.
                let _ = self.out.send(Ok(gone)).await;
                false
            }
            Err(_) => false,
        }
    }

    async fn deliver(&mut self, events: &[Event]) -> bool {
        let Some(last) = events.last().map(|e| e.record.mod_revision) else { return true };
        self.last = last;
        let wanted = |e: &&Event| !(if e.record.is_tombstone() { self.no_delete } else { self.no_put });
        let events: Vec<_> = events.iter().filter(wanted).map(|e| convert::event(e, self.previous)).collect();
        if events.is_empty() {
            return true;
        }
        let whole = pb::WatchResponse { events, ..self.response(last) };
        let limit = self.member.config.max_request_bytes + crate::server::OVERHEAD;
        let parts = if self.fragment { fragments(whole, limit) } else { vec![whole] };
        for p in parts {
            if self.out.send(Ok(p)).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Cuts a response into parts below `limit` bytes, of at least one event each.
fn fragments(mut whole: pb::WatchResponse, limit: usize) -> Vec<pb::WatchResponse> {
    if whole.encoded_len() < limit || whole.events.len() < 2 {
        return vec![whole];
    }
    let events = std::mem::take(&mut whole.events);
    let empty = whole.encoded_len() + 2;
    let mut parts = Vec::new();
    let mut now = pb::WatchResponse { fragment: true, ..whole.clone() };
    let mut size = empty;
    for e in events {
        // Length prefixes take up to five bytes and a tag.
        let more = e.encoded_len() + 6;
        if !now.events.is_empty() && size + more >= limit {
            parts.push(std::mem::replace(&mut now, pb::WatchResponse { fragment: true, ..whole.clone() }));
            size = empty;
        }
        size += more;
        now.events.push(e);
    }
    now.fragment = false;
    parts.push(now);
    parts
}
