//! Pods that wait (`backend/queue`): those to be tried next, those that were tried a moment ago, and those that nothing but
//! an event can help.

use crate::pod::PodInfo;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How long a pod that nothing happens for stays aside (upstream's `podMaxInUnschedulablePodsDuration`).
const MAX_ASIDE: i64 = 5 * 60 * 1000;
/// How often such pods are looked for.
const SWEEP: i64 = 30 * 1000;
/// Backoffs end in steps of this.
const WINDOW: i64 = 1000;

/// Where a pod waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active,
    Backoff,
    Aside,
}

/// A waiting pod.
#[derive(Debug)]
pub struct Waiting {
    pub pod: Arc<PodInfo>,
    /// When it was added, or last tried (milliseconds).
    pub since: i64,
    pub attempts: u32,
    /// How often it did not fit, and how often in a row something went wrong.
    unfit: u32,
    errors: u32,
    /// Plugins that refused it last time.
    pub plugins: BTreeSet<&'static str>,
    /// May not wait in line, says this plugin.
    gate: Option<&'static str>,
    place: Place,
    key: Key,
    /// In the order in which pods were first added.
    id: u64,
}

/// Order in a queue: backoff end, then the most important, then the longest waiting.
type Key = (i64, i64, i64, u64);

/// Backoff times.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub initial: i64,
    pub max: i64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: 1000, max: 10_000 }
    }
}

/// What is decided about a waiting pod when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    Stay,
    /// Once its backoff is over.
    Queue,
}

pub struct Queue {
    backoff: Backoff,
    pods: HashMap<Arc<str>, Waiting>,
    active: BTreeMap<Key, Arc<str>>,
    backing: BTreeMap<Key, Arc<str>>,
    /// Pods in neither of them, by the order in which pods were first added.
    aside: BTreeMap<u64, Arc<str>>,
    serial: u64,
    swept: i64,
}

impl Queue {
    pub fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            pods: HashMap::new(),
            active: BTreeMap::new(),
            backing: BTreeMap::new(),
            aside: BTreeMap::new(),
            serial: 0,
            swept: 0,
        }
    }
    pub fn get(&self, uid: &str) -> Option<&Waiting> {
        self.pods.get(uid)
    }
    pub fn len(&self) -> usize {
        self.pods.len()
    }
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }
    /// Active, backing off, aside.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.active.len(), self.backing.len(), self.aside.len())
    }
    /// A new pod, behind a gate if a plugin says so.
    pub fn add(&mut self, pod: Arc<PodInfo>, gate: Option<&'static str>, now: i64) {
        self.remove(&pod.uid);
        let uid = pod.uid.clone();
        self.serial += 1;
        let w = Waiting {
            pod,
            since: now,
            attempts: 0,
            unfit: 0,
            errors: 0,
            plugins: gate.into_iter().collect(),
            gate,
            place: Place::Aside,
            key: Key::default(),
            id: self.serial,
        };
        self.aside.insert(w.id, uid.clone());
        self.pods.insert(uid.clone(), w);
        if gate.is_none() {
            self.make_active(&uid);
        }
    }
    /// Takes a pod out.
    pub fn remove(&mut self, uid: &str) -> Option<Waiting> {
        let w = self.pods.remove(uid)?;
        match w.place {
            Place::Active => self.active.remove(&w.key),
            Place::Backoff => self.backing.remove(&w.key),
            Place::Aside => self.aside.remove(&w.id),
        };
        Some(w)
    }
    /// The pod as it is now; its place in line stays.
    pub fn update(&mut self, pod: Arc<PodInfo>) {
        let Some(w) = self.pods.get_mut(&pod.uid) else { return };
        let moved = w.pod.priority != pod.priority;
        let uid = pod.uid.clone();
        w.pod = pod;
        if moved {
            let place = w.place;
            self.take_out(&uid);
            match place {
                Place::Active => self.make_active(&uid),
                Place::Backoff => self.back_off(&uid),
                Place::Aside => {}
            }
        }
    }
    fn take_out(&mut self, uid: &str) {
        let Some(w) = self.pods.get_mut(uid) else { return };
        match w.place {
            Place::Active => self.active.remove(&w.key),
            Place::Backoff => self.backing.remove(&w.key),
            Place::Aside => return,
        };
        w.place = Place::Aside;
        self.aside.insert(w.id, w.pod.uid.clone());
    }
    fn make_active(&mut self, uid: &Arc<str>) {
        self.enter(uid, Place::Active, 0);
    }
    fn back_off(&mut self, uid: &Arc<str>) {
        let end = self.pods.get(uid).map_or(0, |w| self.backoff_end(w));
        self.enter(uid, Place::Backoff, end);
    }
    fn enter(&mut self, uid: &Arc<str>, place: Place, end: i64) {
        self.serial += 1;
        let serial = self.serial;
        let Some(w) = self.pods.get_mut(uid) else { return };
        if w.place == Place::Aside {
            self.aside.remove(&w.id);
        }
        w.place = place;
        w.key = (end, -i64::from(w.pod.priority), w.since, serial);
        let q = if place == Place::Active { &mut self.active } else { &mut self.backing };
        q.insert(w.key, uid.clone());
    }
    /// When a pod's backoff ends, in whole windows.
    fn backoff_end(&self, w: &Waiting) -> i64 {
        let count = if w.errors > 0 { w.errors } else { w.unfit };
        if count == 0 || self.backoff.max == 0 {
            return 0;
        }
        let shift = (count - 1).min(40);
        let d = self.backoff.initial.checked_shl(shift).unwrap_or(i64::MAX).min(self.backoff.max);
        let d = if d <= 0 { self.backoff.max } else { d };
        (w.since + d).div_euclid(WINDOW) * WINDOW
    }
    fn backing_off(&self, w: &Waiting, now: i64) -> bool {
        let end = self.backoff_end(w);
        end != 0 && end >= now.div_euclid(WINDOW) * WINDOW
    }
    /// The next pod to try, which is then out of the queue until [`Self::put_back`]. If none is active, the one whose
    /// backoff ends first is tried early, unless it backs off from errors.
    pub fn pop(&mut self, now: i64) -> Option<Waiting> {
        self.tick(now);
        let early = || {
            let fit = |u: &&Arc<str>| self.pods.get(*u).is_some_and(|w| w.errors == 0);
            self.backing.values().find(fit)
        };
        let uid = self.active.values().next().or_else(early)?.clone();
        let mut w = self.remove(&uid)?;
        w.attempts += 1;
        Some(w)
    }
    /// A pod that was tried in vain. Without plugins that refused it, something went wrong, and it is tried again.
    pub fn put_back(&mut self, mut w: Waiting, plugins: BTreeSet<&'static str>, now: i64) {
        if self.pods.contains_key(&w.pod.uid) {
            return;
        }
        let failed = plugins.is_empty();
        if failed {
            w.errors += 1;
        } else {
            w.unfit += 1;
            w.errors = 0;
        }
        w.since = now;
        w.plugins = plugins;
        w.gate = None;
        w.place = Place::Aside;
        let uid = w.pod.uid.clone();
        self.aside.insert(w.id, uid.clone());
        self.pods.insert(uid.clone(), w);
        if failed {
            self.requeue(&uid, now);
        }
    }
    /// Out of the side line, into backoff or straight into the active queue.
    fn requeue(&mut self, uid: &Arc<str>, now: i64) {
        let Some(w) = self.pods.get(uid) else { return };
        if self.backing_off(w, now) { self.back_off(uid) } else { self.make_active(uid) }
    }
    /// Asks about every pod aside.
    pub fn on_event(
        &mut self,
        now: i64,
        hint: &mut dyn FnMut(&Waiting) -> Hint,
        gate: &dyn Fn(&PodInfo) -> Option<&'static str>,
    ) {
        for uid in self.aside(|w| hint(w) == Hint::Queue) {
            self.release(&uid, gate, now);
        }
    }
    /// Pods aside of which the function says so, the longest known first.
    fn aside(&self, mut f: impl FnMut(&Waiting) -> bool) -> Vec<Arc<str>> {
        self.aside.values().filter(|u| self.pods.get(*u).is_some_and(&mut f)).cloned().collect()
    }
    /// Out of the side line, unless a plugin holds the pod back.
    pub fn release(&mut self, uid: &Arc<str>, gate: &dyn Fn(&PodInfo) -> Option<&'static str>, now: i64) {
        let Some(w) = self.pods.get_mut(uid).filter(|w| w.place == Place::Aside) else { return };
        w.gate = gate(&w.pod);
        match w.gate {
            Some(g) => {
                w.plugins.insert(g);
            }
            None => self.requeue(uid, now),
        }
    }
    /// Moves pods whose time has come.
    pub fn tick(&mut self, now: i64) {
        let window = now.div_euclid(WINDOW) * WINDOW;
        while let Some((key, uid)) = self.backing.first_key_value() {
            if key.0 >= window {
                break;
            }
            let uid = uid.clone();
            self.take_out(&uid);
            self.make_active(&uid);
        }
        if now - self.swept >= SWEEP {
            self.swept = now;
            for uid in self.aside(|w| w.gate.is_none() && now - w.since > MAX_ASIDE) {
                self.requeue(&uid, now);
            }
        }
    }
    /// When there will be something to do without an event: at once, at a time, or never.
    pub fn next_due(&self) -> Option<i64> {
        if !self.active.is_empty() {
            return Some(0);
        }
        let backoff = self.backing.first_key_value().map(|(k, _)| k.0 + WINDOW);
        let ungated = |u| self.pods.get(u).is_some_and(|w| w.gate.is_none());
        let aside = self.aside.values().any(ungated).then_some(self.swept + SWEEP);
        // Pods that back off without an error may go early, when nothing else is to do.
        let early = self.backing.values().any(|u| self.pods.get(u).is_some_and(|w| w.errors == 0));
        if early {
            return Some(0);
        }
        backoff.into_iter().chain(aside).min()
    }
}
