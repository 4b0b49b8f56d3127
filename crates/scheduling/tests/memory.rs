//! What is remembered from one decision to the next changes none: the same events, with and without it.

#![allow(clippy::unwrap_used, reason = "tests")]

use k8s_openapi::api::core::v1::{Node, Pod};
use scheduling::rng::Rng;
use scheduling::{Config, Decision, Engine, NodeSpec, PodInfo};
use serde_json::{Value, json};
use std::sync::Arc;

const NODES: usize = 130;

fn engine() -> Engine {
    let config = Config::default();
    let mut e = Engine::new(config.build().unwrap(), config.backoff(), 600, 7);
    let s = serde_json::from_value(json!({"matchLabels": {"app": "a"}})).unwrap();
    e.cluster.owners.set_controller("ReplicaSet", "default", "rs", Some(&s));
    e
}

fn one<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.below(of.len())]
}

fn node(rng: &mut Rng, i: usize) -> Value {
    let name = format!("n{i}");
    let mut n = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": one(rng, &["2", "4", "8"]), "memory": "8Gi", "pods": "6"}}});
    if rng.below(9) > 0 {
        n["metadata"]["labels"]["topology.kubernetes.io/zone"] = format!("z{}", i % 3).into();
    }
    match rng.below(12) {
        0 => n["spec"] = json!({"taints": [{"key": "soft", "effect": "PreferNoSchedule"}]}),
        1 => n["spec"] = json!({"taints": [{"key": "hard", "effect": "NoSchedule"}]}),
        2 => n["spec"] = json!({"unschedulable": true}),
        _ => {}
    }
    n
}

fn pod(rng: &mut Rng, i: usize) -> Value {
    let app = one(rng, &["a", "b"]);
    let zone = "topology.kubernetes.io/zone";
    let selector = json!({"matchLabels": {"app": app}});
    let near = |key: &str| json!({"topologyKey": key, "labelSelector": selector});
    let mut p = json!({
        "metadata": {"name": format!("p{i}"), "namespace": "default", "uid": format!("u{i}"), "resourceVersion": "1",
            "labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": "i",
            "resources": {"requests": {"cpu": one(rng, &["100m", "500m", "1"])}}}]}});
    let spec = &mut p["spec"];
    match rng.below(10) {
        0 => {
            let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "r", "controller": true});
            p["metadata"]["ownerReferences"] = json!([owner]);
        }
        1 => {
            spec["topologySpreadConstraints"] = json!([
                {"maxSkew": 1, "topologyKey": zone, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector},
                {"maxSkew": 2, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": selector}]);
        }
        2 => {
            spec["nodeSelector"] = json!({zone: "z1"});
            spec["topologySpreadConstraints"] = json!([{"maxSkew": 3, "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector, "nodeTaintsPolicy": "Honor"}]);
        }
        3 => {
            spec["affinity"] = json!({"podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "podAffinityTerm": near(zone)}],
                "requiredDuringSchedulingIgnoredDuringExecution": [near("kubernetes.io/hostname")]}});
        }
        4 => {
            spec["affinity"] =
                json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near(zone)]}});
        }
        5 => spec["tolerations"] = json!([{"operator": "Exists"}]),
        6 => spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]),
        7 => {
            spec["priority"] = 100.into();
            spec["containers"][0]["resources"]["requests"]["cpu"] = "7500m".into();
        }
        _ => {}
    }
    p
}

fn info(v: &Value) -> Arc<PodInfo> {
    Arc::new(PodInfo::of(&serde_json::from_value::<Pod>(v.clone()).unwrap()))
}

/// Does one random thing to both engines; answers what was decided, each with and without memory.
fn step(
    rng: &mut Rng,
    both: &mut [Engine; 2],
    i: usize,
    placed: &mut Vec<Arc<PodInfo>>,
    log: &mut [usize; 3],
) {
    let now = i64::try_from(i).unwrap() * 100;
    match rng.below(30) {
        0 => {
            let n = node(rng, rng_index(i));
            let n: Node = serde_json::from_value(n).unwrap();
            both.iter_mut().for_each(|e| e.set_node(NodeSpec::of(&n), now));
        }
        1 => both.iter_mut().for_each(|e| e.remove_node(&format!("n{}", rng_index(i)), now)),
        2..=5 if !placed.is_empty() => {
            let p = placed.swap_remove(rng.below(placed.len()));
            both.iter_mut().for_each(|e| e.remove_pod(&p.uid, now));
        }
        _ => {
            let p = info(&pod(rng, i));
            both.iter_mut().for_each(|e| e.set_pod(p.clone(), now));
        }
    }
    for _ in 0..6 {
        both[1].forget();
        let [a, b] = both.each_mut().map(|e| e.next(now));
        assert_eq!(format!("{a:?}"), format!("{b:?}"), "step {i}");
        match a {
            Some(Decision::Bind { pod, .. }) => {
                for e in both.iter_mut() {
                    e.bound(&pod.uid);
                    e.set_pod(pod.clone(), now);
                }
                placed.push(pod);
                log[0] += 1;
            }
            Some(Decision::Failed(f)) => {
                log[1] += 1;
                for v in &f.victims {
                    log[2] += 1;
                    placed.retain(|p| p.uid != v.uid);
                    for e in both.iter_mut() {
                        e.preemption_nearly_done(&f.pod.uid);
                        e.remove_pod(&v.uid, now);
                    }
                }
            }
            _ => return,
        }
    }
}

fn rng_index(i: usize) -> usize {
    i * 31 % NODES
}

#[test]
fn memory_changes_nothing() {
    for seed in 1..4 {
        let mut rng = Rng::new(seed * 977);
        let mut both = [engine(), engine()];
        for i in 0..NODES {
            let n: Node = serde_json::from_value(node(&mut rng, i)).unwrap();
            both.iter_mut().for_each(|e| e.set_node(NodeSpec::of(&n), 0));
        }
        let (mut placed, mut log) = (Vec::new(), [0; 3]);
        for i in 1..900 {
            step(&mut rng, &mut both, i, &mut placed, &mut log);
        }
        assert!(log[0] > 500 && log[1] > 50 && log[2] > 2, "bound, failed, preempted: {log:?}");
    }
}
