//! `VolumeZone`: volumes with zone labels are used in their zone.

use super::volume_binding::claim_not_found;
use crate::cluster::{ClaimKey, Cluster, Volume};
use crate::event::Event;
use crate::framework::{Cx, Filter, Plugin, PreFilter};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::status::Refusal;
use std::any::Any;

pub struct VolumeZone;

/// Labels, and what they are called today.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// A label of a volume and the values that do.
type Demand = (&'static str, &'static str, Vec<String>);

fn demands(v: &Volume) -> Vec<Demand> {
    LABELS
        .iter()
        .filter_map(|(key, now)| {
            let values = v.labels.get(*key)?.split("__").map(|z| z.trim().to_owned()).collect();
            Some((*key, *now, values))
        })
        .collect()
}

#[derive(Clone)]
struct Check(Vec<Demand>);

impl Filter for Check {
    fn check(&mut self, _: Cx<'_>, node: &NodeInfo) -> Result<(), Refusal> {
        if !LABELS.iter().any(|(k, _)| node.label(k).is_some()) {
            return Ok(());
        }
        for (key, now, values) in &self.0 {
            let v = node.label(key).or_else(|| node.label(now));
            if !v.is_some_and(|v| values.iter().any(|x| x == v)) {
                return Err(Refusal::unresolvable("node(s) had no available volume zone"));
            }
        }
        Ok(())
    }
    fn copy(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

fn of_pod(cx: Cx<'_>) -> Result<Vec<Demand>, Refusal> {
    let vols = &cx.cluster.volumes;
    let mut all = Vec::new();
    for c in cx.pod.claims.iter().filter(|c| !c.ephemeral) {
        let key = ClaimKey::new(&cx.pod.namespace, &c.name);
        let claim = vols.claim(&key).ok_or_else(|| Refusal::unresolvable(claim_not_found(&c.name)))?;
        if claim.volume.is_empty() {
            if claim.class.is_empty() {
                return Err(Refusal::unresolvable(
                    "PersistentVolumeClaim had no pv name and storageClass name",
                ));
            }
            let class = vols.class(&claim.class).ok_or_else(|| {
                let name = &claim.class;
                Refusal::unresolvable(format!("storageclass.storage.k8s.io \"{name}\" not found"))
            })?;
            if class.waits {
                continue;
            }
            return Err(Refusal::unresolvable("PersistentVolume had no name"));
        }
        let v = vols.volume(&claim.volume).ok_or_else(|| {
            Refusal::unresolvable(format!("persistentvolume \"{}\" not found", claim.volume))
        })?;
        all.extend(demands(v));
    }
    Ok(all)
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        match of_pod(cx) {
            Err(r) => PreFilter::Refuse(r),
            Ok(d) if d.is_empty() => PreFilter::Skip,
            Ok(d) => PreFilter::Run(Box::new(Check(d))),
        }
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, _: &Cluster) -> bool {
        match event {
            Event::ClassAdded(c) => c.waits,
            Event::NodeAdded(_) | Event::VolumeAdded(_) => true,
            Event::NodeUpdated { change, .. } => change.labels,
            Event::ClaimAdded(c) | Event::ClaimUpdated(c) => {
                c.key.namespace == pod.namespace
                    && pod.claims.iter().any(|p| !p.ephemeral && *p.name == *c.key.name)
            }
            Event::VolumeUpdated { old, new } => demands(old) != demands(new),
            _ => false,
        }
    }
}
