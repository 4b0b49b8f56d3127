//! etcd's semantics as tables, and a random walk against a naive model.

mod model;

use super::*;
use expect_test::{Expect, expect};
use std::fmt::Write;

/// A small language: one operation a line; the answer is what each said, then events and keys.
fn run(script: &str) -> String {
    let mut s = State::new();
    let mut out = String::new();
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let said = step(&mut s, line);
        writeln!(out, "{line} -> {said}").unwrap();
    }
    out
}

fn outcome(o: Outcome) -> String {
    match o {
        Outcome::Done(r) => show(&r),
        Outcome::Conflict(r) => format!("conflict {}", r.map_or("none".into(), |r| show(&r))),
    }
}

fn show(r: &Record) -> String {
    let value = String::from_utf8_lossy(&r.value);
    let lease = if r.lease == 0 { String::new() } else { format!(" lease {}", r.lease) };
    let (k, c, m, v) = (&r.key, r.create_revision, r.mod_revision, r.version);
    if r.is_tombstone() { format!("{k} gone@{m}") } else { format!("{k}={value} c{c} m{m} v{v}{lease}") }
}

fn list<'a>(it: impl Iterator<Item = &'a Arc<Record>>) -> String {
    it.map(|r| show(r)).collect::<Vec<_>>().join(", ")
}

fn step(s: &mut State, line: &str) -> String {
    let w: Vec<&str> = line.split_whitespace().collect();
    let n = |i: usize| w[i].parse::<i64>().unwrap();
    let err = |e: Error| format!("error: {e}");
    match w[0] {
        "put" => {
            let expected = w.get(3).filter(|x| **x != "-").map(|x| x.parse().unwrap());
            let lease = w.get(4).map_or(0, |x| x.parse().unwrap());
            s.put(w[1], Bytes::copy_from_slice(w[2].as_bytes()), expected, lease).map_or_else(err, outcome)
        }
        "del" => outcome(s.delete(w[1], w.get(2).map(|x| x.parse().unwrap()))),
        "at" => s.snapshot_at(n(1)).map_or_else(err, |s| list(s.range(&KeyRange::prefix("")))),
        "after" => {
            let e = s.events_after(n(1), w.get(2).unwrap_or(&""));
            e.map_or_else(err, |e| {
                let one = |e: &Event| {
                    let was = e.previous.as_ref().map_or("none".into(), |p| show(p));
                    format!("[{} | was {was}]", show(&e.record))
                };
                e.map(one).collect::<Vec<_>>().join(" ")
            })
        }
        "compact" => s.compact(n(1)).map_or_else(err, |gone| {
            gone.iter().map(|p| format!("{}.{}", p.revision, p.sub)).collect::<Vec<_>>().join(" ")
        }),
        "rev" => s.revision().to_string(),
        "grant" => s.grant(n(1), n(2), n(3)).map_or_else(err, |l| format!("until {}", l.deadline)),
        "keepalive" => s.keepalive(n(1), n(2)).map_or_else(err, |l| format!("until {}", l.deadline)),
        "revoke" => s.revoke(n(1)).map_or_else(err, |r| format!("rev {r}")),
        "expire" => format!("{:?} next {:?}", s.expire(n(1), 100), s.next_deadline()),
        "lease" => s.lease(n(1)).map_or("none".into(), |l| {
            let keys: Vec<_> = l.keys().map(|k| k.to_string()).collect();
            format!("{keys:?}")
        }),
        other => panic!("{other}"),
    }
}

fn check(script: &str, want: Expect) {
    want.assert_eq(&run(script));
}

#[test]
fn revisions_and_versions() {
    check(
        "rev
         put a 1
         put a 2
         del nosuch
         rev
         del a
         del a
         put a 3
         put b 1 0
         put b 2 0
         put b 2 6
         put b 3 6
         put c 1 5
         del b 6
         del b 7",
        expect![[r#"
            rev -> 1
            put a 1 -> a=1 c2 m2 v1
            put a 2 -> a=2 c2 m3 v2
            del nosuch -> conflict none
            rev -> 3
            del a -> a gone@4
            del a -> conflict none
            put a 3 -> a=3 c5 m5 v1
            put b 1 0 -> b=1 c6 m6 v1
            put b 2 0 -> conflict b=1 c6 m6 v1
            put b 2 6 -> b=2 c6 m7 v2
            put b 3 6 -> conflict b=2 c6 m7 v2
            put c 1 5 -> conflict none
            del b 6 -> conflict b=2 c6 m7 v2
            del b 7 -> b gone@8
        "#]],
    );
}

#[test]
fn past_and_compaction() {
    check(
        "put a 1
         put b 1
         put a 2
         del b
         put b 2
         at 0
         at 1
         at 3
         at 5
         at 7
         after 1
         after 3 b
         after 6
         after 9
         compact 7
         compact 5
         compact 5
         at 4
         at 5
         at 6
         after 3
         after 4
         compact 6
         after 4
         after 5
         at 6",
        expect![[r#"
            put a 1 -> a=1 c2 m2 v1
            put b 1 -> b=1 c3 m3 v1
            put a 2 -> a=2 c2 m4 v2
            del b -> b gone@5
            put b 2 -> b=2 c6 m6 v1
            at 0 -> a=2 c2 m4 v2, b=2 c6 m6 v1
            at 1 -> 
            at 3 -> a=1 c2 m2 v1, b=1 c3 m3 v1
            at 5 -> a=2 c2 m4 v2
            at 7 -> error: revision 7 is in the future (current 6)
            after 1 -> [a=1 c2 m2 v1 | was none] [b=1 c3 m3 v1 | was none] [a=2 c2 m4 v2 | was a=1 c2 m2 v1] [b gone@5 | was b=1 c3 m3 v1] [b=2 c6 m6 v1 | was none]
            after 3 b -> [b gone@5 | was b=1 c3 m3 v1] [b=2 c6 m6 v1 | was none]
            after 6 -> 
            after 9 -> 
            compact 7 -> error: revision 7 is in the future (current 6)
            compact 5 -> 2.0 3.0
            compact 5 -> error: revision 5 has been compacted (floor 5)
            at 4 -> error: revision 4 has been compacted (floor 5)
            at 5 -> a=2 c2 m4 v2
            at 6 -> a=2 c2 m4 v2, b=2 c6 m6 v1
            after 3 -> error: revision 4 has been compacted (floor 5)
            after 4 -> [b gone@5 | was none] [b=2 c6 m6 v1 | was none]
            compact 6 -> 5.0
            after 4 -> error: revision 5 has been compacted (floor 6)
            after 5 -> [b=2 c6 m6 v1 | was none]
            at 6 -> a=2 c2 m4 v2, b=2 c6 m6 v1
        "#]],
    );
}

#[test]
fn leases() {
    check(
        "grant 0 10 0
         grant 7 0 0
         grant 7 9000000001 0
         grant 7 10 1000
         grant 7 10 1000
         put a 1 - 8
         put a 1 - 7
         put b 1 - 7
         put c 1 - 7
         put c 2
         del b
         lease 7
         grant 8 1 5000
         put a 1 - 8
         lease 7
         keepalive 9 0
         keepalive 7 5000
         expire 5999
         expire 6000
         at 0
         rev
         expire 15000
         rev
         grant 9 9000000000 9223372036854775000
         put x 1 - 9
         put y 1 - 9
         revoke 9
         after 8
         revoke 9",
        expect![[r#"
            grant 0 10 0 -> error: lease 0 not found
            grant 7 0 0 -> error: a lease cannot last 0 seconds: at least 1, at most 9000000000
            grant 7 9000000001 0 -> error: a lease cannot last 9000000001 seconds: at least 1, at most 9000000000
            grant 7 10 1000 -> until 11000
            grant 7 10 1000 -> error: lease 7 exists already
            put a 1 - 8 -> error: lease 8 not found
            put a 1 - 7 -> a=1 c2 m2 v1 lease 7
            put b 1 - 7 -> b=1 c3 m3 v1 lease 7
            put c 1 - 7 -> c=1 c4 m4 v1 lease 7
            put c 2 -> c=2 c4 m5 v2
            del b -> b gone@6
            lease 7 -> ["a"]
            grant 8 1 5000 -> until 6000
            put a 1 - 8 -> a=1 c2 m7 v2 lease 8
            lease 7 -> []
            keepalive 9 0 -> error: lease 9 not found
            keepalive 7 5000 -> until 15000
            expire 5999 -> [] next Some(6000)
            expire 6000 -> [8] next Some(15000)
            at 0 -> c=2 c4 m5 v2
            rev -> 8
            expire 15000 -> [7] next None
            rev -> 8
            grant 9 9000000000 9223372036854775000 -> until 9223372036854775807
            put x 1 - 9 -> x=1 c9 m9 v1 lease 9
            put y 1 - 9 -> y=1 c10 m10 v1 lease 9
            revoke 9 -> rev 11
            after 8 -> [x=1 c9 m9 v1 lease 9 | was none] [y=1 c10 m10 v1 lease 9 | was none] [x gone@11 | was x=1 c9 m9 v1 lease 9] [y gone@11 | was y=1 c10 m10 v1 lease 9]
            revoke 9 -> error: lease 9 not found
        "#]],
    );
}

#[test]
fn ranges_of_keys() {
    let r = |k: &str, e: &[u8]| KeyRange::of_request(k, e);
    for (range, key, want) in [
        (r("a", b""), "a", true),
        (r("a", b""), "aa", false),
        (r("a", b"c"), "b", true),
        (r("a", b"c"), "c", false),
        (r("b", b"\0"), "z", true),
        (r("b", b"\0"), "a", false),
        (r("\0", b"\0"), "a", true),
        (KeyRange::prefix("/p/"), "/p/x", true),
        (KeyRange::prefix("/p/"), "/p", false),
        (KeyRange::prefix("/p/"), "/p0", false),
        (KeyRange::prefix(""), "x", true),
        // An end that is no string: the byte after 0x7f.
        (KeyRange::prefix("a\x7f"), "a\x7fz", true),
        (r("c", b"a"), "b", false),
    ] {
        let mut s = State::new();
        s.put(key, Bytes::new(), None, 0).unwrap();
        assert_eq!(range.contains(key.as_bytes()), want, "{range:?} {key}");
        assert_eq!(s.snapshot().range(&range).count() == 1, want, "{range:?} {key}");
        if want {
            assert!(key.as_bytes().starts_with(range.common_prefix()), "{range:?} {key}");
        }
    }
    for (range, prefix, exact) in [
        (KeyRange::prefix("/p/"), "/p/", true),
        (KeyRange::prefix(""), "", true),
        (r("\0", b"\0"), "", true),
        (r("abc", b"abz"), "ab", false),
        (r("abc", b""), "abc", false),
        (r("b", b"\0"), "", false),
    ] {
        assert_eq!(range.common_prefix(), prefix.as_bytes(), "{range:?}");
        assert_eq!(range.is_prefix(), exact, "{range:?}");
    }
}

fn fixture() -> State {
    let mut s = State::new();
    for (k, v) in [("a", "3"), ("b", "1"), ("c", "2"), ("a", "5"), ("d", "0"), ("c", "9")] {
        s.put(k, Bytes::from_static(v.as_bytes()), None, 0).unwrap();
    }
    s
}

#[test]
fn range_options() {
    let mut s = fixture();
    let all = Range::new(KeyRange::prefix(""));
    let mut read = |r: Range| match s.txn(&Txn::of(vec![Op::Range(r)])) {
        Ok(t) => match &t.results[0] {
            OpResult::Range(r) => {
                let keys: Vec<_> = r.records.iter().map(|r| format!("{}{}", r.key, r.mod_revision)).collect();
                format!("{} more {} count {} rev {}", keys.join(" "), r.more, r.count, r.revision)
            }
            other => panic!("{other:?}"),
        },
        Err(e) => format!("error: {e}"),
    };
    let mut out = Vec::new();
    for (name, r) in [
        ("all", all.clone()),
        ("limit", Range { limit: 2, ..all.clone() }),
        ("limit exact", Range { limit: 4, ..all.clone() }),
        ("count", Range { count_only: true, ..all.clone() }),
        ("past", Range { revision: 4, ..all.clone() }),
        ("future", Range { revision: 9, ..all.clone() }),
        ("by value", Range { sort: Some((SortBy::Value, true)), ..all.clone() }),
        ("by mod down", Range { sort: Some((SortBy::Mod, false)), limit: 2, ..all.clone() }),
        ("by key down", Range { sort: Some((SortBy::Key, false)), limit: 1, ..all.clone() }),
        ("by version", Range { sort: Some((SortBy::Version, true)), ..all.clone() }),
        ("by create", Range { sort: Some((SortBy::Create, false)), ..all.clone() }),
        ("min mod", Range { min_mod: 5, ..all.clone() }),
        ("max mod", Range { max_mod: 5, limit: 1, ..all.clone() }),
        ("create", Range { min_create: 3, max_create: 4, ..all.clone() }),
        ("single", Range::new(KeyRange::single("b"))),
        ("from", Range::new(KeyRange::of_request("c", b"\0"))),
        ("none", Range::new(KeyRange::of_request("x", b"y"))),
    ] {
        out.push(format!("{name}: {}", read(r)));
    }
    expect![[r#"
        all: a5 b3 c7 d6 more false count 4 rev 7
        limit: a5 b3 more true count 4 rev 7
        limit exact: a5 b3 c7 d6 more false count 4 rev 7
        count:  more false count 4 rev 7
        past: a2 b3 c4 more false count 3 rev 7
        future: error: revision 9 is in the future (current 7)
        by value: d6 b3 a5 c7 more false count 4 rev 7
        by mod down: c7 d6 more true count 4 rev 7
        by key down: d6 more true count 4 rev 7
        by version: b3 d6 a5 c7 more false count 4 rev 7
        by create: d6 c7 b3 a5 more false count 4 rev 7
        min mod: a5 c7 d6 more false count 4 rev 7
        max mod: a5 more true count 4 rev 7
        create: b3 c7 more false count 4 rev 7
        single: b3 more false count 1 rev 7
        from: c7 d6 more false count 2 rev 7
        none:  more false count 0 rev 7"#]]
    .assert_eq(&out.join("\n"));
}

#[test]
fn compares() {
    let mut s = fixture();
    let c = |k: &str, target, is| Compare { keys: KeyRange::single(k), target, is };
    let v = |v: &'static str| Target::Value(Bytes::from_static(v.as_bytes()));
    let all = |target, is| Compare { keys: KeyRange::prefix(""), target, is };
    for (cmp, want) in [
        (c("a", Target::Version(2), Cmp::Equal), true),
        (c("a", Target::Version(2), Cmp::NotEqual), false),
        (c("a", Target::Create(2), Cmp::Equal), true),
        (c("a", Target::Mod(5), Cmp::Equal), true),
        (c("a", Target::Mod(5), Cmp::Greater), false),
        (c("a", Target::Mod(6), Cmp::Less), true),
        (c("a", Target::Lease(0), Cmp::Equal), true),
        (c("a", v("5"), Cmp::Equal), true),
        (c("a", v("6"), Cmp::Less), true),
        (c("none", Target::Version(0), Cmp::Equal), true),
        (c("none", Target::Mod(0), Cmp::Equal), true),
        (c("none", Target::Mod(0), Cmp::Greater), false),
        (c("none", v(""), Cmp::Equal), false),
        (c("none", v("x"), Cmp::NotEqual), false),
        (all(Target::Create(0), Cmp::Greater), true),
        (all(Target::Version(1), Cmp::Equal), false),
        (all(Target::Version(3), Cmp::Less), true),
    ] {
        let t = Txn { compare: vec![cmp.clone()], ..Txn::default() };
        let r = s.txn(&t).unwrap();
        assert_eq!(r.succeeded, want, "{cmp:?}");
        assert_eq!(r.revision, 7);
    }
}

fn put(k: &str, v: &'static str) -> Op {
    Op::Put { key: k.into(), value: Some(Bytes::from_static(v.as_bytes())), lease: Some(0) }
}

#[test]
fn transactions_are_one_revision_and_read_their_writes() {
    let mut s = fixture();
    let is = |k: &str, m| Compare { keys: KeyRange::single(k), target: Target::Mod(m), is: Cmp::Equal };
    let t = Txn {
        compare: vec![is("a", 5)],
        success: vec![
            Op::Range(Range::new(KeyRange::prefix(""))),
            put("a", "x"),
            Op::Delete(KeyRange::of_request("b", b"d")),
            Op::Range(Range::new(KeyRange::prefix(""))),
            Op::Range(Range { revision: 7, ..Range::new(KeyRange::prefix("")) }),
            Op::Txn(Txn {
                // Decided on the state before the transaction, as upstream does.
                compare: vec![is("a", 5)],
                success: vec![put("e", "yes")],
                failure: vec![put("e", "no")],
            }),
            Op::Delete(KeyRange::single("nosuch")),
        ],
        failure: vec![],
    };
    let r = s.txn(&t).unwrap();
    assert_eq!((r.succeeded, r.revision, s.revision()), (true, 8, 8));
    let mut out = Vec::new();
    for r in &r.results {
        out.push(match r {
            OpResult::Range(r) => format!("range {} rev {}", list(r.records.iter()), r.revision),
            OpResult::Put { previous, revision } => {
                format!("put was {} rev {revision}", list(previous.iter()))
            }
            OpResult::Delete { previous, revision } => {
                format!("delete {} rev {revision}", list(previous.iter()))
            }
            OpResult::Txn(t) => format!("txn {} {}", t.succeeded, t.results.len()),
        });
    }
    let events = s.events_after(7, "").unwrap();
    out.extend(events.map(|e| format!("event {} sub {}", show(&e.record), e.record.sub)));
    expect![[r#"
        range a=5 c2 m5 v2, b=1 c3 m3 v1, c=9 c4 m7 v2, d=0 c6 m6 v1 rev 7
        put was a=5 c2 m5 v2 rev 8
        delete b=1 c3 m3 v1, c=9 c4 m7 v2 rev 8
        range a=x c2 m8 v3, d=0 c6 m6 v1 rev 8
        range a=5 c2 m5 v2, b=1 c3 m3 v1, c=9 c4 m7 v2, d=0 c6 m6 v1 rev 8
        txn true 1
        delete  rev 8
        event a=x c2 m8 v3 sub 0
        event b gone@8 sub 1
        event c gone@8 sub 2
        event e=yes c8 m8 v1 sub 3"#]]
    .assert_eq(&out.join("\n"));
}

#[test]
fn refused_transactions_change_nothing() {
    let mut s = fixture();
    let keep = |k: &str| Op::Put { key: k.into(), value: None, lease: Some(0) };
    let leased = |k: &str| Op::Put { key: k.into(), value: Some(Bytes::new()), lease: Some(5) };
    let del = |k: &str, e: &[u8]| Op::Delete(KeyRange::of_request(k, e));
    let future = Op::Range(Range { revision: 99, ..Range::new(KeyRange::prefix("")) });
    let nested = |s: Vec<Op>, f: Vec<Op>| Op::Txn(Txn { compare: vec![], success: s, failure: f });
    for (ops, want) in [
        (vec![put("x", "1"), keep("nosuch")], Err(Error::KeyNotFound)),
        (vec![put("x", "1"), leased("y")], Err(Error::NoLease(5))),
        (vec![put("x", "1"), future], Err(Error::Future { asked: 99, current: 7 })),
        (vec![put("x", "1"), put("x", "2")], Err(Error::DuplicateKey)),
        (vec![put("x", "1"), del("w", b"z")], Err(Error::DuplicateKey)),
        (vec![put("x", "1"), nested(vec![put("x", "2")], vec![])], Err(Error::DuplicateKey)),
        (vec![del("x", b""), nested(vec![], vec![put("x", "2")])], Err(Error::DuplicateKey)),
        (vec![put("", "1")], Err(Error::EmptyKey)),
        (vec![del("", b"z")], Err(Error::EmptyKey)),
        (vec![nested(vec![put("x", "1")], vec![put("x", "2")]), keep("a")], Ok(8)),
    ] {
        let mut s2 = s.clone();
        let r = s2.txn(&Txn::of(ops.clone())).map(|r| r.revision);
        assert_eq!(r, want, "{ops:?}");
        if want.is_err() {
            assert_eq!(s2.revision(), 7);
            assert!(s2.get(b"x").is_none());
        }
    }
    // A read-only transaction and one that deletes nothing are no revision.
    let r = s.txn(&Txn::of(vec![del("nosuch", b""), Op::Range(Range::new(KeyRange::single("a")))])).unwrap();
    assert_eq!(r.revision, 7);
}

#[test]
fn history_is_bounded_by_bytes() {
    let mut s = State::new();
    for i in 0..100 {
        s.put("k", Bytes::from(vec![0; 1000]), None, 0).unwrap();
        assert_eq!(s.revision(), i + 2);
    }
    assert_eq!(s.floor_for(1 << 20), None);
    let floor = s.floor_for(50_000).unwrap();
    s.compact(floor).unwrap();
    let (n, bytes) = s.history_size();
    assert!(bytes <= 50_000, "{bytes}");
    assert!(n > 20, "{n}");
    let only = s.floor_for(0).unwrap();
    assert_eq!(only, s.revision());
}

#[test]
fn damaged_rows_are_found() {
    let row = |key: &str, m, sub, c, v| Record {
        key: key.into(),
        value: Bytes::new(),
        create_revision: c,
        mod_revision: m,
        version: v,
        lease: 0,
        sub,
        ext: OnceLock::new(),
    };
    let load = |floor, rows: Vec<Record>| {
        let mut l = Loader::new(floor);
        for r in rows {
            l.row(r)?;
        }
        l.finish().map(|(s, g)| (s.revision(), s.snapshot().len(), g.len()))
    };
    assert_eq!(load(0, vec![]).unwrap(), (1, 0, 0));
    assert_eq!(load(0, vec![row("a", 2, 0, 2, 1), row("a", 3, 0, 2, 2)]).unwrap(), (3, 1, 0));
    // Below the floor: superseded rows and tombstones that a compaction had not come to yet.
    let rows = vec![
        row("a", 2, 0, 2, 1),
        row("b", 3, 0, 3, 1),
        row("b", 4, 0, 0, 0),
        row("a", 9, 0, 2, 4),
        row("c", 10, 0, 10, 1),
    ];
    assert_eq!(load(10, rows).unwrap(), (10, 2, 3));
    // What the floor's own changes superseded, given up or not yet.
    assert_eq!(load(3, vec![row("a", 3, 0, 2, 7), row("b", 3, 1, 0, 0)]).unwrap(), (3, 1, 0));
    let rows = vec![row("a", 2, 0, 2, 1), row("a", 3, 0, 2, 2), row("a", 4, 0, 2, 3)];
    assert_eq!(load(3, rows).unwrap(), (4, 1, 1));
    let name = |r: Result<_, Bad>| r.map(|_: (i64, usize, usize)| ()).unwrap_err().to_string();
    let out = [
        name(load(0, vec![row("a", 3, 0, 3, 1)])),
        name(load(0, vec![row("a", 2, 1, 2, 1)])),
        name(load(0, vec![row("a", 2, 0, 2, 1), row("a", 3, 0, 2, 3)])),
        name(load(0, vec![row("a", 2, 0, 0, 0)])),
        name(load(5, vec![row("a", 2, 0, 2, 1)])),
        name(load(0, vec![row("a", 1, 0, 1, 1)])),
    ];
    expect![[r#"
        changes between revisions 1 and 3 are missing
        row Place { revision: 2, sub: 1 } (a) is out of order
        row Place { revision: 3, sub: 0 } (a) does not follow what was there before
        row Place { revision: 2, sub: 0 } (a) does not follow what was there before
        changes between revisions 4 and 5 are missing
        row Place { revision: 1, sub: 0 } (a) is out of order"#]]
    .assert_eq(&out.join("\n"));
}
