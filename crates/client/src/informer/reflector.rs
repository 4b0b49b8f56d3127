//! Keeps one cache current: list, then watch, and list again when the watch cannot go on (client-go
//! `tools/cache/reflector.go`).

use super::store::Shared;
use crate::Backoff;
use crate::raw::{Error, ListWatch, RawEvent, Transport};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Trouble longer ago than this is forgotten.
const CALM: Duration = Duration::from_secs(120);

/// Why a watch ended.
enum End {
    /// It ran its time, or was cut: go on from the last version.
    Closed,
    /// The versions after ours are gone: list again.
    Expired,
}

/// Runs until dropped.
pub async fn run(transport: Arc<dyn Transport>, what: ListWatch, shared: Arc<Shared>) {
    let mut backoff = Backoff::new(Duration::from_millis(800), Duration::from_secs(30));
    let mut trouble = Instant::now();
    loop {
        match transport.list(what.clone()).await {
            Ok(list) => {
                let rv = list.resource_version;
                shared.replace(rv, list.items);
                watch(&*transport, &what, &shared, rv, &mut backoff).await;
                tracing::debug!(resource = what.resource, "listing again");
                // A store whose history is short must not be listed in a loop.
                tokio::time::sleep(backoff.next()).await;
            }
            Err(e) => {
                if trouble.elapsed() > CALM {
                    backoff.reset();
                }
                trouble = Instant::now();
                tracing::warn!(resource = what.resource, group = what.group, "failed to list: {e}");
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Watches on from `rv` until it takes a new list.
async fn watch(t: &dyn Transport, what: &ListWatch, shared: &Shared, mut rv: u64, backoff: &mut Backoff) {
    loop {
        let begun = Instant::now();
        let from = rv;
        let end = match t.watch(what.clone(), rv).await {
            Ok(mut stream) => loop {
                match stream.next().await {
                    None => break Ok(End::Closed),
                    Some(Err(e)) => break Err(e),
                    Some(Ok(e)) => match apply(shared, e, &mut rv) {
                        Ok(None) => {}
                        Ok(Some(end)) => break Ok(end),
                        Err(e) => break Err(e),
                    },
                }
            },
            Err(e) => Err(e),
        };
        if begun.elapsed() > CALM {
            backoff.reset();
        }
        match end {
            Ok(End::Expired) => return,
            // A watch that ran and ended; one that ended at once, without an event, must not spin.
            Ok(End::Closed) if rv > from || begun.elapsed() > Duration::from_secs(1) => {}
            Ok(End::Closed) => tokio::time::sleep(backoff.next()).await,
            Err(e) if expired(&e) => return,
            Err(e) => {
                let wait = backoff.next();
                tracing::debug!(resource = what.resource, group = what.group, ?wait, "watch failed: {e}");
                // The resource may be gone altogether (a custom one): only a list will tell.
                if e.is_not_found() {
                    tokio::time::sleep(wait).await;
                    return;
                }
                tokio::time::sleep(wait).await;
            }
        }
    }
}

fn expired(e: &Error) -> bool {
    e.is(meta::Reason::Expired) || e.is(meta::Reason::Gone) || e.status().is_some_and(|s| s.code == 410)
}

fn apply(shared: &Shared, e: RawEvent, rv: &mut u64) -> Result<Option<End>, Error> {
    match e {
        RawEvent::Added(o) | RawEvent::Modified(o) => {
            *rv = o.resource_version.max(*rv);
            shared.put(o);
        }
        RawEvent::Deleted(o) => {
            *rv = o.resource_version.max(*rv);
            shared.delete(o);
        }
        RawEvent::Bookmark(to) => {
            *rv = to.max(*rv);
            shared.set_revision(to);
        }
        RawEvent::Error(s) => {
            let e = Error::Status(s);
            return if expired(&e) { Ok(Some(End::Expired)) } else { Err(e) };
        }
    }
    Ok(None)
}
