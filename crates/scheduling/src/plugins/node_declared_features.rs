//! `NodeDeclaredFeatures`: a pod that uses a new feature goes only to nodes that say they have it.

use super::stateless;
use crate::cluster::Cluster;
use crate::event::Event;
use crate::framework::{Cx, Plugin, PreFilter};
use crate::pod::PodInfo;
use crate::status::Refusal;
use k8s_openapi::api::core::v1::{Container, PodSpec};

pub struct NodeDeclaredFeatures;

/// Whether a pod uses a feature.
type Uses = fn(&PodSpec) -> bool;

/// Features that a node has to have before a pod that uses them can start there.
const FEATURES: [(&str, Uses); 3] = [
    ("RestartAllContainersOnContainerExits", restarts_all),
    ("UserNamespacesHostNetworkSupport", |s| s.host_network == Some(true) && s.host_users == Some(false)),
    ("VolumeBindMountOptions", mounts_with_options),
];

fn containers(s: &PodSpec) -> impl Iterator<Item = &Container> {
    s.containers.iter().chain(s.init_containers.iter().flatten())
}
fn restarts_all(s: &PodSpec) -> bool {
    containers(s)
        .flat_map(|c| c.restart_policy_rules.iter().flatten())
        .any(|r| r.action == "RestartAllContainers")
}
fn mounts_with_options(s: &PodSpec) -> bool {
    let later = s.ephemeral_containers.iter().flatten().flat_map(|c| c.volume_mounts.iter().flatten());
    let mut mounts = containers(s).flat_map(|c| c.volume_mounts.iter().flatten()).chain(later);
    mounts.any(|m| m.bind_mount_options.as_ref().is_some_and(|o| !o.is_empty()))
}

/// The features that a pod needs.
pub fn needed(s: &PodSpec) -> Vec<&'static str> {
    FEATURES.iter().filter(|f| f.1(s)).map(|f| f.0).collect()
}

stateless!(Check, |cx, node| {
    if cx.pod.features.iter().all(|f| node.spec.declared_features.iter().any(|d| d == f)) {
        return Ok(());
    }
    Err(Refusal::unresolvable("node(s) didn't match Pod's required features"))
});

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }
    fn local(&self) -> bool {
        true
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        if cx.pod.features.is_empty() { PreFilter::Skip } else { PreFilter::Run(Box::new(Check)) }
    }
    fn wants(&self, event: &Event<'_>, _: &PodInfo, _: &Cluster) -> bool {
        match event {
            Event::NodeAdded(_) => true,
            Event::NodeUpdated { change, .. } => change.features,
            Event::Target { old, new, .. } => old.features != new.features,
            _ => false,
        }
    }
}
