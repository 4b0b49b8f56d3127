//! Workers that take keys from a queue and reconcile them.

use crate::queue::Queue;
use futures::FutureExt;
use runtime::Runtime;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// What a successful reconcile says about its next time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// When something changes.
    Done,
    /// In any case after this time.
    After(Duration),
    /// Again soon, with the growing delay of a failure, but without its log line.
    Again,
}

/// Starts `n` workers. A reconcile that fails is logged, and tried again after a growing delay; a panic counts as a
/// failure. The workers end when the runtime stops.
pub fn run_workers<K, F, Fut, E>(rt: &Runtime, name: &'static str, n: usize, queue: &Queue<K>, reconcile: F)
where
    K: Eq + Hash + Clone + Debug + Send + Sync + 'static,
    F: Fn(K) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Outcome, E>> + Send,
    E: Display + Send,
{
    let reconcile = Arc::new(reconcile);
    for _ in 0..n.max(1) {
        let (queue, reconcile, stop) = (queue.clone(), reconcile.clone(), rt.stop_token());
        rt.spawn(name, async move {
            loop {
                let key = tokio::select! {
                    k = queue.get() => k,
                    () = stop.cancelled() => None,
                };
                let Some(key) = key else { return };
                let call = async { reconcile(key.clone()).await };
                match AssertUnwindSafe(call).catch_unwind().await {
                    Ok(Ok(Outcome::Done)) => queue.forget(&key),
                    Ok(Ok(Outcome::After(d))) => {
                        queue.forget(&key);
                        queue.add_after(key.clone(), d);
                    }
                    Ok(Ok(Outcome::Again)) => queue.add_rate_limited(key.clone()),
                    Ok(Err(e)) => {
                        // One that failed once, mostly by a conflict, is no news.
                        if queue.retries(&key) < 2 {
                            tracing::debug!(controller = name, ?key, "reconciling failed: {e}");
                        } else {
                            tracing::warn!(controller = name, ?key, "reconciling failed: {e}");
                        }
                        queue.add_rate_limited(key.clone());
                    }
                    Err(_) => {
                        tracing::error!(controller = name, ?key, "reconciling panicked");
                        queue.add_rate_limited(key.clone());
                    }
                }
                queue.done(&key);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test(start_paused = true)]
    async fn failures_and_panics_come_again() {
        let rt = Runtime::new();
        let q = Queue::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        run_workers(&rt, "test", 2, &q, move |k: u32| {
            let log = log.clone();
            async move {
                let n = {
                    let mut l = log.lock().unwrap();
                    l.push(k);
                    l.iter().filter(|x| **x == k).count()
                };
                match (k, n) {
                    (1, 1) => Err("once".to_owned()),
                    (2, 1) => panic!("once"),
                    (3, 1) => Ok(Outcome::After(Duration::from_secs(5))),
                    (4, 1) => Ok(Outcome::Again),
                    _ => Ok(Outcome::Done),
                }
            }
        });
        (0..5).for_each(|k| q.add(k));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut got = seen.lock().unwrap().clone();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 1, 2, 2, 3, 3, 4, 4]);
        assert!(rt.shutdown(Duration::from_secs(1)).await);
    }
}
