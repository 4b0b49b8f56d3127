//! One writer: creates, updates, deletes and reads objects of its own, and knows how each must be.

use super::{Caller, Shared, version};
use bytes::Bytes;
use http::Method;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Objects that a writer keeps.
const MOST: usize = 8;

/// What is known of an object: its version and content.
pub type Live = BTreeMap<String, (i64, String)>;

/// Xorshift: the same seed does the same.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap_or(0)
    }
}

struct Writer {
    caller: Caller,
    shared: Shared,
    live: Live,
    id: u64,
    made: u64,
    step: u64,
}

fn body(name: &str, content: &str, version: i64) -> Bytes {
    let mut v = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"n": content, "filling": "x".repeat(200)}});
    if version > 0 {
        v["metadata"]["resourceVersion"] = version.to_string().into();
    }
    v.to_string().into()
}

pub async fn run(shared: Shared, id: u64, seed: u64, pause: Duration) -> Live {
    let mut random =
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (id + 1).wrapping_mul(0xd134_2543_de82_ef95));
    let mut w = Writer {
        caller: Caller::new(&shared),
        shared: shared.clone(),
        live: Live::new(),
        id,
        made: 0,
        step: 0,
    };
    while !shared.stopped() {
        w.step += 1;
        let pick = random.below(10);
        let some = w.live.keys().nth(random.below(w.live.len().max(1))).cloned();
        match (pick, some) {
            (0..=2, _) | (_, None) if w.live.len() < MOST => w.create().await,
            (0..=4, Some(name)) => w.delete(&name).await,
            (5..=7, Some(name)) => w.update(&name).await,
            (_, Some(name)) => w.read(&name).await,
            _ => {}
        }
        tokio::time::sleep(pause).await;
    }
    w.live
}

impl Writer {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.shared.base)
    }

    /// A write was acknowledged, or found to have happened.
    fn is_now(&mut self, name: &str, state: Option<(i64, String)>) {
        self.shared.tally().acknowledged.push((name.to_owned(), state.clone()));
        match state {
            Some(s) => self.live.insert(name.to_owned(), s),
            None => self.live.remove(name),
        };
    }

    /// Finds out what became of a request without an answer.
    async fn find_out(&mut self, name: &str) {
        match self.caller.look(&self.path(name)).await {
            Some(v) => {
                let content = v["data"]["n"].as_str().unwrap_or_default().to_owned();
                if self.live.get(name).map(|l| l.0) != Some(version(&v)) {
                    self.is_now(name, Some((version(&v), content)));
                }
            }
            None if self.live.contains_key(name) => self.is_now(name, None),
            None => {}
        }
    }

    async fn create(&mut self) {
        self.made += 1;
        let name = format!("w{}-{}", self.id, self.made);
        let content = format!("{name}.{}", self.step);
        let (begin, base) = (Instant::now(), self.shared.base.clone());
        match self.caller.call(Method::POST, &base, &body(&name, &content, 0)).await {
            Ok((201, v, _)) => {
                self.shared.tally().wrote(begin.elapsed());
                self.is_now(&name, Some((version(&v), content)));
            }
            // The lost answer was a yes.
            Ok((409, _, true)) => self.look_for(&name, &content, begin).await,
            Ok((status, v, _)) => self.unexpected(&format!("POST {name}: {status} {}", v["message"])),
            Err(_) => self.find_out(&name).await,
        }
    }

    /// After a conflict with oneself: the object must be as it was to become.
    async fn look_for(&mut self, name: &str, content: &str, begin: Instant) {
        match self.caller.look(&self.path(name)).await {
            Some(v) if v["data"]["n"] == content => {
                self.shared.tally().wrote(begin.elapsed());
                self.is_now(name, Some((version(&v), content.to_owned())));
            }
            other => {
                self.unexpected(&format!(
                    "{name}: a conflict with nobody; it is {:?}",
                    other.map(|v| v["data"].clone())
                ));
            }
        }
    }

    async fn update(&mut self, name: &str) {
        let Some((at, _)) = self.live.get(name).cloned() else { return };
        let content = format!("{name}.{}", self.step);
        let (begin, path) = (Instant::now(), self.path(name));
        match self.caller.call(Method::PUT, &path, &body(name, &content, at)).await {
            Ok((200, v, _)) => {
                self.shared.tally().wrote(begin.elapsed());
                self.is_now(name, Some((version(&v), content)));
            }
            Ok((409, _, true)) => self.look_for(name, &content, begin).await,
            Ok((status, v, _)) => self.unexpected(&format!("PUT {name} at {at}: {status} {}", v["message"])),
            Err(_) => self.find_out(name).await,
        }
    }

    async fn delete(&mut self, name: &str) {
        let (begin, path) = (Instant::now(), self.path(name));
        match self.caller.call(Method::DELETE, &path, &Bytes::new()).await {
            Ok((200, ..) | (404, _, true)) => {
                self.shared.tally().wrote(begin.elapsed());
                self.is_now(name, None);
            }
            Ok((status, v, _)) => self.unexpected(&format!("DELETE {name}: {status} {}", v["message"])),
            Err(_) => self.find_out(name).await,
        }
    }

    async fn read(&mut self, name: &str) {
        let Some((at, content)) = self.live.get(name).cloned() else { return };
        match self.caller.call(Method::GET, &self.path(name), &Bytes::new()).await {
            Ok((200, v, _)) => {
                self.shared.tally().reads += 1;
                let (now, found) = (version(&v), v["data"]["n"].as_str().unwrap_or_default());
                if now != at || found != content {
                    self.unexpected(&format!(
                        "GET {name}: {found} at {now}, but {content} at {at} was acknowledged"
                    ));
                }
            }
            Ok((status, v, _)) => {
                self.unexpected(&format!(
                    "GET {name}: {status} {}, but it was acknowledged at {at}",
                    v["message"]
                ));
            }
            Err(_) => {}
        }
    }

    fn unexpected(&mut self, what: &str) {
        self.shared.tally().problem(what.to_owned());
    }
}
