//! Security contexts: a pod's and a container's, for the runtime.

use super::helpers::{self, host_network, spec};
use cri::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, SeLinuxOption, SecurityProfile, SupplementalGroupsPolicy, security_profile::ProfileType,
};
use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, SELinuxOptions, SeccompProfile};
use std::path::Path;

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What of the node's settings matters here.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    pub seccomp_default: bool,
    pub seccomp_root: &'a str,
    /// Groups that persistent volumes ask for.
    pub extra_groups: &'a [i64],
    /// Further masked paths that this machine has (thermal throttling).
    pub masked: &'a [String],
}

/// The image's user, as the runtime says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    pub uid: Option<i64>,
    pub name: String,
}

pub fn namespaces(pod: &Pod) -> NamespaceOption {
    let s = spec(pod);
    let pid = if s.host_pid == Some(true) {
        NamespaceMode::Node
    } else if s.share_process_namespace == Some(true) {
        NamespaceMode::Pod
    } else {
        NamespaceMode::Container
    };
    let node_or_pod = |node| if node { NamespaceMode::Node } else { NamespaceMode::Pod } as i32;
    NamespaceOption {
        network: node_or_pod(host_network(s)),
        ipc: node_or_pod(s.host_ipc == Some(true)),
        pid: pid as i32,
        ..Default::default()
    }
}

fn groups_policy(pod: &Pod) -> i32 {
    match spec(pod).security_context.as_ref().and_then(|c| c.supplemental_groups_policy.as_deref()) {
        Some("Strict") => SupplementalGroupsPolicy::Strict as i32,
        _ => SupplementalGroupsPolicy::Merge as i32,
    }
}

fn groups(pod: &Pod, node: &Node<'_>) -> Vec<i64> {
    let sc = spec(pod).security_context.as_ref();
    let mut out: Vec<i64> = sc.and_then(|c| c.fs_group).into_iter().collect();
    out.extend(sc.and_then(|c| c.supplemental_groups.as_deref()).unwrap_or(&[]));
    out.extend(node.extra_groups);
    out
}

fn selinux(o: Option<&SELinuxOptions>) -> Option<SeLinuxOption> {
    o.map(|o| SeLinuxOption {
        user: o.user.clone().unwrap_or_default(),
        role: o.role.clone().unwrap_or_default(),
        r#type: o.type_.clone().unwrap_or_default(),
        level: o.level.clone().unwrap_or_default(),
    })
}

pub fn has_privileged(pod: &Pod) -> bool {
    let s = spec(pod);
    s.containers
        .iter()
        .chain(helpers::init_containers(s))
        .any(|c| c.security_context.as_ref().and_then(|x| x.privileged) == Some(true))
        || helpers::ephemeral_containers(s)
            .iter()
            .any(|c| c.security_context.as_ref().and_then(|x| x.privileged) == Some(true))
}

pub fn sandbox(pod: &Pod, node: &Node<'_>) -> LinuxSandboxSecurityContext {
    let sc = spec(pod).security_context.as_ref();
    LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        selinux_options: selinux(sc.and_then(|c| c.se_linux_options.as_ref())),
        run_as_user: sc.and_then(|c| c.run_as_user).map(|value| Int64Value { value }),
        run_as_group: sc.and_then(|c| c.run_as_group).map(|value| Int64Value { value }),
        supplemental_groups: groups(pod, node),
        supplemental_groups_policy: groups_policy(pod),
        privileged: has_privileged(pod),
        seccomp: Some(profile(ProfileType::RuntimeDefault, String::new())),
        ..Default::default()
    }
}

fn profile(kind: ProfileType, localhost_ref: String) -> SecurityProfile {
    SecurityProfile { profile_type: kind as i32, localhost_ref }
}

fn seccomp(p: Option<&SeccompProfile>, node: &Node<'_>) -> Result<SecurityProfile, String> {
    Ok(match p.map(|p| p.type_.as_str()) {
        None if node.seccomp_default => profile(ProfileType::RuntimeDefault, String::new()),
        Some("RuntimeDefault") => profile(ProfileType::RuntimeDefault, String::new()),
        Some("Localhost") => {
            let file = p
                .and_then(|p| p.localhost_profile.as_deref())
                .filter(|f| !f.is_empty())
                .ok_or("localhostProfile must be set if seccompProfile type is Localhost.".to_owned())?;
            let path = Path::new(node.seccomp_root).join(file);
            profile(ProfileType::Localhost, path.to_string_lossy().into_owned())
        }
        _ => profile(ProfileType::Unconfined, String::new()),
    })
}

/// The profile, and its name in the old form for old runtimes.
fn apparmor(p: Option<&AppArmorProfile>) -> Result<Option<(SecurityProfile, String)>, String> {
    let Some(p) = p else { return Ok(None) };
    Ok(Some(match p.type_.as_str() {
        "RuntimeDefault" => (profile(ProfileType::RuntimeDefault, String::new()), "runtime/default".into()),
        "Unconfined" => (profile(ProfileType::Unconfined, String::new()), "unconfined".into()),
        "Localhost" => {
            let name = p
                .localhost_profile
                .as_deref()
                .ok_or_else(|| "missing localhost apparmor profile name".to_owned())?;
            (profile(ProfileType::Localhost, name.to_owned()), format!("localhost/{name}"))
        }
        other => return Err(format!("unknown apparmor profile type: {other:?}")),
    }))
}

/// The security context of one container, the pod's where it has none of its own; checks runAsNonRoot.
pub fn container(
    pod: &Pod,
    c: &Container,
    image: &ImageUser,
    node: &Node<'_>,
) -> Result<LinuxContainerSecurityContext, String> {
    let psc = spec(pod).security_context.clone().unwrap_or_default();
    let csc = c.security_context.clone().unwrap_or_default();
    let run_as_user = csc.run_as_user.or(psc.run_as_user);
    if csc.run_as_non_root.or(psc.run_as_non_root) == Some(true) {
        check_non_root(pod, c, run_as_user, image)?;
    }
    let unmasked = csc.proc_mount.as_deref() == Some("Unmasked");
    let strings = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let mut masked = strings(&MASKED);
    masked.extend(node.masked.iter().cloned());
    let app = apparmor(csc.app_armor_profile.as_ref().or(psc.app_armor_profile.as_ref()))?;
    let (apparmor, apparmor_profile) = app.map_or((None, String::new()), |(p, n)| (Some(p), n));
    let mut out = LinuxContainerSecurityContext {
        capabilities: csc.capabilities.as_ref().map(|k| Capability {
            add_capabilities: k.add.clone().unwrap_or_default(),
            drop_capabilities: k.drop.clone().unwrap_or_default(),
            ..Default::default()
        }),
        privileged: csc.privileged == Some(true),
        namespace_options: Some(namespaces(pod)),
        selinux_options: selinux(csc.se_linux_options.as_ref().or(psc.se_linux_options.as_ref())),
        run_as_user: run_as_user.map(|value| Int64Value { value }),
        run_as_group: csc.run_as_group.or(psc.run_as_group).map(|value| Int64Value { value }),
        readonly_rootfs: csc.read_only_root_filesystem == Some(true),
        supplemental_groups: groups(pod, node),
        supplemental_groups_policy: groups_policy(pod),
        no_new_privs: csc.allow_privilege_escalation == Some(false),
        masked_paths: if unmasked { vec![] } else { masked },
        readonly_paths: if unmasked { vec![] } else { strings(&READ_ONLY) },
        seccomp: Some(seccomp(csc.seccomp_profile.as_ref().or(psc.seccomp_profile.as_ref()), node)?),
        apparmor,
        ..Default::default()
    };
    set_apparmor_name(&mut out, apparmor_profile);
    if run_as_user.is_none() {
        out.run_as_user = image.uid.map(|value| Int64Value { value });
        if image.uid.is_none() {
            out.run_as_username.clone_from(&image.name);
        }
    }
    Ok(out)
}

#[allow(deprecated, reason = "old runtimes read the old field")]
fn set_apparmor_name(out: &mut LinuxContainerSecurityContext, name: String) {
    out.apparmor_profile = name;
}

fn check_non_root(pod: &Pod, c: &Container, uid: Option<i64>, image: &ImageUser) -> Result<(), String> {
    let at = format!("(pod: {:?}, container: {})", helpers::format(pod), c.name);
    match (uid, image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {at}")),
        (Some(_), _) => Ok(()),
        (None, None) if !image.name.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {at}",
            image.name
        )),
        (None, Some(0)) => Err(format!("container has runAsNonRoot and image will run as root {at}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::json;

    #[test]
    fn container_over_pod() {
        let p = pod(json!({
            "securityContext": {"runAsUser": 1000, "fsGroup": 2000, "supplementalGroups": [3000], "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext": {
                "runAsUser": 1001, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                "seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"}}}]}));
        let node = Node { seccomp_root: "/root/seccomp", ..Default::default() };
        let sc = container(&p, &spec(&p).containers[0], &ImageUser::default(), &node).unwrap();
        assert_eq!(sc.run_as_user.unwrap().value, 1001);
        assert_eq!(sc.supplemental_groups, [2000, 3000]);
        assert!(sc.no_new_privs && sc.readonly_rootfs && !sc.privileged);
        assert_eq!(sc.seccomp.unwrap().localhost_ref, "/root/seccomp/p.json");
        assert_eq!(sc.capabilities.unwrap().drop_capabilities, ["ALL"]);
        assert_eq!(sc.masked_paths.len(), 12);
        let s = sandbox(&p, &node);
        assert_eq!(s.run_as_user.unwrap().value, 1000);
    }

    #[test]
    fn non_root() {
        for (spec_json, image, want) in [
            (
                json!({"runAsNonRoot": true}),
                ImageUser { uid: Some(0), name: String::new() },
                "image will run as root",
            ),
            (
                json!({"runAsNonRoot": true}),
                ImageUser { uid: None, name: "www".into() },
                "non-numeric user (www)",
            ),
            (json!({"runAsNonRoot": true, "runAsUser": 0}), ImageUser::default(), "breaks non-root policy"),
            (
                json!({"runAsNonRoot": true, "runAsUser": 5}),
                ImageUser { uid: Some(0), name: String::new() },
                "",
            ),
            (json!({"runAsNonRoot": true}), ImageUser { uid: Some(7), name: String::new() }, ""),
            (json!({}), ImageUser { uid: Some(0), name: String::new() }, ""),
        ] {
            let p = pod(json!({"securityContext": spec_json, "containers": [{"name": "c"}]}));
            let got = container(&p, &spec(&p).containers[0], &image, &Node::default());
            match got {
                Ok(_) => assert_eq!(want, "", "{image:?}"),
                Err(e) => assert!(!want.is_empty() && e.contains(want), "{e}"),
            }
        }
    }

    #[test]
    fn namespace_modes() {
        let p = pod(json!({"containers": [], "hostNetwork": true, "shareProcessNamespace": true}));
        let n = namespaces(&p);
        assert_eq!(
            (n.network, n.pid, n.ipc),
            (NamespaceMode::Node as i32, NamespaceMode::Pod as i32, NamespaceMode::Pod as i32)
        );
    }
}
