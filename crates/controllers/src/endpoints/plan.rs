//! The Endpoints object that a service's pods make.

use crate::k8s::ObjectMeta;
use crate::k8s::core::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use crate::util::meta::MetaExt;
use crate::util::pods;
use crate::util::services::{
    addresses, cluster_ip, find_port, has_cluster_ip, has_endpoint, hostname, pod_ref, publishes_not_ready,
};
use std::collections::BTreeMap;

/// The most addresses an Endpoints object holds.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const HEADLESS: &str = "service.kubernetes.io/headless";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

/// The object to write; `None` when what is there is right.
pub fn plan(service: &Service, pods: &[Pod], current: Option<&Endpoints>) -> Option<Endpoints> {
    let full = subsets(service, pods);
    let (subsets, cut) = truncate(full);
    let mut labels = service.labels().clone();
    if has_cluster_ip(service) {
        labels.remove(HEADLESS);
    } else {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut new = current.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    new.metadata.labels = Some(labels);
    let annotations = new.metadata.annotations.get_or_insert_default();
    if cut {
        annotations.insert(OVER_CAPACITY.into(), "truncated".into());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    if annotations.is_empty() {
        new.metadata.annotations = None;
    }
    new.subsets = (!subsets.is_empty()).then_some(subsets);
    let same = |old: &Endpoints| {
        bare(old.subsets.as_deref()) == bare(new.subsets.as_deref())
            && old.labels() == new.labels()
            && old.annotation(OVER_CAPACITY) == new.annotation(OVER_CAPACITY)
    };
    (!current.is_some_and(same)).then_some(new)
}

/// Without the resource versions of targets, which others may have written.
fn bare(s: Option<&[EndpointSubset]>) -> Vec<EndpointSubset> {
    let mut all = s.unwrap_or_default().to_vec();
    for s in &mut all {
        for a in s.addresses.iter_mut().flatten().chain(s.not_ready_addresses.iter_mut().flatten()) {
            if let Some(t) = &mut a.target_ref {
                t.resource_version = None;
            }
        }
    }
    all
}

/// Tells addresses apart and gives their order.
type AddressKey = (String, String);
/// A port, or none for a service without ports, in comparable form.
type PortKey = Option<(String, i32, String, String)>;

fn address(service: &Service, p: &Pod) -> Option<EndpointAddress> {
    let families = service.spec.as_ref().and_then(|s| s.ip_families.as_ref()?.first().cloned());
    let v6 = match families.as_deref() {
        Some(f) => f == "IPv6",
        None if has_cluster_ip(service) => cluster_ip(service).contains(':'),
        // A headless service without families: whatever the pod has first.
        None => p.status.as_ref().and_then(|s| s.pod_ip.as_deref()).is_some_and(|i| i.contains(':')),
    };
    Some(EndpointAddress {
        ip: addresses(p, v6).into_iter().next()?,
        hostname: hostname(p, service),
        node_name: Some(pods::node_name(p).to_owned()).filter(|n| !n.is_empty()),
        target_ref: Some(pod_ref(p)),
    })
}

/// Addresses grouped so that each subset is a set of addresses that serve the same ports (upstream `RepackSubsets`).
fn subsets(service: &Service, pods: &[Pod]) -> Vec<EndpointSubset> {
    let publish = publishes_not_ready(service);
    let ports: Vec<_> = service.spec.iter().flat_map(|s| s.ports.iter().flatten()).collect();
    let mut all: BTreeMap<AddressKey, EndpointAddress> = BTreeMap::new();
    let mut by_port: BTreeMap<PortKey, (Option<EndpointPort>, BTreeMap<AddressKey, bool>)> = BTreeMap::new();
    for p in pods.iter().filter(|p| has_endpoint(p, publish)) {
        let Some(a) = address(service, p) else { continue };
        let key = (a.ip.clone(), p.uid().to_owned());
        let ready = publish || pods::is_ready(p);
        all.entry(key.clone()).or_insert(a);
        let mut put = |port: Option<EndpointPort>| {
            let pk = port.as_ref().map(|p| {
                let s = |v: &Option<String>| v.clone().unwrap_or_default();
                (s(&p.name), p.port, s(&p.protocol), s(&p.app_protocol))
            });
            let e = by_port.entry(pk).or_insert_with(|| (port, BTreeMap::new()));
            e.1.entry(key.clone()).and_modify(|r| *r &= ready).or_insert(ready);
        };
        if ports.is_empty() {
            if cluster_ip(service) == "None" {
                put(None);
            }
            continue;
        }
        for sp in &ports {
            if let Some(n) = find_port(p, sp) {
                put(Some(EndpointPort {
                    name: sp.name.clone(),
                    port: n,
                    protocol: sp.protocol.clone(),
                    app_protocol: sp.app_protocol.clone(),
                }));
            }
        }
    }
    let mut groups: BTreeMap<Vec<(AddressKey, bool)>, Vec<EndpointPort>> = BTreeMap::new();
    for (port, addresses) in by_port.into_values() {
        groups.entry(addresses.into_iter().collect()).or_default().extend(port);
    }
    let list = |g: &[(AddressKey, bool)], ready: bool| {
        let l: Vec<_> =
            g.iter().filter(|(_, r)| *r == ready).filter_map(|(k, _)| all.get(k)).cloned().collect();
        (!l.is_empty()).then_some(l)
    };
    groups
        .into_iter()
        .map(|(g, ports)| EndpointSubset {
            addresses: list(&g, true),
            not_ready_addresses: list(&g, false),
            ports: (!ports.is_empty()).then_some(ports),
        })
        .collect()
}

/// Cuts the object down to its capacity, ready addresses first, the same share from each subset.
fn truncate(mut subsets: Vec<EndpointSubset>) -> (Vec<EndpointSubset>, bool) {
    let len = |v: &Option<Vec<EndpointAddress>>| v.as_ref().map_or(0, Vec::len);
    let ready: usize = subsets.iter().map(|s| len(&s.addresses)).sum();
    let unready: usize = subsets.iter().map(|s| len(&s.not_ready_addresses)).sum();
    if ready + unready <= CAPACITY {
        return (subsets, false);
    }
    let cut_ready = ready > CAPACITY;
    let (max, total) = if cut_ready { (CAPACITY, ready) } else { (CAPACITY - ready, unready) };
    let mut left = max;
    for s in &mut subsets {
        let list = if cut_ready { &mut s.addresses } else { &mut s.not_ready_addresses };
        let keep = (len(list) * max).div_ceil(total).min(left);
        if let Some(l) = list {
            l.truncate(keep);
        }
        left -= len(list);
        if cut_ready {
            s.not_ready_addresses = None;
        }
        for l in [&mut s.addresses, &mut s.not_ready_addresses] {
            if l.as_ref().is_some_and(Vec::is_empty) {
                *l = None;
            }
        }
    }
    (subsets, true)
}
