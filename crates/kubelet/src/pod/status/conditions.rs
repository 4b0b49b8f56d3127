//! The conditions that the kubelet owns.

use super::{Input, is_running, is_terminal, stamp, terminated};
use crate::pod::helpers::{init_containers, is_sidecar, spec};
use crate::pod::observe::sandbox_state;
use crate::pod::plan::restarts_all;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};

/// The conditions that only the kubelet writes.
pub const OWN: [&str; 8] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "AllContainersRestarting",
    "PodResizePending",
    "PodResizeInProgress",
];

/// All conditions: others' as the API server has them, ours anew.
pub(super) fn all(i: &Input<'_>, out: &PodStatus) -> Vec<PodCondition> {
    let api = i.pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or(&[]);
    let mut list: Vec<PodCondition> =
        api.iter().filter(|c| !OWN.contains(&c.type_.as_str())).cloned().collect();
    for c in i.reported.conditions.as_deref().unwrap_or(&[]) {
        if c.type_ == "DisruptionTarget" && !list.iter().any(|x| x.type_ == c.type_) {
            list.push(c.clone());
        }
    }
    let main = out.container_statuses.as_deref().unwrap_or(&[]);
    let init = out.init_container_statuses.as_deref().unwrap_or(&[]);
    let phase = out.phase.as_deref().unwrap_or("");
    let generation = i.pod.metadata.generation;
    let make = |kind: &str, r: Verdict| PodCondition {
        type_: kind.to_owned(),
        status: if r.ok { "True" } else { "False" }.to_owned(),
        reason: (!r.reason.is_empty()).then(|| r.reason.to_owned()),
        message: (!r.message.is_empty()).then_some(r.message),
        observed_generation: generation,
        ..Default::default()
    };
    let containers = containers_ready(i, main, init, phase);
    let ready = ready(i, &list, containers.clone());
    let sandbox = sandbox_state(i.pod, i.observed);
    let mut own = vec![
        make(
            "PodReadyToStartContainers",
            Verdict {
                ok: !sandbox.changed,
                reason: if sandbox.changed { "PodSandboxNotReady" } else { "" },
                message: sandbox.why.to_owned(),
            },
        ),
        make("Initialized", initialized(i, main, init, phase)),
        make("Ready", ready),
        make("ContainersReady", containers),
        make("PodScheduled", Verdict::yes()),
    ];
    if may_restart_all(i) {
        own.push(make("AllContainersRestarting", restarting(i, phase)));
    }
    let at = list.len();
    list.extend(i.resize.iter().cloned());
    list.extend(own);
    stamp(&mut list[at..], i.reported, i.now);
    list
}

#[derive(Clone, Default)]
struct Verdict {
    ok: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes() -> Self {
        Self { ok: true, ..Default::default() }
    }
    fn no(reason: &'static str, message: String) -> Self {
        Self { ok: false, reason, message }
    }
}

/// Names as Go prints a slice: `[a b]`.
fn names(list: &[&str]) -> String {
    format!("[{}]", list.join(" "))
}

fn containers_ready(
    i: &Input<'_>,
    main: &[ContainerStatus],
    init: &[ContainerStatus],
    phase: &str,
) -> Verdict {
    let s = spec(i.pod);
    let sidecars = init_containers(s).iter().filter(|c| is_sidecar(c)).map(|c| (c, init));
    let mut unknown = vec![];
    let mut unready = vec![];
    for (c, list) in sidecars.chain(s.containers.iter().map(|c| (c, main))) {
        match list.iter().find(|x| x.name == c.name) {
            None => unknown.push(c.name.as_str()),
            Some(x) if !x.ready => unready.push(c.name.as_str()),
            Some(_) => {}
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return Verdict::no("PodCompleted", String::new());
    }
    if phase == "Failed" {
        return Verdict::no("PodFailed", String::new());
    }
    let mut messages = vec![];
    if !unknown.is_empty() {
        messages.push(format!("containers with unknown status: {}", names(&unknown)));
    }
    if !unready.is_empty() {
        messages.push(format!("containers with unready status: {}", names(&unready)));
    }
    if messages.is_empty() { Verdict::yes() } else { Verdict::no("ContainersNotReady", messages.join(", ")) }
}

fn ready(i: &Input<'_>, conditions: &[PodCondition], containers: Verdict) -> Verdict {
    if !containers.ok {
        return containers;
    }
    let mut messages = vec![];
    for gate in spec(i.pod).readiness_gates.as_deref().unwrap_or(&[]) {
        let kind = &gate.condition_type;
        match conditions.iter().find(|c| &c.type_ == kind) {
            None => messages
                .push(format!("corresponding condition of pod readiness gate {kind:?} does not exist.")),
            Some(c) if c.status != "True" => messages
                .push(format!("the status of pod readiness gate {kind:?} is not \"True\", but {}", c.status)),
            Some(_) => {}
        }
    }
    if messages.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no("ReadinessGatesNotReady", messages.join(", "))
    }
}

fn initialized(i: &Input<'_>, main: &[ContainerStatus], init: &[ContainerStatus], phase: &str) -> Verdict {
    let s = spec(i.pod);
    let mut unknown = vec![];
    let mut incomplete = vec![];
    for c in init_containers(s) {
        match init.iter().find(|x| x.name == c.name) {
            None => unknown.push(c.name.as_str()),
            Some(x) => {
                let done = if is_sidecar(c) { x.started == Some(true) } else { x.ready };
                if !done {
                    incomplete.push(c.name.as_str());
                }
            }
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return Verdict { ok: true, reason: "PodCompleted", message: String::new() };
    }
    if main.iter().any(|x| is_running(x) || terminated(x).is_some()) {
        return Verdict::yes();
    }
    let mut messages = vec![];
    if !unknown.is_empty() {
        messages.push(format!("containers with unknown status: {}", names(&unknown)));
    }
    if !incomplete.is_empty() {
        messages.push(format!("containers with incomplete status: {}", names(&incomplete)));
    }
    let was = i
        .reported
        .conditions
        .as_deref()
        .unwrap_or(&[])
        .iter()
        .any(|c| c.type_ == "Initialized" && c.status == "True");
    if messages.is_empty() || was {
        Verdict::yes()
    } else {
        Verdict::no("ContainersNotInitialized", messages.join(", "))
    }
}

fn may_restart_all(i: &Input<'_>) -> bool {
    let s = spec(i.pod);
    init_containers(s).iter().chain(&s.containers).any(|c| {
        c.restart_policy_rules.as_deref().unwrap_or(&[]).iter().any(|r| r.action == "RestartAllContainers")
    })
}

fn restarting(i: &Input<'_>, phase: &str) -> Verdict {
    if is_terminal(phase) {
        let reason = if phase == "Failed" { "PodFailed" } else { "PodCompleted" };
        return Verdict::no(reason, String::new());
    }
    let s = spec(i.pod);
    let gone = init_containers(s).iter().chain(&s.containers).all(|c| i.observed.newest(&c.name).is_none());
    if gone || !restarts_all(i.pod, i.observed, Some(i.reported)) {
        return Verdict::no("", String::new());
    }
    Verdict {
        ok: true,
        reason: "RestartAllContainersStarted",
        message: "container exited with restart policy rule".into(),
    }
}
