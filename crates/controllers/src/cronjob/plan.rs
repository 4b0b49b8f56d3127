//! When a CronJob starts its next Job, and which old ones it keeps.

use crate::k8s::batch::{CronJob, CronJobStatus, Job};
use crate::k8s::core::ObjectReference;
use crate::k8s::{Map, ObjectMeta, Timestamp};
use crate::util::cron::{self, Schedule};
use crate::util::jobs::finished;
use crate::util::meta::{MetaExt, controller_ref};
use jiff::tz::TimeZone;
use std::time::Duration;

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// A little later than the schedule says, so that it is surely past.
const DELTA: Duration = Duration::from_millis(100);

#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

pub fn normal(reason: &'static str, message: impl Into<String>) -> Event {
    Event { warning: false, reason, message: message.into() }
}
pub fn warning(reason: &'static str, message: impl Into<String>) -> Event {
    Event { warning: true, reason, message: message.into() }
}

pub fn active(status: &CronJobStatus) -> &[ObjectReference] {
    status.active.as_deref().unwrap_or_default()
}
pub fn lists(status: &CronJobStatus, uid: &str) -> bool {
    active(status).iter().any(|r| r.uid.as_deref() == Some(uid))
}
/// Answers whether it was there.
pub fn unlist(status: &mut CronJobStatus, uid: &str) -> bool {
    let Some(list) = &mut status.active else { return false };
    let n = list.len();
    list.retain(|r| r.uid.as_deref() != Some(uid));
    let gone = list.len() != n;
    if list.is_empty() {
        status.active = None;
    }
    gone
}
pub fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".into()),
        kind: Some("Job".into()),
        name: Some(job.name().into()),
        namespace: Some(job.namespace().into()),
        uid: Some(job.uid().into()),
        resource_version: job.metadata.resource_version.clone(),
        field_path: None,
    }
}

/// The finished jobs beyond the limits of the history, oldest first.
pub fn history<'a>(cj: &CronJob, jobs: &'a [Job]) -> Vec<&'a Job> {
    let spec = &cj.spec;
    let limits =
        [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)];
    let mut out = Vec::new();
    for (kind, limit) in limits {
        let Some(limit) = limit.and_then(|l| usize::try_from(l).ok()) else { continue };
        let mut all: Vec<&Job> =
            jobs.iter().filter(|j| finished(j).is_some_and(|c| c.type_ == kind)).collect();
        let start = |j: &Job| j.status.as_ref().and_then(|s| s.start_time.as_ref()).map(|t| t.0);
        all.sort_by(|a, b| {
            let (x, y) = (start(a), start(b));
            x.is_none().cmp(&y.is_none()).then(x.cmp(&y)).then_with(|| a.name().cmp(b.name()))
        });
        all.truncate(all.len().saturating_sub(limit));
        out.extend(all);
    }
    out
}

/// Takes note of jobs that have ended. Answers what to say, and whether the status changed.
pub fn observe(status: &mut CronJobStatus, jobs: &[Job]) -> (Vec<Event>, bool) {
    let (mut events, mut changed) = (Vec::new(), false);
    for j in jobs {
        match finished(j) {
            None if !lists(status, j.uid()) => {
                let text = format!("Saw a job that the controller did not create or forgot: {}", j.name());
                events.push(warning("UnexpectedJob", text));
            }
            None => {}
            Some(c) => {
                if unlist(status, j.uid()) {
                    let text = format!("Saw completed job: {}, condition: {}", j.name(), c.type_);
                    events.push(normal("SawCompletedJob", text));
                    changed = true;
                }
                let done = j.status.as_ref().and_then(|s| s.completion_time.as_ref());
                if let Some(t) = done.filter(|_| c.type_ == "Complete")
                    && status.last_successful_time.as_ref().is_none_or(|last| t.0 > last.0)
                {
                    status.last_successful_time = Some(t.clone());
                    changed = true;
                }
            }
        }
    }
    (events, changed)
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until then or until something changes.
    Wait(Option<Duration>),
    /// A job for this time; the running ones go before when they are to be replaced.
    Start { at: Timestamp, replace: bool, then: Option<Duration> },
}

pub fn next(cj: &CronJob, status: &CronJobStatus, now: Timestamp) -> (Next, Vec<Event>) {
    let mut events = Vec::new();
    let idle = Next::Wait(None);
    let spec = &cj.spec;
    if let Some(z) = &spec.time_zone
        && let Err(e) = cron::zone(z)
    {
        events.push(warning("UnknownTimeZone", format!("invalid timeZone: {z:?}: {e}")));
        return (idle, events);
    }
    if spec.suspend == Some(true) {
        return (idle, events);
    }
    if spec.schedule.contains("TZ") {
        let text = format!(
            "CRON_TZ or TZ used in schedule {:?} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
            spec.schedule
        );
        events.push(warning("UnsupportedSchedule", text));
    }
    let schedule = match schedule(cj) {
        Ok(s) => s,
        Err(e) => {
            let text = format!("unparseable schedule: {:?} : {e}", spec.schedule);
            events.push(warning("UnparseableSchedule", text));
            return (idle, events);
        }
    };
    let then = until_next(cj, status, &schedule, now);
    let recent = recent(cj, status, &schedule, now, true);
    let Some(at) = recent.last else { return (Next::Wait(then), events) };
    if recent.missed > 100 {
        let text =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        events.push(warning("TooManyMissedTimes", text));
    }
    let late = |s: i64| at.as_second().saturating_add(s) < now.as_second();
    if spec.starting_deadline_seconds.is_some_and(late) {
        let when = at.strftime("%a, %d %b %Y %H:%M:%S UTC");
        events.push(warning("MissSchedule", format!("Missed scheduled time to start a job: {when}")));
        return (Next::Wait(then), events);
    }
    let name = job_name(cj, at);
    let known = active(status).iter().any(|r| r.name.as_deref() == Some(&name));
    if known || status.last_schedule_time.as_ref().is_some_and(|t| t.0 == at) {
        return (Next::Wait(then), events);
    }
    let policy = spec.concurrency_policy.as_deref().unwrap_or("Allow");
    if policy == "Forbid" && !active(status).is_empty() {
        let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
        events.push(normal("JobAlreadyActive", text));
        return (Next::Wait(then), events);
    }
    (Next::Start { at, replace: policy == "Replace", then }, events)
}

fn location(cj: &CronJob) -> TimeZone {
    let name = cj.spec.time_zone.as_deref().unwrap_or_default();
    cron::zone(name).unwrap_or(TimeZone::UTC)
}
pub fn schedule(cj: &CronJob) -> Result<Schedule, String> {
    Schedule::parse(&cj.spec.schedule, location(cj))
}

struct Recent {
    earliest: Timestamp,
    /// The last time that is past.
    last: Option<Timestamp>,
    missed: i64,
    broken: bool,
}

fn minus(t: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(t.as_second().saturating_sub(seconds)).unwrap_or(Timestamp::MIN)
}

fn recent(cj: &CronJob, status: &CronJobStatus, s: &Schedule, now: Timestamp, deadline: bool) -> Recent {
    let mut earliest = cj.created().unwrap_or(now);
    if let Some(t) = &status.last_schedule_time {
        earliest = t.0;
    }
    if let Some(d) = cj.spec.starting_deadline_seconds.filter(|_| deadline) {
        earliest = earliest.max(minus(now, d));
    }
    let none = Recent { earliest, last: None, missed: 0, broken: false };
    let Some(t1) = s.next(earliest).filter(|t| *t <= now) else { return none };
    let Some(t2) = s.next(t1).filter(|t| *t <= now) else { return Recent { last: Some(t1), ..none } };
    // Not one by one: there may be very many.
    let between = t2.as_second() - t1.as_second();
    if between < 1 {
        return Recent { broken: true, ..none };
    }
    let missed = (now.as_second() - t1.as_second()) / between + 1;
    let from = Timestamp::from_second(t1.as_second() + (missed - 2) * between).unwrap_or(t1);
    let mut last = None;
    let mut t = s.next(from);
    while let Some(x) = t.filter(|x| *x <= now) {
        last = Some(x);
        t = s.next(x);
    }
    Recent { earliest, last, missed, broken: false }
}

/// How long until the next start.
pub fn until_next(cj: &CronJob, status: &CronJobStatus, s: &Schedule, now: Timestamp) -> Option<Duration> {
    let r = recent(cj, status, s, now, false);
    let from = match r.last {
        _ if r.broken => now,
        Some(t) => t,
        None if r.missed == 0 => r.earliest,
        None => now,
    };
    let left = s.next(from)?.as_millisecond() - now.as_millisecond();
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)) + DELTA)
}

pub fn job_name(cj: &CronJob, at: Timestamp) -> String {
    format!("{}-{}", cj.name(), at.as_second().div_euclid(60))
}

pub fn job(cj: &CronJob, at: Timestamp) -> Job {
    let template = cj.spec.job_template.clone();
    let m = template.metadata.unwrap_or_default();
    let mut annotations: Map = m.annotations.unwrap_or_default();
    let local = at.to_zoned(location(cj));
    let format =
        if *local.time_zone() == TimeZone::UTC { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    annotations.insert(SCHEDULED.into(), local.strftime(format).to_string());
    Job {
        metadata: ObjectMeta {
            name: Some(job_name(cj, at)),
            namespace: cj.metadata.namespace.clone(),
            labels: m.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_ref(cj)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}
