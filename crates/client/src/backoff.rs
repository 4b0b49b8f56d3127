//! Growing delays between attempts.

use crate::rand;
use std::time::Duration;

/// An exponential delay with jitter; each [`Backoff::next`] is longer than the one before, up to a limit.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    factor: f64,
    jitter: f64,
    current: Option<Duration>,
}

impl Backoff {
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, factor: 2.0, jitter: 1.0, current: None }
    }
    /// How much longer, at most, a delay gets at random: 0 none, 1 up to twice.
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }
    /// The next delay.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Duration {
        let d = match self.current {
            None => self.first,
            Some(d) => d.mul_f64(self.factor).min(self.max),
        };
        self.current = Some(d);
        rand::jitter(d, self.jitter)
    }
    /// Begin again with the first delay.
    pub fn reset(&mut self) {
        self.current = None;
    }
}
