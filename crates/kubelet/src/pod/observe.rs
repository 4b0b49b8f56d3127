//! What the runtime says about one pod, in the kubelet's terms.

use super::helpers;
use cri::v1 as rt;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use std::collections::HashMap;

pub const LABEL_POD_NAME: &str = "io.kubernetes.pod.name";
pub const LABEL_POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub const LABEL_POD_UID: &str = "io.kubernetes.pod.uid";
pub const LABEL_CONTAINER_NAME: &str = "io.kubernetes.container.name";
pub const ANN_HASH: &str = "io.kubernetes.container.hash";
pub const ANN_RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
pub const ANN_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub const ANN_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
pub const ANN_PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
pub const ANN_PORTS: &str = "io.kubernetes.container.ports";
pub const ANN_DELETION_GRACE: &str = "io.kubernetes.pod.deletionGracePeriod";
pub const ANN_TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum State {
    Created,
    Running,
    Exited,
    #[default]
    Unknown,
}

impl State {
    pub fn from_cri(s: i32) -> Self {
        match rt::ContainerState::try_from(s) {
            Ok(rt::ContainerState::ContainerCreated) => Self::Created,
            Ok(rt::ContainerState::ContainerRunning) => Self::Running,
            Ok(rt::ContainerState::ContainerExited) => Self::Exited,
            _ => Self::Unknown,
        }
    }
    /// As upstream's messages print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Unknown => "unknown",
        }
    }
}

/// One container instance. Times are nanoseconds since 1970, 0 when it did not happen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instance {
    pub id: String,
    pub name: String,
    pub sandbox: String,
    pub state: State,
    pub created: i64,
    pub started: i64,
    pub finished: i64,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    pub image: String,
    pub image_ref: String,
    pub restart_count: i32,
    pub hash: u64,
    pub log_path: String,
    pub user: Option<rt::LinuxContainerUser>,
    pub resources: Option<rt::LinuxContainerResources>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    pub id: String,
    pub ready: bool,
    pub attempt: u32,
    pub created: i64,
    pub host_network: bool,
    pub ips: Vec<String>,
}

/// Everything of one pod, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub sandboxes: Vec<Sandbox>,
    pub instances: Vec<Instance>,
    /// The newest sandbox's addresses (the node's, for host network).
    pub ips: Vec<String>,
}

impl Observed {
    /// The newest instance of a container.
    pub fn newest(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|i| i.name == name)
    }
    /// The sandbox that containers belong in now: the newest, when it is ready.
    pub fn active_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first().filter(|s| s.ready)
    }
    /// The newest instance of a container in the active sandbox.
    pub fn active(&self, name: &str) -> Option<&Instance> {
        let sandbox = self.active_sandbox()?;
        self.instances.iter().find(|i| i.name == name && i.sandbox == sandbox.id)
    }
    pub fn running(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|i| i.state == State::Running || i.state == State::Unknown)
    }
    /// Whether a main container was ever made: all init containers were done then.
    pub fn any_main_created(&self, s: &PodSpec) -> bool {
        s.containers.iter().any(|c| self.newest(&c.name).is_some())
    }
    /// Whether a main container is in the active sandbox, in any state: the init containers were done in it.
    pub fn any_main_active(&self, s: &PodSpec) -> bool {
        s.containers.iter().any(|c| self.active(&c.name).is_some())
    }
    /// Whether the pod has something that uses the node: a ready sandbox or a container that may run.
    pub fn is_alive(&self) -> bool {
        self.sandboxes.iter().any(|s| s.ready) || self.running().next().is_some()
    }
}

/// Why a pod needs another sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxState {
    pub changed: bool,
    pub attempt: u32,
    /// The sandbox to use or to replace; empty when there is none.
    pub id: String,
    /// The message of the condition PodReadyToStartContainers.
    pub why: &'static str,
}

/// Whether the pod's sandbox is good (upstream `kuberuntime/util.PodSandboxChanged`).
pub fn sandbox_state(pod: &Pod, o: &Observed) -> SandboxState {
    let made = |changed, attempt, id: &str, why| SandboxState { changed, attempt, id: id.to_owned(), why };
    let Some(s) = o.sandboxes.first() else {
        return made(true, 0, "", "no pod sandbox exists");
    };
    if o.sandboxes.iter().filter(|s| s.ready).count() > 1 {
        return made(
            true,
            s.attempt + 1,
            &s.id,
            "multiple pod sandboxes are ready and need to be reconciled",
        );
    }
    if !s.ready {
        return made(true, s.attempt + 1, &s.id, "pod sandbox is not ready");
    }
    let host_network = helpers::host_network(helpers::spec(pod));
    if s.host_network != host_network {
        return made(
            true,
            s.attempt + 1,
            "",
            "network namespace mode changed and sandbox needs to be recreated",
        );
    }
    if !host_network && s.ips.is_empty() {
        return made(true, s.attempt + 1, &s.id, "pod sandbox has no IP address");
    }
    made(false, s.attempt, &s.id, "")
}

/// A sandbox from its status.
pub fn sandbox(s: &rt::PodSandboxStatus) -> Sandbox {
    let mut ips = vec![];
    if let Some(n) = &s.network {
        if n.ip.parse::<std::net::IpAddr>().is_ok() {
            ips.push(n.ip.clone());
        }
        ips.extend(
            n.additional_ips.iter().map(|i| i.ip.clone()).filter(|i| i.parse::<std::net::IpAddr>().is_ok()),
        );
    }
    let network = s
        .linux
        .as_ref()
        .and_then(|l| l.namespaces.as_ref())
        .and_then(|n| n.options.as_ref())
        .map_or(0, |o| o.network);
    Sandbox {
        id: s.id.clone(),
        ready: s.state == rt::PodSandboxState::SandboxReady as i32,
        attempt: s.metadata.as_ref().map_or(0, |m| m.attempt),
        created: s.created_at,
        host_network: network == rt::NamespaceMode::Node as i32,
        ips,
    }
}

/// A container from its status. The termination message of the runtime is in `message`; the pod's own is read by the
/// caller.
pub fn instance(s: &rt::ContainerStatus, sandbox: &str) -> Instance {
    let ann = |k: &str| s.annotations.get(k).map(String::as_str);
    let state = State::from_cri(s.state);
    Instance {
        id: s.id.clone(),
        name: s.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default(),
        sandbox: sandbox.to_owned(),
        state,
        created: s.created_at,
        started: s.started_at,
        finished: if state == State::Exited { s.finished_at } else { 0 },
        exit_code: s.exit_code,
        reason: s.reason.clone(),
        message: s.message.clone(),
        image: s.image.as_ref().map(|i| i.image.clone()).unwrap_or_default(),
        image_ref: s.image_ref.clone(),
        restart_count: ann(ANN_RESTART_COUNT)
            .and_then(|v| v.parse().ok())
            .unwrap_or_else(|| s.metadata.as_ref().map_or(0, |m| i32::try_from(m.attempt).unwrap_or(0))),
        hash: ann(ANN_HASH).and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0),
        log_path: s.log_path.clone(),
        user: s.user.as_ref().and_then(|u| u.linux.clone()),
        resources: s.resources.as_ref().and_then(|r| r.linux.clone()),
    }
}

/// Where a container's termination message is, and whether the log's end stands in when there is none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MessageSource {
    pub file: Option<String>,
    pub fallback_to_logs: bool,
}

pub fn message_source(s: &rt::ContainerStatus) -> MessageSource {
    let path = s.annotations.get(ANN_MESSAGE_PATH).map(String::as_str).unwrap_or("");
    let policy = s.annotations.get(ANN_MESSAGE_POLICY).map(String::as_str).unwrap_or("");
    let file = (!path.is_empty())
        .then(|| s.mounts.iter().find(|m| m.container_path == path).map(|m| m.host_path.clone()))
        .flatten();
    MessageSource {
        file,
        fallback_to_logs: policy == "FallbackToLogsOnError"
            && s.exit_code != 0
            && s.reason != "ContainerCannotRun",
    }
}

/// Probe results by container instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeResults {
    pub startup: HashMap<String, bool>,
    pub liveness: HashMap<String, bool>,
    pub readiness: HashMap<String, bool>,
}
