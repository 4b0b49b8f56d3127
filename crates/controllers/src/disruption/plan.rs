//! The status of a budget.

use crate::k8s::core::Pod;
use crate::k8s::policy::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use crate::k8s::{Condition, IntOrString, Time, Timestamp};
use crate::util::intstr::scaled;
use crate::util::meta::{MetaExt, whole};
use crate::util::pods;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an eviction that was granted holds a place.
const DELETION: Duration = Duration::from_secs(120);

#[derive(Debug, PartialEq, Eq)]
pub struct Count {
    pub expected: i32,
    pub healthy: i32,
}

/// Whether the budget can be told only by what controllers want.
pub fn needs_scale(b: &PodDisruptionBudget) -> bool {
    let s = b.spec.as_ref();
    s.is_some_and(|s| s.max_unavailable.is_some() || matches!(s.min_available, Some(IntOrString::String(_))))
}

/// `scale` is what controllers want, if it was needed.
pub fn count(b: &PodDisruptionBudget, pods: usize, scale: Option<i32>) -> Result<Count, String> {
    let Some(s) = &b.spec else { return Ok(Count { expected: 0, healthy: 0 }) };
    let scale = scale.unwrap_or(0);
    if let Some(m) = &s.max_unavailable {
        return Ok(Count { expected: scale, healthy: (scale - scaled(m, scale, true)?).max(0) });
    }
    match &s.min_available {
        Some(IntOrString::Int(n)) => {
            Ok(Count { expected: i32::try_from(pods).unwrap_or(i32::MAX), healthy: *n })
        }
        Some(m) => Ok(Count { expected: scale, healthy: scaled(m, scale, true)? }),
        None => Ok(Count { expected: 0, healthy: 0 }),
    }
}

#[derive(Debug, Default)]
pub struct Plan {
    /// If it has to be written.
    pub status: Option<PodDisruptionBudgetStatus>,
    pub recheck: Option<Duration>,
    /// Places of pods whose eviction was granted, and that are still there.
    pub not_deleted: Vec<usize>,
}

pub fn plan(b: &PodDisruptionBudget, all: &[Pod], count: &Count, now: Timestamp) -> Plan {
    let old = b.status.clone().unwrap_or_default();
    let mut plan = Plan::default();
    let mut disrupted: BTreeMap<String, Time> = BTreeMap::new();
    let granted = old.disrupted_pods.clone().unwrap_or_default();
    for (i, p) in all.iter().enumerate().filter(|(_, p)| !p.deleting()) {
        let Some(at) = granted.get(p.name()) else { continue };
        let left = DELETION.as_millis() as i64 - now.duration_since(at.0).as_millis() as i64;
        match u64::try_from(left) {
            Ok(ms) => {
                disrupted.insert(p.name().to_owned(), at.clone());
                let d = Duration::from_millis(ms.max(1));
                plan.recheck = Some(plan.recheck.map_or(d, |r| r.min(d)));
            }
            Err(_) => plan.not_deleted.push(i),
        }
    }
    let healthy =
        all.iter().filter(|p| !p.deleting() && !disrupted.contains_key(p.name()) && pods::is_ready(p));
    let healthy = i32::try_from(healthy.count()).unwrap_or(i32::MAX);
    let allowed = if count.expected <= 0 { 0 } else { (healthy - count.healthy).max(0) };
    let (status, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let mut new = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(count.healthy),
        expected_pods: Some(count.expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        observed_generation: Some(b.generation()),
        conditions: old.conditions.clone(),
    };
    let current = old.conditions.iter().flatten().find(|c| c.type_ == "DisruptionAllowed");
    let told = current.is_some_and(|c| c.status == status && c.reason == reason);
    if new == old && told {
        return plan;
    }
    set(&mut new, status, reason, "", now);
    plan.status = Some(new);
    plan
}

/// The status when nothing can be said.
pub fn failed(b: &PodDisruptionBudget, why: &str, now: Timestamp) -> Option<PodDisruptionBudgetStatus> {
    let old = b.status.clone().unwrap_or_default();
    let mut new = PodDisruptionBudgetStatus { disruptions_allowed: Some(0), ..old.clone() };
    set(&mut new, "False", "SyncFailed", why, now);
    (new != old).then_some(new)
}

fn set(s: &mut PodDisruptionBudgetStatus, status: &str, reason: &str, message: &str, now: Timestamp) {
    let observed_generation = s.observed_generation;
    let all = s.conditions.get_or_insert_default();
    let new = Condition {
        type_: "DisruptionAllowed".into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation,
        last_transition_time: whole(now),
    };
    match all.iter_mut().find(|c| c.type_ == new.type_) {
        Some(c) => {
            let since = if c.status == new.status {
                c.last_transition_time.clone()
            } else {
                new.last_transition_time.clone()
            };
            *c = Condition { last_transition_time: since, ..new };
        }
        None => all.push(new),
    }
}

/// A pod that is told it will be disrupted, runs, and is not being deleted.
pub fn is_disruption_target(p: &Pod) -> bool {
    !p.deleting()
        && !pods::is_terminal(p)
        && pods::condition(p, "DisruptionTarget")
            .is_some_and(|c| c.status == "True" && c.reason.as_deref() != Some("TerminationByKubelet"))
}

/// How long until that is stale.
pub fn stale_after(p: &Pod, timeout: Duration, now: Timestamp) -> Option<Duration> {
    if !is_disruption_target(p) {
        return None;
    }
    let since = pods::condition(p, "DisruptionTarget")?.last_transition_time.as_ref()?;
    let elapsed = u64::try_from(now.duration_since(since.0).as_millis()).unwrap_or(0);
    Some(timeout.saturating_sub(Duration::from_millis(elapsed)))
}
