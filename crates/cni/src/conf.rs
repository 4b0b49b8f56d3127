//! The network configuration and the environment of a plugin call, and what it prints (CNI specification 1.1).

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

pub const VERSIONS: &[&str] = &["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The plugin's part of the conflist, with what the runtime adds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetConf {
    #[serde(default)]
    pub cni_version: String,
    #[serde(default)]
    pub name: String,
    /// `loopback` has no more than this.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The node's share of the pod network: `10.244.1.0/24`.
    #[serde(default, rename = "podCIDR")]
    pub pod_cidr: Option<ipnet::Ipv4Net>,
    /// 0: 1500.
    #[serde(default)]
    pub mtu: u32,
    /// Where reservations are kept.
    #[serde(default)]
    pub data_dir: String,
    #[serde(default)]
    pub runtime_config: RuntimeConfig,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    pub valid_attachments: Option<Vec<Attachment>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeConfig {
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// 0 (and then left out by runtimes) for a port that is declared but not mapped.
    #[serde(default, alias = "HostPort")]
    pub host_port: u16,
    #[serde(alias = "ContainerPort")]
    pub container_port: u16,
    #[serde(default, alias = "Protocol")]
    pub protocol: String,
    #[serde(default, rename = "hostIP", alias = "HostIP")]
    pub host_ip: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Attachment {
    #[serde(rename = "containerID")]
    pub container_id: String,
    pub ifname: String,
}

/// The environment of a call.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub command: String,
    pub container_id: String,
    pub netns: String,
    pub ifname: String,
}

impl Call {
    pub fn from_env() -> Self {
        let v = |k: &str| std::env::var(k).unwrap_or_default();
        Self {
            command: v("CNI_COMMAND"),
            container_id: v("CNI_CONTAINERID"),
            netns: v("CNI_NETNS"),
            ifname: v("CNI_IFNAME"),
        }
    }
}

/// An error as the specification has it: code, message, details.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Error {
    #[serde(rename = "cniVersion")]
    pub cni_version: String,
    pub code: u32,
    pub msg: String,
    pub details: String,
}

impl Error {
    pub fn new(code: u32, msg: impl Into<String>, details: impl std::fmt::Display) -> Self {
        Self { cni_version: "1.0.0".into(), code, msg: msg.into(), details: details.to_string() }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.msg, self.details)
    }
}

/// The answer to ADD.
pub fn result(
    conf: &NetConf,
    call: &Call,
    ip: Ipv4Addr,
    host_if: &str,
    host_mac: &str,
    pod_mac: &str,
) -> serde_json::Value {
    let mut address = serde_json::json!({"address": format!("{ip}/32"), "gateway": crate::link::GATEWAY.to_string(), "interface": 1});
    if conf.cni_version.starts_with("0.") {
        address["version"] = "4".into();
    }
    serde_json::json!({
        "cniVersion": conf.cni_version,
        "interfaces": [{"name": host_if, "mac": host_mac}, {"name": call.ifname, "mac": pod_mac, "sandbox": call.netns}],
        "ips": [address],
        "routes": [{"dst": "0.0.0.0/0", "gw": crate::link::GATEWAY.to_string()}],
        "dns": {},
    })
}

impl NetConf {
    /// Decodes what a runtime hands over. Ports that are declared but not mapped are dropped.
    pub fn parse(input: &[u8]) -> serde_json::Result<Self> {
        let mut conf: Self = serde_json::from_slice(input)?;
        conf.runtime_config.port_mappings.retain(|p| p.host_port != 0);
        Ok(conf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runtimes differ in how they write ports: containerd's keys begin with capitals, as Go's decoders do not mind.
    #[test]
    fn ports_without_a_host_port_are_no_mappings() {
        let conf = NetConf::parse(
            br#"{"cniVersion": "1.0.0", "name": "n", "type": "keelson-cni", "runtimeConfig": {"portMappings": [
                {"containerPort": 21017, "protocol": "tcp", "hostIP": "10.0.0.1"},
                {"hostPort": 80, "containerPort": 8080, "protocol": "tcp"},
                {"HostPort": 54321, "ContainerPort": 8080, "Protocol": "udp", "HostIP": "10.0.0.1"},
                {"HostPort": 0, "ContainerPort": 8081, "Protocol": "tcp", "HostIP": ""}]}}"#,
        )
        .unwrap();
        let ports: Vec<(u16, &str, &str)> = conf
            .runtime_config
            .port_mappings
            .iter()
            .map(|p| (p.host_port, p.protocol.as_str(), p.host_ip.as_str()))
            .collect();
        assert_eq!(ports, [(80, "tcp", ""), (54321, "udp", "10.0.0.1")]);
    }
}
