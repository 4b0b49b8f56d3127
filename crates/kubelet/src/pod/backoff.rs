//! Exponential back-off by key, as client-go's `flowcontrol.Backoff`: the first failure is free, then 10 s doubling.

use std::collections::HashMap;

/// Times are nanoseconds since 1970.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: i64,
    max: i64,
    entries: HashMap<String, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    delay: i64,
    updated: i64,
}

const MAX_ENTRIES: usize = 10_000;

impl Backoff {
    pub fn new(initial_seconds: i64, max_seconds: i64) -> Self {
        Self {
            initial: initial_seconds * 1_000_000_000,
            max: max_seconds * 1_000_000_000,
            entries: HashMap::new(),
        }
    }
    /// Forgotten after twice the longest delay without trouble.
    fn expired(&self, event: i64, e: Entry) -> bool {
        event.saturating_sub(e.updated) > 2 * self.max
    }
    /// The time until which a start must wait, counted from the event (a container's end); `None` when it need not.
    pub fn until(&self, key: &str, event: i64, now: i64) -> Option<i64> {
        let e = *self.entries.get(key)?;
        (!self.expired(event, e) && now - event < e.delay).then_some(event + e.delay)
    }
    /// As [`Self::until`], counted from the last failure.
    pub fn until_since_update(&self, key: &str, now: i64) -> Option<i64> {
        let e = *self.entries.get(key)?;
        (!self.expired(now, e) && now - e.updated < e.delay).then_some(e.updated + e.delay)
    }
    pub fn delay_seconds(&self, key: &str) -> i64 {
        self.entries.get(key).map_or(0, |e| e.delay / 1_000_000_000)
    }
    /// One more failure.
    pub fn next(&mut self, key: &str, event: i64, now: i64) {
        let delay = match self.entries.get(key) {
            Some(e) if !self.expired(event, *e) => (e.delay * 2).min(self.max),
            _ => self.initial.min(self.max),
        };
        if self.entries.len() >= MAX_ENTRIES {
            self.collect(now);
        }
        self.entries.insert(key.to_owned(), Entry { delay, updated: now });
    }
    pub fn forget(&mut self, prefix: &str) {
        self.entries.retain(|k, _| !k.starts_with(prefix));
    }
    pub fn collect(&mut self, now: i64) {
        let max = self.max;
        self.entries.retain(|_, e| now.saturating_sub(e.updated) <= 2 * max);
    }
}

/// A delay as Go prints durations of whole seconds: `10s`, `1m20s`, `5m0s`.
pub fn go_seconds(s: i64) -> String {
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    match (h, m) {
        (0, 0) => format!("{s}s"),
        (0, _) => format!("{m}m{s}s"),
        _ => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const S: i64 = 1_000_000_000;

    #[test]
    fn doubles_to_the_cap_and_forgets() {
        let mut b = Backoff::new(10, 300);
        assert_eq!(b.until("k", 100 * S, 100 * S), None, "the first failure is free");
        let mut seen = vec![];
        let mut now = 100 * S;
        for _ in 0..7 {
            b.next("k", now, now);
            seen.push(go_seconds(b.delay_seconds("k")));
            now += 300 * S;
        }
        assert_eq!(seen, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
        let end = now;
        b.next("k", end, end);
        assert_eq!(b.until("k", end, end + S), Some(end + 300 * S));
        assert_eq!(b.until("k", end, end + 300 * S), None);
        let later = end + 601 * S;
        assert_eq!(b.until("k", later, later), None, "ten quiet minutes forget it");
        b.next("k", later, later);
        assert_eq!(b.delay_seconds("k"), 10);
    }
}
