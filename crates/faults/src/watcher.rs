//! Watches that go on over every loss of the connection, each from the revision after the last one told.

use crate::client::{Recorder, endpoint, event, span};
use crate::history::{Event, Item, Nanos, Rev, Span, Stream};
use etcd::pb::etcdserverpb as pb;
use pb::watch_request::RequestUnion;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const RETRY: Duration = Duration::from_millis(30);
/// How often the store is asked how far a watch is, once that matters.
const ASK: Duration = Duration::from_millis(100);

pub struct Watcher {
    task: JoinHandle<Stream>,
    until: watch::Sender<Rev>,
}

struct State {
    stream: Stream,
    next: Rev,
    reached: Rev,
    over: bool,
}

fn request(r: RequestUnion) -> pb::WatchRequest {
    pb::WatchRequest { request_union: Some(r) }
}

impl Watcher {
    /// Watches keys from a revision on, with what was superseded if `previous`.
    pub fn start(
        port: u16,
        log: &Arc<Recorder>,
        name: String,
        keys: Span,
        from: Rev,
        previous: bool,
    ) -> Self {
        let log = log.clone();
        let stream = Stream { name, keys, from, items: Vec::new(), until: 0, previous };
        let mut s = State { stream, next: from, reached: from - 1, over: false };
        Self::spawn(async move |mut told| {
            loop {
                // Whatever ended it, there is another try.
                let _ = follow(port, &log, &mut s, &mut told).await;
                let until = *told.borrow_and_update();
                if s.over || until > 0 && s.reached >= until || until < 0 {
                    s.stream.until = until.max(0);
                    return s.stream;
                }
                tokio::select! { () = tokio::time::sleep(RETRY) => {}, _ = told.changed() => {} }
            }
        })
    }

    /// A watch of any kind: it hears how far it must come (0: not known yet; below: it is given up), and answers then.
    pub fn spawn<F, G>(follow: F) -> Self
    where
        F: FnOnce(watch::Receiver<Rev>) -> G,
        G: Future<Output = Stream> + Send + 'static,
    {
        let (until, told) = watch::channel(0);
        Self { task: tokio::spawn(follow(told)), until }
    }

    /// Waits until it was told everything up to a revision, within a time; then what it was told.
    pub async fn finish(self, until: Rev, within: Duration) -> Result<Stream, String> {
        self.until.send_replace(until);
        let mut task = self.task;
        if let Ok(s) = tokio::time::timeout(within, &mut task).await {
            return s.map_err(|e| e.to_string());
        }
        // Not there: it is judged by what it has.
        self.until.send_replace(-1);
        let mut s = task.await.map_err(|e| e.to_string())?;
        s.until = until;
        Ok(s)
    }
}

async fn follow(
    port: u16,
    log: &Recorder,
    s: &mut State,
    until: &mut watch::Receiver<Rev>,
) -> Result<(), String> {
    let text = |e: tonic::Status| e.to_string();
    let channel = endpoint(port)?.connect().await.map_err(|e| e.to_string())?;
    let (key, range_end) = span(&s.stream.keys);
    let create = pb::WatchCreateRequest {
        key,
        range_end,
        start_revision: s.next,
        prev_kv: s.stream.previous,
        ..Default::default()
    };
    let (tx, rx) = mpsc::channel(16);
    tx.send(request(RequestUnion::CreateRequest(create))).await.map_err(|e| e.to_string())?;
    let mut client = pb::watch_client::WatchClient::new(channel).max_decoding_message_size(256 << 20);
    let call = client.watch(tokio_stream::wrappers::ReceiverStream::new(rx));
    let answers = tokio::time::timeout(Duration::from_secs(5), call).await.map_err(|e| e.to_string())?;
    let mut answers = answers.map_err(text)?.into_inner();
    let mut tick = tokio::time::interval(ASK);
    loop {
        tokio::select! {
            a = answers.message() => {
                let Some(a) = a.map_err(text)? else { return Ok(()) };
                take(&a, log.now(), s);
                if a.canceled {
                    return Err(a.cancel_reason);
                }
            }
            _ = until.changed() => {}
            _ = tick.tick() => {
                if *until.borrow() > 0 {
                    // A full queue is asked again at the next tick.
                    let _ = tx.try_send(request(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})));
                }
            }
        }
        let u = *until.borrow();
        if u < 0 || u > 0 && s.reached >= u {
            return Ok(());
        }
    }
}

fn take(a: &pb::WatchResponse, now: Nanos, s: &mut State) {
    let header = a.header.as_ref().map_or(0, |h| h.revision);
    if a.compact_revision > 0 {
        s.stream.items.push((now, Item::Compacted(a.compact_revision)));
        s.over = true;
        return;
    }
    let events: Vec<Event> = a.events.iter().filter_map(event).collect();
    if events.is_empty() && !a.created && !a.canceled {
        s.stream.items.push((now, Item::Progress(header)));
        s.reached = s.reached.max(header);
        s.next = s.next.max(header + 1);
    }
    for e in events {
        s.next = s.next.max(e.kv.modified + 1);
        s.reached = s.reached.max(e.kv.modified);
        s.stream.items.push((now, Item::Event(e)));
    }
}
