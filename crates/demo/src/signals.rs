//! Signals of a process that is number 1 of its namespace: end when told to, and let the kernel reap orphans.

#![allow(unsafe_code, reason = "signal masks have no safe interface in std")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static TERMINATING: AtomicBool = AtomicBool::new(false);

/// Whether the end has been asked for.
pub fn terminating() -> bool {
    TERMINATING.load(Ordering::Relaxed)
}

/// Ends the process `after` SIGTERM or SIGINT comes. Call before any thread starts: threads inherit the mask.
pub fn on_terminate(after: Duration) {
    // SAFETY: the set is initialised by sigemptyset before use, lives on this stack, and is only read by sigmask;
    // ignoring SIGCHLD takes no handler.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        set
    };
    std::thread::spawn(move || {
        let mut got = 0;
        // SAFETY: both pointers are to live locals of the right types.
        unsafe { libc::sigwait(&raw const set, &raw mut got) };
        TERMINATING.store(true, Ordering::Relaxed);
        std::thread::sleep(after);
        // Requests that wait for others are answered first.
        for _ in 0..250 {
            if crate::http::in_flight() == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        #[allow(clippy::disallowed_methods, reason = "this thread is the one that ends the process")]
        std::process::exit(0);
    });
}
