//! The `kubernetes` Service in `default`, with this server as its endpoint, and the other servers of its etcd.
//!
//! Servers that share a store each keep a key with a lease there, as upstream's do (`pkg/controlplane/reconcilers`):
//! whose key is there is an endpoint. One that ends takes its key away, one that is killed loses it with the lease.

use super::{create, current, replace};
use crate::Result;
use crate::read::store_failure;
use crate::server::ApiServer;
use meta::object::ObjectExt;
use meta::{Reason, Status, Value};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "kubernetes";
/// After a change by somebody else the objects are looked at this much later, so that two servers do not fight.
const LATER: Duration = Duration::from_secs(2);

/// Where the servers of a store say that they are there.
const MASTERS: &str = "/registry/masterleases/";
/// Seconds that such a key lasts, and how often it is renewed.
const TTL: i64 = 15;
const RENEW: Duration = Duration::from_secs(10);

/// Says that this server is there.
async fn join(s: &Arc<ApiServer>) -> Result<()> {
    let ip = s.cfg.advertise_address.to_string();
    let ty = schema::facts::type_named("core.v1.Endpoints")
        .ok_or_else(|| Status::internal("no type core.v1.Endpoints"))?;
    let value = json!({"metadata": {}, "subsets": [{"addresses": [{"ip": ip}]}]});
    let value = schema::proto::wrap("v1", "Endpoints", &schema::proto::encode(&value, ty));
    let lease = s.store.lease(TTL).await.map_err(|e| store_failure(&e))?;
    let key = format!("{MASTERS}{ip}");
    s.store.put(&key, value.into(), None, lease).await.map(drop).map_err(|e| store_failure(&e))
}

/// The addresses of the servers that are there, in order.
async fn masters(s: &Arc<ApiServer>) -> Result<Vec<String>> {
    if !s.store.shared() {
        return Ok(vec![s.cfg.advertise_address.to_string()]);
    }
    let mut all = Vec::new();
    let now = s.store.latest().await.map_err(|e| store_failure(&e))?;
    now.scan(MASTERS, "", &mut |r| {
        all.extend(r.key.strip_prefix(MASTERS).map(str::to_owned));
        true
    });
    Ok(all)
}

/// Takes this server out of the endpoints: it is about to end.
pub async fn leave(s: &Arc<ApiServer>) {
    let ip = s.cfg.advertise_address;
    if !s.store.shared() || ip.is_loopback() || ip.is_unspecified() {
        return;
    }
    let gone = s.store.delete(&format!("{MASTERS}{ip}"), None).await.map(drop).map_err(|e| store_failure(&e));
    let done = match gone {
        Ok(()) => endpoints(s).await,
        Err(e) => Err(e),
    };
    if let Err(e) = done {
        tracing::warn!(error = %e, "leaving the kubernetes Service");
    }
}

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
    if s.store.shared() {
        join(s).await?;
    }
    endpoints(s).await
}

async fn endpoints(s: &Arc<ApiServer>) -> Result<()> {
    let (ip, port) = (s.cfg.advertise_address, s.cfg.secure_port);
    let masters = masters(s).await?;
    if masters.is_empty() {
        // Who reads them has no better address than the last.
        return Ok(());
    }
    let addresses: Vec<Value> = masters.iter().map(|ip| json!({"ip": ip})).collect();
    let ready: Vec<Value> =
        masters.iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}})).collect();
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": addresses, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": "default", "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": if ip.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": ready,
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

/// Looks at the objects again whenever one of them changes; with other servers at the store, also to renew the lease.
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
        let renewal = async {
            if s.store.shared() {
                tokio::time::sleep(RENEW - LATER).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = futures::future::select_all(waits) => {}
            () = renewal => {}
        }
        tokio::time::sleep(LATER).await;
    }
}
