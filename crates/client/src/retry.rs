//! Trying again after a conflict (client-go `util/retry`).

use crate::{Backoff, Error};
use std::future::Future;
use std::time::Duration;

/// Runs `f` until it answers anything but a conflict, at most five times. `f` must read the object anew each time.
pub async fn retry_on_conflict<T, F, Fut>(mut f: F) -> Result<T, Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(10)).with_jitter(0.1);
    for _ in 0..4 {
        match f().await {
            Err(e) if e.is_conflict() => tokio::time::sleep(backoff.next()).await,
            other => return other,
        }
    }
    f().await
}
