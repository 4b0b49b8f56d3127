//! The kinds that have behaviour of their own: one line each, sorted by resource and group.

use crate::at::{At, Errs};
use crate::full::Full;
use crate::{
    Strategy, admissionregistration, apiextensions, apps, autoscaling, batch, certificates, coordination,
    core, discovery, flowcontrol, internal, networking, node, policy, rbac, resource, scheduling, storage,
};

/// The strategy of kinds without a line: everything as the trait's defaults say.
pub(crate) struct Generic;
impl Strategy for Generic {}

/// Resource, group, strategy.
pub(crate) const KINDS: &[(&str, &str, &dyn Strategy)] = &[
    ("apiservices", "apiregistration.k8s.io", &Full(apiextensions::apiservice::APIService)),
    (
        "certificatesigningrequests",
        "certificates.k8s.io",
        &Full(certificates::certificatesigningrequest::CertificateSigningRequest),
    ),
    ("clusterrolebindings", "rbac.authorization.k8s.io", &Full(rbac::binding::Binding)),
    ("clusterroles", "rbac.authorization.k8s.io", &Full(rbac::role::Role)),
    (
        "clustertrustbundles",
        "certificates.k8s.io",
        &Full(certificates::clustertrustbundle::ClusterTrustBundle),
    ),
    ("componentstatuses", "", &Full(core::componentstatus::ComponentStatus)),
    ("compositepodgroups", "scheduling.k8s.io", &Full(scheduling::compositepodgroup::CompositePodGroup)),
    ("configmaps", "", &Full(core::configmap::ConfigMap)),
    ("controllerrevisions", "apps", &Full(apps::controllerrevision::ControllerRevision)),
    ("cronjobs", "batch", &Full(batch::cronjob::CronJob)),
    ("csidrivers", "storage.k8s.io", &Full(storage::csidriver::CSIDriver)),
    ("csinodes", "storage.k8s.io", &Full(storage::csinode::CSINode)),
    ("csistoragecapacities", "storage.k8s.io", &Full(storage::csistoragecapacity::CSIStorageCapacity)),
    (
        "customresourcedefinitions",
        "apiextensions.k8s.io",
        &Full(apiextensions::customresourcedefinition::CustomResourceDefinition),
    ),
    ("daemonsets", "apps", &Full(apps::daemonset::DaemonSet)),
    ("deployments", "apps", &Full(apps::deployment::Deployment)),
    ("deviceclasses", "resource.k8s.io", &Full(resource::deviceclass::DeviceClass)),
    ("devicetaintrules", "resource.k8s.io", &Full(resource::devicetaintrule::DeviceTaintRule)),
    ("endpoints", "", &Full(core::endpoints::Endpoints)),
    ("endpointslices", "discovery.k8s.io", &Full(discovery::endpointslice::EndpointSlice)),
    ("events", "", &Full(core::event::Event)),
    ("events", "events.k8s.io", &Full(core::event::Event)),
    ("flowschemas", "flowcontrol.apiserver.k8s.io", &Full(flowcontrol::flowschema::FlowSchema)),
    (
        "horizontalpodautoscalers",
        "autoscaling",
        &Full(autoscaling::horizontalpodautoscaler::HorizontalPodAutoscaler),
    ),
    ("ingressclasses", "networking.k8s.io", &Full(networking::ingressclass::IngressClass)),
    ("ingresses", "networking.k8s.io", &Full(networking::ingress::Ingress)),
    ("ipaddresses", "networking.k8s.io", &Full(networking::ipaddress::IPAddress)),
    ("jobs", "batch", &Full(batch::job::Job)),
    ("leasecandidates", "coordination.k8s.io", &Full(coordination::leasecandidate::LeaseCandidate)),
    ("leases", "coordination.k8s.io", &Full(coordination::lease::Lease)),
    ("limitranges", "", &Full(core::limitrange::LimitRange)),
    (
        "mutatingadmissionpolicies",
        "admissionregistration.k8s.io",
        &Full(admissionregistration::policy::Policy),
    ),
    (
        "mutatingadmissionpolicybindings",
        "admissionregistration.k8s.io",
        &Full(admissionregistration::policybinding::PolicyBinding),
    ),
    (
        "mutatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        &Full(admissionregistration::webhookconfiguration::WebhookConfiguration),
    ),
    ("namespaces", "", &Full(core::namespace::Namespace)),
    ("networkpolicies", "networking.k8s.io", &Full(networking::networkpolicy::NetworkPolicy)),
    ("nodes", "", &Full(core::node::Node)),
    ("persistentvolumeclaims", "", &Full(core::persistentvolumeclaim::PersistentVolumeClaim)),
    ("persistentvolumes", "", &Full(core::persistentvolume::PersistentVolume)),
    (
        "podcertificaterequests",
        "certificates.k8s.io",
        &Full(certificates::podcertificaterequest::PodCertificateRequest),
    ),
    ("poddisruptionbudgets", "policy", &Full(policy::poddisruptionbudget::PodDisruptionBudget)),
    ("podgroups", "scheduling.k8s.io", &Full(scheduling::podgroup::PodGroup)),
    ("pods", "", &Full(core::pod::Pod)),
    ("podtemplates", "", &Full(core::podtemplate::PodTemplate)),
    ("priorityclasses", "scheduling.k8s.io", &Full(scheduling::priorityclass::PriorityClass)),
    (
        "prioritylevelconfigurations",
        "flowcontrol.apiserver.k8s.io",
        &Full(flowcontrol::prioritylevelconfiguration::PriorityLevelConfiguration),
    ),
    ("replicasets", "apps", &Full(apps::replicaset::ReplicaSet)),
    ("replicationcontrollers", "", &Full(core::replicationcontroller::ReplicationController)),
    ("resourceclaims", "resource.k8s.io", &Full(resource::resourceclaim::ResourceClaim)),
    (
        "resourceclaimtemplates",
        "resource.k8s.io",
        &Full(resource::resourceclaimtemplate::ResourceClaimTemplate),
    ),
    ("resourcequotas", "", &Full(core::resourcequota::ResourceQuota)),
    ("resourceslices", "resource.k8s.io", &Full(resource::resourceslice::ResourceSlice)),
    ("rolebindings", "rbac.authorization.k8s.io", &Full(rbac::binding::Binding)),
    ("roles", "rbac.authorization.k8s.io", &Full(rbac::role::Role)),
    ("runtimeclasses", "node.k8s.io", &Full(node::runtimeclass::RuntimeClass)),
    ("secrets", "", &Full(core::secret::Secret)),
    ("serviceaccounts", "", &Full(core::serviceaccount::ServiceAccount)),
    ("servicecidrs", "networking.k8s.io", &Full(networking::servicecidr::ServiceCIDR)),
    ("services", "", &Full(core::service::Service)),
    ("statefulsets", "apps", &Full(apps::statefulset::StatefulSet)),
    ("storageclasses", "storage.k8s.io", &Full(storage::storageclass::StorageClass)),
    (
        "storageversionmigrations",
        "storagemigration.k8s.io",
        &Full(internal::storageversionmigration::StorageVersionMigration),
    ),
    ("storageversions", "internal.apiserver.k8s.io", &Full(internal::storageversion::StorageVersion)),
    (
        "validatingadmissionpolicies",
        "admissionregistration.k8s.io",
        &Full(admissionregistration::policy::Policy),
    ),
    (
        "validatingadmissionpolicybindings",
        "admissionregistration.k8s.io",
        &Full(admissionregistration::policybinding::PolicyBinding),
    ),
    (
        "validatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        &Full(admissionregistration::webhookconfiguration::WebhookConfiguration),
    ),
    ("volumeattachments", "storage.k8s.io", &Full(storage::volumeattachment::VolumeAttachment)),
    (
        "volumeattributesclasses",
        "storage.k8s.io",
        &Full(storage::volumeattributesclass::VolumeAttributesClass),
    ),
    ("workloads", "scheduling.k8s.io", &Full(scheduling::workload::Workload)),
];

/// The hooks of a resource; a generic strategy for resources without behaviour of their own.
pub fn strategy(group: &str, resource: &str) -> &'static dyn Strategy {
    match KINDS.binary_search_by(|(r, g, _)| (*r, *g).cmp(&(resource, group))) {
        Ok(i) => KINDS[i].2,
        Err(_) => &Full(Generic),
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
