//! Change events for one subscriber. What it has not taken yet is merged by key, so memory is bounded by the number of
//! objects, and nothing is lost: the states before and after are always right, and an object that came and went is told.

use super::{Key, RawInformer};
use crate::raw::RawObject;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What happened to an object since the subscriber last heard of it.
#[derive(Clone)]
pub enum Event {
    Added(RawObject),
    Updated { old: RawObject, new: RawObject },
    Deleted(RawObject),
}

impl Event {
    /// The newest state, or the last one of a deleted object.
    pub fn object(&self) -> &RawObject {
        match self {
            Self::Added(o) | Self::Deleted(o) | Self::Updated { new: o, .. } => o,
        }
    }
    pub fn key(&self) -> Key {
        self.object().key()
    }
    /// The states before and after; both for an update, one otherwise.
    pub fn states(&self) -> impl Iterator<Item = &RawObject> {
        let (a, b) = match self {
            Self::Added(o) | Self::Deleted(o) => (o, None),
            Self::Updated { old, new } => (new, Some(old)),
        };
        std::iter::once(a).chain(b)
    }
}

pub struct Change {
    pub old: Option<RawObject>,
    pub new: Option<RawObject>,
}

#[derive(Default)]
struct Pending {
    /// What the subscriber last heard, before the changes that wait.
    old: Option<RawObject>,
    new: Option<RawObject>,
    /// The last state of an object that is gone.
    last: Option<RawObject>,
}

#[derive(Default)]
struct Waiting {
    order: VecDeque<Arc<Key>>,
    by_key: HashMap<Arc<Key>, Pending>,
    /// The second half of a replacement that is told as two events.
    next: Option<Event>,
}

#[derive(Default)]
pub struct Sink {
    waiting: Mutex<Waiting>,
    woken: Notify,
}

impl Sink {
    /// Adds a change; answers true (kept for `retain`).
    pub fn push(&self, key: &Arc<Key>, change: &Change) -> bool {
        let mut w = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = !w.by_key.contains_key(key);
        let p = w.by_key.entry(key.clone()).or_default();
        if fresh {
            p.old.clone_from(&change.old);
        }
        p.new.clone_from(&change.new);
        if change.new.is_none() {
            p.last.clone_from(&change.old);
        }
        if fresh {
            w.order.push_back(key.clone());
            self.woken.notify_one();
        }
        true
    }
    /// Wakes whoever waits for events, without one.
    pub fn wake(&self) {
        self.woken.notify_one();
    }
    /// Waits for the next event or [`Sink::wake`].
    pub async fn woken(&self) {
        self.woken.notified().await;
    }
    pub fn take(&self) -> Option<Event> {
        let mut w = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(e) = w.next.take() {
            return Some(e);
        }
        loop {
            let key = w.order.pop_front()?;
            let Some(p) = w.by_key.remove(&key) else { continue };
            return Some(match (p.old, p.new) {
                (None, Some(new)) => Event::Added(new),
                // Another object of the same name.
                (Some(old), Some(new)) if old.header.uid != new.header.uid => {
                    w.next = Some(Event::Added(new));
                    Event::Deleted(old)
                }
                (Some(old), Some(new)) => Event::Updated { old, new },
                (old, None) => match p.last.or(old) {
                    Some(last) => Event::Deleted(last),
                    None => continue,
                },
            });
        }
    }
}

/// Events for one subscriber; dropping it ends them.
pub struct Subscription {
    sink: Arc<Sink>,
    /// The cache lives as long as somebody listens to it.
    pub(super) keep: Option<RawInformer>,
}

impl Subscription {
    pub(super) fn new(sink: Arc<Sink>) -> Self {
        Self { sink, keep: None }
    }
    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.sink.take()
    }
    /// Waits for the next event. May be dropped at any time without losing one.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(e) = self.sink.take() {
                return e;
            }
            self.sink.woken.notified().await;
        }
    }
}
