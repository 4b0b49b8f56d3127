//! Taints and tolerations.

use crate::k8s::core::{Taint, Toleration};

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
pub const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";
pub const DISK_PRESSURE: &str = "node.kubernetes.io/disk-pressure";
pub const PID_PRESSURE: &str = "node.kubernetes.io/pid-pressure";
pub const NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";

/// Whether a toleration covers a taint.
pub fn tolerates(t: &Toleration, taint: &Taint) -> bool {
    let some = |s: &Option<String>| s.clone().unwrap_or_default();
    if !some(&t.effect).is_empty() && some(&t.effect) != taint.effect {
        return false;
    }
    if !some(&t.key).is_empty() && some(&t.key) != taint.key {
        return false;
    }
    match some(&t.operator).as_str() {
        "Exists" => true,
        "" | "Equal" => !some(&t.key).is_empty() && some(&t.value) == some(&taint.value),
        op @ ("Lt" | "Gt") => {
            let (Ok(have), Ok(want)) = (some(&taint.value).parse::<i64>(), some(&t.value).parse::<i64>())
            else {
                return false;
            };
            if op == "Lt" { have < want } else { have > want }
        }
        _ => false,
    }
}

/// Whether one of the tolerations covers the taint.
pub fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|t| tolerates(t, taint))
}

/// Same key and effect: a node has one such taint.
pub fn same(a: &Taint, b: &Taint) -> bool {
    a.key == b.key && a.effect == b.effect
}

/// The taints after some were added (unless they are there) and some removed; `None` when nothing changes.
pub fn change(have: &[Taint], add: &[Taint], remove: &[Taint]) -> Option<Vec<Taint>> {
    let mut all: Vec<Taint> = have.iter().filter(|t| !remove.iter().any(|r| same(r, t))).cloned().collect();
    for a in add {
        if !all.iter().any(|t| same(t, a)) {
            all.push(a.clone());
        }
    }
    (all != have).then_some(all)
}
