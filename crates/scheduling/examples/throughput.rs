//! Pods a second of pure decisions: `cargo run --release -p scheduling --example throughput [nodes] [pods]`.

use k8s_openapi::api::core::v1::{Node, Pod};
use scheduling::{Config, Decision, Engine, NodeSpec, PodInfo};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let arg = |i: usize, d: usize| std::env::args().nth(i).and_then(|a| a.parse().ok()).unwrap_or(d);
    let (nodes, pods) = (arg(1, 500), arg(2, 20_000));
    for owned in [false, true] {
        let config = Config::default();
        let Ok(profiles) = config.build() else { return };
        let mut e = Engine::new(profiles, config.backoff(), 600, 1);
        for i in 0..nodes {
            let n: Node = serde_json::from_value(json!({
                "metadata": {"name": format!("node-{i}"), "labels": {
                    "kubernetes.io/hostname": format!("node-{i}"),
                    "topology.kubernetes.io/zone": format!("zone-{}", i % 3)}},
                "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "250"}}}))
            .unwrap_or_default();
            e.set_node(NodeSpec::of(&n), 0);
        }
        if owned {
            let s = serde_json::from_value(json!({"matchLabels": {"app": "web"}})).unwrap_or_default();
            e.cluster.owners.set_controller("ReplicaSet", "default", "web", Some(&s));
        }
        let all: Vec<Pod> = (0..pods)
            .map(|i| {
                serde_json::from_value(json!({
                    "metadata": {"name": format!("p{i}"), "namespace": "default", "uid": format!("u{i}"),
                        "resourceVersion": format!("{i}"), "labels": {"app": "web"},
                        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true}]},
                    "spec": {"containers": [{"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}],
                        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]}}))
                .unwrap_or_default()
            })
            .collect();
        let start = Instant::now();
        for p in &all {
            e.set_pod(Arc::new(PodInfo::of(p)), 0);
        }
        let queued = start.elapsed();
        let (start, mut bound) = (Instant::now(), 0);
        while let Some(d) = e.next(0) {
            if let Decision::Bind { pod, .. } = d {
                e.bound(&pod.uid);
                bound += 1;
            }
        }
        let t = start.elapsed();
        println!(
            "{nodes} nodes, {} a ReplicaSet: queued {pods} pods in {queued:?}, decided {bound} in {t:?}: {:.0} pods/s",
            if owned { "with" } else { "without" },
            f64::from(bound) / t.as_secs_f64()
        );
    }
}
