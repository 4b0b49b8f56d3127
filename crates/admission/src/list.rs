//! The plugins in upstream's order: one line each (pkg/kubeapiserver/options/plugins.go).

use crate::config::Config;
use crate::plugins::*;
use crate::{Plugin, pod_security, quota};

/// How a line's plugin comes to be.
pub enum Make {
    /// From the configuration.
    Here(fn(&Config) -> Box<dyn Plugin>),
    /// It waits for the network or evaluates CEL: the API server has it, between [`crate::Chain::validate`] and
    /// [`crate::Chain::validate_last`].
    Outside,
    /// Not there: asking for it is an error.
    Missing,
}

/// A plugin by upstream's name.
pub struct Line {
    pub name: &'static str,
    pub on: bool,
    pub make: Make,
}

macro_rules! lines {
    ($($name:literal $on:ident $make:expr;)*) => {
        &[$(Line { name: $name, on: lines!(@ $on), make: $make }),*]
    };
    (@ on) => { true };
    (@ off) => { false };
}

macro_rules! here {
    ($e:expr) => {
        Make::Here(|_| Box::new($e))
    };
}

/// All 39 plugins.
pub const NAMES: &[Line] = lines! {
    "AlwaysAdmit" off here!(always::Admit);
    "NamespaceAutoProvision" off here!(namespace_auto_provision::NamespaceAutoProvision);
    "NamespaceLifecycle" on here!(namespace_lifecycle::NamespaceLifecycle);
    "NamespaceExists" off here!(namespace_exists::NamespaceExists);
    "LimitPodHardAntiAffinityTopology" off here!(limit_pod_hard_anti_affinity_topology::LimitPodHardAntiAffinityTopology);
    "LimitRanger" on here!(limit_ranger::LimitRanger);
    "ServiceAccount" on here!(service_account::ServiceAccount);
    "NodeRestriction" off here!(node_restriction::NodeRestriction);
    "TaintNodesByCondition" on here!(taint_nodes_by_condition::TaintNodesByCondition);
    "AlwaysPullImages" off here!(always_pull_images::AlwaysPullImages);
    "ImagePolicyWebhook" off Make::Missing;
    "PodSecurity" on Make::Here(|c| Box::new(pod_security::PodSecurity::new(c.pod_security.clone())));
    "PodNodeSelector" off Make::Here(|c| Box::new(pod_node_selector::PodNodeSelector(c.pod_node_selector.clone())));
    "Priority" on here!(priority::Priority);
    "DefaultTolerationSeconds" on Make::Here(|c| Box::new(default_toleration_seconds::DefaultTolerationSeconds {
        not_ready: c.not_ready_toleration_seconds,
        unreachable: c.unreachable_toleration_seconds,
    }));
    "PodTolerationRestriction" off Make::Here(|c| Box::new(pod_toleration_restriction::PodTolerationRestriction(c.tolerations.clone())));
    "EventRateLimit" off Make::Here(|c| Box::new(event_rate_limit::EventRateLimit::new(&c.event_limits)));
    "ExtendedResourceToleration" off here!(extended_resource_toleration::ExtendedResourceToleration);
    "DefaultStorageClass" on here!(default_storage_class::DefaultStorageClass);
    "StorageObjectInUseProtection" on here!(storage_object_in_use_protection::StorageObjectInUseProtection);
    "PodGroupProtection" on here!(pod_group_protection::PodGroupProtection);
    "OwnerReferencesPermissionEnforcement" off here!(owner_references::OwnerReferencesPermissionEnforcement);
    "PersistentVolumeClaimResize" on here!(persistent_volume_claim_resize::PersistentVolumeClaimResize);
    "RuntimeClass" on here!(runtime_class::RuntimeClass);
    "CertificateApproval" on here!(certificates::Approval);
    "CertificateSigning" on here!(certificates::Signing);
    "ClusterTrustBundleAttest" on here!(certificates::Attest);
    "CertificateSubjectRestriction" on here!(certificates::SubjectRestriction);
    "DefaultIngressClass" on here!(default_ingress_class::DefaultIngressClass);
    "DenyServiceExternalIPs" off here!(deny_service_external_ips::DenyServiceExternalIPs);
    "PodTopologyLabels" on here!(pod_topology_labels::PodTopologyLabels);
    "NodeDeclaredFeatureValidator" on here!(node_declared_features::NodeDeclaredFeatureValidator);
    "PodResizeValidator" on here!(pod_resize::PodResizeValidator);
    "MutatingAdmissionPolicy" on Make::Outside;
    "MutatingAdmissionWebhook" on Make::Outside;
    "ValidatingAdmissionPolicy" on Make::Outside;
    "ValidatingAdmissionWebhook" on Make::Outside;
    "ResourceQuota" on Make::Here(|c| Box::new(quota::ResourceQuota::new(c.limited_resources.clone())));
    "AlwaysDeny" off here!(always::Deny);
};

/// Those that are on unless disabled.
pub fn default_on() -> Vec<&'static str> {
    NAMES.iter().filter(|l| l.on).map(|l| l.name).collect()
}
