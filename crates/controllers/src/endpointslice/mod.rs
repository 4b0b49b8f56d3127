//! EndpointSlices of services that have a selector (upstream `pkg/controller/endpointslice` and `k8s.io/endpointslice`).

mod hints;
pub mod plan;

use crate::context::{Ctx, Error, is_namespace_terminating};
use crate::k8s::DeleteOptions;
use crate::k8s::core::{Node, Pod, Service};
use crate::k8s::discovery::EndpointSlice;
use crate::util::meta::{MetaExt, map_selector};
use crate::util::services::{Selectors, managed_selector, zone};
use crate::util::trigger::{self, Triggers};
use crate::util::{wake, written::Written};
use client::{Informer, Key, Outcome, Queue, run_workers};
use meta::selector::Selector;
use plan::{Input, MANAGED_BY, MANAGER, SERVICE_NAME};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 5;

struct Controller {
    ctx: Ctx,
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
    written: Written,
    triggers: Triggers,
}

pub async fn run(ctx: Ctx) {
    let me = Controller {
        services: ctx.informer(),
        pods: ctx.informer(),
        nodes: ctx.informer(),
        slices: ctx.informer(),
        written: Written::default(),
        triggers: Triggers::default(),
        ctx,
    };
    me.services.synced().await;
    me.pods.synced().await;
    me.nodes.synced().await;
    me.slices.synced().await;
    let rt = me.ctx.rt.clone();
    let queue: Queue<Key> = Queue::new();
    Selectors::default().forward(&rt, &me.services, &me.pods, &queue);
    wake::forward(&rt, me.slices.raw(), &queue, |e| {
        let ours = e.states().filter(|o| o.header.label(MANAGED_BY) == Some(MANAGER));
        ours.filter_map(|o| Some(Key::new(&o.header.namespace, o.header.label(SERVICE_NAME)?))).collect()
    });
    let me = Arc::new(me);
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(service) = self.services.get(&key.namespace, &key.name) else {
            self.written.forget(&key);
            self.triggers.forget(&key);
            return Ok(Outcome::Done);
        };
        let Some(selector) = managed_selector(&service) else { return Ok(Outcome::Done) };
        if !self.written.seen(&key, self.slices.raw()) {
            return Ok(Outcome::After(Duration::from_secs(5)));
        }
        let pods = self.pods.select(&key.namespace, &map_selector(selector));
        let ours = Selector::from_map([(SERVICE_NAME, key.name.as_str()), (MANAGED_BY, MANAGER)]);
        let mut existing = self.slices.select(&key.namespace, &ours);
        existing.retain(|s| !s.deleting());
        let mut nodes: HashMap<String, Option<String>> = HashMap::new();
        for p in &pods {
            let name = crate::util::pods::node_name(p);
            if !nodes.contains_key(name)
                && let Some(n) = self.nodes.get("", name)
            {
                nodes.insert(name.to_owned(), zone(&n));
            }
        }
        let max = self.ctx.config.max_endpoints_per_slice;
        let since = self.triggers.next(&service, &pods);
        let mut plan = plan::plan(Input { service: &service, pods: &pods, nodes: &nodes, existing, max });
        plan.create.iter_mut().chain(&mut plan.update).for_each(|s| trigger::mark(&mut s.metadata, since));
        match self.act(&key, &service, plan).await {
            Ok(None) => Ok(Outcome::Done),
            Ok(Some(why)) | Err(why) => {
                let text = format!("Error updating Endpoint Slices for Service {key}: {why}");
                self.ctx.events.warning(&service, "FailedToUpdateEndpointSlices", text);
                Err(why)
            }
        }
    }

    /// Answers what was left out, to be tried again.
    async fn act(&self, key: &Key, service: &Service, plan: plan::Plan) -> Result<Option<Error>, Error> {
        let c = &self.ctx.client;
        if !service.deleting() {
            for s in &plan.create {
                match c.create(s).await {
                    Ok(new) => self.written.wrote(key, new.version()),
                    Err(e) if is_namespace_terminating(&e) => return Ok(None),
                    Err(e) => {
                        return Err(Error::other(format!(
                            "failed to create EndpointSlice for Service {key}: {e}"
                        )));
                    }
                }
            }
        }
        for s in &plan.update {
            let new = c.replace(s).await.map_err(|e| {
                Error::other(format!("failed to update {} EndpointSlice for Service {key}: {e}", s.name()))
            })?;
            self.written.wrote(key, new.version());
        }
        for s in &plan.delete {
            match c.delete::<EndpointSlice>(s.ns(), s.name(), &DeleteOptions::default()).await {
                Err(e) if !e.is_not_found() => {
                    let why = format!("failed to delete {} EndpointSlice for Service {key}: {e}", s.name());
                    return Err(Error::Other(why));
                }
                _ => self.written.deleted(key, s.uid(), s.key()),
            }
        }
        Ok(plan.skipped.map(Error::Other))
    }
}

#[cfg(test)]
mod tests;
