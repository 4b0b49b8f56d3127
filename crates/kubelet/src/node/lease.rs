//! The node's heartbeat: a Lease in kube-node-lease.

use crate::kubelet::Kubelet;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const NAMESPACE: &str = "kube-node-lease";

fn micro(nanos: i64) -> MicroTime {
    let t = Timestamp::from_microsecond(nanos / 1000).unwrap_or(Timestamp::UNIX_EPOCH);
    MicroTime(t)
}

fn fill(l: &mut Lease, k: &Kubelet) {
    let s: &mut LeaseSpec = l.spec.get_or_insert_default();
    s.holder_identity = Some(k.cfg.node_name.clone());
    s.lease_duration_seconds = Some(k.cfg.lease_duration_seconds);
    s.renew_time = Some(micro(k.now()));
}

async fn own(l: &mut Lease, k: &Kubelet) {
    if l.metadata.owner_references.iter().flatten().next().is_some() {
        return;
    }
    if let Ok(n) = k.client.get::<Node>(None, &k.cfg.node_name).await {
        l.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: k.cfg.node_name.clone(),
            uid: n.metadata.uid.unwrap_or_default(),
            ..Default::default()
        }]);
    }
}

/// One heartbeat; `last` is the Lease as it was written last.
async fn beat(k: &Kubelet, last: &mut Option<Lease>) -> Result<(), client::Error> {
    if let Some(l) = last {
        fill(l, k);
        own(l, k).await;
        match k.client.replace(l).await {
            Ok(new) => {
                *last = Some(new);
                return Ok(());
            }
            Err(e) => {
                *last = None;
                if !(e.is_conflict() || e.is_not_found()) {
                    return Err(e);
                }
            }
        }
    }
    match k.client.get::<Lease>(Some(NAMESPACE), &k.cfg.node_name).await {
        Ok(mut l) => {
            fill(&mut l, k);
            own(&mut l, k).await;
            *last = Some(k.client.replace(&l).await?);
        }
        Err(e) if e.is_not_found() => {
            let mut l = Lease::default();
            l.metadata.name = Some(k.cfg.node_name.clone());
            l.metadata.namespace = Some(NAMESPACE.into());
            fill(&mut l, k);
            own(&mut l, k).await;
            *last = Some(k.client.create(&l).await?);
        }
        Err(e) => return Err(e),
    }
    Ok(())
}

/// Beats until the runtime stops.
pub async fn run(k: Arc<Kubelet>) {
    let mut last = None;
    let period = Duration::from_secs(u64::try_from(k.cfg.lease_duration_seconds.max(4) / 4).unwrap_or(10));
    let mut wait = Duration::from_millis(200);
    loop {
        let pause = match beat(&k, &mut last).await {
            Ok(()) => {
                wait = Duration::from_millis(200);
                period
            }
            Err(e) => {
                tracing::warn!(error = %e, "renewing the node's lease failed, trying again");
                wait = (wait * 2).min(Duration::from_secs(7));
                wait
            }
        };
        tokio::select! { () = tokio::time::sleep(pause) => {}, () = k.rt.stopping() => return }
    }
}
