//! Whether a ServiceCIDR can go.

use crate::k8s::Timestamp;
use crate::k8s::networking::{IPAddress, ServiceCIDR};
use crate::util::meta::{MetaExt, whole};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;

const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
/// Allocators that have not heard of the deletion yet may still take addresses.
const GRACE: i64 = 10;

#[derive(Debug)]
pub enum Step {
    /// It has the finalizer and this condition, where it is not there already.
    Serve(Option<Value>),
    /// It is being deleted, and cannot go yet.
    Keep(Option<Value>),
    Wait(Duration),
    Release,
}

fn ranges(c: &ServiceCIDR) -> impl Iterator<Item = IpNet> {
    c.spec.iter().flat_map(|s| s.cidrs.iter().flatten()).filter_map(|s| s.parse().ok())
}

pub fn step(
    cidr: &ServiceCIDR,
    all: &[ServiceCIDR],
    addresses: impl FnOnce() -> Vec<IPAddress>,
    now: Timestamp,
) -> Step {
    let Some(deleted) = &cidr.metadata.deletion_timestamp else {
        return Step::Serve(condition(cidr, "True", "", "Kubernetes Service CIDR is ready", now));
    };
    // Those that are going too cannot take anything over.
    let others: Vec<&ServiceCIDR> = all.iter().filter(|c| c.name() != cidr.name() && !c.deleting()).collect();
    let covered = |inside: &dyn Fn(&IpNet) -> bool| others.iter().any(|o| ranges(o).any(|r| inside(&r)));
    let has_parent = ranges(cidr).all(|r| covered(&|other| other.contains(&r)));
    if !has_parent {
        let needs = |a: &IPAddress| {
            a.label(MANAGED_BY) == Some(ALLOCATOR)
                && a.name().parse::<IpAddr>().is_ok_and(|ip| {
                    ranges(cidr).any(|r| r.contains(&ip)) && !covered(&|other| other.contains(&ip))
                })
        };
        if addresses().iter().any(needs) {
            let message = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
            return Step::Keep(condition(cidr, "False", "Terminating", message, now));
        }
    }
    let left = deleted.0.as_second() + GRACE - now.as_second();
    match u64::try_from(left) {
        Ok(left @ 1..) => Step::Wait(Duration::from_secs(left)),
        _ => Step::Release,
    }
}

fn condition(cidr: &ServiceCIDR, status: &str, reason: &str, message: &str, now: Timestamp) -> Option<Value> {
    let mut have = cidr.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let same = |c: &crate::k8s::Condition| {
        c.type_ == "Ready" && c.status == status && c.reason == reason && c.message == message
    };
    if have.any(same) {
        return None;
    }
    Some(json!({"type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": whole(now)}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_when_nothing_needs_it() {
        let cidr = |name: &str, cidrs: &[&str], deleting: bool| -> ServiceCIDR {
            let mut v = json!({"metadata": {"name": name}, "spec": {"cidrs": cidrs}});
            if deleting {
                v["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
            }
            serde_json::from_value(v).unwrap()
        };
        let ip = |name: &str| -> IPAddress {
            serde_json::from_value(json!({"metadata": {"name": name, "labels": {MANAGED_BY: ALLOCATOR}},
                "spec": {"parentRef": {"name": "s", "resource": "services"}}}))
            .unwrap()
        };
        let check = |others: Vec<ServiceCIDR>, ips: &[&str], at: &str| {
            let me = cidr("me", &["10.0.0.0/24", "fd00::/64"], true);
            let all: Vec<_> = others.into_iter().chain([me.clone()]).collect();
            let ips = ips.iter().map(|i| ip(i)).collect();
            match step(&me, &all, || ips, at.parse().unwrap()) {
                Step::Wait(d) => format!("wait {}", d.as_secs()),
                Step::Keep(_) => "keep".into(),
                Step::Release => "release".into(),
                Step::Serve(_) => "serve".into(),
            }
        };
        let (early, late) = ("2024-01-01T00:00:04Z", "2024-01-01T00:00:10Z");
        assert_eq!(check(vec![], &[], early), "wait 6");
        assert_eq!(check(vec![], &[], late), "release");
        assert_eq!(check(vec![], &["10.0.1.7"], late), "release");
        assert_eq!(check(vec![], &["fd00::7"], late), "keep");
        assert_eq!(check(vec![cidr("x", &["10.0.0.0/16"], false)], &["10.0.0.7"], late), "release");
        assert_eq!(check(vec![cidr("x", &["10.0.0.0/16"], true)], &["10.0.0.7"], late), "keep");
        assert_eq!(check(vec![cidr("x", &["10.0.0.0/16"], false)], &["fd00::7"], late), "keep");
    }
}
