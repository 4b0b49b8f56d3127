//! Which pods are garbage.

use crate::k8s::core::{Node, Pod};
use crate::util::meta::MetaExt;
use crate::util::{nodes, pods};

/// The index of pods by what may make them garbage.
pub const CLASS: &str = "pod-gc";
pub const ENDED: &str = "ended";
pub const DELETING: &str = "deleting";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Ended,
    Unscheduled,
    OutOfService,
    Orphaned,
}

pub fn classes(p: &Pod) -> Vec<String> {
    let mut c = Vec::new();
    if !matches!(pods::phase(p), "Pending" | "Running" | "Unknown") {
        c.push(ENDED.to_owned());
    }
    if p.deleting() {
        c.push(DELETING.to_owned());
    }
    c
}

/// Those beyond the threshold: evicted ones first, then the oldest.
pub fn surplus(mut all: Vec<Pod>, threshold: usize) -> Vec<Pod> {
    let evicted = |p: &Pod| {
        let s = p.status.as_ref();
        pods::phase(p) == "Failed" && s.and_then(|s| s.reason.as_deref()) == Some("Evicted")
    };
    all.sort_by(|a, b| {
        evicted(b).cmp(&evicted(a)).then(a.created().cmp(&b.created())).then(a.name().cmp(b.name()))
    });
    all.truncate(all.len().saturating_sub(threshold));
    all
}

pub fn is_out_of_service(n: &Node) -> bool {
    let taints = n.spec.iter().flat_map(|s| s.taints.iter().flatten());
    !nodes::is_ready(n) && taints.into_iter().any(|t| t.key == "node.kubernetes.io/out-of-service")
}
