//! Keeps bound volumes from going away (upstream `pkg/controller/volume/pvprotection`).

use crate::context::{Ctx, Error};
use crate::k8s::core::PersistentVolume;
use crate::util::protect::{self, Need};
use crate::util::wake;
use client::{Key, Outcome, Queue, run_workers};

const FINALIZER: &str = "kubernetes.io/pv-protection";

pub async fn run(ctx: Ctx) {
    let volumes = ctx.informer::<PersistentVolume>();
    let queue: Queue<Key> = Queue::new();
    volumes.synced().await;
    wake::forward_self(&ctx.rt, volumes.raw(), &queue);
    let rt = ctx.rt.clone();
    run_workers(&rt, ctx.name, 1, &queue, move |key| {
        let (ctx, volumes) = (ctx.clone(), volumes.clone());
        async move {
            let Some(pv) = volumes.get("", &key.name) else { return Ok::<_, Error>(Outcome::Done) };
            let bound = pv.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
            match protect::need(&pv, FINALIZER) {
                Need::Add => protect::add(&ctx.client, &pv, FINALIZER).await?,
                Need::Check if !bound => protect::remove(&ctx.client, &pv, FINALIZER).await?,
                _ => {}
            }
            Ok(Outcome::Done)
        }
    });
    rt.stopping().await;
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use meta::object::ObjectExt;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn protects_while_bound() {
        let c = Cluster::start(&["pv-protection"]).await;
        c.api.seed(
            "persistentvolumes",
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "status": {"phase": "Bound"}}),
        );
        c.settle().await;
        let pv = || c.api.object("", "persistentvolumes", "", "v");
        assert_eq!(pv().unwrap().finalizers(), ["kubernetes.io/pv-protection"]);
        let client = client::Client::new(std::sync::Arc::new(c.api.clone()));
        client.delete::<crate::k8s::core::PersistentVolume>(None, "v", &Default::default()).await.unwrap();
        c.settle().await;
        assert!(pv().is_some());
        c.patch("", "persistentvolumes", "", "v", json!({"status": {"phase": "Released"}}));
        c.settle().await;
        assert!(pv().is_none());
    }
}
