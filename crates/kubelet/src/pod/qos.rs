//! Resources: quality of service, requests and limits of a pod, and their cgroup numbers.

use super::helpers::{init_containers, is_sidecar, spec};
use cri::v1::LinuxContainerResources;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

pub type List = BTreeMap<String, Quantity>;

pub fn parse(q: &Quantity) -> Option<meta::quantity::Quantity> {
    meta::quantity::Quantity::parse(&q.0).ok()
}
/// Whole units, rounded up; 0 when it is not there.
pub fn value(l: Option<&List>, k: &str) -> i64 {
    l.and_then(|l| l.get(k)).and_then(parse).map_or(0, |q| q.value())
}
pub fn milli(l: Option<&List>, k: &str) -> i64 {
    l.and_then(|l| l.get(k)).and_then(parse).map_or(0, |q| q.milli_value())
}
pub fn requests(c: &Container) -> Option<&List> {
    c.resources.as_ref()?.requests.as_ref()
}
pub fn limits(c: &Container) -> Option<&List> {
    c.resources.as_ref()?.limits.as_ref()
}

/// Guaranteed, Burstable or BestEffort; what the API server has set wins.
pub fn class(pod: &Pod) -> &str {
    match pod.status.as_ref().and_then(|s| s.qos_class.as_deref()) {
        Some("Guaranteed") => "Guaranteed",
        Some("Burstable") => "Burstable",
        Some("BestEffort") => "BestEffort",
        _ => compute_class(spec(pod)),
    }
}

const COMPUTE: [&str; 2] = ["cpu", "memory"];

pub fn compute_class(s: &PodSpec) -> &'static str {
    let positive = |l: Option<&List>, k: &str| milli(l, k) > 0;
    if let Some(r) = &s.resources
        && (r.requests.is_some() || r.limits.is_some())
    {
        return class_of(&[(r.requests.as_ref(), r.limits.as_ref())]);
    }
    let all: Vec<_> =
        s.containers.iter().chain(init_containers(s)).map(|c| (requests(c), limits(c))).collect();
    if all.iter().all(|(r, l)| COMPUTE.iter().all(|k| !positive(*r, k) && !positive(*l, k))) {
        return "BestEffort";
    }
    class_of(&all)
}

fn class_of(all: &[(Option<&List>, Option<&List>)]) -> &'static str {
    let any = all.iter().any(|(r, l)| COMPUTE.iter().any(|k| milli(*r, k) > 0 || milli(*l, k) > 0));
    if !any {
        return "BestEffort";
    }
    let guaranteed = all.iter().all(|(r, l)| {
        COMPUTE.iter().all(|k| {
            let limit = milli(*l, k);
            let request = if r.is_some_and(|r| r.contains_key(*k)) { milli(*r, k) } else { limit };
            limit > 0 && request == limit
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

/// Kinds of sums over a pod's containers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Requests,
    Limits,
}

/// A pod's whole request or limit of one resource in thousandths: sidecars add up, other init containers count by their
/// peak (component-helpers `resource.PodRequests`). For limits `None` when some container has none.
pub fn pod_milli(s: &PodSpec, which: Which, k: &str, overhead: bool) -> i64 {
    let of = |c: &Container| {
        let l = if which == Which::Requests { requests(c) } else { limits(c) };
        milli(l, k)
    };
    let mut sum: i64 = s.containers.iter().map(of).sum();
    let mut sidecars = 0;
    let mut peak = 0;
    for c in init_containers(s) {
        if is_sidecar(c) {
            sidecars += of(c);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(of(c) + sidecars);
        }
    }
    sum = (sum + sidecars).max(peak);
    if let Some(r) = &s.resources {
        let l = if which == Which::Requests { r.requests.as_ref() } else { r.limits.as_ref() };
        if l.is_some_and(|l| l.contains_key(k)) {
            sum = milli(l, k);
        }
    }
    if overhead && (which == Which::Requests || sum > 0) {
        sum += milli(s.overhead.as_ref(), k);
    }
    sum
}

/// Whether every container (or the pod itself) has the limit.
pub fn all_limited(s: &PodSpec, k: &str) -> bool {
    s.resources.as_ref().and_then(|r| r.limits.as_ref()).is_some_and(|l| l.contains_key(k))
        || s.containers
            .iter()
            .chain(init_containers(s).iter().filter(|c| is_sidecar(c)))
            .all(|c| milli(limits(c), k) > 0)
}

pub const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
pub const QUOTA_PERIOD: i64 = 100_000;
const MIN_QUOTA: i64 = 1000;

pub fn shares(milli_cpu: i64) -> i64 {
    if milli_cpu == 0 { MIN_SHARES } else { (milli_cpu * 1024 / 1000).clamp(MIN_SHARES, MAX_SHARES) }
}
/// 0: unlimited.
pub fn quota(milli_cpu: i64, period: i64) -> i64 {
    if milli_cpu == 0 { 0 } else { (milli_cpu * period / 1000).max(MIN_QUOTA) }
}

/// What a container's resources mean to the kernel.
pub fn container_resources(
    pod: &Pod,
    c: &Container,
    memory_capacity: i64,
    cfs_quota: bool,
    period: i64,
) -> LinuxContainerResources {
    let s = spec(pod);
    let pod_limits = s.resources.as_ref().and_then(|r| r.limits.as_ref());
    let cpu_limit = match milli(limits(c), "cpu") {
        0 => milli(pod_limits, "cpu"),
        n => n,
    };
    let memory_limit = match value(limits(c), "memory") {
        0 => value(pod_limits, "memory"),
        n => n,
    };
    let has_request = requests(c).is_some_and(|r| r.contains_key("cpu"));
    let cpu_request = if has_request { milli(requests(c), "cpu") } else { cpu_limit };
    LinuxContainerResources {
        cpu_shares: shares(cpu_request),
        cpu_quota: if cfs_quota { quota(cpu_limit, period) } else { 0 },
        cpu_period: if cfs_quota { period } else { 0 },
        memory_limit_in_bytes: memory_limit,
        oom_score_adj: oom_score(pod, c, memory_capacity),
        ..Default::default()
    }
}

/// The sandbox's own sums, and the overhead, for runtimes that size virtual machines by them.
pub fn sandbox_resources(
    pod: &Pod,
    cfs_quota: bool,
    period: i64,
) -> (LinuxContainerResources, LinuxContainerResources) {
    let s = spec(pod);
    let sum = |w, k: &str| pod_milli(s, w, k, false);
    let make = |request: i64, limit: i64, memory: i64| LinuxContainerResources {
        cpu_shares: shares(request),
        cpu_quota: if cfs_quota { quota(limit, period) } else { 0 },
        cpu_period: if cfs_quota { period } else { 0 },
        memory_limit_in_bytes: memory,
        ..Default::default()
    };
    let cpu_limit = sum(Which::Limits, "cpu");
    let cpu_request = match sum(Which::Requests, "cpu") {
        0 => cpu_limit,
        n => n,
    };
    let whole = make(cpu_request, cpu_limit, sum(Which::Limits, "memory") / 1000);
    let overhead = if s.overhead.is_some() {
        let cpu = milli(s.overhead.as_ref(), "cpu");
        make(cpu, cpu, value(s.overhead.as_ref(), "memory"))
    } else {
        LinuxContainerResources::default()
    };
    (whole, overhead)
}

/// The kernel's inclination to kill the container (upstream `qos.GetContainerOOMScoreAdjust`).
pub fn oom_score(pod: &Pod, c: &Container, memory_capacity: i64) -> i64 {
    let s = spec(pod);
    // Static, mirror and critical pods are the node's own.
    let critical = super::helpers::is_static(pod)
        || super::helpers::is_mirror(pod)
        || s.priority.is_some_and(|p| p >= 2_000_000_000);
    if critical {
        return -997;
    }
    match class(pod) {
        "Guaranteed" => return -997,
        "BestEffort" => return 1000,
        _ => {}
    }
    let request = value(requests(c), "memory");
    let mut adjust = if memory_capacity > 0 {
        1000 - i64::try_from(1000 * i128::from(request) / i128::from(memory_capacity)).unwrap_or(1000)
    } else {
        1000
    };
    let sidecar = init_containers(s).iter().any(|x| x.name == c.name && is_sidecar(x));
    if sidecar {
        let least = s.containers.iter().map(|x| oom_score_plain(x, memory_capacity)).min().unwrap_or(1000);
        adjust = adjust.min(least);
    }
    adjust.clamp(3, 999)
}

fn oom_score_plain(c: &Container, memory_capacity: i64) -> i64 {
    if memory_capacity == 0 {
        return 1000;
    }
    1000 - i64::try_from(1000 * i128::from(value(requests(c), "memory")) / i128::from(memory_capacity))
        .unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::json;

    fn r(requests: &str, limits: &str) -> serde_json::Value {
        let list = |t: &str| -> serde_json::Value {
            t.split_whitespace()
                .map(|w| w.split_once('=').unwrap())
                .map(|(k, v)| (k.to_owned(), json!(v)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        json!({"requests": list(requests), "limits": list(limits)})
    }

    #[test]
    fn classes() {
        for (res, want) in [
            (r("", ""), "BestEffort"),
            (r("cpu=1 memory=1Gi", "cpu=1 memory=1Gi"), "Guaranteed"),
            (r("", "cpu=1 memory=1Gi"), "Guaranteed"),
            (r("cpu=1", ""), "Burstable"),
            (r("cpu=500m memory=1Gi", "cpu=1 memory=1Gi"), "Burstable"),
            (r("example.com/gpu=1", "example.com/gpu=1"), "BestEffort"),
        ] {
            let p = pod(json!({"containers": [{"name": "a", "resources": res}]}));
            assert_eq!(class(&p), want, "{res}");
        }
    }

    #[test]
    fn sums() {
        let p = pod(json!({
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": r("cpu=100m", "")},
                {"name": "i", "resources": r("cpu=2", "")}],
            "containers": [{"name": "a", "resources": r("cpu=500m", "")}, {"name": "b", "resources": r("cpu=500m", "")}],
            "overhead": {"cpu": "250m"}}));
        assert_eq!(pod_milli(spec(&p), Which::Requests, "cpu", true), 2350, "the init container's peak");
    }

    #[test]
    fn cgroup_numbers() {
        let p = pod(
            json!({"containers": [{"name": "a", "resources": r("cpu=250m memory=1Gi", "cpu=1500m memory=2Gi")}]}),
        );
        let got = container_resources(&p, &spec(&p).containers[0], 16 << 30, true, QUOTA_PERIOD);
        assert_eq!(
            (got.cpu_shares, got.cpu_quota, got.cpu_period, got.memory_limit_in_bytes, got.oom_score_adj),
            (256, 150_000, 100_000, 2 << 30, 938)
        );
        let p = pod(json!({"containers": [{"name": "a"}]}));
        let got = container_resources(&p, &spec(&p).containers[0], 16 << 30, true, QUOTA_PERIOD);
        assert_eq!((got.cpu_shares, got.cpu_quota, got.oom_score_adj), (2, 0, 1000));
    }
}
