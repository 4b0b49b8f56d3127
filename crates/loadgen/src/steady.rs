//! Steady load that knows what must be true: writers that keep a model of what was acknowledged, and watchers that hear
//! of every change once and in order. Goes on until standard input ends, then judges and prints.
//!
//! A request gets one retry. What a lost answer meant is found out as a client would: by looking.

mod judge;
mod watcher;
mod writer;

use crate::Args;
use crate::net::{Call, Conn, Target};
use crate::objects::JSON;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// What the HTTP library says of a request that it never put on the wire.
const NEVER_SENT: &str = "channel closed";
/// How long a client waits before its one retry.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What has happened so far, as the clients see it.
#[derive(Default)]
pub struct Tally {
    pub writes: u64,
    pub reads: u64,
    /// Requests that needed their retry.
    pub retried: u64,
    /// Why, with how often.
    pub reasons: BTreeMap<String, u64>,
    /// Requests that failed with their retry.
    pub failed: u64,
    pub errors: Vec<String>,
    pub last_write: Option<Instant>,
    pub longest_gap: Duration,
    pub slowest: Duration,
    /// Name, and the version and content of each acknowledged state; no version: it was deleted.
    pub acknowledged: Vec<(String, Option<(i64, String)>)>,
    pub problems: Vec<String>,
}

impl Tally {
    pub fn problem(&mut self, what: String) {
        if self.problems.len() < 20 {
            self.problems.push(what);
        }
    }
    pub fn wrote(&mut self, took: Duration) {
        self.writes += 1;
        self.slowest = self.slowest.max(took);
        let now = Instant::now();
        if let Some(last) = self.last_write.replace(now) {
            self.longest_gap = self.longest_gap.max(now - last);
        }
    }
}

#[derive(Clone)]
pub struct Shared {
    pub target: Target,
    pub base: String,
    pub tally: Arc<Mutex<Tally>>,
    pub stop: Arc<AtomicBool>,
}

impl Shared {
    pub fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A client with one connection, made anew when it breaks.
pub struct Caller {
    pub shared: Shared,
    conn: Option<Conn>,
}

impl Caller {
    pub fn new(shared: &Shared) -> Self {
        Self { shared: shared.clone(), conn: None }
    }
    /// One attempt. Answers that say "not now" are errors as well.
    pub async fn once(&mut self, method: Method, path: &str, body: &Bytes) -> Result<(u16, Value), String> {
        loop {
            match self.attempt(method.clone(), path, body).await {
                // The server had said goodbye: nothing was sent.
                Err(e) if e == NEVER_SENT => {}
                other => return other,
            }
        }
    }
    async fn attempt(&mut self, method: Method, path: &str, body: &Bytes) -> Result<(u16, Value), String> {
        let work = async {
            if let Some(c) = self.conn.as_mut()
                && !c.open().await
            {
                self.conn = None;
            }
            if self.conn.is_none() {
                self.conn = Some(self.shared.target.connect().await.map_err(|e| format!("connect: {e}"))?);
            }
            let Some(c) = self.conn.as_mut() else { return Err("no connection".to_owned()) };
            let content = if body.is_empty() { "" } else { JSON };
            c.raw(Call { method, path, content, accept: JSON, body: body.clone() }).await
        };
        let done = match tokio::time::timeout(PATIENCE, work).await {
            Ok(r) => r,
            Err(_) => Err("no answer".to_owned()),
        };
        match done {
            Ok((status, body)) if status == 429 || status >= 500 => {
                let v: Value = serde_json::from_slice(&body).unwrap_or_default();
                Err(format!("{status} {}", v["message"].as_str().unwrap_or_default()))
            }
            Ok((status, body)) => Ok((status, serde_json::from_slice(&body).unwrap_or_default())),
            Err(e) => {
                self.conn = None;
                Err(e)
            }
        }
    }
    /// With the retry that every client has; the third is whether it was needed. `Err`: the retry failed too.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: &Bytes,
    ) -> Result<(u16, Value, bool), String> {
        let first = match self.once(method.clone(), path, body).await {
            Ok((status, v)) => return Ok((status, v, false)),
            Err(e) => e,
        };
        {
            let mut t = self.shared.tally();
            t.retried += 1;
            let short: String = first.chars().take(120).collect();
            if t.reasons.len() < 20 || t.reasons.contains_key(&short) {
                *t.reasons.entry(short).or_default() += 1;
            }
        }
        // As any client does that does not hammer.
        tokio::time::sleep(RETRY_AFTER).await;
        match self.once(method.clone(), path, body).await {
            Ok((status, v)) => Ok((status, v, true)),
            Err(second) => {
                let mut t = self.shared.tally();
                t.failed += 1;
                if t.errors.len() < 10 {
                    t.errors.push(format!("{method} {path}: {first}; again: {second}"));
                }
                Err(second)
            }
        }
    }
    /// The object as it is, however long it takes; `None`: it is not there.
    pub async fn look(&mut self, path: &str) -> Option<Value> {
        loop {
            match self.once(Method::GET, path, &Bytes::new()).await {
                Ok((200, v)) => return Some(v),
                Ok((404, _)) => return None,
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

pub fn version(v: &Value) -> i64 {
    v["metadata"]["resourceVersion"].as_str().and_then(|r| r.parse().ok()).unwrap_or(0)
}

pub async fn run(args: &Args) -> Result<Value, String> {
    let namespace = args.or("namespace", "steady").to_owned();
    let shared = Shared {
        target: Target::kubeconfig(args.text("kubeconfig")?)?,
        base: format!("/api/v1/namespaces/{namespace}/configmaps"),
        tally: Arc::default(),
        stop: Arc::default(),
    };
    let seed = args.number("seed", 1)?;
    let pause = Duration::from_millis(args.number("pause", 50)?);
    let mut caller = Caller::new(&shared);
    let ns = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).to_string();
    let (status, v, _) = caller.call(Method::POST, "/api/v1/namespaces", &ns.into()).await?;
    if !matches!(status, 201 | 409) {
        return Err(format!("namespace {namespace}: {status} {v}"));
    }
    let mut watchers = Vec::new();
    for _ in 0..args.number("watchers", 6)? {
        watchers.push(watcher::start(&shared).await?);
    }
    let mut writers = Vec::new();
    for id in 0..args.number("writers", 6)? {
        writers.push(tokio::spawn(writer::run(shared.clone(), id, seed, pause)));
    }
    while shared.tally().writes == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("running");
    let ended = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
    ended.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    shared.stop.store(true, Ordering::Relaxed);
    let mut live = BTreeMap::new();
    for w in writers {
        live.extend(w.await.map_err(|e| e.to_string())?);
    }
    judge::run(&shared, &mut caller, watchers, &live).await
}
