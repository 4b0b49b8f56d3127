//! `VolumeBinding`: bound claims are reachable from the node, and unbound ones that wait for a pod find a volume or can get
//! one made.

use crate::cluster::{Claim, ClaimKey, Class, Cluster, Volume, VolumePlan};
use crate::event::Event;
use crate::framework::{Cx, Filter, MAX_SCORE, Plugin, PreFilter};
use crate::matching::matches;
use crate::node::NodeInfo;
use crate::plugins::resources_fit::utilization_score;
use crate::pod::PodInfo;
use crate::status::{Code, Reason, Reasons, Refusal};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub struct VolumeBinding {
    /// Points of utilization and score (both 0 to 100): by default the fuller storage is better for volumes at hand, the
    /// emptier for new ones.
    pub shape: Vec<(i64, i64)>,
}

impl Default for VolumeBinding {
    fn default() -> Self {
        Self { shape: vec![(0, MAX_SCORE), (100, 0)] }
    }
}

pub fn claim_not_found(name: &str) -> String {
    format!("persistentvolumeclaim \"{name}\" not found")
}

/// The claims of a pod.
#[derive(Clone, Default)]
struct Claims {
    bound: Vec<Arc<Claim>>,
    /// Unbound, to be bound now. Smallest first.
    waiting: Vec<Arc<Claim>>,
}

/// What a node would have to do.
#[derive(Clone, Default)]
struct Found {
    bind: Vec<(Arc<Volume>, Arc<Claim>)>,
    /// With the capacity the node's storage reports.
    provision: Vec<(Arc<Claim>, Option<i64>)>,
}

#[derive(Clone)]
pub struct State {
    claims: Arc<Claims>,
    by_node: HashMap<usize, Found>,
}

impl State {
    /// What has to be written for a node; `None`: it was not looked at.
    pub fn plan(&self, slot: usize, node: &str) -> Option<VolumePlan> {
        let f = self.by_node.get(&slot)?;
        Some(VolumePlan {
            node: node.to_owned(),
            bind: f.bind.iter().map(|(v, c)| (v.name.clone(), c.key.clone(), c.uid.clone())).collect(),
            provision: f.provision.iter().map(|(c, _)| c.key.clone()).collect(),
        })
    }
}

impl Filter for State {
    fn check(&mut self, cx: Cx<'_>, node: &NodeInfo) -> Result<(), Refusal> {
        let (found, mut reasons) = find(cx, &self.claims, node)?;
        if reasons.is_empty() {
            self.by_node.insert(node.slot, found);
            return Ok(());
        }
        let reasons =
            if reasons.len() == 1 { Reasons::One(reasons.remove(0)) } else { Reasons::Many(reasons) };
        Err(Refusal { code: Code::Unresolvable, reasons })
    }
    fn copy(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

fn find(cx: Cx<'_>, claims: &Claims, node: &NodeInfo) -> Result<(Found, Vec<Reason>), Refusal> {
    let vols = &cx.cluster.volumes;
    let labels = &node.spec.labels;
    let mut reasons: Vec<Reason> = Vec::new();
    let (mut fits, mut exist) = (true, true);
    for c in &claims.bound {
        match vols.volume(&c.volume) {
            None => {
                exist = false;
                break;
            }
            Some(v) if !v.fits_node(labels, node.name()) => {
                fits = false;
                break;
            }
            Some(_) => {}
        }
    }
    if !fits {
        reasons.push("node(s) didn't match PersistentVolume's node affinity".into());
    }
    let mut found = Found::default();
    let mut provision: Vec<&Arc<Claim>> = Vec::new();
    let (mut satisfied, mut enough) = (true, true);
    let mut taken: Vec<&str> = Vec::new();
    for c in &claims.waiting {
        match vols.selected_node(c) {
            Some(n) if n != node.name() => {
                satisfied = false;
                provision.clear();
                break;
            }
            Some(_) => provision.push(c),
            None => match matching_volume(cx.cluster, c, node, &taken) {
                Some(v) => {
                    taken.push(&v.name);
                    found.bind.push((v.clone(), c.clone()));
                }
                None => provision.push(c),
            },
        }
    }
    for c in provision {
        let class = vols
            .class(&c.class)
            .ok_or_else(|| Refusal::error(format!("failed to find storage class \"{}\"", c.class)))?;
        if class.provisioner.is_empty()
            || class.provisioner == "kubernetes.io/no-provisioner"
            || !class.allows(labels)
        {
            satisfied = false;
            break;
        }
        match capacity(cx.cluster, c, class, node) {
            None => {
                enough = false;
                break;
            }
            Some(total) => found.provision.push((c.clone(), total)),
        }
    }
    if !satisfied {
        reasons.push("node(s) didn't find available persistent volumes to bind".into());
    }
    if !enough {
        reasons.push("node(s) did not have enough free storage".into());
    }
    if !exist {
        reasons.push("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)".into());
    }
    Ok((found, reasons))
}

/// The smallest volume that does (component-helpers `storage/volume/pv_helpers.go`).
fn matching_volume<'a>(
    cluster: &'a Cluster,
    c: &'a Claim,
    node: &NodeInfo,
    taken: &[&str],
) -> Option<&'a Arc<Volume>> {
    let mut best: Option<&Arc<Volume>> = None;
    for (v, claim) in cluster.volumes.of_class(&c.class) {
        if taken.contains(&v.name.as_str()) {
            continue;
        }
        let ours = claim.is_some_and(|(k, uid)| *k == c.key && (uid.is_empty() || *uid == c.uid));
        if claim.is_some() && !ours {
            continue;
        }
        if v.capacity < c.request.unwrap_or(0)
            || v.block != c.block
            || v.attributes_class != c.attributes_class
            || v.deleting
        {
            continue;
        }
        let fits = v.fits_node(&node.spec.labels, node.name());
        if ours {
            return fits.then_some(v);
        }
        if !v.available
            || !fits
            || c.selector.as_ref().is_some_and(|s| !matches(s, &v.labels))
            || !c.modes.iter().all(|m| v.modes.contains(m))
        {
            continue;
        }
        if best.is_none_or(|b| v.capacity < b.capacity) {
            best = Some(v);
        }
    }
    best
}

/// `None`: there is not enough; else what the storage has in all, if it says so.
fn capacity(cluster: &Cluster, c: &Claim, class: &Class, node: &NodeInfo) -> Option<Option<i64>> {
    let Some(want) = c.request else { return Some(None) };
    if !cluster.volumes.driver(&class.provisioner).is_some_and(|d| d.capacity) {
        return Some(None);
    }
    cluster
        .volumes
        .capacities()
        .find(|s| {
            s.class == class.name
                && s.limit.is_some_and(|l| l >= want)
                && s.nodes.as_ref().is_some_and(|n| matches(n, &node.spec.labels))
        })
        .map(|s| Some(s.total))
}

fn claims(cx: Cx<'_>) -> Result<Claims, Refusal> {
    let vols = &cx.cluster.volumes;
    let mut all = Claims::default();
    let mut immediate = false;
    for r in &cx.pod.claims {
        let key = ClaimKey::new(&cx.pod.namespace, &r.name);
        let Some(c) = vols.claim(&key) else {
            return Err(Refusal::unresolvable(if r.ephemeral {
                format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{}\"",
                    r.name
                )
            } else {
                claim_not_found(&r.name)
            }));
        };
        if c.lost {
            return Err(Refusal::unresolvable(format!(
                "persistentvolumeclaim \"{}\" bound to non-existent persistentvolume \"{}\"",
                r.name, c.volume
            )));
        }
        if c.deleting {
            return Err(Refusal::unresolvable(format!(
                "persistentvolumeclaim \"{}\" is being deleted",
                r.name
            )));
        }
        if r.ephemeral && c.owner.as_deref() != Some(&*cx.pod.uid) {
            return Err(Refusal::unresolvable(format!(
                "PVC {}/{} was not created for pod {}/{} (pod is not owner)",
                cx.pod.namespace, r.name, cx.pod.namespace, cx.pod.name
            )));
        }
        if c.bound {
            all.bound.push(c.clone());
        } else if c.volume.is_empty() && vols.class(&c.class).is_some_and(|k| k.waits) {
            all.waiting.push(c.clone());
        } else {
            immediate = true;
        }
    }
    if immediate {
        return Err(Refusal::unresolvable("pod has unbound immediate PersistentVolumeClaims"));
    }
    all.waiting.sort_by_key(|c| c.request.unwrap_or(0));
    Ok(all)
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }
    fn pre_filter(&self, cx: Cx<'_>) -> PreFilter {
        if cx.pod.claims.is_empty() {
            return PreFilter::Skip;
        }
        match claims(cx) {
            Err(r) => PreFilter::Refuse(r),
            Ok(c) => PreFilter::Run(Box::new(State { claims: Arc::new(c), by_node: HashMap::new() })),
        }
    }
    fn score(
        &self,
        _: Cx<'_>,
        nodes: &[usize],
        mine: Option<&mut Box<dyn Filter>>,
        scores: &mut [i64],
    ) -> bool {
        let Some(state) = mine.and_then(|m| m.as_any().downcast_mut::<State>()) else { return false };
        for (slot, score) in nodes.iter().zip(scores.iter_mut()) {
            let Some(f) = state.by_node.get(slot) else { continue };
            let mut classes: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
            if f.bind.is_empty() {
                for (c, total) in f.provision.iter().filter_map(|(c, t)| Some((c, (*t)?))) {
                    let e = classes.entry(&c.class).or_default();
                    e.0 += c.request.unwrap_or(0);
                    e.1 = total;
                }
            } else {
                for (v, c) in &f.bind {
                    let e = classes.entry(&v.class).or_default();
                    e.0 += c.request.unwrap_or(0);
                    e.1 += v.capacity;
                }
            }
            if classes.is_empty() {
                continue;
            }
            let sum: i64 = classes.values().map(|(r, c)| utilization_score(&self.shape, *r, *c)).sum();
            *score = (sum as f64 / classes.len() as f64).round() as i64;
        }
        true
    }
    fn wants(&self, event: &Event<'_>, pod: &PodInfo, _: &Cluster) -> bool {
        match event {
            Event::ClassAdded(_)
            | Event::VolumeAdded(_)
            | Event::VolumeUpdated { .. }
            | Event::NodeAdded(_)
            | Event::CsiNodeAdded(_)
            | Event::CapacityAdded(_) => true,
            Event::NodeUpdated { change, .. } => change.labels,
            Event::ClassUpdated { old, new } => old.topologies != new.topologies,
            Event::ClaimAdded(c) | Event::ClaimUpdated(c) => {
                c.key.namespace == pod.namespace && pod.claims.iter().any(|p| *p.name == *c.key.name)
            }
            Event::CsiNodeUpdated { old, new } => old.migrated != new.migrated,
            Event::CapacityUpdated { old, new } => new.limit.is_some_and(|n| old.limit.is_none_or(|o| n > o)),
            Event::DriverUpdated { old, new, .. } => old.capacity && !new.capacity,
            _ => false,
        }
    }
}
