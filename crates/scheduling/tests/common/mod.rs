//! Clusters from YAML, and what an engine makes of them.

#![allow(dead_code, reason = "each test file uses its part")]

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, StorageClass};
use scheduling::cluster::{Budget, Claim, ClaimKey, Class, CsiDriver, CsiNode, Volume};
use scheduling::{Config, Decision, Engine, NodeSpec, PodInfo};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// An engine, the pods as the API would have them, and a clock that only the test moves.
pub struct World {
    pub engine: Engine,
    pub pods: BTreeMap<String, Pod>,
    pub now: i64,
    version: u64,
}

impl World {
    pub fn new(config: &str) -> Self {
        let config = match config {
            "" => Config::default(),
            c => Config::parse(&schema::yaml::parse(c.as_bytes()).unwrap()).unwrap(),
        };
        let engine = Engine::new(config.build().unwrap(), config.backoff(), config.volume_timeout(), 7);
        Self { engine, pods: BTreeMap::new(), now: 1_000_000, version: 0 }
    }
    pub fn apply(&mut self, yaml: &str) {
        for doc in yaml.split("\n---\n").filter(|d| !d.trim().is_empty()) {
            let v = schema::yaml::parse(doc.as_bytes()).unwrap();
            self.object(v);
        }
    }
    pub fn object(&mut self, mut v: Value) {
        let kind = v["kind"].as_str().unwrap_or("Pod").to_owned();
        let (ns, name) = (
            v["metadata"]["namespace"].as_str().unwrap_or("default").to_owned(),
            v["metadata"]["name"].as_str().unwrap().to_owned(),
        );
        if kind == "Pod" {
            // One document may stand for several pods.
            let n = v.as_object_mut().unwrap().remove("count").and_then(|c| c.as_u64());
            for i in 1..=n.unwrap_or(1) {
                let mut v = v.clone();
                if n.is_some() {
                    v["metadata"]["name"] = format!("{name}-{i}").into();
                }
                v["metadata"]["namespace"] = ns.clone().into();
                if v["metadata"]["uid"].is_null() {
                    v["metadata"]["uid"] = format!("uid-{}", v["metadata"]["name"].as_str().unwrap()).into();
                }
                self.pod(serde_json::from_value(v).unwrap());
            }
            return;
        }
        let now = self.now;
        let e = &mut self.engine;
        match kind.as_str() {
            "Node" => {
                let n: Node = serde_json::from_value(v).unwrap();
                e.set_node(NodeSpec::of(&n), now);
            }
            "PersistentVolumeClaim" => {
                v["metadata"]["namespace"] = ns.clone().into();
                let c: PersistentVolumeClaim = serde_json::from_value(v).unwrap();
                e.set_claim(ClaimKey::new(&ns, &name), Some(Claim::of(&c)), now);
            }
            "PersistentVolume" => {
                let c: PersistentVolume = serde_json::from_value(v).unwrap();
                e.set_volume(&name, Some(Volume::of(&c)), now);
            }
            "StorageClass" => {
                let c: StorageClass = serde_json::from_value(v).unwrap();
                e.set_class(&name, Some(Class::of(&c)), now);
            }
            "CSINode" => {
                let c: CSINode = serde_json::from_value(v).unwrap();
                e.set_csi_node(&name, Some(CsiNode::of(&c)), now);
            }
            "CSIDriver" => {
                let c: CSIDriver = serde_json::from_value(v).unwrap();
                e.set_driver(&name, Some(CsiDriver::of(&c)), now);
            }
            "Namespace" => {
                let n: Namespace = serde_json::from_value(v).unwrap();
                e.set_namespace(&name, Some(n.metadata.labels.unwrap_or_default()));
            }
            "Service" => {
                let s: Service = serde_json::from_value(v).unwrap();
                e.cluster.owners.set_service(&ns, &name, s.spec.and_then(|s| s.selector));
            }
            "ReplicaSet" => {
                let s: ReplicaSet = serde_json::from_value(v).unwrap();
                e.cluster.owners.set_controller(&kind, &ns, &name, Some(&s.spec.selector));
            }
            "StatefulSet" => {
                let s: StatefulSet = serde_json::from_value(v).unwrap();
                e.cluster.owners.set_controller(&kind, &ns, &name, Some(&s.spec.selector));
            }
            "PodDisruptionBudget" => {
                v["metadata"]["namespace"] = ns.clone().into();
                let b: PodDisruptionBudget = serde_json::from_value(v).unwrap();
                e.set_budget(&ns, &name, Some(Budget::of(&b)));
            }
            k => panic!("kind {k}"),
        }
    }
    /// A pod as the API has it now.
    pub fn pod(&mut self, mut p: Pod) {
        self.version += 1;
        p.metadata.resource_version = Some(self.version.to_string());
        self.engine.set_pod(Arc::new(PodInfo::of(&p)), self.now);
        self.pods.insert(p.metadata.name.clone().unwrap(), p);
    }
    pub fn delete_pod(&mut self, name: &str) {
        let p = self.pods.remove(name).unwrap();
        self.engine.remove_pod(p.metadata.uid.as_deref().unwrap(), self.now);
    }
    /// Carries out everything there is to do now, and tells it.
    pub fn run(&mut self) -> String {
        let mut out = String::new();
        while let Some(d) = self.engine.next(self.now) {
            match d {
                Decision::Bind { pod, node } => {
                    writeln!(out, "{} -> {node}", pod.name).unwrap();
                    let mut p = self.pods[&*pod.name].clone();
                    p.spec.get_or_insert_default().node_name = Some(node.to_string());
                    self.engine.bound(&pod.uid);
                    self.pod(p);
                }
                Decision::BindVolumes { pod, plan } => {
                    let bind: Vec<String> =
                        plan.bind.iter().map(|(v, c, _)| format!("{v} for {}", c.name)).collect();
                    let make: Vec<String> = plan.provision.iter().map(|c| c.name.to_string()).collect();
                    writeln!(out, "{} on {}: bind {bind:?} provision {make:?}", pod.name, plan.node).unwrap();
                    self.engine.volumes_written(&pod.uid, self.now);
                }
                Decision::Failed(f) => {
                    writeln!(out, "{}: {}: {}", f.pod.name, f.reason, f.message).unwrap();
                    if let Some(n) = f.nominate.filter(|n| !n.is_empty()) {
                        writeln!(out, "  nominated {n}").unwrap();
                        let mut p = self.pods[&*f.pod.name].clone();
                        p.status.get_or_insert_default().nominated_node_name = Some(n);
                        self.pod(p);
                    }
                    for d in &f.displaced {
                        writeln!(out, "  displaces {}", d.name).unwrap();
                    }
                    for v in &f.victims {
                        writeln!(out, "  victim {}", v.name).unwrap();
                    }
                    if !f.victims.is_empty() {
                        self.engine.preemption_nearly_done(&f.pod.uid);
                        for v in f.victims {
                            self.delete_pod(&v.name);
                        }
                    }
                }
                Decision::Deleting { pod } => writeln!(out, "{} is being deleted", pod.name).unwrap(),
            }
        }
        out
    }
}

/// A node of 4 CPUs, 8 GiB and 110 pods.
pub fn node(name: &str, extra: &str) -> String {
    format!(
        "kind: Node\nmetadata:\n  name: {name}\n  labels:\n    kubernetes.io/hostname: {name}\n{extra}\nstatus:\n  allocatable: {{cpu: \"4\", memory: 8Gi, pods: \"110\"}}\n"
    )
}
