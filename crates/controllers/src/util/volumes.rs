//! Pods and the claims they use.

use super::meta::MetaExt;
use crate::k8s::core::{PersistentVolumeClaim, Pod, Volume};
use client::{Informer, Key};

/// The name of the index of pods by the claims they use.
pub const PODS_BY_CLAIM: &str = "claim";

/// The claim that a pod's volume uses; that of an ephemeral volume has a name made of the pod's and the volume's.
pub fn claim_name(pod: &Pod, v: &Volume) -> Option<String> {
    if let Some(c) = &v.persistent_volume_claim {
        return Some(c.claim_name.clone());
    }
    v.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name(), v.name))
}

pub fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|s| s.volumes.iter().flatten())
}

/// The keys of all claims of a pod.
pub fn claims(pod: &Pod) -> Vec<Key> {
    volumes(pod).filter_map(|v| claim_name(pod, v)).map(|n| Key::new(pod.namespace(), n)).collect()
}

pub fn index_by_claim(pods: &Informer<Pod>) {
    pods.add_index(PODS_BY_CLAIM, |p| claims(p).iter().map(ToString::to_string).collect());
}

/// Whether a claim was made for a pod's ephemeral volume.
pub fn is_for_pod(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    claim.namespace() == pod.namespace() && claim.is_controlled_by(pod.uid())
}
