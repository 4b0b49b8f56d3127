//! The server that is killed: writers of several kinds that say on standard output what was acknowledged.
//!
//! What writer W does in round R as its Nth operation is a function of these numbers, so that the judge knows what may
//! have happened without having been acknowledged.

use crate::mix;
use bytes::Bytes;
use mvcc::{Op, Outcome, Txn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use storage::{Embedded, Storage};

/// Writers of single keys, of pairs, of one shared counter, of leased keys.
pub const SINGLE: std::ops::Range<u64> = 0..5;
pub const PAIRS: std::ops::Range<u64> = 10..12;
pub const COUNTERS: std::ops::Range<u64> = 20..22;
pub const LEASED: std::ops::Range<u64> = 30..31;
pub const COUNTER: &str = "/registry/counter";

/// The key of a single writer's operation, and whether it deletes.
pub fn operation(w: u64, round: u64, n: u64) -> (String, bool) {
    let r = mix(w << 48 | round << 24 | n);
    (format!("/registry/single{w}/{}", r % 8), r >> 8 & 3 == 0)
}

pub fn value(w: u64, round: u64, n: u64) -> String {
    // Of different length, some over a page.
    let pad = "x".repeat((mix(w << 40 | n) % 6000) as usize);
    format!("{w}:{round}:{n}:{pad}")
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

fn ack(w: u64, n: u64, revision: i64, key: &str, deleted: bool) {
    say(&format!("{w} {n} {revision} {key} {}\n", u8::from(deleted)));
}

async fn single(s: Arc<Embedded>, w: u64, round: u64) {
    for n in 0.. {
        let (key, delete) = operation(w, round, n);
        let now = s.cached().get(&key).map_or(0, |r| r.mod_revision);
        let done = if delete && now != 0 {
            s.delete(&key, Some(now)).await
        } else {
            s.put(&key, Bytes::from(value(w, round, n)), Some(now), 0).await
        };
        match done.unwrap() {
            Outcome::Done(r) => ack(w, n, r.mod_revision, &key, r.is_tombstone()),
            Outcome::Conflict(r) => panic!("nobody else writes {key}: {r:?}"),
        }
    }
}

async fn pairs(s: Arc<Embedded>, w: u64, round: u64) {
    for n in 0.. {
        let v = Bytes::from(value(w, round, n));
        let put = |k: &str| Op::Put {
            key: format!("/registry/pair{w}/{k}").into(),
            value: Some(v.clone()),
            lease: Some(0),
        };
        let r = s.txn(Txn::of(vec![put("a"), put("b")])).await.unwrap();
        ack(w, n, r.revision, &format!("/registry/pair{w}/a"), false);
    }
}

async fn counters(s: Arc<Embedded>, w: u64) {
    let mut n = 0;
    loop {
        let now = s.cached().get(COUNTER);
        let at: u64 = now.as_ref().map_or(0, |r| String::from_utf8_lossy(&r.value).parse().unwrap());
        let expected = now.map_or(0, |r| r.mod_revision);
        let next = Bytes::from((at + 1).to_string());
        if let Outcome::Done(r) = s.put(COUNTER, next, Some(expected), 0).await.unwrap() {
            ack(w, n, r.mod_revision, COUNTER, false);
            n += 1;
        }
    }
}

async fn leased(s: Arc<Embedded>, w: u64, round: u64) {
    for n in 0.. {
        let (id, _) = s.grant(0, 1_000_000).await.unwrap();
        let key = format!("/registry/leased{w}/{n}");
        s.put(&key, Bytes::from(value(w, round, n)), None, id).await.unwrap();
        if n % 3 != 0 {
            s.revoke(id).await.unwrap();
        }
        if n % 10 == 0 {
            // History has to be given up too, under way.
            let to = s.revision() - 200;
            if to > s.state().floor() {
                s.compact(to).await.unwrap();
            }
        }
    }
}

/// Writes into a limit on the size of files, which stands for a disk that takes no more; then lifts it.
async fn full(s: Arc<Embedded>) {
    let mut refused = 0;
    let mut n = 0;
    while n < 600 {
        let (key, _) = operation(0, 0, n);
        match s.put(&key, Bytes::from(value(0, 0, n)), None, 0).await {
            Ok(Outcome::Done(r)) => {
                ack(0, n, r.mod_revision, &key, false);
                n += 1;
            }
            Ok(Outcome::Conflict(_)) => panic!("there was no condition"),
            Err(e) => {
                say(&format!("# refused: {e}\n"));
                refused += 1;
                assert!(s.cached().revision() > 1 && s.cached().get(&key).is_none_or(|r| r.version > 0));
                if refused == 5 {
                    let now = getrlimit(Resource::Fsize);
                    setrlimit(Resource::Fsize, Rlimit { current: now.maximum, ..now }).unwrap();
                }
                assert!(refused <= 5, "refused although there is room");
            }
        }
    }
    assert_eq!(refused, 5);
    say("# went on\n");
}

pub async fn run(mode: &str) {
    // The judge takes no such line for an acknowledgement.
    std::panic::set_hook(Box::new(|p| say(&format!("panic: {}\n", p.to_string().replace('\n', " ")))));
    let db = PathBuf::from(std::env::var_os("KEELSON_KILL_DB").unwrap());
    let round: u64 = std::env::var("KEELSON_KILL_ROUND").unwrap().parse().unwrap();
    let rt = runtime::Runtime::new();
    let s = match Embedded::open(&db, crate::options(), rt.clone()).await {
        Ok(s) => s,
        Err(e) => return say(&format!("cannot open: {e}\n")),
    };
    if mode == "full" {
        return full(s).await;
    }
    say("ready\n");
    for w in SINGLE {
        rt.spawn("single", single(s.clone(), w, round));
    }
    for w in PAIRS {
        rt.spawn("pairs", pairs(s.clone(), w, round));
    }
    for w in COUNTERS {
        rt.spawn("counters", counters(s.clone(), w));
    }
    for w in LEASED {
        rt.spawn("leased", leased(s.clone(), w, round));
    }
    std::future::pending().await
}
