//! Watch streams as a client sees them.

mod common;

use common::{delete, put, start};
use etcd::pb::etcdserverpb as pb;
use pb::watch_request::RequestUnion as R;

fn on(key: &str, start: i64) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: key.to_owned().into(), start_revision: start, ..Default::default() }
}

fn under(prefix: &str, start: i64) -> pb::WatchCreateRequest {
    let r = common::under(prefix);
    pb::WatchCreateRequest { key: r.key, range_end: r.range_end, start_revision: start, ..Default::default() }
}

#[tokio::test]
async fn many_watches_share_a_stream() {
    let e = start(&[]).await;
    let mut s = e.watch().await;
    s.create(on("a", 0)).await;
    assert_eq!(s.line().await, "watch 0 created at 1");
    s.create(under("d/", 0)).await;
    assert_eq!(s.line().await, "watch 1 created at 1");
    s.create(pb::WatchCreateRequest { watch_id: 9, prev_kv: true, ..on("a", 0) }).await;
    assert_eq!(s.line().await, "watch 9 created at 1");
    e.put("a", "1").await;
    let mut two = [s.line().await, s.line().await];
    two.sort();
    assert_eq!(two, ["watch 0 a=1@2", "watch 9 a=1@2"]);
    e.put("ab", "not watched").await;
    e.put("d/x", "2").await;
    assert_eq!(s.line().await, "watch 1 d/x=2@4");
    s.ask(R::CancelRequest(pb::WatchCancelRequest { watch_id: 0 })).await;
    assert_eq!(s.line().await, "watch 0 canceled at 4");
    e.kv().delete_range(delete("a")).await.unwrap();
    assert_eq!(s.line().await, "watch 9 a=gone@5(was 1@2)");
    // The number that was given up is free, and one in use is refused.
    s.create(pb::WatchCreateRequest { watch_id: 9, ..on("a", 0) }).await;
    let line = s.line().await;
    assert_eq!(
        line,
        "watch -1 created canceled \"mvcc: duplicate watch ID provided on the WatchStream\" at 5"
    );
    s.create(pb::WatchCreateRequest { range_end: b"a".to_vec().into(), ..on("b", 0) }).await;
    assert_eq!(s.line().await, "watch -1 created canceled \"mvcc: watcher range is empty\" at 5");
    s.ask(R::CancelRequest(pb::WatchCancelRequest { watch_id: 77 })).await;
    s.create(on("z", 0)).await;
    assert_eq!(s.line().await, "watch 2 created at 5");
    e.stop().await;
}

#[tokio::test]
async fn the_past_and_the_future() {
    let e = start(&[]).await;
    for i in 2..=10 {
        assert_eq!(e.put("a", &i.to_string()).await, i);
    }
    let mut s = e.watch().await;
    s.create(on("a", 9)).await;
    assert_eq!(s.line().await, "watch 0 created at 10");
    assert_eq!(s.line().await, "watch 0 a=9@9 a=10@10");
    s.create(on("a", 12)).await;
    assert_eq!(s.line().await, "watch 1 created at 10");
    e.put("a", "11").await;
    assert_eq!(s.line().await, "watch 0 a=11@11");
    e.put("a", "12").await;
    let mut two = [s.line().await, s.line().await];
    two.sort();
    assert_eq!(two, ["watch 0 a=12@12", "watch 1 a=12@12"]);
    e.kv().compact(pb::CompactionRequest { revision: 8, physical: false }).await.unwrap();
    s.create(on("a", 7)).await;
    assert_eq!(s.line().await, "watch 2 created at 12");
    assert_eq!(s.line().await, "watch 2 canceled compacted 8 at 0");
    s.create(on("a", 8)).await;
    assert_eq!(s.line().await, "watch 3 created at 12");
    assert_eq!(s.line().await, "watch 3 a=8@8 a=9@9 a=10@10 a=11@11 a=12@12");
    s.create(on("a", -1)).await;
    let want = "watch -1 created canceled \"etcdserver: mvcc: required revision has been compacted\" at 12";
    assert_eq!(s.line().await, want);
    e.stop().await;
}

#[tokio::test]
async fn filters_and_fragments() {
    let e = start(&[]).await;
    let mut s = e.watch().await;
    s.create(pb::WatchCreateRequest { filters: vec![0], ..under("k", 0) }).await;
    s.create(pb::WatchCreateRequest { filters: vec![1], ..under("k", 0) }).await;
    assert_eq!(
        (s.line().await, s.line().await),
        ("watch 0 created at 1".into(), "watch 1 created at 1".into())
    );
    e.put("k", "1").await;
    assert_eq!(s.line().await, "watch 1 k=1@2");
    e.kv().delete_range(delete("k")).await.unwrap();
    assert_eq!(s.line().await, "watch 0 k=gone@3");
    let mut f = e.watch().await;
    for i in 0..8 {
        e.put(&format!("f{i}"), &"x".repeat(700_000)).await;
    }
    f.create(pb::WatchCreateRequest { fragment: true, ..under("f", 2) }).await;
    assert!(f.next().await.created);
    let mut got = Vec::new();
    loop {
        let r = f.next().await;
        got.push((r.events.len(), r.fragment));
        if !r.fragment {
            break;
        }
    }
    assert_eq!(got, [(2, true), (2, true), (2, true), (2, false)]);
    e.stop().await;
}

#[tokio::test]
async fn progress_when_asked_for() {
    let e = start(&[]).await;
    let mut s = e.watch().await;
    // Nobody to tell it to.
    s.ask(R::ProgressRequest(pb::WatchProgressRequest {})).await;
    e.put("a", "1").await;
    s.create(under("a", 2)).await;
    s.create(under("b", 0)).await;
    let first: Vec<String> = vec![s.line().await, s.line().await, s.line().await];
    assert!(first.contains(&"watch 0 a=1@2".to_owned()), "{first:?}");
    for i in 3..50 {
        // Not watched, or watched by one of the two: the answer covers all, and comes after the events.
        let key = ["c", "a", "b"][i % 3];
        e.put(key, "x").await;
        s.ask(R::ProgressRequest(pb::WatchProgressRequest {})).await;
        if key != "c" {
            assert_eq!(s.line().await, format!("watch {} {key}=x@{i}", i % 3 - 1));
        }
        assert_eq!(s.line().await, format!("watch -1 at {i}"));
    }
    e.stop().await;
}

#[tokio::test]
async fn progress_by_itself() {
    let e = start(&["--watch-progress-notify-interval=200ms"]).await;
    let mut s = e.watch().await;
    s.create(pb::WatchCreateRequest { progress_notify: true, ..on("a", 0) }).await;
    s.create(on("a", 0)).await;
    assert_eq!(
        (s.line().await, s.line().await),
        ("watch 0 created at 1".into(), "watch 1 created at 1".into())
    );
    e.put("elsewhere", "1").await;
    assert_eq!(s.line().await, "watch 0 at 2");
    assert_eq!(s.line().await, "watch 0 at 2");
    e.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_takes_its_watches_along() {
    let e = start(&[]).await;
    let mut s = e.watch().await;
    for i in 0..20 {
        s.create(on(&format!("k{i}"), 0)).await;
        assert!(s.next().await.created);
    }
    assert_eq!(e.watchers(), if common::ours() { 20 } else { 0 });
    drop(s);
    for _ in 0..1000 {
        if e.watchers() == 0 {
            break;
        }
        e.put("k1", "x").await;
    }
    assert_eq!(e.watchers(), 0);
    e.stop().await;
}

/// A client that does not read for long gets everything later: the history is longer than its queue.
#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let e = start(&[]).await;
    let mut s = e.watch().await;
    s.create(under("k", 0)).await;
    assert!(s.next().await.created);
    let mut kv = e.kv();
    let n = 12_000;
    for chunk in (0..n).collect::<Vec<_>>().chunks(100) {
        let op = |i: &i32| pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(put(&format!("k{i}"), &"x".repeat(200)))),
        };
        let t = pb::TxnRequest { success: chunk.iter().map(op).collect(), ..Default::default() };
        kv.txn(t).await.unwrap();
    }
    let mut seen = 0;
    while seen < n {
        for ev in s.next().await.events {
            assert_eq!(ev.kv.unwrap().key, format!("k{seen}"));
            seen += 1;
        }
    }
    e.stop().await;
}
