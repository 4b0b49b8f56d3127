//! The judge: whether a history can be that of a store with etcd's guarantees. Pure.
//!
//! The store's own log gives the order of all writes. It must hold what was acknowledged and nothing that nobody
//! asked for, in an order that agrees with real time; every read must be the state at the revision it names, and not
//! an old one; every watch must be the log between its ends. Together that is linearizability, of all keys at once.

mod log;
mod streams;
#[cfg(test)]
mod tests;

pub use log::merge;

use crate::history::{Call, Event, History, Key, Kv, Nanos, Op, Outcome, Rev, Span, Value};
use std::collections::{BTreeMap, HashMap};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Acknowledged, and not in the log.
    LostWrite,
    /// In the log, and asked for by nobody, or refused.
    Phantom,
    /// One operation, twice in the log.
    WrittenTwice,
    /// Two acknowledgements of one revision.
    DuplicateRevision,
    /// The log has a gap, goes back, or miscounts a key's versions.
    BadLog,
    /// What the log said before, it says otherwise now.
    HistoryChanged,
    /// A value that was never written so.
    Torn,
    /// Older than what was known when the read began.
    StaleRead,
    /// Not the state at the revision that the answer names.
    WrongRead,
    /// A write before something that had ended before it began.
    OutOfOrder,
    /// A comparison was carried out though false, or refused though true.
    WrongCompare,
    /// A watch was not told an event.
    WatchGap,
    /// A watch was told an event twice.
    WatchRepeat,
    /// A watch was told what did not happen, or in another order.
    WatchWrong,
    /// A watch did not get to where the store was.
    WatchBehind,
    /// Keys went before their lease's time.
    LeaseEarly,
    /// Keys are there long after it.
    LeaseLate,
    /// The subject ended though nobody ended it.
    Died,
    /// It did not go on when the fault was over.
    Stuck,
    /// It kept clients waiting for what the fault does not touch.
    Slow,
    /// It refused otherwise than it should have.
    WrongRefusal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub kind: Kind,
    pub what: String,
}

pub(crate) fn bad(out: &mut Vec<Violation>, kind: Kind, what: impl Into<String>) {
    out.push(Violation { kind, what: what.into() });
}

/// Beyond its time a lease may last so long: until the store looks, and has written what it found.
const LEASE_GRACE: Nanos = 8_000_000_000;

/// The log, looked at by key and by revision.
pub(crate) struct Past<'a> {
    keys: BTreeMap<Key, Vec<(Rev, Option<&'a Kv>)>>,
    /// Index of the first event of each revision.
    pub events: &'a [Event],
}

impl<'a> Past<'a> {
    pub fn new(h: &'a History) -> Self {
        let mut keys: BTreeMap<Key, Vec<(Rev, Option<&'a Kv>)>> = BTreeMap::new();
        for kv in &h.log.keys {
            keys.entry(kv.key.clone()).or_default().push((kv.modified, Some(kv)));
        }
        for e in &h.log.events {
            let of = keys.entry(e.kv.key.clone()).or_default();
            of.push((e.kv.modified, (!e.gone).then_some(&e.kv)));
        }
        Self { keys, events: &h.log.events }
    }
    /// The key at a revision.
    pub fn at(&self, key: &str, revision: Rev) -> Option<&'a Kv> {
        let of = self.keys.get(key)?;
        let n = of.partition_point(|(r, _)| *r <= revision);
        of.get(n.checked_sub(1)?)?.1
    }
    pub fn range(&self, keys: &Span, revision: Rev) -> Vec<&'a Kv> {
        let from: Key = keys.from.clone();
        let within = self.keys.range(from..).map(|(k, _)| k).take_while(|k| keys.contains(k));
        within.filter_map(|k| self.at(k, revision)).collect()
    }
    /// The events of one revision.
    pub fn of(&self, revision: Rev) -> &'a [Event] {
        let a = self.events.partition_point(|e| e.kv.modified < revision);
        let b = self.events.partition_point(|e| e.kv.modified <= revision);
        &self.events[a..b]
    }
    fn revisions_of(&self, key: &str) -> impl Iterator<Item = (Rev, Option<&'a Kv>)> {
        self.keys.get(key).into_iter().flatten().copied()
    }
}

/// What was known when: the newest revision that anyone had been told before a moment.
struct Known(Vec<(Nanos, Rev)>);

impl Known {
    fn new(h: &History) -> Self {
        let mut all: Vec<(Nanos, Rev)> = h.ops.iter().filter_map(|o| Some((o.end, told(o)?))).collect();
        for s in &h.streams {
            all.extend(s.items.iter().filter_map(|(t, i)| match i {
                crate::history::Item::Event(e) => Some((*t, e.kv.modified)),
                _ => None,
            }));
        }
        all.sort_unstable();
        let mut most = 0;
        for (_, r) in &mut all {
            most = most.max(*r);
            *r = most;
        }
        Self(all)
    }
    fn before(&self, t: Nanos) -> Rev {
        let n = self.0.partition_point(|(end, _)| *end < t);
        n.checked_sub(1).map_or(0, |i| self.0[i].1)
    }
}

/// The newest revision that an operation told its client. A read of the past tells one, too, in its header.
fn told(o: &Op) -> Option<Rev> {
    match &o.outcome {
        Outcome::Done(r) | Outcome::Nothing(r) | Outcome::Conflict(r, _) | Outcome::Found(r, _) => Some(*r),
        Outcome::DoneSome | Outcome::Refused(_) | Outcome::Unknown(_) => None,
    }
}

/// Everything that is wrong with a history.
pub fn check(h: &History) -> Vec<Violation> {
    let mut out = Vec::new();
    log::check(h, &mut out);
    let past = Past::new(h);
    let known = Known::new(h);
    let mut revisions: HashMap<Rev, u64> = HashMap::new();
    for o in &h.ops {
        match &o.call {
            Call::Write { .. } => {
                write(o, &past, &known, &mut out);
                if let Outcome::Done(r) = o.outcome
                    && let Some(other) = revisions.insert(r, o.id)
                {
                    let what = format!("operations {other:x} and {:x} were both told revision {r}", o.id);
                    bad(&mut out, Kind::DuplicateRevision, what);
                }
            }
            Call::Read { keys, at } => read(o, keys, *at, &past, &known, &mut out),
        }
    }
    written(h, &past, &known, &mut out);
    for s in &h.streams {
        streams::check(s, &past, &mut out);
    }
    leases(h, &past, &mut out);
    out
}

fn write(o: &Op, past: &Past<'_>, known: &Known, out: &mut Vec<Violation>) {
    let Call::Write { changes, expected } = &o.call else { return };
    let floor = known.before(o.start);
    match &o.outcome {
        Outcome::Done(r) => {
            let events = past.of(*r);
            for c in changes {
                let is = |e: &&Event| {
                    e.kv.key == c.key && e.gone != c.puts && (e.gone || e.kv.value == Value::Of(o.id))
                };
                if !events.iter().any(|e| is(&e)) {
                    let what = format!("{} of operation {:x}, acknowledged as revision {r}", c.key, o.id);
                    bad(out, Kind::LostWrite, what);
                }
            }
            if *r <= floor {
                let what = format!("operation {:x} is revision {r}, and {floor} was known before", o.id);
                bad(out, Kind::OutOfOrder, what);
            }
            if let Some((key, want)) = expected {
                let was = past.at(key, *r - 1).map_or(0, |k| k.modified);
                if was != *want {
                    let what =
                        format!("{key} was changed at {r} if its revision is {want}, and it was {was}");
                    bad(out, Kind::WrongCompare, what);
                }
            }
        }
        Outcome::DoneSome => {
            for c in changes.iter().filter(|c| !c.puts) {
                if !past.revisions_of(&c.key).any(|(r, kv)| kv.is_none() && can_delete(o, &c.key, r, past)) {
                    let what = format!("the delete of {} by operation {:x}, acknowledged", c.key, o.id);
                    bad(out, Kind::LostWrite, what);
                }
            }
        }
        Outcome::Nothing(r) => {
            let there = changes.iter().find_map(|c| past.at(&c.key, *r));
            if let Some(kv) = there {
                let what = format!("{} had nothing to delete at {r}, it is said; it is {kv:?}", kv.key);
                bad(out, Kind::WrongRead, what);
            }
            stale(o, *r, floor, out);
        }
        Outcome::Conflict(r, found) => {
            let Some((key, want)) = expected else { return };
            let is = past.at(key, *r);
            if is.map_or(0, |k| k.modified) == *want {
                let what = format!("{key} is at {want} as asked for, and the comparison failed at {r}");
                bad(out, Kind::WrongCompare, what);
            }
            if is != found.as_ref() {
                let what = format!("{key} at {r} is {is:?}, and a conflict showed {found:?}");
                bad(out, Kind::WrongRead, what);
            }
            stale(o, *r, floor, out);
        }
        Outcome::Found(..) | Outcome::Refused(_) | Outcome::Unknown(_) => {}
    }
}

/// Whether the delete of a key at a revision can be this operation's, which was not told its revision.
fn can_delete(o: &Op, key: &str, revision: Rev, past: &Past<'_>) -> bool {
    let Call::Write { expected, .. } = &o.call else { return false };
    let was = past.at(key, revision - 1).map_or(0, |k| k.modified);
    expected.as_ref().is_none_or(|(k, want)| **k == *key && *want == was)
}

fn stale(o: &Op, revision: Rev, floor: Rev, out: &mut Vec<Violation>) {
    if revision < floor {
        let what = format!("operation {:x} read at {revision}, and {floor} was known before it", o.id);
        bad(out, Kind::StaleRead, what);
    }
}

fn read(o: &Op, keys: &Span, at: Rev, past: &Past<'_>, known: &Known, out: &mut Vec<Violation>) {
    let Outcome::Found(header, found) = &o.outcome else { return };
    stale(o, *header, known.before(o.start), out);
    let revision = if at == 0 { *header } else { at };
    let is = past.range(keys, revision);
    if is.len() != found.len() || is.iter().zip(found).any(|(a, b)| **a != *b) {
        let differs = is.iter().zip(found).find(|(a, b)| **a != *b);
        let what = format!(
            "{keys:?} at {revision} has {} keys, and a read showed {}; first that differs: {differs:?}",
            is.len(),
            found.len()
        );
        bad(out, Kind::WrongRead, what);
    }
    for kv in found.iter().filter(|k| k.value == Value::Torn) {
        bad(out, Kind::Torn, format!("{} at {}", kv.key, kv.modified));
    }
}

/// Whatever the log holds was asked for, once, and not before it was asked for.
fn written(h: &History, past: &Past<'_>, known: &Known, out: &mut Vec<Violation>) {
    let by_id: HashMap<u64, &Op> = h.ops.iter().map(|o| (o.id, o)).collect();
    let mut seen: HashMap<(u64, &str), Rev> = HashMap::new();
    let mut deletes: HashMap<&str, Vec<&Op>> = HashMap::new();
    for o in &h.ops {
        if let Call::Write { changes, .. } = &o.call {
            for c in changes.iter().filter(|c| !c.puts) {
                deletes.entry(&c.key).or_default().push(o);
            }
        }
    }
    for e in past.events {
        let (key, r) = (&e.kv.key, e.kv.modified);
        if e.gone {
            let of = deletes.get(&**key).map(Vec::as_slice).unwrap_or_default();
            let by = of.iter().any(|o| match o.outcome {
                Outcome::Done(at) => at == r,
                Outcome::DoneSome => can_delete(o, key, r, past) && known.before(o.start) < r,
                Outcome::Unknown(_) => known.before(o.start) < r,
                _ => false,
            });
            let lease = past.at(key, r - 1).map_or(0, |k| k.lease);
            if !by && lease == 0 {
                bad(out, Kind::Phantom, format!("{key} was deleted at {r} by nobody"));
            }
            continue;
        }
        let Value::Of(id) = e.kv.value else {
            bad(out, Kind::Torn, format!("{key} at {r}"));
            continue;
        };
        let Some(o) = by_id.get(&id) else {
            bad(
                out,
                Kind::Phantom,
                format!("{key} was written at {r} by operation {id:x}, which there is not"),
            );
            continue;
        };
        if let Some(before) = seen.insert((id, key), r) {
            let what = format!("{key} by operation {id:x}, at {before} and at {r}");
            bad(out, Kind::WrittenTwice, what);
        }
        match &o.outcome {
            Outcome::Done(at) if *at == r => {}
            Outcome::Unknown(_) if known.before(o.start) < r => {}
            Outcome::Unknown(_) => {
                bad(out, Kind::OutOfOrder, format!("{key} at {r}, by an operation that began later"));
            }
            other => bad(out, Kind::Phantom, format!("{key} at {r}, by operation {id:x} that was {other:?}")),
        }
    }
}

fn leases(h: &History, past: &Past<'_>, out: &mut Vec<Violation>) {
    // When each event was first heard of.
    let mut heard: HashMap<(Rev, &str), Nanos> = HashMap::new();
    for s in &h.streams {
        for (t, i) in &s.items {
            if let crate::history::Item::Event(e) = i {
                let first = heard.entry((e.kv.modified, &e.kv.key)).or_insert(*t);
                *first = (*first).min(*t);
            }
        }
    }
    let deleted: HashMap<Rev, ()> = h
        .ops
        .iter()
        .filter(|o| matches!(&o.call, Call::Write { changes, .. } if changes.iter().any(|c| !c.puts)))
        .filter_map(|o| match o.outcome {
            Outcome::Done(r) => Some((r, ())),
            _ => None,
        })
        .collect();
    for l in &h.leases {
        let keys: Vec<&Key> = {
            let mut k: Vec<&Key> =
                past.events.iter().filter(|e| !e.gone && e.kv.lease == l.id).map(|e| &e.kv.key).collect();
            k.sort_unstable();
            k.dedup();
            k
        };
        let last = l.renewed.iter().map(|(start, _)| *start).max().unwrap_or(0);
        let ended = l.renewed.iter().map(|(_, end)| *end).max().unwrap_or(0).max(h.up_since);
        for key in keys {
            let mut held = false;
            for (r, kv) in past.revisions_of(key) {
                let by_lease = kv.is_none() && held && !deleted.contains_key(&r);
                held = kv.is_some_and(|k| k.lease == l.id);
                let Some(t) = heard.get(&(r, &**key)).filter(|_| by_lease) else { continue };
                if l.revoked.is_none_or(|began| began > *t) && *t < last + l.ttl {
                    let early = (last + l.ttl - t) / 1_000_000;
                    let what = format!("{key} went at {r}, {early} ms before lease {:x} could end", l.id);
                    bad(out, Kind::LeaseEarly, what);
                }
            }
            if held && h.read_at > ended + l.ttl + LEASE_GRACE {
                let late = (h.read_at - ended - l.ttl) / 1_000_000;
                let what = format!("{key} is there {late} ms after lease {:x} ended", l.id);
                bad(out, Kind::LeaseLate, what);
            }
        }
    }
}

/// Whether the keys that are there are those that the log leads to.
pub fn present(h: &History, head: Rev, now: &[Kv]) -> Vec<Violation> {
    let mut out = Vec::new();
    let is = Past::new(h).range(&Span::all(), head);
    if is.len() != now.len() || is.iter().zip(now).any(|(a, b)| **a != *b) {
        let what = format!("the log leads to {} keys at {head}, and there are {}", is.len(), now.len());
        bad(&mut out, Kind::WrongRead, what);
    }
    out
}
