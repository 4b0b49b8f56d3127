//! The wall clock, as a value that tests can replace.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Tells the time. Cheap to clone. Timers are tokio's, which tests pause.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    fixed_nanos: Option<Arc<AtomicI64>>,
}

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }
    /// A clock that stands still until [`Clock::advance`].
    pub fn fixed(unix_nanos: i64) -> Self {
        Self { fixed_nanos: Some(Arc::new(AtomicI64::new(unix_nanos))) }
    }
    /// Moves a fixed clock; nothing on the system clock.
    pub fn advance(&self, by: Duration) {
        if let Some(n) = &self.fixed_nanos {
            n.fetch_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
    pub fn unix_nanos(&self) -> i64 {
        match &self.fixed_nanos {
            Some(n) => n.load(Ordering::SeqCst),
            None => system_nanos(),
        }
    }
    /// The time as it was when first asked for, and what has passed since: whoever sets the wall clock does not move
    /// it. For what must last as long as was said; two processes may differ.
    pub fn steady_nanos(&self) -> i64 {
        match &self.fixed_nanos {
            Some(n) => n.load(Ordering::SeqCst),
            None => steady_nanos(),
        }
    }
    pub fn unix_seconds(&self) -> i64 {
        self.unix_nanos().div_euclid(1_000_000_000)
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
fn steady_nanos() -> i64 {
    static BEGUN: OnceLock<(i64, Instant)> = OnceLock::new();
    let (then, at) = BEGUN.get_or_init(|| (system_nanos(), Instant::now()));
    then.saturating_add(i64::try_from(at.elapsed().as_nanos()).unwrap_or(i64::MAX))
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads clocks")]
fn system_nanos() -> i64 {
    let d = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}
