//! The services as a client sees them: KV, leases, maintenance, and what is beside gRPC.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Dir, delete, get, ours, put, start, start_in, under};
use etcd::pb::etcdserverpb as pb;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::request_op::Request as Op;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::{Code, Status};

fn keys(r: &pb::RangeResponse) -> String {
    let one = |k: &etcd::pb::mvccpb::KeyValue| {
        let (key, value) = (String::from_utf8_lossy(&k.key), String::from_utf8_lossy(&k.value));
        format!("{key}={value}@{}", k.mod_revision)
    };
    r.kvs.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn refused<T: std::fmt::Debug>(r: Result<T, Status>, code: Code, text: &str) {
    let s = r.unwrap_err();
    assert_eq!((s.code(), s.message()), (code, text));
}

#[tokio::test]
async fn keys_are_put_read_and_deleted() {
    let e = start(&[]).await;
    let mut kv = e.kv();
    let r = kv.put(put("a", "1")).await.unwrap().into_inner();
    let h = r.header.unwrap();
    assert_eq!((h.revision, r.prev_kv), (2, None));
    assert!(h.cluster_id != 0 && h.member_id != 0 && h.raft_term != 0);
    let r = kv.put(pb::PutRequest { prev_kv: true, ..put("a", "2") }).await.unwrap().into_inner();
    assert_eq!(r.prev_kv.unwrap().value, "1");
    let keep = pb::PutRequest { ignore_value: true, ..put("a", "") };
    assert_eq!(kv.put(keep).await.unwrap().into_inner().header.unwrap().revision, 4);
    let r = kv.range(get("a")).await.unwrap().into_inner();
    let one = &r.kvs[0];
    assert_eq!((&*one.value, one.create_revision, one.mod_revision, one.version), (&b"2"[..], 2, 4, 3));
    for k in ["b", "c/1", "c/2", "d"] {
        e.put(k, k).await;
    }
    assert_eq!(keys(&kv.range(under("c/")).await.unwrap().into_inner()), "c/1=c/1@6 c/2=c/2@7");
    let all = pb::RangeRequest { range_end: vec![0].into(), limit: 2, ..get("\0") };
    let r = kv.range(all.clone()).await.unwrap().into_inner();
    assert_eq!((keys(&r).as_str(), r.more, r.count), ("a=2@4 b=b@5", true, 5));
    let r =
        kv.range(pb::RangeRequest { keys_only: true, limit: 0, ..all.clone() }).await.unwrap().into_inner();
    assert_eq!(keys(&r), "a=@4 b=@5 c/1=@6 c/2=@7 d=@8");
    let r = kv.range(pb::RangeRequest { count_only: true, ..all.clone() }).await.unwrap().into_inner();
    assert_eq!((r.kvs.len(), r.count), (0, 5));
    let r = kv.range(pb::RangeRequest { revision: 3, ..all.clone() }).await.unwrap().into_inner();
    assert_eq!((keys(&r).as_str(), r.header.unwrap().revision), ("a=2@3", 8));
    let down = pb::RangeRequest { sort_order: 2, sort_target: 3, ..all.clone() };
    assert_eq!(keys(&kv.range(down).await.unwrap().into_inner()), "d=d@8 c/2=c/2@7");
    let d = pb::DeleteRangeRequest { range_end: b"c0".to_vec().into(), prev_kv: true, ..delete("c/") };
    let r = kv.delete_range(d).await.unwrap().into_inner();
    assert_eq!((r.deleted, r.prev_kvs.len(), r.header.unwrap().revision), (2, 2, 9));
    let r = kv.delete_range(delete("nosuch")).await.unwrap().into_inner();
    assert_eq!((r.deleted, r.header.unwrap().revision), (0, 9));
    e.stop().await;
}

#[tokio::test]
async fn wrong_requests_get_etcds_errors() {
    let e = start(&["--max-txn-ops=4", "--max-request-bytes=1000"]).await;
    let mut kv = e.kv();
    let bad = Code::InvalidArgument;
    refused(kv.put(put("", "x")).await, bad, "etcdserver: key is not provided");
    refused(kv.range(get("")).await, bad, "etcdserver: key is not provided");
    refused(kv.delete_range(delete("")).await, bad, "etcdserver: key is not provided");
    let r = pb::PutRequest { ignore_value: true, ..put("a", "x") };
    refused(kv.put(r).await, bad, "etcdserver: value is provided");
    let r = pb::PutRequest { ignore_lease: true, lease: 1, ..put("a", "x") };
    refused(kv.put(r).await, bad, "etcdserver: lease is provided");
    let r = pb::PutRequest { ignore_value: true, ..put("a", "") };
    refused(kv.put(r).await, bad, "etcdserver: key not found");
    let r = pb::PutRequest { lease: 9, ..put("a", "") };
    refused(kv.put(r).await, Code::NotFound, "etcdserver: requested lease not found");
    refused(kv.put(put("a", &"x".repeat(1000))).await, bad, "etcdserver: request is too large");
    let r = pb::RangeRequest { sort_order: 7, ..get("a") };
    refused(kv.range(r).await, bad, "etcdserver: invalid sort option");
    let r = pb::RangeRequest { revision: 7, ..get("a") };
    let future = "etcdserver: mvcc: required revision is a future revision";
    refused(kv.range(r).await, Code::OutOfRange, future);
    let r = pb::CompactionRequest { revision: 7, physical: false };
    refused(kv.compact(r).await, Code::OutOfRange, future);
    if ours() {
        let r = pb::PutRequest { key: vec![0xff, 0xfe].into(), ..put("", "") };
        assert_eq!(kv.put(r).await.unwrap_err().code(), bad);
    }
    let op = |k: &str| pb::RequestOp { request: Some(Op::RequestPut(put(k, ""))) };
    let t = |ops| pb::TxnRequest { success: ops, ..Default::default() };
    let many = "etcdserver: too many operations in txn request";
    refused(kv.txn(t(vec![op("a"), op("b"), op("c"), op("d"), op("e")])).await, bad, many);
    let nested = pb::RequestOp { request: Some(Op::RequestTxn(t(vec![op("b"), op("c"), op("d")]))) };
    refused(kv.txn(t(vec![op("a"), nested])).await, bad, many);
    let twice = "etcdserver: duplicate key given in txn request";
    refused(kv.txn(t(vec![op("a"), op("a")])).await, bad, twice);
    refused(kv.txn(t(vec![pb::RequestOp::default()])).await, bad, "etcdserver: key not found");
    assert_eq!(kv.range(get("a")).await.unwrap().into_inner().header.unwrap().revision, 1);
    e.stop().await;
}

#[tokio::test]
async fn transactions_compare_and_nest() {
    let e = start(&[]).await;
    let mut kv = e.kv();
    e.put("a", "1").await;
    let cmp = |target: CompareTarget, u| pb::Compare {
        target: target.into(),
        result: CompareResult::Equal.into(),
        key: "a".into(),
        target_union: Some(u),
        ..Default::default()
    };
    let op = |r| pb::RequestOp { request: Some(r) };
    let inner = pb::TxnRequest {
        compare: vec![cmp(CompareTarget::Version, TargetUnion::Version(9))],
        success: vec![],
        failure: vec![op(Op::RequestRange(pb::RangeRequest { keys_only: true, ..under("a") }))],
    };
    let t = pb::TxnRequest {
        compare: vec![
            cmp(CompareTarget::Mod, TargetUnion::ModRevision(2)),
            cmp(CompareTarget::Create, TargetUnion::CreateRevision(2)),
            cmp(CompareTarget::Value, TargetUnion::Value("1".into())),
            cmp(CompareTarget::Lease, TargetUnion::Lease(0)),
        ],
        success: vec![
            op(Op::RequestPut(pb::PutRequest { prev_kv: true, ..put("a", "2") })),
            op(Op::RequestDeleteRange(pb::DeleteRangeRequest { prev_kv: true, ..delete("b") })),
            op(Op::RequestTxn(inner)),
            op(Op::RequestRange(get("a"))),
        ],
        failure: vec![op(Op::RequestRange(get("a")))],
    };
    let r = kv.txn(t.clone()).await.unwrap().into_inner();
    assert!(r.succeeded && r.header.unwrap().revision == 3);
    use pb::response_op::Response as R;
    let got: Vec<String> = r
        .responses
        .iter()
        .map(|r| match r.response.as_ref().unwrap() {
            R::ResponsePut(p) => format!("put, was {:?}", p.prev_kv.as_ref().map(|k| k.value.clone())),
            R::ResponseDeleteRange(d) => format!("deleted {}", d.deleted),
            R::ResponseRange(r) => keys(r),
            R::ResponseTxn(t) => {
                let Some(R::ResponseRange(r)) = &t.responses[0].response else { panic!() };
                format!("txn {} {}", t.succeeded, keys(r))
            }
        })
        .collect();
    assert_eq!(got, ["put, was Some(b\"1\")", "deleted 0", "txn false a=@3", "a=2@3"]);
    let r = kv.txn(t).await.unwrap().into_inner();
    assert!(!r.succeeded && r.header.unwrap().revision == 3 && r.responses.len() == 1);
    e.stop().await;
}

#[tokio::test]
async fn a_streamed_range_is_the_range() {
    let e = start(&["--max-request-bytes=4000"]).await;
    let mut kv = e.kv();
    for i in 0..200 {
        e.put(&format!("k/{i:03}"), &"x".repeat(100 + i)).await;
    }
    for (name, q) in [
        ("all", under("k/")),
        ("limit", pb::RangeRequest { limit: 57, ..under("k/") }),
        ("limit of one part", pb::RangeRequest { limit: 3, ..under("k/") }),
        ("keys", pb::RangeRequest { keys_only: true, ..under("k/") }),
        ("past", pb::RangeRequest { revision: 50, ..under("k/") }),
        ("none", under("x/")),
        ("single", get("k/007")),
        ("count", pb::RangeRequest { count_only: true, ..under("k/") }),
    ] {
        let whole = kv.range(q.clone()).await.unwrap().into_inner();
        let mut parts = kv.range_stream(q).await.unwrap().into_inner();
        let mut merged = pb::RangeResponse::default();
        let mut n = 0;
        while let Some(p) = parts.message().await.unwrap() {
            let p = p.range_response.unwrap();
            assert!(merged.header.is_none(), "{name}: something after the last part");
            n += 1;
            merged.kvs.extend(p.kvs);
            merged.more |= p.more;
            merged.count = merged.count.max(p.count);
            merged.header = p.header;
        }
        assert_eq!(merged, whole, "{name}");
        assert!(n > 5 || name != "all", "{name} came in {n} parts");
    }
    let sorted = pb::RangeRequest { sort_order: 2, ..under("k/") };
    assert_eq!(kv.range_stream(sorted).await.unwrap_err().code(), Code::Unimplemented);
    let filtered = pb::RangeRequest { min_mod_revision: 2, ..under("k/") };
    assert_eq!(kv.range_stream(filtered).await.unwrap_err().code(), Code::Unimplemented);
    e.stop().await;
}

#[tokio::test]
async fn leases() {
    let e = start(&[]).await;
    let mut l = e.lease();
    let grant = |id, ttl| pb::LeaseGrantRequest { id, ttl };
    let r = l.lease_grant(grant(7, 100)).await.unwrap().into_inner();
    assert_eq!((r.id, r.ttl), (7, 100));
    let exists = "etcdserver: lease already exists";
    refused(l.lease_grant(grant(7, 100)).await, Code::FailedPrecondition, exists);
    let large = "etcdserver: too large lease TTL";
    refused(l.lease_grant(grant(8, 9_000_000_001)).await, Code::OutOfRange, large);
    let r = l.lease_grant(grant(0, 1)).await.unwrap().into_inner();
    assert!(r.id > 0 && r.ttl == 2);
    e.kv().put(pb::PutRequest { lease: 7, ..put("a", "1") }).await.unwrap();
    e.kv().put(pb::PutRequest { lease: 7, ..put("b", "1") }).await.unwrap();
    let ask = pb::LeaseTimeToLiveRequest { id: 7, keys: true };
    let r = l.lease_time_to_live(ask).await.unwrap().into_inner();
    assert_eq!((r.granted_ttl, r.keys.len()), (100, 2));
    assert!(r.ttl > 90 && r.ttl <= 100);
    let r =
        l.lease_time_to_live(pb::LeaseTimeToLiveRequest { id: 5, keys: false }).await.unwrap().into_inner();
    assert_eq!((r.id, r.ttl), (5, -1));
    let all = l.lease_leases(pb::LeaseLeasesRequest {}).await.unwrap().into_inner().leases;
    assert_eq!(all.len(), 2);
    let ids = tokio_stream::iter([7, 5].map(|id| pb::LeaseKeepAliveRequest { id }));
    let mut answers = l.lease_keep_alive(ids).await.unwrap().into_inner();
    for want in [(7, 100), (5, 0)] {
        let r = answers.message().await.unwrap().unwrap();
        assert_eq!((r.id, r.ttl), want);
    }
    assert!(answers.message().await.unwrap().is_none());
    let r = l.lease_revoke(pb::LeaseRevokeRequest { id: 7 }).await.unwrap().into_inner();
    assert_eq!(r.header.unwrap().revision, 4);
    let gone = "etcdserver: requested lease not found";
    refused(l.lease_revoke(pb::LeaseRevokeRequest { id: 7 }).await, Code::NotFound, gone);
    assert_eq!(e.kv().range(under("a")).await.unwrap().into_inner().count, 0);
    e.stop().await;
}

#[tokio::test]
async fn maintenance() {
    let e = start(&["--name=m1", "--advertise-client-urls=http://a:1,http://b:2"]).await;
    for i in 0..50 {
        e.put(&format!("k{}", i % 5), &"x".repeat(3000)).await;
    }
    let mut m = e.maintenance();
    let s = m.status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((s.version.as_str(), s.header.unwrap().revision, s.errors.len()), ("3.7.3", 51, 0));
    assert_eq!(s.leader, s.header.unwrap().member_id);
    assert!(!ours() || s.db_size > 50_000 && s.db_size_in_use > 50_000);
    let hash = async |m: &mut pb::maintenance_client::MaintenanceClient<_>, revision| {
        m.hash_kv(pb::HashKvRequest { revision }).await.unwrap().into_inner()
    };
    let (now, then) = (hash(&mut m, 0).await, hash(&mut m, 50).await);
    assert!(now.hash != then.hash && then.hash_revision == 50 && now.hash == hash(&mut m, 51).await.hash);
    e.kv().compact(pb::CompactionRequest { revision: 51, physical: true }).await.unwrap();
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    let r = e.kv().compact(pb::CompactionRequest { revision: 51, physical: false }).await;
    refused(r, Code::OutOfRange, compacted);
    let r = e.kv().range(pb::RangeRequest { revision: 50, ..get("k1") }).await;
    refused(r, Code::OutOfRange, compacted);
    m.defragment(pb::DefragmentRequest {}).await.unwrap();
    let after = m.status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert!(!ours() || after.db_size < s.db_size / 2, "{} {}", after.db_size, s.db_size);
    let mut c = pb::cluster_client::ClusterClient::new(e.channel.clone());
    let list = c.member_list(pb::MemberListRequest::default()).await.unwrap().into_inner().members;
    assert_eq!((list.len(), list[0].name.as_str(), list[0].client_ur_ls.len()), (1, "m1", 2));
    let more = c.member_add(pb::MemberAddRequest::default()).await;
    assert!(!ours() || more.unwrap_err().code() == Code::Unimplemented);
    assert!(m.alarm(pb::AlarmRequest::default()).await.unwrap().into_inner().alarms.is_empty());
    e.stop().await;
}

/// A snapshot, with its checksum behind it, is a database that can be served.
#[tokio::test]
async fn snapshots_can_be_restored() {
    use sha2::Digest;
    let e = start(&[]).await;
    for i in 0..100 {
        e.put(&format!("k{i}"), &"x".repeat(3000)).await;
    }
    let mut parts = e.maintenance().snapshot(pb::SnapshotRequest {}).await.unwrap().into_inner();
    let (mut all, mut left) = (Vec::new(), u64::MAX);
    while let Some(p) = parts.message().await.unwrap() {
        assert!(p.remaining_bytes <= left);
        left = p.remaining_bytes;
        all.extend_from_slice(&p.blob);
    }
    let sum = all.split_off(all.len() - 32);
    assert_eq!((left, sum.as_slice()), (0, sha2::Sha256::digest(&all).as_slice()));
    if !ours() {
        return;
    }
    assert_eq!(
        std::fs::read_dir(e.dir.0.join("keelson"))
            .unwrap()
            .filter(|f| { f.as_ref().unwrap().file_name().to_string_lossy().starts_with("snapshot") })
            .count(),
        0
    );
    e.stop().await;
    let other = Dir::new();
    std::fs::create_dir_all(other.0.join("keelson")).unwrap();
    std::fs::write(other.0.join("keelson/state.db"), &all).unwrap();
    let (running, channel) = start_in(&other, &[]).await;
    let mut kv = pb::kv_client::KvClient::new(channel);
    let r = kv.range(under("k")).await.unwrap().into_inner();
    assert_eq!((r.count, r.header.unwrap().revision), (100, 101));
    drop(kv);
    running.stop().await;
}

#[tokio::test]
async fn a_full_database_refuses_writes_and_says_so() {
    if !ours() {
        // Upstream's alarm stays until it is taken back by hand.
        return;
    }
    let e = start(&["--quota-backend-bytes=200000"]).await;
    let mut written = 0;
    let why = loop {
        match e.kv().put(put(&format!("k{written}"), &"x".repeat(10_000))).await {
            Ok(_) => written += 1,
            Err(s) => break s,
        }
        assert!(written < 100);
    };
    refused::<()>(Err(why), Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
    let alarms = e.maintenance().alarm(pb::AlarmRequest::default()).await.unwrap().into_inner().alarms;
    assert_eq!((alarms.len(), alarms[0].alarm), (1, 1));
    assert!(http(e.at, "/health").await.contains("ALARM NOSPACE"));
    // Deleting, compacting and defragmenting make room.
    let all = pb::DeleteRangeRequest { range_end: b"l".to_vec().into(), ..delete("k") };
    let r = e.kv().delete_range(all).await.unwrap().into_inner();
    assert_eq!(r.deleted, written);
    let revision = r.header.unwrap().revision;
    e.kv().compact(pb::CompactionRequest { revision, physical: true }).await.unwrap();
    e.maintenance().defragment(pb::DefragmentRequest {}).await.unwrap();
    e.put("small", "1").await;
    e.stop().await;
}

async fn http(at: std::net::SocketAddr, path: &str) -> String {
    let mut s = tokio::net::TcpStream::connect(at).await.unwrap();
    s.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut out = String::new();
    s.read_to_string(&mut out).await.unwrap();
    out
}

#[tokio::test]
async fn beside_grpc() {
    let e = start(&["--listen-metrics-urls=http://127.0.0.1:0"]).await;
    e.put("a", "1").await;
    let at = e.at;
    for (path, want) in [
        ("/health", r#"{"health":"true","reason":""}"#),
        ("/version", r#""etcdserver":"3.7.3""#),
        ("/readyz", "ok"),
        ("/livez", "ok"),
        ("/metrics", "etcd_debugging_mvcc_current_revision 2"),
        ("/nosuch", "HTTP/1.1 404"),
    ] {
        let got = http(at, path).await;
        assert!(got.contains(want), "{path}: {got}");
    }
    let mut other = tonic::client::Grpc::new(e.channel.clone());
    other.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::StatusRequest, pb::StatusResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/v3electionpb.Election/Leader");
    let r = other.unary(tonic::Request::new(pb::StatusRequest {}), path, codec).await;
    assert!(!ours() || r.unwrap_err().code() == Code::Unimplemented);
    e.stop().await;
}

#[tokio::test]
async fn data_of_another_etcd_is_left_alone() {
    let d = Dir::new();
    std::fs::create_dir_all(d.0.join("member/snap")).unwrap();
    std::fs::write(d.0.join("member/snap/db"), "bbolt").unwrap();
    let args =
        [format!("--data-dir={}", d.0.display()), "--listen-client-urls=http://127.0.0.1:0".to_owned()];
    let c = etcd::Config::from_args(args.into()).unwrap();
    let e = etcd::start(c, runtime::Runtime::new()).await.err().unwrap();
    assert!(e.contains("holds the data of another etcd"), "{e}");
}
