//! The loop of network policies: follow them, the pods and the namespaces; keep the node's table as they say.
//!
//! A cluster without policies costs a node nothing: pods and namespaces are followed from the first policy on, and no
//! more after the last one.

use crate::nft;
use client::{Client, Event, Informer, InformerFactory, ListWatch};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use policyplan::{Cluster, Pod, Policy, Protocol, Ruleset};
use runtime::Runtime;
use std::time::Duration;

/// After a change, so long is waited for more of them.
const GATHER: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_secs(2);

/// What is followed while there are policies.
struct Watched {
    pod_events: client::Subscription,
    namespace_events: client::Subscription,
    dns: Informer<EndpointSlice>,
    dns_events: client::Subscription,
}

impl Watched {
    async fn begin(factory: &InformerFactory) -> Self {
        let (pods, namespaces) = (factory.informer::<core::Pod>(), factory.informer::<core::Namespace>());
        let dns = factory.filtered::<EndpointSlice>(ListWatch {
            namespace: "kube-system".into(),
            label_selector: "kubernetes.io/service-name=kube-dns".into(),
            ..ListWatch::default()
        });
        pods.synced().await;
        namespaces.synced().await;
        dns.synced().await;
        let (pod_events, namespace_events) = (pods.subscribe(), namespaces.subscribe());
        Self { pod_events, namespace_events, dns_events: dns.subscribe(), dns }
    }
}

/// The endpoints of cluster DNS that are no pods: keelson's own DNS, which policies cannot choose by labels.
fn dns_endpoints(slices: &[EndpointSlice]) -> Vec<(std::net::IpAddr, Protocol, u16)> {
    let mut out = Vec::new();
    for s in slices {
        for e in s.endpoints.iter().flatten().filter(|e| e.target_ref.is_none()) {
            for ip in e.addresses.iter().filter_map(|a| a.parse().ok()) {
                for p in s.ports.iter().flatten() {
                    if let Some(n) = p.port.and_then(|n| u16::try_from(n).ok()) {
                        out.push((ip, Protocol::parse(p.protocol.as_deref()), n));
                    }
                }
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

struct State {
    node: String,
    families: Vec<bool>,
    cluster: Cluster,
    watched: Option<Watched>,
    /// What the kernel has, by family; `None` when that is not known, no rules when it has no table.
    applied: Option<Vec<Option<Ruleset>>>,
}

/// Runs until the runtime stops. `families`: whether each is IPv6.
pub async fn run(node: String, families: Vec<bool>, client: Client, rt: Runtime) {
    let factory = InformerFactory::new(client.transport.clone(), &rt);
    let policies = factory.informer::<NetworkPolicy>();
    policies.synced().await;
    let mut policy_events = policies.subscribe();
    let mut s = State { node, families, cluster: Cluster::default(), watched: None, applied: None };
    loop {
        let retry = async {
            match s.applied {
                Some(_) => std::future::pending().await,
                None => tokio::time::sleep(RETRY).await,
            }
        };
        let (mut policy, mut pod, mut namespace, mut dns) = (None, None, None, false);
        match &mut s.watched {
            None => tokio::select! {
                e = policy_events.next() => policy = Some(e),
                () = retry => {}
                () = rt.stopping() => return,
            },
            Some(w) => tokio::select! {
                e = policy_events.next() => policy = Some(e),
                e = w.pod_events.next() => pod = Some(e),
                e = w.namespace_events.next() => namespace = Some(e),
                _ = w.dns_events.next() => dns = true,
                () = retry => {}
                () = rt.stopping() => return,
            },
        }
        tokio::time::sleep(GATHER).await;
        let mut dirty = s.applied.is_none();
        while let Some(e) = policy.or_else(|| policy_events.try_next()) {
            s.policy(&e);
            dirty = true;
            policy = None;
        }
        if s.cluster.policies.is_empty() {
            s.watched = None;
            s.cluster = Cluster::default();
        } else if s.watched.is_none() {
            // What is there already comes as events, all of it at once.
            s.watched = Some(Watched::begin(&factory).await);
        }
        if let Some(w) = &mut s.watched {
            let c = &mut s.cluster;
            while let Some(e) = pod.or_else(|| w.pod_events.try_next()) {
                dirty |= pod_event(c, &s.node, &e);
                pod = None;
            }
            while let Some(e) = namespace.or_else(|| w.namespace_events.try_next()) {
                dirty |= namespace_event(c, &e);
                namespace = None;
            }
            while w.dns_events.try_next().is_some() {
                dns = true;
            }
            if dns {
                let now = dns_endpoints(&w.dns.list());
                dirty |= now != c.dns;
                c.dns = now;
            }
        }
        if dirty && let Err(e) = s.apply().await {
            tracing::error!("cannot enforce network policies: {e}; trying the whole table again");
            s.applied = None;
        }
    }
}

fn pod_event(c: &mut Cluster, node: &str, e: &Event) -> bool {
    let key = e.key().to_string();
    let now = match e {
        Event::Deleted(_) => None,
        e => e.object().decode::<core::Pod>().ok().and_then(|p| Pod::of(&p, node)),
    };
    match now {
        None => c.pods.remove(&key).is_some(),
        Some(p) if c.pods.get(&key) == Some(&p) => false,
        Some(p) => {
            c.pods.insert(key, p);
            true
        }
    }
}

fn namespace_event(c: &mut Cluster, e: &Event) -> bool {
    let name = e.key().name;
    match e {
        Event::Deleted(_) => c.namespaces.remove(&name).is_some(),
        e => {
            let labels = e.object().decode::<core::Namespace>().ok().and_then(|n| n.metadata.labels);
            let labels = labels.unwrap_or_default();
            c.namespaces.insert(name, labels.clone()) != Some(labels)
        }
    }
}

impl State {
    fn policy(&mut self, e: &Event) {
        let key = e.key().to_string();
        match e {
            Event::Deleted(_) => drop(self.cluster.policies.remove(&key)),
            e => match e.object().decode::<NetworkPolicy>() {
                Ok(p) => drop(self.cluster.policies.insert(key, Policy::of(&p))),
                Err(e) => tracing::error!("the network policy {key} cannot be read: {e}"),
            },
        }
    }

    async fn apply(&mut self) -> Result<(), nft::Error> {
        let mut next = Vec::new();
        for (i, v6) in self.families.iter().enumerate() {
            let want = (!self.cluster.policies.is_empty()).then(|| policyplan::ruleset(&self.cluster, *v6));
            let script = match (self.applied.as_ref().and_then(|a| a.get(i)), &want) {
                (Some(None), None) => String::new(),
                (_, None) => policyplan::none(*v6),
                (Some(Some(old)), Some(new)) => policyplan::diff(old, new),
                (_, Some(new)) => policyplan::full(new),
            };
            if !script.is_empty() {
                nft::run(&script).await?;
            }
            next.push(want);
        }
        self.applied = Some(next);
        Ok(())
    }
}
