//! Whether all is as it must be: what was acknowledged is there, and every watcher heard every change once, in order.

use super::watcher::{Heard, Log, Watcher, lock};
use super::writer::Live;
use super::{Caller, Shared, Tally, version};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// How long watchers have to hear of the last change.
const CATCH_UP: Duration = Duration::from_secs(30);

pub async fn run(
    shared: &Shared,
    caller: &mut Caller,
    watchers: Vec<Watcher>,
    live: &Live,
) -> Result<Value, String> {
    let path = format!("{}?limit=100000", shared.base);
    let list = loop {
        match caller.once(Method::GET, &path, &Bytes::new()).await {
            Ok((200, v)) => break v,
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    let there: BTreeMap<String, (i64, String)> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|o| {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            (text(&o["metadata"]["name"]), (version(o), text(&o["data"]["n"])))
        })
        .filter(|(name, _)| name.starts_with('w'))
        .collect();
    // Versions of deletions are not told: a last change after all others is waited for.
    let last = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "wlast-"}});
    let last = loop {
        match caller.once(Method::POST, &shared.base, &last.to_string().into()).await {
            Ok((201, v)) => break version(&v),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    let begin = Instant::now();
    while watchers.iter().any(|w| lock(w).at < last) && begin.elapsed() < CATCH_UP {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let catch_up = begin.elapsed();
    let mut t = shared.tally();
    for w in &watchers {
        if lock(w).at < last {
            t.problem(format!("a watcher stands at {}, the last change is {last}", lock(w).at));
        }
    }
    if &there != live {
        for (name, state) in live {
            if there.get(name) != Some(state) {
                let now = there.get(name);
                t.problem(format!("{name}: {state:?} was acknowledged, the list says {now:?}"));
            }
        }
        for name in there.keys().filter(|n| !live.contains_key(*n)) {
            t.problem(format!("{name} is in the list, and was never acknowledged or was deleted"));
        }
    }
    let logs: Vec<_> = watchers.iter().map(lock).collect();
    let acknowledged = std::mem::take(&mut t.acknowledged);
    for (i, log) in logs.iter().enumerate() {
        for p in problems(log, &acknowledged) {
            t.problem(format!("watcher {i}: {p}"));
        }
    }
    let sum = |f: fn(&Log) -> u64| logs.iter().map(|l| f(l)).sum::<u64>();
    let mut v = report(&t);
    v["acknowledged"] = acknowledged.len().into();
    v["events"] = sum(|l| l.events.len() as u64).into();
    v["reconnects"] = sum(|l| l.reconnects).into();
    v["relists"] = sum(|l| l.relists).into();
    v["broken"] = sum(|l| l.broken).into();
    v["catch_up_ms"] = (catch_up.as_secs_f64() * 1000.0).into();
    Ok(v)
}

fn report(t: &Tally) -> Value {
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    json!({"writes": t.writes, "reads": t.reads, "retried": t.retried, "reasons": t.reasons, "failed": t.failed,
        "errors": t.errors, "gap_ms": ms(t.longest_gap), "slowest_ms": ms(t.slowest), "problems": t.problems})
}

/// What one watcher heard against what was acknowledged.
fn problems(log: &Log, acknowledged: &[(String, Option<(i64, String)>)]) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = log.from;
    // How each object is, by the events alone; `false`: it has ended.
    let mut state: HashMap<&str, bool> = HashMap::new();
    let mut told: HashMap<(&str, i64), &Heard> = HashMap::new();
    for e in &log.events {
        if e.version <= at {
            out.push(format!("{} {} at {} after {at}", e.kind, e.name, e.version));
        }
        at = at.max(e.version);
        let before = state.insert(&e.name, e.kind != "DELETED");
        let fits = match e.kind.as_str() {
            "ADDED" => before.is_none(),
            "MODIFIED" | "DELETED" => before == Some(true),
            _ => false,
        };
        if !fits {
            out.push(format!("{} {} at {}, which does not follow", e.kind, e.name, e.version));
        }
        told.insert((&e.name, e.version), e);
    }
    for (name, state_then) in acknowledged {
        match state_then {
            Some((v, content)) if *v > log.from => match told.get(&(name.as_str(), *v)) {
                None => out.push(format!("never heard of {name} at {v}")),
                Some(e) if e.content != *content => {
                    out.push(format!("{name} at {v} was {content}, heard {}", e.content));
                }
                Some(_) => {}
            },
            None if state.get(name.as_str()) != Some(&false) => {
                out.push(format!("never heard that {name} was deleted"));
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(kind: &str, name: &str, version: i64, content: &str) -> Heard {
        Heard { kind: kind.into(), name: name.into(), version, content: content.into() }
    }

    /// A lost event, a repeated one, one out of order and a wrong one are each found.
    #[test]
    fn each_fault_is_found() {
        let all = vec![
            heard("ADDED", "a", 5, "1"),
            heard("MODIFIED", "a", 7, "2"),
            heard("ADDED", "b", 8, "3"),
            heard("DELETED", "a", 9, "2"),
        ];
        let acknowledged = [
            ("a".to_owned(), Some((5, "1".to_owned()))),
            ("a".to_owned(), Some((7, "2".to_owned()))),
            ("b".to_owned(), Some((8, "3".to_owned()))),
            ("a".to_owned(), None),
        ];
        let check = |change: &dyn Fn(&mut Vec<Heard>)| {
            let mut events = all.clone();
            change(&mut events);
            problems(&Log { from: 4, events, ..Log::default() }, &acknowledged).len()
        };
        assert_eq!(check(&|_| {}), 0);
        for (i, event) in all.iter().enumerate() {
            assert!(check(&|e| drop(e.remove(i))) > 0, "lost: {i}");
            assert!(check(&|e| e.insert(i, event.clone())) > 0, "twice: {i}");
        }
        assert!(check(&|e| e.swap(1, 2)) > 0);
        assert!(check(&|e| e[1].content = "x".into()) > 0);
    }
}
