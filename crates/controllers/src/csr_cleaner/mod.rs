//! Deletes certificate requests that are done with (upstream `pkg/controller/certificates/cleaner`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::DeleteOptions;
use crate::k8s::certificates::CertificateSigningRequest;
use crate::util::meta::MetaExt;
use crate::util::wake;
use client::{Key, Outcome, Queue, run_workers};

pub async fn run(ctx: Ctx) {
    let requests = ctx.informer::<CertificateSigningRequest>();
    let queue: Queue<Key> = Queue::new();
    requests.synced().await;
    wake::forward_self(&ctx.rt, requests.raw(), &queue);
    let rt = ctx.rt.clone();
    run_workers(&rt, ctx.name, 1, &queue, move |key| {
        let (requests, ctx) = (requests.clone(), ctx.clone());
        async move {
            let Some(csr) = requests.get("", &key.name) else { return Ok::<_, Error>(Outcome::Done) };
            match plan::when(&csr, ctx.now()) {
                plan::When::Never => Ok(Outcome::Done),
                plan::When::In(d) => Ok(Outcome::After(d)),
                plan::When::Now(why) => {
                    tracing::info!(csr = csr.name(), "deleting a certificate request: {why}");
                    match ctx
                        .client
                        .delete::<CertificateSigningRequest>(None, csr.name(), &DeleteOptions::default())
                        .await
                    {
                        Err(e) if !e.is_not_found() => Err(e.into()),
                        _ => Ok(Outcome::Done),
                    }
                }
            }
        }
    });
    rt.stopping().await;
}
