//! The names of the cluster, kept per service so that a change touches one service only.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// One endpoint of a headless service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host {
    /// Its host name, or its address with dashes.
    pub label: String,
    pub ip: IpAddr,
    /// Name, protocol (lower case), number.
    pub ports: Vec<(String, String, u16)>,
}

/// What one service resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Cluster { ips: Vec<IpAddr>, ports: Vec<(String, String, u16)> },
    Headless(Vec<Host>),
    External(String),
}

/// Everything the cluster's zone holds.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    /// `cluster.local`, lower case, no dot at the end.
    pub domain: String,
    pub(crate) services: HashMap<String, HashMap<String, Target>>,
    /// Address → names, for reverse look-ups: (namespace, service, label or empty).
    pub(crate) reverse: BTreeMap<IpAddr, BTreeSet<(String, String, String)>>,
    pub(crate) namespaces: BTreeSet<String>,
}

fn dashed(ip: &IpAddr) -> String {
    ip.to_string().replace(['.', ':'], "-")
}

fn target(s: &Service, slices: &[EndpointSlice]) -> Option<Target> {
    let spec = s.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        let name = spec.external_name.as_deref()?.trim_end_matches('.').to_ascii_lowercase();
        return (!name.is_empty()).then_some(Target::External(name));
    }
    if spec.cluster_ip.as_deref() != Some("None") {
        let own = spec.cluster_ips.clone().unwrap_or_else(|| spec.cluster_ip.clone().into_iter().collect());
        let ips: Vec<IpAddr> = own.iter().filter_map(|i| i.parse().ok()).collect();
        let ports = spec.ports.iter().flatten().filter_map(|p| {
            let protocol = p.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase();
            Some((p.name.clone().unwrap_or_default(), protocol, u16::try_from(p.port).ok()?))
        });
        return (!ips.is_empty()).then(|| Target::Cluster { ips, ports: ports.collect() });
    }
    let unready = spec.publish_not_ready_addresses == Some(true);
    let mut hosts: BTreeMap<(String, IpAddr), Host> = BTreeMap::new();
    for slice in slices {
        let ports: Vec<_> = slice
            .ports
            .iter()
            .flatten()
            .filter_map(|p| {
                let protocol = p.protocol.as_deref().unwrap_or("TCP").to_ascii_lowercase();
                Some((p.name.clone().unwrap_or_default(), protocol, u16::try_from(p.port?).ok()?))
            })
            .collect();
        for e in slice.endpoints.iter().flatten() {
            let ready = e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true);
            if !ready && !unready {
                continue;
            }
            for ip in e.addresses.iter().filter_map(|a| a.parse::<IpAddr>().ok()) {
                let label = match e.hostname.as_deref() {
                    Some(h) if !h.is_empty() => h.to_ascii_lowercase(),
                    _ => dashed(&ip),
                };
                let host = hosts.entry((label.clone(), ip)).or_insert(Host { label, ip, ports: Vec::new() });
                for p in &ports {
                    if !host.ports.contains(p) {
                        host.ports.push(p.clone());
                    }
                }
            }
        }
    }
    Some(Target::Headless(hosts.into_values().collect()))
}

impl Zone {
    pub fn new(domain: &str) -> Self {
        Self { domain: domain.trim_end_matches('.').to_ascii_lowercase(), ..Self::default() }
    }

    /// Sets (or, with `None`, takes away) one service with all its slices.
    pub fn set(&mut self, namespace: &str, name: &str, service: Option<&Service>, slices: &[EndpointSlice]) {
        let (ns, name) = (namespace.to_ascii_lowercase(), name.to_ascii_lowercase());
        if let Some(old) = self.services.get_mut(&ns).and_then(|m| m.remove(&name)) {
            self.unindex(&ns, &name, &old);
        }
        if let Some(t) = service.and_then(|s| target(s, slices)) {
            self.index(&ns, &name, &t);
            self.services.entry(ns.clone()).or_default().insert(name, t);
        }
        if self.services.get(&ns).is_some_and(HashMap::is_empty) {
            self.services.remove(&ns);
        }
    }

    /// A namespace that exists: its names are empty rather than unknown.
    pub fn set_namespace(&mut self, name: &str, exists: bool) {
        if exists {
            self.namespaces.insert(name.to_ascii_lowercase());
        } else {
            self.namespaces.remove(&name.to_ascii_lowercase());
        }
    }

    fn entries(t: &Target) -> Vec<(IpAddr, String)> {
        match t {
            Target::Cluster { ips, .. } => ips.iter().map(|ip| (*ip, String::new())).collect(),
            Target::Headless(hosts) => hosts.iter().map(|h| (h.ip, h.label.clone())).collect(),
            Target::External(_) => Vec::new(),
        }
    }

    fn index(&mut self, ns: &str, name: &str, t: &Target) {
        for (ip, label) in Self::entries(t) {
            self.reverse.entry(ip).or_default().insert((ns.to_owned(), name.to_owned(), label));
        }
    }

    fn unindex(&mut self, ns: &str, name: &str, t: &Target) {
        for (ip, label) in Self::entries(t) {
            if let Some(set) = self.reverse.get_mut(&ip) {
                set.remove(&(ns.to_owned(), name.to_owned(), label));
                if set.is_empty() {
                    self.reverse.remove(&ip);
                }
            }
        }
    }
}
