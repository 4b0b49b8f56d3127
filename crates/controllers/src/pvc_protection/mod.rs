//! Keeps claims that pods use from going away, and notes since when one is unused (upstream
//! `pkg/controller/volume/pvcprotection`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::core::{PersistentVolumeClaim, Pod};
use crate::util::meta::MetaExt;
use crate::util::protect::{self, Need};
use crate::util::{volumes, wake};
use client::{Event, Informer, Key, ListParams, Outcome, Queue, run_workers};
use std::sync::Arc;

const FINALIZER: &str = "kubernetes.io/pvc-protection";

struct Controller {
    ctx: Ctx,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
}

pub async fn run(ctx: Ctx) {
    let (pods, claims) = (ctx.informer::<Pod>(), ctx.informer::<PersistentVolumeClaim>());
    volumes::index_by_claim(&pods);
    let queue: Queue<Key> = Queue::new();
    pods.synced().await;
    claims.synced().await;
    let rt = ctx.rt.clone();
    wake::forward(&rt, claims.raw(), &queue, |e| match e {
        Event::Deleted(_) => Vec::new(),
        _ => vec![e.key()],
    });
    wake::forward(&rt, pods.raw(), &queue, |e| {
        let mut keys: Vec<Key> = Vec::new();
        let pods: Vec<Arc<Pod>> = e.states().filter_map(|o| o.shared().ok()).collect();
        // Only what a claim's use depends on is of interest.
        let worth = match (pods.as_slice(), e) {
            ([a, b], Event::Updated { .. }) => plan::traits(a) != plan::traits(b),
            _ => true,
        };
        if worth {
            keys.extend(pods.iter().flat_map(|p| volumes::claims(p)));
        }
        keys
    });
    let me = Arc::new(Controller { ctx, pods, claims });
    run_workers(&rt, me.ctx.name, 5, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(claim) = self.claims.get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let need = protect::need(&claim, FINALIZER);
        let bound = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
        if !claim.deleting() && bound {
            let used = self.is_used(&claim, plan::refers).await?;
            if let Some(new) = plan::note_use(&claim, used, self.ctx.now()) {
                self.ctx.client.replace_status(&new).await?;
                // The claim has another version now: its event wakes this again.
                return Ok(Outcome::Done);
            }
        }
        match need {
            Need::Nothing => {}
            Need::Add => protect::add(&self.ctx.client, &claim, FINALIZER).await?,
            Need::Check => {
                if !self.is_used(&claim, plan::holds).await? {
                    protect::remove(&self.ctx.client, &claim, FINALIZER).await?;
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// Whether some pod uses the claim. That none does is asked of the server: the cache may be late.
    async fn is_used(
        &self,
        claim: &PersistentVolumeClaim,
        uses: fn(&Pod, &PersistentVolumeClaim) -> bool,
    ) -> Result<bool, Error> {
        let cached = self.pods.by_index(volumes::PODS_BY_CLAIM, &claim.key().to_string());
        if cached.iter().any(|p| uses(p, claim)) {
            return Ok(true);
        }
        let live: Vec<Pod> = self.ctx.client.list(claim.ns(), &ListParams::default()).await?;
        Ok(live.iter().any(|p| uses(p, claim)))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use meta::object::ObjectExt;
    use serde_json::{Value, json};

    #[tokio::test(start_paused = true)]
    async fn protects_and_notes() {
        let c = Cluster::start(&["pvc-protection"]).await;
        c.api.seed(
            "persistentvolumeclaims",
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "ns"},
                "status": {"phase": "Bound"}}),
        );
        c.settle().await;
        let claim = || c.api.object("", "persistentvolumeclaims", "ns", "c");
        let unused = |v: Value| v.array_at("status.conditions")[0].str_at("status").to_owned();
        assert_eq!(claim().unwrap().finalizers(), ["kubernetes.io/pvc-protection"]);
        assert_eq!(unused(claim().unwrap()), "True");
        c.api.seed(
            "pods",
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"},
                "spec": {"nodeName": "n", "containers": [], "volumes": [
                    {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}),
        );
        c.settle().await;
        assert_eq!(unused(claim().unwrap()), "False");
        let client = client::Client::new(std::sync::Arc::new(c.api.clone()));
        client
            .delete::<crate::k8s::core::PersistentVolumeClaim>(Some("ns"), "c", &Default::default())
            .await
            .unwrap();
        c.settle().await;
        assert!(claim().is_some(), "a pod uses it");
        c.api.remove("", "pods", "ns", "p");
        c.settle().await;
        assert!(claim().is_none());
    }
}
