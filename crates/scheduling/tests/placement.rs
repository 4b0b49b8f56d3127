//! Clusters and pods as YAML, and where the pods go.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{World, node};
use expect_test::{Expect, expect};

fn check(yaml: &str, expected: Expect) {
    let mut w = World::new("");
    w.apply(yaml);
    expected.assert_eq(&w.run());
}
fn nodes(names: &[&str]) -> String {
    names.iter().map(|n| node(n, "") + "\n---\n").collect()
}

#[test]
fn no_nodes() {
    check(
        "metadata: {name: p}",
        expect![[r#"
            p: Unschedulable: no nodes available to schedule pods
        "#]],
    );
}

#[test]
fn resources() {
    check(
        &(nodes(&["a", "b"])
            + r#"
metadata: {name: big}
spec: {containers: [{name: c, resources: {requests: {cpu: "3"}}}]}
---
metadata: {name: also-big}
spec: {containers: [{name: c, resources: {requests: {cpu: "3"}}}]}
---
metadata: {name: third}
spec: {containers: [{name: c, resources: {requests: {cpu: "3", memory: 1Gi}}}]}
---
metadata: {name: huge}
spec: {containers: [{name: c, resources: {requests: {cpu: "5", example.com/gpu: "1"}}}]}
---
metadata: {name: init}
spec:
  initContainers: [{name: i, resources: {requests: {cpu: "2"}}}, {name: s, restartPolicy: Always, resources: {requests: {cpu: 500m}}}]
  containers: [{name: c, resources: {requests: {cpu: 500m}}}]
"#),
        expect![[r#"
            big -> b
            also-big -> a
            third: Unschedulable: 0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
            huge: Unschedulable: 0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient example.com/gpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
            init: Unschedulable: 0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
        "#]],
    );
}

#[test]
fn every_reason_is_counted() {
    let mut y = String::new();
    y += &(node("tainted", "spec: {taints: [{key: k, value: v, effect: NoSchedule}]}") + "\n---\n");
    y += &(node("cordoned", "spec: {unschedulable: true}") + "\n---\n");
    y += &(node("labelled", "") + "\n---\n");
    y += &(node("full", "") + "\n---\n");
    y += r#"
metadata: {name: there}
spec: {nodeName: labelled, containers: [{name: c, ports: [{hostPort: 80, containerPort: 80}]}]}
---
metadata: {name: filler}
spec: {nodeName: full, containers: [{name: c, resources: {requests: {cpu: "4"}}}]}
---
metadata: {name: p}
spec: {containers: [{name: c, ports: [{hostPort: 80, containerPort: 80}], resources: {requests: {cpu: "1"}}}]}
"#;
    check(
        &y,
        expect![[r#"
            p: Unschedulable: 0/4 nodes are available: 1 Insufficient cpu, 1 node(s) didn't have free ports for the requested pod ports, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. preemption: 0/4 nodes are available: 2 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.
        "#]],
    );
}

#[test]
fn node_affinity() {
    let mut y =
        node("ssd", "").replace("    kubernetes.io/hostname", "    disk: ssd\n    kubernetes.io/hostname");
    y += "\n---\n";
    y += &nodes(&["other"]);
    y += r#"
metadata: {name: selector}
spec: {nodeSelector: {disk: ssd}, containers: [{name: c}]}
---
metadata: {name: none}
spec: {nodeSelector: {disk: tape}, containers: [{name: c}]}
---
metadata: {name: prefers}
spec:
  affinity:
    nodeAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 10
        preference: {matchExpressions: [{key: disk, operator: DoesNotExist}]}
  containers: [{name: c}]
---
metadata: {name: by-name}
spec:
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [other]}]}]
  containers: [{name: c}]
---
metadata: {name: by-wrong-name}
spec:
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [gone]}]}]
  containers: [{name: c}]
"#;
    check(
        &y,
        expect![[r#"
            selector -> ssd
            none: Unschedulable: 0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
            prefers -> other
            by-name -> other
            by-wrong-name: Unschedulable: 0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
        "#]],
    );
}

#[test]
fn a_replica_set_spreads_over_zones_and_nodes() {
    let mut w = World::new("");
    for (zone, n) in [("z1", "a"), ("z1", "b"), ("z2", "c")] {
        let y = node(n, "").replace(
            "    kubernetes.io/hostname",
            &format!("    topology.kubernetes.io/zone: {zone}\n    kubernetes.io/hostname"),
        );
        w.apply(&y);
    }
    w.apply("kind: ReplicaSet\nmetadata: {name: web}\nspec: {selector: {matchLabels: {app: web}}}");
    w.apply(
        r#"
count: 12
metadata:
  name: web
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: u, controller: true}]
spec: {containers: [{name: c}]}
"#,
    );
    w.run();
    assert_eq!(w.engine.cluster.pods_by_node(), [("a".into(), 4), ("b".into(), 3), ("c".into(), 5)].into());
}

#[test]
fn hard_spread() {
    let mut w = World::new("");
    w.apply(&nodes(&["a", "b", "c"]));
    w.apply(
        r#"
count: 7
metadata: {name: p, labels: {app: x}}
spec:
  nodeSelector: {kubernetes.io/hostname: a}
  topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: x}}, nodeAffinityPolicy: Ignore}
  containers: [{name: c}]
"#,
    );
    expect![[r#"
        p-1 -> a
        p-2: Unschedulable: 0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.
    "#]]
    .assert_eq(&w.run().lines().take(2).map(|l| format!("{l}\n")).collect::<String>());
    // Pods of the group on the other nodes let the next one in.
    w.now += 60_000;
    w.apply("metadata: {name: q, labels: {app: x}}\nspec: {nodeName: b, containers: [{name: c}]}");
    w.apply("metadata: {name: r, labels: {app: x}}\nspec: {nodeName: c, containers: [{name: c}]}");
    assert!(w.run().starts_with("p-2 -> a\n"));
}

#[test]
fn pod_affinity() {
    check(
        &(nodes(&["a", "b"])
            + r#"
metadata: {name: db, labels: {app: db}}
spec: {nodeName: a, containers: [{name: c}]}
---
metadata: {name: near}
spec:
  affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}}]}}
  containers: [{name: c}]
---
metadata: {name: far, labels: {app: far}}
spec:
  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchExpressions: [{key: app, operator: In, values: [db, far]}]}}]}}
  containers: [{name: c}]
---
metadata: {name: far-too, labels: {app: far}}
spec:
  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchExpressions: [{key: app, operator: In, values: [db, far]}]}}]}}
  containers: [{name: c}]
---
metadata: {name: repelled, labels: {app: db}}
spec: {nodeSelector: {kubernetes.io/hostname: b}, containers: [{name: c}]}
---
metadata: {name: lonely}
spec:
  affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: nobody}}}]}}
  containers: [{name: c}]
---
metadata: {name: first-of-its-kind, labels: {app: kind}}
spec:
  affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: kind}}}]}}
  nodeSelector: {kubernetes.io/hostname: b}
  containers: [{name: c}]
---
metadata: {name: second-of-its-kind, labels: {app: kind}}
spec:
  affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: kind}}}]}}
  containers: [{name: c}]
"#),
        expect![[r#"
            near -> a
            far -> b
            far-too: Unschedulable: 0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.
            repelled: Unschedulable: 0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) didn't satisfy existing pods anti-affinity rules. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.
            lonely: Unschedulable: 0/2 nodes are available: 2 node(s) didn't match pod affinity rules. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
            first-of-its-kind -> b
            second-of-its-kind -> b
        "#]],
    );
}

#[test]
fn namespaces_of_affinity() {
    check(
        &(nodes(&["a", "b"])
            + r#"
kind: Namespace
metadata: {name: team-x, labels: {team: x}}
---
metadata: {name: db, namespace: team-x, labels: {app: db}}
spec: {nodeName: a, containers: [{name: c}]}
---
metadata: {name: own-namespace-only}
spec:
  affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: db}}}]}}
  containers: [{name: c}]
---
metadata: {name: by-selector}
spec:
  affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, namespaceSelector: {matchLabels: {team: x}}, labelSelector: {matchLabels: {app: db}}}]}}
  containers: [{name: c}]
"#),
        expect![[r#"
            own-namespace-only: Unschedulable: 0/2 nodes are available: 2 node(s) didn't match pod affinity rules. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
            by-selector -> a
        "#]],
    );
}

#[test]
fn gates_and_devices() {
    let mut w = World::new("");
    w.apply(&nodes(&["a"]));
    w.apply("metadata: {name: gated}\nspec: {schedulingGates: [{name: g}], containers: [{name: c}]}");
    w.apply("metadata: {name: gpu}\nspec: {resourceClaims: [{name: x}], containers: [{name: c}]}");
    expect![[r#"
        gpu: Unschedulable: 0/1 nodes are available: pod has resource claims, which this scheduler does not allocate; use a scheduler that does (spec.schedulerName). preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.
    "#]]
    .assert_eq(&w.run());
    w.apply("metadata: {name: gated}\nspec: {containers: [{name: c}]}");
    assert_eq!(w.run(), "gated -> a\n");
}

#[test]
fn other_schedulers_pods_are_not_ours() {
    check(
        &(nodes(&["a"]) + "metadata: {name: p}\nspec: {schedulerName: mine, containers: [{name: c}]}"),
        expect![""],
    );
}

#[test]
fn declared_features() {
    check(
        &(nodes(&["old"])
            + &node("new", "")
                .replace("status:", "status:\n  declaredFeatures: [RestartAllContainersOnContainerExits]")
            + r#"
---
metadata: {name: restarts}
spec: {containers: [{name: c, restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [1]}}]}]}
---
metadata: {name: users}
spec: {hostNetwork: true, hostUsers: false, containers: [{name: c}]}
---
metadata: {name: mounts}
spec: {containers: [{name: c, volumeMounts: [{name: v, mountPath: /v, bindMountOptions: [nosuid]}]}]}
"#),
        expect![[r#"
            restarts -> new
            users: Unschedulable: 0/2 nodes are available: 2 node(s) didn't match Pod's required features. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
            mounts: Unschedulable: 0/2 nodes are available: 2 node(s) didn't match Pod's required features. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
        "#]],
    );
}
