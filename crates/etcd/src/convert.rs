//! Between etcd's messages and the store's types; errors with etcd's codes and texts.

use crate::pb::etcdserverpb as pb;
use crate::pb::mvccpb;
use bytes::Bytes;
use mvcc::{
    Cmp, Compare, KeyRange, Op, OpResult, Range, RangeResult, Record, SortBy, Target, Txn, TxnResult,
};
use std::sync::Arc;
use storage::Error;
use tonic::{Code, Status};

/// A failure with a text that clients compare.
pub fn refuse(code: Code, text: &str) -> Status {
    Status::new(code, format!("etcdserver: {text}"))
}

pub fn failure(e: Error) -> Status {
    match e {
        Error::Compacted { .. } => refuse(Code::OutOfRange, "mvcc: required revision has been compacted"),
        Error::Future { .. } => refuse(Code::OutOfRange, "mvcc: required revision is a future revision"),
        Error::NoLease(_) => refuse(Code::NotFound, "requested lease not found"),
        Error::TooLarge(_) => refuse(Code::InvalidArgument, "request is too large"),
        Error::Closed => refuse(Code::Unavailable, "server stopped"),
        Error::Io(text) => Status::unavailable(text),
        Error::Invalid(e) => match e {
            mvcc::Error::EmptyKey => refuse(Code::InvalidArgument, "key is not provided"),
            mvcc::Error::KeyNotFound => refuse(Code::InvalidArgument, "key not found"),
            mvcc::Error::DuplicateKey => refuse(Code::InvalidArgument, "duplicate key given in txn request"),
            mvcc::Error::LeaseExists(_) => refuse(Code::FailedPrecondition, "lease already exists"),
            mvcc::Error::LeaseTtl(_) => refuse(Code::OutOfRange, "too large lease TTL"),
            mvcc::Error::TooManyChanges => {
                refuse(Code::InvalidArgument, "too many operations in txn request")
            }
            e => failure(e.into()),
        },
    }
}

fn text(key: &[u8]) -> Result<Arc<str>, Status> {
    match std::str::from_utf8(key) {
        Ok(k) => Ok(k.into()),
        Err(_) => Err(Status::invalid_argument("this server keeps only keys that are UTF-8")),
    }
}

fn range_of(key: Bytes, end: &[u8]) -> Result<KeyRange, Status> {
    if key.is_empty() {
        return Err(refuse(Code::InvalidArgument, "key is not provided"));
    }
    Ok(KeyRange::of_request(key, end))
}

pub fn key_value(r: &Record) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: Bytes::copy_from_slice(r.key.as_bytes()),
        create_revision: r.create_revision,
        mod_revision: r.mod_revision,
        version: r.version,
        value: r.value.clone(),
        lease: r.lease,
    }
}

/// A key without its value. As upstream, which takes these from its index, it has no lease either.
pub fn key_only(r: &Record) -> mvccpb::KeyValue {
    mvccpb::KeyValue { value: Bytes::new(), lease: 0, ..key_value(r) }
}

pub fn range(r: pb::RangeRequest) -> Result<Range, Status> {
    use pb::range_request::{SortOrder, SortTarget};
    let bad = |_| refuse(Code::InvalidArgument, "invalid sort option");
    let order = SortOrder::try_from(r.sort_order).map_err(bad)?;
    let by = match SortTarget::try_from(r.sort_target).map_err(bad)? {
        SortTarget::Key => SortBy::Key,
        SortTarget::Version => SortBy::Version,
        SortTarget::Create => SortBy::Create,
        SortTarget::Mod => SortBy::Mod,
        SortTarget::Value => SortBy::Value,
    };
    let ascending = order != SortOrder::Descend;
    let sort = (by != SortBy::Key || order != SortOrder::None).then_some((by, ascending));
    Ok(Range {
        keys: range_of(r.key, &r.range_end)?,
        revision: r.revision.max(0),
        limit: usize::try_from(r.limit).unwrap_or(0),
        sort,
        count_only: r.count_only,
        min_mod: r.min_mod_revision,
        max_mod: r.max_mod_revision,
        min_create: r.min_create_revision,
        max_create: r.max_create_revision,
    })
}

pub fn range_response(r: &RangeResult, keys_only: bool) -> pb::RangeResponse {
    let kv = if keys_only { key_only } else { key_value };
    pb::RangeResponse {
        header: Some(pb::ResponseHeader { revision: r.revision, ..Default::default() }),
        kvs: r.records.iter().map(|r| kv(r)).collect(),
        more: r.more,
        count: r.count as i64,
    }
}

pub fn put(r: pb::PutRequest) -> Result<Op, Status> {
    if r.key.is_empty() {
        return Err(refuse(Code::InvalidArgument, "key is not provided"));
    }
    if r.ignore_value && !r.value.is_empty() {
        return Err(refuse(Code::InvalidArgument, "value is provided"));
    }
    if r.ignore_lease && r.lease != 0 {
        return Err(refuse(Code::InvalidArgument, "lease is provided"));
    }
    Ok(Op::Put {
        key: text(&r.key)?,
        // The request's buffer holds more than the value; what is kept for long gets its own.
        value: (!r.ignore_value).then(|| Bytes::copy_from_slice(&r.value)),
        lease: (!r.ignore_lease).then_some(r.lease),
    })
}

pub fn delete(r: &pb::DeleteRangeRequest) -> Result<Op, Status> {
    Ok(Op::Delete(range_of(r.key.clone(), &r.range_end)?))
}

fn compare(c: pb::Compare) -> Result<Compare, Status> {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let invalid = |_| Status::invalid_argument("etcdserver: unknown compare");
    let number = match &c.target_union {
        Some(
            TargetUnion::Version(n)
            | TargetUnion::CreateRevision(n)
            | TargetUnion::ModRevision(n)
            | TargetUnion::Lease(n),
        ) => *n,
        _ => 0,
    };
    let target = match CompareTarget::try_from(c.target).map_err(invalid)? {
        CompareTarget::Version => Target::Version(number),
        CompareTarget::Create => Target::Create(number),
        CompareTarget::Mod => Target::Mod(number),
        CompareTarget::Lease => Target::Lease(number),
        CompareTarget::Value => Target::Value(match c.target_union {
            Some(TargetUnion::Value(v)) => v,
            _ => Bytes::new(),
        }),
    };
    let is = match CompareResult::try_from(c.result).map_err(invalid)? {
        CompareResult::Equal => Cmp::Equal,
        CompareResult::NotEqual => Cmp::NotEqual,
        CompareResult::Greater => Cmp::Greater,
        CompareResult::Less => Cmp::Less,
    };
    Ok(Compare { keys: range_of(c.key, &c.range_end)?, target, is })
}

/// What of the answer a request wants; the store does not know.
#[derive(Debug)]
pub enum Wish {
    Range { keys_only: bool },
    Put { previous: bool },
    Delete { previous: bool },
    Txn(Wishes),
}

#[derive(Debug, Default)]
pub struct Wishes {
    success: Vec<Wish>,
    failure: Vec<Wish>,
}

fn keys_only(r: &pb::RangeRequest) -> bool {
    r.keys_only
}

fn ops(list: Vec<pb::RequestOp>, max: usize) -> Result<(Vec<Op>, Vec<Wish>), Status> {
    use pb::request_op::Request as R;
    let mut out = (Vec::with_capacity(list.len()), Vec::with_capacity(list.len()));
    for o in list {
        let (op, wish) = match o.request {
            Some(R::RequestRange(r)) => {
                let wish = Wish::Range { keys_only: keys_only(&r) };
                (Op::Range(range(r)?), wish)
            }
            Some(R::RequestPut(r)) => {
                let wish = Wish::Put { previous: r.prev_kv };
                (put(r)?, wish)
            }
            Some(R::RequestDeleteRange(r)) => (delete(&r)?, Wish::Delete { previous: r.prev_kv }),
            Some(R::RequestTxn(t)) => {
                let (t, w) = txn(t, max)?;
                (Op::Txn(t), Wish::Txn(w))
            }
            None => return Err(refuse(Code::InvalidArgument, "key not found")),
        };
        out.0.push(op);
        out.1.push(wish);
    }
    Ok(out)
}

/// A transaction of at most `max` compares and operations in each list; nested ones share what is left.
pub fn txn(t: pb::TxnRequest, max: usize) -> Result<(Txn, Wishes), Status> {
    let most = t.compare.len().max(t.success.len()).max(t.failure.len());
    if most > max {
        return Err(refuse(Code::InvalidArgument, "too many operations in txn request"));
    }
    let compare = t.compare.into_iter().map(compare).collect::<Result<_, _>>()?;
    let (success, wish_success) = ops(t.success, max - most)?;
    let (failure, wish_failure) = ops(t.failure, max - most)?;
    Ok((Txn { compare, success, failure }, Wishes { success: wish_success, failure: wish_failure }))
}

pub fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}

pub fn txn_response(r: &TxnResult, w: &Wishes) -> pb::TxnResponse {
    use pb::response_op::Response as R;
    let wishes = if r.succeeded { &w.success } else { &w.failure };
    let responses = r.results.iter().zip(wishes).map(|(r, w)| {
        let response = match (r, w) {
            (OpResult::Range(r), w) => {
                R::ResponseRange(range_response(r, matches!(w, Wish::Range { keys_only: true })))
            }
            (OpResult::Put { previous, revision }, w) => {
                let wanted = matches!(w, Wish::Put { previous: true });
                R::ResponsePut(put_response(previous.as_ref().filter(|_| wanted), *revision))
            }
            (OpResult::Delete { previous, revision }, w) => R::ResponseDeleteRange(delete_response(
                previous,
                *revision,
                matches!(w, Wish::Delete { previous: true }),
            )),
            (OpResult::Txn(t), Wish::Txn(w)) => R::ResponseTxn(txn_response(t, w)),
            (OpResult::Txn(t), _) => R::ResponseTxn(txn_response(t, &Wishes::default())),
        };
        pb::ResponseOp { response: Some(response) }
    });
    pb::TxnResponse { header: header(r.revision), succeeded: r.succeeded, responses: responses.collect() }
}

pub fn put_response(previous: Option<&Arc<Record>>, revision: i64) -> pb::PutResponse {
    pb::PutResponse { header: header(revision), prev_kv: previous.map(|p| key_value(p)) }
}

pub fn delete_response(previous: &[Arc<Record>], revision: i64, wanted: bool) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: header(revision),
        deleted: previous.len() as i64,
        prev_kvs: previous.iter().filter(|_| wanted).map(|p| key_value(p)).collect(),
    }
}

pub fn event(e: &storage::Event, with_previous: bool) -> mvccpb::Event {
    let r = &e.record;
    let (kind, kv) = if r.is_tombstone() {
        let gone = mvccpb::KeyValue {
            key: Bytes::copy_from_slice(r.key.as_bytes()),
            mod_revision: r.mod_revision,
            ..Default::default()
        };
        (mvccpb::event::EventType::Delete, gone)
    } else {
        (mvccpb::event::EventType::Put, key_value(r))
    };
    mvccpb::Event {
        r#type: kind.into(),
        kv: Some(kv),
        prev_kv: e.previous.as_ref().filter(|_| with_previous).map(|p| key_value(p)),
    }
}
