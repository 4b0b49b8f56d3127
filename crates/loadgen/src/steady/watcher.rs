//! One watcher: a list, then a watch that is begun anew where it ended. Keeps what it heard.

use super::{Shared, version};
use crate::net::Call;
use crate::objects::JSON;
use http_body_util::BodyExt;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One event: its type, name, version and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub kind: String,
    pub name: String,
    pub version: i64,
    pub content: String,
}

#[derive(Default)]
pub struct Log {
    pub from: i64,
    /// The last version that it was told of, by bookmarks too.
    pub at: i64,
    pub events: Vec<Heard>,
    pub reconnects: u64,
    /// How often the server did not know where it had been.
    pub relists: u64,
    /// Ends that were no ends: a connection that broke.
    pub broken: u64,
}

pub type Watcher = Arc<Mutex<Log>>;

pub fn lock(w: &Watcher) -> std::sync::MutexGuard<'_, Log> {
    w.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn list(shared: &Shared) -> Result<i64, String> {
    let mut conn = shared.target.connect().await?;
    let all = conn.call(Call::get(&format!("{}?limit=1", shared.base), JSON)).await?;
    let all: Value = serde_json::from_slice(&all).map_err(|e| e.to_string())?;
    Ok(version(&all))
}

pub async fn start(shared: &Shared) -> Result<Watcher, String> {
    let from = list(shared).await?;
    let log: Watcher = Arc::new(Mutex::new(Log { from, at: from, ..Log::default() }));
    let (shared, mine) = (shared.clone(), log.clone());
    tokio::spawn(async move {
        loop {
            let expired = match watch(&shared, &mine).await {
                Ok(expired) => expired,
                Err(_) => {
                    lock(&mine).broken += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    false
                }
            };
            lock(&mine).reconnects += 1;
            if expired {
                let now = loop {
                    match list(&shared).await {
                        Ok(rv) => break rv,
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                };
                let mut log = lock(&mine);
                log.relists += 1;
                log.at = now;
            }
        }
    });
    Ok(log)
}

/// Follows one watch to its end; answers whether it must list again.
async fn watch(shared: &Shared, log: &Watcher) -> Result<bool, String> {
    let mut conn = shared.target.connect().await?;
    let at = lock(log).at;
    let path = format!("{}?watch=1&resourceVersion={at}&allowWatchBookmarks=true", shared.base);
    let answer = conn.start(Call::get(&path, JSON)).await?;
    match answer.status().as_u16() {
        200 => {}
        410 => return Ok(true),
        s => return Err(format!("a watch was answered {s}")),
    }
    let mut body = answer.into_body();
    let mut line = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| e.to_string())?;
        for b in frame.data_ref().into_iter().flatten() {
            if *b != b'\n' {
                line.push(*b);
                continue;
            }
            let e: Value = serde_json::from_slice(&line).map_err(|e| e.to_string())?;
            line.clear();
            let kind = e["type"].as_str().unwrap_or_default().to_owned();
            let object = &e["object"];
            if kind == "ERROR" {
                return if object["code"] == 410 { Ok(true) } else { Err(object["message"].to_string()) };
            }
            let version = version(object);
            let mut log = lock(log);
            log.at = log.at.max(version);
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            // What controllers put there is not ours.
            if kind != "BOOKMARK" && name.starts_with('w') {
                let content = object["data"]["n"].as_str().unwrap_or_default().to_owned();
                log.events.push(Heard { kind, name, version, content });
            }
        }
    }
    Ok(false)
}
