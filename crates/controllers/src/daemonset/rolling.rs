//! Replacing daemons of old templates, a few at a time (upstream `daemon/update.go`).

use super::plan::{Fit, Plan, by_node, is_updated, max_surge};
use crate::k8s::apps::DaemonSet;
use crate::k8s::core::{Node, Pod};
use crate::k8s::{IntOrString, Timestamp};
use crate::util::intstr::scaled;
use crate::util::meta::MetaExt;
use crate::util::pods;
use std::collections::BTreeMap;

/// The new and the old pod on a node; `None` when there are several of one sort.
fn sort_out(
    set: &DaemonSet,
    all: &[Pod],
    here: &[usize],
    hash: &str,
) -> Option<(Option<usize>, Option<usize>)> {
    let (mut new, mut old) = (None, None);
    for &i in here.iter().filter(|i| !all[**i].deleting()) {
        let slot = if is_updated(set, &all[i], hash) { &mut new } else { &mut old };
        if slot.replace(i).is_some() {
            return None;
        }
    }
    Some((new, old))
}

pub fn plan(set: &DaemonSet, hash: &str, nodes: &[Node], all: &[Pod], now: Timestamp, plan: &mut Plan) {
    let fit = Fit::new(set);
    let mut map: BTreeMap<&str, Vec<usize>> = by_node(all);
    let mut desired = 0;
    for n in nodes.iter().filter(|n| fit.of(n).0) {
        desired += 1;
        map.entry(n.name()).or_default();
    }
    let update = set.spec.update_strategy.as_ref().and_then(|u| u.rolling_update.as_ref());
    let one = IntOrString::Int(1);
    let unavailable = update.and_then(|r| r.max_unavailable.as_ref()).unwrap_or(&one);
    let mut max_unavailable = scaled(unavailable, desired, true).unwrap_or(1);
    let surge = max_surge(set, desired);
    if desired > 0 && max_unavailable == 0 && surge == 0 {
        max_unavailable = 1;
    }
    let min = set.spec.min_ready_seconds.unwrap_or(0);
    let available = |i: usize| pods::is_available(&all[i], min, now);
    let count = |n: i32| usize::try_from(n).unwrap_or(0);

    if surge == 0 {
        let (mut down, mut candidates) = (0, Vec::new());
        for here in map.values() {
            match sort_out(set, all, here, hash) {
                Some((Some(new), None)) => down += i32::from(!available(new)),
                Some((None, Some(old))) if available(old) => candidates.push(old),
                Some((None, Some(old))) => {
                    // It serves nobody: replacing it costs nothing.
                    plan.delete.push(old);
                    down += 1;
                }
                _ => down += 1,
            }
        }
        plan.delete.extend(candidates.into_iter().take(count(max_unavailable - down)));
        return;
    }

    let (mut surging, mut serving) = (0, 0);
    let (mut candidates, mut sunset) = (Vec::new(), Vec::new());
    for (node, here) in &map {
        let Some((new, old)) = sort_out(set, all, here, hash) else {
            surging += 1;
            continue;
        };
        serving += i32::from(old.or(new).is_some_and(available));
        let Some(old) = old else { continue };
        let stays = || nodes.iter().find(|n| n.name() == *node).is_some_and(|n| fit.of(n).0);
        match new {
            None if available(old) => {
                if stays() {
                    candidates.push(*node)
                } else {
                    sunset.push(old)
                }
            }
            None if stays() => plan.create.push((*node).to_owned()),
            None => plan.delete.push(old),
            Some(new) if available(new) => plan.delete.push(old),
            Some(_) => surging += 1,
        }
    }
    plan.delete.extend(sunset.into_iter().take(count(serving - desired)));
    plan.create.extend(candidates.into_iter().take(count(surge - surging)).map(str::to_owned));
}
