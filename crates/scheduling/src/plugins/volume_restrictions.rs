//! `VolumeRestrictions`: disks that cannot be in two places, and claims for one pod at a time.

use super::volume_binding::claim_not_found;
use crate::cluster::{ClaimKey, Cluster};
use crate::event::Event;
use crate::framework::{Cx, Filter, Plugin, PreFilter};
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::status::Refusal;
use std::any::Any;

pub struct VolumeRestrictions;

#[derive(Clone)]
struct Check {
    /// ReadWriteOncePod claims of the pod.
    exclusive: Vec<String>,
    /// How often they are in use.
    in_use: i64,
}

impl Check {
    fn uses(&self, cx: Cx<'_>, pod: &PodInfo) -> i64 {
        if pod.namespace != cx.pod.namespace {
            return 0;
        }
        let n = pod.claims.iter().filter(|c| !c.ephemeral && self.exclusive.contains(&c.name)).count();
        i64::try_from(n).unwrap_or(i64::MAX)
    }
}

fn disks_conflict(pod: &PodInfo, others: &[std::sync::Arc<PodInfo>]) -> bool {
    pod.disks.iter().any(|d| others.iter().any(|o| o.disks.iter().any(|x| d.conflicts(x))))
}

impl Filter for Check {
    fn check(&mut self, cx: Cx<'_>, node: &NodeInfo) -> Result<(), Refusal> {
        if disks_conflict(cx.pod, &node.pods) {
            return Err(Refusal::new("node(s) had no available disk"));
        }
        if self.in_use > 0 {
            return Err(Refusal::new(
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
            ));
        }
        Ok(())
    }
    fn add_pod(&mut self, cx: Cx<'_>, pod: &PodInfo, _: &NodeInfo) {
        self.in_use += self.uses(cx, pod);
    }
    fn remove_pod(&mut self, cx: Cx<'_>, pod: &PodInfo, _: &NodeInfo) {
        self.in_use -= self.uses(cx, pod);
    }
    fn copy(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        let mut check = Check { exclusive: Vec::new(), in_use: 0 };
        for c in cx.pod.claims.iter().filter(|c| !c.ephemeral) {
            let key = ClaimKey::new(&cx.pod.namespace, &c.name);
            let Some(claim) = cx.cluster.volumes.claim(&key) else {
                return PreFilter::Refuse(Refusal::unresolvable(claim_not_found(&c.name)));
            };
            if claim.modes.iter().any(|m| m == "ReadWriteOncePod") && !check.exclusive.contains(&c.name) {
                check.in_use += i64::from(cx.cluster.claim_users(&key) > 0);
                check.exclusive.push(c.name.clone());
            }
        }
        if cx.pod.disks.is_empty() && check.in_use == 0 {
            return PreFilter::Skip;
        }
        PreFilter::Run(Box::new(check))
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, _: &Cluster) -> bool {
        match event {
            Event::NodeAdded(_) => true,
            Event::PodDeleted(p) => {
                p.namespace == pod.namespace
                    && (pod.disks.iter().any(|d| p.disks.iter().any(|x| d.conflicts(x)))
                        || pod.claims.iter().any(|c| !c.ephemeral && p.claims.contains(c)))
            }
            Event::ClaimAdded(c) => {
                c.key.namespace == pod.namespace
                    && pod.claims.iter().any(|p| !p.ephemeral && *p.name == *c.key.name)
            }
            _ => false,
        }
    }
}
