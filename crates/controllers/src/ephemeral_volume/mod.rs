//! Makes the claims of pods' ephemeral volumes (upstream `pkg/controller/volume/ephemeral`).

use crate::context::{Ctx, Error};
use crate::k8s::ObjectMeta;
use crate::k8s::core::{PersistentVolumeClaim, Pod, Volume};
use crate::util::meta::{MetaExt, controller_ref};
use crate::util::{volumes, wake};
use client::{Event, Informer, Key, Outcome, Queue, run_workers};
use std::sync::Arc;

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
    wake::forward(&rt, pods.raw(), &queue, |e| {
        // Volumes of a pod never change.
        let Event::Added(o) = e else { return Vec::new() };
        let ephemeral = o.shared::<Pod>().is_ok_and(|p| volumes::volumes(&p).any(|v| v.ephemeral.is_some()));
        if ephemeral { vec![e.key()] } else { Vec::new() }
    });
    let users = pods.clone();
    wake::forward(&rt, claims.raw(), &queue, move |e| {
        if !matches!(e, Event::Deleted(_)) {
            return Vec::new();
        }
        let users = users.raw().by_index(volumes::PODS_BY_CLAIM, &e.key().to_string());
        users.iter().map(client::RawObject::key).collect()
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
        let Some(pod) = self.pods.get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if pod.deleting() {
            return Ok(Outcome::Done);
        }
        for v in volumes::volumes(&pod) {
            let Some(claim) = claim(&pod, v) else { continue };
            if let Err(e) = self.ensure(&pod, &claim).await {
                let text = format!("ephemeral volume {}: {e}", v.name);
                self.ctx.events.warning(&pod, "FailedBinding", text.clone());
                return Err(Error::other(format!("pod {key}, {text}")));
            }
        }
        Ok(Outcome::Done)
    }

    async fn ensure(&self, pod: &Pod, claim: &PersistentVolumeClaim) -> Result<(), String> {
        match self.claims.get(claim.namespace(), claim.name()) {
            Some(have) if volumes::is_for_pod(&have, pod) => Ok(()),
            Some(_) => {
                Err(format!("PVC {} was not created for pod {} (pod is not owner)", claim.key(), pod.key()))
            }
            None => match self.ctx.client.create(claim).await {
                Ok(_) => Ok(()),
                Err(e) => Err(format!("create PVC {}: {e}", claim.name())),
            },
        }
    }
}

/// The claim that an ephemeral volume stands for.
fn claim(pod: &Pod, v: &Volume) -> Option<PersistentVolumeClaim> {
    let template = v.ephemeral.as_ref()?.volume_claim_template.clone().unwrap_or_default();
    let m = template.metadata.unwrap_or_default();
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: volumes::claim_name(pod, v),
            namespace: pod.metadata.namespace.clone(),
            labels: m.labels,
            annotations: m.annotations,
            owner_references: Some(vec![controller_ref(pod)]),
            ..ObjectMeta::default()
        },
        spec: Some(template.spec),
        status: None,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use meta::object::ObjectExt;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn makes_claims() {
        let c = Cluster::start(&["ephemeral-volume"]).await;
        let pod = |name: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"},
            "spec": {"containers": [], "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}}}]}})
        };
        c.api.seed(
            "persistentvolumeclaims",
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "q-v", "namespace": "ns"}}),
        );
        let p = c.api.seed("pods", pod("p"));
        c.api.seed("pods", pod("q"));
        c.settle().await;
        let claim = || c.api.object("", "persistentvolumeclaims", "ns", "p-v");
        let made = claim().unwrap();
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], p.uid());
        assert_eq!(made["spec"]["accessModes"], json!(["ReadWriteOnce"]));
        let e = c.api.objects("", "events");
        assert!(e[0].str_at("message").contains("PVC ns/q-v was not created for pod ns/q"), "{e:?}");
        c.api.remove("", "persistentvolumeclaims", "ns", "p-v");
        c.settle().await;
        assert!(claim().is_some(), "it is made again");
    }
}
