//! A client of the etcd v3 API that writes down what it asks and what it is told.

use crate::history::{Call, Change, Event, Key, Kv, Lease, Nanos, Op, Outcome, Rev, Span, Value};
use crate::rng::mix;
use bytes::Bytes;
use etcd::pb::etcdserverpb as pb;
use etcd::pb::mvccpb;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::request_op::Request as Part;
use pb::response_op::Response as PartAnswer;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

const MESSAGE: usize = 256 << 20;

/// Operations with this bit put a large value.
const BIG: u64 = 1 << 40;

/// The bytes of a value: its operation's number and some filling that follows from it, now and then over a page.
pub fn bytes_of(id: u64) -> Bytes {
    let r = mix(id);
    let size = if id & BIG != 0 {
        65_536
    } else if r.is_multiple_of(8) {
        (r >> 8) % 6000
    } else {
        (r >> 8) % 200
    };
    let letter = char::from(b'a' + (r >> 40) as u8 % 26);
    let mut text = format!("{id:016x}:");
    text.extend(std::iter::repeat_n(letter, size as usize));
    text.into()
}

pub fn value_of(b: &[u8]) -> Value {
    let id =
        b.get(..16).and_then(|t| std::str::from_utf8(t).ok()).and_then(|t| u64::from_str_radix(t, 16).ok());
    match id {
        Some(id) if bytes_of(id) == b => Value::Of(id),
        _ => Value::Torn,
    }
}

pub fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where everything that clients see is written down.
pub struct Recorder {
    begun: Instant,
    pub next: AtomicU64,
    pub ops: Mutex<Vec<Op>>,
    pub leases: Mutex<BTreeMap<i64, Lease>>,
    /// Milliseconds that a client waits for an answer.
    pub patience: AtomicU64,
}

impl Recorder {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            next: AtomicU64::new(1),
            ops: Mutex::default(),
            leases: Mutex::default(),
            patience: AtomicU64::new(5000),
        })
    }
    pub fn now(&self) -> Nanos {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(Nanos::MAX)
    }
    fn wait(&self) -> Duration {
        Duration::from_millis(self.patience.load(Ordering::Relaxed))
    }
}

pub fn kv(k: &mvccpb::KeyValue) -> Kv {
    Kv {
        key: String::from_utf8_lossy(&k.key).as_ref().into(),
        value: value_of(&k.value),
        created: k.create_revision,
        modified: k.mod_revision,
        version: k.version,
        lease: k.lease,
    }
}

pub fn event(e: &mvccpb::Event) -> Option<Event> {
    let k = e.kv.as_ref()?;
    let gone = e.r#type == 1;
    let mut it = kv(k);
    if gone {
        // A delete has no value, and what else is said of it is nothing.
        it = Kv { value: Value::Of(0), created: 0, version: 0, lease: 0, ..it };
    }
    Some(Event { kv: it, gone, previous: e.prev_kv.as_ref().map(kv) })
}

fn raw(key: &str) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

pub fn span(keys: &Span) -> (Bytes, Bytes) {
    let to = if keys.to.is_empty() { Bytes::from_static(b"\0") } else { raw(&keys.to) };
    (raw(&keys.from), to)
}

/// What a refusal means for a write. Only what the store decided before it wrote anything is sure.
fn refusal(s: &Status) -> Outcome {
    let sure = match s.code() {
        Code::ResourceExhausted => s.message().contains("space exceeded"),
        Code::InvalidArgument | Code::NotFound | Code::OutOfRange | Code::FailedPrecondition => true,
        _ => false,
    };
    let text = format!("{:?}: {}", s.code(), s.message());
    if sure { Outcome::Refused(text) } else { Outcome::Unknown(text) }
}

/// One connection, made anew whenever it is lost.
#[derive(Clone)]
pub struct Client {
    pub channel: Channel,
    pub log: Arc<Recorder>,
}

pub fn endpoint(port: u16) -> Result<Endpoint, String> {
    let e = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).map_err(|e| e.to_string())?;
    Ok(e.connect_timeout(Duration::from_secs(2)))
}

impl Client {
    pub fn new(port: u16, log: &Arc<Recorder>) -> Result<Self, String> {
        Ok(Self { channel: endpoint(port)?.connect_lazy(), log: log.clone() })
    }

    fn kv(&self) -> pb::kv_client::KvClient<Channel> {
        pb::kv_client::KvClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE)
    }

    async fn within<T>(
        &self,
        f: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Status> {
        match tokio::time::timeout(self.log.wait(), f).await {
            Ok(r) => r.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }

    /// Writes an operation down. Answers its outcome.
    fn note(&self, id: u64, start: Nanos, call: Call, outcome: Outcome) -> Outcome {
        let end = if matches!(outcome, Outcome::Unknown(_)) { Nanos::MAX } else { self.log.now() };
        lock(&self.log.ops).push(Op { id, start, end, call, outcome: outcome.clone() });
        outcome
    }

    /// Puts and deletes in one transaction; with an expectation only if the key is at that revision.
    pub async fn write(&self, changes: Vec<Change>, expected: Option<(Key, Rev)>, lease: i64) -> Outcome {
        self.write_as(self.log.next.fetch_add(1, Ordering::Relaxed), changes, expected, lease).await
    }

    /// Puts a value of 64 KiB.
    pub async fn put_big(&self, key: &str) -> Outcome {
        let id = self.log.next.fetch_add(1, Ordering::Relaxed) | BIG;
        self.write_as(id, vec![Change { key: key.into(), puts: true }], None, 0).await
    }

    async fn write_as(
        &self,
        id: u64,
        changes: Vec<Change>,
        expected: Option<(Key, Rev)>,
        lease: i64,
    ) -> Outcome {
        let part = |c: &Change| pb::RequestOp {
            request: Some(if c.puts {
                let put =
                    pb::PutRequest { key: raw(&c.key), value: bytes_of(id), lease, ..Default::default() };
                Part::RequestPut(put)
            } else {
                Part::RequestDeleteRange(pb::DeleteRangeRequest { key: raw(&c.key), ..Default::default() })
            }),
        };
        let compare = expected.iter().map(|(key, r)| pb::Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: raw(key),
            target_union: Some(TargetUnion::ModRevision(*r)),
            ..Default::default()
        });
        let see = expected.iter().map(|(key, _)| pb::RequestOp {
            request: Some(Part::RequestRange(pb::RangeRequest { key: raw(key), ..Default::default() })),
        });
        let ask = pb::TxnRequest {
            compare: compare.collect(),
            success: changes.iter().map(part).collect(),
            failure: see.collect(),
        };
        let alone = expected.is_none() && changes.len() == 1;
        let start = self.log.now();
        let answer = match ask.success.first().and_then(|o| o.request.clone()) {
            // The simple calls are a path of their own.
            Some(Part::RequestPut(p)) if alone => self.within(self.kv().put(p)).await.map(|r| {
                let part =
                    pb::ResponseOp { response: Some(PartAnswer::ResponsePut(pb::PutResponse::default())) };
                pb::TxnResponse { header: r.header, succeeded: true, responses: vec![part] }
            }),
            Some(Part::RequestDeleteRange(d)) if alone => {
                self.within(self.kv().delete_range(d)).await.map(|r| pb::TxnResponse {
                    header: r.header,
                    succeeded: true,
                    responses: vec![pb::ResponseOp { response: Some(PartAnswer::ResponseDeleteRange(r)) }],
                })
            }
            _ => self.within(self.kv().txn(ask)).await,
        };
        let outcome = match answer {
            Err(s) => refusal(&s),
            Ok(t) => {
                let revision = t.header.map_or(0, |h| h.revision);
                let changed = |o: &pb::ResponseOp| match &o.response {
                    Some(PartAnswer::ResponsePut(_)) => true,
                    Some(PartAnswer::ResponseDeleteRange(d)) => d.deleted > 0,
                    _ => false,
                };
                if !t.succeeded {
                    let found = t.responses.into_iter().find_map(|o| match o.response {
                        Some(PartAnswer::ResponseRange(r)) => r.kvs.first().map(kv),
                        _ => None,
                    });
                    Outcome::Conflict(revision, found)
                } else if t.responses.iter().any(changed) {
                    Outcome::Done(revision)
                } else {
                    Outcome::Nothing(revision)
                }
            }
        };
        self.note(id, start, Call::Write { changes, expected }, outcome)
    }

    pub async fn put(&self, key: &str) -> Outcome {
        self.write(vec![Change { key: key.into(), puts: true }], None, 0).await
    }

    /// A linearizable read; at a revision of the past, or 0.
    pub async fn read(&self, keys: Span, at: Rev) -> Outcome {
        let id = self.log.next.fetch_add(1, Ordering::Relaxed);
        let start = self.log.now();
        let outcome = match self.range(&keys, at).await {
            Ok((revision, kvs)) => Outcome::Found(revision, kvs),
            Err(s) => refusal(&s),
        };
        self.note(id, start, Call::Read { keys, at }, outcome)
    }

    /// A read that is not written down: header's revision, and keys.
    pub async fn range(&self, keys: &Span, at: Rev) -> Result<(Rev, Vec<Kv>), Status> {
        let (key, range_end) = span(keys);
        let ask = pb::RangeRequest { key, range_end, revision: at, ..Default::default() };
        let r = self.within(self.kv().range(ask)).await?;
        Ok((r.header.map_or(0, |h| h.revision), r.kvs.iter().map(kv).collect()))
    }

    pub async fn compact(&self, to: Rev) -> Result<(), Status> {
        let ask = pb::CompactionRequest { revision: to, physical: false };
        self.within(self.kv().compact(ask)).await.map(drop)
    }

    fn leases(&self) -> pb::lease_client::LeaseClient<Channel> {
        pb::lease_client::LeaseClient::new(self.channel.clone())
    }

    pub async fn grant(&self, seconds: i64) -> Result<i64, Status> {
        let start = self.log.now();
        let ask = pb::LeaseGrantRequest { ttl: seconds, id: 0 };
        let r = self.within(self.leases().lease_grant(ask)).await?;
        let ttl = r.ttl.unsigned_abs() * 1_000_000_000;
        let lease = Lease { id: r.id, ttl, renewed: vec![(start, self.log.now())], revoked: None };
        lock(&self.log.leases).insert(r.id, lease);
        Ok(r.id)
    }

    /// Whether the lease was there to be renewed.
    pub async fn renew(&self, id: i64) -> Result<bool, Status> {
        let start = self.log.now();
        let ask = futures::StreamExt::chain(
            futures::stream::iter([pb::LeaseKeepAliveRequest { id }]),
            futures::stream::pending(),
        );
        let mut answers = self.within(self.leases().lease_keep_alive(ask)).await?;
        let answer = tokio::time::timeout(self.log.wait(), answers.message()).await;
        let answer = answer.map_err(|_| Status::deadline_exceeded("no answer in time"))??;
        let there = answer.is_some_and(|a| a.ttl > 0);
        if there && let Some(l) = lock(&self.log.leases).get_mut(&id) {
            l.renewed.push((start, self.log.now()));
        }
        Ok(there)
    }

    pub async fn revoke(&self, id: i64) -> Result<(), Status> {
        if let Some(l) = lock(&self.log.leases).get_mut(&id) {
            l.revoked.get_or_insert(self.log.now());
        }
        self.within(self.leases().lease_revoke(pb::LeaseRevokeRequest { id })).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_differs_by_a_byte_is_torn() {
        let long = (1..100).find(|id| bytes_of(*id).len() > 1000).unwrap();
        let whole = bytes_of(long);
        assert_eq!(value_of(&whole), Value::Of(long));
        let mut b = whole.to_vec();
        b[900] = 0;
        assert_eq!(value_of(&b), Value::Torn);
        assert_eq!(value_of(&whole[..900]), Value::Torn);
        assert_eq!(value_of(b""), Value::Torn);
    }

    #[test]
    fn only_what_was_decided_before_anything_was_written_is_sure() {
        let sure = |s| matches!(refusal(&s), Outcome::Refused(_));
        assert!(sure(Status::resource_exhausted("etcdserver: mvcc: database space exceeded")));
        assert!(sure(Status::not_found("etcdserver: requested lease not found")));
        assert!(!sure(Status::unavailable("writing: disk I/O error")));
        assert!(!sure(Status::deadline_exceeded("")));
        assert!(!sure(Status::unknown("h2 protocol error")));
    }
}
