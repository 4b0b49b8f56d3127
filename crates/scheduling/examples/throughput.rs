//! What decisions cost, without an API: `cargo run --release -p scheduling --example throughput [nodes] [pods] [case...]`.

use k8s_openapi::api::core::v1::{Node, Pod};
use scheduling::{Config, Decision, Engine, NodeSpec, PodInfo};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

/// What the pods are like.
const CASES: [&str; 7] = ["plain", "owned", "spread", "prefer", "apart", "together", "preemption"];

fn engine(nodes: usize) -> Option<Engine> {
    let config = Config::default();
    let mut e = Engine::new(config.build().ok()?, config.backoff(), 600, 1);
    for i in 0..nodes {
        let name = format!("node-{i}");
        let n: Node = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {HOST: name, "kubernetes.io/os": "linux", ZONE: format!("zone-{}", i % 3)}},
            "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "250"}}}))
        .ok()?;
        e.set_node(NodeSpec::of(&n), 0);
    }
    Some(e)
}

fn pod(case: &str, name: &str) -> Value {
    let selector = json!({"matchLabels": {"app": "web"}});
    let near = |key: &str| json!({"topologyKey": key, "labelSelector": selector});
    let mut p = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": "1", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}],
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]}});
    let spec = &mut p["spec"];
    match case {
        "owned" => {
            let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true});
            p["metadata"]["ownerReferences"] = json!([owner]);
        }
        "spread" => {
            spec["topologySpreadConstraints"] = json!([{"maxSkew": 5, "topologyKey": ZONE,
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]);
        }
        "prefer" => {
            spec["affinity"] = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": near(HOST)}]}});
        }
        // Each on a node of its own, as long as there is one.
        "apart" => {
            spec["affinity"] =
                json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near(HOST)]}});
        }
        "together" => {
            spec["affinity"] =
                json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near(ZONE)]}});
        }
        "preemption" => {
            spec["priority"] = 1000.into();
            spec["containers"][0]["resources"]["requests"]["cpu"] = "60".into();
        }
        _ => {}
    }
    p
}

fn info(v: Value) -> Arc<PodInfo> {
    Arc::new(PodInfo::of(&serde_json::from_value::<Pod>(v).unwrap_or_default()))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, d: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(d);
    let (nodes, pods) = (number(0, 500), number(1, 5_000));
    let wanted = args.get(2..).filter(|w| !w.is_empty());
    for case in CASES.into_iter().filter(|c| wanted.is_none_or(|w| w.iter().any(|x| x == c))) {
        let Some(mut e) = engine(nodes) else { return };
        let mut n = pods;
        match case {
            "owned" => {
                let s = serde_json::from_value(json!({"matchLabels": {"app": "web"}})).unwrap_or_default();
                e.cluster.owners.set_controller("ReplicaSet", "default", "web", Some(&s));
            }
            "apart" => n = n.min(nodes),
            "preemption" => {
                n = n.min(nodes / 2);
                for i in 0..nodes {
                    let mut p = pod(case, &format!("low-{i}"));
                    p["spec"]["priority"] = 0.into();
                    p["spec"]["nodeName"] = format!("node-{i}").into();
                    e.set_pod(info(p), 0);
                }
            }
            _ => {}
        }
        let all: Vec<Arc<PodInfo>> = (0..n).map(|i| info(pod(case, &format!("p{i}")))).collect();
        let (start, mut bound, mut victims) = (Instant::now(), 0_u32, 0_u32);
        // As they come: some wait, and what was decided comes back.
        let mut told: Vec<Arc<PodInfo>> = Vec::new();
        for (i, p) in all.iter().enumerate() {
            e.set_pod(p.clone(), 0);
            if i % 16 < 15 && i + 1 < all.len() {
                continue;
            }
            while let Some(d) = e.next(0) {
                match d {
                    Decision::Bind { pod, .. } => {
                        e.bound(&pod.uid);
                        bound += 1;
                        told.push(pod);
                    }
                    Decision::Failed(f) => {
                        for v in &f.victims {
                            e.preemption_nearly_done(&f.pod.uid);
                            e.remove_pod(&v.uid, 0);
                            victims += 1;
                        }
                        if f.victims.is_empty() {
                            break;
                        }
                    }
                    _ => {}
                }
            }
            for p in told.drain(..) {
                e.set_pod(p, 0);
            }
        }
        let t = start.elapsed();
        let each = t.as_secs_f64() * 1e6 / f64::from(bound.max(1));
        println!("{nodes:5} nodes, {case:10}: {bound:5} bound, {victims:4} victims, {each:8.1} µs a pod");
    }
}
