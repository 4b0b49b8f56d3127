//! The model said in nftables: a few fixed chains, one chain for each number of endpoints, and maps.
//!
//! A packet's way: `services` looks the frontend up in a verdict map → `cN`/`pN` (N endpoints; `m` before it: marked
//! for masquerade; `o`: marked when it comes from outside) → destination translation from an endpoint map, drawn at
//! random. What needs more (session affinity, source ranges, a policy of Local with clients inside) has a chain of its own.

use crate::model::{Family, Frontend, Key, Masquerade, Model, Options, Otherwise};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub const TABLE: &str = "keelson-proxy";
/// The packet mark that asks for masquerade: upstream's.
pub const MARK: u32 = 0x4000;

/// All of a table that changes with the services: elements of maps and sets, rules of chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    pub family: Family,
    /// Map or set → key → value (`None` in a set).
    pub elements: BTreeMap<&'static str, BTreeMap<String, Option<String>>>,
    /// Sets that this ruleset declares itself (affinity), by name, with their declaration; a name has one declaration.
    pub sets: BTreeMap<String, String>,
    pub chains: BTreeMap<String, Vec<String>>,
}

/// The maps and sets every table has, in order of declaration: name, kind, type.
pub fn declarations(f: Family) -> [(&'static str, String); 6] {
    let (a, addr) = words(f);
    let proto = protocol_word(f);
    [
        ("services", format!("map services {{ type {addr} . inet_proto . inet_service : verdict; }}")),
        ("nodeports", "map nodeports { type inet_proto . inet_service : verdict; }".to_owned()),
        (
            "endpoints",
            format!(
                "map endpoints {{ typeof {a} daddr . meta l4proto . th dport . numgen random mod 2 : {a} daddr . th dport; }}"
            ),
        ),
        (
            "nodeport-endpoints",
            format!(
                "map nodeport-endpoints {{ typeof {proto} . th dport . numgen random mod 2 : {a} daddr . th dport; }}"
            ),
        ),
        ("cluster-ips", format!("set cluster-ips {{ type {addr}; }}")),
        ("hairpin", format!("set hairpin {{ type {addr} . {addr}; }}")),
    ]
}

/// `ip`/`ip6` and the name of the address type.
pub fn words(f: Family) -> (&'static str, &'static str) {
    match f {
        Family::V4 => ("ip", "ipv4_addr"),
        Family::V6 => ("ip6", "ipv6_addr"),
    }
}

/// The transport protocol as a field of the network header: with `meta l4proto` here, nft 1.0 sees no network header
/// in the key and calls the protocols of key and value conflicting.
fn protocol_word(f: Family) -> &'static str {
    match f {
        Family::V4 => "ip protocol",
        Family::V6 => "ip6 nexthdr",
    }
}

/// Up to so many endpoints a frontend shares its chain with all others of as many; beyond it has one of its own. The
/// shared chains are all made with the table: nft 1.0 cannot add a rule that uses a `typeof` map it did not declare itself
/// in the same run.
const SHARED: usize = 32;

fn drawing_chain(node_port: bool, masquerade: Masquerade, n: usize) -> String {
    let how = match masquerade {
        Masquerade::Never => "",
        Masquerade::Outsiders => "o",
        Masquerade::Always => "m",
    };
    format!("{how}{}{n}", if node_port { 'p' } else { 'c' })
}

fn mark_rule(m: Masquerade) -> Option<String> {
    match m {
        Masquerade::Never => None,
        Masquerade::Outsiders => Some("jump outsiders-mark".to_owned()),
        Masquerade::Always => Some("jump masquerade-mark".to_owned()),
    }
}

/// The shared chains: for each number of endpoints, kind of frontend and way of masquerading.
fn drawing_chains(f: Family) -> Vec<(String, Vec<String>)> {
    let (a, _) = words(f);
    let mut out = Vec::new();
    for n in 1..=SHARED {
        for masquerade in [Masquerade::Never, Masquerade::Outsiders, Masquerade::Always] {
            for node_port in [false, true] {
                let mut rules: Vec<String> = mark_rule(masquerade).into_iter().collect();
                rules.push(if node_port {
                    let proto = protocol_word(f);
                    format!("dnat {a} to {proto} . th dport . numgen random mod {n} map @nodeport-endpoints")
                } else {
                    format!("dnat {a} to {a} daddr . meta l4proto . th dport . numgen random mod {n} map @endpoints")
                });
                out.push((drawing_chain(node_port, masquerade, n), rules));
            }
        }
    }
    out
}

/// Chains that are the same whatever the services are. `services` runs in prerouting and output; `no-endpoints` in the
/// filter hooks, where rejecting is allowed.
pub fn fixed(f: Family, o: &Options) -> Vec<(String, Vec<String>)> {
    let (a, _) = words(f);
    let loopback = if f == Family::V4 { "127.0.0.0/8" } else { "::1" };
    let mine = |n: &&ipnet::IpNet| n.addr().is_ipv4() == (f == Family::V4);
    let list =
        |v: &[ipnet::IpNet]| v.iter().filter(mine).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let outside = match list(&o.cluster_cidrs) {
        c if c.is_empty() => Vec::new(),
        c => vec![format!("{a} saddr != {{ {c} }} meta mark set meta mark or {MARK:#x}")],
    };
    let unused = match list(&o.service_cidrs) {
        c if c.is_empty() => Vec::new(),
        c => vec![format!("ct state new {a} daddr {{ {c} }} drop")],
    };
    let node_ports = match list(&o.node_port_addresses) {
        c if c.is_empty() => format!("fib daddr type local {a} daddr != {loopback}"),
        c => format!("fib daddr type local {a} daddr {{ {c} }}"),
    };
    let mut out = vec![
        ("masquerade-mark", vec![format!("meta mark set meta mark or {MARK:#x}")]),
        ("outsiders-mark", outside),
        // A client that is just connecting takes a reset at its word, and an ICMP message only at its next try.
        ("reject-it", vec!["meta l4proto tcp reject with tcp reset".to_owned(), "reject".to_owned()]),
        (
            "services",
            vec![
                format!("{a} daddr . meta l4proto . th dport vmap @services"),
                format!("{node_ports} meta l4proto . th dport vmap @nodeports"),
            ],
        ),
        (
            "prerouting",
            vec!["type nat hook prerouting priority dstnat;".to_owned(), "jump services".to_owned()],
        ),
        ("output", vec!["type nat hook output priority -100;".to_owned(), "jump services".to_owned()]),
        (
            "postrouting",
            vec![
                "type nat hook postrouting priority srcnat;".to_owned(),
                format!("meta mark and {MARK:#x} == 0 {a} saddr . {a} daddr != @hairpin return"),
                format!("meta mark set meta mark and {:#x}", !MARK),
                "masquerade fully-random".to_owned(),
            ],
        ),
    ];
    for (chain, hook) in
        [("filter-forward", "forward"), ("filter-output", "output"), ("filter-input", "input")]
    {
        let mut rules = vec![format!("type filter hook {hook} priority -110;")];
        rules.push(format!("ct state new {a} daddr . meta l4proto . th dport vmap @no-endpoints"));
        if hook == "input" {
            rules.push(format!(
                "ct state new {node_ports} meta l4proto . th dport vmap @no-endpoint-nodeports"
            ));
        }
        out.push((chain, rules));
    }
    // After translation only what nobody serves still goes to a cluster IP: to a port that its service does not have, or
    // to an address that no service has.
    for (chain, hook, priority) in
        [("cluster-ips-forward", "forward", "-110"), ("cluster-ips-output", "output", "-90")]
    {
        let mut rules = vec![format!("type filter hook {hook} priority {priority};")];
        rules.push(format!("ct state new {a} daddr @cluster-ips goto reject-it"));
        rules.extend(unused.clone());
        out.push((chain, rules));
    }
    out.into_iter().map(|(n, r)| (n.to_owned(), r)).chain(drawing_chains(f)).collect()
}

/// Maps of frontends without endpoints, looked up by the filter chains.
pub fn filter_declarations(f: Family) -> [(&'static str, String); 2] {
    let (_, addr) = words(f);
    [
        (
            "no-endpoints",
            format!("map no-endpoints {{ type {addr} . inet_proto . inet_service : verdict; }}"),
        ),
        (
            "no-endpoint-nodeports",
            "map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }".to_owned(),
        ),
    ]
}

fn key_text(k: &Key) -> String {
    match k {
        Key::Address(ip, p, n) => format!("{ip} . {} . {n}", p.name()),
        Key::NodePort(p, n) => format!("{} . {n}", p.name()),
    }
}

fn target(e: &(IpAddr, u16)) -> String {
    format!("{} . {}", e.0, e.1)
}

fn dnat(f: Family, e: &(IpAddr, u16)) -> String {
    let (a, _) = words(f);
    match e.0 {
        IpAddr::V4(ip) => format!("meta l4proto {{ tcp, udp, sctp }} dnat {a} to {ip}:{}", e.1),
        IpAddr::V6(ip) => format!("meta l4proto {{ tcp, udp, sctp }} dnat {a} to [{ip}]:{}", e.1),
    }
}

/// A short stable name for a frontend's own chain (FNV-1a of its key).
fn own_name(prefix: &str, k: &Key) -> String {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for b in key_text(k).bytes() {
        h = (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{prefix}-{h:016x}")
}

impl Ruleset {
    fn put(&mut self, map: &'static str, key: String, value: Option<String>) {
        self.elements.entry(map).or_default().insert(key, value);
    }

    /// Rules that lead to one of `endpoints`, staying with it for `affinity` seconds.
    fn sticky_rules(&mut self, k: &Key, endpoints: &[(IpAddr, u16)], affinity: u32) -> Vec<String> {
        let (a, addr) = words(self.family);
        let base = own_name("aff", k);
        let (mut stay, mut choose) = (Vec::new(), Vec::new());
        for e in endpoints {
            // The time is in the name: a set cannot be redefined in place.
            let set = format!("{base}-{}-{affinity}s", suffix(e));
            let chain = format!("{set}-to");
            self.sets.insert(
                set.clone(),
                format!(
                    "set {set} {{ type {addr}; flags dynamic,timeout; timeout {affinity}s; size 65535; }}"
                ),
            );
            self.chains
                .insert(chain.clone(), vec![format!("update @{set} {{ {a} saddr }}"), dnat(self.family, e)]);
            stay.push(format!("{a} saddr @{set} goto {chain}"));
            choose.push(chain);
        }
        let list: Vec<String> = choose.iter().enumerate().map(|(i, c)| format!("{i} : goto {c}")).collect();
        stay.push(format!("numgen random mod {} vmap {{ {} }}", choose.len(), list.join(", ")));
        stay
    }

    fn add(&mut self, k: &Key, f: &Frontend, o: &Options) {
        let node_port = matches!(k, Key::NodePort(..));
        let map = if node_port { "nodeports" } else { "services" };
        let text = key_text(k);
        let plain =
            f.affinity.is_none() && f.sources.is_empty() && f.inside.is_none() && f.endpoints.len() <= SHARED;
        if f.endpoints.is_empty() && f.inside.as_ref().is_none_or(Vec::is_empty) {
            let verdict = if f.otherwise == Otherwise::Drop { "drop" } else { "goto reject-it" };
            self.put(
                if node_port { "no-endpoint-nodeports" } else { "no-endpoints" },
                text,
                Some(verdict.to_owned()),
            );
            return;
        }
        if plain {
            let chain = drawing_chain(node_port, f.masquerade, f.endpoints.len());
            self.put_endpoints(&text, node_port, &f.endpoints);
            self.put(map, text, Some(format!("goto {chain}")));
            return;
        }
        let name = own_name("svc", k);
        let rules = self.own_rules(k, f, o);
        self.chains.insert(name.clone(), rules);
        self.put(map, text, Some(format!("goto {name}")));
    }

    fn put_endpoints(&mut self, key: &str, node_port: bool, endpoints: &[(IpAddr, u16)]) {
        let map = if node_port { "nodeport-endpoints" } else { "endpoints" };
        for (i, e) in endpoints.iter().enumerate() {
            self.put(map, format!("{key} . {i}"), Some(target(e)));
        }
    }

    /// The chain of a frontend that needs one of its own.
    fn own_rules(&mut self, k: &Key, f: &Frontend, o: &Options) -> Vec<String> {
        let (a, _) = words(self.family);
        let mut rules = Vec::new();
        if !f.sources.is_empty() {
            let list: Vec<String> = f.sources.iter().map(ToString::to_string).collect();
            rules.push(format!("{a} saddr != {{ {} }} drop", list.join(", ")));
        }
        if let Some(inside) = &f.inside {
            // Pods and the node itself reach every endpoint, whatever the policy for the outside says.
            let rules_inside = self.draw(k, inside, f.affinity);
            let chain = own_name("inside", k);
            if !rules_inside.is_empty() {
                let mine = |n: &&ipnet::IpNet| n.addr().is_ipv4() == (self.family == Family::V4);
                let list: Vec<String> =
                    o.cluster_cidrs.iter().filter(mine).map(ToString::to_string).collect();
                if !list.is_empty() {
                    rules.push(format!("{a} saddr {{ {} }} goto {chain}", list.join(", ")));
                }
                let own = format!("{chain}-node");
                rules.push(format!("fib saddr type local goto {own}"));
                self.chains.insert(own, vec!["jump masquerade-mark".to_owned(), format!("goto {chain}")]);
                self.chains.insert(chain, rules_inside);
            }
        }
        rules.extend(mark_rule(f.masquerade));
        let last = self.draw(k, &f.endpoints, f.affinity);
        if last.is_empty() {
            rules.push("drop".to_owned())
        } else {
            rules.extend(last)
        }
        rules
    }

    fn draw(&mut self, k: &Key, endpoints: &[(IpAddr, u16)], affinity: Option<u32>) -> Vec<String> {
        match (endpoints, affinity) {
            ([], _) => Vec::new(),
            (_, Some(t)) => self.sticky_rules(k, endpoints, t),
            ([one], None) => vec![dnat(self.family, one)],
            (many, None) => {
                let list: Vec<String> =
                    many.iter().enumerate().map(|(i, e)| format!("{i} : {}", target(e))).collect();
                vec![format!(
                    "meta l4proto {} dnat {} addr . port to numgen random mod {} map {{ {} }}",
                    k.protocol().name(),
                    words(self.family).0,
                    many.len(),
                    list.join(", ")
                )]
            }
        }
    }
}

/// A name part for an endpoint.
fn suffix(e: &(IpAddr, u16)) -> String {
    format!("{}-{}", e.0.to_string().replace(['.', ':'], "_"), e.1)
}

/// The ruleset of a model.
pub fn ruleset(m: &Model, family: Family, o: &Options) -> Ruleset {
    let mut r = Ruleset { family, elements: BTreeMap::new(), sets: BTreeMap::new(), chains: BTreeMap::new() };
    for (k, f) in &m.frontends {
        r.add(k, f, o);
    }
    for ip in m.cluster_ips.iter().filter(|ip| Family::of(ip) == family) {
        r.put("cluster-ips", ip.to_string(), None);
    }
    for ip in m.local.iter().filter(|ip| Family::of(ip) == family) {
        r.put("hairpin", format!("{ip} . {ip}"), None);
    }
    r
}
