//! `NodeVolumeLimits`: a node takes no more volumes of a CSI driver than the driver says.

use super::volume_binding::claim_not_found;
use crate::cluster::{Claim, ClaimKey, Cluster};
use crate::event::Event;
use crate::framework::{Cx, Filter, Plugin, PreFilter};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::status::Refusal;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};

pub struct NodeVolumeLimits;

/// Driver and handle of the volume a claim has or will get; a made-up handle for one that is to be made.
fn volume_of(cluster: &Cluster, c: &Claim) -> Option<(String, String)> {
    if let Some(v) = cluster.volumes.volume(&c.volume).filter(|_| !c.volume.is_empty()) {
        return v.csi.clone();
    }
    let class = cluster.volumes.class(&c.class)?;
    Some((class.provisioner.clone(), format!("unprovisioned-{}/{}", c.key.namespace, c.key.name)))
}

fn volumes(cluster: &Cluster, pod: &PodInfo) -> BTreeSet<(String, String)> {
    pod.claims
        .iter()
        .filter_map(|c| cluster.volumes.claim(&ClaimKey::new(&pod.namespace, &c.name)))
        .filter_map(|c| volume_of(cluster, c))
        .filter(|v| !v.0.is_empty() && !v.1.is_empty())
        .collect()
}

#[derive(Clone)]
struct Check {
    new: BTreeSet<(String, String)>,
}

impl Filter for Check {
    fn check(&mut self, cx: Cx<'_>, node: &NodeInfo) -> Result<(), Refusal> {
        let vols = &cx.cluster.volumes;
        let csi = vols.csi_node(node.name());
        for (driver, _) in &self.new {
            let wanted = vols.driver(driver).is_some_and(|d| d.prevents_scheduling);
            if wanted && !csi.is_some_and(|c| c.drivers.iter().any(|d| d.0 == *driver)) {
                return Err(Refusal::new(format!("{driver} CSI driver is not installed on the node")));
            }
        }
        let Some(csi) = csi.filter(|c| c.drivers.iter().any(|d| d.1.is_some())) else { return Ok(()) };
        let mut there: BTreeSet<(String, String)> = BTreeSet::new();
        for p in &node.pods {
            there.extend(volumes(cx.cluster, p));
        }
        for a in vols.attachments_of(node.name()) {
            if let Some((_, handle)) =
                a.volume.as_ref().and_then(|v| vols.volume(v)).and_then(|v| v.csi.as_ref())
            {
                there.insert((a.attacher.clone(), handle.clone()));
            }
        }
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for (driver, _) in self.new.difference(&there) {
            *counts.entry(driver).or_default() += 1;
        }
        for (driver, n) in counts {
            let limit = csi.drivers.iter().find(|d| d.0 == driver).and_then(|d| d.1);
            let used = there.iter().filter(|v| v.0 == driver).count();
            if limit.is_some_and(|l| i64::try_from(used).unwrap_or(i64::MAX).saturating_add(n) > l) {
                return Err(Refusal::new("node(s) exceed max volume count"));
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

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        if cx.pod.claims.is_empty() {
            return PreFilter::Skip;
        }
        for c in &cx.pod.claims {
            if cx.cluster.volumes.claim(&ClaimKey::new(&cx.pod.namespace, &c.name)).is_none() {
                let ns = &cx.pod.namespace;
                let why = format!("looking up PVC {ns}/{}: {}", c.name, claim_not_found(&c.name));
                return PreFilter::Refuse(Refusal::unresolvable(why));
            }
        }
        let new = volumes(cx.cluster, cx.pod);
        if new.is_empty() { PreFilter::Skip } else { PreFilter::Run(Box::new(Check { new })) }
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, _: &Cluster) -> bool {
        match event {
            Event::CsiNodeAdded(_) => true,
            Event::CsiNodeUpdated { old, new } => new.drivers.iter().any(|(d, limit)| {
                let was = old.drivers.iter().find(|o| o.0 == *d).and_then(|o| o.1).unwrap_or(0);
                limit.unwrap_or(0) > was
            }),
            Event::PodDeleted(p) => p.placed() && !p.claims.is_empty(),
            Event::ClaimAdded(c) => {
                c.key.namespace == pod.namespace && pod.claims.iter().any(|p| *p.name == *c.key.name)
            }
            Event::AttachmentDeleted => pod.claims.iter().any(|c| !c.ephemeral),
            _ => false,
        }
    }
}
