//! The API server's store in an etcd elsewhere: writes go there, reads come from a mirror that one watch keeps.
//!
//! The mirror follows every key of the etcd, so that it reaches every revision; values outside of `/registry/` are not
//! kept. A write answers when etcd has it and the mirror shows it; a consistent read asks etcd for its revision and
//! waits for the mirror to get there. A member in trouble is left for the next one, and a request goes on being tried
//! while the cluster chooses another leader.

mod ask;
mod dial;
mod follow;
#[cfg(test)]
mod tests;
mod write;

pub use dial::Servers;

use crate::pb::etcdserverpb as pb;
use crate::pb::mvccpb::KeyValue;
use ask::{Cluster, kv};
use bytes::Bytes;
use follow::everything;
use futures::future::BoxFuture;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::lease_client::LeaseClient;
use pb::maintenance_client::MaintenanceClient;
use pb::request_op::Request as Op;
use pb::response_op::Response as OpAnswer;
use runtime::Runtime;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use storage::{Error, Mirror, Outcome, Record, Revision, Snapshot, Storage, Watch};
use write::{Fence, Written};

const PREFIX: &str = "/registry/";
/// What servers of a cluster share, sealed. Its value is kept here too.
pub const SERVERS: &str = "/keelson/servers";

/// Whether the values of a key are kept.
fn kept(key: &str) -> bool {
    key.starts_with(PREFIX) || key == SERVERS
}

/// Where API servers agree on who compacts (upstream: `compact_rev_key`).
const COMPACT_KEY: &str = "compact_rev_key";
const MESSAGE: usize = 1 << 30;
const RETRY: Duration = Duration::from_secs(1);
/// How long etcd may take to answer before this server is not ready.
const HEALTHY: Duration = Duration::from_secs(2);
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
    cluster: Cluster,
    mirror: Mirror,
    fence: Fence,
    /// Told when the watch is to be begun anew with another member.
    behind: tokio::sync::Notify,
    lease: Mutex<Option<Lease>>,
    size: AtomicU64,
    rt: Runtime,
}

fn revision(h: Option<&pb::ResponseHeader>) -> Revision {
    h.map_or(0, |h| h.revision)
}

fn record(kv: KeyValue, sub: u32) -> Result<Record, Error> {
    let key = std::str::from_utf8(&kv.key).map_err(|_| Error::Io("etcd: a key is not text".into()))?;
    let kept = kept(key);
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

impl Remote {
    /// Waits until the cluster answers, and fills the mirror. `compact_every` zero: others compact.
    pub async fn open(servers: &Servers, compact_every: Duration, rt: Runtime) -> Result<Arc<Self>, String> {
        let cluster = Cluster::new(servers)?;
        // Said at once: each question has its own patience.
        let silent = cluster.silent().await;
        let mut said = silent.is_some();
        if let Some(e) = silent {
            tracing::warn!("waiting for etcd ({}): {e}", servers.urls.join(","));
        }
        let state = loop {
            match everything(&cluster).await {
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
            cluster,
            fence: Fence::new(),
            behind: tokio::sync::Notify::new(),
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

    async fn measure(&self) {
        loop {
            let ask = |c| async move { MaintenanceClient::new(c).status(pb::StatusRequest::default()).await };
            if let Ok(s) = self.cluster.once(HEALTHY, ask).await {
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
        let op = |o| vec![pb::RequestOp { request: Some(o) }];
        let ask = pb::TxnRequest {
            compare: vec![compare],
            success: op(Op::RequestPut(put)),
            failure: op(Op::RequestRange(get)),
        };
        let t = self
            .cluster
            .ask(|c| {
                let a = ask.clone();
                async move { kv(c).txn(a).await }
            })
            .await?;
        let now = revision(t.header.as_ref());
        if !t.succeeded {
            // Another API server was first.
            let version = found(t.responses).pop().flatten().map_or(0, |k| k.version);
            return Ok((version, now));
        }
        if mark > 0 {
            let ask = pb::CompactionRequest { revision: mark, ..pb::CompactionRequest::default() };
            self.cluster.ask(|c| async move { kv(c).compact(ask).await }).await?;
            // Refused only for what is forgotten already.
            let _ = self.mirror.compact(mark);
        }
        Ok((time + 1, now))
    }

    /// Waits until the mirror shows a write.
    async fn shown(&self, r: Revision) {
        if !self.reached(r).await {
            tracing::warn!(revision = r, "the watch of etcd is behind");
        }
    }
}

/// What each range of a transaction found: one key at most.
fn found(answers: Vec<pb::ResponseOp>) -> Vec<Option<KeyValue>> {
    let one = |o: pb::ResponseOp| match o.response {
        Some(OpAnswer::ResponseRange(r)) => r.kvs.into_iter().next(),
        _ => None,
    };
    answers.into_iter().map(one).collect()
}

fn conflict(now: Option<KeyValue>) -> Result<Outcome, Error> {
    Ok(Outcome::Conflict(now.map(|k| record(k, 0)).transpose()?.map(Arc::new)))
}

impl Storage for Remote {
    fn latest(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        Box::pin(async move {
            let ask = pb::RangeRequest {
                key: Bytes::from_static(b"/registry/health"),
                count_only: true,
                ..pb::RangeRequest::default()
            };
            let now = self
                .cluster
                .ask(|c| {
                    let a = ask.clone();
                    async move { kv(c).range(a).await }
                })
                .await?;
            let r = revision(now.header.as_ref());
            if !self.reached(r).await {
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
            let done = match self.write(key, Some(&value), expected, Op::RequestPut(put)).await {
                Err(Error::TooLarge(_)) => return Err(Error::TooLarge(size)),
                Err(Error::NoLease(_)) => {
                    // It was revoked, or ended early: the next one makes another.
                    *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return Err(Error::NoLease(lease));
                }
                other => other?,
            };
            let (r, answers) = match done {
                Written::Told(r, answers) => (r, answers),
                Written::Seen(record) => return Ok(Outcome::Done(record)),
                Written::Conflict(now) => return conflict(now),
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
            let op = Op::RequestDeleteRange(delete);
            let (r, answers) = match self.write(key, None, expected, op).await? {
                Written::Told(r, answers) => (r, answers),
                Written::Seen(tombstone) => return Ok(Outcome::Done(tombstone)),
                Written::Conflict(now) => return conflict(now),
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
            let ask = pb::LeaseGrantRequest { ttl: ttl + share, id: 0 };
            let made =
                self.cluster.ask(|c| async move { LeaseClient::new(c).lease_grant(ask).await }).await?;
            let mut shared = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
            *shared = Some(Lease { id: made.id, until: now + ttl + share, keys: 1 });
            Ok(made.id)
        })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let ask = pb::CompactionRequest { revision, ..pb::CompactionRequest::default() };
            self.cluster.ask(|c| async move { kv(c).compact(ask).await }).await?;
            self.mirror.compact(revision)
        })
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    fn health(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let ask = pb::RangeRequest {
                key: Bytes::from_static(b"/registry/health"),
                count_only: true,
                ..pb::RangeRequest::default()
            };
            let all = async {
                loop {
                    let once = self.cluster.once(HEALTHY, |c| {
                        let a = ask.clone();
                        async move { kv(c).range(a).await }
                    });
                    match once.await {
                        Ok(_) => return,
                        Err(_) => tokio::time::sleep(HEALTHY / 20).await,
                    }
                }
            };
            let done = tokio::time::timeout(HEALTHY, all).await;
            done.map_err(|_| Error::Io("etcd: no member answers".into()))
        })
    }

    fn shared(&self) -> bool {
        true
    }
}
