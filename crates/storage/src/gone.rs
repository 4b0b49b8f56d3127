//! Whether the one for whom a write is made still waits for it.
//!
//! An API server brings a write to its end when its client goes away. A store elsewhere may have to try for a long time,
//! and by then the client has asked another server for the same: what has not happened until then must not any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

tokio::task_local! {
    static GONE: Arc<AtomicBool>;
}

/// Held by the one who waits; dropped when that one goes away, or has the answer.
#[derive(Debug, Default)]
pub struct Waiting(Arc<AtomicBool>);

impl Waiting {
    /// Work done for the one who waits.
    pub fn work<F: Future>(&self, f: F) -> impl Future<Output = F::Output> + use<F> {
        GONE.scope(self.0.clone(), f)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Whether the work at hand is for somebody who has gone away.
pub fn gone() -> bool {
    GONE.try_with(|g| g.load(Ordering::Acquire)).unwrap_or(false)
}
