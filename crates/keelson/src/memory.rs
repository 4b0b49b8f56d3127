//! Memory that is free again goes back to the system. What one thread took and another freed (a watch's events, a record
//! that a compaction gave up) only the first can give back, and an idle one never comes to it by itself.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often a thread looks, at most.
const EVERY: Duration = Duration::from_secs(10);

// SAFETY: declared as in mimalloc.h.
#[allow(unsafe_code, reason = "a call into the allocator; see SAFETY")]
unsafe extern "C" {
    /// Gives back the calling thread's free memory (mimalloc, this program's allocator).
    fn mi_collect(force: bool);
}

/// For a thread that has nothing to do.
pub fn give_back() {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    #[allow(clippy::disallowed_methods, reason = "housekeeping of the thread, outside of all components")]
    let now = Instant::now();
    let due = LAST.get().is_some_and(|l| now.duration_since(l) >= EVERY);
    if due || LAST.get().is_none() {
        LAST.set(Some(now));
    }
    if due {
        // SAFETY: it concerns free memory only, and may be called at any time.
        #[allow(unsafe_code, reason = "a call into the allocator; see SAFETY")]
        unsafe {
            mi_collect(false);
        }
    }
}
