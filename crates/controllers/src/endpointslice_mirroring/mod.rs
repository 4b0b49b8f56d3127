//! EndpointSlices for Endpoints that somebody wrote by hand: those of services without a selector (upstream
//! `pkg/controller/endpointslicemirroring`).

mod plan;

use crate::context::{Ctx, Error, is_namespace_terminating};
use crate::k8s::DeleteOptions;
use crate::k8s::core::{Endpoints, Service};
use crate::k8s::discovery::EndpointSlice;
use crate::util::meta::MetaExt;
use crate::util::{wake, written::Written};
use client::{Informer, Key, Outcome, Queue, run_workers};
use meta::selector::Selector;
use plan::{MANAGED_BY, MANAGER, SERVICE_NAME};
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 5;

struct Controller {
    ctx: Ctx,
    endpoints: Informer<Endpoints>,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    written: Written,
}

pub async fn run(ctx: Ctx) {
    let me = Arc::new(Controller {
        endpoints: ctx.informer(),
        services: ctx.informer(),
        slices: ctx.informer(),
        written: Written::default(),
        ctx,
    });
    me.endpoints.synced().await;
    me.services.synced().await;
    me.slices.synced().await;
    let rt = me.ctx.rt.clone();
    let queue: Queue<Key> = Queue::new();
    wake::forward_self(&rt, me.endpoints.raw(), &queue);
    wake::forward_self(&rt, me.services.raw(), &queue);
    wake::forward(&rt, me.slices.raw(), &queue, |e| {
        let ours = e.states().filter(|o| o.header.label(MANAGED_BY) == Some(MANAGER));
        ours.filter_map(|o| Some(Key::new(&o.header.namespace, o.header.label(SERVICE_NAME)?))).collect()
    });
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        if !self.written.seen(&key, self.slices.raw()) {
            return Ok(Outcome::After(Duration::from_secs(5)));
        }
        let ours = Selector::from_map([(SERVICE_NAME, key.name.as_str()), (MANAGED_BY, MANAGER)]);
        let mut existing = self.slices.select(&key.namespace, &ours);
        existing.retain(|s| !s.deleting());
        let endpoints = self.endpoints.get(&key.namespace, &key.name).filter(plan::is_mirrored);
        let service = self.services.get(&key.namespace, &key.name);
        let by_hand = service.is_some_and(|s| s.spec.is_none_or(|s| s.selector.is_none()));
        let Some(e) = endpoints.filter(|_| by_hand) else {
            for s in &existing {
                self.delete(&key, s).await?;
            }
            if existing.is_empty() {
                self.written.forget(&key);
            }
            return Ok(Outcome::Done);
        };
        let plan = plan::plan(&e, existing);
        if plan.invalid > 0 {
            let text =
                format!("Skipped {} invalid IP addresses when mirroring to EndpointSlices", plan.invalid);
            self.ctx.events.warning(&e, "InvalidIPAddress", text);
        }
        if plan.skipped > plan.invalid {
            let text = format!(
                "A max of {} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses were skipped",
                plan::MAX,
                plan.skipped
            );
            self.ctx.events.warning(&e, "TooManyAddressesToMirror", text);
        }
        let c = &self.ctx.client;
        if !e.deleting() {
            for s in &plan.create {
                match c.create(s).await {
                    Ok(new) => self.written.wrote(&key, new.version()),
                    Err(e) if is_namespace_terminating(&e) => return Ok(Outcome::Done),
                    Err(e) => return Err(e.into()),
                }
            }
        }
        for s in &plan.update {
            self.written.wrote(&key, c.replace(s).await?.version());
        }
        for s in &plan.delete {
            self.delete(&key, s).await?;
        }
        Ok(Outcome::Done)
    }

    async fn delete(&self, key: &Key, s: &EndpointSlice) -> Result<(), Error> {
        match self.ctx.client.delete::<EndpointSlice>(s.ns(), s.name(), &DeleteOptions::default()).await {
            Err(e) if !e.is_not_found() => return Err(e.into()),
            _ => self.written.deleted(key, s.uid(), s.key()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use meta::object::ObjectExt;
    use serde_json::{Value, json};

    #[tokio::test(start_paused = true)]
    async fn mirrors() {
        let c = Cluster::start(&["endpointslice-mirroring-controller"]).await;
        let service = |selector: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "ns"}, "spec": {"selector": selector}});
        c.api.seed("services", service(Value::Null));
        c.api.seed("endpoints", json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "s", "namespace": "ns", "labels": {"a": "b"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x", "own": "y"}},
            "subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "notReadyAddresses": [{"ip": "10.0.0.2", "nodeName": "n"}],
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]}));
        c.settle().await;
        let show = || {
            let mut all: Vec<String> = c
                .api
                .objects("discovery.k8s.io", "endpointslices")
                .iter()
                .map(|s| {
                    let e: Vec<_> = s
                        .array_at("endpoints")
                        .iter()
                        .map(|e| {
                            format!("{}={}", e["addresses"][0].as_str().unwrap(), e["conditions"]["ready"])
                        })
                        .collect();
                    format!("{} {} {}", s.str_at("addressType"), e.join(","), s["ports"][0]["port"])
                })
                .collect();
            all.sort();
            all
        };
        assert_eq!(show(), ["IPv4 10.0.0.1=true,10.0.0.2=false 80", "IPv6 fd00::1=true 80"]);
        let one = c.api.objects("discovery.k8s.io", "endpointslices")[0].clone();
        assert_eq!(one["metadata"]["annotations"], json!({"own": "y"}));
        assert_eq!(
            one.label("endpointslice.kubernetes.io/managed-by"),
            Some("endpointslicemirroring-controller.k8s.io")
        );
        let before = c.api.objects("discovery.k8s.io", "endpointslices");
        c.patch(
            "",
            "endpoints",
            "ns",
            "s",
            json!({"metadata": {"annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "now"}}}),
        );
        c.settle().await;
        assert_eq!(c.api.objects("discovery.k8s.io", "endpointslices"), before, "nothing to write");
        c.patch("", "endpoints", "ns", "s", json!({"subsets": [{"addresses": [{"ip": "10.0.0.3"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]}));
        c.settle().await;
        assert_eq!(show(), ["IPv4 10.0.0.3=true 80"]);
        c.patch("", "services", "ns", "s", json!({"spec": {"selector": {"app": "x"}}}));
        c.settle().await;
        assert!(show().is_empty());
    }
}
