//! The loop: follow services and slices, keep the kernel's table as they say.

use crate::status::Status;
use crate::{conntrack, health, nft};
use client::informer::Event;
use client::{Client, Informer, InformerFactory, Key};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proxyplan::{Family, Model, Options, State};
use runtime::Runtime;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The kernel is told of a change at once, but not again before so long: meanwhile changes are gathered.
const GATHER: Duration = Duration::from_millis(10);
const RETRY: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct Config {
    pub options: Options,
    pub families: Vec<Family>,
    /// Where `/healthz` and `/livez` are served; `None`: nowhere.
    pub healthz: Option<SocketAddr>,
    /// Where `/metrics` and `/proxyMode` are served; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
}

struct Proxy {
    cfg: Config,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    /// What the services ask for, by family.
    states: Vec<State>,
    /// What changed since the kernel was last told, by family: the parts that were, and that are.
    pending: Vec<(Model, Model)>,
    /// Whether the kernel has what the states say, but for what is pending.
    known: bool,
    health: health::Ports,
    status: Arc<Status>,
}

/// Runs until the runtime stops. `kube-proxy` is ready once the first ruleset is in the kernel.
pub async fn run(cfg: Config, client: Client, rt: Runtime) {
    let factory = InformerFactory::new(client.transport.clone(), &rt);
    let (services, slices) = (factory.informer::<Service>(), factory.informer::<EndpointSlice>());
    slices
        .raw()
        .add_index("service", Arc::new(|o| service_of(o).map(|k| k.to_string()).into_iter().collect()));
    let node = factory.filtered::<Node>(client::ListWatch {
        field_selector: format!("metadata.name={}", cfg.options.node_name),
        ..client::ListWatch::default()
    });
    rt.ready.set("kube-proxy", Err("waiting for services".to_owned()));
    services.synced().await;
    slices.synced().await;
    node.synced().await;
    let status = Arc::new(Status::new(rt.clock.clone()));
    for at in cfg.healthz.iter().chain(&cfg.metrics) {
        health::own(*at, status.clone(), &rt);
    }
    let states = vec![State::default(); cfg.families.len()];
    let mut p = Proxy {
        services,
        slices,
        states,
        pending: Vec::new(),
        known: false,
        health: health::Ports::default(),
        status,
        cfg,
    };
    p.set_node(node.get("", &p.cfg.options.node_name));
    p.follow(node, &rt).await;
}

fn service_of(o: &client::RawObject) -> Option<Key> {
    o.header.label(SERVICE_NAME).map(|n| Key::new(&o.header.namespace, n))
}

impl Proxy {
    /// Takes over the node's zone; answers whether it changed.
    fn set_node(&mut self, node: Option<Node>) -> bool {
        self.status.node(node.as_ref());
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
        let (mut first, mut told) = (true, None::<Instant>);
        loop {
            let mut dirty = BTreeSet::new();
            let mut all = false;
            let retry = async {
                match self.known {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(if first { GATHER } else { RETRY }).await,
                }
            };
            tokio::select! {
                e = services.next() => { dirty.insert(e.key()); }
                e = slices.next() => dirty.extend(touched(&e)),
                e = nodes.next() => all = self.set_node(e.object().decode().ok()),
                () = retry => {}
                () = rt.stopping() => return,
            }
            first = false;
            self.status.queued();
            if let Some(at) = told {
                tokio::time::sleep_until(at + GATHER).await;
            }
            while let Some(e) = services.try_next() {
                dirty.insert(e.key());
            }
            while let Some(e) = slices.try_next() {
                dirty.extend(touched(&e));
            }
            while let Some(e) = nodes.try_next() {
                all |= self.set_node(e.object().decode().ok());
            }
            if all {
                let names = self.services.raw().list();
                dirty.extend(names.iter().map(client::RawObject::key));
            }
            self.refresh(dirty);
            let applied = self.apply(rt).await;
            told = Some(Instant::now());
            match applied {
                Ok(()) => rt.ready.set("kube-proxy", Ok(())),
                Err(e) => {
                    tracing::error!("cannot program services: {e}; trying the whole table again");
                    rt.ready.set("kube-proxy", Err(e.to_string()));
                    self.status.failed();
                    self.known = false;
                }
            }
        }
    }

    /// Works out anew what these services ask for.
    fn refresh(&mut self, dirty: BTreeSet<Key>) {
        let mut changes: Vec<Vec<(String, Model)>> = vec![Vec::new(); self.states.len()];
        for k in dirty {
            let service: Vec<Service> = self.services.get(&k.namespace, &k.name).into_iter().collect();
            let slices =
                if service.is_empty() { Vec::new() } else { self.slices.by_index("service", &k.to_string()) };
            for (family, list) in self.cfg.families.iter().zip(&mut changes) {
                let m = proxyplan::model(&service, &slices, *family, &self.cfg.options);
                list.push((k.to_string(), m));
            }
        }
        let states = self.states.iter_mut().zip(changes);
        self.pending = if self.known {
            states.map(|(s, c)| s.change(c)).collect()
        } else {
            // The table is made anew: what changed does not matter.
            states.for_each(|(s, c)| s.set_all(c));
            Vec::new()
        };
    }

    async fn apply(&mut self, rt: &Runtime) -> Result<(), nft::Error> {
        let (begun, full) = (Instant::now(), !self.known);
        let (o, mut flows) = (&self.cfg.options, 0);
        let mut pending = std::mem::take(&mut self.pending).into_iter();
        for (family, state) in self.cfg.families.iter().zip(&self.states) {
            let rules = |m: &Model| proxyplan::ruleset(m, *family, o);
            // After a table made anew nobody knows which flows were missed: all are looked at.
            let (old, new) = match pending.next() {
                Some(change) if !full => change,
                _ => (Model::default(), state.whole()),
            };
            let script = if full {
                proxyplan::full(&rules(&new), o)
            } else {
                proxyplan::diff(&rules(&old), &rules(&new))
            };
            if !script.is_empty() {
                nft::run(&script).await?;
            }
            flows += conntrack::forget(&old, &new, *family == Family::V6).await;
        }
        self.known = true;
        let mut health = std::collections::BTreeMap::new();
        for (port, (name, local)) in self.states.iter().flat_map(|s| &s.health) {
            let sum: &mut (String, usize) = health.entry(*port).or_insert_with(|| (name.clone(), 0));
            sum.1 = sum.1.max(*local);
        }
        self.health.follow(&health, &self.status, rt);
        let services = self.states.first().map_or(0, State::len);
        self.status.synced(begun.elapsed().as_secs_f64(), full, services, flows);
        Ok(())
    }
}

/// The services that a change of a slice concerns: the one it is of, and the one it was of.
fn touched(e: &Event) -> Vec<Key> {
    e.states().filter_map(service_of).collect()
}
