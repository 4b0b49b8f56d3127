//! A good history, and what is wrong with each that differs from it by one thing.

use super::{Kind, check, merge};
use crate::history::*;

fn kv(key: &str, id: u64, created: Rev, modified: Rev, version: i64) -> Kv {
    Kv { key: key.into(), value: Value::Of(id), created, modified, version, lease: 0 }
}

fn put(k: Kv) -> Event {
    Event { kv: k, gone: false, previous: None }
}

fn gone(key: &str, at: Rev) -> Event {
    Event { kv: kv(key, 0, 0, at, 0), gone: true, previous: None }
}

fn write(id: u64, key: &str, expected: Option<Rev>, outcome: Outcome) -> Op {
    let changes = vec![Change { key: key.into(), puts: true }];
    let expected = expected.map(|r| (Key::from(key), r));
    Op { id, start: id * 10, end: id * 10 + 5, call: Call::Write { changes, expected }, outcome }
}

fn delete(id: u64, key: &str, outcome: Outcome) -> Op {
    let mut o = write(id, key, None, outcome);
    if let Call::Write { changes, .. } = &mut o.call {
        changes[0].puts = false;
    }
    o
}

fn read(id: u64, at: Rev, header: Rev, found: Vec<Kv>) -> Op {
    let call = Call::Read { keys: Span::under("/k/"), at };
    Op { id, start: id * 10, end: id * 10 + 5, call, outcome: Outcome::Found(header, found) }
}

/// a is written, written again, deleted; b is written if absent; an unknown write of c is there, one of d is not.
fn good() -> History {
    let events = vec![
        put(kv("/k/a", 1, 2, 2, 1)),
        put(kv("/k/a", 2, 2, 3, 2)),
        put(kv("/k/b", 3, 4, 4, 1)),
        put(kv("/k/c", 6, 5, 5, 1)),
        gone("/k/a", 6),
        put(Kv { lease: 77, ..kv("/k/l", 9, 7, 7, 1) }),
        gone("/k/l", 8),
    ];
    let mut lost = write(7, "/k/d", None, Outcome::Unknown("killed".into()));
    lost.end = Nanos::MAX;
    let ops = vec![
        write(1, "/k/a", None, Outcome::Done(2)),
        write(2, "/k/a", Some(2), Outcome::Done(3)),
        write(3, "/k/b", Some(0), Outcome::Done(4)),
        write(4, "/k/b", Some(9), Outcome::Conflict(4, Some(kv("/k/b", 3, 4, 4, 1)))),
        read(5, 0, 4, vec![kv("/k/a", 2, 2, 3, 2), kv("/k/b", 3, 4, 4, 1)]),
        write(6, "/k/c", None, Outcome::Unknown("killed".into())),
        lost,
        delete(8, "/k/a", Outcome::Done(6)),
        write(9, "/k/l", None, Outcome::Done(7)),
        read(10, 2, 7, vec![kv("/k/a", 1, 2, 2, 1)]),
        delete(11, "/k/a", Outcome::Nothing(7)),
    ];
    let mut items: Vec<(Nanos, Item)> =
        events.iter().enumerate().map(|(n, e)| (n as u64 * 10 + 120, Item::Event(e.clone()))).collect();
    // The lease ends long after its key was written.
    items[6].0 = 10_000;
    items.insert(4, (155, Item::Progress(5)));
    let stream =
        Stream { name: "w".into(), keys: Span::under("/k/"), from: 2, items, until: 8, previous: false };
    let late = Stream { name: "late".into(), keys: Span::one("/k/c"), from: 4, ..stream.clone() };
    let late = Stream { items: vec![(200, Item::Event(events[3].clone()))], ..late };
    History {
        ops,
        streams: vec![stream, late],
        leases: vec![Lease { id: 77, ttl: 5000, renewed: vec![(80, 85)], revoked: None }],
        log: Log { base: 1, keys: vec![], events, head: 8 },
        dense: true,
        up_since: 0,
        read_at: 20_000,
    }
}

fn kinds(h: &History) -> Vec<Kind> {
    let mut k: Vec<Kind> = check(h).iter().map(|v| v.kind).collect();
    k.sort_unstable();
    k.dedup();
    k
}

#[test]
fn a_good_history_is_good() {
    assert_eq!(check(&good()), vec![]);
}

fn items(h: &mut History) -> &mut Vec<(Nanos, Item)> {
    &mut h.streams[0].items
}

type Spoil = fn(&mut History);

/// What was spoiled, how, and what must be found (among other things).
const SPOILED: &[(&str, Spoil, Kind)] = &[
    ("an acknowledged write is not in the log", |h| drop(h.log.events.remove(2)), Kind::LostWrite),
    ("an acknowledged delete did not happen", |h| drop(h.log.events.remove(4)), Kind::LostWrite),
    (
        "the last acknowledged write is gone with the newest revision",
        |h| {
            h.log.events.truncate(5);
            h.log.head = 6;
        },
        Kind::LostWrite,
    ),
    ("a revision is missing", |h| drop(h.log.events.remove(1)), Kind::BadLog),
    (
        "a write that was refused is there",
        |h| h.ops[5].outcome = Outcome::Refused("no space".into()),
        Kind::Phantom,
    ),
    ("a write that nobody made", |h| h.log.events[3].kv.value = Value::Of(99), Kind::Phantom),
    ("a delete that nobody made", |h| drop(h.ops.remove(7)), Kind::Phantom),
    (
        "one operation was carried out twice",
        |h| {
            h.log.events.push(put(kv("/k/c", 6, 5, 9, 2)));
            h.log.head = 9;
        },
        Kind::WrittenTwice,
    ),
    ("two writes were told one revision", |h| h.ops[1].outcome = Outcome::Done(2), Kind::DuplicateRevision),
    ("a value is not what was written", |h| h.log.events[2].kv.value = Value::Torn, Kind::Torn),
    ("a version is counted wrongly", |h| h.log.events[1].kv.version = 3, Kind::BadLog),
    (
        "a read of the past while the present was known",
        |h| h.ops[4].outcome = Outcome::Found(3, vec![kv("/k/a", 2, 2, 3, 2)]),
        Kind::StaleRead,
    ),
    ("a watch told more than a later read knew", |h| items(h)[7].0 = 105, Kind::StaleRead),
    (
        "a range without one of its keys",
        |h| h.ops[4].outcome = Outcome::Found(4, vec![kv("/k/a", 2, 2, 3, 2)]),
        Kind::WrongRead,
    ),
    (
        "a range of two revisions at once",
        |h| h.ops[4].outcome = Outcome::Found(4, vec![kv("/k/a", 1, 2, 2, 1), kv("/k/b", 3, 4, 4, 1)]),
        Kind::WrongRead,
    ),
    (
        "a read at a revision that shows another",
        |h| h.ops[9].outcome = Outcome::Found(7, vec![]),
        Kind::WrongRead,
    ),
    ("nothing to delete, and there was", |h| h.ops[10].outcome = Outcome::Nothing(5), Kind::WrongRead),
    (
        "a comparison was false and was carried out",
        |h| h.ops[2] = write(3, "/k/b", Some(3), Outcome::Done(4)),
        Kind::WrongCompare,
    ),
    (
        "a comparison was true and failed",
        |h| h.ops[3] = write(4, "/k/b", Some(4), Outcome::Conflict(4, Some(kv("/k/b", 3, 4, 4, 1)))),
        Kind::WrongCompare,
    ),
    ("a write came before what was over when it began", |h| h.ops[1].start = 200, Kind::OutOfOrder),
    ("a watch skipped an event", |h| drop(items(h).remove(2)), Kind::WatchGap),
    ("a watch skipped an event before progress", |h| drop(items(h).remove(3)), Kind::WatchGap),
    ("a watch skipped its first event", |h| drop(items(h).remove(0)), Kind::WatchGap),
    (
        "a watch told an event twice",
        |h| {
            let again = items(h)[2].clone();
            items(h).insert(3, again);
        },
        Kind::WatchRepeat,
    ),
    ("a watch told two events the wrong way round", |h| items(h).swap(1, 2), Kind::WatchRepeat),
    (
        "a watch told what did not happen",
        |h| items(h).push((900, Item::Event(put(kv("/k/z", 50, 9, 9, 1))))),
        Kind::WatchWrong,
    ),
    ("a watch stopped before the end", |h| drop(items(h).pop()), Kind::WatchBehind),
    ("a watch of one key was told nothing", |h| h.streams[1].items.clear(), Kind::WatchBehind),
    ("a lease ended before its time", |h| items(h)[7].0 = 1000, Kind::LeaseEarly),
    (
        "a lease never ended",
        |h| {
            h.log.events.pop();
            h.log.head = 7;
            items(h).pop();
            h.read_at = 60_000_000_000;
        },
        Kind::LeaseLate,
    ),
];

#[test]
fn each_fault_is_found() {
    for (what, spoil, kind) in SPOILED {
        let mut h = good();
        spoil(&mut h);
        assert!(kinds(&h).contains(kind), "{what}: found only {:?}", check(&h));
    }
}

/// As through the Kubernetes API: a delete is not told its revision.
#[test]
fn a_delete_without_a_revision_must_be_there_too() {
    let with = |want: Rev, spoil: fn(&mut History)| {
        let mut h = good();
        h.ops[7].outcome = Outcome::DoneSome;
        if let Call::Write { expected, .. } = &mut h.ops[7].call {
            *expected = Some(("/k/a".into(), want));
        }
        spoil(&mut h);
        kinds(&h)
    };
    assert_eq!(with(3, |_| ()), []);
    assert!(with(2, |_| ()).contains(&Kind::LostWrite));
    assert!(with(3, |h| drop(h.log.events.remove(4))).contains(&Kind::LostWrite));
}

#[test]
fn a_watch_may_be_ended_for_compaction_only_of_what_it_had_not_been_told() {
    let mut h = good();
    h.streams[1].items = vec![(200, Item::Compacted(4))];
    assert_eq!(kinds(&h), []);
    h.streams[1].items = vec![(200, Item::Compacted(3))];
    assert_eq!(kinds(&h), [Kind::WatchWrong]);
}

#[test]
fn a_store_must_say_the_same_of_its_past() {
    let said = |events: Vec<Event>, head| {
        let mut log = good().log;
        let v: Vec<Kind> = merge(&mut log, 4, events, head).iter().map(|v| v.kind).collect();
        (v, log.events.len())
    };
    let tail = || good().log.events[2..].to_vec();
    let mut more = tail();
    more.push(put(kv("/k/e", 20, 9, 9, 1)));
    assert_eq!(said(more, 9), (vec![], 8));
    assert_eq!(said(tail(), 8), (vec![], 7));
    assert_eq!(said(tail()[..3].to_vec(), 6), (vec![Kind::HistoryChanged, Kind::HistoryChanged], 5));
    let mut other = tail();
    other[0].kv.value = Value::Of(98);
    assert_eq!(said(other, 8).0, [Kind::HistoryChanged]);
}
