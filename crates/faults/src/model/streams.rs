//! A watch is the log between its ends: every event of its keys once, in order, and none else.

use super::{Kind, Past, Violation, bad};
use crate::history::{Event, Item, Rev, Stream};

pub fn check(s: &Stream, past: &Past<'_>, out: &mut Vec<Violation>) {
    let first = past.events.partition_point(|e| e.kv.modified < s.from);
    let mut due = past.events[first..].iter().filter(|e| s.keys.contains(&e.kv.key)).peekable();
    let mut told: Rev = 0;
    let mut compacted = false;
    for (_, item) in &s.items {
        match item {
            Item::Event(e) => {
                if due.peek().is_some_and(|d| same(d, e)) {
                    due.next();
                } else if e.kv.modified < told || e.kv.modified == told && !ahead(&mut due, e) {
                    bad(out, Kind::WatchRepeat, format!("{}: {:?} after {told}", s.name, e.kv));
                    continue;
                } else {
                    let mut skipped = Vec::new();
                    while let Some(d) = due.next_if(|d| d.kv.modified <= e.kv.modified && !same(d, e)) {
                        skipped.push(d);
                    }
                    if due.peek().is_some_and(|d| same(d, e)) {
                        due.next();
                        gap(s, &skipped, "it went on", out);
                    } else {
                        let what = format!("{}: {e:?} did not happen; due was {:?}", s.name, skipped.first());
                        bad(out, Kind::WatchWrong, what);
                    }
                }
                if s.previous {
                    previous(s, e, past, out);
                }
                told = told.max(e.kv.modified);
            }
            Item::Progress(r) => {
                let mut skipped = Vec::new();
                while let Some(d) = due.next_if(|d| d.kv.modified <= *r) {
                    skipped.push(d);
                }
                gap(s, &skipped, &format!("progress said {r}"), out);
                told = told.max(*r);
            }
            // From here on nothing was promised.
            Item::Compacted(r) => {
                compacted = true;
                if *r <= told.max(s.from - 1) {
                    bad(out, Kind::WatchWrong, format!("{}: ended for {r}, and was at {told}", s.name));
                }
            }
        }
    }
    if !compacted && let Some(d) = due.next_if(|d| d.kv.modified <= s.until) {
        let what = format!("{}: {:?} never came, and everything to {} was due", s.name, d.kv, s.until);
        bad(out, Kind::WatchBehind, what);
    }
}

/// Whether an event of the revision that was told last is still to come.
fn ahead<'a>(due: &mut std::iter::Peekable<impl Iterator<Item = &'a Event> + Clone>, e: &Event) -> bool {
    due.clone().take_while(|d| d.kv.modified == e.kv.modified).any(|d| same(d, e))
}

fn same(a: &Event, b: &Event) -> bool {
    a.gone == b.gone && a.kv.key == b.kv.key && a.kv.modified == b.kv.modified && (a.gone || a.kv == b.kv)
}

fn gap(s: &Stream, skipped: &[&Event], then: &str, out: &mut Vec<Violation>) {
    if let Some(e) = skipped.first() {
        let n = skipped.len();
        bad(out, Kind::WatchGap, format!("{}: {n} events from {:?} were not told, and {then}", s.name, e.kv));
    }
}

fn previous(s: &Stream, e: &Event, past: &Past<'_>, out: &mut Vec<Violation>) {
    let was = past.at(&e.kv.key, e.kv.modified - 1);
    if e.previous.as_ref() != was {
        let what = format!("{}: {:?} came with {:?} for {was:?}", s.name, e.kv, e.previous);
        bad(out, Kind::WatchWrong, what);
    }
}
