//! The slices that an Endpoints object is mirrored to: one for each set of ports and family.

use crate::k8s::core::{EndpointAddress, EndpointPort as Port, Endpoints};
use crate::k8s::discovery::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use crate::k8s::{Map, ObjectMeta};
use crate::util::meta::{MetaExt, controller_ref};
use crate::util::pods;
use crate::util::trigger::TRIGGER_TIME;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The most addresses of a subset that are mirrored.
pub const MAX: usize = 1000;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[derive(Debug, Default)]
pub struct Plan {
    pub create: Vec<EndpointSlice>,
    pub update: Vec<EndpointSlice>,
    pub delete: Vec<EndpointSlice>,
    pub invalid: usize,
    pub skipped: usize,
}

pub fn is_mirrored(e: &Endpoints) -> bool {
    e.label("endpointslice.kubernetes.io/skip-mirror") != Some("true")
        && e.annotation("control-plane.alpha.kubernetes.io/leader").is_none()
}

fn ports(all: &[Port]) -> Vec<EndpointPort> {
    all.iter()
        .map(|p| EndpointPort {
            name: Some(p.name.clone().unwrap_or_default()),
            port: Some(p.port),
            protocol: Some(p.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: p.app_protocol.clone(),
        })
        .collect()
}

fn key(ports: &[EndpointPort], v6: bool) -> String {
    let mut all: Vec<String> = ports.iter().map(|p| format!("{p:?}")).collect();
    all.sort();
    format!("{v6} {}", all.join(";"))
}

fn endpoint(a: &EndpointAddress, ready: bool) -> Option<(Endpoint, bool)> {
    let ip: IpAddr = a.ip.parse().ok()?;
    let e = Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), serving: None, terminating: None }),
        hostname: a.hostname.clone().filter(|h| !h.is_empty()),
        node_name: a.node_name.clone(),
        target_ref: a.target_ref.clone(),
        ..Endpoint::default()
    };
    Some((e, ip.is_ipv6()))
}

fn annotations(e: &Endpoints) -> Map {
    let mut a = e.metadata.annotations.clone().unwrap_or_default();
    a.remove(TRIGGER_TIME);
    a.remove(LAST_APPLIED);
    a
}

type Group = (Vec<EndpointPort>, bool, BTreeMap<String, Endpoint>);

pub fn plan(e: &Endpoints, existing: Vec<EndpointSlice>) -> Plan {
    let mut plan = Plan::default();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for s in e.subsets.iter().flatten() {
        let ports = ports(s.ports.as_deref().unwrap_or_default());
        let all = s.addresses.iter().flatten().map(|a| (a, true));
        let all = all.chain(s.not_ready_addresses.iter().flatten().map(|a| (a, false)));
        let (mut added, mut total) = (0, 0);
        for (a, ready) in all {
            total += 1;
            if added >= MAX {
                continue;
            }
            let Some((ep, v6)) = endpoint(a, ready) else {
                plan.invalid += 1;
                continue;
            };
            added += 1;
            let g = groups.entry(key(&ports, v6)).or_insert_with(|| (ports.clone(), v6, BTreeMap::new()));
            // An address that is ready anywhere among the same ports is told as the first one was.
            g.2.entry(ep.addresses[0].clone()).or_insert(ep);
        }
        plan.skipped += total - added;
    }
    let mut have: BTreeMap<String, Vec<EndpointSlice>> = BTreeMap::new();
    for s in existing {
        let k = key(s.ports.as_deref().unwrap_or_default(), s.address_type == "IPv6");
        have.entry(k).or_default().push(s);
    }
    for (k, (ports, v6, set)) in groups {
        let mut same = have.remove(&k).unwrap_or_default().into_iter();
        let new = slice(e, ports, v6, set.into_values().collect());
        match same.next() {
            None => plan.create.push(new),
            Some(old) if is_right(&old, &new) => {}
            Some(old) => {
                let mut new = new;
                new.metadata.name.clone_from(&old.metadata.name);
                new.metadata.resource_version.clone_from(&old.metadata.resource_version);
                new.metadata.generate_name = None;
                plan.update.push(new);
            }
        }
        plan.delete.extend(same);
    }
    plan.delete.extend(have.into_values().flatten());
    plan
}

fn slice(e: &Endpoints, ports: Vec<EndpointPort>, v6: bool, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let mut labels = e.labels().clone();
    labels.insert(SERVICE_NAME.into(), e.name().into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let annotations = annotations(e);
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(pods::name_prefix(e.name())),
            namespace: e.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: Some(vec![controller_ref(e)]),
            ..ObjectMeta::default()
        },
        address_type: if v6 { "IPv6" } else { "IPv4" }.into(),
        endpoints: Some(endpoints),
        ports: Some(ports),
    }
}

fn is_right(old: &EndpointSlice, new: &EndpointSlice) -> bool {
    let sorted = |s: &EndpointSlice| {
        let mut all = s.endpoints.clone().unwrap_or_default();
        for e in &mut all {
            if let Some(t) = &mut e.target_ref {
                t.resource_version = None;
            }
        }
        all.sort_by(|a, b| a.addresses.cmp(&b.addresses));
        all
    };
    sorted(old) == sorted(new)
        && old.labels() == new.labels()
        && old.metadata.annotations.clone().unwrap_or_default()
            == new.metadata.annotations.clone().unwrap_or_default()
        && old.metadata.owner_references == new.metadata.owner_references
}
