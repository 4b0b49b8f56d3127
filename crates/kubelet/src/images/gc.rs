//! Image garbage: which images to remove when the disk is full. Pure, but for the loop that calls it.

use std::collections::{HashMap, HashSet};

/// An image as the collector remembers it. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub size: i64,
    pub first_seen: i64,
    pub last_used: i64,
    pub pinned: bool,
}

#[derive(Clone, Debug)]
pub struct Policy {
    /// Percent of the file system at which collection begins, and down to which it goes.
    pub high: i64,
    pub low: i64,
    /// Unused images younger than this stay; nanoseconds.
    pub min_age: i64,
    /// Unused images older than this go, however much room there is; 0 turns it off.
    pub max_age: i64,
}

/// Brings the records up to date with what is there and in use.
pub fn observe(
    records: &mut HashMap<String, Record>,
    images: &[(String, i64, bool)],
    in_use: &HashSet<String>,
    now: i64,
) {
    let present: HashSet<&str> = images.iter().map(|i| i.0.as_str()).collect();
    records.retain(|id, _| present.contains(id.as_str()));
    for (id, size, pinned) in images {
        let r = records.entry(id.clone()).or_insert(Record {
            size: *size,
            first_seen: now,
            last_used: 0,
            pinned: *pinned,
        });
        r.size = *size;
        r.pinned = *pinned;
        if in_use.contains(id) {
            r.last_used = now;
        }
    }
}

/// The images to remove, in order, given the file system's size and use.
pub fn plan(
    records: &HashMap<String, Record>,
    in_use: &HashSet<String>,
    capacity: i64,
    used: i64,
    p: &Policy,
    now: i64,
) -> Vec<String> {
    let mut idle: Vec<(&String, &Record)> =
        records.iter().filter(|(id, r)| !in_use.contains(*id) && !r.pinned).collect();
    idle.sort_by_key(|(id, r)| (r.last_used, r.first_seen, (*id).clone()));
    let mut out: Vec<String> = vec![];
    let mut to_free = 0;
    if capacity > 0 && used * 100 / capacity >= p.high {
        to_free = used - capacity * p.low / 100;
    }
    for (id, r) in idle {
        let unused_for = now - r.last_used.max(r.first_seen);
        let old = p.max_age > 0 && unused_for > p.max_age;
        let wanted = to_free > 0 && now - r.first_seen >= p.min_age;
        if old || wanted {
            to_free -= r.size;
            out.push(id.clone());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_unused_first_until_there_is_room() {
        let mut records = HashMap::new();
        let images: Vec<_> = ["a", "b", "c", "d"].iter().map(|n| ((*n).to_owned(), 100, *n == "d")).collect();
        let used = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<HashSet<_>>();
        observe(&mut records, &images, &used(&["a", "b"]), 10);
        observe(&mut records, &images, &used(&["a"]), 20);
        let p = Policy { high: 85, low: 80, min_age: 5, max_age: 0 };
        assert_eq!(plan(&records, &used(&["a"]), 1000, 840, &p, 30), Vec::<String>::new(), "below the mark");
        assert_eq!(plan(&records, &used(&["a"]), 1000, 880, &p, 30), ["c"], "never used goes first");
        assert_eq!(plan(&records, &used(&["a"]), 1000, 990, &p, 30), ["c", "b"], "pinned and used stay");
        assert_eq!(plan(&records, &used(&["a"]), 1000, 990, &p, 12), Vec::<String>::new(), "too young");
        let by_age = Policy { max_age: 15, ..p };
        assert_eq!(plan(&records, &used(&["a"]), 1000, 100, &by_age, 30), ["c", "b"]);
    }
}
