//! The log itself: without gap, in order, each key's counters right; and the same whenever it is read.

use super::{Kind, Violation, bad};
use crate::history::{Event, History, Kv, Log, Rev};
use std::collections::HashMap;

pub fn check(h: &History, out: &mut Vec<Violation>) {
    let mut keys: HashMap<&str, &Kv> = h.log.keys.iter().map(|k| (&*k.key, k)).collect();
    let mut last = h.log.base;
    for e in &h.log.events {
        let r = e.kv.modified;
        if r < last {
            bad(out, Kind::BadLog, format!("revision {r} comes after {last}"));
        } else if h.dense && r > last + 1 {
            bad(out, Kind::BadLog, format!("nothing is said of the revisions between {last} and {r}"));
        }
        last = r;
        let before = keys.get(&*e.kv.key).copied();
        if e.previous.as_ref().is_some_and(|p| Some(p) != before) {
            let what = format!("{} at {r} superseded {:?}, and it was {before:?}", e.kv.key, e.previous);
            bad(out, Kind::BadLog, what);
        }
        if e.gone {
            if before.is_none() {
                bad(out, Kind::BadLog, format!("{} was deleted at {r} and was not there", e.kv.key));
            }
            keys.remove(&*e.kv.key);
            continue;
        }
        let (created, version) = before.map_or((r, 1), |b| (b.created, b.version + 1));
        if h.dense && (e.kv.created, e.kv.version) != (created, version) {
            let what = format!("{:?} should be created at {created}, version {version}", e.kv);
            bad(out, Kind::BadLog, what);
        }
        if before.is_some_and(|b| b.modified == r) {
            bad(out, Kind::BadLog, format!("{} is written twice in revision {r}", e.kv.key));
        }
        keys.insert(&e.kv.key, &e.kv);
    }
    if last > h.log.head || h.dense && last < h.log.head {
        bad(out, Kind::BadLog, format!("the newest revision is {}, the last event {last}", h.log.head));
    }
}

/// Takes what the store says now, of the revisions from `from` on. What was said of them before must be the same.
pub fn merge(log: &mut Log, from: Rev, now: Vec<Event>, head: Rev) -> Vec<Violation> {
    let mut out = Vec::new();
    let known = log.events.partition_point(|e| e.kv.modified < from);
    let (before, mut now) = (&log.events[known..], now);
    if head < log.head {
        let what = format!("the newest revision was {} and is {head}", log.head);
        bad(&mut out, Kind::HistoryChanged, what);
    }
    let same = before.iter().zip(&now).take_while(|(a, b)| a == b).count();
    if same < before.len() {
        let what = format!("event {:?} is now {:?}", before[same], now.get(same));
        bad(&mut out, Kind::HistoryChanged, what);
    }
    if out.is_empty() {
        let fresh = now.split_off(before.len());
        log.events.extend(fresh);
    } else {
        log.events.truncate(known);
        log.events.append(&mut now);
    }
    log.head = head;
    out
}
