//! In-place resize (KEP 1287): whether new resources of a running pod are granted, and what follows for its containers.

use super::helpers::{init_containers, is_sidecar, is_static, spec};
use super::observe::{Observed, State};
use super::qos::{self, List, Which};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Resources by container.
pub type Allocated = BTreeMap<String, ResourceRequirements>;

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing new is wanted.
    Same,
    Granted,
    /// Not now: the message of the condition PodResizePending.
    Deferred(String),
    /// Never on this node.
    Infeasible(String),
}

const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// The containers whose resources may change while the pod runs.
fn resizable(pod: &Pod) -> impl Iterator<Item = &Container> {
    let s = spec(pod);
    s.containers.iter().chain(init_containers(s).iter().filter(|c| is_sidecar(c)))
}

fn of(c: &Container) -> ResourceRequirements {
    c.resources.clone().unwrap_or_default()
}

/// What the spec asks for.
pub fn wanted(pod: &Pod) -> Allocated {
    resizable(pod).map(|c| (c.name.clone(), of(c))).collect()
}

/// Whether processor and memory are the same.
pub fn same(a: &ResourceRequirements, b: &ResourceRequirements) -> bool {
    COMPUTE.iter().all(|k| differs(a, b, k) == (false, false))
}

/// Whether request and limit of a resource differ.
fn differs(a: &ResourceRequirements, b: &ResourceRequirements, k: &str) -> (bool, bool) {
    let m = |l: &Option<List>| qos::milli(l.as_ref(), k);
    (m(&a.requests) != m(&b.requests), m(&a.limits) != m(&b.limits))
}

/// The pod with what it has been granted in place of what it asks for.
pub fn with(pod: &Pod, a: &Allocated) -> Pod {
    let mut out = pod.clone();
    if let Some(s) = out.spec.as_mut() {
        let init = s.init_containers.iter_mut().flatten();
        for c in s.containers.iter_mut().chain(init) {
            if let Some(r) = a.get(&c.name) {
                c.resources = Some(r.clone());
            }
        }
    }
    out
}

/// Decides about what a running pod asks for. `others` are the node's other pods as granted.
pub fn verdict(pod: &Pod, granted: &Allocated, others: &[Arc<Pod>], allocatable: &List) -> Verdict {
    let new = wanted(pod);
    if new.iter().all(|(n, r)| granted.get(n).is_none_or(|g| same(g, r))) {
        return Verdict::Same;
    }
    if is_static(pod) {
        return Verdict::Infeasible("In-place resize of static-pods is not supported".into());
    }
    for k in COMPUTE {
        let asked = qos::pod_milli(spec(pod), Which::Requests, k, true);
        let used: i64 = others.iter().map(|o| qos::pod_milli(spec(o), Which::Requests, k, true)).sum();
        let capacity = qos::milli(Some(allocatable), k);
        let unit = if k == "cpu" { 1 } else { 1000 };
        if asked > capacity {
            return Verdict::Infeasible(format!(
                "Node didn't have enough capacity: {k}, requested: {}, capacity: {}",
                asked / unit,
                capacity / unit
            ));
        }
        if asked > capacity - used {
            return Verdict::Deferred(format!(
                "Node didn't have enough resource: {k}, requested: {}, used: {}, capacity: {}",
                asked / unit,
                used / unit,
                capacity / unit
            ));
        }
    }
    Verdict::Granted
}

/// What running containers need to become what they were granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Instances to update in place: container, instance.
    pub update: Vec<(String, String)>,
    /// Containers whose policy is to restart.
    pub restart: Vec<String>,
}

impl Work {
    pub fn is_empty(&self) -> bool {
        self.update.is_empty() && self.restart.is_empty()
    }
}

fn restarts(c: &Container, old: &ResourceRequirements) -> bool {
    let new = of(c);
    COMPUTE.iter().any(|k| {
        let policy = c.resize_policy.iter().flatten().find(|p| p.resource_name == *k);
        policy.is_some_and(|p| p.restart_policy == "RestartContainer")
            && differs(old, &new, k) != (false, false)
    })
}

/// `pod` is as granted; `actual` is what each instance has.
pub fn work(pod: &Pod, o: &Observed, actual: &BTreeMap<String, ResourceRequirements>) -> Work {
    let mut w = Work::default();
    for c in resizable(pod) {
        let Some(i) = o.newest(&c.name).filter(|i| i.state == State::Running) else { continue };
        let Some(has) = actual.get(&i.id) else { continue };
        if same(has, &of(c)) {
            continue;
        }
        if restarts(c, has) {
            w.restart.push(c.name.clone());
        } else {
            w.update.push((c.name.clone(), i.id.clone()));
        }
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::{observed, pod};
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use serde_json::json;

    fn p(cpu: &str, policy: &str) -> Pod {
        pod(
            json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}},
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": policy}]}]}),
        )
    }

    #[test]
    fn verdicts() {
        let allocatable =
            List::from([("cpu".into(), Quantity("2".into())), ("memory".into(), Quantity("2Gi".into()))]);
        let granted = wanted(&p("500m", "NotRequired"));
        let other = [Arc::new(p("1", "NotRequired"))];
        for (cpu, want) in [
            ("500m", Verdict::Same),
            ("0.5", Verdict::Same),
            ("1", Verdict::Granted),
            (
                "1500m",
                Verdict::Deferred(
                    "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"
                        .into(),
                ),
            ),
            (
                "3",
                Verdict::Infeasible(
                    "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000".into(),
                ),
            ),
        ] {
            assert_eq!(verdict(&p(cpu, "NotRequired"), &granted, &other, &allocatable), want, "{cpu}");
        }
    }

    #[test]
    fn update_or_restart() {
        let o = observed("c:running");
        let actual = BTreeMap::from([("c-0".to_owned(), of(&spec(&p("500m", "")).containers[0]))]);
        let w = work(&p("1", "NotRequired"), &o, &actual);
        assert_eq!(w.update, [("c".to_owned(), "c-0".to_owned())]);
        assert_eq!(work(&p("1", "RestartContainer"), &o, &actual).restart, ["c"]);
        assert!(work(&p("500m", "RestartContainer"), &o, &actual).is_empty());
        let back = with(&p("1", ""), &wanted(&p("500m", "")));
        assert!(verdict(&back, &wanted(&p("500m", "")), &[], &List::new()) == Verdict::Same);
    }
}
