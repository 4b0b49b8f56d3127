//! Endpoints objects of services that have a selector (upstream `pkg/controller/endpoint`).

mod plan;

use crate::context::{Ctx, Error, is_namespace_terminating};
use crate::k8s::DeleteOptions;
use crate::k8s::core::{Endpoints, Pod, Service};
use crate::util::meta::{MetaExt, map_selector};
use crate::util::services::{Selectors, managed_selector};
use crate::util::trigger::{self, Triggers};
use crate::util::written::Written;
use client::{Informer, Key, Outcome, Queue, run_workers};
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 5;

struct Controller {
    ctx: Ctx,
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
    written: Written,
    triggers: Triggers,
}

pub async fn run(ctx: Ctx) {
    let me = Controller {
        services: ctx.informer(),
        pods: ctx.informer(),
        endpoints: ctx.informer(),
        written: Written::default(),
        triggers: Triggers::default(),
        ctx,
    };
    me.services.synced().await;
    me.pods.synced().await;
    me.endpoints.synced().await;
    let rt = me.ctx.rt.clone();
    let queue: Queue<Key> = Queue::new();
    Selectors::default().forward(&rt, &me.services, &me.pods, &queue);
    // Services that went while nobody looked leave endpoints behind. Those that are the lock of an old leader election
    // belong to no service.
    for o in me.endpoints.raw().list() {
        if !o.header.annotations.iter().any(|(k, _)| k == "control-plane.alpha.kubernetes.io/leader") {
            queue.add(o.key());
        }
    }
    crate::util::wake::forward(&rt, me.endpoints.raw(), &queue, |e| match e {
        client::Event::Deleted(_) => vec![e.key()],
        _ => Vec::new(),
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
        let c = &self.ctx.client;
        let current = self.endpoints.get(&key.namespace, &key.name);
        let Some(service) = self.services.get(&key.namespace, &key.name) else {
            self.written.forget(&key);
            self.triggers.forget(&key);
            if current.is_some_and(|e| e.annotation("control-plane.alpha.kubernetes.io/leader").is_none()) {
                match c.delete::<Endpoints>(key.ns(), &key.name, &DeleteOptions::default()).await {
                    Err(e) if !e.is_not_found() => return Err(e.into()),
                    _ => {}
                }
            }
            return Ok(Outcome::Done);
        };
        let Some(selector) = managed_selector(&service) else { return Ok(Outcome::Done) };
        if !self.written.seen(&key, self.endpoints.raw()) {
            return Ok(Outcome::After(Duration::from_secs(5)));
        }
        let pods = self.pods.select(&key.namespace, &map_selector(selector));
        let since = self.triggers.next(&service, &pods);
        let Some(mut new) = plan::plan(&service, &pods, current.as_ref()) else { return Ok(Outcome::Done) };
        trigger::mark(&mut new.metadata, since);
        let (result, reason, what) = if current.is_none() {
            (c.create(&new).await, "FailedToCreateEndpoint", "create endpoint for service")
        } else {
            (c.replace(&new).await, "FailedToUpdateEndpoint", "update endpoint")
        };
        match result {
            Ok(e) => {
                self.written.wrote(&key, e.version());
                Ok(Outcome::Done)
            }
            Err(e) if is_namespace_terminating(&e) => Ok(Outcome::Done),
            Err(e) => {
                self.ctx.events.warning(&new, reason, format!("Failed to {what} {key}: {e}"));
                Err(e.into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
