//! Whether the node takes a pod: the kubelet's last word after the scheduler's (upstream `lifecycle.predicate`).

use super::config::sysctl_name;
use super::helpers::{host_network, init_containers, is_mirror, is_sidecar, is_static, spec};
use super::qos::{self, List, Which};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use scheduling::matching::RequiredNode;
use std::collections::{BTreeMap, BTreeSet};

/// Why not: the status's reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    pub name: &'a str,
    pub allocatable: Option<&'a List>,
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Sysctls beyond the safe ones: names and prefixes that end in `*`.
    pub unsafe_sysctls: &'a [String],
    pub max_pods: usize,
}

const SAFE_SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

fn no(reason: &str, message: String) -> Result<(), Rejection> {
    Err(Rejection { reason: reason.to_owned(), message: format!("Pod was rejected: {message}") })
}

/// Static and system-critical pods.
pub fn is_critical(p: &Pod) -> bool {
    is_static(p) || is_mirror(p) || spec(p).priority.is_some_and(|x| x >= 2_000_000_000)
}

/// Whether a pod's node selector and required node affinity take a node of this name and these labels.
pub fn selects(pod: &Pod, name: &str, labels: &BTreeMap<String, String>) -> bool {
    RequiredNode::of(spec(pod)).matches(labels, name)
}

/// `others` are the pods that are admitted here and not over.
pub fn admit(pod: &Pod, others: &[std::sync::Arc<Pod>], node: &Node<'_>) -> Result<(), Rejection> {
    let s = spec(pod);
    sysctls(s, node)?;
    if let Some(os) = s.os.as_ref().filter(|o| !o.name.is_empty() && o.name != "linux") {
        return no(
            "PodOSNotSupported",
            format!("Failed to admit pod as the OS field doesn't match node OS: {}", os.name),
        );
    }
    if is_critical(pod) {
        return Ok(());
    }
    if node.labels.is_some_and(|labels| !selects(pod, node.name, labels)) {
        return no(
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".into(),
        );
    }
    let wanted: BTreeSet<_> = host_ports(s);
    if others.iter().any(|o| host_ports(spec(o)).iter().any(|p| conflict(&wanted, p))) {
        return no(
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports".into(),
        );
    }
    if others.len() >= node.max_pods {
        return no(
            "OutOfpods",
            format!(
                "Node didn't have enough resource: pods, requested: 1, used: {}, capacity: {}",
                others.len(),
                node.max_pods
            ),
        );
    }
    if let Some(allocatable) = node.allocatable {
        fits(s, others, allocatable)?;
    }
    Ok(())
}

fn fits(s: &PodSpec, others: &[std::sync::Arc<Pod>], allocatable: &List) -> Result<(), Rejection> {
    let mut names: BTreeSet<&str> = BTreeSet::from(["cpu", "memory", "ephemeral-storage"]);
    for c in s.containers.iter().chain(init_containers(s)) {
        names.extend(qos::requests(c).into_iter().flatten().map(|(k, _)| k.as_str()));
    }
    // Extended resources that this kubelet does not count are their manager's affair.
    let counted = |k: &&str| !k.contains('/') || allocatable.contains_key(*k);
    for k in names.into_iter().filter(counted) {
        let requested = qos::pod_milli(s, Which::Requests, k, true);
        if requested == 0 {
            continue;
        }
        let used: i64 = others.iter().map(|o| qos::pod_milli(spec(o), Which::Requests, k, true)).sum();
        let capacity = qos::milli(Some(allocatable), k);
        if requested > capacity - used {
            let unit = if k == "cpu" { 1 } else { 1000 };
            return no(
                &format!("OutOf{k}"),
                format!(
                    "Node didn't have enough resource: {k}, requested: {}, used: {}, capacity: {}",
                    requested / unit,
                    used / unit,
                    capacity / unit
                ),
            );
        }
    }
    Ok(())
}

type Port<'a> = (&'a str, &'a str, i32);

fn host_ports(s: &PodSpec) -> BTreeSet<Port<'_>> {
    let all = s.containers.iter().chain(init_containers(s).iter().filter(|c| is_sidecar(c)));
    all.flat_map(|c| c.ports.iter().flatten())
        .filter_map(|p| {
            let port = p.host_port.filter(|p| *p > 0)?;
            let ip = p.host_ip.as_deref().filter(|i| !i.is_empty()).unwrap_or("0.0.0.0");
            Some((ip, p.protocol.as_deref().unwrap_or("TCP"), port))
        })
        .collect()
}

fn conflict(wanted: &BTreeSet<Port<'_>>, p: &Port<'_>) -> bool {
    let any = "0.0.0.0";
    wanted.iter().any(|w| w.1 == p.1 && w.2 == p.2 && (w.0 == p.0 || w.0 == any || p.0 == any))
}

fn sysctls(s: &PodSpec, node: &Node<'_>) -> Result<(), Rejection> {
    for c in s.security_context.iter().flat_map(|c| c.sysctls.iter().flatten()) {
        let name = sysctl_name(&c.name);
        let listed = SAFE_SYSCTLS.contains(&name.as_str())
            || node.unsafe_sysctls.iter().any(|p| match p.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => *p == name,
            });
        let why = if !listed {
            format!("{name:?} not allowlisted")
        } else if name.starts_with("net.") && host_network(s) {
            format!("{name:?} not allowed with host net enabled")
        } else if !name.starts_with("net.") && s.host_ipc == Some(true) {
            format!("{name:?} not allowed with host ipc enabled")
        } else {
            continue;
        };
        return no("SysctlForbidden", format!("forbidden sysctl: {why}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn check(spec: Value, want: &str) {
        let running = Arc::new(pod(json!({"containers": [{
            "name": "a", "ports": [{"containerPort": 1, "hostPort": 80}],
            "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}}}]})));
        let allocatable =
            List::from([("cpu".into(), Quantity("2".into())), ("memory".into(), Quantity("2Gi".into()))]);
        let node = Node {
            name: "n1",
            allocatable: Some(&allocatable),
            labels: None,
            unsafe_sysctls: &["kernel.msg*".to_owned()],
            max_pods: 2,
        };
        let got = match admit(&pod(spec.clone()), &[running], &node) {
            Ok(()) => "ok".to_owned(),
            Err(r) => format!("{}: {}", r.reason, r.message),
        };
        assert_eq!(got, want, "{spec}");
    }

    #[test]
    fn node_selectors() {
        let labels = BTreeMap::from([("color".to_owned(), "blue".to_owned())]);
        for (selector, want) in [
            (json!({}), true),
            (json!({"color": "blue"}), true),
            (json!({"color": "green"}), false),
            (json!({"color": "blue", "size": "1"}), false),
        ] {
            let p = pod(json!({"containers": [], "nodeSelector": selector}));
            assert_eq!(selects(&p, "n1", &labels), want, "{selector}");
            let node = Node {
                name: "n1",
                allocatable: None,
                labels: Some(&labels),
                unsafe_sysctls: &[],
                max_pods: 9,
            };
            assert_eq!(admit(&p, &[], &node).is_ok(), want, "{selector}");
        }
    }

    #[test]
    fn required_affinity() {
        let labels =
            BTreeMap::from([("color".to_owned(), "blue".to_owned()), ("size".to_owned(), "3".to_owned())]);
        let expr = |key, operator, values| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let named =
            |name| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        for (terms, want) in [
            (json!([expr("color", "In", json!(["blue"]))]), true),
            (json!([expr("color", "NotIn", json!(["blue"]))]), false),
            (json!([expr("color", "In", json!(["red"])), expr("size", "Gt", json!(["2"]))]), true),
            (json!([named("n1")]), true),
            (json!([named("n2")]), false),
            (json!([{}]), false),
        ] {
            let p = pod(json!({"containers": [], "affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}));
            let node = Node {
                name: "n1",
                allocatable: None,
                labels: Some(&labels),
                unsafe_sysctls: &[],
                max_pods: 9,
            };
            let got = admit(&p, &[], &node).map_err(|r| r.reason);
            assert_eq!(got, if want { Ok(()) } else { Err("NodeAffinity".to_owned()) }, "{terms}");
        }
    }

    #[test]
    fn table() {
        check(json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}}}]}), "ok");
        check(
            json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "501m"}}}]}),
            "OutOfcpu: Pod was rejected: Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000",
        );
        check(
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 9, "hostPort": 80}]}]}),
            "NodePorts: Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        );
        check(
            json!({"priority": 2_000_000_000, "containers": [{"name": "a", "resources": {"requests": {"cpu": "5"}}}]}),
            "ok",
        );
        check(
            json!({"containers": [{"name": "a", "resources": {"requests": {"example.com/fakecpu": "5"}}}]}),
            "ok",
        );
        let sysctl =
            |n: &str| json!({"containers": [], "securityContext": {"sysctls": [{"name": n, "value": "1"}]}});
        check(sysctl("kernel.shm_rmid_forced"), "ok");
        check(sysctl("kernel.msgmax"), "ok");
        check(
            sysctl("kernel.domainname"),
            "SysctlForbidden: Pod was rejected: forbidden sysctl: \"kernel.domainname\" not allowlisted",
        );
    }
}
