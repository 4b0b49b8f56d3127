//! Statuses as tables: spec and observation → phase, readiness and reasons.

use super::*;
use crate::pod::testing::{observed, pod};
use expect_test::{Expect, expect};
use serde_json::json;

fn make(pod: &Pod, seen: &str, reported: &PodStatus, reasons: &[(&str, &str)], finished: bool) -> PodStatus {
    let reasons =
        reasons.iter().map(|(c, r)| ((*c).to_owned(), ((*r).to_owned(), "why".to_owned()))).collect();
    status(&Input {
        pod,
        observed: &observed(seen),
        reported,
        probes: &ProbeResults::default(),
        reasons: &reasons,
        host_ips: &["192.0.2.1".to_owned()],
        actual: &BTreeMap::new(),
        resize: &[],
        finished,
        runtime: "containerd",
        now: 100_000_000_000,
    })
}

/// `Running ready=False(ContainersNotReady) | a:running r0 ready, ...`
fn show(s: &PodStatus) -> String {
    let c = |kind: &str| {
        let c = s.conditions.as_ref().unwrap().iter().find(|c| c.type_ == kind).unwrap();
        format!("{}{}", c.status, c.reason.as_ref().map(|r| format!("({r})")).unwrap_or_default())
    };
    let list: Vec<String> = s
        .init_container_statuses
        .iter()
        .flatten()
        .chain(s.container_statuses.iter().flatten())
        .map(|x| {
            let st = x.state.as_ref().unwrap();
            let text = if let Some(w) = &st.waiting {
                format!("waiting({})", w.reason.as_deref().unwrap_or(""))
            } else if let Some(t) = &st.terminated {
                format!("ended({})", t.exit_code)
            } else {
                "running".into()
            };
            let last = last_terminated(x).map(|c| format!(" last {c}")).unwrap_or_default();
            format!("{}:{text} r{}{}{last}", x.name, x.restart_count, if x.ready { " ready" } else { "" })
        })
        .collect();
    format!(
        "{} init={} ready={} | {}",
        s.phase.as_deref().unwrap(),
        c("Initialized"),
        c("Ready"),
        list.join(", ")
    )
}

fn check(spec: serde_json::Value, seen: &str, reasons: &[(&str, &str)], want: Expect) {
    let p = pod(spec);
    want.assert_eq(&show(&make(&p, seen, &PodStatus::default(), reasons, false)));
}

#[test]
fn phases() {
    let two = |policy: &str| json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]});
    check(
        two("Always"),
        "-",
        &[],
        expect![
            "Pending init=True ready=False(ContainersNotReady) | a:waiting(ContainerCreating) r0, b:waiting(ContainerCreating) r0"
        ],
    );
    check(
        two("Always"),
        "a:running b:running",
        &[],
        expect!["Running init=True ready=True | a:running r0 ready, b:running r0 ready"],
    );
    check(
        two("Always"),
        "b:running",
        &[("a", "ImagePullBackOff")],
        expect![
            "Pending init=True ready=False(ContainersNotReady) | a:waiting(ImagePullBackOff) r0, b:running r0 ready"
        ],
    );
    check(
        two("Always"),
        "a:exited(1) b:running",
        &[("a", "CrashLoopBackOff")],
        expect![
            "Running init=True ready=False(ContainersNotReady) | a:waiting(CrashLoopBackOff) r0 last 1, b:running r0 ready"
        ],
    );
    check(
        two("Never"),
        "a:exited(0) b:exited(0)",
        &[],
        expect!["Succeeded init=True(PodCompleted) ready=False(PodCompleted) | a:ended(0) r0, b:ended(0) r0"],
    );
    check(
        two("Never"),
        "a:exited(0) b:exited(2)",
        &[],
        expect!["Failed init=True ready=False(PodFailed) | a:ended(0) r0, b:ended(2) r0"],
    );
    check(
        two("OnFailure"),
        "a:exited(0) b:exited(2)",
        &[],
        expect!["Running init=True ready=False(ContainersNotReady) | a:ended(0) r0, b:ended(2) r0"],
    );
    check(
        two("Always"),
        "a:running a:exited(3) b:running",
        &[],
        expect!["Running init=True ready=True | a:running r1 ready last 3, b:running r0 ready"],
    );
}

#[test]
fn init_and_sidecars() {
    let s =
        json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]});
    check(
        s.clone(),
        "",
        &[],
        expect![
            "Pending init=False(ContainersNotInitialized) ready=False(ContainersNotReady) | i:waiting(PodInitializing) r0, a:waiting(PodInitializing) r0"
        ],
    );
    check(
        s.clone(),
        "i:exited(0)",
        &[],
        expect![
            "Pending init=True ready=False(ContainersNotReady) | i:ended(0) r0 ready, a:waiting(PodInitializing) r0"
        ],
    );
    check(
        s.clone(),
        "i:exited(1)",
        &[],
        expect![
            "Failed init=False(ContainersNotInitialized) ready=False(PodFailed) | i:ended(1) r0, a:waiting(PodInitializing) r0"
        ],
    );
    check(
        s,
        "a:running",
        &[],
        expect!["Running init=True ready=True | i:ended(0) r0 ready, a:running r0 ready"],
    );
    let side = json!({"restartPolicy": "Never", "initContainers": [{"name": "s", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}}], "containers": [{"name": "a"}]});
    check(
        side.clone(),
        "s:running",
        &[],
        expect![
            "Pending init=False(ContainersNotInitialized) ready=False(ContainersNotReady) | s:running r0, a:waiting(PodInitializing) r0"
        ],
    );
    check(
        side,
        "a:exited(0) s:exited(1)",
        &[],
        expect!["Succeeded init=True(PodCompleted) ready=False(PodCompleted) | s:ended(1) r0, a:ended(0) r0"],
    );
}

#[test]
fn deleted_pods_end_by_their_exit_codes() {
    let p = pod(json!({"restartPolicy": "Always", "containers": [{"name": "a"}]}));
    let old = PodStatus::default();
    for (seen, want) in [("a:exited(0)", "Succeeded"), ("a:exited(137)", "Failed")] {
        assert_eq!(make(&p, seen, &old, &[], true).phase.as_deref(), Some(want), "{seen}");
    }
    let none = terminate(&p, &make(&p, "-", &old, &[], true));
    assert_eq!(none.phase.as_deref(), Some("Failed"));
}

#[test]
fn a_restarted_kubelet_keeps_ready_and_times() {
    let p = pod(json!({"containers": [{"name": "a", "readinessProbe": {"tcpSocket": {"port": 1}}}]}));
    let first = make(&p, "a:running", &PodStatus::default(), &[], false);
    assert!(!first.container_statuses.as_ref().unwrap()[0].ready, "no probe ran yet");
    let mut reported = first;
    reported.container_statuses.as_mut().unwrap()[0].ready = true;
    for c in reported.conditions.as_mut().unwrap() {
        c.status = "True".into();
        c.last_transition_time = Some(time(5));
    }
    reported.start_time = Some(time(7_000_000_000));
    let again = make(&p, "a:running", &reported, &[], false);
    assert!(again.container_statuses.as_ref().unwrap()[0].ready, "the same instance stays ready");
    let c = again.conditions.as_ref().unwrap().iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(c.last_transition_time, Some(time(5)));
    assert_eq!(again.start_time, Some(time(7_000_000_000)));
}

#[test]
fn lost_containers_are_reported() {
    let p = pod(json!({"containers": [{"name": "a"}]}));
    let reported = make(&p, "a:running", &PodStatus::default(), &[], false);
    let s = make(&p, "", &reported, &[], false);
    expect!["Running init=True ready=False(ContainersNotReady) | a:waiting(ContainerCreating) r1 last 137"]
        .assert_eq(&show(&s));
}

#[test]
fn terminal_phases_do_not_change() {
    let mut p = pod(json!({"containers": [{"name": "a"}]}));
    p.status = Some(PodStatus {
        phase: Some("Failed".into()),
        reason: Some("Evicted".into()),
        ..Default::default()
    });
    let reported = p.status.clone().unwrap();
    let s = make(&p, "a:running", &reported, &[], false);
    assert_eq!((s.phase.as_deref(), s.reason.as_deref()), (Some("Failed"), Some("Evicted")));
}
