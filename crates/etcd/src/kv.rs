//! The KV service: reads from memory, writes through the store's one writer.

use crate::convert::{self, failure, refuse};
use crate::pb::etcdserverpb as pb;
use crate::server::Member;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use mvcc::{KeyRange, OpResult, Snapshot, SortBy, Txn};
use prost::Message;
use std::sync::Arc;
use storage::Storage;
use tonic::{Code, Request, Response, Status};

/// Keys in the first part of a streamed range; later parts follow the size of the values.
const FIRST_PART: usize = 10;

pub struct Kv(pub Arc<Member>);

impl Kv {
    async fn write(&self, t: Txn) -> Result<mvcc::TxnResult, Status> {
        if t.size() > 0 {
            self.0.room()?;
        }
        self.0.store.txn(t).await.map_err(failure)
    }

    pub fn read(&self, r: pb::RangeRequest) -> Result<pb::RangeResponse, Status> {
        let keys_only = r.keys_only;
        let r = convert::range(r)?;
        let found = self.0.store.state().range(&r).map_err(|e| failure(e.into()))?;
        let mut out = convert::range_response(&found, keys_only);
        self.0.sign(&mut out.header);
        Ok(out)
    }

    pub async fn store(&self, r: pb::PutRequest) -> Result<pb::PutResponse, Status> {
        let wanted = r.prev_kv;
        self.0.room()?;
        let done = self.0.store.txn(Txn::of(vec![convert::put(r)?])).await.map_err(failure)?;
        let previous = match done.results.first() {
            Some(OpResult::Put { previous, .. }) => previous.as_ref().filter(|_| wanted),
            _ => None,
        };
        let mut out = convert::put_response(previous, done.revision);
        self.0.sign(&mut out.header);
        Ok(out)
    }

    pub async fn remove(&self, r: pb::DeleteRangeRequest) -> Result<pb::DeleteRangeResponse, Status> {
        let done = self.write(Txn::of(vec![convert::delete(&r)?])).await?;
        let previous = match done.results.first() {
            Some(OpResult::Delete { previous, .. }) => previous.as_slice(),
            _ => &[],
        };
        let mut out = convert::delete_response(previous, done.revision, r.prev_kv);
        self.0.sign(&mut out.header);
        Ok(out)
    }

    pub async fn transact(&self, r: pb::TxnRequest) -> Result<pb::TxnResponse, Status> {
        let (t, wishes) = convert::txn(r, self.0.config.max_txn_ops)?;
        t.validate().map_err(|e| failure(e.into()))?;
        let done = if t.is_read_only() {
            // The state is a copy: what the transaction did to it would be lost, and it does nothing.
            self.0.store.state().txn(&t).map_err(|e| failure(e.into()))?
        } else {
            self.write(t).await?
        };
        let mut out = convert::txn_response(&done, &wishes);
        self.0.sign(&mut out.header);
        Ok(out)
    }
}

#[tonic::async_trait]
impl pb::kv_server::Kv for Kv {
    async fn range(&self, r: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        self.read(r.into_inner()).map(Response::new)
    }

    type RangeStreamStream = BoxStream<'static, Result<pb::RangeStreamResponse, Status>>;

    async fn range_stream(
        &self,
        r: Request<pb::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let q = r.into_inner();
        let (keys_only, end) = (q.keys_only, q.range_end.clone());
        let r = convert::range(q)?;
        if r.sort.is_some_and(|s| s != (SortBy::Key, true)) {
            return Err(Status::unimplemented("RangeStream does not support custom sort orders"));
        }
        if r.min_mod != 0 || r.max_mod != 0 || r.min_create != 0 || r.max_create != 0 {
            return Err(Status::unimplemented("RangeStream does not support revision filters"));
        }
        let state = self.0.store.state();
        let keys = state.snapshot_at(r.revision).map_err(|e| failure(e.into()))?;
        let mut head = convert::header(state.revision());
        self.0.sign(&mut head);
        if r.count_only {
            let count = keys.range(&r.keys).count() as i64;
            let only = pb::RangeResponse { header: head, count, ..Default::default() };
            let only = pb::RangeStreamResponse { range_response: Some(only) };
            return Ok(Response::new(futures::stream::iter([Ok(only)]).boxed()));
        }
        let parts = Parts {
            next: Some(r.keys),
            end,
            left: if r.limit == 0 { usize::MAX } else { r.limit },
            part: FIRST_PART,
            size: self.0.config.max_request_bytes,
            count: 0,
            keys,
            keys_only,
            head,
        };
        Ok(Response::new(futures::stream::iter(parts.map(Ok)).boxed()))
    }

    async fn put(&self, r: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        self.store(r.into_inner()).await.map(Response::new)
    }

    async fn delete_range(
        &self,
        r: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        self.remove(r.into_inner()).await.map(Response::new)
    }

    async fn txn(&self, r: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        self.transact(r.into_inner()).await.map(Response::new)
    }

    async fn compact(
        &self,
        r: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let r = r.into_inner();
        if r.revision < 0 {
            return Err(refuse(Code::OutOfRange, "mvcc: required revision has been compacted"));
        }
        self.0.store.compact(r.revision).await.map_err(failure)?;
        if r.physical {
            self.0.store.sweep().await.map_err(failure)?;
        }
        Ok(Response::new(pb::CompactionResponse { header: self.0.header() }))
    }
}

/// A range in parts of bounded size, all at one revision.
struct Parts {
    keys: Snapshot,
    next: Option<KeyRange>,
    end: Bytes,
    left: usize,
    part: usize,
    /// Bytes that a part should have, about.
    size: usize,
    count: usize,
    keys_only: bool,
    head: Option<pb::ResponseHeader>,
}

impl Iterator for Parts {
    type Item = pb::RangeStreamResponse;

    fn next(&mut self) -> Option<Self::Item> {
        let range = self.next.take()?;
        let kv = if self.keys_only { convert::key_only } else { convert::key_value };
        let want = self.part.min(self.left);
        let mut found = self.keys.range(&range);
        let kvs: Vec<_> = found.by_ref().take(want).map(|r| kv(r)).collect();
        let beyond = found.next().map(|r| r.key.clone());
        self.count += kvs.len();
        self.left -= kvs.len();
        let mut out = pb::RangeResponse { kvs, ..Default::default() };
        match beyond {
            Some(key) if self.left > 0 => {
                self.next = Some(KeyRange::of_request(key.as_bytes(), &self.end));
                let size = out.encoded_len();
                if size < self.size / 2 {
                    self.part *= 2;
                } else if size > self.size * 2 {
                    self.part = (self.part / 2).max(1);
                }
            }
            beyond => {
                out.header = self.head.take();
                out.more = beyond.is_some();
                out.count = self.count as i64;
                if let Some(key) = beyond {
                    let rest = KeyRange::of_request(key.as_bytes(), &self.end);
                    out.count += self.keys.range(&rest).count() as i64;
                }
            }
        }
        Some(pb::RangeStreamResponse { range_response: Some(out) })
    }
}
