//! Randomness for jitter and event names: nothing here has to be unguessable.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish() | 1);
}

/// The next number of this thread's sequence (xorshift64*, seeded by the process's hash seed).
pub fn next() -> u64 {
    STATE.with(|s| {
        let mut x = s.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        s.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    })
}

/// A number in [0, 1).
pub fn unit() -> f64 {
    (next() >> 11) as f64 / (1u64 << 53) as f64
}

/// A duration between `d` and `d * (1 + factor)`.
pub fn jitter(d: Duration, factor: f64) -> Duration {
    d.mul_f64(1.0 + unit() * factor)
}
