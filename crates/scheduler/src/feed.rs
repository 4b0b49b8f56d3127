//! What the scheduler hears of: one informer for each kind, and how its objects reach the engine.

use client::{Event, Informer, InformerFactory, Kind, ListWatch, RawInformer, RawObject, Subscription};
use futures::FutureExt;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use scheduling::cluster::{Attachment, Budget, Capacity, Claim, ClaimKey, Class, CsiDriver, CsiNode, Volume};
use scheduling::{Engine, NodeSpec, PodInfo};
use std::sync::Arc;

type Apply = fn(&mut Engine, &Event, i64);

/// The caches, kept current whether this scheduler leads or not.
#[derive(Clone)]
pub struct Caches {
    all: Vec<(RawInformer, Apply)>,
    pub volumes: Informer<PersistentVolume>,
    pub claims: Informer<PersistentVolumeClaim>,
}

impl Caches {
    pub fn new(f: &InformerFactory) -> Self {
        let (volumes, claims) = (f.informer::<PersistentVolume>(), f.informer::<PersistentVolumeClaim>());
        // Pods that have ended take nothing: the server leaves them out.
        let field_selector = "status.phase!=Succeeded,status.phase!=Failed".to_owned();
        let pods = f.filtered::<Pod>(ListWatch { field_selector, ..ListWatch::default() });
        let all: Vec<(RawInformer, Apply)> = vec![
            (f.informer::<Namespace>().raw().clone(), namespace),
            (f.informer::<Node>().raw().clone(), node),
            (f.informer::<StorageClass>().raw().clone(), class),
            (f.informer::<CSINode>().raw().clone(), csi_node),
            (f.informer::<CSIDriver>().raw().clone(), driver),
            (f.informer::<CSIStorageCapacity>().raw().clone(), capacity),
            (f.informer::<VolumeAttachment>().raw().clone(), attachment),
            (volumes.raw().clone(), volume),
            (claims.raw().clone(), claim),
            (f.informer::<PodDisruptionBudget>().raw().clone(), budget),
            (f.informer::<Service>().raw().clone(), service),
            (f.informer::<ReplicationController>().raw().clone(), replication_controller),
            (f.informer::<ReplicaSet>().raw().clone(), replica_set),
            (f.informer::<StatefulSet>().raw().clone(), stateful_set),
            (pods.raw().clone(), pod),
        ];
        Self { all, volumes, claims }
    }
    pub async fn synced(&self) {
        for (i, _) in &self.all {
            i.synced().await;
        }
    }
    pub fn feed(&self) -> Feed {
        Feed { subs: self.all.iter().map(|(i, apply)| (i.subscribe(), *apply)).collect() }
    }
}

/// The changes that the engine has not heard of yet.
pub struct Feed {
    subs: Vec<(Subscription, Apply)>,
}

impl Feed {
    /// Tells the engine at most `limit` changes of each kind; answers whether there may be more.
    pub fn drain(&mut self, engine: &mut Engine, now: i64, limit: usize) -> bool {
        let mut more = false;
        for (sub, apply) in &mut self.subs {
            let mut n = 0;
            while n < limit
                && let Some(e) = sub.try_next()
            {
                apply(engine, &e, now);
                n += 1;
            }
            more |= n == limit;
        }
        more
    }
    /// Waits for one change and answers how to tell the engine.
    pub async fn next(&mut self) -> (Event, Apply) {
        let waiting = self.subs.iter_mut().map(|(s, apply)| {
            let apply = *apply;
            s.next().map(move |e| (e, apply)).boxed()
        });
        futures::future::select_all(waiting).await.0
    }
}

fn read<K: Kind>(o: &RawObject) -> Option<Arc<K>> {
    match o.shared() {
        Ok(k) => Some(k),
        Err(e) => {
            tracing::error!(kind = K::KIND, object = %o.key(), "cannot decode an object: {e}");
            None
        }
    }
}
/// The object as it is now; `None` once it is deleted. The outer `None`: it cannot be read, and what was known stays.
fn state<K: Kind>(e: &Event) -> Option<(&str, &str, Option<Arc<K>>)> {
    let o = e.object();
    let k = match e {
        Event::Deleted(_) => None,
        _ => Some(read(o)?),
    };
    Some((&o.header.namespace, &o.header.name, k))
}

fn pod(engine: &mut Engine, e: &Event, now: i64) {
    let o = e.object();
    let ended = |p: &Pod| {
        let phase = p.status.as_ref().and_then(|s| s.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    if matches!(e, Event::Deleted(_)) {
        engine.remove_pod(&o.header.uid, now);
        return;
    }
    match read::<Pod>(o) {
        Some(p) if ended(&p) => engine.remove_pod(&o.header.uid, now),
        Some(p) => engine.set_pod(Arc::new(PodInfo::of(&p)), now),
        None => {}
    }
}
fn node(engine: &mut Engine, e: &Event, now: i64) {
    match state::<Node>(e) {
        Some((_, _, Some(n))) => engine.set_node(NodeSpec::of(&n), now),
        Some((_, name, None)) => engine.remove_node(name, now),
        None => {}
    }
}
fn namespace(engine: &mut Engine, e: &Event, _: i64) {
    if let Some((_, name, n)) = state::<Namespace>(e) {
        engine.set_namespace(name, n.map(|n| n.metadata.labels.clone().unwrap_or_default()));
    }
}
fn claim(engine: &mut Engine, e: &Event, now: i64) {
    if let Some((ns, name, c)) = state::<PersistentVolumeClaim>(e) {
        engine.set_claim(ClaimKey::new(ns, name), c.as_deref().map(Claim::of), now);
    }
}
fn volume(engine: &mut Engine, e: &Event, now: i64) {
    if let Some((_, name, v)) = state::<PersistentVolume>(e) {
        engine.set_volume(name, v.as_deref().map(Volume::of), now);
    }
}
fn class(engine: &mut Engine, e: &Event, now: i64) {
    if let Some((_, name, c)) = state::<StorageClass>(e) {
        engine.set_class(name, c.as_deref().map(Class::of), now);
    }
}
fn csi_node(engine: &mut Engine, e: &Event, now: i64) {
    if let Some((_, name, n)) = state::<CSINode>(e) {
        engine.set_csi_node(name, n.as_deref().map(CsiNode::of), now);
    }
}
fn driver(engine: &mut Engine, e: &Event, now: i64) {
    if let Some((_, name, d)) = state::<CSIDriver>(e) {
        engine.set_driver(name, d.as_deref().map(CsiDriver::of), now);
    }
}
fn capacity(engine: &mut Engine, e: &Event, now: i64) {
    if let Some((ns, name, c)) = state::<CSIStorageCapacity>(e) {
        engine.set_capacity(ns, name, c.as_deref().map(Capacity::of), now);
    }
}
fn attachment(engine: &mut Engine, e: &Event, now: i64) {
    if let Some((_, name, a)) = state::<VolumeAttachment>(e) {
        engine.set_attachment(name, a.as_deref().map(Attachment::of), now);
    }
}
fn budget(engine: &mut Engine, e: &Event, _: i64) {
    if let Some((ns, name, b)) = state::<PodDisruptionBudget>(e) {
        engine.set_budget(ns, name, b.as_deref().map(Budget::of));
    }
}

// Who owns pods: pods of one owner are spread by default.

fn service(engine: &mut Engine, e: &Event, _: i64) {
    if let Some((ns, name, s)) = state::<Service>(e) {
        let selector = s.and_then(|s| s.spec.as_ref()?.selector.clone());
        engine.cluster.owners.set_service(ns, name, selector);
    }
}
fn replication_controller(engine: &mut Engine, e: &Event, _: i64) {
    if let Some((ns, name, c)) = state::<ReplicationController>(e) {
        let labels = c.and_then(|c| c.spec.as_ref()?.selector.clone());
        let selector = labels.map(|l| LabelSelector { match_labels: Some(l), match_expressions: None });
        engine.cluster.owners.set_controller("ReplicationController", ns, name, selector.as_ref());
    }
}
fn replica_set(engine: &mut Engine, e: &Event, _: i64) {
    if let Some((ns, name, c)) = state::<ReplicaSet>(e) {
        let selector = c.map(|c| c.spec.selector.clone());
        engine.cluster.owners.set_controller("ReplicaSet", ns, name, selector.as_ref());
    }
}
fn stateful_set(engine: &mut Engine, e: &Event, _: i64) {
    if let Some((ns, name, c)) = state::<StatefulSet>(e) {
        let selector = c.map(|c| c.spec.selector.clone());
        engine.cluster.owners.set_controller("StatefulSet", ns, name, selector.as_ref());
    }
}
