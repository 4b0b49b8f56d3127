//! Small questions about a pod's spec.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff;

/// The annotation that says where a pod came from: `file`, `http` or `api`.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// On a mirror pod, and on the static pod it mirrors: the hash of the static pod's manifest.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";

pub fn uid(p: &Pod) -> &str {
    p.metadata.uid.as_deref().unwrap_or("")
}
pub fn name(p: &Pod) -> &str {
    p.metadata.name.as_deref().unwrap_or("")
}
pub fn namespace(p: &Pod) -> &str {
    p.metadata.namespace.as_deref().unwrap_or("")
}
/// As upstream's messages name a pod: `name_namespace(uid)`.
pub fn format(p: &Pod) -> String {
    format!("{}_{}({})", name(p), namespace(p), uid(p))
}
/// `namespace/name`, for our logs.
pub fn key(p: &Pod) -> String {
    format!("{}/{}", namespace(p), name(p))
}
pub fn annotation<'a>(p: &'a Pod, k: &str) -> Option<&'a str> {
    p.metadata.annotations.as_ref()?.get(k).map(String::as_str)
}
/// From a manifest on this node, not from the API server.
pub fn is_static(p: &Pod) -> bool {
    annotation(p, CONFIG_SOURCE).is_some_and(|s| s != "api")
}
/// The API server's picture of a static pod.
pub fn is_mirror(p: &Pod) -> bool {
    annotation(p, CONFIG_MIRROR).is_some()
}
pub fn is_deleted(p: &Pod) -> bool {
    p.metadata.deletion_timestamp.is_some()
}
pub fn phase(p: &Pod) -> &str {
    p.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("")
}
pub fn is_terminal(phase: &str) -> bool {
    phase == "Failed" || phase == "Succeeded"
}
static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
pub fn spec(p: &Pod) -> &PodSpec {
    p.spec.as_ref().unwrap_or(&EMPTY)
}
pub fn restart_policy(s: &PodSpec) -> &str {
    s.restart_policy.as_deref().unwrap_or("Always")
}
pub fn host_network(s: &PodSpec) -> bool {
    s.host_network == Some(true)
}
pub fn init_containers(s: &PodSpec) -> &[Container] {
    s.init_containers.as_deref().unwrap_or(&[])
}
pub fn ephemeral_containers(s: &PodSpec) -> &[EphemeralContainer] {
    s.ephemeral_containers.as_deref().unwrap_or(&[])
}
/// A sidecar: an init container that keeps running.
pub fn is_sidecar(c: &Container) -> bool {
    c.restart_policy.as_deref() == Some("Always")
}
pub fn has_sidecar(s: &PodSpec) -> bool {
    init_containers(s).iter().any(is_sidecar)
}

/// An ephemeral container as the container it is, apart from its target.
pub fn ephemeral_as_container(e: &EphemeralContainer) -> Container {
    Container {
        args: e.args.clone(),
        command: e.command.clone(),
        env: e.env.clone(),
        env_from: e.env_from.clone(),
        image: e.image.clone(),
        image_pull_policy: e.image_pull_policy.clone(),
        lifecycle: e.lifecycle.clone(),
        liveness_probe: e.liveness_probe.clone(),
        name: e.name.clone(),
        ports: e.ports.clone(),
        readiness_probe: e.readiness_probe.clone(),
        resize_policy: e.resize_policy.clone(),
        resources: e.resources.clone(),
        restart_policy: e.restart_policy.clone(),
        restart_policy_rules: e.restart_policy_rules.clone(),
        security_context: e.security_context.clone(),
        startup_probe: e.startup_probe.clone(),
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        termination_message_path: e.termination_message_path.clone(),
        termination_message_policy: e.termination_message_policy.clone(),
        tty: e.tty,
        volume_devices: e.volume_devices.clone(),
        volume_mounts: e.volume_mounts.clone(),
        working_dir: e.working_dir.clone(),
    }
}

/// The container of that name, of any sort.
pub fn find_container(s: &PodSpec, name: &str) -> Option<Container> {
    s.containers
        .iter()
        .chain(init_containers(s))
        .find(|c| c.name == name)
        .cloned()
        .or_else(|| ephemeral_containers(s).iter().find(|e| e.name == name).map(ephemeral_as_container))
}

/// The path of a container in its pod, as events name it: `spec.containers{web}`.
pub fn field_path(s: &PodSpec, name: &str) -> String {
    let part = if s.containers.iter().any(|c| c.name == name) {
        "containers"
    } else if init_containers(s).iter().any(|c| c.name == name) {
        "initContainers"
    } else {
        "ephemeralContainers"
    };
    format!("spec.{part}{{{name}}}")
}

/// Which restart rule of the container an exit code matches, as its action.
pub fn matching_rule(c: &Container, exit_code: i32) -> Option<&str> {
    c.restart_policy_rules.as_deref().unwrap_or(&[]).iter().find_map(|r| {
        let codes = r.exit_codes.as_ref()?;
        let listed = codes.values.as_deref().unwrap_or(&[]).contains(&exit_code);
        let hit = match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        hit.then_some(r.action.as_str())
    })
}

/// Whether a container that exited so runs again: its rules, then its policy, then the pod's.
pub fn restarts_after(c: &Container, s: &PodSpec, exit_code: i32) -> bool {
    if let Some(policy) = c.restart_policy.as_deref() {
        if matches!(matching_rule(c, exit_code), Some("Restart" | "RestartAllContainers")) {
            return true;
        }
        match policy {
            "Always" => return true,
            "OnFailure" => return exit_code != 0,
            "Never" => return false,
            _ => {}
        }
    }
    match restart_policy(s) {
        "OnFailure" => exit_code != 0,
        "Never" => false,
        _ => true,
    }
}

/// The hash upstream writes on a container (`pkg/kubelet/container.HashContainer`): FNV-1a of how Go's spew prints the
/// bytes of the fields whose change means a new container. The same, so that ours and upstream's kubelets take each
/// other's containers over.
pub fn container_hash(c: &Container) -> u64 {
    let json = serde_json::json!({"image": c.image.as_deref().unwrap_or(""), "name": c.name}).to_string();
    let bytes: Vec<String> = json.bytes().map(|b| b.to_string()).collect();
    let mut h: u32 = 0x811c_9dc5;
    for b in format!("([]uint8)[{}]", bytes.join(" ")).bytes() {
        h ^= u32::from(b);
        h = h.wrapping_mul(0x0100_0193);
    }
    u64::from(h)
}

/// A time of the API from nanoseconds since 1970, in whole seconds.
pub fn time(nanos: i64) -> Time {
    let secs = nanos.div_euclid(1_000_000_000);
    Time(jiff::Timestamp::from_second(secs).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}
pub fn time_nanos(t: &Time) -> i64 {
    i64::try_from(t.0.as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_upstreams() {
        let c = Container { name: "b".into(), image: Some("a".into()), ..Default::default() };
        assert_eq!(container_hash(&c), 4_078_131, "computed by upstream's HashContainer");
    }

    #[test]
    fn restart_rules() {
        let c: Container = serde_json::from_value(serde_json::json!({
            "name": "c", "restartPolicy": "Never",
            "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
        }))
        .unwrap();
        let spec = PodSpec { restart_policy: Some("Always".into()), ..Default::default() };
        assert!(restarts_after(&c, &spec, 42));
        assert!(!restarts_after(&c, &spec, 1), "the container's own policy is Never");
        let plain = Container::default();
        assert!(restarts_after(&plain, &spec, 0));
        let spec = PodSpec { restart_policy: Some("OnFailure".into()), ..Default::default() };
        assert!(!restarts_after(&plain, &spec, 0));
        assert!(restarts_after(&plain, &spec, 1));
    }
}
