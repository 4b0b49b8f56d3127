//! The work queue of a controller: keys, each handed out to one worker at a time, delayed and rate limited
//! (client-go `util/workqueue`).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

const BASE: Duration = Duration::from_millis(5);
const MAX: Duration = Duration::from_secs(1000);
/// The overall bucket: rate-limited adds a second, and how many may come at once.
const RATE: f64 = 10.0;
const BURST: f64 = 100.0;

/// A queue of keys. Cheap to clone; clones are the same queue.
pub struct Queue<K>(Arc<Inner<K>>);

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<K> {
    state: Mutex<State<K>>,
    woken: Notify,
    base: Duration,
    max: Duration,
}

struct State<K> {
    ready: VecDeque<K>,
    /// Waiting to be worked on: in `ready`, or being worked on and wanted again.
    dirty: HashSet<K>,
    working: HashSet<K>,
    delayed: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    seq: u64,
    failures: HashMap<K, u32>,
    tokens: f64,
    refilled: Instant,
    closed: bool,
}

impl<K: Eq + Hash + Clone> Default for Queue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash + Clone> Queue<K> {
    /// With upstream's controller defaults: 5 ms doubling up to 1000 s a key, and 10 a second overall.
    pub fn new() -> Self {
        Self::with_limits(BASE, MAX)
    }
    /// With other limits on the delay of a failing key.
    pub fn with_limits(base: Duration, max: Duration) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                dirty: HashSet::new(),
                working: HashSet::new(),
                delayed: BTreeMap::new(),
                due: HashMap::new(),
                seq: 0,
                failures: HashMap::new(),
                tokens: BURST,
                refilled: Instant::now(),
                closed: false,
            }),
            woken: Notify::new(),
            base,
            max,
        }))
    }
    fn with<T>(&self, f: impl FnOnce(&mut State<K>) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// Adds a key, unless it waits already.
    pub fn add(&self, key: K) {
        if self.with(|s| s.add(key)) {
            self.0.woken.notify_one();
        }
    }
    /// Adds a key later. Of several delays of one key the shortest counts.
    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            self.add(key);
        } else if self.with(|s| s.add_at(key, Instant::now() + delay)) {
            self.0.woken.notify_one();
        }
    }
    /// Adds a key after its own growing delay, which [`Queue::forget`] ends.
    pub fn add_rate_limited(&self, key: K) {
        let delay = self.with(|s| {
            let n = s.failures.entry(key.clone()).or_insert(0);
            let own = self.0.base.mul_f64(2f64.powi((*n).min(40) as i32)).min(self.0.max);
            *n = n.saturating_add(1);
            own.max(s.reserve(Instant::now()))
        });
        self.add_after(key, delay);
    }
    /// Ends the growing delay of a key.
    pub fn forget(&self, key: &K) {
        self.with(|s| s.failures.remove(key));
    }
    /// How often a key was added with a rate limit since it was last forgotten.
    pub fn retries(&self, key: &K) -> u32 {
        self.with(|s| s.failures.get(key).copied().unwrap_or(0))
    }
    /// Keys that wait, not counting delayed ones.
    pub fn len(&self) -> usize {
        self.with(|s| s.ready.len())
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Takes the next key, which is then this worker's until [`Queue::done`]; `None` once the queue is closed. May be
    /// dropped while it waits.
    pub async fn get(&self) -> Option<K> {
        loop {
            let wait = self.with(|s| {
                s.promote(Instant::now());
                if let Some(key) = s.ready.pop_front() {
                    s.dirty.remove(&key);
                    s.working.insert(key.clone());
                    // Somebody else has to look after what is left.
                    let more = !s.ready.is_empty() || !s.delayed.is_empty();
                    return Ok((key, more));
                }
                Err(if s.closed { None } else { Some(s.delayed.keys().next().map(|(at, _)| *at)) })
            });
            match wait {
                Ok((key, more)) => {
                    if more {
                        self.0.woken.notify_one();
                    }
                    return Some(key);
                }
                Err(None) => {
                    self.0.woken.notify_one();
                    return None;
                }
                Err(Some(None)) => self.0.woken.notified().await,
                Err(Some(Some(at))) => {
                    tokio::select! {
                        () = self.0.woken.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
            }
        }
    }
    /// Gives a key back; if it was added meanwhile, it waits again.
    pub fn done(&self, key: &K) {
        let again = self.with(|s| {
            s.working.remove(key);
            let again = s.dirty.contains(key);
            if again {
                s.ready.push_back(key.clone());
            }
            again
        });
        if again {
            self.0.woken.notify_one();
        }
    }
    /// Nothing more is taken in; what waits is still handed out.
    pub fn close(&self) {
        self.with(|s| {
            s.closed = true;
            s.delayed.clear();
            s.due.clear();
        });
        self.0.woken.notify_one();
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    /// Answers whether a worker has something to do.
    fn add(&mut self, key: K) -> bool {
        if self.closed || !self.dirty.insert(key.clone()) {
            return false;
        }
        if self.working.contains(&key) {
            return false;
        }
        self.ready.push_back(key);
        true
    }
    /// Answers whether the first due time changed.
    fn add_at(&mut self, key: K, at: Instant) -> bool {
        if self.closed {
            return false;
        }
        if let Some(old) = self.due.get(&key).copied() {
            if old.0 <= at {
                return false;
            }
            self.delayed.remove(&old);
        }
        self.seq += 1;
        let place = (at, self.seq);
        self.due.insert(key.clone(), place);
        self.delayed.insert(place, key);
        self.delayed.keys().next() == Some(&place)
    }
    fn promote(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now {
                return;
            }
            let key = first.remove();
            self.due.remove(&key);
            self.add(key);
        }
    }
    /// Takes a token from the bucket; answers how long to wait for it.
    fn reserve(&mut self, now: Instant) -> Duration {
        let refill = now.saturating_duration_since(self.refilled).as_secs_f64() * RATE;
        self.tokens = (self.tokens + refill).min(BURST) - 1.0;
        self.refilled = now;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / RATE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_is_worked_on_once() {
        let q = Queue::new();
        q.add("a");
        q.add("a");
        q.add("b");
        assert_eq!(q.get().await, Some("a"));
        q.add("a");
        q.add("a");
        assert_eq!(q.get().await, Some("b"));
        assert!(tokio::time::timeout(S, q.get()).await.is_err(), "a is in flight");
        q.done(&"a");
        assert_eq!(q.get().await, Some("a"));
        q.done(&"a");
        q.done(&"b");
        assert!(tokio::time::timeout(S, q.get()).await.is_err());
        q.close();
        assert_eq!(q.get().await, None);
        assert_eq!(q.get().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn delays() {
        let q = Queue::new();
        let t0 = Instant::now();
        q.add_after("late", 10 * S);
        q.add_after("soon", 2 * S);
        q.add_after("late", 5 * S);
        q.add_after("late", 7 * S);
        assert_eq!(q.get().await, Some("soon"));
        assert_eq!(t0.elapsed().as_secs(), 2);
        assert_eq!(q.get().await, Some("late"));
        assert_eq!(t0.elapsed().as_secs(), 5);
        q.done(&"late");
        assert!(tokio::time::timeout(20 * S, q.get()).await.is_err(), "late was due once");
    }

    #[tokio::test(start_paused = true)]
    async fn failing_keys_wait_longer() {
        let q = Queue::new();
        let mut waits = Vec::new();
        for _ in 0..20 {
            let t = Instant::now();
            q.add_rate_limited("k");
            q.get().await;
            q.done(&"k");
            waits.push(t.elapsed().as_millis());
        }
        assert_eq!(waits[..4], [5, 10, 20, 40]);
        assert_eq!(waits[19], 1_000_000);
        assert_eq!(q.retries(&"k"), 20);
        q.forget(&"k");
        let t = Instant::now();
        q.add_rate_limited("k");
        q.get().await;
        assert_eq!(t.elapsed().as_millis(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bucket_limits_all_keys() {
        let q = Queue::new();
        let t = Instant::now();
        for i in 0..150 {
            q.add_rate_limited(i);
        }
        for _ in 0..150 {
            q.get().await;
        }
        assert_eq!(t.elapsed().as_millis(), 5000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_key_reaches_a_waiting_worker_while_another_is_busy() {
        let q = Queue::new();
        q.add("now");
        let (a, b) = (q.clone(), q.clone());
        let (first, second) = tokio::join!(a.get(), async {
            tokio::task::yield_now().await;
            q.add_after("later", S);
            b.get().await
        });
        assert_eq!((first, second), (Some("now"), Some("later")));
    }
}
