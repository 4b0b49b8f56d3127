//! Claims, volumes, classes and what CSI says about nodes; with what we decided and the API has not shown yet.

use crate::matching::{Labels, NodeTerm, label_selector, node_selector};
use crate::resources::storage_of;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{
    CSIDriver as ApiCsiDriver, CSINode as ApiCsiNode, CSIStorageCapacity, StorageClass, VolumeAttachment,
};
use meta::selector::Selector;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ClaimKey {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    pub key: ClaimKey,
    pub uid: String,
    /// Empty while unbound.
    pub volume: String,
    pub class: String,
    /// Bound, and both sides know it.
    pub bound: bool,
    pub selected_node: Option<String>,
    pub lost: bool,
    pub deleting: bool,
    pub modes: Vec<String>,
    pub request: Option<i64>,
    pub selector: Option<Selector>,
    pub block: bool,
    pub attributes_class: String,
    /// The controller that owns it, by uid.
    pub owner: Option<String>,
}

impl Claim {
    pub fn of(c: &PersistentVolumeClaim) -> Self {
        let m = &c.metadata;
        let spec = c.spec.as_ref();
        let note = |k: &str| m.annotations.as_ref().and_then(|a| a.get(k)).cloned();
        let volume = spec.and_then(|s| s.volume_name.clone()).unwrap_or_default();
        Self {
            key: ClaimKey::new(
                m.namespace.as_deref().unwrap_or_default(),
                m.name.as_deref().unwrap_or_default(),
            ),
            uid: m.uid.clone().unwrap_or_default(),
            bound: !volume.is_empty() && note(BIND_COMPLETED).is_some(),
            volume,
            class: note(BETA_CLASS)
                .or_else(|| spec.and_then(|s| s.storage_class_name.clone()))
                .unwrap_or_default(),
            selected_node: note(SELECTED_NODE),
            lost: c.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Lost"),
            deleting: m.deletion_timestamp.is_some(),
            modes: spec.and_then(|s| s.access_modes.clone()).unwrap_or_default(),
            request: storage_of(spec.and_then(|s| s.resources.as_ref()).and_then(|r| r.requests.as_ref())),
            selector: spec.and_then(|s| s.selector.as_ref()).map(|s| label_selector(Some(s))),
            block: spec.and_then(|s| s.volume_mode.as_deref()) == Some("Block"),
            attributes_class: spec.and_then(|s| s.volume_attributes_class_name.clone()).unwrap_or_default(),
            owner: m
                .owner_references
                .iter()
                .flatten()
                .find(|o| o.controller == Some(true))
                .map(|o| o.uid.clone()),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    pub name: String,
    pub labels: Labels,
    pub capacity: i64,
    pub class: String,
    /// The claim it is bound to or kept for, and that claim's uid (may be empty).
    pub claim: Option<(ClaimKey, String)>,
    pub available: bool,
    pub deleting: bool,
    pub modes: Vec<String>,
    pub block: bool,
    pub attributes_class: String,
    pub nodes: Option<Vec<NodeTerm>>,
    /// Driver and handle.
    pub csi: Option<(String, String)>,
}

impl Volume {
    pub fn of(v: &PersistentVolume) -> Self {
        let m = &v.metadata;
        let spec = v.spec.as_ref();
        let beta = m.annotations.as_ref().and_then(|a| a.get(BETA_CLASS)).cloned();
        Self {
            name: m.name.clone().unwrap_or_default(),
            labels: m.labels.clone().unwrap_or_default(),
            capacity: storage_of(spec.and_then(|s| s.capacity.as_ref())).unwrap_or(0),
            class: beta.or_else(|| spec.and_then(|s| s.storage_class_name.clone())).unwrap_or_default(),
            claim: spec.and_then(|s| s.claim_ref.as_ref()).map(|r| {
                (
                    ClaimKey::new(
                        r.namespace.as_deref().unwrap_or_default(),
                        r.name.as_deref().unwrap_or_default(),
                    ),
                    r.uid.clone().unwrap_or_default(),
                )
            }),
            available: v.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Available"),
            deleting: m.deletion_timestamp.is_some(),
            modes: spec.and_then(|s| s.access_modes.clone()).unwrap_or_default(),
            block: spec.and_then(|s| s.volume_mode.as_deref()) == Some("Block"),
            attributes_class: spec.and_then(|s| s.volume_attributes_class_name.clone()).unwrap_or_default(),
            nodes: spec
                .and_then(|s| s.node_affinity.as_ref())
                .and_then(|a| a.required.as_ref())
                .map(node_selector),
            csi: spec.and_then(|s| s.csi.as_ref()).map(|c| (c.driver.clone(), c.volume_handle.clone())),
        }
    }
    pub fn fits_node(&self, labels: &Labels, name: &str) -> bool {
        self.nodes.as_ref().is_none_or(|t| t.iter().any(|t| t.matches(labels, name)))
    }
    pub fn is_for(&self, c: &Claim) -> bool {
        self.claim.as_ref().is_some_and(|(k, uid)| *k == c.key && (uid.is_empty() || *uid == c.uid))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    pub name: String,
    pub provisioner: String,
    /// Volumes are bound when the first pod is scheduled.
    pub waits: bool,
    /// Any of these: each a list of label keys with allowed values.
    pub topologies: Vec<Vec<(String, Vec<String>)>>,
}

impl Class {
    pub fn of(c: &StorageClass) -> Self {
        let topologies = c.allowed_topologies.iter().flatten().map(|t| {
            let es = t.match_label_expressions.iter().flatten();
            es.map(|e| (e.key.clone(), e.values.clone())).collect()
        });
        Self {
            name: c.metadata.name.clone().unwrap_or_default(),
            provisioner: c.provisioner.clone(),
            waits: c.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
            topologies: topologies.collect(),
        }
    }
    pub fn allows(&self, labels: &Labels) -> bool {
        self.topologies.is_empty()
            || self.topologies.iter().any(|t| {
                !t.is_empty() && t.iter().all(|(k, vs)| labels.get(k).is_some_and(|v| vs.contains(v)))
            })
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct CsiNode {
    /// Driver, and how many volumes of it the node takes.
    pub drivers: Vec<(String, Option<i64>)>,
    pub migrated: String,
}

impl CsiNode {
    pub fn of(n: &ApiCsiNode) -> Self {
        let limit = |d: &k8s_openapi::api::storage::v1::CSINodeDriver| {
            d.allocatable.as_ref().and_then(|a| a.count).map(i64::from)
        };
        Self {
            drivers: n.spec.drivers.iter().map(|d| (d.name.clone(), limit(d))).collect(),
            migrated: n
                .metadata
                .annotations
                .as_ref()
                .and_then(|a| a.get("storage.alpha.kubernetes.io/migrated-plugins"))
                .cloned()
                .unwrap_or_default(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CsiDriver {
    /// It publishes how much storage there is.
    pub capacity: bool,
    pub prevents_scheduling: bool,
}

impl CsiDriver {
    pub fn of(d: &ApiCsiDriver) -> Self {
        Self {
            capacity: d.spec.storage_capacity.unwrap_or(false),
            prevents_scheduling: d.spec.prevent_pod_scheduling_if_missing.unwrap_or(false),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Capacity {
    pub class: String,
    pub nodes: Option<Selector>,
    /// The largest volume, or all there is.
    pub limit: Option<i64>,
    pub total: i64,
}

impl Capacity {
    pub fn of(c: &CSIStorageCapacity) -> Self {
        let q = |q: &Option<k8s_openapi::apimachinery::pkg::api::resource::Quantity>| {
            q.as_ref().map(|q| crate::resources::amount("storage", q))
        };
        Self {
            class: c.storage_class_name.clone(),
            nodes: c.node_topology.as_ref().map(|s| label_selector(Some(s))),
            limit: q(&c.maximum_volume_size).or_else(|| q(&c.capacity)),
            total: q(&c.capacity).unwrap_or(0),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    pub node: String,
    pub attacher: String,
    pub volume: Option<String>,
}

impl Attachment {
    pub fn of(a: &VolumeAttachment) -> Self {
        Self {
            node: a.spec.node_name.clone(),
            attacher: a.spec.attacher.clone(),
            volume: a.spec.source.persistent_volume_name.clone(),
        }
    }
}

/// What has to be written before a pod is bound to its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumePlan {
    pub node: String,
    /// A volume to be kept for a claim, with the claim's uid.
    pub bind: Vec<(String, ClaimKey, String)>,
    /// Claims for which a volume is to be made for the node.
    pub provision: Vec<ClaimKey>,
}

impl VolumePlan {
    pub fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.provision.is_empty()
    }
    pub fn claims(&self) -> impl Iterator<Item = &ClaimKey> {
        self.bind.iter().map(|b| &b.1).chain(&self.provision)
    }
}

/// All of it.
#[derive(Default)]
pub struct Volumes {
    claims: HashMap<ClaimKey, Arc<Claim>>,
    volumes: BTreeMap<String, Arc<Volume>>,
    classes: HashMap<String, Arc<Class>>,
    csi_nodes: HashMap<String, Arc<CsiNode>>,
    drivers: HashMap<String, CsiDriver>,
    capacities: BTreeMap<(String, String), Arc<Capacity>>,
    attachments: HashMap<String, Attachment>,
    /// Volumes we gave to claims.
    given: HashMap<String, (ClaimKey, String)>,
    /// Claims we chose a node for.
    chosen: HashMap<ClaimKey, String>,
}

fn put<K: std::hash::Hash + Eq, V>(m: &mut HashMap<K, Arc<V>>, k: K, v: Option<V>) -> Option<Arc<V>> {
    match v {
        Some(v) => m.insert(k, Arc::new(v)),
        None => m.remove(&k),
    }
}

impl Volumes {
    pub fn set_claim(&mut self, key: ClaimKey, c: Option<Claim>) -> Option<Arc<Claim>> {
        // What the API says now is newer than what we assumed, once it shows our own write.
        if c.as_ref().is_none_or(|c| c.selected_node.is_some() || !c.volume.is_empty()) {
            self.chosen.remove(&key);
        }
        put(&mut self.claims, key, c)
    }
    pub fn set_volume(&mut self, name: &str, v: Option<Volume>) -> Option<Arc<Volume>> {
        if v.as_ref().is_none_or(|v| v.claim.is_some()) {
            self.given.remove(name);
        }
        match v {
            Some(v) => self.volumes.insert(name.to_owned(), Arc::new(v)),
            None => self.volumes.remove(name),
        }
    }
    pub fn set_class(&mut self, name: &str, c: Option<Class>) -> Option<Arc<Class>> {
        put(&mut self.classes, name.to_owned(), c)
    }
    pub fn set_csi_node(&mut self, name: &str, n: Option<CsiNode>) -> Option<Arc<CsiNode>> {
        put(&mut self.csi_nodes, name.to_owned(), n)
    }
    pub fn set_driver(&mut self, name: &str, d: Option<CsiDriver>) -> Option<CsiDriver> {
        match d {
            Some(d) => self.drivers.insert(name.to_owned(), d),
            None => self.drivers.remove(name),
        }
    }
    pub fn set_capacity(&mut self, ns: &str, name: &str, c: Option<Capacity>) -> Option<Arc<Capacity>> {
        let key = (ns.to_owned(), name.to_owned());
        match c {
            Some(c) => self.capacities.insert(key, Arc::new(c)),
            None => self.capacities.remove(&key),
        }
    }
    pub fn set_attachment(&mut self, name: &str, a: Option<Attachment>) -> Option<Attachment> {
        match a {
            Some(a) => self.attachments.insert(name.to_owned(), a),
            None => self.attachments.remove(name),
        }
    }

    pub fn claim(&self, key: &ClaimKey) -> Option<&Arc<Claim>> {
        self.claims.get(key)
    }
    pub fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.get(name)
    }
    pub fn class(&self, name: &str) -> Option<&Arc<Class>> {
        self.classes.get(name)
    }
    pub fn csi_node(&self, name: &str) -> Option<&Arc<CsiNode>> {
        self.csi_nodes.get(name)
    }
    pub fn driver(&self, name: &str) -> Option<CsiDriver> {
        self.drivers.get(name).copied()
    }
    pub fn capacities(&self) -> impl Iterator<Item = &Arc<Capacity>> {
        self.capacities.values()
    }
    pub fn attachments_of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Attachment> {
        self.attachments.values().filter(move |a| a.node == node)
    }
    /// Volumes of a class, with the claims we gave them to.
    pub fn of_class<'a>(
        &'a self,
        class: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<Volume>, Option<&'a (ClaimKey, String)>)> {
        self.volumes
            .values()
            .filter(move |v| v.class == class)
            .map(|v| (v, v.claim.as_ref().or_else(|| self.given.get(&v.name))))
    }
    /// The node chosen for a claim, by us or by what the API says.
    pub fn selected_node<'a>(&'a self, c: &'a Claim) -> Option<&'a str> {
        c.selected_node.as_deref().or_else(|| self.chosen.get(&c.key).map(String::as_str))
    }
    /// Remembers a plan until the API shows it.
    pub fn assume(&mut self, plan: &VolumePlan) {
        for (v, k, uid) in &plan.bind {
            self.given.insert(v.clone(), (k.clone(), uid.clone()));
        }
        for k in &plan.provision {
            self.chosen.insert(k.clone(), plan.node.clone());
        }
    }
    pub fn revert(&mut self, plan: &VolumePlan) {
        for (v, k, _) in &plan.bind {
            if self.given.get(v).is_some_and(|g| g.0 == *k) {
                self.given.remove(v);
            }
        }
        for k in &plan.provision {
            self.chosen.remove(k);
        }
    }
    /// Whether a plan has come true; the error says why it never will.
    pub fn fulfilled(&self, plan: &VolumePlan, node: &Labels) -> Result<bool, String> {
        for (name, key, _) in &plan.bind {
            let v = self.volumes.get(name).ok_or_else(|| {
                format!("failed to check binding: could not find v1.PersistentVolume \"{name}\"")
            })?;
            let c = self.claims.get(key).ok_or_else(|| {
                let what = format!("{}/{}", key.namespace, key.name);
                format!("failed to check binding: could not find v1.PersistentVolumeClaim \"{what}\"")
            })?;
            if !v.fits_node(node, &plan.node) {
                return Err(format!(
                    "pv \"{name}\" node affinity doesn't match node \"{}\": no matching NodeSelectorTerms",
                    plan.node
                ));
            }
            if self.given.contains_key(name) {
                return Ok(false);
            }
            if v.claim.as_ref().is_none_or(|c| c.1.is_empty()) {
                return Err(format!("ClaimRef got reset for pv \"{name}\""));
            }
            if !c.bound {
                return Ok(false);
            }
        }
        for key in &plan.provision {
            let c = self.claims.get(key).ok_or_else(|| {
                let what = format!("{}/{}", key.namespace, key.name);
                format!(
                    "failed to check provisioning pvc: could not find v1.PersistentVolumeClaim \"{what}\""
                )
            })?;
            if self.chosen.contains_key(key) {
                return Ok(false);
            }
            match c.selected_node.as_deref() {
                Some(n) if n == plan.node => {}
                Some(_) => return Err(format!("provisioning failed for PVC \"{}\"", key.name)),
                None if c.bound => {}
                None => return Err(format!("provisioning failed for PVC \"{}\"", key.name)),
            }
            if !c.volume.is_empty() {
                let Some(v) = self.volumes.get(&c.volume) else { return Ok(false) };
                if !v.fits_node(node, &plan.node) {
                    return Err(format!(
                        "pv \"{}\" node affinity doesn't match node \"{}\": no matching NodeSelectorTerms",
                        v.name, plan.node
                    ));
                }
            }
            if !c.bound {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
