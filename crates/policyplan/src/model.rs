//! Pods and policies, read from the API's objects and cut to what enforcing needs.

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use meta::selector::Selector;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub type Labels = BTreeMap<String, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub fn parse(s: Option<&str>) -> Self {
        match s {
            Some("UDP") => Self::Udp,
            Some("SCTP") => Self::Sctp,
            _ => Self::Tcp,
        }
    }
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A pod with addresses of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub namespace: String,
    pub labels: Labels,
    pub ips: Vec<IpAddr>,
    /// Named ports.
    pub ports: Vec<(String, Protocol, u16)>,
    /// Whether it runs on this node.
    pub local: bool,
}

impl Pod {
    /// `None`: the pod uses the host's network, has ended, or has no address yet. Policies do not concern it.
    pub fn of(p: &core::Pod, node: &str) -> Option<Self> {
        let (spec, status) = (p.spec.as_ref()?, p.status.as_ref()?);
        if spec.host_network == Some(true) || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
        {
            return None;
        }
        let many = status.pod_ips.iter().flatten().map(|i| &i.ip);
        let mut ips: Vec<IpAddr> = many.chain(&status.pod_ip).filter_map(|i| i.parse().ok()).collect();
        ips.sort_unstable();
        ips.dedup();
        if ips.is_empty() {
            return None;
        }
        let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.is_some());
        let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
        let ports = ports.filter_map(|p| {
            let number = u16::try_from(p.container_port).ok()?;
            Some((p.name.clone()?, Protocol::parse(p.protocol.as_deref()), number))
        });
        Some(Self {
            namespace: p.metadata.namespace.clone().unwrap_or_default(),
            labels: p.metadata.labels.clone().unwrap_or_default(),
            ips,
            ports: ports.collect(),
            local: spec.node_name.as_deref() == Some(node),
        })
    }
}

#[derive(Clone, Debug)]
pub enum Peer {
    Block {
        cidr: IpNet,
        except: Vec<IpNet>,
    },
    /// The pods that `pods` chooses in the namespaces that `namespaces` chooses (`None`: the policy's own).
    Pods {
        namespaces: Option<Selector>,
        pods: Selector,
        /// The same for all peers that choose the same.
        key: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    Any(Protocol),
    Numbers(Protocol, u16, u16),
    Named(Protocol, String),
}

/// Something that is allowed: empty lists in the object, `None` here, mean everything.
#[derive(Clone, Debug)]
pub struct Rule {
    pub peers: Option<Vec<Peer>>,
    pub ports: Option<Vec<Port>>,
}

/// A policy; a direction that is `None` is not restricted by it.
#[derive(Clone, Debug)]
pub struct Policy {
    pub namespace: String,
    pub pods: Selector,
    pub ingress: Option<Vec<Rule>>,
    pub egress: Option<Vec<Rule>>,
}

/// A selector the API server let through is valid; one that is not selects nothing.
fn selector(s: &LabelSelector) -> Selector {
    let v = serde_json::to_value(s).ok();
    meta::labels::from_label_selector(v.as_ref())
        .unwrap_or_else(|_| Selector { requirements: Vec::new(), nothing: true })
}

fn peer(namespace: &str, p: &NetworkPolicyPeer) -> Option<Peer> {
    if let Some(b) = &p.ip_block {
        let except = b.except.iter().flatten().filter_map(|e| e.parse().ok()).collect();
        return Some(Peer::Block { cidr: b.cidr.parse::<IpNet>().ok()?.trunc(), except });
    }
    if p.pod_selector.is_none() && p.namespace_selector.is_none() {
        return None;
    }
    let text = |s: &Option<LabelSelector>| serde_json::to_string(s).unwrap_or_default();
    let whose = if p.namespace_selector.is_none() { namespace } else { "" };
    Some(Peer::Pods {
        namespaces: p.namespace_selector.as_ref().map(selector),
        pods: p.pod_selector.as_ref().map_or_else(|| Selector::of(Vec::new()), selector),
        key: format!("{whose}/{}/{}", text(&p.namespace_selector), text(&p.pod_selector)),
    })
}

fn port(p: &NetworkPolicyPort) -> Option<Port> {
    let protocol = Protocol::parse(p.protocol.as_deref());
    match &p.port {
        None => Some(Port::Any(protocol)),
        Some(IntOrString::Int(n)) => {
            let first = u16::try_from(*n).ok()?;
            let last = p.end_port.map_or(Some(first), |e| u16::try_from(e).ok())?;
            (first <= last).then_some(Port::Numbers(protocol, first, last))
        }
        Some(IntOrString::String(name)) => Some(Port::Named(protocol, name.clone())),
    }
}

fn rule(
    namespace: &str,
    peers: Option<&Vec<NetworkPolicyPeer>>,
    ports: Option<&Vec<NetworkPolicyPort>>,
) -> Rule {
    let peers = peers.filter(|p| !p.is_empty());
    let ports = ports.filter(|p| !p.is_empty());
    Rule {
        peers: peers.map(|list| list.iter().filter_map(|p| peer(namespace, p)).collect()),
        ports: ports.map(|list| list.iter().filter_map(port).collect()),
    }
}

impl Policy {
    pub fn of(p: &NetworkPolicy) -> Self {
        let namespace = p.metadata.namespace.clone().unwrap_or_default();
        let Some(spec) = &p.spec else {
            let pods = Selector { requirements: Vec::new(), nothing: true };
            return Self { namespace, pods, ingress: None, egress: None };
        };
        // The server fills in the types; without them egress counts where it has rules.
        let kinds = spec.policy_types.clone().filter(|k| !k.is_empty()).unwrap_or_else(|| {
            let egress = spec.egress.as_ref().is_some_and(|e| !e.is_empty());
            let all = ["Ingress", "Egress"];
            all[..if egress { 2 } else { 1 }].iter().map(|k| (*k).to_owned()).collect()
        });
        let has = |k: &str| kinds.iter().any(|x| x == k);
        let ingress = spec.ingress.iter().flatten();
        let egress = spec.egress.iter().flatten();
        Self {
            pods: spec.pod_selector.as_ref().map_or_else(|| Selector::of(Vec::new()), selector),
            ingress: has("Ingress")
                .then(|| ingress.map(|r| rule(&namespace, r.from.as_ref(), r.ports.as_ref())).collect()),
            egress: has("Egress")
                .then(|| egress.map(|r| rule(&namespace, r.to.as_ref(), r.ports.as_ref())).collect()),
            namespace,
        }
    }
}

/// Everything a node's rules follow from.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// By name, whatever it is.
    pub pods: BTreeMap<String, Pod>,
    /// Labels by name.
    pub namespaces: BTreeMap<String, Labels>,
    /// By name.
    pub policies: BTreeMap<String, Policy>,
    /// Where cluster DNS answers when it is no pod but a part of keelson: policies that let pods talk to the pods
    /// labelled `k8s-app=kube-dns` of `kube-system`, at port 53, mean these.
    pub dns: Vec<(IpAddr, Protocol, u16)>,
}
