//! What a Deployment needs: ReplicaSets to make, change and delete, and the status to show.
//!
//! Decisions are made on working copies as if each write had happened, so that one sync comes as far as upstream's
//! sequence of calls; what differs from the originals in the end is written.

use super::{rollout, status};
use crate::k8s::apps::{Deployment, ReplicaSet, ReplicaSetSpec};
use crate::k8s::core::PodTemplateSpec;
use crate::k8s::{Map, ObjectMeta, Timestamp};
use crate::util::hash;
use crate::util::intstr::fenceposts;
use crate::util::meta::{MetaExt, controller_ref};
use std::time::Duration;

pub const HASH: &str = "pod-template-hash";
pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of the Deployment that its ReplicaSets do not get.
const SKIPPED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
/// How many characters of history a ReplicaSet keeps.
const HISTORY_CHARS: usize = 2000;

pub struct Input<'a> {
    pub deployment: &'a Deployment,
    /// Those it controls.
    pub sets: Vec<ReplicaSet>,
    /// Whether pods of old templates run; matters to Recreate only.
    pub old_pods_run: bool,
    pub now: Timestamp,
}

#[derive(Debug)]
pub enum Step {
    Create(Box<ReplicaSet>),
    Update { set: Box<ReplicaSet>, event: Option<String> },
    Delete(Box<ReplicaSet>),
}

#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// To be written to the status endpoint (with its annotations), if anything changed.
    pub deployment: Option<Box<Deployment>>,
    /// When to look at the progress again.
    pub check_after: Option<Duration>,
}

/// The ReplicaSets of a Deployment while they are planned.
pub struct Work<'a> {
    pub d: &'a Deployment,
    /// Those there were, by creation; then the one to be made, if any.
    pub sets: Vec<ReplicaSet>,
    originals: Vec<ReplicaSet>,
    /// The one of the Deployment's template.
    pub new: Option<usize>,
    /// To be deleted.
    pub gone: Vec<usize>,
}

pub fn strategy(d: &Deployment) -> &str {
    d.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()).unwrap_or("RollingUpdate")
}
pub fn is_recreate(d: &Deployment) -> bool {
    strategy(d) == "Recreate"
}
pub fn is_rolling(d: &Deployment) -> bool {
    strategy(d) == "RollingUpdate"
}
pub fn wanted(d: &Deployment) -> i32 {
    d.spec.replicas.unwrap_or(1)
}
pub fn size(s: &ReplicaSet) -> i32 {
    s.spec.replicas.unwrap_or(1)
}
pub fn available(s: &ReplicaSet) -> i32 {
    s.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0)
}
fn posts(d: &Deployment) -> (i32, i32) {
    if !is_rolling(d) {
        return (0, 0);
    }
    let r = d.spec.strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
    fenceposts(r.and_then(|r| r.max_surge.as_ref()), r.and_then(|r| r.max_unavailable.as_ref()), wanted(d))
}
pub fn max_surge(d: &Deployment) -> i32 {
    posts(d).0
}
pub fn max_unavailable(d: &Deployment) -> i32 {
    if wanted(d) == 0 { 0 } else { posts(d).1.min(wanted(d)) }
}

/// Whether templates differ in nothing but the hash label.
pub fn same_template(a: Option<&PodTemplateSpec>, b: &PodTemplateSpec) -> bool {
    let bare = |t: &PodTemplateSpec| {
        let mut t = t.clone();
        let m = t.metadata.get_or_insert_default();
        let labels = m.labels.get_or_insert_default();
        labels.remove(HASH);
        t
    };
    a.is_some_and(|a| bare(a) == bare(b))
}

/// The oldest ReplicaSet of the Deployment's template.
pub fn newest(d: &Deployment, sets: &[ReplicaSet]) -> Option<usize> {
    (0..sets.len())
        .filter(|i| same_template(sets[*i].spec.template.as_ref(), &d.spec.template))
        .min_by(|a, b| by_creation(&sets[*a], &sets[*b]))
}

pub fn by_creation(a: &ReplicaSet, b: &ReplicaSet) -> std::cmp::Ordering {
    a.created().cmp(&b.created()).then_with(|| a.name().cmp(b.name()))
}

pub fn revision(annotations: Option<&Map>) -> i64 {
    annotations.and_then(|a| a.get(REVISION)).and_then(|v| v.parse().ok()).unwrap_or(0)
}

pub fn plan(input: Input<'_>) -> Plan {
    let Input { deployment: original, sets, old_pods_run, now } = input;
    let mut d = original.clone();
    let mut w = Work::new(original, sets);
    let paused = d.spec.paused.unwrap_or(false);
    let mut rolling_out = false;
    if d.deleting() {
        // Only the status.
    } else {
        status::note_pause(&mut d, now);
        w.sync_new(&mut d, now);
        if paused || w.is_scaling_event() {
            w.scale_proportionally();
            if paused {
                w.clean_up();
            }
        } else {
            rolling_out = true;
            if is_recreate(&d) {
                rollout::recreate(&mut w, &mut d, old_pods_run, now);
            } else {
                rollout::rolling(&mut w, &mut d, now);
            }
        }
    }
    let mut check_after = None;
    d.status = Some(if rolling_out {
        let s = status::rollout(&d, &w, now);
        if d.status.as_ref() == Some(&s) {
            check_after = status::stuck_check(&d, &s, now);
        }
        s
    } else {
        status::of(&d, &w, now)
    });
    let changed = d.status != original.status || d.metadata.annotations != original.metadata.annotations;
    Plan { steps: w.into_steps(), deployment: changed.then(|| Box::new(d)), check_after }
}

impl<'a> Work<'a> {
    fn new(d: &'a Deployment, mut sets: Vec<ReplicaSet>) -> Self {
        sets.sort_by(by_creation);
        let new = newest(d, &sets);
        Self { d, originals: sets.clone(), sets, new, gone: Vec::new() }
    }
    pub fn olds(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|i| Some(*i) != self.new).collect()
    }
    pub fn active(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|i| size(&self.sets[*i]) > 0).collect()
    }
    pub fn total(&self) -> i32 {
        self.sets.iter().map(size).sum()
    }
    pub fn available(&self) -> i32 {
        self.sets.iter().map(available).sum()
    }

    fn next_revision(&self) -> i64 {
        self.olds()
            .into_iter()
            .map(|i| revision(self.sets[i].metadata.annotations.as_ref()))
            .max()
            .unwrap_or(0)
            + 1
    }

    /// Brings annotations of the new ReplicaSet and the revision of the Deployment up to date, if there is one.
    fn sync_new(&mut self, d: &mut Deployment, now: Timestamp) {
        let Some(i) = self.new else { return };
        let revision = self.next_revision();
        let rs = &mut self.sets[i];
        annotate(self.d, rs, revision);
        rs.spec.min_ready_seconds = self.d.spec.min_ready_seconds;
        let rev = rs.annotation(REVISION).unwrap_or_default().to_owned();
        set_revision(d, rev);
        status::found(d, rs.name(), now);
    }

    /// Plans the ReplicaSet of the Deployment's template.
    pub fn make_new(&mut self, d: &mut Deployment, now: Timestamp) {
        let collisions = d.status.as_ref().and_then(|s| s.collision_count);
        let mut template = d.spec.template.clone();
        let h = hash::of(&template, collisions);
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH.into(), h.clone());
        let labels = labels.clone();
        let mut selector = d.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(HASH.into(), h.clone());
        let room = 253 - 1 - h.len();
        let name = d.name().get(..room).unwrap_or(d.name());
        let mut rs = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{name}-{h}")),
                namespace: d.metadata.namespace.clone(),
                owner_references: Some(vec![controller_ref(d)]),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: ReplicaSetSpec {
                replicas: Some(0),
                min_ready_seconds: d.spec.min_ready_seconds,
                selector,
                template: Some(template),
            },
            status: None,
        };
        let revision = self.next_revision();
        annotate(d, &mut rs, revision);
        rs.spec.replicas = Some(rollout::new_size(d, self.total(), 0));
        set_replicas_annotations(d, &mut rs);
        set_revision(d, revision.to_string());
        status::created(d, rs.name(), now);
        self.new = Some(self.sets.len());
        self.sets.push(rs);
    }

    /// Sets the size of a ReplicaSet; answers whether it changed.
    pub fn resize(&mut self, i: usize, n: i32) -> bool {
        let rs = &mut self.sets[i];
        if size(rs) == n {
            return false;
        }
        rs.spec.replicas = Some(n);
        set_replicas_annotations(self.d, rs);
        true
    }

    /// Whether the Deployment was given another size since its ReplicaSets were.
    fn is_scaling_event(&self) -> bool {
        self.active().into_iter().any(|i| {
            let desired = self.sets[i].annotation(DESIRED).and_then(|v| v.parse::<i32>().ok());
            desired.is_some_and(|n| n >= 0 && n != wanted(self.d))
        })
    }

    /// Spreads a change of size over the ReplicaSets in proportion to their sizes, so that it does not hasten a rollout
    /// (upstream `scale`).
    fn scale_proportionally(&mut self) {
        let active = self.active();
        // One set, or none that has pods: it takes everything.
        let only = match active.len() {
            0 => self.new.or_else(|| {
                self.olds().into_iter().max_by(|a, b| by_creation(&self.sets[*a], &self.sets[*b]))
            }),
            1 => Some(active[0]),
            _ => None,
        };
        if active.len() < 2 {
            if let Some(i) = only {
                self.resize(i, wanted(self.d));
            }
            return;
        }
        if self.is_saturated() {
            for i in self.olds() {
                self.resize(i, 0);
            }
            return;
        }
        if !is_rolling(self.d) {
            return;
        }
        let allowed = if wanted(self.d) > 0 { wanted(self.d) + max_surge(self.d) } else { 0 };
        let to_add = allowed - active.iter().map(|i| size(&self.sets[*i])).sum::<i32>();
        let mut order = active;
        order.sort_by(|a, b| {
            let (a, b) = (&self.sets[*a], &self.sets[*b]);
            let newer = by_creation(b, a);
            size(b).cmp(&size(a)).then(if to_add > 0 { newer } else { newer.reverse() })
        });
        let mut added = 0;
        let mut sizes: Vec<i32> = Vec::new();
        for i in &order {
            let share = self.proportion(*i, to_add, added);
            added += share;
            sizes.push(size(&self.sets[*i]) + share);
        }
        if to_add != 0 {
            sizes[0] = (sizes[0] + to_add - added).max(0);
        }
        for (i, n) in order.into_iter().zip(sizes) {
            self.sets[i].spec.replicas = Some(n);
            set_replicas_annotations(self.d, &mut self.sets[i]);
        }
    }

    fn is_saturated(&self) -> bool {
        self.new.is_some_and(|i| {
            let rs = &self.sets[i];
            let desired = rs.annotation(DESIRED).and_then(|v| v.parse::<i32>().ok());
            let want = wanted(self.d);
            size(rs) == want && desired == Some(want) && available(rs) == want
        })
    }

    /// The share of a set in a change of size.
    fn proportion(&self, i: usize, to_add: i32, added: i32) -> i32 {
        let rs = &self.sets[i];
        if size(rs) == 0 || to_add == 0 || to_add == added {
            return 0;
        }
        let fraction = if wanted(self.d) == 0 {
            -size(rs)
        } else {
            let max = wanted(self.d) + max_surge(self.d);
            let noted = rs.annotation(MAX).and_then(|v| v.parse::<i32>().ok()).filter(|n| *n > 0);
            let before = noted.or_else(|| self.d.status.as_ref()?.replicas).unwrap_or(0);
            if before == 0 {
                return 0;
            }
            let scaled = f64::from(size(rs)) * f64::from(max) / f64::from(before);
            scaled.round() as i32 - size(rs)
        };
        let left = to_add - added;
        if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
    }

    /// Plans to delete old ReplicaSets beyond the history limit.
    pub fn clean_up(&mut self) {
        let Some(limit) = self.d.spec.revision_history_limit.filter(|l| *l != i32::MAX) else { return };
        let mut olds = self.olds();
        olds.retain(|i| !self.sets[*i].deleting());
        let surplus = olds.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        olds.sort_by(|a, b| {
            let (a, b) = (&self.sets[*a], &self.sets[*b]);
            let rev = |s: &ReplicaSet| revision(s.metadata.annotations.as_ref());
            rev(a).cmp(&rev(b)).then_with(|| by_creation(a, b))
        });
        for i in olds.into_iter().take(surplus) {
            let rs = &self.sets[i];
            let s = rs.status.clone().unwrap_or_default();
            let idle =
                s.replicas == 0 && size(rs) == 0 && rs.generation() <= s.observed_generation.unwrap_or(0);
            if idle {
                self.gone.push(i);
            }
        }
    }

    fn into_steps(self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (i, rs) in self.sets.into_iter().enumerate() {
            if self.gone.contains(&i) {
                steps.push(Step::Delete(Box::new(rs)));
                continue;
            }
            match self.originals.get(i) {
                None => steps.insert(0, Step::Create(Box::new(rs))),
                Some(old) if *old == rs => {}
                Some(old) => {
                    let (from, to) = (size(old), size(&rs));
                    let way = if to > from { "up" } else { "down" };
                    let event = (from != to)
                        .then(|| format!("Scaled {way} replica set {} from {from} to {to}", rs.name()));
                    steps.push(Step::Update { set: Box::new(rs), event });
                }
            }
        }
        steps
    }
}

fn set_revision(d: &mut Deployment, revision: String) {
    d.metadata.annotations.get_or_insert_default().insert(REVISION.into(), revision);
}

fn set_replicas_annotations(d: &Deployment, rs: &mut ReplicaSet) {
    let a = rs.metadata.annotations.get_or_insert_default();
    a.insert(DESIRED.into(), wanted(d).to_string());
    a.insert(MAX.into(), (wanted(d) + max_surge(d)).to_string());
}

/// Copies the Deployment's annotations, and raises the revision, keeping the ones before in the history.
fn annotate(d: &Deployment, rs: &mut ReplicaSet, new: i64) {
    let a = rs.metadata.annotations.get_or_insert_default();
    for (k, v) in d.metadata.annotations.iter().flatten() {
        if !SKIPPED.contains(&k.as_str()) {
            a.insert(k.clone(), v.clone());
        }
    }
    let old = a.get(REVISION).cloned();
    let old_number = match old.as_deref().map(str::parse::<i64>) {
        None => 0,
        Some(Ok(n)) => n,
        Some(Err(_)) => return,
    };
    if old_number >= new {
        return;
    }
    a.insert(REVISION.into(), new.to_string());
    let Some(old) = old else { return };
    let history = a.entry(HISTORY.into()).or_default();
    if history.is_empty() {
        *history = old;
        return;
    }
    let mut parts: Vec<&str> = history.split(',').collect();
    let mut len = history.len() + old.len() + 1;
    while len > HISTORY_CHARS && !parts.is_empty() {
        len -= parts.remove(0).len() + 1;
    }
    parts.push(&old);
    *history = parts.join(",");
}
