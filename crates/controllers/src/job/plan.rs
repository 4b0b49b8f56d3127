//! A Job's sync, in pure steps: what to do to pods, then what to write of it (upstream `job_controller.go`).
//!
//! A pod that ended is counted exactly once: its uid goes into `uncountedTerminatedPods`, then its finalizer is taken
//! off, then it moves from the list to the counter. Each of these is durable before the next begins.

use super::backoff::{self, Record};
use super::indexes::{self, Indexes};
use super::policy;
use crate::k8s::Timestamp;
use crate::k8s::batch::{Job, JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use crate::k8s::core::Pod;
use crate::util::meta::{MetaExt, whole};
use crate::util::pods;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
pub const FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
pub const IGNORED_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// The most uids that wait to be counted.
const MAX_UNCOUNTED: usize = 500;
/// The most pods made or deleted in a sync.
const MAX_PODS: usize = 500;

pub fn has_finalizer(p: &Pod) -> bool {
    p.has_finalizer(FINALIZER)
}
pub fn find<'a>(s: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    s.conditions.iter().flatten().find(|c| c.type_ == kind)
}
pub fn is_finished(j: &Job) -> bool {
    let is = |kind| j.status.as_ref().and_then(|s| find(s, kind)).is_some_and(|c| c.status == "True");
    is("Complete") || is("Failed")
}

/// A pod to make: of an index, with the failures of that index so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPod {
    pub index: Option<i32>,
    /// Counted and ignored failures, for Jobs that limit them by index.
    pub failures: Option<(i32, i32)>,
}

#[derive(Debug, Default)]
pub struct Actions {
    pub create: Vec<NewPod>,
    /// Places of pods to delete.
    pub delete: Vec<usize>,
    /// Take the finalizer off before deleting: the pods are not to be counted.
    pub uncounted: bool,
    pub retry: Option<Duration>,
    /// Warning or not, reason, message.
    pub events: Vec<(bool, &'static str, String)>,
}

/// A Job on its way through a sync.
pub struct Work<'a> {
    pub job: Job,
    pods: &'a [Pod],
    now: Timestamp,
    active: Vec<usize>,
    active_count: i32,
    ready: i32,
    terminating: i32,
    uncounted: (BTreeSet<String>, BTreeSet<String>),
    succeeded: i32,
    previous: Indexes,
    succeeded_indexes: Indexes,
    failed_indexes: Option<Indexes>,
    /// By index: the failed pod that keeps its finalizer until another takes its place, as it holds the count.
    delayed: BTreeMap<i32, usize>,
    pub record: Record,
    finished: Option<JobCondition>,
    flush: bool,
    managed: bool,
}

fn condition(kind: &str, reason: &str, message: impl Into<String>, now: Timestamp) -> JobCondition {
    JobCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_probe_time: Some(whole(now)),
        last_transition_time: Some(whole(now)),
    }
}

fn int(p: &Pod, annotation: &str) -> i32 {
    p.annotation(annotation).and_then(|v| v.parse().ok()).filter(|n: &i32| *n >= 0).unwrap_or(0)
}

impl<'a> Work<'a> {
    /// `pods` are those the Job controls.
    pub fn new(job: &Job, pods: &'a [Pod], record: &Record, now: Timestamp) -> Self {
        let mut job = job.clone();
        let status = job.status.get_or_insert_default();
        let u = status.uncounted_terminated_pods.get_or_insert_default();
        let set = |v: &Option<Vec<String>>| v.iter().flatten().cloned().collect();
        let uncounted = (set(&u.succeeded), set(&u.failed));
        let active: Vec<usize> = (0..pods.len()).filter(|i| pods::is_active(&pods[*i])).collect();
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        Self {
            active_count: count(active.len()),
            ready: count(active.iter().filter(|i| pods::is_ready(&pods[**i])).count()),
            terminating: count(pods.iter().filter(|p| pods::is_terminating(p)).count()),
            job,
            pods,
            now,
            active,
            uncounted,
            succeeded: 0,
            previous: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            delayed: BTreeMap::new(),
            record: record.clone(),
            finished: None,
            flush: false,
            managed: false,
        }
    }

    fn spec(&self) -> JobSpec {
        self.job.spec.clone().unwrap_or_default()
    }
    fn status(&mut self) -> &mut JobStatus {
        self.job.status.get_or_insert_default()
    }
    fn indexed(&self) -> bool {
        self.job.spec.as_ref().and_then(|s| s.completion_mode.as_deref()) == Some("Indexed")
    }
    fn completions(&self) -> i32 {
        self.job.spec.as_ref().and_then(|s| s.completions).unwrap_or(0)
    }
    fn per_index(&self) -> Option<i32> {
        self.job.spec.as_ref().and_then(|s| s.backoff_limit_per_index)
    }
    fn suspended(&self) -> bool {
        self.job.spec.as_ref().and_then(|s| s.suspend) == Some(true)
    }
    /// Pods are replaced only once they have ended, not while they are being deleted.
    fn only_failed(&self) -> bool {
        self.job.spec.as_ref().and_then(|s| s.pod_replacement_policy.as_deref()) == Some("Failed")
    }
    fn has_failed(&self, p: &Pod) -> bool {
        pods::phase(p) == "Failed" || (!self.only_failed() && p.deleting() && pods::phase(p) != "Succeeded")
    }
    /// The pod's index, if it is one of the Job's.
    fn index(&self, p: &Pod) -> Option<i32> {
        indexes::of(p).filter(|i| *i < self.completions())
    }
    /// Pods that ended, have their finalizer, and are in no list yet.
    fn fresh(&self, listed: &BTreeSet<String>, f: impl Fn(&Pod) -> bool) -> Vec<&'a Pod> {
        let valid = |p: &&'a Pod| {
            has_finalizer(p)
                && !listed.contains(p.uid())
                && (!self.indexed() || self.index(p).is_some())
                && f(p)
        };
        self.pods.iter().filter(valid).collect()
    }

    /// Decides what to do to pods.
    pub fn decide(&mut self) -> Actions {
        let mut actions = Actions::default();
        let spec = self.spec();
        let done = self.fresh(&self.uncounted.0, |p| pods::phase(p) == "Succeeded");
        let failed = self.fresh(&self.uncounted.1, |p| self.has_failed(p));
        let counted_failures = failed.iter().filter(|p| policy::judge(&self.job, p).counts).count();
        let old = self.job.status.clone().unwrap_or_default();
        let sum = |n: Option<i32>, a: usize, b: usize| n.unwrap_or(0) + (a + b) as i32;
        self.succeeded = sum(old.succeeded, done.len(), self.uncounted.0.len());
        let failures = sum(old.failed, counted_failures, self.uncounted.1.len());
        self.record = self.record.after(&done, &failed);
        if old.start_time.is_none() && !self.suspended() {
            let now = whole(self.now);
            self.status().start_time = Some(now);
        }
        self.finished = self.verdict(&spec, &old, failures, &mut actions);
        if self.indexed() {
            self.count_indexes(&old);
            self.succeeded = self.succeeded_indexes.total();
            self.index_verdict(&spec);
        }
        if self.finished.is_some() {
            actions.delete.clone_from(&self.active);
        } else if !self.job.deleting() {
            self.managed = true;
            self.manage(&spec, &mut actions);
        }
        actions
    }

    fn fail(&self, reason: &str, message: &str) -> Option<JobCondition> {
        Some(condition("FailureTarget", reason, message, self.now))
    }

    /// Whether the Job is over, by conditions set before, failures or time.
    fn verdict(
        &self,
        spec: &JobSpec,
        old: &JobStatus,
        failures: i32,
        actions: &mut Actions,
    ) -> Option<JobCondition> {
        let set = |kind: &str| find(old, kind).filter(|c| c.status == "True");
        if let Some(c) = set("SuccessCriteriaMet") {
            return Some(c.clone());
        }
        if let Some(c) = set("FailureTarget") {
            let text = |s: &Option<String>| s.clone().unwrap_or_default();
            return Some(condition("Failed", &text(&c.reason), text(&c.message), self.now));
        }
        let fatal = |p: &Pod| self.has_failed(p).then(|| policy::judge(&self.job, p).job_fails)?;
        if let Some(why) = self.pods.iter().find_map(fatal) {
            return self.fail("PodFailurePolicy", &why);
        }
        let limit = spec.backoff_limit.unwrap_or(6);
        if failures > limit || self.restarts_exceed(spec, limit) {
            return self.fail("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        let deadline = spec.active_deadline_seconds.filter(|_| !self.suspended())?;
        let start = self.job.status.as_ref()?.start_time.as_ref()?;
        let left = deadline * 1000 - self.now.duration_since(start.0).as_millis() as i64;
        match u64::try_from(left) {
            Ok(ms) if ms > 0 => {
                actions.retry = Some(Duration::from_millis(ms));
                None
            }
            _ => self.fail("DeadlineExceeded", "Job was active longer than specified deadline"),
        }
    }

    /// With containers restarted in place, their restarts are the failures.
    fn restarts_exceed(&self, spec: &JobSpec, limit: i32) -> bool {
        if spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let of = |p: &Pod| -> i32 {
            let Some(s) = p.status.as_ref().filter(|_| matches!(pods::phase(p), "Running" | "Pending"))
            else {
                return 0;
            };
            let all = s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten());
            all.map(|c| c.restart_count).sum()
        };
        let total: i32 = self.pods.iter().map(of).sum();
        if limit == 0 { total > 0 } else { total >= limit }
    }

    fn index_failed(&self, p: &Pod, limit: i32) -> bool {
        if !self.has_failed(p) {
            return false;
        }
        let f = policy::judge(&self.job, p);
        f.index_fails || (f.counts && int(p, FAILURE_COUNT) >= limit)
    }

    fn count_indexes(&mut self, old: &JobStatus) {
        let n = self.completions();
        let of = |f: &dyn Fn(&Pod) -> bool| -> BTreeSet<i32> {
            let all = self.pods.iter().filter(|p| has_finalizer(p) && f(p));
            all.filter_map(|p| self.index(p)).collect()
        };
        let previous = Indexes::parse(old.completed_indexes.as_deref().unwrap_or_default(), n);
        let succeeded = previous.clone().with(of(&|p| pods::phase(p) == "Succeeded"));
        let mut failed = None;
        let mut delayed = BTreeMap::new();
        if let Some(limit) = self.per_index() {
            let new = of(&|p| self.index_failed(p, limit));
            let f = Indexes::parse(old.failed_indexes.as_deref().unwrap_or_default(), n).with(new);
            let active = indexes::all_of(self.active.iter().map(|i| &self.pods[*i]));
            for (at, p) in self.pods.iter().enumerate() {
                let Some(i) = self.index(p).filter(|_| has_finalizer(p) && self.has_failed(p)) else {
                    continue;
                };
                if succeeded.has(i) || f.has(i) || active.contains(&i) {
                    continue;
                }
                let total = |p: &Pod| int(p, FAILURE_COUNT) + int(p, IGNORED_COUNT);
                let newer = delayed.get(&i).is_none_or(|k: &usize| {
                    let k = &self.pods[*k];
                    total(k) <= total(p) && backoff::finished(p) >= backoff::finished(k)
                });
                if newer {
                    delayed.insert(i, at);
                }
            }
            failed = Some(f);
        }
        (self.previous, self.succeeded_indexes, self.failed_indexes, self.delayed) =
            (previous, succeeded, failed, delayed);
    }

    fn index_verdict(&mut self, spec: &JobSpec) {
        if self.finished.is_some() {
            return;
        }
        if let Some(f) = &self.failed_indexes {
            if spec.max_failed_indexes.is_some_and(|m| f.total() > m) {
                let why = "Job has exceeded the specified maximal number of failed indexes";
                self.finished = self.fail("MaxFailedIndexesExceeded", why);
            } else if f.total() > 0 && f.total() + self.succeeded_indexes.total() >= self.completions() {
                self.finished = self.fail("FailedIndexes", "Job has failed indexes");
            }
        }
        if self.finished.is_none()
            && let Some(text) = policy::success(&self.job, &self.succeeded_indexes)
        {
            self.finished = Some(condition("SuccessCriteriaMet", "SuccessPolicy", text, self.now));
        }
    }

    fn manage(&mut self, spec: &JobSpec, actions: &mut Actions) {
        if self.suspended() {
            actions.delete = self.active.clone();
            actions.uncounted = true;
            return;
        }
        let parallelism = spec.parallelism.unwrap_or(1);
        let active = self.active_count;
        let want = match spec.completions {
            // One success ends it; those that run may go on.
            None if self.succeeded > 0 => active,
            None => parallelism,
            Some(n) => (n - self.succeeded).min(parallelism).max(0),
        };
        let surplus = usize::try_from(active - want).unwrap_or(0);
        let mut remove = self.to_remove(surplus);
        remove.truncate(MAX_PODS);
        if !remove.is_empty() {
            actions.delete = remove;
            actions.uncounted = true;
            // The rest waits until the pods are gone from the cache.
            return;
        }
        let going = if self.only_failed() { self.terminating } else { 0 };
        let missing = usize::try_from(want - going - active).unwrap_or(0).min(MAX_PODS);
        if missing == 0 {
            return;
        }
        if self.per_index().is_none() {
            let wait = self.record.remaining(self.now);
            if !wait.is_zero() {
                actions.retry = Some(actions.retry.map_or(wait, |r| r.min(wait)));
                return;
            }
        }
        if !self.indexed() {
            actions.create = vec![NewPod { index: None, failures: None }; missing];
            return;
        }
        let active = self.active.iter().map(|i| &self.pods[*i]);
        let mut taken = self.succeeded_indexes.clone().with(indexes::all_of(active));
        if self.only_failed() {
            taken = taken.with(indexes::all_of(self.pods.iter().filter(|p| pods::is_terminating(p))));
        }
        if let Some(f) = &self.failed_indexes {
            taken = taken.merged(f);
        }
        let mut soonest: Option<Duration> = None;
        for i in taken.first_missing(missing, self.completions()) {
            let before = self.delayed.get(&i).map(|k| &self.pods[*k]);
            if let (Some(_), Some(p)) = (self.per_index(), before) {
                let n = int(p, FAILURE_COUNT) + int(p, IGNORED_COUNT) + 1;
                let wait = backoff::remaining(n as u32, Some(backoff::finished(p)), self.now);
                if !wait.is_zero() {
                    soonest = Some(soonest.map_or(wait, |s| s.min(wait)));
                    continue;
                }
            }
            let failures = self.per_index().map(|_| match before {
                None => (0, 0),
                Some(p) => {
                    let counted = policy::judge(&self.job, p).counts;
                    (int(p, FAILURE_COUNT) + i32::from(counted), int(p, IGNORED_COUNT) + i32::from(!counted))
                }
            });
            actions.create.push(NewPod { index: Some(i), failures });
        }
        if let Some(wait) = soonest {
            actions.retry = Some(actions.retry.map_or(wait, |r| r.min(wait)));
        }
    }

    /// Active pods to delete: doubles of an index and those of none, then as many more as are too many.
    fn to_remove(&self, at_least: usize) -> Vec<usize> {
        let worst_first = |list: &mut Vec<usize>| {
            list.sort_by(|a, b| pods::deletion_order((&self.pods[*a], 0), (&self.pods[*b], 0), None));
        };
        let (mut remove, mut left) = (Vec::new(), Vec::new());
        if self.indexed() {
            let mut by_index: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
            for &i in &self.active {
                match self.index(&self.pods[i]) {
                    Some(ix) => by_index.entry(ix).or_default().push(i),
                    None => remove.push(i),
                }
            }
            for mut same in by_index.into_values() {
                worst_first(&mut same);
                left.extend(same.pop());
                remove.append(&mut same);
            }
        } else {
            left.clone_from(&self.active);
        }
        if remove.len() < at_least {
            worst_first(&mut left);
            left.truncate(at_least - remove.len());
            remove.append(&mut left);
        }
        remove
    }

    /// Takes note of what was done: pods made, and places of pods deleted.
    pub fn done(&mut self, created: usize, deleted: &[usize], all: bool, actions: &mut Actions) {
        let n = |v: usize| i32::try_from(v).unwrap_or(i32::MAX);
        self.active_count += n(created) - n(deleted.len());
        self.terminating += n(deleted.len());
        self.ready -= n(deleted.iter().filter(|i| pods::is_ready(&self.pods[**i])).count());
        let managed = self.managed;
        if self.finished.is_some() {
            if !all {
                self.finished = None;
            }
        } else {
            let complete = match self.job.spec.as_ref().and_then(|s| s.completions) {
                None => self.succeeded > 0 && self.active_count == 0,
                Some(c) => self.succeeded >= c && self.active_count == 0,
            };
            if complete {
                let text = "Reached expected number of succeeded pods";
                self.finished = Some(condition("SuccessCriteriaMet", "CompletionsReached", text, self.now));
            } else if managed {
                self.note_suspension(actions);
            }
        }
        let (active, ready, terminating) = (self.active_count, self.ready.max(0), self.terminating);
        let s = self.status();
        let changed =
            s.active.unwrap_or(0) != active || s.ready != Some(ready) || s.terminating != Some(terminating);
        s.active = Some(active).filter(|n| *n != 0);
        s.ready = Some(ready);
        s.terminating = Some(terminating);
        self.flush |= changed;
    }

    fn note_suspension(&mut self, actions: &mut Actions) {
        let now = self.now;
        if self.suspended() {
            if self.ensure("Suspended", "True", "JobSuspended", "Job suspended") {
                actions.events.push((false, "Suspended", "Job suspended".into()));
                if schema::facts::gate("MutableSchedulingDirectivesForSuspendedJobs") {
                    self.status().start_time = None;
                }
            }
        } else if self.ensure("Suspended", "False", "JobResumed", "Job resumed") {
            actions.events.push((false, "Resumed", "Job resumed".into()));
            self.status().start_time = Some(whole(now));
        }
    }

    /// Sets a condition; one that is not there is not set to False.
    fn ensure(&mut self, kind: &str, status: &str, reason: &str, message: &str) -> bool {
        let new = JobCondition { status: status.into(), ..condition(kind, reason, message, self.now) };
        let all = self.status().conditions.get_or_insert_default();
        let changed = match all.iter_mut().find(|c| c.type_ == kind) {
            Some(c) if c.status == status && c.reason == new.reason && c.message == new.message => false,
            Some(c) => {
                *c = new;
                true
            }
            None if status == "False" => false,
            None => {
                all.push(new);
                true
            }
        };
        if self.status().conditions.as_ref().is_some_and(Vec::is_empty) {
            self.status().conditions = None;
        }
        self.flush |= changed;
        changed
    }

    /// Puts newly ended pods into the lists. Answers whether the status has to be written now, and the places of pods
    /// whose finalizer goes after that.
    pub fn track(&mut self) -> (bool, Vec<usize>) {
        let with: BTreeSet<&str> = self.pods.iter().filter(|p| has_finalizer(p)).map(MetaExt::uid).collect();
        self.clean(&with);
        let mut order: Vec<usize> = (0..self.pods.len()).collect();
        if self.indexed() {
            order.sort_by_key(|i| indexes::of(&self.pods[*i]).unwrap_or(-1));
        }
        let mut release = Vec::new();
        let mut new_indexes = BTreeSet::new();
        let mut lists = self.status().uncounted_terminated_pods.clone().unwrap_or_default();
        let success = self.finished.as_ref().is_some_and(|c| c.type_ == "SuccessCriteriaMet");
        for i in order {
            let p = &self.pods[i];
            if !has_finalizer(p) {
                continue;
            }
            let failed = self.has_failed(p);
            if !self.may_release(i, failed) {
                continue;
            }
            release.push(i);
            if pods::phase(p) == "Succeeded" && !self.uncounted.1.contains(p.uid()) {
                if self.indexed() {
                    // Indexes are counted directly: they cannot be counted twice.
                    if let Some(ix) = self.index(p).filter(|ix| !self.previous.has(*ix)) {
                        new_indexes.insert(ix);
                        self.flush = true;
                    }
                } else if !self.uncounted.0.contains(p.uid()) {
                    lists.succeeded.get_or_insert_default().push(p.uid().to_owned());
                    self.flush = true;
                }
            } else if failed || (self.finished.is_some() && !success) {
                let ours = !self.indexed() || self.index(p).is_some();
                if ours && !self.uncounted.1.contains(p.uid()) && policy::judge(&self.job, p).counts {
                    lists.failed.get_or_insert_default().push(p.uid().to_owned());
                    self.flush = true;
                }
            }
            let len = |v: &Option<Vec<String>>| v.as_ref().map_or(0, Vec::len);
            if new_indexes.len() + len(&lists.succeeded) + len(&lists.failed) >= MAX_UNCOUNTED {
                break;
            }
        }
        self.status().uncounted_terminated_pods = Some(lists);
        if self.indexed() {
            let all = self.succeeded_indexes.clone().with(new_indexes);
            let failed = self.failed_indexes.as_ref().map(ToString::to_string);
            let text = Some(all.to_string()).filter(|t| !t.is_empty());
            let s = self.status();
            let changed = s.completed_indexes != text || s.failed_indexes != failed;
            s.succeeded = Some(all.total()).filter(|n| *n != 0);
            s.completed_indexes = text;
            s.failed_indexes = failed;
            self.flush |= changed;
            self.succeeded_indexes = all;
        }
        self.interim();
        (std::mem::take(&mut self.flush), release)
    }

    /// The condition that says how the Job will end goes before the one that says it ended.
    fn interim(&mut self) {
        let Some(c) = self.finished.clone() else { return };
        let text = |s: &Option<String>| s.clone().unwrap_or_default();
        let last = match c.type_.as_str() {
            "FailureTarget" => "Failed",
            "SuccessCriteriaMet" => "Complete",
            _ => return,
        };
        let now = self.now;
        self.finished = Some(condition(last, &text(&c.reason), text(&c.message), now));
        if find(self.status(), &c.type_).is_none_or(|x| x.status != "True") {
            self.status().conditions.get_or_insert_default().push(c);
            self.flush = true;
        }
    }

    fn may_release(&self, i: usize, failed: bool) -> bool {
        let p = &self.pods[i];
        if self.job.deleting() || self.finished.is_some() || pods::phase(p) == "Succeeded" {
            return true;
        }
        failed && self.index(p).is_none_or(|ix| self.delayed.get(&ix) != Some(&i))
    }

    /// Counts listed pods that have no finalizer any more.
    fn clean(&mut self, with_finalizer: &BTreeSet<&str>) -> bool {
        let s = self.status();
        let mut lists = s.uncounted_terminated_pods.clone().unwrap_or_default();
        let split = |list: &mut Option<Vec<String>>| {
            let before = list.as_ref().map_or(0, Vec::len);
            if let Some(l) = list {
                l.retain(|uid| with_finalizer.contains(uid.as_str()));
            }
            let counted = before - list.as_ref().map_or(0, Vec::len);
            if list.as_ref().is_some_and(Vec::is_empty) {
                *list = None;
            }
            i32::try_from(counted).unwrap_or(0)
        };
        let (done, failed) = (split(&mut lists.succeeded), split(&mut lists.failed));
        if done > 0 {
            s.succeeded = Some(s.succeeded.unwrap_or(0) + done);
        }
        if failed > 0 {
            s.failed = Some(s.failed.unwrap_or(0) + failed);
        }
        s.uncounted_terminated_pods = Some(lists);
        let changed = done + failed > 0;
        self.flush |= changed;
        changed
    }

    /// After finalizers were taken off: answers whether the status has to be written again, and how the Job ended if it
    /// did.
    pub fn count(&mut self, released: &BTreeSet<String>) -> (bool, Option<JobCondition>) {
        let pods = self.pods;
        let with: BTreeSet<&str> = pods
            .iter()
            .filter(|p| has_finalizer(p))
            .map(MetaExt::uid)
            .filter(|u| !released.contains(*u))
            .collect();
        let changed = self.clean(&with);
        let Some(c) = self.finished.clone() else { return (changed, None) };
        let lists: UncountedTerminatedPods =
            self.status().uncounted_terminated_pods.clone().unwrap_or_default();
        if lists.succeeded.is_some() || lists.failed.is_some() || self.terminating > 0 {
            return (changed, None);
        }
        let text = |s: &Option<String>| s.clone().unwrap_or_default();
        self.ensure(&c.type_.clone(), "True", &text(&c.reason), &text(&c.message));
        if c.type_ == "Complete" {
            self.status().completion_time.clone_from(&c.last_transition_time);
        }
        (true, Some(c))
    }
}
