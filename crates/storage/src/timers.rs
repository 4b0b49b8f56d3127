//! What happens by itself: leases end, old history goes. Both sleep until something makes them necessary.

use crate::{Embedded, Error, Revision, Storage};
use mvcc::Millis;
use runtime::Clock;
use std::sync::Weak;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// After a refusal of the disk, how long until the next try.
const RETRY: Duration = Duration::from_secs(5);
/// Timers cannot be set for the far future; in between it is looked again.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// Revokes leases when they end.
pub async fn leases(store: Weak<Embedded>, clock: Clock, mut next: watch::Receiver<Option<Millis>>) {
    loop {
        let deadline = *next.borrow_and_update();
        let Some(deadline) = deadline else {
            if next.changed().await.is_err() {
                return;
            }
            continue;
        };
        let now = clock.steady_nanos() / 1_000_000;
        let left = Duration::from_millis(u64::try_from(deadline.saturating_sub(now)).unwrap_or(0));
        tokio::select! {
            () = sleep(left.min(LONGEST)) => {}
            c = next.changed() => {
                if c.is_err() {
                    return;
                }
                continue;
            }
        }
        if left > LONGEST {
            continue;
        }
        let Some(s) = store.upgrade() else { return };
        // The sleep says that the time is over, whatever a clock says.
        let now = deadline.max(clock.steady_nanos() / 1_000_000);
        match s.expire(now).await {
            Ok(_) => {}
            Err(Error::Closed) => return,
            Err(e) => {
                drop(s);
                tracing::debug!(error = %e, "ending leases");
                sleep(RETRY).await;
            }
        }
    }
}

/// Every `every`, compacts to what was the newest revision the time before, as long as something is written.
pub async fn compaction(store: Weak<Embedded>, every: Duration, mut revision: watch::Receiver<Revision>) {
    let mut mark = *revision.borrow_and_update();
    loop {
        sleep(every).await;
        let Some(s) = store.upgrade() else { return };
        let state = s.state();
        if mark > state.floor() {
            match s.compact(mark).await {
                Ok(()) => tracing::debug!(revision = mark, "history compacted"),
                Err(Error::Closed) => return,
                Err(e) => tracing::warn!(error = %e, revision = mark, "compacting the history"),
            }
        }
        drop((s, state));
        let now = *revision.borrow_and_update();
        if now == mark && revision.changed().await.is_err() {
            return;
        }
        mark = *revision.borrow_and_update();
    }
}
