//! The pods of this node and the Services, from the API server.

use crate::kubelet::{Kubelet, Services};
use client::{Event, InformerFactory, Key, ListWatch};
use k8s_openapi::api::core::v1::{Pod, Service};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Follows the node's pods until the runtime stops.
pub async fn pods(k: Arc<Kubelet>) {
    let factory = InformerFactory::new(k.client.transport.clone(), &k.rt);
    let informer = factory.filtered::<Pod>(ListWatch {
        field_selector: format!("spec.nodeName={}", k.cfg.node_name),
        ..Default::default()
    });
    let mut sub = informer.subscribe();
    tokio::select! { () = informer.synced() => {}, () = k.rt.stopping() => return }
    // The oldest first: at a start they are admitted in the order in which they came.
    let mut first: Vec<Pod> = informer.list();
    first.sort_by(|a, b| a.metadata.creation_timestamp.cmp(&b.metadata.creation_timestamp));
    for p in first {
        k.know_labels(&p).await;
        k.apply(Arc::new(p));
    }
    k.rt.ready.set("kubelet-pods", Ok(()));
    k.rt.ready.wait_for("kubelet-static-pods").await;
    loop {
        // What runs without a pod goes down; a runtime that is not up yet is asked again.
        match crate::gc::adopt(&k).await {
            Ok(()) => break,
            Err(e) => tracing::debug!(error = %e, "looking for orphans failed, trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            e = sub.next() => one(&k, &e).await,
            () = k.rt.stopping() => return,
        }
    }
    loop {
        tokio::select! { e = sub.next() => one(&k, &e).await, () = k.rt.stopping() => return }
    }
}

async fn one(k: &Arc<Kubelet>, e: &Event) {
    let pod: Pod = match e.object().decode() {
        Ok(p) => p,
        Err(err) => {
            tracing::error!(pod = %e.key(), error = %err, "a pod cannot be decoded");
            return;
        }
    };
    match e {
        Event::Added(_) | Event::Updated { .. } => {
            k.know_labels(&pod).await;
            k.apply(Arc::new(pod));
        }
        Event::Deleted(_) => k.gone(&pod),
    }
}

/// All Services, decoded once.
#[derive(Default)]
pub struct ServiceCache {
    synced: AtomicBool,
    all: Mutex<HashMap<Key, Arc<Service>>>,
}

impl ServiceCache {
    /// Follows until the runtime stops.
    pub async fn run(self: Arc<Self>, factory: InformerFactory, rt: runtime::Runtime) {
        let informer = factory.informer::<Service>();
        let mut sub = informer.subscribe();
        tokio::select! { () = informer.synced() => {}, () = rt.stopping() => return }
        while let Some(e) = sub.try_next() {
            self.take(&e);
        }
        self.synced.store(true, Ordering::SeqCst);
        loop {
            tokio::select! { e = sub.next() => self.take(&e), () = rt.stopping() => return }
        }
    }
    fn take(&self, e: &Event) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match e {
            Event::Deleted(_) => {
                all.remove(&e.key());
            }
            Event::Added(o) | Event::Updated { new: o, .. } => {
                if let Ok(s) = o.decode::<Service>() {
                    all.insert(e.key(), Arc::new(s));
                }
            }
        }
    }
}

impl Services for ServiceCache {
    fn list(&self) -> Option<Vec<Arc<Service>>> {
        if !self.synced.load(Ordering::SeqCst) {
            return None;
        }
        Some(self.all.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect())
    }
}
