//! Writes that happen once, whatever becomes of the connection.
//!
//! A write whose answer is lost may have been carried out, or may yet be: a member that was frozen carries out what it
//! was sent when it thaws. So each write is conditional on a key of this process, its fence, being unchanged. After a
//! lost answer the fence is changed: from then on the write cannot happen any more, and the history up to there says
//! whether it has.

use super::ask::{Failed, Patience, kv};
use super::{Remote, found, pb, revision};
use crate::pb::mvccpb::KeyValue;
use bytes::Bytes;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::lease_client::LeaseClient;
use pb::request_op::Request as Op;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use storage::{Error, Record, Revision};
use tokio::sync::Mutex;

/// Seconds after which the fence of a process that has ended goes. One that goes earlier than its process is made anew.
const FENCE_TTL: i64 = 3600;

/// What became of a write.
pub enum Written {
    /// At this revision, with these answers.
    Told(Revision, Vec<pb::ResponseOp>),
    /// It was found in the history.
    Seen(Arc<Record>),
    /// The condition does not hold: the key as it is.
    Conflict(Option<KeyValue>),
}

pub struct Fence {
    key: Bytes,
    /// The fence's revision; 0 before the first.
    at: AtomicI64,
    /// The lease; whoever raises the fence holds it.
    turn: Mutex<i64>,
}

impl Fence {
    pub fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self {
            key: format!("/keelson/fence/{:016x}{:016x}", random(), random()).into(),
            at: AtomicI64::new(0),
            turn: Mutex::new(0),
        }
    }
}

fn compare(key: Bytes, result: CompareResult, mod_revision: Revision) -> pb::Compare {
    pb::Compare {
        result: result.into(),
        target: CompareTarget::Mod.into(),
        key,
        target_union: Some(TargetUnion::ModRevision(mod_revision)),
        ..pb::Compare::default()
    }
}

impl Remote {
    /// Changes the fence unless somebody has since it was at `old`; answers where it is.
    async fn raise(&self, old: Revision) -> Result<Revision, Error> {
        let mut lease = self.fence.turn.lock().await;
        let now = self.fence.at.load(Ordering::Acquire);
        if now != old {
            return Ok(now);
        }
        for _ in 0..2 {
            if *lease == 0 {
                let ask = pb::LeaseGrantRequest { ttl: FENCE_TTL, id: 0 };
                let made = self.cluster.ask(|c| async move { LeaseClient::new(c).lease_grant(ask).await });
                *lease = made.await?.id;
            }
            let put =
                pb::PutRequest { key: self.fence.key.clone(), lease: *lease, ..pb::PutRequest::default() };
            match self
                .cluster
                .ask(|c| {
                    let p = put.clone();
                    async move { kv(c).put(p).await }
                })
                .await
            {
                Ok(r) => {
                    let at = revision(r.header.as_ref());
                    self.fence.at.store(at, Ordering::Release);
                    return Ok(at);
                }
                // It has ended.
                Err(Error::NoLease(_)) => *lease = 0,
                Err(e) => return Err(e),
            }
        }
        Err(Error::Io("etcd: a lease ended as soon as it was granted".into()))
    }

    /// Carries out a write if the key's mod revision is `expected`.
    pub(super) async fn write(
        &self,
        key: &str,
        value: Option<&Bytes>,
        expected: Option<Revision>,
        then: Op,
    ) -> Result<Written, Error> {
        let since = self.mirror.revision();
        let mut patience = Patience::new(self.cluster.members.len());
        let mut fence = self.fence.at.load(Ordering::Acquire);
        if fence == 0 {
            fence = self.raise(0).await?;
        }
        let bytes = Bytes::copy_from_slice(key.as_bytes());
        let get = |key: &Bytes| pb::RequestOp {
            request: Some(Op::RequestRange(pb::RangeRequest {
                key: key.clone(),
                ..pb::RangeRequest::default()
            })),
        };
        loop {
            if value.is_some() && storage::gone() {
                return Err(Error::Io("etcd: nobody waits for this write any more".into()));
            }
            let condition = match expected {
                Some(r) => compare(bytes.clone(), CompareResult::Equal, r),
                // True of every key.
                None => compare(bytes.clone(), CompareResult::Greater, -1),
            };
            let ask = pb::TxnRequest {
                compare: vec![condition, compare(self.fence.key.clone(), CompareResult::Equal, fence)],
                success: vec![pb::RequestOp { request: Some(then.clone()) }],
                failure: vec![get(&bytes), get(&self.fence.key)],
            };
            let once = self.cluster.once(patience.attempt(), |c| {
                let ask = ask.clone();
                async move { kv(c).txn(ask).await }
            });
            match once.await {
                Ok(t) if t.succeeded => {
                    return Ok(Written::Told(revision(t.header.as_ref()), t.responses));
                }
                Ok(t) => {
                    let mut now = found(t.responses);
                    let at = now.pop().flatten().map_or(0, |k| k.mod_revision);
                    if at == fence {
                        return Ok(Written::Conflict(now.pop().flatten()));
                    }
                    // Raised for another write, or ended with its lease: nothing was done.
                    fence = self.raise(fence).await?;
                }
                Err(Failed::No(e)) => return Err(e),
                Err(Failed::Unknown(e)) => {
                    patience.or(e).await?;
                    fence = self.raise(fence).await?;
                    if let Some(r) = self.happened(key, value, expected, since, fence).await? {
                        return Ok(Written::Seen(r));
                    }
                }
            }
        }
    }

    /// The write among what happened after `since` and until the fence was raised, if it did happen.
    async fn happened(
        &self,
        key: &str,
        value: Option<&Bytes>,
        expected: Option<Revision>,
        since: Revision,
        fence: Revision,
    ) -> Result<Option<Arc<Record>>, Error> {
        if !self.reached(fence).await {
            return Err(Error::Io("etcd: whether the write was carried out is not known".into()));
        }
        let all = self.mirror.history(key, since)?;
        let it = all.into_iter().find(|e| {
            let before = e.previous.as_ref().map_or(0, |p| p.mod_revision);
            let same = match value {
                Some(v) => !e.record.is_tombstone() && e.record.value == *v,
                None => e.record.is_tombstone(),
            };
            same && expected.is_none_or(|x| x == before)
        });
        Ok(it.map(|e| e.record))
    }
}
