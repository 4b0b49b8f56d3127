//! Keeps VolumeAttributesClasses that volumes or claims name from going away (upstream
//! `pkg/controller/volume/vacprotection`).

use crate::context::{Ctx, Error};
use crate::k8s::core::{PersistentVolume, PersistentVolumeClaim};
use crate::k8s::storage::VolumeAttributesClass;
use crate::util::protect::{self, Need};
use crate::util::wake;
use client::{Key, Outcome, Queue, run_workers};

const FINALIZER: &str = "kubernetes.io/vac-protection";
const INDEX: &str = "vac";

fn of_volume(v: &PersistentVolume) -> Vec<String> {
    let name = v.spec.as_ref().and_then(|s| s.volume_attributes_class_name.clone());
    name.into_iter().filter(|n| !n.is_empty()).collect()
}

fn of_claim(c: &PersistentVolumeClaim) -> Vec<String> {
    let wanted = c.spec.as_ref().and_then(|s| s.volume_attributes_class_name.clone());
    let current = c.status.as_ref().and_then(|s| s.current_volume_attributes_class_name.clone());
    let modify = c.status.as_ref().and_then(|s| s.modify_volume_status.as_ref());
    let target = modify.and_then(|m| m.target_volume_attributes_class_name.clone());
    let mut all: Vec<String> =
        [wanted, current, target].into_iter().flatten().filter(|n| !n.is_empty()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

pub async fn run(ctx: Ctx) {
    let classes = ctx.informer::<VolumeAttributesClass>();
    let (volumes, claims) = (ctx.informer::<PersistentVolume>(), ctx.informer::<PersistentVolumeClaim>());
    volumes.add_index(INDEX, of_volume);
    claims.add_index(INDEX, of_claim);
    let queue: Queue<Key> = Queue::new();
    classes.synced().await;
    volumes.synced().await;
    claims.synced().await;
    let rt = ctx.rt.clone();
    wake::forward_self(&rt, classes.raw(), &queue);
    // Whoever names a class less than before may have been its last user.
    wake::forward(&rt, volumes.raw(), &queue, |e| {
        e.states()
            .filter_map(|o| o.decode().ok())
            .flat_map(|v| of_volume(&v))
            .map(|n| Key::new("", n))
            .collect()
    });
    wake::forward(&rt, claims.raw(), &queue, |e| {
        e.states()
            .filter_map(|o| o.decode().ok())
            .flat_map(|c| of_claim(&c))
            .map(|n| Key::new("", n))
            .collect()
    });
    run_workers(&rt, ctx.name, 1, &queue, move |key| {
        let (ctx, classes) = (ctx.clone(), classes.clone());
        let used = || {
            !volumes.raw().by_index(INDEX, &key.name).is_empty()
                || !claims.raw().by_index(INDEX, &key.name).is_empty()
        };
        let (used, class) = (used(), classes.get("", &key.name));
        async move {
            let Some(class) = class else { return Ok::<_, Error>(Outcome::Done) };
            match protect::need(&class, FINALIZER) {
                Need::Add => protect::add(&ctx.client, &class, FINALIZER).await?,
                Need::Check if !used => protect::remove(&ctx.client, &class, FINALIZER).await?,
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
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn protects_while_named() {
        let c = Cluster::start(&["volumeattributesclass-protection-controller"]).await;
        c.api.seed(
            "persistentvolumeclaims",
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "ns"},
                "spec": {"volumeAttributesClassName": "gold"}}),
        );
        c.api.seed(
            "volumeattributesclasses",
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "gold"},
                "driverName": "d"}),
        );
        c.settle().await;
        let client = client::Client::new(std::sync::Arc::new(c.api.clone()));
        client
            .delete::<crate::k8s::storage::VolumeAttributesClass>(None, "gold", &Default::default())
            .await
            .unwrap();
        c.settle().await;
        let class = || c.api.object("storage.k8s.io", "volumeattributesclasses", "", "gold");
        assert!(class().is_some());
        c.api.remove("", "persistentvolumeclaims", "ns", "c");
        c.settle().await;
        assert!(class().is_none());
    }
}
