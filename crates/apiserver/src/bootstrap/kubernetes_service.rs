//! The `kubernetes` Service in `default`, with this server as its endpoint.

use super::{create, current, replace};
use crate::Result;
use crate::server::ApiServer;
use meta::object::ObjectExt;
use meta::{Reason, Value};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "kubernetes";
/// After a change by somebody else the objects are looked at this much later, so that two servers do not fight.
const LATER: Duration = Duration::from_secs(2);

pub async fn ensure(s: &Arc<ApiServer>) -> Result<()> {
    let port = s.cfg.secure_port;
    let Some(range) = s.cfg.service_cidrs.first() else { return Ok(()) };
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"provider": "kubernetes", "component": "apiserver"}},
        "spec": {
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
            "clusterIP": range.first().to_string(), "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None", "type": "ClusterIP",
        },
    });
    create(s, "", "services", &service).await?;
    let ip = s.cfg.advertise_address;
    if ip.is_loopback() || ip.is_unspecified() {
        // No address that pods could reach; a server in a test, or one machine alone.
        tracing::debug!(%ip, "the kubernetes Service has no endpoint: the advertised address is only this host's");
        return Ok(());
    }
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": ip.to_string()}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": if ip.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [ip.to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    keep_as(s, "", "endpoints", &endpoints, &["subsets"]).await?;
    keep_as(s, "discovery.k8s.io", "endpointslices", &slice, &["endpoints", "ports"]).await
}

/// Creates the object, or sets these fields where they differ.
async fn keep_as(
    s: &Arc<ApiServer>,
    group: &str,
    resource: &str,
    want: &Value,
    fields: &[&str],
) -> Result<()> {
    let Some(have) = current(s, group, resource, want.namespace(), NAME) else {
        return create(s, group, resource, want).await;
    };
    if fields.iter().all(|f| have.get(*f) == want.get(*f)) {
        return Ok(());
    }
    let mut next = (*have).clone();
    for f in fields {
        next[*f] = want[*f].clone();
    }
    match replace(s, group, resource, "", &next).await {
        Err(e) if e.is(Reason::Conflict) => Ok(()),
        other => other,
    }
}

/// Looks at the objects again whenever one of them changes.
pub async fn keep(s: &Arc<ApiServer>) {
    let reg = s.registry();
    let keys: Vec<String> = [("", "services"), ("", "endpoints"), ("discovery.k8s.io", "endpointslices")]
        .iter()
        .filter_map(|(g, r)| Some(reg.any_version(g, r)?.key("default", NAME)))
        .collect();
    loop {
        let revision = s.store.cached().revision();
        if let Err(e) = ensure(s).await {
            tracing::warn!(error = %e, "keeping the kubernetes Service");
        }
        let watches = keys.iter().filter_map(|k| Some((k, s.store.watch(k, revision).ok()?)));
        let waits = watches.map(|(key, mut w)| {
            Box::pin(async move {
                loop {
                    match w.next().await {
                        Some(storage::WatchItem::Events(e)) if e.iter().any(|e| *e.record.key == **key) => {
                            return;
                        }
                        Some(storage::WatchItem::Lagged) => return,
                        None => std::future::pending().await,
                        Some(_) => {}
                    }
                }
            })
        });
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            return;
        }
        futures::future::select_all(waits).await;
        tokio::time::sleep(LATER).await;
    }
}
