//! The status of a pod for the API, from what runs. Pure (upstream `kubelet_pods.generateAPIPodStatus`).

mod conditions;
pub use conditions::OWN as OWN_CONDITIONS;
mod containers;

use super::helpers::{self, init_containers, is_sidecar, is_static, is_terminal, restarts_after, spec, time};
use super::observe::{Observed, ProbeResults};
use super::qos;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
    ResourceRequirements,
};
use std::collections::{BTreeMap, HashMap};

/// Why a container could not be started: the reason and message of its waiting state.
pub type Reasons = HashMap<String, (String, String)>;

pub struct Input<'a> {
    pub pod: &'a Pod,
    pub observed: &'a Observed,
    /// The status made last, or the API server's.
    pub reported: &'a PodStatus,
    pub probes: &'a ProbeResults,
    pub reasons: &'a Reasons,
    pub host_ips: &'a [String],
    /// What each instance has, where that is known.
    pub actual: &'a BTreeMap<String, ResourceRequirements>,
    /// A resize that is not done: its conditions.
    pub resize: &'a [PodCondition],
    /// All containers are down for good.
    pub finished: bool,
    /// As in container ids: `containerd`.
    pub runtime: &'a str,
    /// Nanoseconds since 1970.
    pub now: i64,
}

/// The restarting-in-place reason of containers (upstream `RestartingAllContainers`).
const RESTARTING_ALL: &str = "RestartingAllContainers";

pub fn status(i: &Input<'_>) -> PodStatus {
    let s = spec(i.pod);
    let api = i.pod.status.clone().unwrap_or_default();
    let mut out = PodStatus {
        qos_class: Some(qos::class(i.pod).to_owned()),
        observed_generation: i.pod.metadata.generation,
        resource_claim_statuses: api.resource_claim_statuses.clone(),
        nominated_node_name: api.nominated_node_name.clone(),
        ..Default::default()
    };
    set_ips(&mut out, &i.observed.ips);
    let list = |which: &[Container], old: &Option<Vec<ContainerStatus>>, init: bool| {
        containers::statuses(i, which, old.as_deref().unwrap_or(&[]), init)
    };
    let mut main = list(&s.containers, &i.reported.container_statuses, false);
    let mut init = list(init_containers(s), &i.reported.init_container_statuses, true);
    let ephemeral: Vec<Container> =
        helpers::ephemeral_containers(s).iter().map(helpers::ephemeral_as_container).collect();
    let ephemeral = list(&ephemeral, &i.reported.ephemeral_container_statuses, false);

    // Upstream's phase looks at started before it is computed anew: sidecars count as pending until started.
    containers::readiness(i, &s.containers, &mut main, false);
    containers::readiness(i, init_containers(s), &mut init, true);
    let phase = phase(i.pod, &main, &init, i.finished, i.observed.any_main_active(s));
    let api_phase = api.phase.as_deref().unwrap_or("");
    let old_phase = i.reported.phase.as_deref().unwrap_or("");
    // Terminal phases stay, whoever set them.
    let phase = if is_terminal(api_phase) {
        api_phase
    } else if is_terminal(old_phase) {
        old_phase
    } else {
        phase
    };
    if phase == old_phase {
        out.reason = i.reported.reason.clone().or_else(|| api.reason.clone());
        out.message = i.reported.message.clone().or_else(|| api.message.clone());
    }
    out.phase = Some(phase.to_owned());
    if !main.is_empty() {
        out.container_statuses = Some(main);
    }
    if !init.is_empty() {
        out.init_container_statuses = Some(init);
    }
    if !ephemeral.is_empty() {
        out.ephemeral_container_statuses = Some(ephemeral);
    }
    out.conditions = Some(conditions::all(i, &out));
    set_host_ips(&mut out, i, helpers::host_network(s));
    out.start_time = i.reported.start_time.clone().or(api.start_time).or_else(|| Some(time(i.now)));
    out
}

fn set_ips(out: &mut PodStatus, ips: &[String]) {
    if let Some(first) = ips.first() {
        out.pod_ip = Some(first.clone());
        out.pod_ips = Some(ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect());
    }
}

fn set_host_ips(out: &mut PodStatus, i: &Input<'_>, host_network: bool) {
    let Some(first) = i.host_ips.first() else { return };
    out.host_ip = Some(first.clone());
    out.host_ips = Some(i.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    if host_network {
        match i.reported.pod_ips.as_deref() {
            Some(old) if !old.is_empty() => {
                set_ips(out, &old.iter().map(|p| p.ip.clone()).collect::<Vec<_>>());
            }
            _ => set_ips(out, i.host_ips),
        }
    }
}

fn terminated(s: &ContainerStatus) -> Option<i32> {
    s.state.as_ref()?.terminated.as_ref().map(|t| t.exit_code)
}
fn last_terminated(s: &ContainerStatus) -> Option<i32> {
    s.last_state.as_ref()?.terminated.as_ref().map(|t| t.exit_code)
}
fn is_running(s: &ContainerStatus) -> bool {
    s.state.as_ref().is_some_and(|x| x.running.is_some())
}
fn is_waiting(s: &ContainerStatus) -> bool {
    s.state.as_ref().is_some_and(|x| x.waiting.is_some())
}
/// Terminated, or waiting after a termination: the exit code and whether the pod restarts in place.
fn ended(s: &ContainerStatus) -> Option<(i32, bool)> {
    let t = |x: &Option<ContainerState>| {
        let t = x.as_ref()?.terminated.as_ref()?;
        Some((t.exit_code, t.reason.as_deref() == Some(RESTARTING_ALL)))
    };
    t(&s.state).or_else(|| if is_waiting(s) { t(&s.last_state) } else { None })
}

/// The phase, from the container statuses (upstream `getPhase`).
pub fn phase(
    pod: &Pod,
    main: &[ContainerStatus],
    init: &[ContainerStatus],
    finished: bool,
    was_initialized: bool,
) -> &'static str {
    let s = spec(pod);
    let find = |list: &'_ [ContainerStatus], name: &str| list.iter().position(|x| x.name == name);
    let (mut pending_init, mut pending_sidecar, mut failed_init) = (0, 0, 0);
    let (mut unknown, mut running, mut waiting) = (0, 0, 0);
    let (mut stopped, mut done, mut succeeded) = (0, 0, 0);
    for c in init_containers(s) {
        let st = find(init, &c.name).map(|n| &init[n]);
        if is_sidecar(c) {
            match st {
                None => unknown += 1,
                Some(x) if is_running(x) => {
                    if x.started != Some(true) {
                        pending_sidecar += 1;
                    }
                    running += 1;
                }
                Some(x) if terminated(x).is_some() => {}
                Some(x) if is_waiting(x) => {
                    if last_terminated(x).is_none() {
                        pending_sidecar += 1;
                        waiting += 1;
                    }
                }
                Some(_) => {
                    pending_sidecar += 1;
                    unknown += 1;
                }
            }
            continue;
        }
        match st.and_then(ended) {
            Some((0, _)) => {}
            Some((code, again)) => {
                if !(again || restarts_after(c, s, code)) {
                    failed_init += 1;
                }
            }
            None => pending_init += 1,
        }
    }
    for c in &s.containers {
        let Some(x) = find(main, &c.name).map(|n| &main[n]) else {
            unknown += 1;
            continue;
        };
        if is_running(x) {
            running += 1;
        } else if let Some((code, again)) = ended(x) {
            stopped += 1;
            if !(again || restarts_after(c, s, code)) {
                done += 1;
            }
            if terminated(x) == Some(0) {
                succeeded += 1;
            }
        } else if is_waiting(x) {
            waiting += 1;
        } else {
            unknown += 1;
        }
    }
    if failed_init > 0 {
        return "Failed";
    }
    if pending_init > 0 || (pending_sidecar > 0 && !was_initialized) || waiting > 0 {
        return "Pending";
    }
    if running > 0 && unknown == 0 {
        return "Running";
    }
    if running == 0 && stopped > 0 && unknown == 0 {
        if (!finished || is_static(pod)) && stopped != done {
            return "Running";
        }
        return if stopped == succeeded { "Succeeded" } else { "Failed" };
    }
    "Pending"
}

/// Keeps transition times of conditions that did not change; stamps the others.
pub fn stamp(new: &mut [PodCondition], old: &PodStatus, now: i64) {
    for c in new {
        let before = old.conditions.as_deref().unwrap_or(&[]).iter().find(|o| o.type_ == c.type_);
        c.last_transition_time = match before {
            Some(o) if o.status == c.status && o.last_transition_time.is_some() => {
                o.last_transition_time.clone()
            }
            _ => Some(time(now)),
        };
    }
}

/// The status of a pod whose containers are gone for good: every container has ended, and the phase is terminal
/// (upstream `status_manager.TerminatePod`).
pub fn terminate(pod: &Pod, reported: &PodStatus) -> PodStatus {
    let mut out = reported.clone();
    let s: &PodSpec = spec(pod);
    let lost = || ContainerState {
        terminated: Some(k8s_openapi::api::core::v1::ContainerStateTerminated {
            reason: Some("ContainerStatusUnknown".into()),
            message: Some("The container could not be located when the pod was terminated".into()),
            exit_code: 137,
            ..Default::default()
        }),
        ..Default::default()
    };
    let init = out.init_container_statuses.clone().unwrap_or_default();
    let was_started =
        |x: &ContainerStatus| is_running(x) || terminated(x).is_some() || last_terminated(x).is_some();
    let initialized = init_containers(s).is_empty()
        || init.last().is_some_and(|x| {
            let c = init_containers(s).iter().find(|c| c.name == x.name);
            if c.is_some_and(is_sidecar) {
                x.started == Some(true) || was_started(x)
            } else {
                terminated(x) == Some(0)
            }
        });
    if initialized {
        for x in out.container_statuses.iter_mut().flatten() {
            if terminated(x).is_none() {
                x.state = Some(lost());
                x.ready = false;
                x.started = Some(false);
            }
        }
    }
    let started_up_to = init.iter().rposition(was_started).map_or(0, |n| n + 1);
    for x in out.init_container_statuses.iter_mut().flatten().take(started_up_to) {
        if terminated(x).is_none() {
            x.state = Some(lost());
            x.ready = false;
            x.started = Some(false);
        }
    }
    if !is_static(pod) && !is_terminal(out.phase.as_deref().unwrap_or("")) {
        out.phase = Some("Failed".into());
    }
    out
}

/// Ready conditions that fit a terminal phase (upstream `mergePodStatus`).
pub fn settle_terminal(out: &mut PodStatus) {
    let reason = match out.phase.as_deref() {
        Some("Failed") => "PodFailed",
        Some("Succeeded") => "PodCompleted",
        _ => return,
    };
    for c in out.conditions.iter_mut().flatten() {
        if (c.type_ == "Ready" || c.type_ == "ContainersReady") && c.status == "True" {
            c.status = "False".into();
            c.reason = Some(reason.into());
            c.message = None;
            c.last_transition_time = None;
        }
    }
}

#[cfg(test)]
mod tests;
