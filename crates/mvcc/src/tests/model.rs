//! Random operations on the state and on a model that keeps every revision as a plain map.

use crate::{Cmp, Compare, KeyRange, Loader, Op, Outcome, Range, Record, State, Target, Txn};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Value, create, mod, version, lease.
type Row = (u8, i64, i64, i64, i64);
type Keys = BTreeMap<String, Row>;
type Change = (i64, String, Option<Row>, Option<Row>);

#[derive(Default, Clone)]
struct Model {
    /// The keys at revision 1, 2, …
    past: Vec<Keys>,
    changes: Vec<Change>,
    leases: BTreeMap<i64, i64>,
    floor: i64,
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8, Option<u8>, i64),
    Delete(u8, bool),
    DeleteRange(u8, u8),
    Txn(u8, u8, Vec<(u8, u8)>, Vec<(u8, u8)>),
    Compact(u8),
    Grant(i64, u8),
    Revoke(i64),
    Expire(u8),
    Reload,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let k = 0u8..6;
    let step = prop_oneof![
        6 => (k.clone(), any::<u8>(), prop::option::of(0u8..3), 0i64..3).prop_map(|(a, b, c, d)| Step::Put(a, b, c, d)),
        3 => (k.clone(), any::<bool>()).prop_map(|(a, b)| Step::Delete(a, b)),
        1 => (k.clone(), k.clone()).prop_map(|(a, b)| Step::DeleteRange(a, b)),
        2 => (k.clone(), 0u8..4, prop::collection::vec((k.clone(), any::<u8>()), 0..4), prop::collection::vec((k, any::<u8>()), 0..3))
            .prop_map(|(a, b, c, d)| Step::Txn(a, b, c, d)),
        1 => any::<u8>().prop_map(Step::Compact),
        1 => (1i64..3, 1u8..20).prop_map(|(a, b)| Step::Grant(a, b)),
        1 => (1i64..3).prop_map(Step::Revoke),
        1 => any::<u8>().prop_map(Step::Expire),
        1 => Just(Step::Reload),
    ];
    prop::collection::vec(step, 1..60)
}

fn key(k: u8) -> String {
    format!("/{}/{k}", if k.is_multiple_of(2) { "even" } else { "odd" })
}

impl Model {
    fn now(&self) -> Keys {
        self.past.last().cloned().unwrap_or_default()
    }
    fn revision(&self) -> i64 {
        self.past.len() as i64
    }
    fn put(&self, keys: &mut Keys, k: &str, v: u8, lease: i64) {
        let rev = self.revision() + 1;
        let old = keys.get(k).copied();
        let row = match old {
            Some((_, c, _, n, _)) => (v, c, rev, n + 1, lease),
            None => (v, rev, rev, 1, lease),
        };
        keys.insert(k.into(), row);
    }
    fn commit(&mut self, keys: Keys) {
        let old = self.now();
        if old == keys {
            return;
        }
        let rev = self.revision() + 1;
        for k in old.keys().chain(keys.keys().filter(|k| !old.contains_key(*k))) {
            let (a, b) = (old.get(k).copied(), keys.get(k).copied());
            if a != b {
                self.changes.push((rev, k.clone(), a, b));
            }
        }
        self.past.push(keys);
    }
    fn revoke(&mut self, id: i64) {
        if self.leases.remove(&id).is_some() {
            let mut keys = self.now();
            keys.retain(|_, r| r.4 != id);
            self.commit(keys);
        }
    }
}

fn row(r: &Record) -> Option<Row> {
    (!r.is_tombstone()).then(|| (r.value[0], r.create_revision, r.mod_revision, r.version, r.lease))
}

fn check_events(s: &State, m: &Model, rev: i64) -> Result<(), TestCaseError> {
    for prefix in ["", "/even/"] {
        let mut got: Vec<Change> = s
            .events_after(rev, prefix)
            .unwrap()
            .map(|e| {
                let r = &e.record;
                (r.mod_revision, r.key.to_string(), e.previous.as_ref().and_then(|p| row(p)), row(r))
            })
            .collect();
        // The order within one revision is that of the operations; the model does not know it.
        got.sort();
        let mut want: Vec<_> =
            m.changes.iter().filter(|c| c.0 > rev && c.1.starts_with(prefix)).cloned().collect();
        for c in want.iter_mut().filter(|c| c.0 == m.floor) {
            c.2 = None;
        }
        want.sort();
        prop_assert_eq!(got, want, "after {} {}", rev, prefix);
    }
    Ok(())
}

fn compare(s: &State, m: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(s.revision(), m.revision());
    for rev in 1..=m.revision() {
        let got = s.snapshot_at(rev);
        prop_assert_eq!(got.is_err(), rev < m.floor);
        prop_assert_eq!(s.events_after(rev, "").is_err(), rev + 1 < m.floor);
        if rev + 1 == m.floor {
            check_events(s, m, rev)?;
        }
        if rev < m.floor {
            continue;
        }
        let got = got.unwrap();
        let all = KeyRange::prefix("");
        let keys: Keys = got.range(&all).map(|r| (r.key.to_string(), row(r).unwrap())).collect();
        prop_assert_eq!(&keys, &m.past[rev as usize - 1], "at {}", rev);
        prop_assert_eq!(got.count("/odd/"), keys.keys().filter(|k| k.starts_with("/odd/")).count());
        check_events(s, m, rev)?;
    }
    prop_assert!(s.snapshot_at(m.revision() + 1).is_err());
    prop_assert_eq!(s.leases().map(|l| (l.id, l.deadline)).collect::<BTreeMap<_, _>>(), m.leases.clone());
    for l in s.leases() {
        let want: Vec<_> = m.now().into_iter().filter(|(_, r)| r.4 == l.id).map(|(k, _)| k).collect();
        prop_assert_eq!(l.keys().map(|k| k.to_string()).collect::<Vec<_>>(), want);
    }
    Ok(())
}

/// What a disk would hold: every record ever written, less those that compactions gave up.
#[derive(Default)]
struct Disk(BTreeMap<(i64, u32), Record>);

impl Disk {
    fn write(&mut self, s: &State, after: i64) {
        for b in s.batches_after(after).unwrap() {
            for e in b.iter() {
                let p = e.record.place();
                assert!(self.0.insert((p.revision, p.sub), copy(&e.record)).is_none());
            }
        }
    }
    fn load(&self, s: &State) -> State {
        let mut l = Loader::new(s.floor());
        for lease in s.leases() {
            l.lease(lease.id, lease.ttl, lease.deadline - lease.ttl * 1000);
        }
        for r in self.0.values() {
            l.row(copy(r)).unwrap();
        }
        let (s, garbage) = l.finish().unwrap();
        assert!(garbage.is_empty(), "{garbage:?}");
        s
    }
}

fn copy(r: &Record) -> Record {
    Record {
        key: r.key.clone(),
        value: r.value.clone(),
        create_revision: r.create_revision,
        mod_revision: r.mod_revision,
        version: r.version,
        lease: r.lease,
        sub: r.sub,
        ext: OnceLock::new(),
    }
}

fn walk(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut s = State::new();
    let mut m = Model { past: vec![Keys::new()], ..Model::default() };
    let mut disk = Disk::default();
    for step in steps {
        let before = s.revision();
        let untouched = s.clone();
        let mut trial = s.clone();
        apply(&mut trial, &mut m, &mut disk, step.clone())?;
        // Working on a clone leaves the original as it was: this is how a refused commit is taken back.
        prop_assert_eq!(untouched.revision(), before);
        s = trial;
        if s.revision() > before {
            disk.write(&s, before);
        }
        if let Step::Reload = step {
            s = disk.load(&s);
        }
        compare(&s, &m)?;
    }
    Ok(())
}

fn apply(s: &mut State, m: &mut Model, disk: &mut Disk, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Put(k, v, expect, lease) => {
            let (k, mut keys) = (key(k), m.now());
            let is = keys.get(&k).map_or(0, |r| r.2);
            let expected = expect.map(|e| [0, is, is + 1][usize::from(e)]);
            let got = s.put(&k, Bytes::from(vec![v]), expected, lease);
            if expected.is_some_and(|e| e != is) {
                prop_assert!(matches!(got, Ok(Outcome::Conflict(_))));
            } else if lease != 0 && !m.leases.contains_key(&lease) {
                prop_assert!(got.is_err());
            } else {
                prop_assert!(matches!(got, Ok(Outcome::Done(_))));
                m.put(&mut keys, &k, v, lease);
                m.commit(keys);
            }
        }
        Step::Delete(k, good) => {
            let (k, mut keys) = (key(k), m.now());
            let is = keys.get(&k).map_or(0, |r| r.2);
            let got = s.delete(&k, Some(if good { is } else { is + 1 }));
            prop_assert_eq!(matches!(got, Outcome::Done(_)), good && is != 0);
            if good {
                keys.remove(&k);
                m.commit(keys);
            }
        }
        Step::DeleteRange(a, b) => {
            let (a, b, mut keys) = (key(a), key(b), m.now());
            s.txn(&Txn::of(vec![Op::Delete(KeyRange::of_request(a.as_str(), b.as_bytes()))])).unwrap();
            keys.retain(|k, _| !(k >= &a && k < &b));
            m.commit(keys);
        }
        Step::Txn(k, version, yes, no) => {
            let mut keys = m.now();
            let holds = keys.get(&key(k)).map_or(0, |r| r.3) == i64::from(version);
            let list =
                |l: &[(u8, u8)]| -> BTreeMap<String, u8> { l.iter().map(|(k, v)| (key(*k), *v)).collect() };
            let (yes, no) = (list(&yes), list(&no));
            let op = |(k, v): (&String, &u8)| Op::Put {
                key: k.as_str().into(),
                value: Some(Bytes::from(vec![*v])),
                lease: Some(0),
            };
            let keys_of = KeyRange::single(key(k));
            let t = Txn {
                compare: vec![Compare {
                    keys: keys_of.clone(),
                    target: Target::Version(version.into()),
                    is: Cmp::Equal,
                }],
                success: yes.iter().map(op).collect(),
                failure: vec![Op::Txn(Txn::of(no.iter().map(op).collect())), Op::Range(Range::new(keys_of))],
            };
            let r = s.txn(&t).unwrap();
            prop_assert_eq!(r.succeeded, holds);
            for (k, v) in if holds { yes } else { no } {
                m.put(&mut keys, &k, v, 0);
            }
            m.commit(keys);
            prop_assert_eq!(r.revision, m.revision());
        }
        Step::Compact(n) => {
            let at = i64::from(n) % (m.revision() + 2);
            match s.compact(at) {
                Ok(gone) => {
                    prop_assert!(at > m.floor && at <= m.revision());
                    m.floor = at;
                    for p in gone {
                        prop_assert!(disk.0.remove(&(p.revision, p.sub)).is_some());
                    }
                }
                Err(_) => prop_assert!(at <= m.floor || at > m.revision()),
            }
        }
        Step::Grant(id, ttl) => {
            let ok = s.grant(id, ttl.into(), 1000).is_ok();
            prop_assert_eq!(ok, !m.leases.contains_key(&id));
            m.leases.entry(id).or_insert(1000 + i64::from(ttl) * 1000);
        }
        Step::Revoke(id) => {
            prop_assert_eq!(s.revoke(id).is_ok(), m.leases.contains_key(&id));
            m.revoke(id);
        }
        Step::Expire(t) => {
            let now = i64::from(t) * 100;
            let mut ended: Vec<_> =
                m.leases.iter().filter(|(_, d)| **d <= now).map(|(i, d)| (*d, *i)).collect();
            ended.sort_unstable();
            let got = s.expire(now, usize::MAX);
            prop_assert_eq!(got, ended.iter().map(|e| e.1).collect::<Vec<_>>());
            for (_, id) in ended {
                m.revoke(id);
            }
        }
        Step::Reload => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_the_model(steps in steps()) {
        walk(steps)?;
    }
}

/// Past the distance between checkpoints.
#[test]
fn a_long_past() {
    let mut s = State::new();
    for i in 0..20_000u32 {
        s.put(&format!("k{}", i % 100), Bytes::copy_from_slice(&i.to_le_bytes()), None, 0).unwrap();
    }
    for rev in [1, 2, 50, 8192, 8193, 8194, 8195, 10_000, 16_385, 16_386, 20_000, 20_001] {
        let at = s.snapshot_at(rev).unwrap();
        assert_eq!(at.len() as i64, (rev - 1).min(100), "{rev}");
        for i in (0..100).map(|n| rev - 2 - n).filter(|i| *i >= 0) {
            let r = at.get(format!("k{}", i % 100).as_bytes()).unwrap();
            assert_eq!(&r.value[..], &(i as u32).to_le_bytes());
        }
    }
    s.compact(15_000).unwrap();
    assert_eq!(s.checkpoints.len(), 1);
    assert_eq!(s.events_after(19_999, "").unwrap().count(), 2);
}
