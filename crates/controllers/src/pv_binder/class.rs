//! Storage classes of claims and volumes, and provisioners that have moved out of Kubernetes.

use crate::k8s::core::{PersistentVolume, PersistentVolumeClaim};
use crate::k8s::storage::StorageClass;
use crate::util::meta::MetaExt;

const BETA: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// The class a claim asks for; empty for none.
pub fn of_claim(c: &PersistentVolumeClaim) -> &str {
    let spec = c.spec.as_ref().and_then(|s| s.storage_class_name.as_deref());
    c.annotation(BETA).or(spec).unwrap_or_default()
}
/// Whether a claim says which class it wants, be it none.
pub fn is_set(c: &PersistentVolumeClaim) -> bool {
    c.annotation(BETA).is_some() || c.spec.as_ref().is_some_and(|s| s.storage_class_name.is_some())
}
pub fn of_volume(v: &PersistentVolume) -> &str {
    let spec = v.spec.as_ref().and_then(|s| s.storage_class_name.as_deref());
    v.annotation(BETA).or(spec).unwrap_or_default()
}
pub fn waits_for_consumer(c: &StorageClass) -> bool {
    c.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// The default class: of several the youngest, then by name.
pub fn default(all: &[StorageClass]) -> Option<&StorageClass> {
    let is_default = |c: &&StorageClass| DEFAULT.iter().any(|a| c.annotation(a) == Some("true"));
    all.iter()
        .filter(is_default)
        .min_by(|a, b| b.created().cmp(&a.created()).then_with(|| a.name().cmp(b.name())))
}

/// Drivers that do the work of plugins that Kubernetes once had.
const MOVED: &[(&str, &str)] = &[
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/azure-file", "file.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
];

pub fn moved_to(provisioner: &str) -> Option<&'static str> {
    MOVED.iter().find(|(old, _)| *old == provisioner).map(|(_, new)| *new)
}

/// The provisioner that is to make volumes of a class, if it is one outside.
pub fn provisioner(class: &StorageClass) -> Result<&str, String> {
    let p = class.provisioner.as_str();
    match moved_to(p) {
        Some(new) => Ok(new),
        None if p.starts_with("kubernetes.io/") => Err(format!("no volume plugin matched name: {p}")),
        None => Ok(p),
    }
}
