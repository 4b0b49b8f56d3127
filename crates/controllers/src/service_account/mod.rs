//! Each namespace has its ServiceAccount `default` (upstream `pkg/controller/serviceaccount/serviceaccounts_controller.go`).

use crate::context::{Ctx, Error};
use crate::k8s::ObjectMeta;
use crate::k8s::core::{Namespace, ServiceAccount};
use crate::util::wake;
use client::{Event, Informer, Key, Outcome, Queue, run_workers};

const NAME: &str = "default";

pub async fn run(ctx: Ctx) {
    let (namespaces, accounts) = (ctx.informer::<Namespace>(), ctx.informer::<ServiceAccount>());
    namespaces.synced().await;
    accounts.synced().await;
    let queue: Queue<Key> = Queue::new();
    wake::forward_self(&ctx.rt, namespaces.raw(), &queue);
    wake::forward(&ctx.rt, accounts.raw(), &queue, |e| match e {
        Event::Deleted(o) if o.header.name == NAME => vec![Key::new("", &o.header.namespace)],
        _ => Vec::new(),
    });
    let rt = ctx.rt.clone();
    let name = ctx.name;
    run_workers(&rt, name, 1, &queue, move |key| {
        let (ctx, namespaces, accounts) = (ctx.clone(), namespaces.clone(), accounts.clone());
        async move { sync(&ctx, &namespaces, &accounts, &key.name).await }
    });
    rt.stopping().await;
}

async fn sync(
    ctx: &Ctx,
    namespaces: &Informer<Namespace>,
    accounts: &Informer<ServiceAccount>,
    namespace: &str,
) -> Result<Outcome, Error> {
    let alive = namespaces.raw().get("", namespace).is_some_and(|n| !n.header.deleting);
    if !alive || accounts.raw().get(namespace, NAME).is_some() {
        return Ok(Outcome::Done);
    }
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    match ctx.client.create(&account).await {
        Ok(_) => Ok(Outcome::Done),
        Err(e) if e.is_already_exists() || e.is_not_found() => Ok(Outcome::Done),
        Err(e) => {
            let e = Error::from(e);
            if e.namespace_terminating() { Ok(Outcome::Done) } else { Err(e) }
        }
    }
}
