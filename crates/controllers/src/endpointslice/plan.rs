//! Which slices to make, change and delete, with as few writes as upstream makes.
//!
//! Endpoints that stay, stay in their slice; slices that change anyway are filled up first; then one unchanged slice
//! with room for the rest; only then new ones are made.

use super::hints::Hints;
use crate::k8s::core::{Pod, Service};
use crate::k8s::discovery::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use crate::k8s::{Map, ObjectMeta};
use crate::util::meta::{MetaExt, controller_ref};
use crate::util::pods;
use crate::util::services::{
    addresses, cluster_ip, find_port, has_cluster_ip, has_endpoint, hostname, pod_ref, publishes_not_ready,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub const MANAGER: &str = "endpointslice-controller.k8s.io";
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const HEADLESS: &str = "service.kubernetes.io/headless";

pub struct Input<'a> {
    pub service: &'a Service,
    /// The pods it selects.
    pub pods: &'a [Pod],
    /// Nodes that exist, and their zones.
    pub nodes: &'a HashMap<String, Option<String>>,
    pub existing: Vec<EndpointSlice>,
    pub max: usize,
}

#[derive(Debug, Default)]
pub struct Plan {
    pub create: Vec<EndpointSlice>,
    pub update: Vec<EndpointSlice>,
    pub delete: Vec<EndpointSlice>,
    /// Why endpoints were left out for now.
    pub skipped: Option<String>,
}

/// Endpoints by what tells them apart.
type Set = BTreeMap<Identity, Endpoint>;
type Identity = (Vec<String>, String, String, String);
/// Ports as text, to group by.
type PortKey = String;

fn identity(e: &Endpoint) -> Identity {
    let mut a = e.addresses.clone();
    a.sort();
    let t = e.target_ref.clone().unwrap_or_default();
    let s = |v: Option<String>| v.unwrap_or_default();
    (a, s(e.hostname.clone()), s(t.namespace), s(t.name))
}

fn port_key(ports: &[EndpointPort]) -> PortKey {
    let mut all: Vec<String> = ports.iter().map(|p| format!("{p:?}")).collect();
    all.sort();
    all.join(";")
}

/// Whether nothing but the resource version of the target differs.
fn same(a: &Endpoint, b: &Endpoint) -> bool {
    let target = |e: &Endpoint| {
        e.target_ref.clone().map(|mut t| {
            t.resource_version = None;
            t
        })
    };
    let known = |e: &Endpoint| e.conditions.clone().unwrap_or_default();
    a.node_name == b.node_name && a.zone == b.zone && known(a) == known(b) && target(a) == target(b)
}

fn address_types(s: &Service) -> BTreeSet<&'static str> {
    let families = s.spec.iter().flat_map(|s| s.ip_families.iter().flatten());
    let mut types: BTreeSet<_> = families
        .filter_map(|f| match f.as_str() {
            "IPv4" => Some("IPv4"),
            "IPv6" => Some("IPv6"),
            _ => None,
        })
        .collect();
    if types.is_empty() {
        if has_cluster_ip(s) {
            types.insert(if cluster_ip(s).contains(':') { "IPv6" } else { "IPv4" });
        } else {
            types.extend(["IPv4", "IPv6"]);
        }
    }
    types
}

fn labels(s: &Service, manager: &str) -> Map {
    let mut l: Map = s.labels().clone();
    for reserved in [SERVICE_NAME, MANAGED_BY, HEADLESS] {
        l.remove(reserved);
    }
    if !has_cluster_ip(s) {
        l.insert(HEADLESS.into(), String::new());
    }
    l.insert(SERVICE_NAME.into(), s.name().into());
    l.insert(MANAGED_BY.into(), manager.into());
    l
}

fn new_slice(s: &Service, address_type: &str, ports: Vec<EndpointPort>) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(pods::name_prefix(s.name())),
            namespace: s.metadata.namespace.clone(),
            labels: Some(labels(s, MANAGER)),
            owner_references: Some(vec![controller_ref(s)]),
            ..ObjectMeta::default()
        },
        address_type: address_type.into(),
        endpoints: Some(Vec::new()),
        ports: Some(ports),
    }
}

fn ports_of(s: &Service, p: &Pod) -> Vec<EndpointPort> {
    let all = s.spec.iter().flat_map(|s| s.ports.iter().flatten());
    all.filter_map(|sp| {
        Some(EndpointPort {
            name: Some(sp.name.clone().unwrap_or_default()),
            port: Some(find_port(p, sp)?),
            protocol: Some(sp.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: sp.app_protocol.clone(),
        })
    })
    .collect()
}

fn endpoint(s: &Service, p: &Pod, zone: Option<String>, v6: bool) -> Endpoint {
    let serving = pods::is_ready(p);
    let terminating = p.deleting();
    let ready = publishes_not_ready(s) || (serving && !terminating);
    Endpoint {
        addresses: addresses(p, v6),
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(p, s),
        node_name: Some(pods::node_name(p).to_owned()).filter(|n| !n.is_empty()),
        target_ref: Some(pod_ref(p)),
        zone,
        ..Endpoint::default()
    }
}

fn owned(slice: &EndpointSlice, s: &Service) -> bool {
    slice
        .metadata
        .owner_references
        .iter()
        .flatten()
        .any(|o| o.uid == s.uid() && o.kind == "Service" && o.api_version == "v1")
}

pub fn plan(input: Input<'_>) -> Plan {
    let types = address_types(input.service);
    let mut plan = Plan::default();
    let mut by_type: BTreeMap<&str, Vec<EndpointSlice>> = types.iter().map(|t| (*t, Vec::new())).collect();
    for slice in input.existing {
        match by_type.get_mut(slice.address_type.as_str()) {
            Some(l) => l.push(slice),
            None => plan.delete.push(slice),
        }
    }
    for (address_type, existing) in by_type {
        let one = Family { service: input.service, address_type, max: input.max.max(1) };
        one.plan(input.pods, input.nodes, existing, &mut plan);
    }
    plan
}

struct Family<'a> {
    service: &'a Service,
    address_type: &'a str,
    max: usize,
}

/// A slice on its way.
struct Draft {
    slice: EndpointSlice,
    changed: bool,
}

impl Draft {
    fn len(&self) -> usize {
        self.slice.endpoints.as_ref().map_or(0, Vec::len)
    }
    fn fill(&mut self, set: &mut Set, max: usize) {
        let list = self.slice.endpoints.get_or_insert_default();
        while list.len() < max
            && let Some((_, e)) = set.pop_first()
        {
            list.push(e);
            self.changed = true;
        }
    }
}

impl Family<'_> {
    fn plan(
        &self,
        pods: &[Pod],
        nodes: &HashMap<String, Option<String>>,
        existing: Vec<EndpointSlice>,
        plan: &mut Plan,
    ) {
        let s = self.service;
        let mut wanted: BTreeMap<PortKey, (Vec<EndpointPort>, Set)> = BTreeMap::new();
        for p in pods.iter().filter(|p| has_endpoint(p, true)) {
            let ports = ports_of(s, p);
            let group = wanted.entry(port_key(&ports)).or_insert_with(|| (ports, Set::new()));
            let node = pods::node_name(p);
            let zone = match nodes.get(node) {
                Some(zone) => zone.clone(),
                None if publishes_not_ready(s) => None,
                None => {
                    plan.skipped = Some(format!(
                        "skipping Pod {} for Service {}: Node {node} Not Found",
                        p.name(),
                        s.key()
                    ));
                    continue;
                }
            };
            let e = endpoint(s, p, zone, self.address_type == "IPv6");
            if !e.addresses.is_empty() {
                group.1.insert(identity(&e), e);
            }
        }

        let mut by_ports: BTreeMap<PortKey, Vec<EndpointSlice>> = BTreeMap::new();
        let mut delete = Vec::new();
        let total = existing.len();
        for slice in existing {
            if owned(&slice, s) {
                by_ports.entry(port_key(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice);
            } else {
                delete.push(slice);
            }
        }
        let (mut create, mut update, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
        for (key, (ports, set)) in wanted {
            let have = by_ports.remove(&key).unwrap_or_default();
            self.group(ports, set, have, &mut create, &mut update, &mut unchanged, &mut delete);
        }
        delete.extend(by_ports.into_values().flatten());

        // A service always has a slice, so that consumers see that it is looked after.
        if total == delete.len() && create.is_empty() {
            let placeholder = new_slice(s, self.address_type, Vec::new());
            if delete.len() == 1 && is_placeholder(&delete[0], &placeholder) {
                delete.clear();
            } else {
                create.push(placeholder);
            }
        }

        self.hints(&mut create, &mut update, unchanged);
        // Names that would go are kept for slices that would come.
        let mut i = 0;
        while i < delete.len() && !create.is_empty() {
            if owned(&delete[i], s) {
                let old = delete.remove(i);
                if let Some(mut new) = create.pop() {
                    new.metadata.name = old.metadata.name;
                    new.metadata.generate_name = None;
                    new.metadata.resource_version = old.metadata.resource_version;
                    update.push(new);
                }
            } else {
                i += 1;
            }
        }
        plan.create.append(&mut create);
        plan.update.append(&mut update);
        plan.delete.append(&mut delete);
    }

    #[allow(clippy::too_many_arguments)]
    fn group(
        &self,
        ports: Vec<EndpointPort>,
        mut set: Set,
        existing: Vec<EndpointSlice>,
        create: &mut Vec<EndpointSlice>,
        update: &mut Vec<EndpointSlice>,
        unchanged: &mut Vec<EndpointSlice>,
        delete: &mut Vec<EndpointSlice>,
    ) {
        let want_labels = labels(self.service, MANAGER);
        let mut drafts: Vec<Draft> = Vec::new();
        for mut slice in existing {
            let old = slice.endpoints.clone().unwrap_or_default();
            let mut new = Vec::new();
            let mut changed = false;
            for e in &old {
                if let Some(mut got) = set.remove(&identity(e)) {
                    if same(&got, e) {
                        got = e.clone();
                    } else {
                        changed = true;
                        got.hints.clone_from(&e.hints);
                    }
                    new.push(got);
                }
            }
            if new.is_empty() && !old.is_empty() {
                delete.push(slice);
                continue;
            }
            changed |= new.len() != old.len();
            if slice.labels() != &want_labels {
                slice.metadata.labels = Some(want_labels.clone());
                changed = true;
            }
            slice.endpoints = Some(new);
            drafts.push(Draft { slice, changed });
        }
        drafts.sort_by_key(|d| std::cmp::Reverse(d.len()));
        for d in drafts.iter_mut().filter(|d| d.changed) {
            d.fill(&mut set, self.max);
        }
        // The rest fits into one unchanged slice, the fuller the better; else it makes new ones.
        if !set.is_empty() && set.len() < self.max {
            let room = drafts.iter_mut().filter(|d| !d.changed && d.len() + set.len() <= self.max);
            if let Some(d) = room.max_by_key(|d| d.len()) {
                d.fill(&mut set, self.max);
            }
        }
        while !set.is_empty() {
            let slice = new_slice(self.service, self.address_type, ports.clone());
            let mut d = Draft { slice, changed: true };
            d.fill(&mut set, self.max);
            create.push(d.slice);
        }
        for d in drafts {
            if d.changed { update.push(d.slice) } else { unchanged.push(d.slice) }
        }
    }

    fn hints(
        &self,
        create: &mut [EndpointSlice],
        update: &mut Vec<EndpointSlice>,
        unchanged: Vec<EndpointSlice>,
    ) {
        let hints = Hints::of(self.service.spec.as_ref().and_then(|s| s.traffic_distribution.as_deref()));
        for mut slice in unchanged {
            let before = slice.endpoints.clone();
            slice.endpoints.iter_mut().flatten().for_each(|e| hints.set(e));
            if slice.endpoints != before {
                update.push(slice);
            }
        }
        for slice in create.iter_mut().chain(update) {
            slice.endpoints.iter_mut().flatten().for_each(|e| hints.set(e));
        }
    }
}

fn is_placeholder(a: &EndpointSlice, b: &EndpointSlice) -> bool {
    let none = |s: &EndpointSlice| {
        s.endpoints.as_ref().is_none_or(Vec::is_empty) && s.ports.as_ref().is_none_or(Vec::is_empty)
    };
    none(a) && none(b) && a.labels() == b.labels()
}
