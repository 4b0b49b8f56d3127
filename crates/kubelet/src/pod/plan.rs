//! The heart of the kubelet: from the pod that is wanted and what runs, what to do next. Pure.
//!
//! The rules are upstream's (`kuberuntime.computePodActions`): a bad sandbox replaces everything; init containers run one
//! after another, sidecars stay; then the main containers, each by its own state, probes and restart policy; when none
//! is left to run, the pod's remains are stopped.

use super::helpers::{
    container_hash, ephemeral_containers, init_containers, is_deleted, is_sidecar, matching_rule,
    restart_policy, restarts_after, spec,
};
use super::observe::{Instance, Observed, ProbeResults, State, sandbox_state};
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};

/// Why a container is killed, where that changes how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    Other,
    Startup,
    Liveness,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    pub id: String,
    pub name: String,
    pub message: String,
    pub reason: KillReason,
}

/// A container that leaves the runtime so that the whole pod starts over in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    pub id: String,
    pub name: String,
    pub running: bool,
}

/// What to do, in this order. Containers are indices into the spec's lists.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// Stop all containers and sandboxes first.
    pub kill_pod: bool,
    pub create_sandbox: bool,
    /// The attempt number of the sandbox in use or to make.
    pub attempt: u32,
    /// The sandbox in use or to replace; empty when there is none.
    pub sandbox: String,
    pub kill: Vec<Kill>,
    pub reset: Vec<Reset>,
    pub start_ephemeral: Vec<usize>,
    pub start_init: Vec<usize>,
    pub start: Vec<usize>,
}

impl Plan {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.kill_pod
            && !self.create_sandbox
            && self.kill.is_empty()
            && self.reset.is_empty()
            && self.start_ephemeral.is_empty()
            && self.start_init.is_empty()
            && self.start.is_empty()
    }
    /// Something will be started.
    pub fn starts(&self) -> bool {
        self.create_sandbox
            || !(self.start_ephemeral.is_empty() && self.start_init.is_empty() && self.start.is_empty())
    }
}

/// What to do for a pod that should run. `resized` are containers that must restart to take up new resources.
pub fn plan(pod: &Pod, o: &Observed, probes: &ProbeResults, resized: &[String], restart_all: bool) -> Plan {
    let s = spec(pod);
    let sandbox = sandbox_state(pod, o);
    let mut p = Plan {
        kill_pod: sandbox.changed,
        create_sandbox: sandbox.changed,
        attempt: sandbox.attempt,
        sandbox: sandbox.id,
        ..Default::default()
    };
    if restart_all {
        p.kill_pod = false;
        p.create_sandbox = false;
        p.reset = resets(pod, o);
        return p;
    }
    if sandbox.changed {
        new_sandbox(pod, o, &mut p);
        return p;
    }
    for (i, c) in ephemeral_containers(s).iter().enumerate() {
        if o.newest(&c.name).is_none() {
            p.start_ephemeral.push(i);
        }
    }
    let initialized = init_actions(pod, o, probes, &mut p);
    if p.kill_pod || !initialized {
        return p;
    }
    let mut keep = 0;
    for (i, c) in s.containers.iter().enumerate() {
        let newest = o.newest(&c.name);
        match newest {
            Some(n) if n.state == State::Running => match unwanted(c, n, probes, "Container", resized) {
                None => keep += 1,
                Some((mut message, reason, changed)) => {
                    if changed || restarts_when_killed(c, pod) {
                        message.push_str(", will be restarted");
                        p.start.push(i);
                    }
                    p.kill.push(Kill { id: n.id.clone(), name: c.name.clone(), message, reason });
                }
            },
            _ => {
                if should_run(c, pod, o) {
                    p.start.push(i);
                    if let Some(n) = newest.filter(|n| n.state == State::Unknown) {
                        p.kill.push(kill_unknown("Container is", n));
                    }
                }
            }
        }
    }
    if keep == 0 && p.start.is_empty() {
        p.kill_pod = true;
        // Sidecars must not keep a finished pod alive.
        p.start_init.clear();
    }
    p
}

/// Whether a container that does not run should (upstream `ShouldContainerBeRestarted`).
pub fn should_run(c: &Container, pod: &Pod, o: &Observed) -> bool {
    if is_deleted(pod) {
        return false;
    }
    match o.newest(&c.name) {
        None => true,
        Some(n) => match n.state {
            State::Running => false,
            State::Unknown | State::Created => true,
            State::Exited => restarts_after(c, spec(pod), n.exit_code),
        },
    }
}

/// Whether a container that the kubelet kills for a failed probe comes back: rules need an exit code, so only policies.
fn restarts_when_killed(c: &Container, pod: &Pod) -> bool {
    c.restart_policy.as_deref().unwrap_or(restart_policy(spec(pod))) != "Never"
}

/// Why a running container may not stay: message, kind, and whether its definition changed.
fn unwanted(
    c: &Container,
    n: &Instance,
    probes: &ProbeResults,
    what: &str,
    resized: &[String],
) -> Option<(String, KillReason, bool)> {
    if n.hash != 0 && n.hash != container_hash(c) {
        return Some((format!("{what} {} definition changed", c.name), KillReason::Other, true));
    }
    if probes.liveness.get(&n.id) == Some(&false) {
        return Some((format!("{what} {} failed liveness probe", c.name), KillReason::Liveness, false));
    }
    if probes.startup.get(&n.id) == Some(&false) {
        return Some((format!("{what} {} failed startup probe", c.name), KillReason::Startup, false));
    }
    if resized.contains(&c.name) {
        return Some((format!("{what} {} resize requires restart", c.name), KillReason::Other, true));
    }
    None
}

fn kill_unknown(prefix: &str, n: &Instance) -> Kill {
    Kill {
        id: n.id.clone(),
        name: n.name.clone(),
        message: format!("{prefix} in {:?} state, try killing it before restart", n.state.name()),
        reason: KillReason::Other,
    }
}

/// The sandbox is missing or bad: everything starts over, or nothing does when the pod is done.
fn new_sandbox(pod: &Pod, o: &Observed, p: &mut Plan) {
    let s = spec(pod);
    if restart_policy(s) == "Never" && p.attempt != 0 && !o.instances.is_empty() {
        p.create_sandbox = false;
        return;
    }
    let start: Vec<usize> = s
        .containers
        .iter()
        .enumerate()
        .filter(|(_, c)| {
            let once = c.restart_policy.as_deref().unwrap_or(restart_policy(s)) == "OnFailure";
            !(once && o.newest(&c.name).is_some_and(|n| n.state == State::Exited && n.exit_code == 0))
        })
        .map(|(i, _)| i)
        .collect();
    if start.is_empty() && o.any_main_created(s) {
        p.create_sandbox = false;
        return;
    }
    if init_containers(s).is_empty() {
        p.start = start;
    } else {
        p.start_init = vec![0];
    }
}

/// What init containers and sidecars need; answers whether the main containers may run.
fn init_actions(pod: &Pod, o: &Observed, probes: &ProbeResults, p: &mut Plan) -> bool {
    let s = spec(pod);
    let inits = init_containers(s);
    if inits.is_empty() {
        return true;
    }
    let mut initialized = o.any_main_active(s);
    // Whether a later init container shows that the one at hand was passed before.
    let mut passed = initialized;
    let last = inits.len() - 1;
    let mut start = vec![];
    // Backwards: the runtime may have forgotten the early ones, the last that is there tells how far the pod came.
    for (i, c) in inits.iter().enumerate().rev() {
        let sidecar = is_sidecar(c);
        let Some(n) = o.active(&c.name) else {
            if passed && sidecar {
                start.push(i);
            }
            continue;
        };
        if passed && !sidecar {
            continue;
        }
        match n.state {
            State::Created => start.push(i),
            State::Running if sidecar => {
                sidecar_running(i, c, n, probes, p, &mut start, last, passed, &mut initialized);
            }
            State::Running => {}
            State::Exited if sidecar => start.push(i),
            State::Exited if n.exit_code != 0 => {
                if !should_run(c, pod, o) {
                    p.kill_pod = true;
                    return false;
                }
                start.push(i);
            }
            State::Exited => {
                if i == last {
                    initialized = true;
                } else {
                    start.push(i + 1);
                }
            }
            State::Unknown => {
                if !sidecar && !restarts_when_killed(c, pod) {
                    p.kill_pod = true;
                    return false;
                }
                p.kill.push(kill_unknown("Init container is", n));
                start.push(i);
            }
        }
        passed = true;
    }
    if !passed {
        start.push(0);
    }
    start.reverse();
    p.start_init = start;
    initialized
}

#[allow(clippy::too_many_arguments, reason = "one arm of a loop over much state, apart only to be read")]
fn sidecar_running(
    i: usize,
    c: &Container,
    n: &Instance,
    probes: &ProbeResults,
    p: &mut Plan,
    start: &mut Vec<usize>,
    last: usize,
    passed: bool,
    initialized: &mut bool,
) {
    let restart = |p: &mut Plan, start: &mut Vec<usize>, why: &str, reason| {
        let message = format!("Init container {} {why}", c.name);
        p.kill.push(Kill { id: n.id.clone(), name: c.name.clone(), message, reason });
        start.push(i);
    };
    if c.startup_probe.is_some() {
        match probes.startup.get(&n.id) {
            Some(true) => {}
            Some(false) => return restart(p, start, "failed startup probe", KillReason::Startup),
            None => return,
        }
    }
    if i == last {
        *initialized = true;
    } else if !passed {
        start.push(i + 1);
    }
    if n.hash != 0 && n.hash != container_hash(c) {
        return restart(p, start, "definition changed", KillReason::Other);
    }
    if c.liveness_probe.is_some() && probes.liveness.get(&n.id) == Some(&false) {
        restart(p, start, "failed liveness probe", KillReason::Liveness);
    }
}

/// Whether an exit matched a rule RestartAllContainers, now or in the status that was reported last.
pub fn restarts_all(pod: &Pod, o: &Observed, reported: Option<&PodStatus>) -> bool {
    let s = spec(pod);
    if reported.is_some_and(|r| {
        r.conditions
            .as_deref()
            .unwrap_or(&[])
            .iter()
            .any(|c| c.type_ == "AllContainersRestarting" && c.status == "True")
    }) {
        return true;
    }
    init_containers(s).iter().chain(&s.containers).any(|c| {
        o.newest(&c.name).is_some_and(|n| {
            n.state == State::Exited && matching_rule(c, n.exit_code) == Some("RestartAllContainers")
        })
    })
}

/// All containers of the pod, last first, those whose exit asked for it at the end.
fn resets(pod: &Pod, o: &Observed) -> Vec<Reset> {
    let s = spec(pod);
    let mut targets = vec![];
    let mut sources = vec![];
    for c in init_containers(s).iter().chain(&s.containers).rev() {
        for n in o.instances.iter().filter(|n| n.name == c.name) {
            let source =
                n.state == State::Exited && matching_rule(c, n.exit_code) == Some("RestartAllContainers");
            let list = if source { &mut sources } else { &mut targets };
            list.push(Reset {
                id: n.id.clone(),
                name: n.name.clone(),
                running: matches!(n.state, State::Running | State::Unknown),
            });
        }
    }
    targets.extend(sources);
    targets
}

#[cfg(test)]
mod tests;
