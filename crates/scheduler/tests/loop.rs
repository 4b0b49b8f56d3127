//! The whole scheduler against an API server in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

use client::Client;
use client::fake::FakeApi;
use expect_test::{Expect, expect};
use meta::Status;
use runtime::{Clock, Runtime};
use scheduler::Config;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200_000_000_000;

struct World {
    api: FakeApi,
    rt: Runtime,
}

fn plural(kind: &str) -> String {
    match kind {
        "StorageClass" => "storageclasses".to_owned(),
        k => format!("{}s", k.to_lowercase()),
    }
}

impl World {
    fn new(yaml: &str) -> Self {
        let mut rt = Runtime::new();
        rt.clock = Clock::fixed(START);
        let w = Self { api: FakeApi::new(), rt };
        w.add(yaml);
        w
    }
    fn start(&self) {
        let client = Client::new(Arc::new(self.api.clone()));
        let config = Config { seed: Some(1), ..Config::new("host") }.alone();
        let rt = self.rt.clone();
        self.rt.spawn("scheduler", async move { scheduler::run(config, client, rt).await.unwrap() });
    }
    fn add(&self, yaml: &str) {
        for doc in yaml.split("\n---\n").filter(|d| !d.trim().is_empty()) {
            let mut v = schema::yaml::parse(doc.as_bytes()).unwrap();
            let kind = v["kind"].as_str().unwrap().to_owned();
            let namespaced = ["Pod", "PersistentVolumeClaim", "PodDisruptionBudget"].contains(&&*kind);
            if namespaced {
                v["metadata"]["namespace"] = json!("ns");
            }
            if kind == "Pod" {
                v["spec"]["schedulerName"] = json!("default-scheduler");
            }
            self.api.seed(&plural(&kind), v);
        }
    }
    /// Lets everything run until nothing is left to do right now.
    async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
    /// The writes so far, with the events in short.
    async fn writes(&self) -> String {
        self.settle().await;
        let mut out = String::new();
        for line in self.api.take_log() {
            let (head, body) = line.split_once('{').unwrap_or((&line, ""));
            let body: Value = serde_json::from_str(&format!("{{{body}")).unwrap_or(Value::Null);
            if head.contains("/events") {
                let about = body["involvedObject"]["name"].as_str().unwrap();
                let text = |k: &str| body[k].as_str().unwrap_or("").to_owned();
                out += &format!(
                    "event {about}: {} {} {}: {} [{}]\n",
                    text("type"),
                    text("reason"),
                    text("action"),
                    text("message"),
                    text("reportingComponent")
                );
            } else {
                out += &format!(
                    "{} {}\n",
                    head.trim(),
                    if body.is_null() { String::new() } else { body.to_string() }
                );
            }
        }
        out
    }
    async fn check(&self, expected: Expect) {
        expected.assert_eq(&self.writes().await);
    }
    fn node_of(&self, pod: &str) -> String {
        let p = self.api.object("", "pods", "ns", pod).unwrap();
        p["spec"]["nodeName"].as_str().unwrap_or("").to_owned()
    }
}

fn node(name: &str, cpu: &str) -> String {
    format!(
        "kind: Node\napiVersion: v1\nmetadata: {{name: {name}, labels: {{kubernetes.io/hostname: {name}}}}}\nstatus: {{allocatable: {{cpu: \"{cpu}\", memory: 8Gi, pods: \"110\"}}}}\n---\n"
    )
}
fn pod(name: &str, cpu: &str, more: &str) -> String {
    format!(
        "kind: Pod\napiVersion: v1\nmetadata: {{name: {name}}}\nspec:\n  containers: [{{name: c, resources: {{requests: {{cpu: \"{cpu}\"}}}}}}]\n{more}\n---\n"
    )
}

#[tokio::test(start_paused = true)]
async fn pods_are_bound_and_told() {
    let w = World::new(&format!("{}{}", node("n1", "2"), pod("p", "1", "")));
    w.start();
    w.check(expect![[r#"
        POST /api/v1/namespaces/ns/pods/p/binding {"apiVersion":"v1","kind":"Binding","metadata":{"name":"p","namespace":"ns","uid":"uid-2"},"target":{"kind":"Node","name":"n1"}}
        event p: Normal Scheduled Binding: Successfully assigned ns/p to n1 [default-scheduler]
    "#]]).await;
    assert_eq!(w.node_of("p"), "n1");
    assert!(w.rt.ready.is_ready());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_waits_for_room() {
    let w = World::new(&format!("{}{}", node("n1", "2"), pod("p", "3", "")));
    w.start();
    w.check(expect![[r#"
        PATCH /api/v1/namespaces/ns/pods/p/status {"metadata":{"uid":"uid-2"},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":"2024-01-01T00:00:00Z","message":"0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.","observedGeneration":1,"reason":"Unschedulable","status":"False","type":"PodScheduled"}]}}
        event p: Warning FailedScheduling Scheduling: 0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling. [default-scheduler]
    "#]]).await;
    // The same again changes nothing in the pod; another reason would.
    w.add(&node("n2", "1"));
    w.rt.clock.advance(Duration::from_secs(2));
    tokio::time::sleep(Duration::from_secs(60)).await;
    w.check(expect![""]).await;
    w.add(&node("n3", "4"));
    w.rt.clock.advance(Duration::from_secs(20));
    tokio::time::sleep(Duration::from_secs(60)).await;
    w.check(expect![[r#"
        POST /api/v1/namespaces/ns/pods/p/binding {"apiVersion":"v1","kind":"Binding","metadata":{"name":"p","namespace":"ns","uid":"uid-2"},"target":{"kind":"Node","name":"n3"}}
        event p: Normal Scheduled Binding: Successfully assigned ns/p to n3 [default-scheduler]
    "#]]).await;
    assert_eq!(w.node_of("p"), "n3");
}

#[tokio::test(start_paused = true)]
async fn a_refused_binding_is_tried_again() {
    let w = World::new(&format!("{}{}", node("n1", "2"), pod("p", "1", "")));
    let fails = Arc::new(std::sync::atomic::AtomicU32::new(1));
    let left = fails.clone();
    w.api.react(move |r| {
        let hit = r.uri().path().ends_with("/binding")
            && left
                .fetch_update(std::sync::atomic::Ordering::SeqCst, std::sync::atomic::Ordering::SeqCst, |n| {
                    n.checked_sub(1)
                })
                .is_ok();
        hit.then(|| Status::forbidden(&meta::GroupResource::new("", "pods"), "p", "not today"))
    });
    w.start();
    w.check(expect![[r#"
        POST /api/v1/namespaces/ns/pods/p/binding {"apiVersion":"v1","kind":"Binding","metadata":{"name":"p","namespace":"ns","uid":"uid-2"},"target":{"kind":"Node","name":"n1"}}
        PATCH /api/v1/namespaces/ns/pods/p/status {"metadata":{"uid":"uid-2"},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":"2024-01-01T00:00:00Z","message":"running Bind plugin \"DefaultBinder\": pods \"p\" is forbidden: not today","observedGeneration":1,"reason":"SchedulerError","status":"False","type":"PodScheduled"}],"nominatedNodeName":null}}
        event p: Warning FailedScheduling Scheduling: running Bind plugin "DefaultBinder": pods "p" is forbidden: not today [default-scheduler]
    "#]]).await;
    w.rt.clock.advance(Duration::from_secs(3));
    tokio::time::sleep(Duration::from_secs(60)).await;
    w.check(expect![[r#"
        POST /api/v1/namespaces/ns/pods/p/binding {"apiVersion":"v1","kind":"Binding","metadata":{"name":"p","namespace":"ns","uid":"uid-2"},"target":{"kind":"Node","name":"n1"}}
        event p: Normal Scheduled Binding: Successfully assigned ns/p to n1 [default-scheduler]
    "#]]).await;
    assert_eq!(w.node_of("p"), "n1");
}

#[tokio::test(start_paused = true)]
async fn the_important_take_the_place_of_others() {
    let running = |n: &str| {
        pod(
            n,
            "1",
            "  nodeName: n1\n  priority: 0\nstatus: {phase: Running, startTime: \"2023-01-01T00:00:00Z\"}",
        )
    };
    let w = World::new(&format!(
        "{}{}{}{}",
        node("n1", "2"),
        running("a"),
        running("b"),
        pod("p", "2", "  priority: 10")
    ));
    w.start();
    w.check(expect![[r#"
        PATCH /api/v1/namespaces/ns/pods/p/status {"metadata":{"uid":"uid-4"},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":"2024-01-01T00:00:00Z","message":"0/1 nodes are available: 1 Insufficient cpu. preemption: found a potential placement for pod on node n1, preempting 2 victims","observedGeneration":1,"reason":"Unschedulable","status":"False","type":"PodScheduled"}],"nominatedNodeName":"n1"}}
        PATCH /api/v1/namespaces/ns/pods/a/status {"metadata":{"uid":"uid-2"},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":"2024-01-01T00:00:00Z","message":"default-scheduler: preempting to accommodate a higher priority pod","observedGeneration":1,"reason":"PreemptionByScheduler","status":"True","type":"DisruptionTarget"}]}}
        DELETE /api/v1/namespaces/ns/pods/a {"preconditions":{"uid":"uid-2"}}
        PATCH /api/v1/namespaces/ns/pods/b/status {"metadata":{"uid":"uid-3"},"status":{"conditions":[{"lastProbeTime":null,"lastTransitionTime":"2024-01-01T00:00:00Z","message":"default-scheduler: preempting to accommodate a higher priority pod","observedGeneration":1,"reason":"PreemptionByScheduler","status":"True","type":"DisruptionTarget"}]}}
        DELETE /api/v1/namespaces/ns/pods/b {"preconditions":{"uid":"uid-3"}}
        event p: Warning FailedScheduling Scheduling: 0/1 nodes are available: 1 Insufficient cpu. preemption: found a potential placement for pod on node n1, preempting 2 victims [default-scheduler]
        event a: Normal Preempted Preempting: Preempted by pod uid-4 on node n1 [default-scheduler]
        event b: Normal Preempted Preempting: Preempted by pod uid-4 on node n1 [default-scheduler]
    "#]]).await;
    // The kubelet has ended them.
    w.api.remove("", "pods", "ns", "a");
    w.api.remove("", "pods", "ns", "b");
    w.rt.clock.advance(Duration::from_secs(5));
    tokio::time::sleep(Duration::from_secs(60)).await;
    w.check(expect![[r#"
        POST /api/v1/namespaces/ns/pods/p/binding {"apiVersion":"v1","kind":"Binding","metadata":{"name":"p","namespace":"ns","uid":"uid-4"},"target":{"kind":"Node","name":"n1"}}
        event p: Normal Scheduled Binding: Successfully assigned ns/p to n1 [default-scheduler]
    "#]]).await;
    assert_eq!(w.node_of("p"), "n1");
}

const STORAGE: &str = "kind: StorageClass\napiVersion: storage.k8s.io/v1\nmetadata: {name: late}\nprovisioner: example.com/x\nvolumeBindingMode: WaitForFirstConsumer\n---\n";

fn claim(name: &str) -> String {
    format!(
        "kind: PersistentVolumeClaim\napiVersion: v1\nmetadata: {{name: {name}}}\nspec: {{storageClassName: late, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\nstatus: {{phase: Pending}}\n---\n"
    )
}

#[tokio::test(start_paused = true)]
async fn volumes_are_bound_before_their_pod() {
    let pv = "kind: PersistentVolume\napiVersion: v1\nmetadata: {name: v}\nspec: {storageClassName: late, accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /x}}\nstatus: {phase: Available}\n---\n";
    let volumes = "  volumes:\n  - {name: a, persistentVolumeClaim: {claimName: a}}\n  - {name: b, persistentVolumeClaim: {claimName: b}}";
    let w = World::new(&format!(
        "{STORAGE}{}{}{pv}{}{}",
        claim("a"),
        claim("b"),
        node("n1", "2"),
        pod("p", "1", volumes)
    ));
    w.start();
    w.check(expect![[r#"
        PATCH /api/v1/namespaces/ns/pods/p/status {"metadata":{"uid":"uid-6"},"status":{"nominatedNodeName":"n1"}}
        PATCH /api/v1/persistentvolumes/v {"metadata":{"annotations":{"pv.kubernetes.io/bound-by-controller":"yes"},"resourceVersion":"4","uid":"uid-4"},"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","name":"a","namespace":"ns","resourceVersion":"2","uid":"uid-2"}}}
        PATCH /api/v1/namespaces/ns/persistentvolumeclaims/b {"metadata":{"annotations":{"volume.kubernetes.io/selected-node":"n1"},"resourceVersion":"3","uid":"uid-3"}}
    "#]]).await;
    let bind = |c: &str, volume: &str| {
        w.api.edit("", "persistentvolumeclaims", "ns", c, |v| {
            v["spec"]["volumeName"] = json!(volume);
            v["status"]["phase"] = json!("Bound");
            v["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = json!("yes");
        });
    };
    bind("a", "v");
    w.check(expect![""]).await;
    w.add("kind: PersistentVolume\napiVersion: v1\nmetadata: {name: made}\nspec: {storageClassName: late, capacity: {storage: 1Gi}, claimRef: {namespace: ns, name: b}}\nstatus: {phase: Bound}");
    bind("b", "made");
    w.check(expect![[r#"
        POST /api/v1/namespaces/ns/pods/p/binding {"apiVersion":"v1","kind":"Binding","metadata":{"name":"p","namespace":"ns","uid":"uid-6"},"target":{"kind":"Node","name":"n1"}}
        event p: Normal Scheduled Binding: Successfully assigned ns/p to n1 [default-scheduler]
    "#]]).await;
    assert_eq!(w.node_of("p"), "n1");
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_schedules() {
    let w = World::new(&format!("{}{}", node("n1", "2"), pod("p", "1", "")));
    let client = Client::new(Arc::new(w.api.clone()));
    w.api.seed("leases", json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "kube-scheduler", "namespace": "kube-system"},
        "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15, "renewTime": "2024-01-01T00:00:00.000000Z"}}));
    let rt = w.rt.clone();
    w.rt.spawn("scheduler", async move { scheduler::run(Config::new("host"), client, rt).await.unwrap() });
    w.check(expect![""]).await;
    assert!(w.rt.ready.is_ready());
    tokio::time::sleep(Duration::from_secs(20)).await;
    w.settle().await;
    assert_eq!(w.node_of("p"), "n1");
}
