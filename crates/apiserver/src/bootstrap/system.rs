//! Namespaces, priority classes, service ranges, configuration maps.

use super::{create, create_all, current, replace};
use crate::server::ApiServer;
use crate::{Result, alloc};
use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{GroupResource, Value};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

pub async fn namespaces(s: &Arc<ApiServer>) -> Result<()> {
    let all = ["kube-system", "kube-public", "kube-node-lease", "default"];
    let objs: Vec<Value> = all
        .iter()
        .map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}}))
        .collect();
    create_all(s, "", "namespaces", &objs).await
}

pub async fn priority_classes(s: &Arc<ApiServer>) -> Result<()> {
    let class = |name: &str, value: i64, what: &str| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": what,
        })
    };
    let objs = [
        class(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        class(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ];
    create_all(s, "scheduling.k8s.io", "priorityclasses", &objs).await
}

/// The ServiceCIDR of the configured ranges, and that it is ready.
pub async fn service_cidr(s: &Arc<ApiServer>) -> Result<()> {
    const G: &str = "networking.k8s.io";
    const R: &str = "servicecidrs";
    let cidrs: Vec<String> = s.cfg.service_cidrs.iter().map(ToString::to_string).collect();
    let obj = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs},
    });
    create(s, G, R, &obj).await?;
    let find = || {
        current(s, G, R, "", "kubernetes")
            .ok_or_else(|| meta::Status::not_found(&GroupResource::new(G, R), "kubernetes"))
    };
    let now = find()?;
    let have = now.array_at("spec.cidrs");
    if cidrs.len() == 2 && have.len() == 1 && have[0] == cidrs[0].as_str() {
        let mut dual = (*now).clone();
        dual.set_at("spec.cidrs", cidrs.clone());
        replace(s, G, R, "", &dual).await?;
    } else if *have != *json!(cidrs).as_array().map_or(&[][..], Vec::as_slice) {
        tracing::warn!(configured = ?cidrs, stored = ?have, "the default ServiceCIDR differs from --service-cluster-ip-range");
    }
    let now = find()?;
    if now.at("status.conditions").is_none() && now.deletion_timestamp().is_none() {
        let mut ready = (*now).clone();
        let c = json!([{
            "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": s.now().rfc3339(),
        }]);
        ready.set_at("status.conditions", c);
        replace(s, G, R, "status", &ready).await?;
    }
    Ok(())
}

/// Takes the ports of all Services and the addresses that have no IPAddress, and forgets those of no Service.
pub async fn repair(s: &Arc<ApiServer>) -> Result<()> {
    let l = crate::lookup::Lookup(s);
    let services = admission::Lookup::list(&l, "", "services", "");
    let ports: BTreeSet<u16> = services.iter().flat_map(|v| alloc::ports_of(v)).collect();
    alloc::repair(s, &ports).await?;
    let mut used = BTreeSet::new();
    for svc in &services {
        for ip in alloc::ips_of(svc) {
            used.insert(ip.to_string());
            if current(s, "networking.k8s.io", "ipaddresses", "", &ip.to_string()).is_none() {
                alloc::retake(s, ip, svc.namespace(), svc.name()).await?;
            }
        }
    }
    for a in admission::Lookup::list(&l, "networking.k8s.io", "ipaddresses", "") {
        let of_service = a.str_at("spec.parentRef.resource") == "services"
            && a.label("ipaddress.kubernetes.io/managed-by") == Some("ipallocator.k8s.io");
        if of_service
            && !used.contains(a.name())
            && let Ok(ip) = a.name().parse()
        {
            alloc::release_ip(s, &ip).await;
        }
    }
    Ok(())
}

/// What extension servers need to know to believe this server's requests.
pub async fn authentication_info(s: &Arc<ApiServer>) -> Result<()> {
    let a = &s.cfg.authentication;
    let mut data = serde_json::Map::new();
    if let Some(ca) = &a.client_ca {
        data.insert("client-ca-file".into(), ca.pem().into());
    }
    if let Some(f) = &a.front_proxy {
        let list = |v: &[String]| Value::from(json!(v).to_string());
        data.insert("requestheader-client-ca-file".into(), f.ca.pem().into());
        data.insert("requestheader-allowed-names".into(), list(&f.allowed_names));
        data.insert("requestheader-username-headers".into(), list(&f.name_headers));
        data.insert("requestheader-uid-headers".into(), list(&f.uid_headers));
        data.insert("requestheader-group-headers".into(), list(&f.group_headers));
        data.insert("requestheader-extra-headers-prefix".into(), list(&f.extra_prefixes));
    }
    if data.is_empty() {
        return Ok(());
    }
    ensure_data(s, "extension-apiserver-authentication", data).await
}

async fn ensure_data(s: &Arc<ApiServer>, name: &str, data: serde_json::Map<String, Value>) -> Result<()> {
    match current(s, "", "configmaps", "kube-system", name) {
        None => {
            let obj = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "kube-system"}, "data": data,
            });
            create(s, "", "configmaps", &obj).await
        }
        Some(now) if now.get("data").and_then(Value::as_object) == Some(&data) => Ok(()),
        Some(now) => {
            let mut next = (*now).clone();
            next["data"] = Value::Object(data);
            replace(s, "", "configmaps", "", &next).await
        }
    }
}

/// The day since when uses of tokens in secrets are noted.
pub async fn token_tracking(s: &Arc<ApiServer>) -> Result<()> {
    let today = Timestamp { seconds: s.now().seconds, nanos: 0 }.rfc3339();
    let obj = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system"},
        "data": {"since": today.get(..10).unwrap_or("")},
    });
    create(s, "", "configmaps", &obj).await
}
