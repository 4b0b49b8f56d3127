//! Memory that is free again goes back to the system. What one thread took and another freed (a watch's events, a record
//! that a compaction gave up) the allocator returns later, when somebody calls it again; in a server that has become idle
//! nobody does.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How often a thread looks, at most.
const EVERY: Duration = Duration::from_secs(10);
/// From something that was done until all free memory is given back.
const AFTER: Duration = Duration::from_secs(15);

/// Something was done since free memory was given back.
static USED: AtomicBool = AtomicBool::new(false);

// SAFETY: declared as in mimalloc.h.
#[allow(unsafe_code, reason = "a call into the allocator; see SAFETY")]
unsafe extern "C" {
    /// Gives back the calling thread's free memory, and with `force` what belongs to no thread (mimalloc, this program's
    /// allocator).
    fn mi_collect(force: bool);
}

fn collect(force: bool) {
    // SAFETY: it concerns free memory only, and may be called at any time.
    #[allow(unsafe_code, reason = "a call into the allocator; see SAFETY")]
    unsafe {
        mi_collect(force);
    }
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
        collect(false);
    }
    if !USED.load(Ordering::Relaxed) && !USED.swap(true, Ordering::AcqRel) {
        wake_keeper();
    }
}

/// The one thread that gives back what all have freed, a while after something was done, and otherwise sleeps.
fn wake_keeper() {
    static KEEPER: OnceLock<Option<Thread>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let started = std::thread::Builder::new().name("memory".into()).stack_size(64 << 10).spawn(|| {
            loop {
                while !USED.load(Ordering::Acquire) {
                    std::thread::park();
                }
                std::thread::sleep(AFTER);
                USED.store(false, Ordering::Release);
                collect(true);
            }
        });
        // Without it memory comes back later, and that is all.
        started.ok().map(|t| t.thread().clone())
    });
    if let Some(k) = keeper {
        k.unpark();
    }
}
