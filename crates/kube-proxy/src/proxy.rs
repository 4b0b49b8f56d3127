//! The loop: follow services and slices, keep the kernel's table as they say.

use crate::{conntrack, health, nft};
use client::informer::Event;
use client::{Client, Informer, InformerFactory, Key};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proxyplan::{Family, Model, Options, Ruleset};
use runtime::Runtime;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// After a change, so long is waited for more of them before the kernel is told.
const GATHER: Duration = Duration::from_millis(10);
const RETRY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct Config {
    pub options: Options,
    pub families: Vec<Family>,
}

struct Proxy {
    cfg: Config,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    /// What each service asks for, by family.
    parts: BTreeMap<Key, Vec<Model>>,
    /// What the kernel has; `None` when that is not known.
    applied: Option<Vec<(Model, Ruleset)>>,
    health: health::Ports,
}

/// Runs until the runtime stops. `kube-proxy` is ready once the first ruleset is in the kernel.
pub async fn run(cfg: Config, client: Client, rt: Runtime) {
    let factory = InformerFactory::new(client.transport.clone(), &rt);
    let (services, slices) = (factory.informer::<Service>(), factory.informer::<EndpointSlice>());
    slices.raw().add_index(
        "service",
        std::sync::Arc::new(|o| service_of(o).map(|k| k.to_string()).into_iter().collect()),
    );
    let node = factory.filtered::<Node>(client::ListWatch {
        field_selector: format!("metadata.name={}", cfg.options.node_name),
        ..client::ListWatch::default()
    });
    rt.ready.set("kube-proxy", Err("waiting for services".to_owned()));
    services.synced().await;
    slices.synced().await;
    node.synced().await;
    let mut p = Proxy {
        cfg,
        services,
        slices,
        parts: BTreeMap::new(),
        applied: None,
        health: health::Ports::default(),
    };
    p.set_zone(node.get("", &p.cfg.options.node_name));
    p.follow(node, &rt).await;
}

fn service_of(o: &client::RawObject) -> Option<Key> {
    o.header.label(SERVICE_NAME).map(|n| Key::new(&o.header.namespace, n))
}

impl Proxy {
    /// Takes over the node's zone; answers whether it changed.
    fn set_zone(&mut self, node: Option<Node>) -> bool {
        let zone = node
            .and_then(|n| n.metadata.labels)
            .and_then(|l| l.get("topology.kubernetes.io/zone").cloned())
            .unwrap_or_default();
        let changed = zone != self.cfg.options.zone;
        self.cfg.options.zone = zone;
        changed
    }

    async fn follow(&mut self, node: Informer<Node>, rt: &Runtime) {
        let (mut services, mut slices, mut nodes) =
            (self.services.subscribe(), self.slices.subscribe(), node.subscribe());
        loop {
            let mut dirty = BTreeSet::new();
            let mut all = false;
            let retry = async {
                match self.applied {
                    Some(_) => std::future::pending().await,
                    None if self.parts.is_empty() => tokio::time::sleep(GATHER).await,
                    None => tokio::time::sleep(RETRY).await,
                }
            };
            tokio::select! {
                e = services.next() => { dirty.insert(e.key()); }
                e = slices.next() => dirty.extend(touched(&e)),
                e = nodes.next() => all = self.set_zone(e.object().decode().ok()),
                () = retry => {}
                () = rt.stopping() => return,
            }
            tokio::time::sleep(GATHER).await;
            while let Some(e) = services.try_next() {
                dirty.insert(e.key());
            }
            while let Some(e) = slices.try_next() {
                dirty.extend(touched(&e));
            }
            if all {
                dirty.extend(self.parts.keys().cloned());
            }
            for k in dirty {
                self.refresh(&k);
            }
            match self.apply(rt).await {
                Ok(()) => rt.ready.set("kube-proxy", Ok(())),
                Err(e) => {
                    tracing::error!("cannot program services: {e}; trying the whole table again");
                    rt.ready.set("kube-proxy", Err(e.to_string()));
                    self.applied = None;
                }
            }
        }
    }

    fn refresh(&mut self, k: &Key) {
        let Some(s) = self.services.get(&k.namespace, &k.name) else {
            self.parts.remove(k);
            return;
        };
        let slices = self.slices.by_index("service", &k.to_string());
        let services = [s];
        let o = &self.cfg.options;
        let part = self.cfg.families.iter().map(|f| proxyplan::model(&services, &slices, *f, o)).collect();
        self.parts.insert(k.clone(), part);
    }

    async fn apply(&mut self, rt: &Runtime) -> Result<(), nft::Error> {
        let mut next = Vec::new();
        for (i, family) in self.cfg.families.iter().enumerate() {
            let mut whole = Model::default();
            for m in self.parts.values().filter_map(|p| p.get(i)) {
                whole.frontends.extend(m.frontends.iter().map(|(k, f)| (k.clone(), f.clone())));
                whole.local.extend(&m.local);
                whole.health.extend(m.health.iter().map(|(k, v)| (*k, v.clone())));
            }
            let rules = proxyplan::ruleset(&whole, *family, &self.cfg.options);
            let script = match self.applied.as_ref().and_then(|a| a.get(i)) {
                Some((_, old)) => proxyplan::diff(old, &rules),
                None => proxyplan::full(&rules, &self.cfg.options),
            };
            if !script.is_empty() {
                nft::run(&script).await?;
            }
            next.push((whole, rules));
        }
        for (i, (model, _)) in next.iter().enumerate() {
            let nothing = Model::default();
            let old = self.applied.as_ref().and_then(|a| a.get(i)).map_or(&nothing, |(m, _)| m);
            conntrack::forget(&conntrack::stale(old, model)).await;
            self.health.follow(model, rt);
        }
        self.applied = Some(next);
        Ok(())
    }
}

/// The services that a change of a slice concerns: the one it is of, and the one it was of.
fn touched(e: &Event) -> Vec<Key> {
    e.states().filter_map(service_of).collect()
}
