//! The scheduler without its hands: takes what happens, answers what to do.
//!
//! [`Engine::next`] decides about one pod at a time; the caller carries the decision out against the API and reports back
//! with [`Engine::bound`], [`Engine::bind_failed`], [`Engine::volumes_written`]. Nothing here waits or knows the time.

use crate::cluster::{
    Attachment, Budget, Capacity, Claim, ClaimKey, Class, Cluster, CsiDriver, CsiNode, Volume, VolumePlan,
};
use crate::cycle::{self, Failure};
use crate::event::{Event, NodeChange, PodChange};
use crate::framework::Profile;
use crate::matching::Labels;
use crate::memo::Memo;
use crate::node::NodeSpec;
use crate::nominator::Nominator;
use crate::pod::PodInfo;
use crate::queue::{Backoff, Hint, Queue, Waiting};
use crate::rng::Rng;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What a failure to bind volumes begins with.
pub const PRE_BIND: &str = "running PreBind plugin \"VolumeBinding\": binding volumes: ";

/// Something to do.
#[derive(Debug)]
pub enum Decision {
    /// Bind the pod to the node.
    Bind { pod: Arc<PodInfo>, node: Arc<str> },
    /// Write the volumes first and report [`Engine::volumes_written`]; the bind follows when the API shows them bound.
    BindVolumes { pod: Arc<PodInfo>, plan: VolumePlan },
    /// Tell the pod and the world that it cannot be scheduled; remove the victims.
    Failed(Box<Failed>),
    /// A pod that is being deleted came up.
    Deleting { pod: Arc<PodInfo> },
}

#[derive(Debug)]
pub struct Failed {
    pub pod: Arc<PodInfo>,
    /// `Unschedulable` or `SchedulerError`.
    pub reason: &'static str,
    pub message: String,
    /// `status.nominatedNodeName` becomes this; `None`: stays.
    pub nominate: Option<String>,
    /// Pods to delete so that this one fits.
    pub victims: Vec<Arc<PodInfo>>,
    /// Less important pods that were promised the node and lose that promise.
    pub displaced: Vec<Arc<PodInfo>>,
}

/// A pod between decision and confirmation.
struct Binding {
    waiting: Waiting,
    pod: Arc<PodInfo>,
    node: Arc<str>,
    plan: Option<VolumePlan>,
    /// The volumes are written; until when they have to be bound (milliseconds).
    deadline: Option<i64>,
}

pub struct Engine {
    pub cluster: Cluster,
    queue: Queue,
    profiles: Vec<Profile>,
    nominator: Nominator,
    bindings: HashMap<Arc<str>, Binding>,
    /// Bindings of which some have had a deadline since they were last looked through.
    deadlines: bool,
    /// Pods whose victims are being deleted.
    preempting: HashSet<Arc<str>>,
    /// Where the search for nodes begins.
    start: usize,
    rng: Rng,
    /// One for each profile.
    memos: Vec<Memo>,
    volume_timeout: i64,
    ready: Vec<Decision>,
}

impl Engine {
    pub fn new(profiles: Vec<Profile>, backoff: Backoff, volume_timeout_seconds: i64, seed: u64) -> Self {
        Self {
            cluster: Cluster::default(),
            queue: Queue::new(backoff),
            memos: profiles.iter().map(|_| Memo::default()).collect(),
            profiles,
            nominator: Nominator::default(),
            bindings: HashMap::new(),
            deadlines: false,
            preempting: HashSet::new(),
            start: 0,
            rng: Rng::new(seed),
            volume_timeout: volume_timeout_seconds.saturating_mul(1000),
            ready: Vec::new(),
        }
    }
    pub fn queue(&self) -> &Queue {
        &self.queue
    }
    fn profile(&self, pod: &PodInfo) -> Option<usize> {
        self.profiles.iter().position(|p| p.name == pod.scheduler)
    }
    /// Whether pods of this scheduler name are ours.
    pub fn responsible(&self, pod: &PodInfo) -> bool {
        self.profile(pod).is_some()
    }

    /// Forgets what was worked out and can be worked out again: for tests, which decide with and without.
    pub fn forget(&mut self) {
        self.memos.iter_mut().for_each(Memo::forget);
        self.cluster.forget_counts();
    }

    // Pods.

    /// A pod as the API has it: added or changed. Terminal pods are to be reported as removed.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>, now: i64) {
        if pod.node.is_empty() {
            self.set_unscheduled(pod, now);
            return;
        }
        self.queue.remove(&pod.uid);
        self.nominator.remove(&pod.uid);
        if let Some(b) = self.bindings.remove(&pod.uid) {
            self.preempting.remove(&pod.uid);
            if let Some(p) = &b.plan {
                self.cluster.volumes.revert(p);
            }
        }
        let confirmed = self.cluster.is_assumed(&pod.uid);
        let old = self.cluster.set_pod(pod.clone());
        match old {
            Some(old) if !confirmed => {
                let change = PodChange::between(&old, &pod);
                self.event(&Event::PodUpdated { old: &old, new: &pod, change }, now);
            }
            _ => self.event(&Event::PodAdded(&pod), now),
        }
    }
    fn set_unscheduled(&mut self, pod: Arc<PodInfo>, now: i64) {
        if let Some(b) = self.bindings.get_mut(&pod.uid) {
            // On its way to a node; the newest state is kept in case that fails.
            b.waiting.pod = pod;
            return;
        }
        if self.cluster.is_assumed(&pod.uid) {
            // Bound; what comes now is older than that.
            return;
        }
        let Some(i) = self.profile(&pod) else { return };
        let Some(w) = self.queue.get(&pod.uid) else {
            let gate = self.gate(i, &pod);
            if !pod.nominated.is_empty() {
                self.nominator.set(&pod, &pod.nominated.clone());
            }
            self.queue.add(pod, gate, now);
            return;
        };
        let old = w.pod.clone();
        if old.resource_version == pod.resource_version {
            return;
        }
        self.queue.update(pod.clone());
        self.renominate(&old, &pod);
        let change = PodChange::between(&old, &pod);
        let event = Event::Target { old: &old, new: &pod, change };
        self.event_for(&event, now, Some(&pod.uid));
        if !old.nominated.is_empty() && old.nominated != pod.nominated {
            // The promised place is free for pods no more important than this one.
            self.freed(&old, now);
        }
    }
    fn renominate(&mut self, old: &PodInfo, new: &Arc<PodInfo>) {
        if old.nominated != new.nominated {
            self.nominator.set(new, &new.nominated.clone());
        } else {
            self.nominator.refresh(new);
        }
    }
    fn freed(&mut self, old: &PodInfo, now: i64) {
        let priority = old.priority;
        let event = Event::PodDeleted(old);
        let Self { queue, profiles, cluster, preempting, .. } = self;
        queue.on_event(
            now,
            &mut |w| {
                if w.pod.priority <= priority { hint(profiles, cluster, w, &event) } else { Hint::Stay }
            },
            &|p| gate_of(profiles, preempting, p),
        );
    }
    /// A pod is gone, or has ended.
    pub fn remove_pod(&mut self, uid: &str, now: i64) {
        self.preempting.remove(uid);
        let promised = self.nominator.node_of(uid).is_some();
        self.nominator.remove(uid);
        if let Some(b) = self.bindings.remove(uid)
            && let Some(p) = &b.plan
        {
            self.cluster.volumes.revert(p);
        }
        let waited = self.queue.remove(uid);
        if let Some(old) = self.cluster.remove_pod(uid) {
            self.event(&Event::PodDeleted(&old), now);
        } else if let Some(w) = waited
            && (promised || !w.pod.nominated.is_empty())
        {
            self.freed(&w.pod, now);
        }
    }

    // Nodes.

    pub fn set_node(&mut self, spec: NodeSpec, now: i64) {
        let (old, new) = self.cluster.set_node(spec);
        match old {
            None => self.event(&Event::NodeAdded(&new), now),
            Some(old) => {
                let change = NodeChange::between(&old, &new);
                if change.any() {
                    self.event(&Event::NodeUpdated { old: &old, new: &new, change }, now);
                }
            }
        }
    }
    pub fn remove_node(&mut self, name: &str, now: i64) {
        if let Some(old) = self.cluster.remove_node(name) {
            self.event(&Event::NodeDeleted(&old), now);
        }
    }

    // Storage.

    pub fn set_claim(&mut self, key: ClaimKey, c: Option<Claim>, now: i64) {
        let old = self.cluster.volumes.set_claim(key.clone(), c);
        if let Some(new) = self.cluster.volumes.claim(&key).cloned() {
            match old {
                None => self.event(&Event::ClaimAdded(&new), now),
                Some(o) if o != new => self.event(&Event::ClaimUpdated(&new), now),
                Some(_) => {}
            }
        }
        self.look_at_bindings(now);
    }
    pub fn set_volume(&mut self, name: &str, v: Option<Volume>, now: i64) {
        let old = self.cluster.volumes.set_volume(name, v);
        if let Some(new) = self.cluster.volumes.volume(name).cloned() {
            match old {
                None => self.event(&Event::VolumeAdded(&new), now),
                Some(o) if o != new => self.event(&Event::VolumeUpdated { old: &o, new: &new }, now),
                Some(_) => {}
            }
        }
        self.look_at_bindings(now);
    }
    pub fn set_class(&mut self, name: &str, c: Option<Class>, now: i64) {
        let old = self.cluster.volumes.set_class(name, c);
        let Some(new) = self.cluster.volumes.class(name).cloned() else { return };
        match old {
            None => self.event(&Event::ClassAdded(&new), now),
            Some(o) => self.event(&Event::ClassUpdated { old: &o, new: &new }, now),
        }
    }
    pub fn set_csi_node(&mut self, name: &str, n: Option<CsiNode>, now: i64) {
        let old = self.cluster.volumes.set_csi_node(name, n);
        let Some(new) = self.cluster.volumes.csi_node(name).cloned() else { return };
        match old {
            None => self.event(&Event::CsiNodeAdded(&new), now),
            Some(o) => self.event(&Event::CsiNodeUpdated { old: &o, new: &new }, now),
        }
    }
    pub fn set_driver(&mut self, name: &str, d: Option<CsiDriver>, now: i64) {
        let old = self.cluster.volumes.set_driver(name, d);
        if let (Some(old), Some(new)) = (old, d) {
            self.event(&Event::DriverUpdated { name, old, new }, now);
        }
    }
    pub fn set_capacity(&mut self, ns: &str, name: &str, c: Option<Capacity>, now: i64) {
        let new = c.clone();
        let old = self.cluster.volumes.set_capacity(ns, name, c);
        match (old, new) {
            (None, Some(new)) => self.event(&Event::CapacityAdded(&new), now),
            (Some(old), Some(new)) => self.event(&Event::CapacityUpdated { old: &old, new: &new }, now),
            _ => {}
        }
    }
    pub fn set_attachment(&mut self, name: &str, a: Option<Attachment>, now: i64) {
        let gone = a.is_none();
        if self.cluster.volumes.set_attachment(name, a).is_some() && gone {
            self.event(&Event::AttachmentDeleted, now);
        }
    }
    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        self.cluster.set_namespace(name, labels);
    }
    pub fn set_budget(&mut self, ns: &str, name: &str, b: Option<Budget>) {
        self.cluster.owners.set_budget(ns, name, b);
    }

    // Events and the queue.

    fn gate(&self, profile: usize, pod: &PodInfo) -> Option<&'static str> {
        self.profiles[profile].gate(pod).map(|g| g.0)
    }
    fn event(&mut self, event: &Event<'_>, now: i64) {
        self.event_for(event, now, None);
    }
    /// Tells waiting pods, or one of them, what happened.
    fn event_for(&mut self, event: &Event<'_>, now: i64, only: Option<&Arc<str>>) {
        let Self { queue, profiles, cluster, preempting, .. } = self;
        let gate = |p: &PodInfo| gate_of(profiles, preempting, p);
        match only {
            None => queue.on_event(now, &mut |w| hint(profiles, cluster, w, event), &gate),
            Some(uid) => {
                if queue.get(uid).is_some_and(|w| hint(profiles, cluster, w, event) == Hint::Queue) {
                    queue.release(uid, &gate, now);
                }
            }
        }
    }
    /// When [`Engine::next`] will have something without an event (milliseconds): 0 is now.
    pub fn next_due(&self) -> Option<i64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        let volumes =
            if self.deadlines { self.bindings.values().filter_map(|b| b.deadline).min() } else { None };
        self.queue.next_due().into_iter().chain(volumes).min()
    }

    // Decisions.

    /// The next thing to do, if there is one.
    pub fn next(&mut self, now: i64) -> Option<Decision> {
        self.expire(now);
        loop {
            if let Some(d) = self.ready.pop() {
                return Some(d);
            }
            let w = self.queue.pop(now)?;
            if let Some(d) = self.decide(w, now) {
                return Some(d);
            }
        }
    }
    fn decide(&mut self, w: Waiting, now: i64) -> Option<Decision> {
        let pod = w.pod.clone();
        let i = self.profile(&pod)?;
        if pod.deleting {
            return Some(Decision::Deleting { pod });
        }
        if self.cluster.is_assumed(&pod.uid) {
            return None;
        }
        let Self { profiles, cluster, nominator, memos, start, rng, .. } = self;
        match cycle::schedule(&profiles[i], cluster, nominator, &mut memos[i], &pod, start, rng) {
            Ok(p) => {
                let placed = Arc::new(pod.on(p.node.clone()));
                self.cluster.assume(placed.clone());
                self.nominator.remove(&pod.uid);
                if let Some(plan) = &p.volumes {
                    self.cluster.volumes.assume(plan);
                }
                let b = Binding {
                    waiting: w,
                    pod: placed.clone(),
                    node: p.node.clone(),
                    plan: p.volumes.clone(),
                    deadline: None,
                };
                self.bindings.insert(pod.uid.clone(), b);
                Some(match p.volumes {
                    Some(plan) => Decision::BindVolumes { pod: placed, plan },
                    None => Decision::Bind { pod: placed, node: p.node },
                })
            }
            Err(f) => Some(self.failed(w, f, now)),
        }
    }
    fn failed(&mut self, w: Waiting, f: Failure, now: i64) -> Decision {
        let pod = w.pod.clone();
        let (reason, message, plugins, victims, clear) = match f {
            Failure::NoNodes => {
                let m = "no nodes available to schedule pods".to_owned();
                // No plugin refused it: upstream tries again after a backoff, and so do we.
                ("Unschedulable", m, BTreeSet::new(), None, true)
            }
            Failure::Unschedulable { message, plugins, victims, clear_nomination } => {
                ("Unschedulable", message, plugins, victims, clear_nomination)
            }
            Failure::Error(m) => ("SchedulerError", m, BTreeSet::new(), None, true),
        };
        let nominate = match &victims {
            Some(v) => Some(v.node.clone()),
            None if clear => Some(String::new()),
            None => None,
        };
        let mut displaced = Vec::new();
        if let Some(v) = &victims {
            displaced = self.nominator.on(&v.node).filter(|p| p.priority < pod.priority).cloned().collect();
            self.preempting.insert(pod.uid.clone());
        }
        for p in &displaced {
            self.nominator.remove(&p.uid);
        }
        if let Some(n) = &nominate {
            self.nominator.set(&pod, n);
        }
        self.queue.put_back(w, plugins, now);
        Decision::Failed(Box::new(Failed {
            pod,
            reason,
            message,
            nominate,
            victims: victims.map_or_else(Vec::new, |v| v.pods),
            displaced,
        }))
    }

    // Reports.

    /// The API took the binding; the pod will come with its node.
    pub fn bound(&mut self, uid: &str) {
        if let Some(b) = self.bindings.remove(uid)
            && let Some(p) = &b.plan
        {
            self.cluster.volumes.revert(p);
        }
    }
    /// The binding failed: everything is as before, and the pod is tried again.
    pub fn bind_failed(&mut self, uid: &str, why: &str, now: i64) -> Option<Decision> {
        let b = self.bindings.remove(uid)?;
        if let Some(p) = &b.plan {
            self.cluster.volumes.revert(p);
        }
        if let Some(old) = self.cluster.forget(uid) {
            self.event(&Event::PodDeleted(&old), now);
        }
        Some(self.failed(b.waiting, Failure::Error(why.to_owned()), now))
    }
    /// The plan is written; the bind follows when the API shows it done.
    pub fn volumes_written(&mut self, uid: &str, now: i64) {
        let timeout = self.volume_timeout;
        if let Some(b) = self.bindings.get_mut(uid) {
            b.deadline = Some(now.saturating_add(timeout));
            self.deadlines = true;
        }
        self.look_at_bindings(now);
    }
    fn look_at_bindings(&mut self, now: i64) {
        if !self.deadlines {
            return;
        }
        let mut done = Vec::new();
        for (uid, b) in self.bindings.iter().filter(|b| b.1.deadline.is_some()) {
            let Some(plan) = &b.plan else { continue };
            let none = Labels::new();
            let labels = self.cluster.find(&b.node).map_or(&none, |n| &n.spec.labels);
            match self.cluster.volumes.fulfilled(plan, labels) {
                Ok(false) => {}
                r => done.push((uid.clone(), r)),
            }
        }
        for (uid, r) in done {
            match r {
                Ok(_) => {
                    if let Some(b) = self.bindings.get_mut(&uid) {
                        b.deadline = None;
                        self.ready.push(Decision::Bind { pod: b.pod.clone(), node: b.node.clone() });
                    }
                }
                Err(why) => {
                    let d = self.bind_failed(&uid, &format!("{PRE_BIND}{why}"), now);
                    self.ready.extend(d);
                }
            }
        }
    }
    fn expire(&mut self, now: i64) {
        if !self.deadlines {
            return;
        }
        self.deadlines = self.bindings.values().any(|b| b.deadline.is_some());
        let late: Vec<Arc<str>> = self
            .bindings
            .iter()
            .filter(|b| b.1.deadline.is_some_and(|d| d <= now))
            .map(|b| b.0.clone())
            .collect();
        for uid in late {
            let d = self.bind_failed(&uid, &format!("{PRE_BIND}context deadline exceeded"), now);
            self.ready.extend(d);
        }
    }
    /// All victims but the last are deleted: the next deletion may let the pod in.
    pub fn preemption_nearly_done(&mut self, uid: &str) {
        self.preempting.remove(uid);
    }
    /// Deleting victims failed: the pod is tried again.
    pub fn preemption_failed(&mut self, uid: &str, now: i64) {
        self.preempting.remove(uid);
        let Self { queue, profiles, preempting, .. } = self;
        let uid: Arc<str> = uid.into();
        queue.release(&uid, &|p| gate_of(profiles, preempting, p), now);
    }
    /// The pod a binding is about, as it was decided.
    pub fn binding(&self, uid: &str) -> Option<(&Arc<PodInfo>, &str)> {
        self.bindings.get(uid).map(|b| (&b.pod, &*b.node))
    }
}

fn gate_of(profiles: &[Profile], preempting: &HashSet<Arc<str>>, pod: &PodInfo) -> Option<&'static str> {
    if preempting.contains(&pod.uid) {
        return Some("DefaultPreemption");
    }
    profiles.iter().find(|p| p.name == pod.scheduler)?.gate(pod).map(|g| g.0)
}

/// Whether an event may help a pod: one of the plugins that refused it says so.
fn hint(profiles: &[Profile], cluster: &Cluster, w: &Waiting, event: &Event<'_>) -> Hint {
    let Some(profile) = profiles.iter().find(|p| p.name == w.pod.scheduler) else { return Hint::Stay };
    let helps = w.plugins.iter().filter_map(|n| profile.plugin(n)).any(|p| p.wants(event, &w.pod, cluster));
    if helps { Hint::Queue } else { Hint::Stay }
}
