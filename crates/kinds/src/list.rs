//! The kinds that have behaviour of their own: one line each, sorted by resource and group.

use crate::at::{At, Errs};
use crate::{
    Strategy, admissionregistration, apiextensions, apps, autoscaling, batch, certificates, coordination,
    core, discovery, flowcontrol, internal, networking, node, policy, rbac, resource, scheduling, storage,
};

/// The strategy of kinds without a line: everything as the trait's defaults say.
pub(crate) struct Generic;
impl Strategy for Generic {}

/// Resource, group, strategy.
pub(crate) const KINDS: &[(&str, &str, &dyn Strategy)] = &[
    ("apiservices", "apiregistration.k8s.io", &apiextensions::apiservice::APIService),
    (
        "certificatesigningrequests",
        "certificates.k8s.io",
        &certificates::certificatesigningrequest::CertificateSigningRequest,
    ),
    ("clusterrolebindings", "rbac.authorization.k8s.io", &rbac::binding::Binding),
    ("clusterroles", "rbac.authorization.k8s.io", &rbac::role::Role),
    ("clustertrustbundles", "certificates.k8s.io", &certificates::clustertrustbundle::ClusterTrustBundle),
    ("componentstatuses", "", &core::componentstatus::ComponentStatus),
    ("compositepodgroups", "scheduling.k8s.io", &scheduling::compositepodgroup::CompositePodGroup),
    ("configmaps", "", &core::configmap::ConfigMap),
    ("controllerrevisions", "apps", &apps::controllerrevision::ControllerRevision),
    ("cronjobs", "batch", &batch::cronjob::CronJob),
    ("csidrivers", "storage.k8s.io", &storage::csidriver::CSIDriver),
    ("csinodes", "storage.k8s.io", &storage::csinode::CSINode),
    ("csistoragecapacities", "storage.k8s.io", &storage::csistoragecapacity::CSIStorageCapacity),
    (
        "customresourcedefinitions",
        "apiextensions.k8s.io",
        &apiextensions::customresourcedefinition::CustomResourceDefinition,
    ),
    ("daemonsets", "apps", &apps::daemonset::DaemonSet),
    ("deployments", "apps", &apps::deployment::Deployment),
    ("deviceclasses", "resource.k8s.io", &resource::deviceclass::DeviceClass),
    ("devicetaintrules", "resource.k8s.io", &resource::devicetaintrule::DeviceTaintRule),
    ("endpoints", "", &core::endpoints::Endpoints),
    ("endpointslices", "discovery.k8s.io", &discovery::endpointslice::EndpointSlice),
    ("events", "", &core::event::Event),
    ("events", "events.k8s.io", &core::event::Event),
    ("flowschemas", "flowcontrol.apiserver.k8s.io", &flowcontrol::flowschema::FlowSchema),
    (
        "horizontalpodautoscalers",
        "autoscaling",
        &autoscaling::horizontalpodautoscaler::HorizontalPodAutoscaler,
    ),
    ("ingressclasses", "networking.k8s.io", &networking::ingressclass::IngressClass),
    ("ingresses", "networking.k8s.io", &networking::ingress::Ingress),
    ("ipaddresses", "networking.k8s.io", &networking::ipaddress::IPAddress),
    ("jobs", "batch", &batch::job::Job),
    ("leasecandidates", "coordination.k8s.io", &coordination::leasecandidate::LeaseCandidate),
    ("leases", "coordination.k8s.io", &coordination::lease::Lease),
    ("limitranges", "", &core::limitrange::LimitRange),
    ("mutatingadmissionpolicies", "admissionregistration.k8s.io", &admissionregistration::policy::Policy),
    (
        "mutatingadmissionpolicybindings",
        "admissionregistration.k8s.io",
        &admissionregistration::policybinding::PolicyBinding,
    ),
    (
        "mutatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        &admissionregistration::webhookconfiguration::WebhookConfiguration,
    ),
    ("namespaces", "", &core::namespace::Namespace),
    ("networkpolicies", "networking.k8s.io", &networking::networkpolicy::NetworkPolicy),
    ("nodes", "", &core::node::Node),
    ("persistentvolumeclaims", "", &core::persistentvolumeclaim::PersistentVolumeClaim),
    ("persistentvolumes", "", &core::persistentvolume::PersistentVolume),
    (
        "podcertificaterequests",
        "certificates.k8s.io",
        &certificates::podcertificaterequest::PodCertificateRequest,
    ),
    ("poddisruptionbudgets", "policy", &policy::poddisruptionbudget::PodDisruptionBudget),
    ("podgroups", "scheduling.k8s.io", &scheduling::podgroup::PodGroup),
    ("pods", "", &core::pod::Pod),
    ("podtemplates", "", &core::podtemplate::PodTemplate),
    ("priorityclasses", "scheduling.k8s.io", &scheduling::priorityclass::PriorityClass),
    (
        "prioritylevelconfigurations",
        "flowcontrol.apiserver.k8s.io",
        &flowcontrol::prioritylevelconfiguration::PriorityLevelConfiguration,
    ),
    ("replicasets", "apps", &apps::replicaset::ReplicaSet),
    ("replicationcontrollers", "", &core::replicationcontroller::ReplicationController),
    ("resourceclaims", "resource.k8s.io", &resource::resourceclaim::ResourceClaim),
    ("resourceclaimtemplates", "resource.k8s.io", &resource::resourceclaimtemplate::ResourceClaimTemplate),
    ("resourcequotas", "", &core::resourcequota::ResourceQuota),
    ("resourceslices", "resource.k8s.io", &resource::resourceslice::ResourceSlice),
    ("rolebindings", "rbac.authorization.k8s.io", &rbac::binding::Binding),
    ("roles", "rbac.authorization.k8s.io", &rbac::role::Role),
    ("runtimeclasses", "node.k8s.io", &node::runtimeclass::RuntimeClass),
    ("secrets", "", &core::secret::Secret),
    ("serviceaccounts", "", &core::serviceaccount::ServiceAccount),
    ("servicecidrs", "networking.k8s.io", &networking::servicecidr::ServiceCIDR),
    ("services", "", &core::service::Service),
    ("statefulsets", "apps", &apps::statefulset::StatefulSet),
    ("storageclasses", "storage.k8s.io", &storage::storageclass::StorageClass),
    (
        "storageversionmigrations",
        "storagemigration.k8s.io",
        &internal::storageversionmigration::StorageVersionMigration,
    ),
    ("storageversions", "internal.apiserver.k8s.io", &internal::storageversion::StorageVersion),
    ("validatingadmissionpolicies", "admissionregistration.k8s.io", &admissionregistration::policy::Policy),
    (
        "validatingadmissionpolicybindings",
        "admissionregistration.k8s.io",
        &admissionregistration::policybinding::PolicyBinding,
    ),
    (
        "validatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        &admissionregistration::webhookconfiguration::WebhookConfiguration,
    ),
    ("volumeattachments", "storage.k8s.io", &storage::volumeattachment::VolumeAttachment),
    ("volumeattributesclasses", "storage.k8s.io", &storage::volumeattributesclass::VolumeAttributesClass),
    ("workloads", "scheduling.k8s.io", &scheduling::workload::Workload),
];

/// The hooks of a resource; a generic strategy for resources without behaviour of their own.
pub fn strategy(group: &str, resource: &str) -> &'static dyn Strategy {
    match KINDS.binary_search_by(|(r, g, _)| (*r, *g).cmp(&(resource, group))) {
        Ok(i) => KINDS[i].2,
        Err(_) => &Generic,
    }
}

/// A finalizer without a prefix is one of the system's own.
pub(crate) fn finalizer(name: &str, at: &At<'_>, e: &mut Errs) {
    if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
        e.invalid(at, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted() {
        assert!(KINDS.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
    }
}
