//! Times of the API: RFC 3339 in whole seconds (`Time`) and microseconds (`MicroTime`), and how ages are printed.

/// Seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanos: u32,
}

impl Timestamp {
    pub fn parse(_s: &str) -> Option<Self> {
        todo!()
    }
    /// `2026-01-02T15:04:05Z`
    pub fn rfc3339(&self) -> String {
        todo!()
    }
    /// `2026-01-02T15:04:05.000000Z`
    pub fn rfc3339_micro(&self) -> String {
        todo!()
    }
    #[must_use]
    pub fn plus_seconds(&self, s: i64) -> Self {
        Self { seconds: self.seconds + s, nanos: self.nanos }
    }
    /// Whole seconds from `earlier` to self.
    pub fn seconds_since(&self, earlier: &Self) -> i64 {
        self.seconds - earlier.seconds
    }
}

/// A duration in seconds as `kubectl get` prints it: `5s`, `3m10s`, `2d5h`
/// (apimachinery `pkg/util/duration.HumanDuration`).
pub fn human_duration(_seconds: i64) -> String {
    todo!()
}
