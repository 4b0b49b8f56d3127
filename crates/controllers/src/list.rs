//! The controllers, one line each, under upstream's names.

use crate::context::Ctx;
use futures::FutureExt;
use futures::future::BoxFuture;

/// A controller.
pub struct Descriptor {
    pub name: &'static str,
    pub alias: &'static str,
    /// The service account in kube-system it acts as.
    pub account: &'static str,
    /// What its events say they come from.
    pub component: &'static str,
    /// Whether `*` means it.
    pub default: bool,
    pub start: fn(Ctx) -> BoxFuture<'static, ()>,
}

macro_rules! controllers {
    ($($name:literal $alias:literal $account:literal $component:literal $default:literal $path:path;)*) => {
        pub static CONTROLLERS: &[Descriptor] = &[$(Descriptor {
            name: $name,
            alias: $alias,
            account: $account,
            component: $component,
            default: $default,
            start: |ctx| $path(ctx).boxed(),
        }),*];
    };
}

controllers! {
    // Being written in the worktree ctl2, not to be begun by others: resourcequota,
    // persistentvolume{claim,}-protection, persistentvolume-binder, ephemeral-volume, service-cidr,
    // serviceaccount-token, legacy-serviceaccount-token-cleaner, bootstrap-signer, token-cleaner, HPA,
    // volumeattributesclass-protection, podcertificaterequest-cleaner, resourceclaim.
    // Being written in the worktree ctl2, not to be begun by others: resourcequota, persistentvolume-binder,
    // serviceaccount-token, legacy-serviceaccount-token-cleaner, bootstrap-signer, token-cleaner, HPA, resourceclaim,
    // attach-detach, expander, validatingadmissionpolicy-status, storage-version-migrator, device-taint-eviction.
    "ephemeral-volume-controller" "ephemeral-volume" "ephemeral-volume-controller" "ephemeral_volume" true crate::ephemeral_volume::run;
    "persistentvolumeclaim-protection-controller" "pvc-protection" "pvc-protection-controller" "pvc-protection-controller" true crate::pvc_protection::run;
    "persistentvolume-protection-controller" "pv-protection" "pv-protection-controller" "pv-protection-controller" true crate::pv_protection::run;
    "volumeattributesclass-protection-controller" "" "volumeattributesclass-protection-controller" "volumeattributesclass-protection-controller" true crate::vac_protection::run;
    "podcertificaterequest-cleaner-controller" "" "podcertificaterequestcleaner" "podcertificaterequest-cleaner-controller" true crate::pcr_cleaner::run;
    "service-cidr-controller" "" "service-cidrs-controller" "service-cidr-controller" true crate::service_cidr::run;
    "resourcequota-controller" "resourcequota" "resourcequota-controller" "resourcequota-controller" true crate::resourcequota::run;
    "persistentvolume-binder-controller" "persistentvolume-binder" "persistent-volume-binder" "persistentvolume-controller" true crate::pv_binder::run;
    "serviceaccount-token-controller" "serviceaccount-token" "" "serviceaccount-token-controller" true crate::service_account_token::run;
    "legacy-serviceaccount-token-cleaner-controller" "legacy-service-account-token-cleaner" "legacy-service-account-token-cleaner" "legacy-service-account-token-cleaner" true crate::legacy_token_cleaner::run;
    "bootstrap-signer-controller" "bootstrapsigner" "bootstrap-signer" "bootstrap-signer" false crate::bootstrap_signer::run;
    "token-cleaner-controller" "tokencleaner" "token-cleaner" "token-cleaner" false crate::token_cleaner::run;
    "horizontal-pod-autoscaler-controller" "horizontalpodautoscaling" "horizontal-pod-autoscaler" "horizontal-pod-autoscaler" true crate::hpa::run;
    "resourceclaim-controller" "resource-claim-controller" "resource-claim-controller" "resource_claim" true crate::resourceclaim::run;
    "cronjob-controller" "cronjob" "cronjob-controller" "cronjob-controller" true crate::cronjob::run;
    "ttl-after-finished-controller" "ttl-after-finished" "ttl-after-finished-controller" "ttl-after-finished-controller" true crate::ttl_after_finished::run;
    "job-controller" "job" "job-controller" "job-controller" true crate::job::run;
    "certificatesigningrequest-approving-controller" "csrapproving" "certificate-controller" "certificate-controller" true crate::csr_approving::run;
    "certificatesigningrequest-signing-controller" "csrsigning" "certificate-controller" "certificate-controller" true crate::csr_signing::run;
    "certificatesigningrequest-cleaner-controller" "csrcleaner" "certificate-controller" "certificate-controller" true crate::csr_cleaner::run;
    "namespace-controller" "namespace" "namespace-controller" "namespace-controller" true crate::namespace::run;
    "garbage-collector-controller" "garbagecollector" "generic-garbage-collector" "garbage-collector-controller" true crate::garbage_collector::run;
    "replicaset-controller" "replicaset" "replicaset-controller" "replicaset-controller" true crate::replicaset::replicaset;
    "replicationcontroller-controller" "replicationcontroller" "replication-controller" "replication-controller" true crate::replicaset::replicationcontroller;
    "deployment-controller" "deployment" "deployment-controller" "deployment-controller" true crate::deployment::run;
    "statefulset-controller" "statefulset" "statefulset-controller" "statefulset-controller" true crate::statefulset::run;
    "daemonset-controller" "daemonset" "daemon-set-controller" "daemonset-controller" true crate::daemonset::run;
    "node-lifecycle-controller" "nodelifecycle" "node-controller" "node-controller" true crate::node_lifecycle::run;
    "taint-eviction-controller" "" "node-controller" "taint-eviction-controller" true crate::taint_eviction::run;
    "node-ipam-controller" "nodeipam" "node-controller" "node-ipam-controller" true crate::node_ipam::run;
    "serviceaccount-controller" "serviceaccount" "service-account-controller" "serviceaccount-controller" true crate::service_account::run;
    "root-ca-certificate-publisher-controller" "root-ca-cert-publisher" "root-ca-cert-publisher" "root-ca-certificate-publisher-controller" true crate::root_ca::run;
    "endpoints-controller" "endpoint" "endpoint-controller" "endpoint-controller" true crate::endpoints::run;
    "endpointslice-mirroring-controller" "endpointslicemirroring" "endpointslicemirroring-controller" "endpoint-slice-mirroring-controller" true crate::endpointslice_mirroring::run;
    "disruption-controller" "disruption" "disruption-controller" "controllermanager" true crate::disruption::run;
    "pod-garbage-collector-controller" "podgc" "pod-garbage-collector" "pod-garbage-collector-controller" true crate::pod_gc::run;
    "ttl-controller" "ttl" "ttl-controller" "ttl-controller" true crate::ttl::run;
    "clusterrole-aggregation-controller" "clusterrole-aggregation" "clusterrole-aggregation-controller" "clusterrole-aggregation-controller" true crate::cluster_role_aggregation::run;
    "endpointslice-controller" "endpointslice" "endpointslice-controller" "endpoint-slice-controller" true crate::endpointslice::run;

}

/// The names that a `--controllers` value enables. What comes first decides; unknown names are logged.
pub fn enabled(spec: &[String]) -> Vec<&'static str> {
    let spec: Vec<&str> = spec.iter().map(|s| s.trim()).filter(|s| !s.is_empty()).collect();
    for s in &spec {
        let bare = s.strip_prefix('-').unwrap_or(s);
        if bare != "*" && !CONTROLLERS.iter().any(|d| d.name == bare || d.alias == bare) {
            tracing::warn!("{bare:?} is not in the list of known controllers");
        }
    }
    let on = |d: &&Descriptor| {
        for s in &spec {
            let (bare, value) = s.strip_prefix('-').map_or((*s, true), |b| (b, false));
            if bare == d.name || bare == d.alias {
                return value;
            }
        }
        spec.contains(&"*") && d.default
    };
    CONTROLLERS.iter().filter(on).map(|d| d.name).collect()
}

/// Controllers of upstream's that are not here.
const ABSENT: &[&str] = &[
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
    "validatingadmissionpolicy-status-controller",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
    "device-taint-eviction-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "selinux-warning-controller",
    "podgroup-protection-controller",
    "resourcepoolstatusrequest-controller",
];

/// Refuses names that nobody knows, and upstream's controllers that are not here where they are wanted.
pub fn check(names: &[String]) -> Result<(), String> {
    for s in names.iter().map(|s| s.trim()).filter(|s| !s.is_empty()) {
        let (bare, wanted) = s.strip_prefix('-').map_or((s, true), |b| (b, false));
        if bare == "*" || CONTROLLERS.iter().any(|d| d.name == bare || d.alias == bare) {
            continue;
        }
        match (ABSENT.contains(&bare), wanted) {
            (true, false) => {}
            (true, true) => return Err(format!("--controllers: keelson has no {bare} yet")),
            (false, _) => {
                return Err(format!("--controllers: {bare:?} is not in the list of known controllers"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses() {
        let on = |s: &str| enabled(&s.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(on("deployment"), ["deployment-controller"]);
        assert!(!on("*,-deployment").contains(&"deployment-controller"));
        assert!(on("*,-deployment").contains(&"replicaset-controller"));
        assert!(on("").is_empty());
        assert!(!on("*").contains(&"bootstrap-signer-controller"));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = CONTROLLERS.iter().flat_map(|d| [d.name, d.alias]).collect();
        names.retain(|n| !n.is_empty());
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n);
    }
}
