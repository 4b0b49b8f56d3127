//! What to do next for a set's pods, one at a time or all at once (upstream `stateful_set_control.go`).

use super::{claims, identity};
use crate::k8s::apps::{StatefulSet, StatefulSetStatus};
use crate::k8s::core::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use crate::k8s::{IntOrString, Timestamp};
use crate::util::intstr::scaled;
use crate::util::meta::MetaExt;
use crate::util::{history, pods};
use std::collections::HashMap;

/// A revision of the set: its name, and the template it holds.
pub struct Revision {
    pub name: String,
    pub template: PodTemplateSpec,
}

pub struct Input<'a> {
    pub set: &'a StatefulSet,
    /// The pods it controls.
    pub pods: &'a [Pod],
    /// The claims there are, by name.
    pub claims: &'a HashMap<String, PersistentVolumeClaim>,
    pub current: &'a Revision,
    pub update: &'a Revision,
    pub collisions: i32,
    pub now: Timestamp,
}

#[derive(Debug)]
pub enum Step {
    CreateClaim {
        claim: Box<PersistentVolumeClaim>,
        pod: String,
    },
    UpdateClaim(Box<PersistentVolumeClaim>),
    /// A claim that somebody else controls.
    Conflict(String),
    Create(Box<Pod>),
    Update(Box<Pod>),
    Delete(Box<Pod>),
}

#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// A failed step ends the sync.
    pub ordered: bool,
    pub status: StatefulSetStatus,
    /// Why it cannot go on, to be tried again.
    pub blocked: Option<String>,
}

fn revision_of(p: &Pod) -> &str {
    p.label(history::HASH).unwrap_or_default()
}
/// The server has it.
fn exists(p: &Pod) -> bool {
    !pods::phase(p).is_empty()
}

struct Work<'a> {
    i: Input<'a>,
    min_ready: i32,
    ordered: bool,
    plan: Plan,
}

pub fn plan(i: Input<'_>) -> Plan {
    let set = i.set;
    let ordered = set.spec.pod_management_policy.as_deref() != Some("Parallel");
    let mut w =
        Work { min_ready: set.spec.min_ready_seconds.unwrap_or(0), ordered, plan: Plan::default(), i };
    w.plan.ordered = ordered;
    w.status();
    if !set.deleting() {
        w.pods();
    }
    w.finish();
    w.plan
}

impl Work<'_> {
    fn available(&self, p: &Pod) -> bool {
        pods::is_available(p, self.min_ready, self.i.now)
    }
    fn unavailable(&self, p: &Pod) -> bool {
        !self.available(p) || p.deleting()
    }

    fn status(&mut self) {
        let (set, i) = (self.i.set, &self.i);
        let old = set.status.clone().unwrap_or_default();
        let count = |f: &dyn Fn(&Pod) -> bool| {
            i32::try_from(i.pods.iter().filter(|p| f(p)).count()).unwrap_or(i32::MAX)
        };
        let ready = |p: &Pod| pods::phase(p) == "Running" && pods::is_ready(p);
        let of = |p: &Pod, r: &Revision| exists(p) && !p.deleting() && revision_of(p) == r.name;
        let some = |n: i32| (n != 0).then_some(n);
        self.plan.status = StatefulSetStatus {
            observed_generation: Some(set.generation()),
            replicas: count(&exists),
            ready_replicas: some(count(&ready)),
            // The API has no omitempty here.
            available_replicas: Some(count(&|p| ready(p) && self.available(p))),
            current_replicas: some(count(&|p| of(p, i.current))),
            updated_replicas: some(count(&|p| of(p, i.update))),
            current_revision: Some(i.current.name.clone()),
            update_revision: Some(i.update.name.clone()),
            collision_count: Some(i.collisions),
            conditions: old.conditions,
        };
    }

    /// When all pods are updated and ready, the update is the current revision.
    fn finish(&mut self) {
        let want = identity::replicas(self.i.set);
        let s = &mut self.plan.status;
        if s.updated_replicas.unwrap_or(0) == want
            && s.ready_replicas.unwrap_or(0) == want
            && s.replicas == want
        {
            s.current_replicas = s.updated_replicas;
            s.current_revision.clone_from(&s.update_revision);
        }
    }

    /// The pod to make for an ordinal: of the old revision below the partition.
    fn new_pod(&self, n: i32) -> Pod {
        let set = self.i.set;
        let strategy = set.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|u| u.type_.as_deref()).unwrap_or("RollingUpdate") == "RollingUpdate";
        let start = identity::start(set);
        let old = match strategy.and_then(|u| u.rolling_update.as_ref()) {
            Some(r) => n < start + r.partition.unwrap_or(0),
            None => rolling && n < start + set.status.as_ref().and_then(|s| s.current_replicas).unwrap_or(0),
        };
        identity::pod(set, if old { self.i.current } else { self.i.update }, n)
    }

    fn pods(&mut self) {
        let set = self.i.set;
        let range = identity::range(set);
        let mut replicas: Vec<Pod> = range
            .clone()
            .map(|n| {
                let name = identity::pod_name(set, n);
                self.i.pods.iter().find(|p| p.name() == name).cloned().unwrap_or_else(|| self.new_pod(n))
            })
            .collect();
        let mut condemned: Vec<(i32, Pod)> = self
            .i
            .pods
            .iter()
            .filter_map(|p| Some((identity::ordinal(set.name(), p.name())?, p.clone())))
            .filter(|(n, _)| !range.contains(n))
            .collect();
        condemned.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
        let by_ordinal = replicas.iter().chain(condemned.iter().rev().map(|(_, p)| p));
        let first_unavailable =
            by_ordinal.filter(|p| self.unavailable(p)).map(|p| p.name().to_owned()).next();

        for p in &mut replicas {
            if self.replica(p) && self.ordered {
                return;
            }
            if self.plan.blocked.is_some() && self.ordered {
                return;
            }
        }
        for (_, p) in &condemned {
            self.fix_claims(p);
        }
        for (_, p) in &condemned {
            if self.condemned(p, first_unavailable.as_deref()) && self.ordered {
                return;
            }
        }
        let strategy = set.spec.update_strategy.as_ref().and_then(|u| u.type_.as_deref());
        if strategy.unwrap_or("RollingUpdate") == "RollingUpdate" {
            self.roll(&replicas);
        }
    }

    fn delete(&mut self, p: &Pod) {
        self.plan.steps.push(Step::Delete(Box::new(p.clone())));
    }

    /// One pod that should be there; answers whether those after it have to wait for it.
    fn replica(&mut self, p: &mut Pod) -> bool {
        if pods::is_terminal(p) {
            if !p.deleting() {
                self.delete(p);
            }
            return true;
        }
        let n = identity::ordinal(self.i.set.name(), p.name()).unwrap_or(0);
        if !exists(p) {
            if claims::when_scaled(self.i.set) {
                let stale = |c: &PersistentVolumeClaim| {
                    self.i.claims.get(c.name()).is_some_and(|c| claims::is_stale(c, p.name(), p.uid()))
                };
                if identity::claims(self.i.set, n).iter().any(stale) {
                    // It is being collected together with the pod before; nothing tells when it is gone.
                    self.plan.blocked =
                        Some(format!("a claim of pod {} still belongs to the pod before it", p.key()));
                    return true;
                }
            }
            if !self.make_claims(p, n) {
                return true;
            }
            self.plan.steps.push(Step::Create(Box::new(p.clone())));
            return true;
        }
        if pods::phase(p) == "Pending" && !self.make_claims(p, n) {
            return true;
        }
        if (p.deleting() || pods::phase(p) != "Running" || !self.available(p)) && self.ordered {
            return true;
        }
        if let Some(new) = identity::corrected(self.i.set, n, p) {
            self.make_claims(p, n);
            self.plan.steps.push(Step::Update(Box::new(new)));
        }
        self.fix_claims(p);
        false
    }

    /// Makes claims that are missing; answers false when one is just being deleted.
    fn make_claims(&mut self, p: &Pod, n: i32) -> bool {
        for c in identity::claims(self.i.set, n) {
            match self.i.claims.get(c.name()) {
                Some(have) if have.deleting() => {
                    self.plan.blocked = Some(format!("pvc {} is being deleted", c.name()));
                    return false;
                }
                Some(_) => {}
                None => {
                    let c = claims::corrected(&c, self.i.set, p).unwrap_or(c);
                    let pod = p.name().to_owned();
                    self.plan.steps.push(Step::CreateClaim { claim: Box::new(c), pod });
                }
            }
        }
        true
    }

    fn fix_claims(&mut self, p: &Pod) {
        let set = self.i.set;
        let Some(n) = identity::ordinal(set.name(), p.name()) else { return };
        for t in set.spec.volume_claim_templates.iter().flatten() {
            let Some(c) = self.i.claims.get(&identity::claim_name(set, t, n)) else { continue };
            if let Some(new) = claims::corrected(c, set, p) {
                if claims::has_other_controller(c, set, p) {
                    self.plan.steps.push(Step::Conflict(c.name().to_owned()));
                }
                self.plan.steps.push(Step::UpdateClaim(Box::new(new)));
            }
        }
    }

    /// One pod that should not be there; answers whether those after it have to wait for it.
    fn condemned(&mut self, p: &Pod, first_unavailable: Option<&str>) -> bool {
        if p.deleting() {
            return true;
        }
        let ready = pods::phase(p) == "Running" && self.available(p);
        if !ready && self.ordered && first_unavailable != Some(p.name()) {
            return true;
        }
        self.delete(p);
        true
    }

    /// Replaces pods of other revisions, from the last ordinal down to the partition.
    fn roll(&mut self, replicas: &[Pod]) {
        let set = self.i.set;
        let r = set.spec.update_strategy.as_ref().and_then(|u| u.rolling_update.as_ref());
        let partition = usize::try_from(r.and_then(|r| r.partition).unwrap_or(0)).unwrap_or(0);
        let one = IntOrString::Int(1);
        let max = r.and_then(|r| r.max_unavailable.as_ref()).unwrap_or(&one);
        let total = i32::try_from(replicas.len()).unwrap_or(i32::MAX);
        let max = usize::try_from(scaled(max, total, false).unwrap_or(1).max(1)).unwrap_or(1);
        let old = |p: &Pod| revision_of(p) != self.i.update.name && !p.deleting();
        let down = replicas.iter().filter(|p| self.unavailable(p)).count();
        let parallel = !self.ordered;
        let stuck = parallel && replicas.iter().any(|p| self.unavailable(p) && old(p));
        if down >= max && !stuck {
            return;
        }
        let targets: Vec<&Pod> =
            replicas.iter().skip(partition).rev().filter(|p| old(p) && exists(p)).collect();
        let mut budget = max.saturating_sub(down);
        let mut doomed: Vec<&Pod> = Vec::new();
        if parallel {
            // Those that serve nobody cost nothing.
            doomed.extend(targets.iter().filter(|p| !self.available(p)));
        }
        for p in targets {
            let counts = !parallel || self.available(p);
            if budget > 0 && counts {
                doomed.push(p);
                budget -= 1;
            }
        }
        let n = i32::try_from(doomed.len()).unwrap_or(0);
        for p in doomed {
            self.plan.steps.push(Step::Delete(Box::new(p.clone())));
        }
        let s = &mut self.plan.status;
        s.current_replicas =
            Some(s.current_replicas.unwrap_or(0).saturating_sub(n).max(0)).filter(|n| *n != 0);
    }
}

/// Whether the status has to be written.
pub fn status_differs(set: &StatefulSet, new: &StatefulSetStatus) -> bool {
    let old = set.status.clone().unwrap_or_default();
    let n = |v: Option<i32>| v.unwrap_or(0);
    new.observed_generation > old.observed_generation
        || new.replicas != old.replicas
        || n(new.current_replicas) != n(old.current_replicas)
        || n(new.ready_replicas) != n(old.ready_replicas)
        || n(new.updated_replicas) != n(old.updated_replicas)
        || n(new.available_replicas) != n(old.available_replicas)
        || n(new.collision_count) != n(old.collision_count)
        || new.current_revision != old.current_revision
        || new.update_revision != old.update_revision
        || new.conditions != old.conditions
}
