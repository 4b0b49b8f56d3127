//! Publishes the cluster's root certificate to every namespace, as ConfigMap `kube-root-ca.crt`
//! (upstream `pkg/controller/certificates/rootcacertpublisher`).

use crate::context::{Ctx, Error};
use crate::k8s::core::{ConfigMap, Namespace};
use crate::k8s::{Map, ObjectMeta};
use crate::util::wake;
use client::{Informer, Key, Outcome, Queue, run_workers};

const NAME: &str = "kube-root-ca.crt";
const FIELD: &str = "ca.crt";
const ANNOTATION: (&str, &str) = (
    "kubernetes.io/description",
    "The certificates that API server addresses inside the cluster are verified with.",
);

pub async fn run(ctx: Ctx) {
    if ctx.config.root_ca.is_empty() {
        return;
    }
    let (namespaces, maps) = (ctx.informer::<Namespace>(), ctx.informer::<ConfigMap>());
    namespaces.synced().await;
    maps.synced().await;
    let queue: Queue<Key> = Queue::new();
    wake::forward_self(&ctx.rt, namespaces.raw(), &queue);
    wake::forward(&ctx.rt, maps.raw(), &queue, |e| {
        let o = e.object();
        if o.header.name == NAME { vec![Key::new("", &o.header.namespace)] } else { Vec::new() }
    });
    let rt = ctx.rt.clone();
    let name = ctx.name;
    run_workers(&rt, name, 1, &queue, move |key| {
        let (ctx, namespaces, maps) = (ctx.clone(), namespaces.clone(), maps.clone());
        async move { sync(&ctx, &namespaces, &maps, &key.name).await }
    });
    rt.stopping().await;
}

async fn sync(
    ctx: &Ctx,
    namespaces: &Informer<Namespace>,
    maps: &Informer<ConfigMap>,
    namespace: &str,
) -> Result<Outcome, Error> {
    if namespaces.raw().get("", namespace).is_none_or(|n| n.header.deleting) {
        return Ok(Outcome::Done);
    }
    let data = Map::from([(FIELD.to_owned(), ctx.config.root_ca.clone())]);
    let description = (ANNOTATION.0.to_owned(), ANNOTATION.1.to_owned());
    let done = match maps.get(namespace, NAME) {
        None => {
            let metadata = ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.to_owned()),
                annotations: Some(Map::from([description])),
                ..ObjectMeta::default()
            };
            ctx.client.create(&ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }).await
        }
        Some(m) if m.data.as_ref() == Some(&data) => return Ok(Outcome::Done),
        Some(mut m) => {
            m.data = Some(data);
            m.metadata.annotations.get_or_insert_default().extend([description]);
            ctx.client.replace(&m).await
        }
    };
    match done {
        Ok(_) => Ok(Outcome::Done),
        Err(e) if e.is_already_exists() || e.is_not_found() => Ok(Outcome::Done),
        Err(e) => {
            let e = Error::from(e);
            if e.namespace_terminating() { Ok(Outcome::Done) } else { Err(e) }
        }
    }
}
