//! The two ways from old pods to new ones.

use super::plan::{Work, available, by_creation, is_rolling, max_surge, max_unavailable, size, wanted};
use super::status::is_complete;
use crate::k8s::Timestamp;
use crate::k8s::apps::Deployment;

/// The size of the new ReplicaSet, which has `now` replicas of `total` in all.
pub fn new_size(d: &Deployment, total: i32, now: i32) -> i32 {
    if !is_rolling(d) {
        return wanted(d);
    }
    let max = wanted(d) + max_surge(d);
    if total >= max { now } else { now + (max - total).min(wanted(d) - now) }
}

/// A few new ones, then a few old ones fewer, within surge and unavailability.
pub fn rolling(w: &mut Work<'_>, d: &mut Deployment, now: Timestamp) {
    if w.new.is_none() {
        w.make_new(d, now);
    }
    let Some(new) = w.new else { return };
    let have = size(&w.sets[new]);
    let target = if have >= wanted(d) { wanted(d) } else { new_size(d, w.total(), have) };
    if w.resize(new, target) || scale_down_old(w, new) {
        return;
    }
    if d.status.as_ref().is_some_and(|s| is_complete(d, s)) {
        w.clean_up();
    }
}

fn scale_down_old(w: &mut Work<'_>, new: usize) -> bool {
    let mut olds = w.olds();
    olds.retain(|i| size(&w.sets[*i]) > 0);
    if olds.is_empty() {
        return false;
    }
    olds.sort_by(|a, b| by_creation(&w.sets[*a], &w.sets[*b]));
    let min_available = wanted(w.d) - max_unavailable(w.d);
    let new_unavailable = size(&w.sets[new]) - available(&w.sets[new]);
    let mut room = w.total() - min_available - new_unavailable;
    if room <= 0 {
        return false;
    }
    // Those that are not available go first: they hold up the rollout and serve nobody.
    let mut changed = false;
    for i in &olds {
        let (n, sick) = (size(&w.sets[*i]), size(&w.sets[*i]) - available(&w.sets[*i]));
        let less = sick.min(room);
        if less > 0 {
            changed |= w.resize(*i, n - less);
            room -= less;
        }
    }
    let mut spare = w.available() - min_available;
    for i in olds {
        let n = size(&w.sets[i]);
        let less = n.min(spare);
        if less > 0 {
            changed |= w.resize(i, n - less);
            spare -= less;
        }
    }
    changed
}

/// No new pod before the last old one is gone.
pub fn recreate(w: &mut Work<'_>, d: &mut Deployment, old_pods_run: bool, now: Timestamp) {
    let mut scaled = false;
    for i in w.olds() {
        scaled |= w.resize(i, 0);
    }
    let old_replicas =
        w.olds().into_iter().any(|i| w.sets[i].status.as_ref().is_some_and(|s| s.replicas > 0));
    if scaled || old_replicas || old_pods_run {
        return;
    }
    if w.new.is_none() {
        w.make_new(d, now);
    }
    if let Some(new) = w.new {
        w.resize(new, wanted(d));
    }
    if d.status.as_ref().is_some_and(|s| is_complete(d, s)) {
        w.clean_up();
    }
}
