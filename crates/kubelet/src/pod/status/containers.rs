//! Container statuses: the newest instance is the state, the one before it the last state.

use super::{Input, RESTARTING_ALL, is_running, is_waiting, last_terminated, terminated};
use crate::pod::helpers::{is_deleted, is_sidecar, spec, time};
use crate::pod::observe::{Instance, State};
use crate::pod::plan::{restarts_all, should_run};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, LinuxContainerUser, VolumeMountStatus,
};

fn waiting(reason: Option<&str>, message: Option<&str>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: reason.map(str::to_owned),
            message: message.map(str::to_owned),
        }),
        ..Default::default()
    }
}

fn ended(reason: &str, message: &str, exit_code: i32) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            exit_code,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The statuses of one list of containers, in the list's order.
pub(super) fn statuses(
    i: &Input<'_>,
    list: &[Container],
    old: &[ContainerStatus],
    init: bool,
) -> Vec<ContainerStatus> {
    let s = spec(i.pod);
    let has_init = !crate::pod::helpers::init_containers(s).is_empty();
    let idle = if has_init { "PodInitializing" } else { "ContainerCreating" };
    let restarting = restarts_all(i.pod, i.observed, Some(i.reported));
    list.iter()
        .map(|c| {
            let before = old.iter().find(|o| o.name == c.name);
            let mut st = initial(c, before, idle);
            let instances: Vec<&Instance> =
                i.observed.instances.iter().filter(|n| n.name == c.name).collect();
            match instances.first() {
                None => missing(i, &mut st, before, idle, restarting),
                Some(newest) => {
                    let mounts = st.volume_mounts.take();
                    st = converted(i, c, newest, before);
                    st.volume_mounts = mounts;
                    if let Some(previous) = instances.get(1) {
                        st.last_state = converted(i, c, previous, before).state;
                    }
                }
            }
            explain_waiting(i, c, &mut st, init);
            st
        })
        .collect()
}

fn initial(c: &Container, before: Option<&ContainerStatus>, idle: &str) -> ContainerStatus {
    let mut st = ContainerStatus {
        name: c.name.clone(),
        image: c.image.clone().unwrap_or_default(),
        state: Some(waiting(Some(idle), None)),
        last_state: Some(ContainerState::default()),
        volume_mounts: c.volume_mounts.as_ref().map(|l| {
            l.iter()
                .map(|m| VolumeMountStatus {
                    name: m.name.clone(),
                    mount_path: m.mount_path.clone(),
                    read_only: m.read_only,
                    recursive_read_only: (m.read_only == Some(true)).then(|| "Disabled".to_owned()),
                    ..Default::default()
                })
                .collect()
        }),
        ..Default::default()
    };
    if let Some(o) = before {
        if terminated(o).is_some() {
            let mounts = st.volume_mounts.take();
            st = ContainerStatus { volume_mounts: o.volume_mounts.clone().or(mounts), ..o.clone() };
        } else {
            st.restart_count = o.restart_count;
            st.last_state = o.last_state.clone();
        }
    }
    st
}

/// The runtime knows nothing of a container: it never ran, or somebody took it away.
fn missing(
    i: &Input<'_>,
    st: &mut ContainerStatus,
    before: Option<&ContainerStatus>,
    idle: &str,
    restarting: bool,
) {
    let Some(o) = before else { return };
    if restarting && !is_waiting(o) {
        let message = "The container is removed because RestartAllContainers in place";
        st.state = Some(waiting(Some(RESTARTING_ALL), Some(message)));
        st.last_state = Some(ended(RESTARTING_ALL, message, 137));
        st.restart_count = o.restart_count + 1;
        return;
    }
    if terminated(o).is_some() || !is_running(o) {
        return;
    }
    let waits_idle =
        st.state.as_ref().and_then(|x| x.waiting.as_ref()).is_some_and(|w| w.reason.as_deref() == Some(idle));
    if !waits_idle || last_terminated(st).is_some() {
        return;
    }
    st.last_state = Some(ended(
        "ContainerStatusUnknown",
        "The container could not be located when the pod was deleted.  The container used to be Running",
        137,
    ));
    if !is_deleted(i.pod) {
        st.restart_count += 1;
    }
}

/// A status from an instance.
fn converted(
    i: &Input<'_>,
    c: &Container,
    n: &Instance,
    before: Option<&ContainerStatus>,
) -> ContainerStatus {
    let id = format!("{}://{}", i.runtime, n.id);
    let mut st = ContainerStatus {
        name: n.name.clone(),
        restart_count: n.restart_count,
        image: n.image.clone(),
        image_id: n.image_ref.clone(),
        container_id: Some(id.clone()),
        state: Some(ContainerState::default()),
        last_state: Some(ContainerState::default()),
        allocated_resources: c.resources.as_ref().and_then(|r| r.requests.clone()),
        resources: (n.state == State::Running)
            .then(|| i.actual.get(&n.id).cloned())
            .flatten()
            .or_else(|| c.resources.clone())
            .or_else(|| Some(Default::default())),
        user: n.user.as_ref().map(|u| ContainerUser {
            linux: Some(LinuxContainerUser {
                uid: u.uid,
                gid: u.gid,
                supplemental_groups: Some(u.supplemental_groups.clone()),
            }),
        }),
        ..Default::default()
    };
    if let Some(o) = before {
        st.restart_count = st.restart_count.max(o.restart_count);
        let old_end = o.state.as_ref().filter(|x| x.terminated.is_some());
        if o.container_id.as_deref() != Some(&id) && old_end.is_some() {
            st.last_state = o.state.clone();
        } else if last_terminated(o).is_some() {
            st.last_state = o.last_state.clone();
        }
    }
    st.state = Some(match n.state {
        State::Running => {
            if let Some(o) = before
                && terminated(o).is_some()
                && o.container_id.as_deref() != Some(&id)
                && o.restart_count >= n.restart_count
            {
                st.restart_count = o.restart_count + 1;
            }
            ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(time(n.started)) }),
                ..Default::default()
            }
        }
        State::Exited => ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: n.exit_code,
                reason: Some(n.reason.clone()).filter(|r| !r.is_empty()),
                message: Some(n.message.clone()).filter(|m| !m.is_empty()),
                started_at: Some(time(n.started)),
                finished_at: Some(time(n.finished)),
                container_id: Some(id),
                signal: None,
            }),
            ..Default::default()
        },
        State::Unknown if before.is_some_and(is_running) => {
            st.restart_count = before.map_or(0, |o| o.restart_count) + 1;
            ended(
                "ContainerStatusUnknown",
                "The container could not be located when the pod was terminated",
                137,
            )
        }
        State::Created | State::Unknown => waiting(None, None),
    });
    st
}

/// A container that should run and does not waits, with the reason that starting it failed last.
fn explain_waiting(i: &Input<'_>, c: &Container, st: &mut ContainerStatus, init: bool) {
    let newest = i.observed.newest(&c.name);
    if init {
        if newest.is_some_and(|n| n.state == State::Exited && n.exit_code == 0) && !is_sidecar(c) {
            return;
        }
        if newest.is_none() && i.observed.any_main_created(spec(i.pod)) && !is_sidecar(c) && is_waiting(st) {
            st.state = Some(ended(
                "Completed",
                "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally",
                0,
            ));
            return;
        }
    }
    let again = if init && is_sidecar(c) {
        newest.is_none_or(|n| n.state != State::Running) && !is_deleted(i.pod)
    } else {
        should_run(c, i.pod, i.observed)
    };
    if !again {
        return;
    }
    let Some((reason, message)) = i.reasons.get(&c.name) else { return };
    if terminated(st).is_some() {
        st.last_state = st.state.take();
    }
    st.state = Some(waiting(Some(reason), Some(message).filter(|m| !m.is_empty()).map(String::as_str)));
}

/// Sets started and ready from the probes (upstream `prober.UpdatePodStatus`).
pub(super) fn readiness(i: &Input<'_>, list: &[Container], out: &mut [ContainerStatus], init: bool) {
    let old = if init { &i.reported.init_container_statuses } else { &i.reported.container_statuses };
    for st in out.iter_mut() {
        let Some(c) = list.iter().find(|c| c.name == st.name) else { continue };
        let id = st.container_id.as_deref().and_then(|x| x.split_once("://")).map_or("", |x| x.1);
        // After a restart of the kubelet, what was reported of this very instance holds until a probe says otherwise.
        let same = old
            .as_deref()
            .unwrap_or(&[])
            .iter()
            .find(|o| o.name == st.name && o.container_id == st.container_id && is_running(o));
        let started = is_running(st)
            && match i.probes.startup.get(id) {
                Some(ok) => *ok,
                None => c.startup_probe.is_none() || same.is_some_and(|o| o.started == Some(true)),
            };
        st.started = Some(started);
        if init && !is_sidecar(c) {
            st.ready = terminated(st) == Some(0);
            continue;
        }
        st.ready = started
            && match i.probes.readiness.get(id) {
                Some(ok) => *ok,
                None => c.readiness_probe.is_none() || same.is_some_and(|o| o.ready),
            };
    }
}
