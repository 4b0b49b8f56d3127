//! Services and the pods behind them, as both endpoint controllers see them.

use super::meta::{MetaExt, map_selector};
use super::{pods, wake};
use crate::k8s::core::{Node, ObjectReference, Pod, Service, ServicePort};
use crate::k8s::{IntOrString, Map};
use client::{Event, Informer, Key, Queue};
use meta::selector::Selector;
use runtime::Runtime;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The selectors of all services, by namespace and name, so that an event of a pod decodes no services.
#[derive(Clone, Default)]
pub struct Selectors(Arc<Mutex<Namespaces>>);

type Namespaces = HashMap<String, HashMap<String, Selector>>;

impl Selectors {
    fn note(&self, e: &Event) {
        let key = e.key();
        let service: Option<Service> =
            if matches!(e, Event::Deleted(_)) { None } else { e.object().decode().ok() };
        let selector = service.and_then(|s| s.spec?.selector).filter(|m| !m.is_empty());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match selector {
            Some(m) => {
                all.entry(key.namespace).or_default().insert(key.name, map_selector(&m));
            }
            None => {
                if let Some(ns) = all.get_mut(&key.namespace) {
                    ns.remove(&key.name);
                    if ns.is_empty() {
                        all.remove(&key.namespace);
                    }
                }
            }
        }
    }
    /// The services that select a pod with these labels.
    fn selecting(&self, namespace: &str, label: impl Fn(&str) -> Option<String>) -> Vec<Key> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ns = all.get(namespace).into_iter().flatten();
        let hit = |s: &Selector| s.requirements.iter().all(|r| r.matches(label(&r.key).as_deref()));
        ns.filter(|(_, s)| hit(s)).map(|(name, _)| Key::new(namespace, name)).collect()
    }
    /// Wakes services when they or the pods they select change in a way that matters to endpoints.
    pub fn forward(
        &self,
        rt: &Runtime,
        services: &Informer<Service>,
        pods: &Informer<Pod>,
        queue: &Queue<Key>,
    ) {
        let me = self.clone();
        wake::forward(rt, services.raw(), queue, move |e| {
            me.note(e);
            vec![e.key()]
        });
        let me = self.clone();
        wake::forward(rt, pods.raw(), queue, move |e| me.for_pod(e));
    }
    fn for_pod(&self, e: &Event) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        for o in e.states() {
            for k in self.selecting(&o.header.namespace, |k| o.header.label(k).map(str::to_owned)) {
                if !keys.contains(&k) {
                    keys.push(k);
                }
            }
        }
        if keys.is_empty() {
            return keys;
        }
        if let Event::Updated { old, new } = e
            && old.header.labels == new.header.labels
            && let (Ok(a), Ok(b)) = (old.shared::<Pod>(), new.shared::<Pod>())
            && !matters(&a, &b)
        {
            keys.clear();
        }
        keys
    }
}

fn ips(p: &Pod) -> Vec<&str> {
    p.status.iter().flat_map(|s| s.pod_ips.iter().flatten()).map(|i| i.ip.as_str()).collect()
}

/// Whether a change of a pod changes its endpoints.
fn matters(a: &Pod, b: &Pod) -> bool {
    let host = |p: &Pod| p.spec.as_ref().map(|s| (s.hostname.clone(), s.subdomain.clone()));
    a.deleting() != b.deleting()
        || pods::is_ready(a) != pods::is_ready(b)
        || pods::is_terminal(a) != pods::is_terminal(b)
        || ips(a) != ips(b)
        || host(a) != host(b)
}

/// The addresses of a pod in one family, in canonical form.
pub fn addresses(p: &Pod, v6: bool) -> Vec<String> {
    ips(p)
        .into_iter()
        .filter_map(|i| i.parse::<IpAddr>().ok())
        .filter(|i| i.is_ipv6() == v6)
        .map(|i| i.to_string())
        .collect()
}

/// Whether a pod counts at all.
pub fn has_endpoint(p: &Pod, terminating_too: bool) -> bool {
    let ip = p.status.as_ref().and_then(|s| s.pod_ip.as_deref()).is_some_and(|i| !i.is_empty());
    !pods::is_terminal(p) && (ip || !ips(p).is_empty()) && (terminating_too || !p.deleting())
}

/// The host name that a headless service gives a pod.
pub fn hostname(p: &Pod, s: &Service) -> Option<String> {
    let spec = p.spec.as_ref()?;
    let name = spec.hostname.clone().filter(|h| !h.is_empty())?;
    (spec.subdomain.as_deref() == Some(s.name()) && p.namespace() == s.namespace()).then_some(name)
}

/// The pod's port behind a port of a service; a name is looked up in containers and restartable init containers.
pub fn find_port(p: &Pod, sp: &ServicePort) -> Option<i32> {
    let name = match &sp.target_port {
        None => return Some(sp.port),
        Some(IntOrString::Int(0)) => return Some(sp.port),
        Some(IntOrString::Int(n)) => return Some(*n),
        Some(IntOrString::String(name)) => name,
    };
    let spec = p.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let protocol = |p: &Option<String>| p.clone().unwrap_or_else(|| "TCP".into());
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|c| c.ports.iter().flatten())
        .find(|cp| cp.name.as_ref() == Some(name) && protocol(&cp.protocol) == protocol(&sp.protocol))
        .map(|cp| cp.container_port)
}

pub fn cluster_ip(s: &Service) -> &str {
    s.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()).unwrap_or_default()
}
pub fn has_cluster_ip(s: &Service) -> bool {
    !matches!(cluster_ip(s), "" | "None")
}
pub fn publishes_not_ready(s: &Service) -> bool {
    s.spec.as_ref().and_then(|s| s.publish_not_ready_addresses).unwrap_or(false)
}
/// The selector of a service whose endpoints a controller makes.
pub fn managed_selector(s: &Service) -> Option<&Map> {
    let spec = s.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref()
}

pub fn pod_ref(p: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        namespace: p.metadata.namespace.clone(),
        name: p.metadata.name.clone(),
        uid: p.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

pub fn zone(n: &Node) -> Option<String> {
    n.label("topology.kubernetes.io/zone").filter(|z| !z.is_empty()).map(str::to_owned)
}
