//! Deletes PodCertificateRequests after a quarter of an hour: whoever made them is done with them by then (upstream
//! `pkg/controller/certificates/cleaner/pcrcleaner.go`).

use crate::context::{Ctx, Error};
use crate::k8s::certificates::PodCertificateRequest;
use crate::k8s::{DeleteOptions, Preconditions};
use crate::util::meta::MetaExt;
use crate::util::wake;
use client::{Key, Outcome, Queue, run_workers};
use std::time::Duration;

const KEEP: i64 = 15 * 60;

pub async fn run(ctx: Ctx) {
    let requests = ctx.informer::<PodCertificateRequest>();
    let queue: Queue<Key> = Queue::new();
    requests.synced().await;
    wake::forward_self(&ctx.rt, requests.raw(), &queue);
    let rt = ctx.rt.clone();
    run_workers(&rt, ctx.name, 1, &queue, move |key| {
        let (ctx, requests) = (ctx.clone(), requests.clone());
        async move {
            let Some(r) = requests.get(&key.namespace, &key.name) else {
                return Ok::<_, Error>(Outcome::Done);
            };
            let now = ctx.now().as_second();
            let left = r.created().map_or(now, |t| t.as_second()) + KEEP - now;
            if let Ok(left @ 1..) = u64::try_from(left) {
                return Ok(Outcome::After(Duration::from_secs(left)));
            }
            let options = DeleteOptions {
                preconditions: Some(Preconditions { uid: Some(r.uid().to_owned()), resource_version: None }),
                ..DeleteOptions::default()
            };
            match ctx.client.delete::<PodCertificateRequest>(r.ns(), r.name(), &options).await {
                Err(e) if !e.is_not_found() => Err(e.into()),
                _ => Ok(Outcome::Done),
            }
        }
    });
    rt.stopping().await;
}

#[cfg(test)]
mod tests {
    use crate::testing::{Cluster, START};
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn deletes_old_ones() {
        let c = Cluster::start(&["podcertificaterequest-cleaner-controller"]).await;
        c.api.seed(
            "podcertificaterequests",
            json!({"apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
                "metadata": {"name": "r", "namespace": "ns", "creationTimestamp": START},
                "spec": {"nodeName": "", "nodeUID": "", "podName": "", "podUID": "", "serviceAccountName": "",
                    "serviceAccountUID": "", "signerName": ""}}),
        );
        c.advance(899).await;
        assert_eq!(c.names("certificates.k8s.io", "podcertificaterequests"), ["r"]);
        c.advance(2).await;
        assert!(c.names("certificates.k8s.io", "podcertificaterequests").is_empty());
    }
}
