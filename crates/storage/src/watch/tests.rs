//! Who is woken, what is delivered, who is too late.

use super::*;
use crate::embedded::tests::Dir;
use crate::{Embedded, Options, Storage};
use bytes::Bytes;
use futures::FutureExt;
use mvcc::{Op, Txn};
use runtime::Runtime;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

fn store(backlog: usize) -> Arc<Embedded> {
    let o = Options { watch_backlog: backlog, compact_every: Duration::ZERO, ..Options::default() };
    Embedded::in_memory(o, &Runtime::new())
}

async fn put(s: &Embedded, k: &str) -> Revision {
    s.put(k, Bytes::new(), None, 0).await.unwrap();
    s.revision()
}

/// What a watcher has for us now, as `key@revision`.
fn drain(w: &mut (impl Watch + ?Sized)) -> Vec<String> {
    let mut out = Vec::new();
    loop {
        match w.next().now_or_never() {
            None => return out,
            Some(None) => out.push("end".into()),
            Some(Some(WatchItem::Lagged)) => out.push("lagged".into()),
            Some(Some(WatchItem::Progress(r))) => {
                assert!(w.progress() >= r);
                continue;
            }
            Some(Some(WatchItem::Events(e))) => {
                assert!(!e.is_empty());
                out.extend(e.iter().map(|e| format!("{}@{}", e.record.key, e.record.mod_revision)));
                continue;
            }
        }
        return out;
    }
}

#[test]
fn groups_are_found_by_all_prefixes() {
    let names = ["", "/", "/a", "/a/", "/a/b", "/a/bc", "/ab", "/a0", "/b/", "x"];
    let group = |p: &str| {
        let prefix: Arc<[u8]> = p.as_bytes().into();
        let g = Group { prefix: prefix.clone(), queue: Mutex::default() };
        (prefix, Arc::new(g))
    };
    // Every subset of the names, and keys near them.
    for set in 0..1u32 << names.len() {
        let map: BTreeMap<_, _> =
            names.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1).map(|(_, n)| group(n)).collect();
        for key in ["/a/b", "/a/bcd", "/a", "/a/", "/a/a", "/a/z", "/a00", "/", "x", "xx", "y", "!"] {
            let got: Vec<_> = concerned(&map, key.as_bytes()).map(|g| g.prefix.to_vec()).collect();
            let mut want: Vec<_> =
                map.keys().filter(|p| key.as_bytes().starts_with(p)).map(|p| p.to_vec()).collect();
            want.reverse();
            assert_eq!(got, want, "{key} in {set:b}");
        }
    }
}

#[tokio::test]
async fn events_of_the_past_then_of_the_present() {
    let s = store(100);
    for k in ["/p/a", "/q/a", "/p/b", "/pa"] {
        put(&s, k).await;
    }
    let mut from_start = s.watch("/p/", 1).unwrap();
    let mut from_middle = s.watch("/p/", 2).unwrap();
    let mut from_now = s.watch("/p/", s.revision()).unwrap();
    let mut everything = s.watch("", 0).unwrap();
    let mut from_future = s.watch("/p/", 7).unwrap();
    for k in ["/p/c", "/q/b", "/p/a"] {
        put(&s, k).await;
    }
    assert_eq!(drain(&mut *from_start), ["/p/a@2", "/p/b@4", "/p/c@6", "/p/a@8"]);
    assert_eq!(drain(&mut *from_middle), ["/p/b@4", "/p/c@6", "/p/a@8"]);
    assert_eq!(drain(&mut *from_now), ["/p/c@6", "/p/a@8"]);
    assert_eq!(drain(&mut *everything).len(), 7);
    assert_eq!(drain(&mut *from_future), ["/p/a@8"]);
    put(&s, "/p/z").await;
    for w in [&mut from_start, &mut from_middle, &mut from_now, &mut everything, &mut from_future] {
        assert_eq!(drain(&mut **w), ["/p/z@9"]);
    }
}

#[tokio::test]
async fn ranges_are_filtered_within_their_group() {
    let s = store(100);
    let mut one = s.watch_range(KeyRange::single("/p/a"), 1).unwrap();
    let mut some = s.watch_range(KeyRange::of_request("/p/b", b"/p/d"), 1).unwrap();
    let mut from = s.watch_range(KeyRange::of_request("/p/c", b"\0"), 1).unwrap();
    assert_eq!(s.watchers(), (3, 3));
    for k in ["/p/a", "/p/ab", "/p/b", "/p/cc", "/p/d", "/z"] {
        put(&s, k).await;
    }
    let t = ["/p/a", "/p/bb", "/p/x"].map(|k| Op::Put {
        key: k.into(),
        value: Some(Bytes::new()),
        lease: Some(0),
    });
    s.txn(Txn::of(t.into())).await.unwrap();
    assert_eq!(drain(&mut one), ["/p/a@2", "/p/a@8"]);
    assert_eq!(drain(&mut some), ["/p/b@4", "/p/cc@5", "/p/bb@8"]);
    assert_eq!(drain(&mut from), ["/p/cc@5", "/p/d@6", "/z@7", "/p/x@8"]);
    let mut again = s.watch_range(KeyRange::single("/p/a"), 1).unwrap();
    assert_eq!(drain(&mut again), ["/p/a@2", "/p/a@8"]);
}

#[tokio::test]
async fn progress_tells_what_was_delivered() {
    let s = store(100);
    put(&s, "/p/a").await;
    let mut w = s.watch("/p/", 2).unwrap();
    assert_eq!(w.progress(), 2);
    put(&s, "/q/a").await;
    // Not for this watcher, so nothing is outstanding.
    assert_eq!(w.progress(), 3);
    put(&s, "/p/b").await;
    put(&s, "/q/b").await;
    assert!(w.progress() < 4);
    assert_eq!(drain(&mut *w), ["/p/b@4"]);
    assert_eq!(w.progress(), 5);
    let past = s.watch("/p/", 1).unwrap();
    assert_eq!(past.progress(), 1);
    let future = s.watch("/p/", 9).unwrap();
    assert_eq!(future.progress(), 5);
}

#[tokio::test]
async fn one_who_is_too_far_behind_must_list_again() {
    let s = store(10);
    let mut slow = s.watch("/p/", 1).unwrap();
    let mut quick = s.watch("/p/", 1).unwrap();
    let mut other = s.watch("/q/", 1).unwrap();
    for i in 0..10 {
        put(&s, "/p/a").await;
        assert_eq!(drain(&mut *quick), [format!("/p/a@{}", i + 2)]);
    }
    put(&s, "/p/a").await;
    put(&s, "/q/a").await;
    assert_eq!(drain(&mut *slow), ["lagged"]);
    assert!(slow.next().await.is_none());
    assert_eq!(drain(&mut *quick), ["/p/a@12"]);
    assert_eq!(drain(&mut *other), ["/q/a@13"]);
    // A batch that is larger than the bound by itself is delivered all the same.
    let t: Vec<_> = (0..50)
        .map(|i| Op::Put { key: format!("/p/{i}").into(), value: Some(Bytes::new()), lease: Some(0) })
        .collect();
    s.txn(Txn::of(t)).await.unwrap();
    assert_eq!(drain(&mut *quick).len(), 50);
}

#[tokio::test]
async fn the_past_that_is_gone() {
    let s = store(10);
    for _ in 0..10 {
        put(&s, "/p/a").await;
    }
    let mut reading = s.watch("/p/", 4).unwrap();
    s.compact(8).await.unwrap();
    assert_eq!(s.watch("/p/", 7).err(), Some(Error::Compacted { asked: 8, floor: 8 }));
    assert_eq!(drain(&mut *s.watch("/p/", 8).unwrap()), ["/p/a@9", "/p/a@10", "/p/a@11"]);
    // As etcd has it, the floor's own change can be had, without what was there before.
    let p = || KeyRange::prefix("/p/");
    assert_eq!(s.watch_range(p(), 6).err(), Some(Error::Compacted { asked: 7, floor: 8 }));
    let mut floor = s.watch_range(p(), 7).unwrap();
    let Some(WatchItem::Events(e)) = floor.next().await else { panic!() };
    let had = |i: usize| (e[i].record.mod_revision, e[i].previous.is_some());
    assert_eq!((had(0), had(1), e.len()), ((8, false), (9, true), 4));
    assert_eq!(drain(&mut *reading), ["lagged"]);
    // A member of a group is not concerned: what it has to see waits in the queue.
    let mut member = s.watch("/p/", 11).unwrap();
    put(&s, "/p/b").await;
    put(&s, "/q/b").await;
    s.compact(13).await.unwrap();
    assert_eq!(drain(&mut *member), ["/p/b@12"]);
}

#[tokio::test]
async fn what_nobody_needs_is_let_go() {
    let s = store(1000);
    let mut a = s.watch("/p/", 1).unwrap();
    let b = s.watch("/p/", 1).unwrap();
    for _ in 0..5 {
        put(&s, "/p/a").await;
    }
    let group = |s: &Embedded| {
        let hub = s.hub();
        let groups = lock(&hub.groups);
        groups.by_prefix.get("/p/".as_bytes()).map(|g| lock(&g.queue).batches.len())
    };
    assert_eq!(group(&s), Some(5));
    drain(&mut *a);
    assert_eq!(group(&s), Some(5));
    drop(b);
    assert_eq!(group(&s), Some(0));
    put(&s, "/p/a").await;
    assert_eq!(group(&s), Some(1));
    drop(a);
    assert_eq!(group(&s), None);
    assert_eq!(s.watchers(), (0, 0));
}

struct Count(AtomicUsize);
impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_write_wakes_only_those_concerned() {
    let s = store(1000);
    let woken: Vec<_> = (0..1000).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
    let mut watchers: Vec<_> = (0..1000).map(|i| s.watch(&format!("/p/{i}/"), 1).unwrap()).collect();
    let mut next: Vec<_> = watchers.iter_mut().map(|w| w.next()).collect();
    for (n, c) in next.iter_mut().zip(&woken) {
        let waker = Waker::from(c.clone());
        assert!(n.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    put(&s, "/p/77/x").await;
    put(&s, "/elsewhere").await;
    let who: Vec<_> = woken.iter().enumerate().filter(|(_, c)| c.0.load(Ordering::SeqCst) > 0).collect();
    assert_eq!(who.len(), 1);
    assert_eq!(who[0].0, 77);
}

/// With the writer's thread and readers that start anywhere: each sees every event once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_others_write() {
    const LAST: Revision = 1500;
    let d = Dir::new();
    let o = Options { durable: false, watch_backlog: 1 << 20, ..Options::default() };
    let rt = Runtime::new();
    let s = Embedded::open(&d.db(), o, rt.clone()).await.unwrap();
    let mut tasks = Vec::new();
    let whole = Arc::new(AtomicUsize::new(0));
    for i in 0..30 {
        let (s, whole) = (s.clone(), whole.clone());
        tasks.push(rt.spawn("reader", async move {
            // Each begins when the store is somewhere else, and from somewhere in its past.
            while s.revision() < i * 40 {
                tokio::task::yield_now().await;
            }
            let from = (s.revision() - i % 7 * 30).max(1);
            let mut w = s.watch("/p/", from).unwrap();
            let mut last = from;
            while last < LAST {
                let e = match w.next().await {
                    Some(WatchItem::Events(e)) => e,
                    Some(WatchItem::Progress(_)) => continue,
                    other => panic!("{other:?}"),
                };
                for e in e.iter() {
                    // Every second write is for others.
                    let want = if last % 2 == 0 { last + 2 } else { last + 1 };
                    assert_eq!(e.record.mod_revision, want);
                    last = want;
                }
                assert!(w.progress() >= last);
            }
            whole.fetch_add(1, Ordering::SeqCst);
        }));
    }
    for i in 2..=LAST {
        put(&s, if i % 2 == 0 { "/p/a" } else { "/q/a" }).await;
    }
    for t in tasks {
        tokio::time::timeout(Duration::from_secs(30), t).await.unwrap().unwrap();
    }
    assert_eq!(whole.load(Ordering::SeqCst), 30);
    assert_eq!(s.watchers(), (0, 0));
    s.close().await;
}
