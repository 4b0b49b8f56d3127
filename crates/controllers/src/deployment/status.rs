//! The status of a Deployment and its conditions.

use super::plan::{Work, available, max_unavailable, size, wanted};
use crate::k8s::Timestamp;
use crate::k8s::apps::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use crate::util::meta::{MetaExt, whole};
use std::time::Duration;

const PROGRESSING: &str = "Progressing";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const AVAILABLE: &str = "NewReplicaSetAvailable";

fn has_deadline(d: &Deployment) -> bool {
    d.spec.progress_deadline_seconds.is_some_and(|s| s != i32::MAX)
}

fn get<'a>(s: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    s.conditions.iter().flatten().find(|c| c.type_.as_deref() == Some(kind))
}
fn remove(s: &mut DeploymentStatus, kind: &str) {
    if let Some(all) = &mut s.conditions {
        all.retain(|c| c.type_.as_deref() != Some(kind));
        if all.is_empty() {
            s.conditions = None;
        }
    }
}
/// Replaces a condition, unless status and reason stay; the time of transition is kept with the status.
fn set(s: &mut DeploymentStatus, mut c: DeploymentCondition) {
    let kind = c.type_.clone().unwrap_or_default();
    if let Some(old) = get(s, &kind) {
        if old.status == c.status && old.reason == c.reason {
            return;
        }
        if old.status == c.status {
            c.last_transition_time.clone_from(&old.last_transition_time);
        }
    }
    remove(s, &kind);
    s.conditions.get_or_insert_default().push(c);
}
fn condition(kind: &str, status: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: Some(kind.into()),
        status: Some(status.into()),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: Some(whole(now)),
        last_transition_time: Some(whole(now)),
    }
}
fn reason(c: &DeploymentCondition) -> &str {
    c.reason.as_deref().unwrap_or_default()
}

/// Says that the Deployment was paused or resumed, so that a pause is not taken for lack of progress.
pub fn note_pause(d: &mut Deployment, now: Timestamp) {
    if !has_deadline(d) {
        return;
    }
    let s = d.status.get_or_insert_default();
    let old = get(s, PROGRESSING).map(|c| reason(c).to_owned()).unwrap_or_default();
    if old == TIMED_OUT {
        return;
    }
    let paused = d.spec.paused.unwrap_or(false);
    let c = |reason: &str, message: &str| condition(PROGRESSING, "Unknown", reason, message.into(), now);
    if paused && old != "DeploymentPaused" {
        set(s, c("DeploymentPaused", "Deployment is paused"));
    } else if !paused && old == "DeploymentPaused" {
        set(s, c("DeploymentResumed", "Deployment is resumed"));
    }
}

/// The first word on progress when there is none yet.
pub fn found(d: &mut Deployment, set_name: &str, now: Timestamp) {
    if has_deadline(d) && d.status.as_ref().is_none_or(|s| get(s, PROGRESSING).is_none()) {
        let text = format!("Found new replica set {set_name:?}");
        set(
            d.status.get_or_insert_default(),
            condition(PROGRESSING, "True", "FoundNewReplicaSet", text, now),
        );
    }
}
pub fn created(d: &mut Deployment, set_name: &str, now: Timestamp) {
    if has_deadline(d) {
        let text = format!("Created new replica set {set_name:?}");
        set(
            d.status.get_or_insert_default(),
            condition(PROGRESSING, "True", "NewReplicaSetCreated", text, now),
        );
    }
}
/// The Deployment with the condition that its ReplicaSet could not be made.
pub fn create_failed(d: &Deployment, message: String, now: Timestamp) -> Option<Deployment> {
    if !has_deadline(d) {
        return None;
    }
    let mut new = d.clone();
    let c = condition(PROGRESSING, "False", "ReplicaSetCreateError", message, now);
    set(new.status.get_or_insert_default(), c);
    (new.status != d.status).then_some(new)
}

/// Counts, and whether enough is available.
pub fn of(d: &Deployment, w: &Work<'_>, now: Timestamp) -> DeploymentStatus {
    let old = d.status.clone().unwrap_or_default();
    let alive = || w.sets.iter();
    let actual = |s: &ReplicaSet| s.status.as_ref().map_or(0, |s| s.replicas);
    let ready = |s: &ReplicaSet| s.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0);
    let available_replicas: i32 = alive().map(available).sum();
    let total: i32 = alive().map(size).sum();
    let mut terminating = Some(0);
    for s in alive() {
        let st = s.status.clone().unwrap_or_default();
        match st.terminating_replicas {
            Some(n) => terminating = terminating.map(|t| t + n),
            // One that its controller has not looked at yet has none.
            None if st.observed_generation.unwrap_or(0) == 0 => {}
            None => terminating = None,
        }
    }
    let mut s = DeploymentStatus {
        observed_generation: Some(d.generation()),
        replicas: nonzero(alive().map(actual).sum()),
        updated_replicas: nonzero(w.new.map_or(0, |i| actual(&w.sets[i]))),
        ready_replicas: nonzero(alive().map(ready).sum()),
        available_replicas: nonzero(available_replicas),
        unavailable_replicas: nonzero((total - available_replicas).max(0)),
        terminating_replicas: terminating,
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    let c = if available_replicas >= wanted(d) - max_unavailable(d) {
        condition(
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.".into(),
            now,
        )
    } else {
        condition(
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.".into(),
            now,
        )
    };
    set(&mut s, c);
    s
}

/// As the API omits zeros.
fn nonzero(n: i32) -> Option<i32> {
    (n != 0).then_some(n)
}

pub fn is_complete(d: &Deployment, s: &DeploymentStatus) -> bool {
    let n = |v: Option<i32>| v.unwrap_or(0) == wanted(d);
    n(s.updated_replicas)
        && n(s.replicas)
        && n(s.available_replicas)
        && s.observed_generation.unwrap_or(0) >= d.generation()
}

/// The status during a rollout, with its progress.
pub fn rollout(d: &Deployment, w: &Work<'_>, now: Timestamp) -> DeploymentStatus {
    let mut s = of(d, w, now);
    if !has_deadline(d) {
        remove(&mut s, PROGRESSING);
    }
    let old = d.status.clone().unwrap_or_default();
    let current = get(&old, PROGRESSING).cloned();
    let done = s.replicas == s.updated_replicas && current.as_ref().is_some_and(|c| reason(c) == AVAILABLE);
    if has_deadline(d) && !done {
        let who = match w.new {
            Some(i) => format!("ReplicaSet {:?}", w.sets[i].name()),
            None => format!("Deployment {:?}", d.name()),
        };
        if is_complete(d, &s) {
            let text = format!("{who} has successfully progressed.");
            set(&mut s, condition(PROGRESSING, "True", AVAILABLE, text, now));
        } else if progresses(&old, &s) {
            let text = format!("{who} is progressing.");
            let mut c = condition(PROGRESSING, "True", "ReplicaSetUpdated", text, now);
            // The time of the update moves with each step, even when nothing else changes.
            if let Some(old) = current.filter(|c| c.status.as_deref() == Some("True")) {
                c.last_transition_time = old.last_transition_time;
            }
            remove(&mut s, PROGRESSING);
            set(&mut s, c);
        } else if timed_out(d, &s, now) {
            let text = format!("{who} has timed out progressing.");
            set(&mut s, condition(PROGRESSING, "False", TIMED_OUT, text, now));
        }
    }
    match failure(w) {
        Some(c) => set(&mut s, c),
        None => remove(&mut s, "ReplicaFailure"),
    }
    s
}

fn progresses(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let n = |v: Option<i32>| v.unwrap_or(0);
    let olds = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || olds(new) < olds(old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

fn timed_out(d: &Deployment, s: &DeploymentStatus, now: Timestamp) -> bool {
    let Some(c) = get(s, PROGRESSING) else { return false };
    match reason(c) {
        AVAILABLE => false,
        TIMED_OUT => true,
        _ => left(d, c, now).is_some_and(|ms| ms < 0),
    }
}

/// Milliseconds until the deadline.
fn left(d: &Deployment, c: &DeploymentCondition, now: Timestamp) -> Option<i64> {
    let deadline = i64::from(d.spec.progress_deadline_seconds?) * 1000;
    let since = now.duration_since(c.last_update_time.as_ref()?.0).as_millis();
    Some(deadline - i64::try_from(since).unwrap_or(i64::MAX))
}

/// When a rollout that does not move has to be looked at again.
pub fn stuck_check(d: &Deployment, s: &DeploymentStatus, now: Timestamp) -> Option<Duration> {
    let c = get(s, PROGRESSING)?;
    if !has_deadline(d) || is_complete(d, s) || reason(c) == TIMED_OUT {
        return None;
    }
    Some(Duration::from_millis(u64::try_from(left(d, c, now)?).unwrap_or(0)) + Duration::from_secs(1))
}

/// The failure of the new ReplicaSet, else of any.
fn failure(w: &Work<'_>) -> Option<DeploymentCondition> {
    let of = |s: &ReplicaSet| {
        let all = s.status.as_ref()?.conditions.as_ref()?;
        all.iter().find(|c| c.type_.as_deref() == Some("ReplicaFailure")).cloned()
    };
    let c = w.new.and_then(|i| of(&w.sets[i])).or_else(|| w.sets.iter().find_map(of))?;
    Some(DeploymentCondition {
        type_: c.type_,
        status: c.status,
        reason: c.reason,
        message: c.message,
        last_update_time: c.last_transition_time.clone(),
        last_transition_time: c.last_transition_time,
    })
}
