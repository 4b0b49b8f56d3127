//! etcd's transactions: compares, then one of two lists of operations, which may hold transactions again.

use crate::state::Change;
use crate::{Error, KeyRange, MAX_CHANGES, Map, Range, RangeResult, Record, Revision, State};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub struct Txn {
    pub compare: Vec<Compare>,
    pub success: Vec<Op>,
    pub failure: Vec<Op>,
}

/// A condition that every key of the range must meet.
#[derive(Clone, Debug)]
pub struct Compare {
    pub keys: KeyRange,
    pub target: Target,
    /// How the key's field relates to the target.
    pub is: Cmp,
}

#[derive(Clone, Debug)]
pub enum Target {
    Version(i64),
    Create(Revision),
    Mod(Revision),
    Lease(i64),
    Value(Bytes),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    Equal,
    NotEqual,
    Greater,
    Less,
}

#[derive(Clone, Debug)]
pub enum Op {
    Range(Range),
    Put {
        key: Arc<str>,
        /// `None` keeps the value that is there.
        value: Option<Bytes>,
        /// `None` keeps the lease that is there.
        lease: Option<i64>,
    },
    Delete(KeyRange),
    Txn(Txn),
}

#[derive(Clone, Debug)]
pub struct TxnResult {
    /// The compares held.
    pub succeeded: bool,
    /// The store's revision afterwards.
    pub revision: Revision,
    pub results: Vec<OpResult>,
}

#[derive(Clone, Debug)]
pub enum OpResult {
    Range(RangeResult),
    Put { previous: Option<Arc<Record>>, revision: Revision },
    Delete { previous: Vec<Arc<Record>>, revision: Revision },
    Txn(TxnResult),
}

impl Compare {
    fn holds(&self, live: &Map) -> bool {
        let mut any = false;
        for r in crate::range::iter(live, &self.keys) {
            any = true;
            if !self.matches(Some(r)) {
                return false;
            }
        }
        any || self.matches(None)
    }
    fn matches(&self, r: Option<&Arc<Record>>) -> bool {
        let field = |f: fn(&Record) -> i64| r.map_or(0, |r| f(r));
        let o: Ordering = match &self.target {
            Target::Version(v) => field(|r| r.version).cmp(v),
            Target::Create(v) => field(|r| r.create_revision).cmp(v),
            Target::Mod(v) => field(|r| r.mod_revision).cmp(v),
            Target::Lease(v) => field(|r| r.lease).cmp(v),
            // An absent key has no value, not even the empty one: every compare with it fails.
            Target::Value(v) => match r {
                Some(r) => r.value.cmp(v),
                None => return false,
            },
        };
        match self.is {
            Cmp::Equal => o.is_eq(),
            Cmp::NotEqual => o.is_ne(),
            Cmp::Greater => o.is_gt(),
            Cmp::Less => o.is_lt(),
        }
    }
}

impl Txn {
    /// One list of operations without condition.
    pub fn of(ops: Vec<Op>) -> Self {
        Self { success: ops, ..Self::default() }
    }

    /// Whether it can be carried out at all: no empty key, no key put twice or put and deleted, on any path.
    pub fn validate(&self) -> Result<(), Error> {
        if self.compare.iter().any(|c| c.keys.lacks_key()) {
            return Err(Error::EmptyKey);
        }
        overlaps(&self.success)?;
        overlaps(&self.failure)?;
        Ok(())
    }

    /// Whether no path of it can change anything.
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|o| match o {
            Op::Range(_) => true,
            Op::Txn(t) => t.is_read_only(),
            Op::Put { .. } | Op::Delete(_) => false,
        })
    }

    /// Bytes of keys and values that it carries.
    pub fn size(&self) -> usize {
        let ops = self.success.iter().chain(&self.failure);
        ops.map(|o| match o {
            Op::Range(_) | Op::Delete(_) => 0,
            Op::Put { key, value, .. } => key.len() + value.as_ref().map_or(0, Bytes::len),
            Op::Txn(t) => t.size(),
        })
        .sum()
    }
}

/// Keys put, and ranges deleted, by a list and the transactions in it.
type Touched<'a> = (HashSet<&'a str>, Vec<&'a KeyRange>);

fn overlaps(ops: &[Op]) -> Result<Touched<'_>, Error> {
    let mut dels: Vec<&KeyRange> =
        ops.iter().filter_map(|o| if let Op::Delete(r) = o { Some(r) } else { None }).collect();
    let mut puts: HashSet<&str> = HashSet::new();
    for o in ops {
        let Op::Txn(t) = o else { continue };
        let (then_puts, then_dels) = overlaps(&t.success)?;
        let (else_puts, else_dels) = overlaps(&t.failure)?;
        // Only one of the two lists happens, so they may touch the same keys.
        for k in then_puts.union(&else_puts).copied() {
            if puts.contains(k) || dels.iter().any(|d| d.contains(k.as_bytes())) {
                return Err(Error::DuplicateKey);
            }
        }
        puts.extend(then_puts);
        puts.extend(else_puts);
        dels.extend(then_dels);
        dels.extend(else_dels);
    }
    for o in ops {
        match o {
            Op::Put { key, .. } if key.is_empty() => return Err(Error::EmptyKey),
            Op::Put { key, .. } if dels.iter().any(|d| d.contains(key.as_bytes())) || !puts.insert(key) => {
                return Err(Error::DuplicateKey);
            }
            Op::Delete(r) | Op::Range(Range { keys: r, .. }) if r.lacks_key() => {
                return Err(Error::EmptyKey);
            }
            _ => {}
        }
    }
    Ok((puts, dels))
}

/// Which list each transaction takes, decided on the state before any of them, in the order they are met.
fn paths(live: &Map, t: &Txn, out: &mut Vec<bool>) {
    let succeeded = t.compare.iter().all(|c| c.holds(live));
    out.push(succeeded);
    for o in if succeeded { &t.success } else { &t.failure } {
        if let Op::Txn(t) = o {
            paths(live, t, out);
        }
    }
}

impl State {
    /// Reads a range of keys, now or in the past.
    pub fn range(&self, r: &Range) -> Result<RangeResult, Error> {
        self.check_revision(r.revision)?;
        if r.revision > 0 && r.revision < self.revision {
            return Ok(r.read(&self.snapshot_at(r.revision)?.live, self.revision));
        }
        Ok(r.read(&self.live, self.revision))
    }

    /// Carries out a transaction: all of it in one revision, or nothing.
    pub fn txn(&mut self, t: &Txn) -> Result<TxnResult, Error> {
        t.validate()?;
        let mut path = Vec::new();
        paths(&self.live, t, &mut path);
        let mut changes = 0;
        self.check(t, &mut path.iter().copied(), &mut changes)?;
        let before = self.clone();
        let mut w = Change::new(self);
        let done = run(&mut w, &before, t, &mut path.into_iter());
        match done {
            Ok(mut r) => {
                r.revision = w.finish();
                Ok(r)
            }
            Err(e) => {
                *self = before;
                Err(e)
            }
        }
    }

    fn check(
        &self,
        t: &Txn,
        path: &mut impl Iterator<Item = bool>,
        changes: &mut usize,
    ) -> Result<(), Error> {
        let succeeded = path.next().unwrap_or(false);
        for o in if succeeded { &t.success } else { &t.failure } {
            match o {
                Op::Range(r) => self.check_revision(r.revision)?,
                Op::Put { key, value, lease } => {
                    *changes += 1;
                    self.leases.check(lease.unwrap_or(0))?;
                    if (value.is_none() || lease.is_none()) && !self.live.contains_key(key.as_bytes()) {
                        return Err(Error::KeyNotFound);
                    }
                }
                Op::Delete(keys) => {
                    *changes += crate::range::iter(&self.live, keys).take(MAX_CHANGES + 1).count();
                }
                Op::Txn(t) => self.check(t, path, changes)?,
            }
            if *changes > MAX_CHANGES {
                return Err(Error::TooManyChanges);
            }
        }
        Ok(())
    }
}

fn run(
    w: &mut Change<'_>,
    before: &State,
    t: &Txn,
    path: &mut impl Iterator<Item = bool>,
) -> Result<TxnResult, Error> {
    let succeeded = path.next().unwrap_or(false);
    let ops = if succeeded { &t.success } else { &t.failure };
    let mut results = Vec::with_capacity(ops.len());
    for o in ops {
        results.push(match o {
            Op::Range(r) if r.revision > 0 => {
                OpResult::Range(r.read(&before.snapshot_at(r.revision)?.live, w.revision()))
            }
            Op::Range(r) => OpResult::Range(r.read(&w.state.live, w.revision())),
            Op::Put { key, value, lease } => {
                let previous = w.state.live.get(key.as_bytes()).cloned();
                let kept = || previous.as_ref().ok_or(Error::KeyNotFound);
                let value = match value {
                    Some(v) => v.clone(),
                    None => kept()?.value.clone(),
                };
                let lease = match lease {
                    Some(l) => *l,
                    None => kept()?.lease,
                };
                w.put(key, value, lease);
                OpResult::Put { previous, revision: w.revision() }
            }
            Op::Delete(keys) => {
                let previous: Vec<_> = crate::range::iter(&w.state.live, keys).cloned().collect();
                for p in &previous {
                    w.delete(p.key.as_bytes());
                }
                OpResult::Delete { previous, revision: w.revision() }
            }
            Op::Txn(t) => OpResult::Txn(run(w, before, t, path)?),
        });
    }
    Ok(TxnResult { succeeded, revision: w.revision(), results })
}
