//! Ranges of keys, and reading them from a snapshot.

use crate::{Map, Record, Revision};
use std::ops::Bound;
use std::sync::Arc;

/// A set of keys that lie next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    start: Vec<u8>,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// Only the start itself.
    Single,
    /// Everything at or after the start.
    Open,
    Before(Vec<u8>),
}

impl KeyRange {
    pub fn single(key: impl Into<Vec<u8>>) -> Self {
        Self { start: key.into(), end: End::Single }
    }
    /// Every key that begins with `prefix`; all keys when it is empty.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start = prefix.into();
        let mut end = start.clone();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(b) => {
                *b += 1;
                Self { start, end: End::Before(end) }
            }
            None => Self { start, end: End::Open },
        }
    }
    /// From a request's `key` and `range_end`: an empty end is one key, a single zero byte is everything from the key on.
    pub fn of_request(key: impl Into<Vec<u8>>, range_end: &[u8]) -> Self {
        let end = match range_end {
            [] => End::Single,
            [0] => End::Open,
            e => End::Before(e.to_vec()),
        };
        Self { start: key.into(), end }
    }
    pub fn start(&self) -> &[u8] {
        &self.start
    }
    pub fn is_single(&self) -> bool {
        self.end == End::Single
    }
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == self.start,
            End::Open => key >= self.start.as_slice(),
            End::Before(e) => key >= self.start.as_slice() && key < e.as_slice(),
        }
    }
    pub fn is_empty(&self) -> bool {
        matches!(&self.end, End::Before(e) if *e <= self.start)
    }
    /// Whether the range begins at a key; all keys, as an empty prefix, begin at none.
    pub(crate) fn lacks_key(&self) -> bool {
        self.start.is_empty() && self.end != End::Open
    }
    /// The longest string that all keys of the range begin with.
    pub fn common_prefix(&self) -> &[u8] {
        match &self.end {
            End::Single => &self.start,
            End::Open => &[],
            // When the end is the start with its last byte one higher, the range is exactly that prefix.
            End::Before(_) if *self == Self::prefix(self.start.clone()) => &self.start,
            End::Before(e) => {
                let n = self.start.iter().zip(e).take_while(|(a, b)| a == b).count();
                &self.start[..n]
            }
        }
    }
    /// Whether the range holds all keys that begin with its common prefix.
    pub fn is_prefix(&self) -> bool {
        match &self.end {
            End::Single => false,
            End::Open => self.start.iter().all(|b| *b == 0) && self.start.len() <= 1,
            End::Before(_) => *self == Self::prefix(self.start.clone()),
        }
    }
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = Bound::Included(self.start.as_slice());
        match &self.end {
            End::Single => (start, start),
            End::Open => (start, Bound::Unbounded),
            End::Before(e) => (start, Bound::Excluded(e.as_slice())),
        }
    }
}

/// All keys at one revision. Cheap to clone, never changes.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) revision: Revision,
    pub(crate) live: Map,
}

impl Snapshot {
    pub fn revision(&self) -> Revision {
        self.revision
    }
    pub fn len(&self) -> usize {
        self.live.len()
    }
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
    pub fn get(&self, key: &[u8]) -> Option<&Arc<Record>> {
        self.live.get(key)
    }
    /// Records of the range, in key order.
    pub fn range<'a>(&'a self, r: &'a KeyRange) -> impl DoubleEndedIterator<Item = &'a Arc<Record>> + 'a {
        iter(&self.live, r)
    }
    /// Records whose key starts with `prefix` and is at or after `start` (when not empty), in key order, as long as
    /// the callback says so.
    pub fn scan(&self, prefix: &str, start: &str, f: &mut dyn FnMut(&Arc<Record>) -> bool) {
        let from = if start.as_bytes() > prefix.as_bytes() { start } else { prefix };
        let from = (Bound::Included(from.as_bytes()), Bound::Unbounded);
        for (k, rec) in self.live.range::<_, [u8]>(from) {
            if !k.0.starts_with(prefix) || !f(rec) {
                return;
            }
        }
    }
    pub fn count(&self, prefix: &str) -> usize {
        if prefix.is_empty() {
            return self.live.len();
        }
        iter(&self.live, &KeyRange::prefix(prefix)).count()
    }
}

pub(crate) fn iter<'a>(
    live: &'a Map,
    r: &'a KeyRange,
) -> impl DoubleEndedIterator<Item = &'a Arc<Record>> + 'a {
    let b = if r.is_empty() { None } else { Some(r.bounds()) };
    b.into_iter().flat_map(move |b| live.range::<_, [u8]>(b)).map(|(_, v)| v)
}

/// A field that a range may be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    Key,
    Version,
    Create,
    Mod,
    Value,
}

/// A read of a range. Zero numbers mean no bound, revision 0 the present.
#[derive(Clone, Debug)]
pub struct Range {
    pub keys: KeyRange,
    pub revision: Revision,
    pub limit: usize,
    pub sort: Option<(SortBy, bool)>,
    pub count_only: bool,
    pub min_mod: Revision,
    pub max_mod: Revision,
    pub min_create: Revision,
    pub max_create: Revision,
}

impl Range {
    pub fn new(keys: KeyRange) -> Self {
        Self {
            keys,
            revision: 0,
            limit: 0,
            sort: None,
            count_only: false,
            min_mod: 0,
            max_mod: 0,
            min_create: 0,
            max_create: 0,
        }
    }
    fn filtered(&self) -> bool {
        self.min_mod != 0 || self.max_mod != 0 || self.min_create != 0 || self.max_create != 0
    }
    fn wants(&self, r: &Record) -> bool {
        (self.max_mod == 0 || r.mod_revision <= self.max_mod)
            && (self.min_mod == 0 || r.mod_revision >= self.min_mod)
            && (self.max_create == 0 || r.create_revision <= self.max_create)
            && (self.min_create == 0 || r.create_revision >= self.min_create)
    }
    /// Reads from these keys; `revision` is what the answer says it is at.
    pub(crate) fn read(&self, live: &Map, revision: Revision) -> RangeResult {
        // etcd counts the keys of the range, before its revision bounds and its limit.
        let count = if self.keys.is_single() {
            usize::from(live.contains_key(self.keys.start()))
        } else {
            iter(live, &self.keys).count()
        };
        let mut out = RangeResult { revision, records: Vec::new(), more: false, count };
        if self.count_only {
            return out;
        }
        let plain = self.sort.is_none_or(|s| s == (SortBy::Key, true)) && !self.filtered();
        if plain {
            let take = if self.limit == 0 { count } else { self.limit.min(count) };
            out.records = iter(live, &self.keys).take(take).cloned().collect();
            out.more = take < count;
            return out;
        }
        out.records = iter(live, &self.keys).filter(|r| self.wants(r)).cloned().collect();
        if let Some((by, ascending)) = self.sort {
            let r = &mut out.records;
            match by {
                SortBy::Key => {}
                SortBy::Version => r.sort_by_key(|r| r.version),
                SortBy::Create => r.sort_by_key(|r| r.create_revision),
                SortBy::Mod => r.sort_by_key(|r| r.mod_revision),
                SortBy::Value => r.sort_by(|a, b| a.value.cmp(&b.value)),
            }
            if !ascending {
                r.reverse();
            }
        }
        if self.limit != 0 && out.records.len() > self.limit {
            out.records.truncate(self.limit);
            out.more = true;
        }
        out
    }
}

/// What a range read found.
#[derive(Clone, Debug)]
pub struct RangeResult {
    /// The store's revision when it was read.
    pub revision: Revision,
    pub records: Vec<Arc<Record>>,
    /// The limit cut something off.
    pub more: bool,
    /// Keys in the range.
    pub count: usize,
}
