//! The API server's store in an etcd elsewhere: writes go there, reads come from a mirror that one watch keeps.
//!
//! The mirror follows every key of the etcd, so that it reaches every revision; values outside of `/registry/` are not
//! kept. A write answers when etcd has it and the mirror shows it; a consistent read asks etcd for its revision and
//! waits for the mirror to get there.

mod dial;
#[cfg(test)]
mod tests;

pub use dial::Servers;

use crate::pb::etcdserverpb as pb;
use crate::pb::mvccpb::KeyValue;
use bytes::Bytes;
use futures::future::BoxFuture;
use mvcc::State;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::maintenance_client::MaintenanceClient;
use pb::request_op::Request as Op;
use pb::response_op::Response as OpAnswer;
use pb::watch_client::WatchClient;
use pb::watch_request::RequestUnion;
use runtime::Runtime;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use storage::{Change, Error, Mirror, Outcome, Record, Revision, Snapshot, Storage, Watch};
use tonic::Status;
use tonic::transport::Channel;

const PREFIX: &str = "/registry/";
/// Where API servers agree on who compacts (upstream: `compact_rev_key`).
const COMPACT_KEY: &str = "compact_rev_key";
const PAGE: i64 = 500;
const MESSAGE: usize = 1 << 30;
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);
/// History in memory, as the embedded store keeps it.
const HISTORY_BYTES: usize = 128 << 20;
const BACKLOG: usize = 10_000;
/// A lease is shared by keys that end within this many seconds, and by so many keys.
const LEASE_SHARE: i64 = 60;
const LEASE_KEYS: u32 = 1000;

struct Lease {
    id: i64,
    /// Unix seconds.
    until: i64,
    keys: u32,
}

pub struct Remote {
    channel: Channel,
    mirror: Mirror,
    lease: Mutex<Option<Lease>>,
    size: AtomicU64,
    rt: Runtime,
}

fn failure(s: &Status) -> Error {
    let text = s.message();
    if text.contains("request is too large") {
        return Error::TooLarge(0);
    }
    if text.contains("requested lease not found") {
        return Error::NoLease(0);
    }
    let cause = std::error::Error::source(s).map(chain).unwrap_or_default();
    Error::Io(format!("etcd: {text}{}{cause}", if cause.is_empty() { "" } else { ": " }))
}

/// An error and what is behind it, without what it says twice.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut at = e.source();
    while let Some(e) = at {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        at = e.source();
    }
    text
}

async fn within<T>(f: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, f).await {
        Ok(Ok(r)) => Ok(r.into_inner()),
        Ok(Err(s)) => Err(failure(&s)),
        Err(_) => Err(Error::Io("etcd: request timed out".into())),
    }
}

fn revision(h: Option<&pb::ResponseHeader>) -> Revision {
    h.map_or(0, |h| h.revision)
}

fn record(kv: KeyValue, sub: u32) -> Result<Record, Error> {
    let key = std::str::from_utf8(&kv.key).map_err(|_| Error::Io("etcd: a key is not text".into()))?;
    let kept = key.starts_with(PREFIX);
    Ok(Record {
        key: key.into(),
        value: if kept { kv.value } else { Bytes::new() },
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
        sub,
        ext: OnceLock::new(),
    })
}

fn kv(channel: &Channel) -> KvClient<Channel> {
    KvClient::new(channel.clone()).max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE)
}

/// Every key, as of one revision.
async fn everything(channel: &Channel) -> Result<State, Error> {
    let mut records = Vec::new();
    let (mut from, mut at) = (Bytes::from_static(b"\0"), 0);
    loop {
        let ask = pb::RangeRequest {
            key: from.clone(),
            range_end: Bytes::from_static(b"\0"),
            limit: PAGE,
            revision: at,
            ..pb::RangeRequest::default()
        };
        let page = within(kv(channel).range(ask)).await?;
        if at == 0 {
            at = revision(page.header.as_ref());
        }
        let Some(last) = page.kvs.last() else { break };
        let mut next = last.key.to_vec();
        next.push(0);
        from = next.into();
        for kv in page.kvs {
            // Keys that are no text belong to nobody here.
            if std::str::from_utf8(&kv.key).is_ok() {
                records.push(record(kv, 0)?);
            }
        }
        if !page.more {
            break;
        }
    }
    Ok(State::beginning(at, records))
}

impl Remote {
    /// Waits until the cluster answers, and fills the mirror. `compact_every` zero: others compact.
    pub async fn open(servers: &Servers, compact_every: Duration, rt: Runtime) -> Result<Arc<Self>, String> {
        let channel = dial::channel(servers)?;
        let mut said = false;
        let state = loop {
            match everything(&channel).await {
                Ok(s) => break s,
                Err(e) if !said => {
                    said = true;
                    tracing::warn!("waiting for etcd ({}): {e}", servers.urls.join(","));
                }
                Err(e) => tracing::debug!("waiting for etcd: {e}"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = rt.stopping() => return Err("stopped while waiting for etcd".into()),
            }
        };
        tracing::info!(revision = state.revision(), servers = servers.urls.join(","), "etcd is there");
        let me = Arc::new(Self {
            channel,
            mirror: Mirror::new(state, HISTORY_BYTES, BACKLOG),
            lease: Mutex::new(None),
            size: AtomicU64::new(0),
            rt: rt.clone(),
        });
        let (a, b, c) = (me.clone(), me.clone(), me.clone());
        rt.spawn("etcd watch", async move {
            tokio::select! { () = a.follow() => {}, () = a.rt.stopping() => {} }
            a.mirror.close();
        });
        rt.spawn_until_stop("etcd size", async move { b.measure().await });
        if !compact_every.is_zero() {
            rt.spawn_until_stop("etcd compaction", async move { c.compactor(compact_every).await });
        }
        Ok(me)
    }

    /// Keeps the mirror as etcd is.
    async fn follow(&self) {
        loop {
            match self.watch_once().await {
                Ok(()) => tracing::debug!("etcd ended the watch"),
                Err(Error::Compacted { .. }) => {
                    tracing::warn!("changes of etcd were missed: everything is read again");
                    match everything(&self.channel).await {
                        Ok(s) => self.mirror.replace(s),
                        Err(e) => tracing::warn!("{e}"),
                    }
                }
                Err(e) => tracing::warn!("{e}; trying again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn watch_once(&self) -> Result<(), Error> {
        let create = pb::WatchCreateRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            start_revision: self.mirror.revision() + 1,
            progress_notify: true,
            fragment: true,
            ..pb::WatchCreateRequest::default()
        };
        let first = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The stream of requests stays open as long as that of answers is read.
        let requests = futures::StreamExt::chain(
            futures::stream::iter([first]),
            futures::stream::pending::<pb::WatchRequest>(),
        );
        let mut client = WatchClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE);
        let mut answers = client.watch(requests).await.map_err(|s| failure(&s))?.into_inner();
        let mut pending: Vec<(Revision, Vec<Change>)> = Vec::new();
        while let Some(a) = answers.message().await.map_err(|s| failure(&s))? {
            if a.compact_revision > 0 {
                let asked = self.mirror.revision() + 1;
                return Err(Error::Compacted { asked, floor: a.compact_revision });
            }
            if a.canceled {
                return Err(Error::Io(format!("etcd ended the watch: {}", a.cancel_reason)));
            }
            let now = revision(a.header.as_ref());
            let quiet = a.events.is_empty() && !a.created && !a.fragment;
            for e in a.events {
                let Some(kv) = e.kv else { continue };
                let r = kv.mod_revision;
                if pending.last().is_none_or(|(last, _)| *last != r) {
                    pending.push((r, Vec::new()));
                }
                let (Ok(key), Some((_, changes))) = (std::str::from_utf8(&kv.key), pending.last_mut()) else {
                    continue;
                };
                let kept = key.starts_with(PREFIX);
                let value = (e.r#type == 0).then(|| (if kept { kv.value } else { Bytes::new() }, kv.lease));
                changes.push(Change { key: key.to_owned(), value });
            }
            // A revision that comes in pieces is one revision.
            if a.fragment {
                continue;
            }
            if quiet && now > self.mirror.revision() {
                pending.push((now, Vec::new()));
            }
            if !pending.is_empty() {
                self.mirror.apply(std::mem::take(&mut pending));
            }
        }
        Ok(())
    }

    async fn measure(&self) {
        loop {
            let mut c = MaintenanceClient::new(self.channel.clone());
            if let Ok(s) = within(c.status(pb::StatusRequest::default())).await {
                self.size.store(u64::try_from(s.db_size).unwrap_or(0), Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
    }

    /// Every so often compacts to the revision of the time before; API servers agree through a key on who does it
    /// (upstream: `storage/etcd3/compact.go`).
    async fn compactor(&self, every: Duration) {
        let (mut time, mut mark) = (0, 0);
        loop {
            tokio::time::sleep(every).await;
            match self.compact_turn(time, mark).await {
                Ok((t, r)) => (time, mark) = (t, r),
                Err(e) => tracing::warn!("compacting etcd: {e}"),
            }
        }
    }

    /// Answers the time counter and the revision for the next turn.
    async fn compact_turn(&self, time: i64, mark: Revision) -> Result<(i64, Revision), Error> {
        let key = Bytes::from_static(COMPACT_KEY.as_bytes());
        let compare = pb::Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Version.into(),
            key: key.clone(),
            target_union: Some(TargetUnion::Version(time)),
            ..pb::Compare::default()
        };
        let put =
            pb::PutRequest { key: key.clone(), value: mark.to_string().into(), ..pb::PutRequest::default() };
        let get = pb::RangeRequest { key, ..pb::RangeRequest::default() };
        let t = self.txn(compare, Op::RequestPut(put), get).await?;
        let now = revision(t.header.as_ref());
        if !t.succeeded {
            // Another API server was first.
            let version = found(t.responses).map_or(0, |k| k.version);
            return Ok((version, now));
        }
        if mark > 0 {
            let ask = pb::CompactionRequest { revision: mark, ..pb::CompactionRequest::default() };
            within(kv(&self.channel).compact(ask)).await?;
            // Refused only for what is forgotten already.
            let _ = self.mirror.compact(mark);
        }
        Ok((time + 1, now))
    }

    async fn txn(
        &self,
        compare: pb::Compare,
        then: Op,
        or: pb::RangeRequest,
    ) -> Result<pb::TxnResponse, Error> {
        let op = |o| vec![pb::RequestOp { request: Some(o) }];
        let ask =
            pb::TxnRequest { compare: vec![compare], success: op(then), failure: op(Op::RequestRange(or)) };
        within(kv(&self.channel).txn(ask)).await
    }

    /// Carries out a write if the key's mod revision is `expected`. Answers the revision, or the key's record now.
    async fn write(
        &self,
        key: &str,
        expected: Option<Revision>,
        then: Op,
    ) -> Result<Result<(Revision, Vec<pb::ResponseOp>), Option<Record>>, Error> {
        let bytes = Bytes::copy_from_slice(key.as_bytes());
        let compare = match expected {
            Some(r) => (CompareResult::Equal, r),
            // True of every key.
            None => (CompareResult::Greater, -1),
        };
        let compare = pb::Compare {
            result: compare.0.into(),
            target: CompareTarget::Mod.into(),
            key: bytes.clone(),
            target_union: Some(TargetUnion::ModRevision(compare.1)),
            ..pb::Compare::default()
        };
        let get = pb::RangeRequest { key: bytes, ..pb::RangeRequest::default() };
        let t = self.txn(compare, then, get).await?;
        if !t.succeeded {
            return Ok(Err(found(t.responses).map(|k| record(k, 0)).transpose()?));
        }
        let r = revision(t.header.as_ref());
        Ok(Ok((r, t.responses)))
    }

    /// Waits until the mirror shows a write.
    async fn shown(&self, r: Revision) {
        if tokio::time::timeout(PATIENCE, self.mirror.reached(r)).await.is_err() {
            tracing::warn!(revision = r, "the watch of etcd is behind");
        }
    }
}

fn found(answers: Vec<pb::ResponseOp>) -> Option<KeyValue> {
    answers.into_iter().find_map(|o| match o.response {
        Some(OpAnswer::ResponseRange(r)) => r.kvs.into_iter().next(),
        _ => None,
    })
}

impl Storage for Remote {
    fn latest(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        Box::pin(async move {
            let ask = pb::RangeRequest {
                key: Bytes::from_static(b"/registry/health"),
                count_only: true,
                ..pb::RangeRequest::default()
            };
            let r = revision(within(kv(&self.channel).range(ask)).await?.header.as_ref());
            if tokio::time::timeout(PATIENCE, self.mirror.reached(r)).await.is_err() {
                return Err(Error::Io(format!("etcd: the watch has not reached revision {r}")));
            }
            Ok(self.mirror.keys())
        })
    }

    fn cached(&self) -> Snapshot {
        self.mirror.keys()
    }

    fn at(&self, revision: Revision) -> BoxFuture<'_, Result<Snapshot, Error>> {
        Box::pin(std::future::ready(self.mirror.at(revision)))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Option<Revision>,
        lease: i64,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let size = key.len() + value.len();
            let put = pb::PutRequest {
                key: Bytes::copy_from_slice(key.as_bytes()),
                value: value.clone(),
                lease,
                prev_kv: true,
                ..pb::PutRequest::default()
            };
            let done = match self.write(key, expected, Op::RequestPut(put)).await {
                Err(Error::TooLarge(_)) => return Err(Error::TooLarge(size)),
                Err(Error::NoLease(_)) => {
                    // It was revoked, or ended early: the next one makes another.
                    *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return Err(Error::NoLease(lease));
                }
                other => other?,
            };
            let (r, answers) = match done {
                Ok(d) => d,
                Err(now) => return Ok(Outcome::Conflict(now.map(Arc::new))),
            };
            self.shown(r).await;
            if let Some(shared) = self.mirror.keys().get(key).filter(|k| k.mod_revision == r) {
                return Ok(Outcome::Done(shared));
            }
            // Changed again since: what was written is told from what was there before.
            let before = answers.into_iter().find_map(|o| match o.response {
                Some(OpAnswer::ResponsePut(p)) => p.prev_kv,
                _ => None,
            });
            Ok(Outcome::Done(Arc::new(Record {
                key: key.into(),
                value,
                create_revision: before.as_ref().map_or(r, |b| b.create_revision),
                mod_revision: r,
                version: before.as_ref().map_or(1, |b| b.version + 1),
                lease,
                sub: 0,
                ext: OnceLock::new(),
            })))
        })
    }

    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Revision>,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let delete = pb::DeleteRangeRequest {
                key: Bytes::copy_from_slice(key.as_bytes()),
                ..pb::DeleteRangeRequest::default()
            };
            let (r, answers) = match self.write(key, expected, Op::RequestDeleteRange(delete)).await? {
                Ok(d) => d,
                Err(now) => return Ok(Outcome::Conflict(now.map(Arc::new))),
            };
            let deleted = answers
                .iter()
                .any(|o| matches!(&o.response, Some(OpAnswer::ResponseDeleteRange(d)) if d.deleted > 0));
            if !deleted {
                return Ok(Outcome::Conflict(None));
            }
            self.shown(r).await;
            Ok(Outcome::Done(Arc::new(Record {
                key: key.into(),
                value: Bytes::new(),
                create_revision: 0,
                mod_revision: r,
                version: 0,
                lease: 0,
                sub: 0,
                ext: OnceLock::new(),
            })))
        })
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Box<dyn Watch>, Error> {
        self.mirror.watch(prefix, after)
    }

    fn lease(&self, ttl: i64) -> BoxFuture<'_, Result<i64, Error>> {
        Box::pin(async move {
            let share = (ttl / 20).clamp(0, LEASE_SHARE);
            let now = self.rt.clock.unix_seconds();
            {
                let mut shared = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(l) = shared.as_mut()
                    && l.until > now + ttl
                    && l.until <= now + ttl + share
                    && l.keys < LEASE_KEYS
                {
                    l.keys += 1;
                    return Ok(l.id);
                }
            }
            let mut c = LeaseClient::new(self.channel.clone());
            let made = within(c.lease_grant(pb::LeaseGrantRequest { ttl: ttl + share, id: 0 })).await?;
            let mut shared = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
            *shared = Some(Lease { id: made.id, until: now + ttl + share, keys: 1 });
            Ok(made.id)
        })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let ask = pb::CompactionRequest { revision, ..pb::CompactionRequest::default() };
            within(kv(&self.channel).compact(ask)).await?;
            self.mirror.compact(revision)
        })
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }
}
