//! The runtime's configuration of a pod's sandbox and its containers.

use super::helpers::{self, host_network, name, namespace, spec, uid};
use super::observe::{
    ANN_DELETION_GRACE, ANN_HASH, ANN_MESSAGE_PATH, ANN_MESSAGE_POLICY, ANN_PORTS, ANN_PRE_STOP,
    ANN_RESTART_COUNT, ANN_TERMINATION_GRACE, LABEL_CONTAINER_NAME, LABEL_POD_NAME, LABEL_POD_NAMESPACE,
    LABEL_POD_UID,
};
use super::{hosts, qos, security};
use cri::v1 as rt;
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::HashMap;

/// What the node adds to a sandbox.
pub struct SandboxNode<'a> {
    pub dns: rt::DnsConfig,
    pub cluster_domain: &'a str,
    pub logs_root: &'a str,
    pub cgroup_parent: &'a str,
    pub security: security::Node<'a>,
    pub cfs_quota: bool,
    pub cfs_period: i64,
}

/// `/var/log/pods/NAMESPACE_NAME_UID`
pub fn pod_log_dir(root: &str, pod: &Pod) -> String {
    format!("{root}/{}_{}_{}", namespace(pod), name(pod), uid(pod))
}

pub fn sandbox(pod: &Pod, attempt: u32, node: &SandboxNode<'_>) -> Result<rt::PodSandboxConfig, String> {
    let s = spec(pod);
    let mut labels: HashMap<String, String> =
        pod.metadata.labels.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    labels.insert(LABEL_POD_NAME.into(), name(pod).into());
    labels.insert(LABEL_POD_NAMESPACE.into(), namespace(pod).into());
    labels.insert(LABEL_POD_UID.into(), uid(pod).into());
    let mut sysctls = HashMap::new();
    for c in s.security_context.iter().flat_map(|c| c.sysctls.iter().flatten()) {
        // runc knows only dots.
        sysctls.insert(sysctl_name(&c.name), c.value.clone());
    }
    let (resources, overhead) = qos::sandbox_resources(pod, node.cfs_quota, node.cfs_period);
    Ok(rt::PodSandboxConfig {
        metadata: Some(rt::PodSandboxMetadata {
            name: name(pod).into(),
            namespace: namespace(pod).into(),
            uid: uid(pod).into(),
            attempt,
        }),
        hostname: if host_network(s) {
            String::new()
        } else {
            hosts::kernel_hostname(pod, node.cluster_domain)?
        },
        log_directory: pod_log_dir(node.logs_root, pod),
        dns_config: Some(node.dns.clone()),
        port_mappings: port_mappings(pod),
        labels,
        annotations: pod.metadata.annotations.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        linux: Some(rt::LinuxPodSandboxConfig {
            cgroup_parent: node.cgroup_parent.into(),
            security_context: Some(security::sandbox(pod, &node.security)),
            sysctls,
            overhead: Some(overhead),
            resources: Some(resources),
        }),
        ..Default::default()
    })
}

/// `net/ipv4/tcp_syncookies` → `net.ipv4.tcp_syncookies`; a name whose first separator is a dot is as it should be.
pub fn sysctl_name(n: &str) -> String {
    match n.find(['.', '/']) {
        Some(i) if n.as_bytes()[i] == b'/' => n
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
        _ => n.to_owned(),
    }
}

fn port_mappings(pod: &Pod) -> Vec<rt::PortMapping> {
    let s = spec(pod);
    let mut out = vec![];
    for c in s.containers.iter().chain(helpers::init_containers(s).iter().filter(|c| helpers::is_sidecar(c)))
    {
        for p in c.ports.iter().flatten() {
            let protocol = match p.protocol.as_deref() {
                Some("UDP") => rt::Protocol::Udp,
                Some("SCTP") => rt::Protocol::Sctp,
                _ => rt::Protocol::Tcp,
            } as i32;
            out.push(rt::PortMapping {
                protocol,
                container_port: p.container_port,
                host_port: p.host_port.unwrap_or(0),
                host_ip: p.host_ip.clone().unwrap_or_default(),
            });
        }
    }
    out
}

/// Everything that was found out for one container before it is made.
pub struct ContainerInput<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub restart_count: i32,
    pub image_ref: &'a str,
    pub image_user: &'a security::ImageUser,
    pub env: &'a super::env::Map,
    pub mounts: Vec<rt::Mount>,
    /// An ephemeral container's target, by instance id.
    pub target: Option<&'a str>,
    pub security: security::Node<'a>,
    pub memory_capacity: i64,
    pub cfs_quota: bool,
    pub cfs_period: i64,
    /// Limits of huge pages by page size (`2MB`), all of the machine's sizes.
    pub hugepages: Vec<(String, u64)>,
}

pub fn container(i: ContainerInput<'_>) -> Result<rt::ContainerConfig, String> {
    let (pod, c) = (i.pod, i.container);
    let (command, args) = super::env::command_args(c, i.env);
    let mut sc = security::container(pod, c, i.image_user, &i.security)?;
    if let Some(target) = i.target
        && let Some(n) = sc.namespace_options.as_mut()
        && n.pid == rt::NamespaceMode::Container as i32
    {
        n.pid = rt::NamespaceMode::Target as i32;
        n.target_id = target.to_owned();
    }
    let mut resources = qos::container_resources(pod, c, i.memory_capacity, i.cfs_quota, i.cfs_period);
    resources.hugepage_limits =
        i.hugepages.into_iter().map(|(page_size, limit)| rt::HugepageLimit { page_size, limit }).collect();
    Ok(rt::ContainerConfig {
        metadata: Some(rt::ContainerMetadata {
            name: c.name.clone(),
            attempt: u32::try_from(i.restart_count).unwrap_or(0),
        }),
        image: Some(rt::ImageSpec {
            image: i.image_ref.to_owned(),
            user_specified_image: c.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command,
        args,
        working_dir: c.working_dir.clone().unwrap_or_default(),
        envs: i
            .env
            .iter()
            .map(|(k, v)| rt::KeyValue { key: k.clone(), value: v.clone().into_bytes().into() })
            .collect(),
        mounts: i.mounts,
        labels: HashMap::from([
            (LABEL_POD_NAME.to_owned(), name(pod).to_owned()),
            (LABEL_POD_NAMESPACE.to_owned(), namespace(pod).to_owned()),
            (LABEL_POD_UID.to_owned(), uid(pod).to_owned()),
            (LABEL_CONTAINER_NAME.to_owned(), c.name.clone()),
        ]),
        annotations: annotations(pod, c, i.restart_count),
        log_path: format!("{}/{}.log", c.name, i.restart_count),
        stdin: c.stdin == Some(true),
        stdin_once: c.stdin_once == Some(true),
        tty: c.tty == Some(true),
        linux: Some(rt::LinuxContainerConfig { resources: Some(resources), security_context: Some(sc) }),
        stop_signal: stop_signal(c),
        ..Default::default()
    })
}

fn stop_signal(c: &Container) -> i32 {
    c.lifecycle
        .as_ref()
        .and_then(|l| l.stop_signal.as_deref())
        .and_then(|s| {
            // SIGRTMIN+1 is SIGNAL_SIGRTMINPLUS1 in the protocol.
            rt::Signal::from_str_name(&format!("SIGNAL_{}", s.replace('+', "PLUS").replace('-', "MINUS")))
        })
        .map_or(0, |s| s as i32)
}

fn annotations(pod: &Pod, c: &Container, restart_count: i32) -> HashMap<String, String> {
    let mut a = HashMap::from([
        (ANN_HASH.to_owned(), format!("{:x}", helpers::container_hash(c))),
        (ANN_RESTART_COUNT.to_owned(), restart_count.to_string()),
        (ANN_MESSAGE_PATH.to_owned(), c.termination_message_path.clone().unwrap_or_default()),
        (ANN_MESSAGE_POLICY.to_owned(), c.termination_message_policy.clone().unwrap_or_default()),
    ]);
    if let Some(g) = pod.metadata.deletion_grace_period_seconds {
        a.insert(ANN_DELETION_GRACE.into(), g.to_string());
    }
    if let Some(g) = spec(pod).termination_grace_period_seconds {
        a.insert(ANN_TERMINATION_GRACE.into(), g.to_string());
    }
    if let Some(h) = c.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref())
        && let Ok(text) = serde_json::to_string(h)
    {
        a.insert(ANN_PRE_STOP.into(), text);
    }
    if let Some(ports) = c.ports.as_ref().filter(|p| !p.is_empty())
        && let Ok(text) = serde_json::to_string(ports)
    {
        a.insert(ANN_PORTS.into(), text);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::json;

    #[test]
    fn sysctl_names() {
        for (n, want) in [
            ("net.ipv4.ip_forward", "net.ipv4.ip_forward"),
            ("net/ipv4/ip_forward", "net.ipv4.ip_forward"),
            ("net/ipv4/conf/eth0.1/x", "net.ipv4.conf.eth0/1.x"),
            ("net.ipv4.conf.eth0/1.x", "net.ipv4.conf.eth0/1.x"),
        ] {
            assert_eq!(sysctl_name(n), want, "{n}");
        }
    }

    #[test]
    fn sandbox_of_a_pod() {
        let p = pod(json!({
            "securityContext": {"sysctls": [{"name": "kernel/shm_rmid_forced", "value": "1"}]},
            "containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}]}]}));
        let node = SandboxNode {
            dns: rt::DnsConfig::default(),
            cluster_domain: "cluster.local",
            logs_root: "/var/log/pods",
            cgroup_parent: "/kubepods/besteffort/podu",
            security: security::Node::default(),
            cfs_quota: true,
            cfs_period: qos::QUOTA_PERIOD,
        };
        let s = sandbox(&p, 3, &node).unwrap();
        assert_eq!(s.log_directory, "/var/log/pods/ns_p_u");
        assert_eq!(
            (s.hostname.as_str(), s.port_mappings[0].host_port, s.port_mappings[0].protocol),
            ("p", 8080, 1)
        );
        let linux = s.linux.unwrap();
        assert_eq!(linux.sysctls["kernel.shm_rmid_forced"], "1");
        assert_eq!(linux.cgroup_parent, "/kubepods/besteffort/podu");
    }

    #[test]
    fn container_of_a_pod() {
        let p = pod(json!({"terminationGracePeriodSeconds": 30, "containers": [{
            "name": "c", "image": "busybox", "command": ["sh"], "args": ["-c", "echo $(A)"], "tty": true,
            "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}, "terminationMessagePath": "/dev/t"}]}));
        let env = super::super::env::Map::from([("A".to_owned(), "1".to_owned())]);
        let user = security::ImageUser { uid: Some(0), name: String::new() };
        let got = container(ContainerInput {
            pod: &p,
            container: &spec(&p).containers[0],
            restart_count: 2,
            image_ref: "sha256:1",
            image_user: &user,
            env: &env,
            mounts: vec![],
            target: None,
            security: security::Node::default(),
            memory_capacity: 1 << 30,
            cfs_quota: true,
            cfs_period: qos::QUOTA_PERIOD,
            hugepages: vec![("2MB".into(), 0)],
        })
        .unwrap();
        assert_eq!(got.args, ["-c", "echo 1"]);
        assert_eq!(got.log_path, "c/2.log");
        assert_eq!(got.annotations[ANN_PRE_STOP], r#"{"exec":{"command":["x"]}}"#);
        assert_eq!(got.annotations[ANN_TERMINATION_GRACE], "30");
        assert_eq!(got.linux.unwrap().resources.unwrap().hugepage_limits.len(), 1);
    }
}
