//! What waits, and what wakes it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{World, node};
use expect_test::expect;

const PENDING: &str =
    "metadata: {name: p}\nspec: {containers: [{name: c, resources: {requests: {cpu: \"3\"}}}]}";

#[test]
fn importance_decides_then_age() {
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply("metadata: {name: old}\nspec: {containers: [{name: c}]}");
    w.now += 1;
    w.apply("metadata: {name: young}\nspec: {containers: [{name: c}]}");
    w.apply("metadata: {name: important}\nspec: {priority: 1000, containers: [{name: c}]}");
    assert_eq!(w.run(), "important -> a\nold -> a\nyoung -> a\n");
}

#[test]
fn only_events_that_help_wake_a_pod() {
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply("metadata: {name: filler}\nspec: {nodeName: a, containers: [{name: c, resources: {requests: {cpu: \"4\"}}}]}");
    w.apply(PENDING);
    assert!(w.run().starts_with("p: Unschedulable"));
    assert_eq!(w.engine.queue().sizes(), (0, 0, 1));
    // A label of the node, a node that is too small, a pod that never was on a node: nothing.
    w.apply(&node("a", "").replace("  labels:", "  labels:\n    x: \"y\""));
    w.apply(&node("tiny", "").replace("\"4\"", "\"1\""));
    w.apply("metadata: {name: other}\nspec: {schedulingGates: [{name: g}], containers: [{name: c}]}");
    w.delete_pod("other");
    assert_eq!(w.run(), "");
    assert_eq!(w.engine.queue().sizes(), (0, 0, 1));
    w.delete_pod("filler");
    assert_eq!(w.run(), "p -> a\n");
}

#[test]
fn a_pod_nothing_happens_for_is_tried_after_five_minutes() {
    let mut w = World::new("");
    w.apply(&node("a", "spec: {unschedulable: true}"));
    w.apply(PENDING);
    assert!(w.run().starts_with("p: "));
    for _ in 0..9 {
        w.now += 30_000;
        assert_eq!(w.run(), "");
    }
    assert!(w.engine.next_due().is_some_and(|d| d > w.now));
    w.now += 60_000;
    assert!(w.run().starts_with("p: "));
}

#[test]
fn errors_back_off() {
    let mut w = World::new("");
    w.apply(PENDING);
    expect![[r#"
        p: Unschedulable: no nodes available to schedule pods
    "#]]
    .assert_eq(&w.run());
    w.apply(&node("a", ""));
    assert_eq!(w.run(), "");
    let due = w.engine.next_due().unwrap();
    assert!(due > w.now && due <= w.now + 3000, "{due}");
    w.now = due;
    assert_eq!(w.run(), "p -> a\n");
}

#[test]
fn a_binding_that_fails_is_undone() {
    use scheduling::Decision;
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply(PENDING);
    w.apply(&PENDING.replace("name: p", "name: q"));
    let Some(Decision::Bind { pod, .. }) = w.engine.next(w.now) else { panic!() };
    assert_eq!(&*pod.name, "p");
    // The place is taken as long as the binding is under way.
    let Some(Decision::Failed(f)) = w.engine.next(w.now) else { panic!() };
    assert_eq!(&*f.pod.name, "q");
    let Some(Decision::Failed(f)) = w.engine.bind_failed(&pod.uid, "the API said no", w.now) else {
        panic!()
    };
    assert_eq!((f.reason, f.message.as_str()), ("SchedulerError", "the API said no"));
    assert_eq!(w.run(), "q -> a\n");
}

#[test]
fn a_pod_on_its_way_that_is_deleted_frees_its_place() {
    use scheduling::Decision;
    let mut w = World::new("");
    w.apply(&node("a", ""));
    w.apply(PENDING);
    let Some(Decision::Bind { pod, .. }) = w.engine.next(w.now) else { panic!() };
    w.engine.bound(&pod.uid);
    w.delete_pod("p");
    w.apply(&PENDING.replace("name: p", "name: q"));
    assert_eq!(w.run(), "q -> a\n");
}
