//! ServiceCIDRs: ready, and kept while addresses need them (upstream `pkg/controller/servicecidrs`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::networking::{IPAddress, ServiceCIDR};
use crate::util::claim::release_finalizer_patch;
use crate::util::meta::MetaExt;
use crate::util::wake;
use client::{Event, Informer, Key, Outcome, PatchKind, Queue, run_workers};
use plan::Step;
use serde_json::{Value, json};
use std::sync::Arc;

const MANAGER: &str = "service-cidr-controller";
pub const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

struct Controller {
    ctx: Ctx,
    cidrs: Informer<ServiceCIDR>,
    addresses: Informer<IPAddress>,
}

pub async fn run(ctx: Ctx) {
    let (cidrs, addresses) = (ctx.informer::<ServiceCIDR>(), ctx.informer::<IPAddress>());
    let queue: Queue<Key> = Queue::new();
    cidrs.synced().await;
    addresses.synced().await;
    let rt = ctx.rt.clone();
    let all = cidrs.clone();
    wake::forward(&rt, cidrs.raw(), &queue, move |e| {
        let mut keys = vec![e.key()];
        // Another one may let an older one go.
        if matches!(e, Event::Added(_)) {
            keys.extend(all.raw().list().iter().filter(|c| c.header.deleting).map(client::RawObject::key));
        }
        keys
    });
    let all = cidrs.clone();
    wake::forward(&rt, addresses.raw(), &queue, move |e| match e {
        Event::Updated { .. } => Vec::new(),
        _ => all.raw().list().iter().filter(|c| c.header.deleting).map(client::RawObject::key).collect(),
    });
    let me = Arc::new(Controller { ctx, cidrs, addresses });
    run_workers(&rt, me.ctx.name, 5, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(cidr) = self.cidrs.get("", &key.name) else { return Ok(Outcome::Done) };
        let (all, now) = (self.cidrs.list(), self.ctx.now());
        match plan::step(&cidr, &all, || self.addresses.list(), now) {
            Step::Wait(d) => Ok(Outcome::After(d)),
            Step::Release => {
                if cidr.has_finalizer(FINALIZER) {
                    self.patch(&cidr, release_finalizer_patch(FINALIZER)).await?;
                }
                Ok(Outcome::Done)
            }
            Step::Keep(condition) => self.condition(&cidr, condition).await,
            Step::Serve(condition) => {
                if !cidr.has_finalizer(FINALIZER) {
                    self.patch(&cidr, json!({"metadata": {"finalizers": [FINALIZER]}})).await?;
                }
                let r = self.condition(&cidr, condition).await;
                if r.is_err() {
                    let text = "The ServiceCIDR Status can not be set to Ready=True";
                    self.ctx.events.warning(&cidr, "KubernetesServiceCIDRError", text);
                }
                r
            }
        }
    }

    async fn patch(&self, cidr: &ServiceCIDR, patch: Value) -> Result<(), Error> {
        match self.ctx.client.patch::<ServiceCIDR>(None, cidr.name(), "", PatchKind::Strategic, &patch).await
        {
            Err(e) if !e.is_not_found() => Err(e.into()),
            _ => Ok(()),
        }
    }

    async fn condition(&self, cidr: &ServiceCIDR, condition: Option<Value>) -> Result<Outcome, Error> {
        let Some(condition) = condition else { return Ok(Outcome::Done) };
        let apply = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": cidr.name()}, "status": {"conditions": [condition]}});
        let client = self.ctx.client.clone().named(MANAGER);
        client.patch::<ServiceCIDR>(None, cidr.name(), "status", PatchKind::Apply, &apply).await?;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use meta::object::ObjectExt;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn is_ready_and_kept_while_needed() {
        let c = Cluster::start(&["service-cidr-controller"]).await;
        let cidr = |name: &str, cidrs: &[&str]| {
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": name},
                "spec": {"cidrs": cidrs}})
        };
        c.api.seed("servicecidrs", cidr("a", &["10.0.0.0/24"]));
        c.api.seed(
            "ipaddresses",
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": "10.0.0.7",
                "labels": {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}},
                "spec": {"parentRef": {"name": "s", "resource": "services"}}}),
        );
        c.settle().await;
        let get = || c.api.object("networking.k8s.io", "servicecidrs", "", "a");
        let ready = || get().unwrap().array_at("status.conditions")[0].str_at("status").to_owned();
        assert_eq!(ready(), "True");
        assert_eq!(get().unwrap().finalizers(), [super::FINALIZER]);
        let client = client::Client::new(std::sync::Arc::new(c.api.clone()));
        client.delete::<crate::k8s::networking::ServiceCIDR>(None, "a", &Default::default()).await.unwrap();
        c.settle().await;
        assert_eq!(ready(), "False");
        // A larger one takes the address over.
        c.api.seed("servicecidrs", cidr("b", &["10.0.0.0/16"]));
        c.advance(20).await;
        assert!(get().is_none());
    }
}
