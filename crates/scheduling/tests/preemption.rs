//! Who has to go.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{World, node};
use expect_test::expect;

fn pod(name: &str, on: &str, priority: i32, cpu: &str, more: &str) -> String {
    let on = if on.is_empty() { String::new() } else { format!("nodeName: {on}, ") };
    format!(
        "metadata: {{name: {name}, labels: {{app: {name}}}}}\nspec: {{{on}priority: {priority}, containers: [{{name: c, resources: {{requests: {{cpu: \"{cpu}\"}}}}}}]}}\n{more}\n---\n"
    )
}

#[test]
fn the_cheapest_node_is_chosen_and_as_few_as_needed_go() {
    let mut w = World::new("");
    for n in ["a", "b", "c"] {
        w.apply(&node(n, ""));
    }
    w.apply(&pod("a-high", "a", 100, "4", ""));
    w.apply(&(pod("b-low", "b", 1, "2", "") + &pod("b-mid", "b", 5, "2", "")));
    w.apply(&(pod("c-low", "c", 1, "2", "") + &pod("c-low-2", "c", 1, "2", "")));
    w.apply(&pod("vip", "", 50, "3", ""));
    expect![[r#"
        vip: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu. preemption: found a potential placement for pod on node c, preempting 2 victims
          nominated c
          victim c-low
          victim c-low-2
        vip -> c
    "#]]
    .assert_eq(&w.run());
}

#[test]
fn budgets_are_kept_if_possible() {
    let mut w = World::new("");
    for n in ["a", "b"] {
        w.apply(&node(n, ""));
    }
    w.apply(&(pod("guarded", "a", 1, "4", "") + &pod("unguarded", "b", 2, "4", "")));
    w.apply("kind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {selector: {matchLabels: {app: guarded}}}\nstatus: {disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1}");
    w.apply(&pod("vip", "", 50, "1", ""));
    let out = w.run();
    assert!(out.contains("victim unguarded"), "{out}");
}

#[test]
fn a_promised_place_is_not_given_away() {
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply(&pod("low", "a", 1, "4", ""));
    w.apply(&pod("vip", "", 50, "4", ""));
    // By hand: the victim takes its time.
    let Some(scheduling::Decision::Failed(f)) = w.engine.next(w.now) else { panic!() };
    assert_eq!(f.nominate.as_deref(), Some("a"));
    assert_eq!(f.victims.len(), 1);
    w.engine.preemption_nearly_done(&f.pod.uid);
    w.apply(&pod("late", "", 10, "1", ""));
    let out = w.run();
    assert!(out.starts_with("late: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."), "{out}");
    w.delete_pod("low");
    w.now += 20_000;
    let out = w.run();
    assert!(out.starts_with("vip -> a\n"), "{out}");
}

#[test]
fn those_who_never_preempt() {
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply(&pod("low", "a", 1, "4", ""));
    w.apply(&pod("meek", "", 50, "4", "").replace("priority: 50", "priority: 50, preemptionPolicy: Never"));
    expect![[r#"
        meek: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.
    "#]]
    .assert_eq(&w.run());
}

#[test]
fn anti_affinity_is_a_reason_to_preempt_too() {
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply(&(pod("bystander", "a", 1, "1", "") + &pod("rival", "a", 1, "1", "")));
    w.apply(
        r#"
metadata: {name: vip}
spec:
  priority: 9
  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: rival}}}]}}
  containers: [{name: c}]
"#,
    );
    expect![[r#"
        vip: Unschedulable: 0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. preemption: found a potential placement for pod on node a, preempting 1 victims
          nominated a
          victim rival
        vip -> a
    "#]]
    .assert_eq(&w.run());
}
