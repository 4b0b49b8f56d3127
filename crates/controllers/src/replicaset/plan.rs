//! How many pods to make, which to delete, and what to say about it.

use super::set::{Condition, Set, Status};
use crate::k8s::Timestamp;
use crate::k8s::core::Pod;
use crate::util::meta::{MetaExt, map_selector, matches, whole};
use crate::util::pods;
use std::collections::HashMap;

#[derive(Debug, PartialEq, Eq)]
pub enum Scale {
    Nothing,
    Create(usize),
    /// Places in the list of active pods, best deleted first.
    Delete(Vec<usize>),
}

/// `related` are active pods that count when nodes are compared by how crowded they are.
pub fn scale<S: Set>(set: &S, active: &[Pod], related: &[Pod], burst: usize, now: Timestamp) -> Scale {
    let want = usize::try_from(set.replicas()).unwrap_or(0);
    if active.len() < want {
        return Scale::Create((want - active.len()).min(burst));
    }
    let surplus = (active.len() - want).min(burst);
    if surplus == 0 {
        return Scale::Nothing;
    }
    let mut order: Vec<usize> = (0..active.len()).collect();
    if surplus < active.len() {
        let mut crowd: HashMap<&str, usize> = HashMap::new();
        for p in related {
            *crowd.entry(pods::node_name(p)).or_default() += 1;
        }
        let rank = |i: usize| crowd.get(pods::node_name(&active[i])).copied().unwrap_or(0);
        order.sort_by(|a, b| {
            pods::deletion_order((&active[*a], rank(*a)), (&active[*b], rank(*b)), Some(now))
        });
    }
    order.truncate(surplus);
    Scale::Delete(order)
}

/// The status to show; `failure` says why pods could not be made or deleted.
pub fn status<S: Set>(
    set: &S,
    active: &[Pod],
    terminating: usize,
    failure: Option<&str>,
    now: Timestamp,
) -> Status {
    let old = set.status();
    let count =
        |f: &dyn Fn(&Pod) -> bool| i32::try_from(active.iter().filter(|p| f(p)).count()).unwrap_or(i32::MAX);
    let labels = set.template().and_then(|t| t.metadata.as_ref()?.labels.clone()).unwrap_or_default();
    let labels = map_selector(&labels);
    let mut conditions = old.conditions;
    let at = conditions.iter().position(|c| c.kind == "ReplicaFailure");
    match (failure, at) {
        (Some(why), None) => {
            let wanted = i64::from(set.replicas());
            let reason = match (active.len() as i64).cmp(&wanted) {
                std::cmp::Ordering::Less => Some("FailedCreate".to_owned()),
                std::cmp::Ordering::Greater => Some("FailedDelete".to_owned()),
                std::cmp::Ordering::Equal => None,
            };
            conditions.push(Condition {
                kind: "ReplicaFailure".into(),
                status: "True".into(),
                reason,
                message: Some(why.to_owned()),
                since: Some(whole(now)),
            });
        }
        (None, Some(i)) => drop(conditions.remove(i)),
        _ => {}
    }
    Status {
        replicas: count(&|_| true),
        fully_labeled: count(&|p| matches(&labels, p.labels())),
        ready: count(&pods::is_ready),
        available: count(&|p| pods::is_available(p, set.min_ready(), now)),
        terminating: S::TERMINATING.then(|| i32::try_from(terminating).unwrap_or(i32::MAX)),
        observed: set.generation(),
        conditions,
    }
}
