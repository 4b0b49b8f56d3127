//! `--auto-compaction-mode=revision`: keeps so many revisions, looked at every five minutes while something is written.

use std::sync::Weak;
use std::time::Duration;
use storage::{Embedded, Error, Storage};

const EVERY: Duration = Duration::from_secs(300);

pub async fn by_revision(store: Weak<Embedded>, keep: i64) {
    let Some(mut revisions) = store.upgrade().map(|s| s.revisions()) else { return };
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(s) = store.upgrade() else { return };
        let now = *revisions.borrow_and_update();
        let to = now - keep;
        if to > s.state().floor().max(1) {
            match s.compact(to).await {
                Ok(()) => tracing::info!(revision = to, "history compacted"),
                Err(Error::Closed) => return,
                Err(e) => tracing::warn!(error = %e, revision = to, "compacting the history"),
            }
        }
        drop(s);
        if revisions.changed().await.is_err() {
            return;
        }
    }
}
