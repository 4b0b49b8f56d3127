//! Keeping the zone as the Services and EndpointSlices say.

use crate::server::Shared;
use client::{Client, InformerFactory, Key, RawObject};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use runtime::Runtime;
use std::collections::BTreeSet;
use std::sync::Arc;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

fn service_of(o: &RawObject) -> Option<Key> {
    o.header.label(SERVICE_NAME).map(|n| Key::new(&o.header.namespace, n))
}

pub async fn run(shared: Arc<Shared>, client: Client, rt: Runtime) {
    let factory = InformerFactory::new(client.transport.clone(), &rt);
    let (services, slices) = (factory.informer::<Service>(), factory.informer::<EndpointSlice>());
    let namespaces = factory.informer::<Namespace>();
    slices
        .raw()
        .add_index("service", Arc::new(|o| service_of(o).map(|k| k.to_string()).into_iter().collect()));
    rt.ready.set("kube-dns", Err("waiting for services".to_owned()));
    services.synced().await;
    slices.synced().await;
    namespaces.synced().await;
    let (mut by_service, mut by_slice, mut by_namespace) =
        (services.subscribe(), slices.subscribe(), namespaces.subscribe());
    loop {
        let mut dirty: BTreeSet<Key> = BTreeSet::new();
        let (mut s, mut e, mut n) = (None, None, None);
        tokio::select! {
            x = by_service.next() => s = Some(x),
            x = by_slice.next() => e = Some(x),
            x = by_namespace.next() => n = Some(x),
        }
        while let Some(x) = s.or_else(|| by_service.try_next()) {
            dirty.insert(x.key());
            s = None;
        }
        while let Some(x) = e.or_else(|| by_slice.try_next()) {
            dirty.extend(x.states().filter_map(service_of));
            e = None;
        }
        while let Some(x) = n.or_else(|| by_namespace.try_next()) {
            let exists = !matches!(x, client::Event::Deleted(_));
            shared.change(|zone| zone.set_namespace(&x.key().name, exists));
            n = None;
        }
        for k in dirty {
            let service = services.get(&k.namespace, &k.name);
            let slices = slices.by_index("service", &k.to_string());
            shared.change(|zone| zone.set(&k.namespace, &k.name, service.as_ref(), &slices));
        }
        rt.ready.set("kube-dns", Ok(()));
    }
}
