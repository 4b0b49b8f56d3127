//! The store as a whole: what it keeps, what it refuses, what happens when the disk does.

use super::*;
use crate::disk::beside;
use crate::{Event, Outcome, Record, Storage, WatchItem};
use bytes::Bytes;
use mvcc::{Op, OpResult, Range};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes away with the test.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static N: AtomicU32 = AtomicU32::new(0);
        let name = format!("keelson-store-{}-{}", std::process::id(), N.fetch_add(1, Ordering::SeqCst));
        Self(std::env::temp_dir().join(name))
    }
    pub fn db(&self) -> PathBuf {
        self.0.join("data/state.db")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// No waiting for the disk, nothing by itself.
fn quick() -> Options {
    Options { durable: false, compact_every: Duration::ZERO, ..Options::default() }
}

async fn open(d: &Dir) -> Arc<Embedded> {
    Embedded::open(&d.db(), quick(), Runtime::new()).await.unwrap()
}

async fn refusal(d: &Dir) -> String {
    match Embedded::open(&d.db(), quick(), Runtime::new()).await {
        Ok(_) => panic!("it opened"),
        Err(e) => e.to_string(),
    }
}

fn bytes(s: &str) -> Bytes {
    Bytes::copy_from_slice(s.as_bytes())
}

async fn put(s: &Embedded, k: &str, v: &str) -> Result<Revision, Error> {
    match s.put(k, bytes(v), None, 0).await? {
        Outcome::Done(r) => Ok(r.mod_revision),
        Outcome::Conflict(_) => panic!("a put without condition cannot conflict"),
    }
}

fn show(r: &Record) -> String {
    let v = String::from_utf8_lossy(&r.value);
    format!("{}={v} c{} m{} v{} l{}", r.key, r.create_revision, r.mod_revision, r.version, r.lease)
}

/// Everything there is to know about a state.
fn dump(s: &State) -> String {
    let mut out = format!("revision {} floor {}\n", s.revision(), s.floor());
    for r in s.snapshot().range(&KeyRange::prefix("")) {
        out.push_str(&format!("{}\n", show(r)));
    }
    for l in s.leases() {
        let keys: Vec<_> = l.keys().map(|k| k.to_string()).collect();
        out.push_str(&format!("lease {} {} {keys:?}\n", l.id, l.ttl));
    }
    for e in s.events_after((s.floor() - 1).max(0), "").unwrap() {
        let was = e.previous.as_ref().map_or("none".into(), |p| show(p));
        out.push_str(&format!("event {} was {was}\n", show(&e.record)));
    }
    out
}

fn rows(d: &Dir) -> i64 {
    let c = rusqlite::Connection::open(d.db()).unwrap();
    c.query_row("SELECT count(*) FROM log", [], |r| r.get(0)).unwrap()
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let d = Dir::new();
    let s = open(&d).await;
    assert_eq!(s.revision(), 1);
    for i in 0..20 {
        put(&s, &format!("/registry/a/{}", i % 7), &format!("v{i}")).await.unwrap();
    }
    s.grant(77, 1_000_000).await.unwrap();
    s.grant(78, 1_000_000).await.unwrap();
    s.put("/registry/b/1", bytes("leased"), Some(0), 77).await.unwrap();
    s.put("/registry/b/2", bytes("doomed"), Some(0), 78).await.unwrap();
    s.revoke(78).await.unwrap();
    s.delete("/registry/a/3", None).await.unwrap();
    let t = Txn::of(vec![
        Op::Delete(KeyRange::prefix("/registry/a/5")),
        Op::Put { key: "/registry/c".into(), value: Some(bytes("x")), lease: Some(77) },
        Op::Range(Range::new(KeyRange::prefix("/registry/c"))),
    ]);
    let r = s.txn(t).await.unwrap();
    assert!(matches!(&r.results[2], OpResult::Range(r) if r.count == 1));
    s.compact(9).await.unwrap();
    let before = dump(&s.state());
    s.close().await;
    assert_eq!(put(&s, "late", "x").await, Err(Error::Closed));
    let s = open(&d).await;
    assert_eq!(dump(&s.state()), before);
    assert_eq!(put(&s, "/registry/c", "y").await, Ok(r.revision + 1));
    // A watch from the oldest revision that is kept sees what happened before the restart.
    let mut w = s.watch("/registry/c", 9).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match w.next().await {
            Some(WatchItem::Events(e)) => seen.extend(e.iter().map(|e| show(&e.record))),
            Some(WatchItem::Progress(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(seen[0].starts_with("/registry/c=x") && seen[1].starts_with("/registry/c=y"), "{seen:?}");
    assert!(s.watch("/registry/c", 8).is_err());
    s.close().await;
}

#[tokio::test]
async fn conditions_hold_also_among_writes_of_one_batch() {
    let d = Dir::new();
    let s = open(&d).await;
    // All wait for the writer together: they end in few batches, and still only one may create the key.
    let wins = futures::future::join_all((0..100).map(|i| {
        let s = s.clone();
        async move {
            let o = s.put("one", bytes(&i.to_string()), Some(0), 0).await.unwrap();
            matches!(o, Outcome::Done(_))
        }
    }))
    .await;
    assert_eq!(wins.iter().filter(|w| **w).count(), 1);
    assert_eq!(s.revision(), 2);
    let next = futures::future::join_all((0..100).map(|_| s.delete("one", Some(2)))).await;
    let done = next.into_iter().filter(|o| matches!(o, Ok(Outcome::Done(_)))).count();
    assert_eq!(done, 1);
    s.close().await;
}

/// Waits in the past and the present agree: `at` any kept revision equals what was there then.
#[tokio::test]
async fn past_states() {
    let d = Dir::new();
    let s = open(&d).await;
    let mut then = Vec::new();
    for i in 0..30 {
        put(&s, &format!("k{}", i % 4), &i.to_string()).await.unwrap();
        then.push(s.cached());
    }
    let keys = |v: &Snapshot| {
        let mut out = Vec::new();
        v.scan("k", "", &mut |r| {
            out.push(show(r));
            true
        });
        out
    };
    for v in &then {
        let at = s.at(v.revision()).await.unwrap();
        assert_eq!((at.revision(), keys(&at)), (v.revision(), keys(v)));
        assert_eq!(at.count("k"), keys(v).len());
        let mut from = Vec::new();
        at.scan("k", "k2", &mut |r| {
            from.push(show(r));
            from.len() < 2
        });
        assert_eq!(from, keys(v).into_iter().skip(2).collect::<Vec<_>>());
    }
    assert_eq!(s.at(99).await.err(), Some(Error::Future { asked: 99, current: 31 }));
    s.compact(20).await.unwrap();
    assert_eq!(s.at(19).await.err(), Some(Error::Compacted { asked: 19, floor: 20 }));
    assert_eq!(s.at(20).await.unwrap().revision(), 20);
    assert_eq!(s.compact(20).await, Err(Error::Compacted { asked: 20, floor: 20 }));
    assert_eq!(s.compact(99).await, Err(Error::Future { asked: 99, current: 31 }));
    s.close().await;
}

#[tokio::test]
async fn limits_and_wrong_requests() {
    let rt = Runtime::new();
    let s = Embedded::in_memory(Options { max_value_bytes: 100, ..quick() }, &rt);
    assert_eq!(s.put("k", vec![0; 200].into(), None, 0).await.err(), Some(Error::TooLarge(201)));
    assert_eq!(s.put("k", bytes(""), None, 5).await.err(), Some(Error::NoLease(5)));
    assert_eq!(s.put("", bytes(""), None, 0).await.err(), Some(Error::Invalid(mvcc::Error::EmptyKey)));
    assert_eq!(s.revoke(5).await.err(), Some(Error::NoLease(5)));
    assert_eq!(s.keepalive(5).await.err(), Some(Error::NoLease(5)));
    assert_eq!(s.revision(), 1);
    assert_eq!(put(&s, "k", "").await, Ok(2));
}

#[tokio::test]
async fn a_refused_commit_is_as_if_it_had_not_been_asked_for() {
    let d = Dir::new();
    let found = {
        disk::make_dir(&d.db()).unwrap();
        Disk::open(&d.db(), true, 0).unwrap()
    };
    let fail = found.disk.fail_commit.clone();
    let s = with_disk(&d, found);
    put(&s, "a", "1").await.unwrap();
    let before = dump(&s.state());
    let mut w = s.watch("", 2).unwrap();
    fail.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let results = futures::future::join_all((0..20).map(|i| {
            let s = s.clone();
            async move { put(&s, &format!("b{i}"), "x").await }
        }))
        .await;
        for r in results {
            let e = r.unwrap_err().to_string();
            assert!(e.starts_with("writing to ") && e.contains("state.db"), "{e}");
        }
    }
    assert!(s.grant(5, 100).await.is_err());
    assert!(s.compact(2).await.is_err());
    // Reading goes on, and sees nothing of it.
    assert_eq!(dump(&s.state()), before);
    fail.store(false, Ordering::SeqCst);
    assert_eq!(put(&s, "c", "1").await, Ok(3));
    assert_eq!(s.grant(5, 100).await, Ok((5, 100)));
    let first = w.next().await;
    assert!(matches!(&first, Some(WatchItem::Events(e)) if &*e[0].record.key == "c"), "{first:?}");
    let after = dump(&s.state());
    s.close().await;
    let s = open(&d).await;
    assert_eq!(dump(&s.state()), after);
    s.close().await;
}

/// As `open`, with a disk that the test keeps a hand on.
fn with_disk(d: &Dir, found: disk::Found) -> Arc<Embedded> {
    let rt = Runtime::new();
    let lock = Lock::take(&d.db()).unwrap();
    Embedded::on_disk(&d.db(), quick(), &rt, lock, found).unwrap()
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let d = Dir::new();
    let s = open(&d).await;
    let big = "x".repeat(100_000);
    put(&s, "keep", "1").await.unwrap();
    // SQLite's own bound of the file's size: it answers as it does when the file system is full.
    s.sql("PRAGMA max_page_count = 60").await;
    let mut written = 0;
    let full = loop {
        match put(&s, &format!("big{written}"), &big).await {
            Ok(_) => written += 1,
            Err(e) => break e.to_string(),
        }
        assert!(written < 10);
    };
    assert!(written > 0);
    assert!(full.contains("full") && full.contains("make room"), "{full}");
    assert_eq!(s.cached().count("big"), written);
    s.sql("PRAGMA max_page_count = 100000").await;
    put(&s, "after", &big).await.unwrap();
    let after = dump(&s.state());
    s.close().await;
    let s = open(&d).await;
    assert_eq!(dump(&s.state()), after);
    s.close().await;
}

#[tokio::test]
async fn a_panic_refuses_a_batch_and_not_the_store() {
    let d = Dir::new();
    let s = open(&d).await;
    let r = s
        .submit::<(), _>(|d| {
            d.state.put("x", Bytes::new(), None, 0)?;
            panic!("on purpose")
        })
        .await;
    assert!(r.is_err());
    assert!(s.cached().get("x").is_none());
    assert_eq!(put(&s, "y", "1").await, Ok(2));
    s.close().await;
}

#[tokio::test]
async fn a_second_server_is_told_who_the_first_is() {
    let d = Dir::new();
    let s = open(&d).await;
    put(&s, "a", "1").await.unwrap();
    let e = refusal(&d).await;
    let me = std::process::id();
    assert!(e.contains(&format!("in use by process {me}: stop that server first")), "{e}");
    s.close().await;
    open(&d).await.close().await;
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let d = Dir::new();
    let s = open(&d).await;
    put(&s, "a", "1").await.unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(d.db().parent().unwrap()), 0o700);
    s.snapshot_to(&d.0.join("backup")).await.unwrap();
    for p in [d.db(), d.0.join("backup"), d.0.join("data/state.db-wal"), d.0.join("data/state.db.lock")] {
        assert_eq!(mode(&p), 0o600, "{}", p.display());
    }
    assert!(s.size() > 4096);
    s.close().await;
}

#[tokio::test]
async fn a_backup_is_a_store_of_its_own() {
    let (d, b) = (Dir::new(), Dir::new());
    let s = open(&d).await;
    for i in 0..50 {
        put(&s, &format!("k{}", i % 10), &i.to_string()).await.unwrap();
    }
    s.snapshot_to(&b.db()).await.unwrap();
    let then = dump(&s.state());
    let again = s.snapshot_to(&b.db()).await.unwrap_err().to_string();
    assert!(again.contains("exists already"), "{again}");
    put(&s, "later", "1").await.unwrap();
    s.close().await;
    let copy = open(&b).await;
    assert_eq!(dump(&copy.state()), then);
    copy.close().await;
}

#[tokio::test]
async fn a_backup_takes_the_place_of_a_database() {
    let d = Dir::new();
    let backup = d.0.join("backup");
    let s = open(&d).await;
    put(&s, "a", "then").await.unwrap();
    s.snapshot_to(&backup).await.unwrap();
    put(&s, "a", "later").await.unwrap();
    let busy = Embedded::restore(&backup, &d.db()).await.unwrap_err().to_string();
    assert!(busy.contains("in use by process"), "{busy}");
    s.close().await;
    // As a kill leaves it: with a log beside it that is not of the backup.
    std::fs::write(d.0.join("data/state.db-wal"), "something").unwrap();
    let mut bad = std::fs::read(&backup).unwrap();
    let at = bad.windows(4).rposition(|w| w == b"then").unwrap();
    bad[at] ^= 1;
    std::fs::write(d.0.join("bad"), bad).unwrap();
    let no = Embedded::restore(&d.0.join("bad"), &d.db()).await.unwrap_err().to_string();
    assert!(no.contains("is damaged"), "{no}");
    let no = Embedded::restore(&d.0.join("nosuch"), &d.db()).await.unwrap_err().to_string();
    assert!(no.contains("No such file"), "{no}");
    Embedded::restore(&backup, &d.db()).await.unwrap();
    let s = open(&d).await;
    assert_eq!(&s.cached().get("a").unwrap().value[..], b"then");
    s.close().await;
    let kept = d.0.join("data/state.db.replaced");
    assert_eq!(std::fs::read(beside(&kept, "-wal")).unwrap(), b"something");
    let twice = Embedded::restore(&backup, &d.db()).await.unwrap_err().to_string();
    assert!(twice.contains("move it away"), "{twice}");
    std::fs::remove_file(beside(&kept, "-wal")).unwrap();
    let old = Embedded::open(&kept, quick(), Runtime::new()).await.unwrap();
    assert_eq!(&old.cached().get("a").unwrap().value[..], b"later");
    old.close().await;
}

/// Each way to spoil a database gives one clear refusal and leaves its bytes alone.
#[tokio::test]
async fn damage_is_told_and_nothing_is_made_worse() {
    type Spoil = fn(&Path);
    fn sql(p: &Path, s: &str) {
        rusqlite::Connection::open(p).unwrap().execute_batch(s).unwrap();
    }
    let cases: &[(&str, Spoil, &str)] = &[
        (
            "text",
            |p| std::fs::write(p, "hello, this is some text. ".repeat(400)).unwrap(),
            "is no database: move it away",
        ),
        (
            "other program",
            |p| {
                std::fs::remove_file(p).unwrap();
                sql(p, "CREATE TABLE t (x)");
            },
            "is a database of another program",
        ),
        ("newer format", |p| sql(p, "PRAGMA user_version = 9"), "has format 9, and this program knows 1"),
        (
            "cut short",
            |p| {
                let f = std::fs::OpenOptions::new().write(true).open(p).unwrap();
                let len = f.metadata().unwrap().len();
                f.set_len(len / 2 / 4096 * 4096).unwrap();
            },
            "is damaged",
        ),
        (
            "a bit",
            |p| {
                let mut b = std::fs::read(p).unwrap();
                let at = b.windows(9).rposition(|w| w == b"value-300").unwrap();
                b[at] ^= 1;
                std::fs::write(p, b).unwrap();
            },
            "the checksum of row",
        ),
        (
            "a row",
            |p| sql(p, "DELETE FROM log WHERE id >> 20 = 100"),
            "changes between revisions 99 and 101 are missing",
        ),
        (
            "a page",
            |p| {
                let mut b = std::fs::read(p).unwrap();
                let at = b.len() / 2 / 4096 * 4096;
                b[at..at + 4096].fill(0xee);
                std::fs::write(p, b).unwrap();
            },
            "is damaged",
        ),
    ];
    for (name, spoil, want) in cases {
        let d = Dir::new();
        let s = open(&d).await;
        for i in 0..300 {
            put(&s, &format!("key-{i}"), &format!("value-{:03} {}", i + 1, "x".repeat(200))).await.unwrap();
        }
        s.close().await;
        spoil(&d.db());
        let before = std::fs::read(d.db()).unwrap();
        let e = refusal(&d).await;
        assert!(e.contains(want), "{name}: {e}");
        assert!(e.contains("state.db"), "{name}: {e}");
        assert!(std::fs::read(d.db()).unwrap() == before, "{name}: the file was changed");
    }
    let d = Dir::new();
    std::fs::create_dir_all(d.db()).unwrap();
    assert!(refusal(&d).await.contains("is a directory, not a database file"));
    std::fs::remove_dir_all(&d.0).unwrap();
    std::fs::write(&d.0, "").unwrap();
    assert!(refusal(&d).await.contains("cannot make the data directory"));
    std::fs::remove_file(&d.0).unwrap();
}

#[tokio::test]
async fn compaction_deletes_rows_in_steps() {
    let d = Dir::new();
    let s = open(&d).await;
    for i in 0..1500 {
        put(&s, &format!("k{}", i % 10), &i.to_string()).await.unwrap();
    }
    s.delete("k0", None).await.unwrap();
    put(&s, "last", "1").await.unwrap();
    assert_eq!(rows(&d), 1502);
    s.compact(s.revision()).await.unwrap();
    s.sweep().await.unwrap();
    // Nine that live, and the last.
    assert_eq!(rows(&d), 10);
    let state = dump(&s.state());
    s.vacuum().await.unwrap();
    s.close().await;
    let s = open(&d).await;
    assert_eq!(dump(&s.state()), state);
    s.close().await;
}

/// A compaction that was cut off after its floor was written is finished by the next start.
#[tokio::test]
async fn an_unfinished_compaction_is_finished_at_the_next_start() {
    let d = Dir::new();
    let s = open(&d).await;
    for i in 0..100 {
        put(&s, &format!("k{}", i % 10), &i.to_string()).await.unwrap();
    }
    s.delete("k3", None).await.unwrap();
    s.close().await;
    let c = rusqlite::Connection::open(d.db()).unwrap();
    c.execute_batch("UPDATE meta SET value = 102").unwrap();
    drop(c);
    let s = open(&d).await;
    s.sweep().await.unwrap();
    // The nine living keys, and the floor's own tombstone.
    assert_eq!(rows(&d), 10);
    assert_eq!(s.cached().count("k"), 9);
    assert_eq!(s.at(102).await.unwrap().count("k"), 9);
    s.close().await;
}

#[tokio::test]
async fn history_is_bounded() {
    let d = Dir::new();
    let o = Options { history_bytes: 100_000, ..quick() };
    let s = Embedded::open(&d.db(), o, Runtime::new()).await.unwrap();
    for _ in 0..500 {
        put(&s, "k", &"x".repeat(1000)).await.unwrap();
    }
    let (n, bytes) = s.state().history_size();
    assert!(bytes <= 102_000 && n > 30, "{n} {bytes}");
    s.sweep().await.unwrap();
    assert!(rows(&d) < 100);
    assert_eq!(s.revision(), 501);
    s.close().await;
}

#[tokio::test(start_paused = true)]
async fn leases_end_by_themselves() {
    let mut rt = Runtime::new();
    rt.clock = runtime::Clock::fixed(1_000_000_000_000);
    let s = Embedded::in_memory(quick(), &rt);
    s.grant(1, 10).await.unwrap();
    s.grant(2, 20).await.unwrap();
    s.put("a", bytes("1"), None, 1).await.unwrap();
    s.put("b", bytes("1"), None, 2).await.unwrap();
    s.put("c", bytes("1"), None, 2).await.unwrap();
    let mut w = s.watch("", s.revision()).unwrap();
    let pass = async |secs: u64| {
        tokio::time::sleep(Duration::from_secs(secs)).await;
        rt.clock.advance(Duration::from_secs(secs));
    };
    pass(9).await;
    assert_eq!(s.cached().count(""), 3);
    s.keepalive(2).await.unwrap();
    pass(2).await;
    assert_eq!(s.cached().count(""), 2);
    pass(17).await;
    assert_eq!(s.cached().count(""), 2);
    pass(4).await;
    assert_eq!(s.cached().count(""), 0);
    let mut gone = Vec::new();
    while gone.len() < 3 {
        let Some(WatchItem::Events(e)) = w.next().await else { panic!() };
        gone.extend(e.iter().map(|e: &Event| (e.record.key.to_string(), e.record.mod_revision)));
    }
    assert_eq!(gone, [("a".into(), 5), ("b".into(), 6), ("c".into(), 6)]);
    assert_eq!(s.state().next_deadline(), None);
}

#[tokio::test]
async fn leases_go_on_after_a_restart() {
    let d = Dir::new();
    let mut rt = Runtime::new();
    rt.clock = runtime::Clock::fixed(1_000_000_000_000);
    let s = Embedded::open(&d.db(), quick(), rt.clone()).await.unwrap();
    s.grant(1, 1000).await.unwrap();
    s.grant(2, 5000).await.unwrap();
    s.put("a", bytes("1"), None, 1).await.unwrap();
    s.put("b", bytes("1"), None, 2).await.unwrap();
    s.close().await;
    // Nobody could renew it meanwhile, or somebody set the clock: it has its whole time again.
    rt.clock.advance(Duration::from_secs(1001));
    let s = Embedded::open(&d.db(), quick(), rt.clone()).await.unwrap();
    assert_eq!(s.state().next_deadline(), Some(3_001_000));
    assert!(!s.expire(3_000_999).await.unwrap());
    assert_eq!(s.cached().count(""), 2);
    s.expire(3_001_000).await.unwrap();
    assert_eq!(s.cached().count(""), 1);
    s.close().await;
    let s = open(&d).await;
    assert!(s.state().lease(1).is_none() && s.state().lease(2).is_some());
    s.close().await;
}

#[tokio::test]
async fn leases_are_shared_by_keys_that_end_together() {
    let mut rt = Runtime::new();
    rt.clock = runtime::Clock::fixed(1_000_000_000_000);
    let s = Embedded::in_memory(quick(), &rt);
    let a = s.lease(3600).await.unwrap();
    assert_eq!(s.lease(3600).await.unwrap(), a);
    rt.clock.advance(Duration::from_secs(59));
    assert_eq!(s.lease(3600).await.unwrap(), a);
    rt.clock.advance(Duration::from_secs(2));
    let b = s.lease(3600).await.unwrap();
    assert_ne!(b, a);
    assert_eq!(s.state().lease(b).unwrap().ttl, 3660);
    // Short ones are never stretched by more than a twentieth.
    let c = s.lease(15).await.unwrap();
    assert_eq!(s.state().lease(c).unwrap().ttl, 15);
    for _ in 0..999 {
        assert_eq!(s.lease(3600).await.unwrap(), b);
    }
    assert_ne!(s.lease(3600).await.unwrap(), b);
}

#[tokio::test(start_paused = true)]
async fn history_goes_after_five_minutes_and_only_if_something_was_written() {
    let rt = Runtime::new();
    let s = Embedded::in_memory(Options::default(), &rt);
    let minutes = async |n: u64| tokio::time::sleep(Duration::from_secs(n * 60)).await;
    minutes(1).await;
    put(&s, "a", "1").await.unwrap();
    put(&s, "a", "2").await.unwrap();
    minutes(5).await;
    assert_eq!(s.state().floor(), 1);
    put(&s, "a", "3").await.unwrap();
    minutes(5).await;
    assert_eq!(s.state().floor(), 3);
    minutes(5).await;
    assert_eq!(s.state().floor(), 4);
    minutes(600).await;
    assert_eq!(s.state().floor(), 4);
    put(&s, "a", "4").await.unwrap();
    minutes(6).await;
    assert_eq!(s.state().floor(), 5);
}

#[tokio::test]
async fn stopping_ends_watches_and_not_writes() {
    let d = Dir::new();
    let rt = Runtime::new();
    let s = Embedded::open(&d.db(), quick(), rt.clone()).await.unwrap();
    let mut w = s.watch("", 1).unwrap();
    assert!(rt.shutdown(Duration::from_secs(5)).await);
    assert!(w.next().await.is_none());
    assert!(s.watch("", 1).unwrap().next().await.is_none());
    assert_eq!(put(&s, "a", "1").await, Ok(2));
    s.close().await;
}
