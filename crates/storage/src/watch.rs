//! Watching: groups of watchers by prefix, each with one queue of shared batches that its members read at their own pace.
//!
//! A write finds the groups it concerns by the prefixes of its key, so that it wakes nobody else. A watcher that
//! starts in the past reads the history of the published state first, and joins its group when it has caught up. A
//! batch leaves a group's queue when its last reader has taken it, or when the queue is too long: then those who had
//! not taken it are behind too far.

use crate::writer::Published;
use crate::{Error, Event, Revision, Watch, WatchItem};
use arc_swap::ArcSwap;
use mvcc::{KeyRange, State};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::watch;

/// Events that a watcher who catches up looks at before it lets others run.
const CATCH_UP_STEP: usize = 2048;

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All groups.
pub struct Hub {
    groups: Mutex<Groups>,
    /// Every event up to this revision is in the queues.
    dispatched: AtomicI64,
    /// Follows `dispatched`.
    told: watch::Sender<Revision>,
    /// Events that one queue holds at most.
    backlog: usize,
}

#[derive(Default)]
struct Groups {
    by_prefix: BTreeMap<Arc<[u8]>, Arc<Group>>,
    closed: bool,
}

struct Group {
    prefix: Arc<[u8]>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// The number of the first batch; they are counted from the group's beginning.
    first: u64,
    batches: VecDeque<Batch>,
    events: usize,
    members: usize,
    closed: bool,
    /// Who is woken when the queue changes.
    asleep: Vec<Waker>,
    /// How often they were.
    woken: u64,
}

struct Batch {
    events: Arc<[Event]>,
    unread: usize,
}

/// Where a member sleeps: its place among those who are to be woken for this time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bed {
    woken: u64,
    at: usize,
}

/// Wakes all who sleep at a queue. Takes the lock, so that nobody who wakes has to wait for it.
fn wake(mut q: MutexGuard<'_, Queue>) {
    let asleep = std::mem::take(&mut q.asleep);
    q.woken += 1;
    drop(q);
    asleep.into_iter().for_each(Waker::wake);
}

impl Queue {
    /// Has `waker` called at the next change.
    fn sleep(&mut self, bed: &mut Option<Bed>, waker: &Waker) {
        let mine = bed.filter(|b| b.woken == self.woken).and_then(|b| self.asleep.get_mut(b.at));
        match mine {
            Some(w) => w.clone_from(waker),
            None => {
                *bed = Some(Bed { woken: self.woken, at: self.asleep.len() });
                self.asleep.push(waker.clone());
            }
        }
    }
    fn end(&self) -> u64 {
        self.first + self.batches.len() as u64
    }
    fn pop(&mut self) {
        if let Some(b) = self.batches.pop_front() {
            self.first += 1;
            self.events -= b.events.len();
        }
    }
    fn push(&mut self, events: Arc<[Event]>, backlog: usize) {
        self.events += events.len();
        self.batches.push_back(Batch { events, unread: self.members });
        while self.events > backlog && self.batches.len() > 1 {
            self.pop();
        }
    }
    /// One member has taken the batch with this number.
    fn took(&mut self, n: u64) {
        if let Some(b) = n.checked_sub(self.first).and_then(|i| self.batches.get_mut(i as usize)) {
            b.unread -= 1;
        }
        while self.batches.front().is_some_and(|b| b.unread == 0) {
            self.pop();
        }
    }
}

/// The groups whose prefix the key begins with, longest first.
fn concerned<'a>(
    groups: &'a BTreeMap<Arc<[u8]>, Arc<Group>>,
    key: &'a [u8],
) -> impl Iterator<Item = &'a Arc<Group>> + 'a {
    let mut bound = Some(key);
    std::iter::from_fn(move || {
        while let Some(b) = bound {
            let below = (Bound::Unbounded, Bound::Included(b));
            let Some((p, g)) = groups.range::<[u8], _>(below).next_back() else { break };
            let common = p.iter().zip(key).take_while(|(a, b)| a == b).count();
            if common == p.len() {
                bound = common.checked_sub(1).map(|n| &key[..n]);
                return Some(g);
            }
            // Whatever lies between `p` and the bound is no prefix of the key; shorter ones may be.
            bound = Some(&key[..common]);
        }
        bound = None;
        None
    })
}

impl Hub {
    pub fn new(dispatched: Revision, backlog: usize) -> Arc<Self> {
        Arc::new(Self {
            groups: Mutex::default(),
            dispatched: AtomicI64::new(dispatched),
            told: watch::channel(dispatched).0,
            backlog,
        })
    }

    /// Hands the events of revisions up to `revision`, in order, to those who wait for them.
    pub fn dispatch(&self, batches: &[Arc<[Event]>], revision: Revision) {
        let groups = lock(&self.groups);
        if let [one] = batches
            && let [event] = &one[..]
        {
            for g in concerned(&groups.by_prefix, event.record.key.as_bytes()) {
                self.push(g, one.clone());
            }
        } else if !groups.by_prefix.is_empty() {
            let mut per_group: HashMap<&[u8], (&Arc<Group>, Vec<Event>)> = HashMap::new();
            for e in batches.iter().flat_map(|b| b.iter()) {
                for g in concerned(&groups.by_prefix, e.record.key.as_bytes()) {
                    per_group.entry(&g.prefix).or_insert_with(|| (g, Vec::new())).1.push(e.clone());
                }
            }
            for (g, events) in per_group.into_values() {
                self.push(g, events.into());
            }
        }
        self.dispatched.store(revision, Ordering::Release);
        drop(groups);
        self.told.send_replace(revision);
    }

    /// Waits until every event up to a revision is in the queues; `false` when that cannot be any more.
    pub async fn dispatched(&self, revision: Revision) -> bool {
        let mut told = self.told.subscribe();
        told.wait_for(|r| *r >= revision).await.is_ok_and(|r| *r != Revision::MAX)
    }

    fn push(&self, g: &Group, events: Arc<[Event]>) {
        let mut q = lock(&g.queue);
        q.push(events, self.backlog);
        wake(q);
    }

    /// Leaves all who wait behind: what they would have been told next is not known.
    pub fn lag(&self) {
        let groups = lock(&self.groups);
        for g in groups.by_prefix.values() {
            let mut q = lock(&g.queue);
            q.first = q.end() + 1;
            q.batches.clear();
            q.events = 0;
            wake(q);
        }
    }

    /// Ends all watches, now and later.
    pub fn close(&self) {
        let mut groups = lock(&self.groups);
        groups.closed = true;
        for g in groups.by_prefix.values() {
            let mut q = lock(&g.queue);
            q.closed = true;
            wake(q);
        }
        drop(groups);
        self.told.send_replace(Revision::MAX);
    }

    /// Number of groups and of watchers in them.
    pub fn size(&self) -> (usize, usize) {
        let groups = lock(&self.groups);
        let members = groups.by_prefix.values().map(|g| lock(&g.queue).members).sum();
        (groups.by_prefix.len(), members)
    }

    /// Joins the group of a prefix if nothing later than `after` was dispatched before.
    fn join(&self, prefix: &[u8], after: Revision) -> Join {
        let mut groups = lock(&self.groups);
        if groups.closed {
            return Join::Closed;
        }
        if self.dispatched.load(Ordering::Acquire) > after {
            return Join::Behind;
        }
        let g = match groups.by_prefix.get(prefix) {
            Some(g) => g.clone(),
            None => {
                let prefix: Arc<[u8]> = prefix.into();
                let g = Arc::new(Group { prefix: prefix.clone(), queue: Mutex::default() });
                groups.by_prefix.insert(prefix, g.clone());
                g
            }
        };
        let mut q = lock(&g.queue);
        q.members += 1;
        let next = q.end();
        drop(q);
        Join::Member(Member { group: g, next, bed: None })
    }

    fn leave(&self, m: &Member) {
        let mut groups = lock(&self.groups);
        let mut q = lock(&m.group.queue);
        q.members -= 1;
        let gone = q.members == 0;
        for n in m.next.max(q.first)..q.end() {
            q.took(n);
        }
        drop(q);
        if gone {
            groups.by_prefix.remove(&m.group.prefix);
        }
    }
}

enum Join {
    Member(Member),
    Behind,
    Closed,
}

/// A watcher's place in its group.
struct Member {
    group: Arc<Group>,
    /// The batch to take next.
    next: u64,
    bed: Option<Bed>,
}

enum Place {
    History,
    Live(Member),
    Ended,
}

/// A cursor over the events of a range of keys. Dropping it leaves the group.
pub struct Watcher {
    hub: Arc<Hub>,
    published: Arc<ArcSwap<Published>>,
    keys: KeyRange,
    /// The group holds exactly the range: nothing to filter.
    exact: bool,
    /// Each event must come with what it superseded, which the changes of the floor's revision have lost.
    whole: bool,
    /// Events up to this revision are not wanted, or were delivered.
    after: Revision,
    /// Nothing is missing up to here; less than `after` for a watch that begins in the future.
    seen: Revision,
    place: Place,
}

fn check(s: &State, after: Revision, whole: bool) -> Result<(), Error> {
    if whole && after < s.floor() {
        return Err(Error::Compacted { asked: after + 1, floor: s.floor() });
    }
    Ok(s.check_after(after)?)
}

impl Watcher {
    pub fn new(
        hub: Arc<Hub>,
        published: Arc<ArcSwap<Published>>,
        keys: KeyRange,
        after: Revision,
        whole: bool,
    ) -> Result<Self, Error> {
        let now = published.load();
        check(&now.state, after, whole)?;
        let seen = after.min(now.state.revision());
        drop(now);
        let exact = keys.is_prefix();
        let mut w = Self { hub, published, keys, exact, whole, after, seen, place: Place::History };
        w.try_join();
        Ok(w)
    }

    /// Whether it became a member, or the store is closed.
    fn try_join(&mut self) -> bool {
        match self.hub.join(self.keys.common_prefix(), self.after) {
            Join::Member(m) => self.place = Place::Live(m),
            Join::Closed => self.place = Place::Ended,
            Join::Behind => return false,
        }
        true
    }

    /// Whether an event out of the group's queue is for this watcher.
    fn wants(&self, e: &Event) -> bool {
        e.record.mod_revision > self.after && (self.exact || self.keys.contains(e.record.key.as_bytes()))
    }

    fn deliver(&mut self, events: Arc<[Event]>) -> Option<WatchItem> {
        let all = events.iter().all(|e| self.wants(e));
        let events = if all { events } else { events.iter().filter(|e| self.wants(e)).cloned().collect() };
        let last = events.last()?.record.mod_revision;
        self.after = last;
        self.seen = self.seen.max(last);
        Some(WatchItem::Events(events))
    }

    /// A step through the history; `Ok(None)` when there is nothing to deliver from it yet.
    fn step(&mut self) -> Result<Option<WatchItem>, Error> {
        let now = self.published.load_full();
        check(&now.state, self.after, self.whole)?;
        let mut hits = Vec::new();
        let mut looked = 0;
        let mut last = None;
        for batch in now.state.batches_after(self.after)? {
            hits.extend(batch.iter().filter(|e| self.keys.contains(e.record.key.as_bytes())).cloned());
            looked += batch.len();
            last = batch.first().map(|e| e.record.mod_revision);
            if looked >= CATCH_UP_STEP {
                break;
            }
        }
        if let Some(last) = last {
            self.after = self.after.max(last);
            self.seen = self.seen.max(last);
        }
        Ok((!hits.is_empty()).then(|| WatchItem::Events(hits.into())))
    }

    /// As [`Watch::next`].
    pub async fn next_item(&mut self) -> Option<WatchItem> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        loop {
            match &mut self.place {
                Place::Ended => return Poll::Ready(None),
                Place::History => match self.step() {
                    Err(_) => {
                        self.place = Place::Ended;
                        return Poll::Ready(Some(WatchItem::Lagged));
                    }
                    Ok(Some(item)) => return Poll::Ready(Some(item)),
                    Ok(None) => {
                        if !self.try_join() {
                            // Others shall run, then it goes on.
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        if let Place::Live(_) = &self.place {
                            return Poll::Ready(Some(WatchItem::Progress(self.seen)));
                        }
                    }
                },
                Place::Live(m) => {
                    let taken = {
                        let mut q = lock(&m.group.queue);
                        if q.closed {
                            None
                        } else if m.next < q.first {
                            Some(Err(()))
                        } else {
                            let b = q.batches.get((m.next - q.first) as usize).map(|b| b.events.clone());
                            if b.is_some() {
                                q.took(m.next);
                                m.next += 1;
                            } else {
                                q.sleep(&mut m.bed, cx.waker());
                            }
                            Some(Ok(b))
                        }
                    };
                    match taken {
                        None => {
                            self.end();
                            return Poll::Ready(None);
                        }
                        Some(Err(())) => {
                            self.end();
                            return Poll::Ready(Some(WatchItem::Lagged));
                        }
                        Some(Ok(Some(events))) => {
                            if let Some(item) = self.deliver(events) {
                                return Poll::Ready(Some(item));
                            }
                        }
                        Some(Ok(None)) => return Poll::Pending,
                    }
                }
            }
        }
    }

    fn end(&mut self) {
        if let Place::Live(m) = std::mem::replace(&mut self.place, Place::Ended) {
            self.hub.leave(&m);
        }
    }
}

impl Watch for Watcher {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        self.poll_item(cx)
    }

    fn progress(&self) -> Revision {
        let Place::Live(m) = &self.place else { return self.seen };
        // In this order: what was dispatched is in the queue before its revision is told.
        let dispatched = self.hub.dispatched.load(Ordering::Acquire);
        if lock(&m.group.queue).end() == m.next { self.seen.max(dispatched) } else { self.seen }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
