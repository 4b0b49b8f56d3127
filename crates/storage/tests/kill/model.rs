//! The judge: what was acknowledged, and whether a store agrees with it.

use super::child::{COUNTER, COUNTERS, PAIRS, operation, value};
use mvcc::{KeyRange, Record};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use storage::{Embedded, Revision, Watch, WatchItem};

struct Ack {
    w: u64,
    round: u64,
    n: u64,
    revision: Revision,
    deleted: bool,
}

#[derive(Default)]
pub struct Model {
    /// The last acknowledged write of each key.
    last: HashMap<String, Ack>,
    /// All acknowledged writes.
    by_revision: BTreeMap<Revision, (String, bool)>,
    /// How many operations were acknowledged to each writer in each round.
    count: HashMap<(u64, u64), u64>,
    counted: u64,
    pub rounds: u64,
}

/// Writer, round and number, out of a value.
fn author(r: &Record) -> Option<(u64, u64, u64)> {
    let text = std::str::from_utf8(&r.value).ok()?;
    let mut f = text.splitn(4, ':').map(|x| x.parse().ok());
    Some((f.next()??, f.next()??, f.next()??))
}

impl Model {
    /// Takes a line of the server's.
    pub fn acknowledged(&mut self, round: u64, line: &str) {
        let f: Vec<&str> = line.split(' ').collect();
        let [w, n, revision, key, deleted] = f[..] else { panic!("round {round} said {line:?}") };
        let (w, n) = (w.parse().unwrap(), n.parse().unwrap());
        let (revision, deleted) = (revision.parse().unwrap(), deleted == "1");
        let count = self.count.entry((w, round)).or_default();
        assert_eq!(*count, n, "writer {w} skips operations in round {round}");
        *count += 1;
        self.counted += u64::from(COUNTERS.contains(&w));
        self.last.insert(key.into(), Ack { w, round, n, revision, deleted });
        let twice = self.by_revision.insert(revision, (key.into(), deleted));
        assert!(twice.is_none(), "revision {revision} was acknowledged twice: {twice:?} and {line}");
    }

    /// Whether this operation was the one that a writer waited for when it was killed.
    fn in_flight(&self, w: u64, round: u64, n: u64) -> bool {
        self.count.get(&(w, round)).copied().unwrap_or(0) == n
    }

    pub async fn check(&self, s: &Arc<Embedded>) {
        let state = s.state();
        let newest = self.by_revision.last_key_value().map_or(1, |(r, _)| *r);
        assert!(state.revision() >= newest, "revision {} of {newest}", state.revision());
        self.check_keys(s);
        self.check_history(s).await;
        for w in PAIRS {
            let at = |k: &str| state.get(format!("/registry/pair{w}/{k}").as_bytes()).cloned();
            match (at("a"), at("b")) {
                (None, None) => {}
                (Some(a), Some(b)) => {
                    assert!(
                        a.mod_revision == b.mod_revision && a.value == b.value,
                        "half a pair: {a:?} {b:?}"
                    );
                }
                other => panic!("half a pair: {other:?}"),
            }
        }
        let count =
            state.get(COUNTER.as_bytes()).map_or(0, |r| String::from_utf8_lossy(&r.value).parse().unwrap());
        let flying = self.rounds * (COUNTERS.end - COUNTERS.start);
        assert!((self.counted..=self.counted + flying).contains(&count), "{count} of {}", self.counted);
        for r in state.snapshot().range(&KeyRange::prefix("")) {
            let held = r.lease == 0 || state.lease(r.lease).is_some_and(|l| l.keys().any(|k| *k == r.key));
            assert!(held, "{r:?} has a lease that is not there");
        }
    }

    fn check_keys(&self, s: &Embedded) {
        let state = s.state();
        for (key, a) in &self.last {
            if key == COUNTER {
                continue;
            }
            let now = state.get(key.as_bytes());
            match now {
                Some(r) if r.mod_revision == a.revision => {
                    assert!(!a.deleted, "{key} was deleted");
                    assert!(r.value == value(a.w, a.round, a.n), "{key} has another value: {r:?}");
                }
                Some(r) => {
                    let (w, round, n) = author(r).unwrap();
                    assert!(r.mod_revision > a.revision, "{key} went back: {r:?}");
                    assert!(w == a.w && self.in_flight(w, round, n), "{key} was never written so: {r:?}");
                    assert!(r.value == value(w, round, n), "{key} has a torn value: {r:?}");
                }
                None => {
                    let gone = |round: &u64| {
                        let n = self.count.get(&(a.w, *round)).copied().unwrap_or(0);
                        operation(a.w, *round, n) == (key.clone(), true)
                    };
                    assert!(a.deleted || (a.round..self.rounds).any(|r| gone(&r)), "{key} is lost");
                }
            }
        }
    }

    /// History is without gap, holds what was acknowledged, leads to the present, and a watch tells the same.
    async fn check_history(&self, s: &Arc<Embedded>) {
        let state = s.state();
        let from = (state.floor() - 1).max(1);
        let mut keys: BTreeMap<String, (Revision, usize)> = BTreeMap::new();
        if state.floor() > 1 {
            // What was there before the oldest event: the floor's own changes are events.
            for r in state.snapshot_at(state.floor()).unwrap().range(&KeyRange::prefix("")) {
                keys.insert(r.key.to_string(), (r.mod_revision, r.value.len()));
            }
        }
        let mut events = Vec::new();
        let mut last = from;
        for batch in state.batches_after(from).unwrap() {
            let revision = batch[0].record.mod_revision;
            assert_eq!(revision, last + 1);
            last = revision;
            for e in batch.iter() {
                let r = &e.record;
                assert_eq!(r.mod_revision, revision);
                if let Some((w, round, n)) = author(r) {
                    assert!(
                        n <= self.count.get(&(w, round)).copied().unwrap_or(0) || (30..40).contains(&w),
                        "written before the one before was acknowledged: {r:?}"
                    );
                    assert!(r.value == value(w, round, n), "torn value: {r:?}");
                }
                if r.is_tombstone() {
                    keys.remove(&*r.key);
                } else {
                    keys.insert(r.key.to_string(), (r.mod_revision, r.value.len()));
                }
                events.push((r.key.to_string(), r.mod_revision, r.is_tombstone()));
            }
            if let Some((key, deleted)) = self.by_revision.get(&revision) {
                let there =
                    batch.iter().any(|e| *e.record.key == **key && e.record.is_tombstone() == *deleted);
                assert!(there, "revision {revision} is not the acknowledged write of {key}");
            }
        }
        assert_eq!(last, state.revision());
        let now = state.snapshot();
        let now: BTreeMap<_, _> = now
            .range(&KeyRange::prefix(""))
            .map(|r| (r.key.to_string(), (r.mod_revision, r.value.len())))
            .collect();
        assert_eq!(keys, now, "the history leads elsewhere");
        let mut w = s.watch_range(KeyRange::prefix(""), from).unwrap();
        let mut told = Vec::new();
        while told.len() < events.len() {
            match w.next().await {
                Some(WatchItem::Events(e)) => told.extend(
                    e.iter()
                        .map(|e| (e.record.key.to_string(), e.record.mod_revision, e.record.is_tombstone())),
                ),
                Some(WatchItem::Progress(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told, events);
    }
}
