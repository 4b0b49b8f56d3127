//! Rules of one node, for one address family.
//!
//! A new connection passes `forward` (or `input`, to the host itself): established ones are let through, then the
//! source's egress chain and the destination's ingress chain are asked. A chain lists what is allowed, each as `return`
//! (back to the base chain, where the other direction is asked), and ends in `drop`. What the host itself sends to its
//! pods passes neither hook: probes always arrive.

use crate::model::{Cluster, Labels, Peer, Pod, Policy, Port, Protocol, Rule};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub const TABLE: &str = "keelson-policy";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub v6: bool,
    /// Set → its type.
    pub sets: BTreeMap<String, String>,
    /// Set or map → key → value (`None` in a set).
    pub elements: BTreeMap<String, BTreeMap<String, Option<String>>>,
    pub chains: BTreeMap<String, Vec<String>>,
}

/// FNV-1a: names need to be short and stable, no more.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

struct Builder<'a> {
    c: &'a Cluster,
    /// Pods with an address of the family, and that address.
    pods: Vec<(&'a Pod, IpAddr)>,
    r: Ruleset,
}

fn get<'a>(labels: &'a Labels) -> impl Fn(&str) -> Option<&'a str> {
    |k| labels.get(k).map(String::as_str)
}

/// The rules for the node whose pods are marked local.
pub fn ruleset(c: &Cluster, v6: bool) -> Ruleset {
    let mine = |p: &&Pod| p.ips.iter().find(|ip| ip.is_ipv6() == v6).copied();
    let pods = c.pods.values().filter_map(|p| mine(&p).map(|ip| (p, ip))).collect();
    let mut b = Builder { c, pods, r: Ruleset { v6, ..Ruleset::default() } };
    let mut by_namespace: BTreeMap<&str, Vec<(&str, &Policy)>> = BTreeMap::new();
    for (name, p) in &c.policies {
        by_namespace.entry(&p.namespace).or_default().push((name, p));
    }
    let local: Vec<_> = b.pods.iter().filter(|(p, _)| p.local).copied().collect();
    for (pod, ip) in local {
        let Some(policies) = by_namespace.get(pod.namespace.as_str()) else { continue };
        let selecting: Vec<_> = policies.iter().filter(|(_, p)| p.pods.matches(get(&pod.labels))).collect();
        for way in [Way::In, Way::Out] {
            let rules = |p: &'_ Policy| match way {
                Way::In => p.ingress.is_some(),
                Way::Out => p.egress.is_some(),
            };
            let those: Vec<_> = selecting.iter().filter(|(_, p)| rules(p)).map(|x| **x).collect();
            if !those.is_empty() {
                b.isolate(ip, way, &those);
            }
        }
    }
    b.r
}

impl Builder<'_> {
    fn put(&mut self, set: &str, key: String, value: Option<String>) {
        self.r.elements.entry(set.to_owned()).or_default().insert(key, value);
    }

    fn isolate(&mut self, ip: IpAddr, way: Way, policies: &[(&str, &Policy)]) {
        let (map, prefix) = match way {
            Way::In => ("ingress", "in"),
            Way::Out => ("egress", "out"),
        };
        let names: Vec<&str> = policies.iter().map(|(n, _)| *n).collect();
        let chain = format!("{prefix}-{:016x}", hash(&names.join("\n")));
        self.put(map, ip.to_string(), Some(format!("jump {chain}")));
        self.put("self", format!("{ip} . {ip}"), None);
        if self.r.chains.contains_key(&chain) {
            return;
        }
        let mut rules = Vec::new();
        for (_, p) in policies {
            let list = match way {
                Way::In => &p.ingress,
                Way::Out => &p.egress,
            };
            for r in list.iter().flatten() {
                self.allow(&p.namespace, way, r, &mut rules);
            }
        }
        let mut seen = BTreeSet::new();
        rules.retain(|r| seen.insert(r.clone()));
        rules.push("drop".to_owned());
        self.r.chains.insert(chain, rules);
    }

    /// The rules that let through what `r` allows.
    fn allow(&mut self, namespace: &str, way: Way, r: &Rule, out: &mut Vec<String>) {
        let ports = match &r.ports {
            None => vec![String::new()],
            Some(p) => self.ports(p),
        };
        let peers = match &r.peers {
            None => vec![String::new()],
            Some(list) => list.iter().filter_map(|p| self.peer(namespace, way, p)).collect(),
        };
        for peer in &peers {
            for port in &ports {
                let words: Vec<&str> = [peer, port, "return"].into_iter().filter(|w| !w.is_empty()).collect();
                out.push(words.join(" "));
            }
        }
        if matches!(way, Way::Out) {
            self.dns(namespace, r, out);
        }
    }

    /// Matches for ports: one a protocol, and one a name. The port is always the destination's.
    fn ports(&mut self, list: &[Port]) -> Vec<String> {
        let a = self.family();
        let mut out = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            if list.contains(&Port::Any(protocol)) {
                out.push(format!("meta l4proto {}", protocol.name()));
                continue;
            }
            let numbers = list.iter().filter_map(|p| match p {
                Port::Numbers(q, a, b) if *q == protocol => Some((*a, *b)),
                _ => None,
            });
            let ranges = merged(numbers.collect());
            if !ranges.is_empty() {
                let text = |(a, b): &(u16, u16)| if a == b { a.to_string() } else { format!("{a}-{b}") };
                let all: Vec<String> = ranges.iter().map(text).collect();
                out.push(format!("{} dport {{ {} }}", protocol.name(), all.join(", ")));
            }
            for p in list {
                if let Port::Named(q, name) = p
                    && *q == protocol
                {
                    let set = self.named(protocol, name);
                    out.push(format!("{a} daddr . {} dport @{set}", protocol.name()));
                }
            }
        }
        out
    }

    /// The set of (address, port) of all pods that have a port of that name.
    fn named(&mut self, protocol: Protocol, name: &str) -> String {
        let set = format!("port-{}-{name}", protocol.name());
        if self.r.sets.contains_key(&set) {
            return set;
        }
        let address = self.address_type();
        self.r.sets.insert(set.clone(), format!("type {address} . inet_service"));
        let mut keys = BTreeMap::new();
        for (pod, ip) in &self.pods {
            for (n, q, number) in &pod.ports {
                if n == name && *q == protocol {
                    keys.insert(format!("{ip} . {number}"), None);
                }
            }
        }
        self.r.elements.insert(set.clone(), keys);
        set
    }

    fn family(&self) -> &'static str {
        if self.r.v6 { "ip6" } else { "ip" }
    }

    fn address_type(&self) -> &'static str {
        if self.r.v6 { "ipv6_addr" } else { "ipv4_addr" }
    }

    fn peer(&mut self, namespace: &str, way: Way, p: &Peer) -> Option<String> {
        let a = self.family();
        let side = match way {
            Way::In => "saddr",
            Way::Out => "daddr",
        };
        match p {
            Peer::Block { cidr, except } => {
                if cidr.addr().is_ipv6() != self.r.v6 {
                    return None;
                }
                let mut words = Vec::new();
                if cidr.prefix_len() > 0 {
                    words.push(format!("{a} {side} {cidr}"));
                }
                let not: Vec<IpNet> =
                    except.iter().filter(|e| e.addr().is_ipv6() == self.r.v6).map(IpNet::trunc).collect();
                let not: Vec<String> = IpNet::aggregate(&not).iter().map(ToString::to_string).collect();
                if !not.is_empty() {
                    words.push(format!("{a} {side} != {{ {} }}", not.join(", ")));
                }
                Some(words.join(" "))
            }
            Peer::Pods { namespaces, pods, key } => {
                let set = format!("peer-{:016x}", hash(key));
                if !self.r.sets.contains_key(&set) {
                    self.r.sets.insert(set.clone(), format!("type {}", self.address_type()));
                    let chosen: BTreeSet<&str> = match namespaces {
                        None => std::iter::once(namespace).collect(),
                        Some(s) => {
                            let all = self.c.namespaces.iter();
                            all.filter(|(_, l)| s.matches(get(l))).map(|(n, _)| n.as_str()).collect()
                        }
                    };
                    let hit = |p: &Pod| chosen.contains(p.namespace.as_str()) && pods.matches(get(&p.labels));
                    let keys = self.pods.iter().filter(|(p, _)| hit(p)).map(|(_, ip)| (ip.to_string(), None));
                    self.r.elements.insert(set.clone(), keys.collect());
                }
                Some(format!("{a} {side} @{set}"))
            }
        }
    }

    /// What `r` says about port 53 of the DNS pods, said about keelson's own DNS.
    fn dns(&self, namespace: &str, r: &Rule, out: &mut Vec<String>) {
        let labels: Labels = [("k8s-app".to_owned(), "kube-dns".to_owned())].into();
        for (ip, protocol, number) in self.c.dns.iter().filter(|d| d.0.is_ipv6() == self.r.v6) {
            let port = |p: &Port| match p {
                Port::Any(q) => q == protocol,
                Port::Numbers(q, a, b) => q == protocol && (*a..=*b).contains(&53),
                Port::Named(q, name) => {
                    q == protocol && (name == "dns" || name == "dns-tcp" && *q == Protocol::Tcp)
                }
            };
            let peer = |p: &Peer| match p {
                Peer::Block { cidr, except } => cidr.contains(ip) && !except.iter().any(|e| e.contains(ip)),
                Peer::Pods { namespaces: None, pods, .. } => {
                    namespace == "kube-system" && pods.matches(get(&labels))
                }
                Peer::Pods { namespaces: Some(s), pods, .. } => {
                    let system = self.c.namespaces.get("kube-system");
                    system.is_some_and(|l| s.matches(get(l))) && pods.matches(get(&labels))
                }
            };
            let ports_ok = r.ports.as_ref().is_none_or(|l| l.iter().any(port));
            if ports_ok && r.peers.as_ref().is_none_or(|l| l.iter().any(peer)) {
                out.push(format!("{} daddr {ip} {} dport {number} return", self.family(), protocol.name()));
            }
        }
    }
}

/// Ranges without overlaps, in order.
fn merged(mut v: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    v.sort_unstable();
    let mut out: Vec<(u16, u16)> = Vec::new();
    for (a, b) in v {
        match out.last_mut() {
            Some(last) if u32::from(a) <= u32::from(last.1) + 1 => last.1 = last.1.max(b),
            _ => out.push((a, b)),
        }
    }
    out
}
