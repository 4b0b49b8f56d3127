//! What kube-proxy must do, before it is said in nftables: for each frontend, its endpoints and how to get there
//! (Kubernetes `pkg/proxy`: `serviceport.go`, `topology.go` tell which endpoints a frontend uses).

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn of(ip: &IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What the node is.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub node_name: String,
    /// The node's `topology.kubernetes.io/zone`.
    pub zone: String,
    /// Sources in here are local pods; others on their way to a cluster IP are masqueraded.
    pub cluster_cidrs: Vec<IpNet>,
    pub masquerade_all: bool,
    /// What goes to cluster IPs in here that nobody has is refused.
    pub service_cidrs: Vec<IpNet>,
    /// The addresses of the node that answer for node ports; none: all but loopback.
    pub node_port_addresses: Vec<IpNet>,
}

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

/// What a client connects to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Address(IpAddr, Protocol, u16),
    NodePort(Protocol, u16),
}

impl Key {
    pub fn protocol(&self) -> Protocol {
        let (Self::Address(_, p, _) | Self::NodePort(p, _)) = self;
        *p
    }
}

/// Which clients' addresses are hidden behind the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Masquerade {
    Never,
    /// Those that are no pods of the cluster.
    Outsiders,
    Always,
}

/// Where a frontend leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// `namespace/name:port`, for people.
    pub service: String,
    /// Sorted; empty means `otherwise` happens.
    pub endpoints: Vec<(IpAddr, u16)>,
    pub masquerade: Masquerade,
    /// Seconds a client stays with its endpoint.
    pub affinity: Option<u32>,
    /// Only these sources may come in; empty: all.
    pub sources: Vec<IpNet>,
    pub otherwise: Otherwise,
    /// With externalTrafficPolicy Local: what pods of the cluster and the node itself use instead.
    pub inside: Option<Vec<(IpAddr, u16)>>,
    /// For UDP: every endpoint that serves, chosen here or not. Flows to these go on whatever else changes.
    pub serving: Vec<(IpAddr, u16)>,
}

/// What a frontend without endpoints does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    Reject,
    /// There are endpoints elsewhere: not ours to refuse.
    Drop,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub frontends: BTreeMap<Key, Frontend>,
    /// Cluster IPs: their other ports are nobody's.
    pub cluster_ips: BTreeSet<IpAddr>,
    /// Endpoints on this node, which may talk to themselves through a service.
    pub local: BTreeSet<IpAddr>,
    /// Health check node port → (namespace/name, ready endpoints on this node).
    pub health: BTreeMap<u16, (String, usize)>,
}

struct Candidate {
    ip: IpAddr,
    port: u16,
    local: bool,
    ready: bool,
    serving: bool,
    terminating: bool,
    node_hint: Option<bool>,
    zone_hint: Option<bool>,
}

fn candidate(e: &Endpoint, port: u16, o: &Options) -> Option<Candidate> {
    let ip = e.addresses.first()?.parse().ok()?;
    let c = e.conditions.as_ref();
    let ready = c.and_then(|c| c.ready).unwrap_or(true);
    let hints = e.hints.as_ref();
    let names =
        |f: Option<Vec<String>>, mine: &str| f.filter(|n| !n.is_empty()).map(|n| n.iter().any(|x| x == mine));
    Some(Candidate {
        ip,
        port,
        local: e.node_name.as_deref() == Some(o.node_name.as_str()),
        ready,
        serving: c.and_then(|c| c.serving).unwrap_or(ready),
        terminating: c.and_then(|c| c.terminating).unwrap_or(false),
        node_hint: names(
            hints.and_then(|h| h.for_nodes.as_ref()).map(|n| n.iter().map(|n| n.name.clone()).collect()),
            &o.node_name,
        ),
        zone_hint: names(
            hints.and_then(|h| h.for_zones.as_ref()).map(|z| z.iter().map(|z| z.name.clone()).collect()),
            &o.zone,
        ),
    })
}

/// Ready ones; where there is none, those that still serve while they terminate.
fn usable<'a>(all: impl Iterator<Item = &'a Candidate> + Clone) -> Vec<&'a Candidate> {
    let ready: Vec<_> = all.clone().filter(|c| c.ready).collect();
    if ready.is_empty() { all.filter(|c| c.serving && c.terminating).collect() } else { ready }
}

/// Endpoints for the cluster policy: by node hints, else by zone hints, where every ready one has them and some are
/// ours; hints of endpoints that are not ready do not count.
fn cluster_wide(all: &[Candidate]) -> Vec<(IpAddr, u16)> {
    let ready: Vec<_> = all.iter().filter(|c| c.ready).collect();
    let by = |hint: fn(&Candidate) -> Option<bool>| -> Option<Vec<&Candidate>> {
        if ready.iter().any(|c| hint(c).is_none()) {
            return None;
        }
        let mine: Vec<_> = ready.iter().copied().filter(|c| hint(c) == Some(true)).collect();
        (!mine.is_empty()).then_some(mine)
    };
    let chosen = by(|c| c.node_hint).or_else(|| by(|c| c.zone_hint));
    sorted(chosen.unwrap_or_else(|| usable(all.iter())))
}

fn local_only(all: &[Candidate]) -> Vec<(IpAddr, u16)> {
    sorted(usable(all.iter().filter(|c| c.local)))
}

fn sorted(v: Vec<&Candidate>) -> Vec<(IpAddr, u16)> {
    let mut v: Vec<_> = v.into_iter().map(|c| (c.ip, c.port)).collect();
    v.sort_unstable();
    v.dedup();
    v
}

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Services and slices with one of these labels are not ours.
const OTHERS: [&str; 2] = ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

fn others(labels: Option<&BTreeMap<String, String>>) -> bool {
    labels.is_some_and(|l| OTHERS.iter().any(|o| l.contains_key(*o)))
}

fn candidates(slices: &[&EndpointSlice], port: &ServicePort, family: Family, o: &Options) -> Vec<Candidate> {
    let name = port.name.as_deref().unwrap_or_default();
    let protocol = Protocol::parse(port.protocol.as_deref());
    let mut seen = BTreeMap::new();
    for s in slices
        .iter()
        .filter(|s| (s.address_type == "IPv4") == (family == Family::V4) && s.address_type != "FQDN")
    {
        for p in s.ports.iter().flatten() {
            let number = p.port.and_then(|n| u16::try_from(n).ok());
            if p.name.as_deref().unwrap_or_default() != name
                || Protocol::parse(p.protocol.as_deref()) != protocol
            {
                continue;
            }
            let Some(number) = number else { continue };
            for c in s.endpoints.iter().flatten().filter_map(|e| candidate(e, number, o)) {
                // An endpoint on its way from one slice to another is in both: the ready one counts.
                match seen.entry((c.ip, c.port)) {
                    Entry::Occupied(mut have) if c.ready => _ = have.insert(c),
                    Entry::Occupied(_) => {}
                    Entry::Vacant(v) => _ = v.insert(c),
                }
            }
        }
    }
    seen.into_values().collect()
}

fn ips(list: impl IntoIterator<Item = String>, family: Family) -> Vec<IpAddr> {
    list.into_iter().filter_map(|s| s.parse().ok()).filter(|ip| Family::of(ip) == family).collect()
}

/// Works out what to do with services and slices of one address family.
pub fn model(services: &[Service], slices: &[EndpointSlice], family: Family, o: &Options) -> Model {
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for s in slices.iter().filter(|s| !others(s.metadata.labels.as_ref())) {
        let name = s.metadata.labels.as_ref().and_then(|l| l.get(SERVICE_NAME));
        if let (Some(ns), Some(name)) = (s.metadata.namespace.as_deref(), name) {
            by_service.entry((ns, name)).or_default().push(s);
        }
    }
    let mut m = Model::default();
    for s in services {
        let (ns, name) =
            (s.metadata.namespace.as_deref().unwrap_or(""), s.metadata.name.as_deref().unwrap_or(""));
        let slices = by_service.get(&(ns, name)).map_or(&[][..], Vec::as_slice);
        add_service(&mut m, s, &format!("{ns}/{name}"), slices, family, o);
    }
    m
}

fn add_service(
    m: &mut Model,
    s: &Service,
    name: &str,
    slices: &[&EndpointSlice],
    family: Family,
    o: &Options,
) {
    let Some(spec) = &s.spec else { return };
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    if others(s.metadata.labels.as_ref())
        || kind == "ExternalName"
        || spec.cluster_ip.as_deref() == Some("None")
    {
        return;
    }
    let own = spec.cluster_ips.clone().unwrap_or_else(|| spec.cluster_ip.clone().into_iter().collect());
    let Some(&cluster_ip) = ips(own, family).first() else { return };
    m.cluster_ips.insert(cluster_ip);
    let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let t = spec
            .session_affinity_config
            .as_ref()
            .and_then(|c| c.client_ip.as_ref())
            .and_then(|c| c.timeout_seconds);
        u32::try_from(t.unwrap_or(10_800)).unwrap_or(10_800)
    });
    let external_local = spec.external_traffic_policy.as_deref() == Some("Local");
    let internal_local = spec.internal_traffic_policy.as_deref() == Some("Local");
    let balancer = s.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|l| l.ingress.as_ref());
    let balancer = balancer.into_iter().flatten().filter(|i| i.ip_mode.as_deref() != Some("Proxy"));
    let balancer =
        if kind == "LoadBalancer" { ips(balancer.filter_map(|i| i.ip.clone()), family) } else { Vec::new() };
    let external = ips(spec.external_ips.clone().into_iter().flatten(), family);
    let ranges =
        spec.load_balancer_source_ranges.iter().flatten().filter_map(|r| r.trim().parse::<IpNet>().ok());
    let ranges: Vec<IpNet> = ranges.filter(|r| r.addr().is_ipv4() == (family == Family::V4)).collect();
    let mut local_ready = 0;
    for port in spec.ports.iter().flatten() {
        let Ok(number) = u16::try_from(port.port) else { continue };
        let protocol = Protocol::parse(port.protocol.as_deref());
        let all = candidates(slices, port, family, o);
        m.local.extend(all.iter().filter(|c| c.local).map(|c| c.ip));
        let (wide, local) = (cluster_wide(&all), local_only(&all));
        let serving = all.iter().filter(|c| c.serving && protocol == Protocol::Udp);
        let serving: Vec<_> = sorted(serving.collect());
        local_ready = local_ready.max(all.iter().filter(|c| c.local && c.ready).count());
        let service = format!("{name}:{}", port.name.as_deref().unwrap_or_default());
        let front = |local_policy: bool, masquerade| Frontend {
            service: service.clone(),
            endpoints: if local_policy { local.clone() } else { wide.clone() },
            masquerade,
            affinity,
            sources: Vec::new(),
            otherwise: if local_policy && !wide.is_empty() { Otherwise::Drop } else { Otherwise::Reject },
            inside: None,
            serving: serving.clone(),
        };
        let inside = if o.masquerade_all { Masquerade::Always } else { Masquerade::Outsiders };
        m.frontends.insert(Key::Address(cluster_ip, protocol, number), front(internal_local, inside));
        let outside = if external_local { Masquerade::Never } else { Masquerade::Always };
        let reached_from_outside = |sources: &[IpNet]| Frontend {
            sources: sources.to_vec(),
            inside: external_local.then(|| wide.clone()),
            ..front(external_local, outside)
        };
        for ip in &external {
            m.frontends.insert(Key::Address(*ip, protocol, number), reached_from_outside(&[]));
        }
        for ip in &balancer {
            m.frontends.insert(Key::Address(*ip, protocol, number), reached_from_outside(&ranges));
        }
        let node_port = port.node_port.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
        if let (Some(n), true) = (node_port, matches!(kind, "NodePort" | "LoadBalancer")) {
            m.frontends.insert(Key::NodePort(protocol, n), reached_from_outside(&[]));
        }
    }
    if external_local
        && let Some(p) = spec.health_check_node_port.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0)
    {
        m.health.insert(p, (name.to_owned(), local_ready));
    }
}
