//! What becomes of a claim and of a volume. Objects are decided on one at a time; a binding is complete when the volume
//! names the claim, the claim names the volume, and the claim is annotated so (upstream `pv_controller.go`, which tells
//! the whole story).

use super::class;
use crate::k8s::core::{ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};
use crate::k8s::storage::StorageClass;
use crate::util::meta::{MetaExt, matches, selector};
use client::Key;
use meta::quantity::Quantity;

const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
const PROVISIONER: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
const PRE_RESIZE: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

fn event(warning: bool, reason: &'static str, message: impl Into<String>) -> Event {
    Event { warning, reason, message: message.into() }
}

/// What to do with a claim.
#[derive(Debug, PartialEq)]
pub enum ClaimStep {
    Bind(Box<PersistentVolume>),
    /// Give it the default class.
    SetClass(String),
    /// Ask its class's provisioner for a volume.
    Provision,
    /// It waits.
    Pending(Option<Event>),
    /// Its volume is gone, or another's.
    Lost(Event),
    /// Say so, and try again.
    Conflict(Event, String),
}

/// What a claim is decided on.
pub struct ClaimInput<'a> {
    pub claim: &'a PersistentVolumeClaim,
    /// The volume that it names, if there is one.
    pub named: Option<PersistentVolume>,
    /// Volumes of its class, and those that name it.
    pub volumes: Vec<PersistentVolume>,
    pub class: Option<&'a StorageClass>,
    pub default_class: Option<&'a StorageClass>,
    /// Pods that use it and are on no node.
    pub waiting_pods: Vec<String>,
}

pub fn claim(i: ClaimInput<'_>) -> Result<ClaimStep, String> {
    let c = i.claim;
    let names_one = !volume_name(c).is_empty();
    if c.annotation(BIND_COMPLETED).is_some() {
        let lost = |reason, text: &str| Ok(ClaimStep::Lost(event(true, reason, text)));
        if !names_one {
            return lost(
                "ClaimLost",
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
            );
        }
        let Some(v) = i.named else {
            return lost(
                "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
            );
        };
        return match claim_ref(&v) {
            Some(r) if r.uid.as_deref().unwrap_or_default() != c.uid() => lost(
                "ClaimMisbound",
                "Two claims are bound to the same volume, this one is bound incorrectly",
            ),
            _ => Ok(ClaimStep::Bind(Box::new(v))),
        };
    }
    if names_one {
        let Some(v) = i.named else { return Ok(ClaimStep::Pending(None)) };
        return Ok(match claim_ref(&v) {
            None => match satisfies(&v, c) {
                Ok(()) => ClaimStep::Bind(Box::new(v)),
                Err(e) => {
                    let text = format!("Cannot bind to requested volume {:?}: {e}", v.name());
                    ClaimStep::Pending(Some(event(true, "VolumeMismatch", text)))
                }
            },
            Some(_) if is_bound_to(&v, c) => ClaimStep::Bind(Box::new(v)),
            Some(r) => {
                let text = format!("volume {:?} already bound to a different claim.", v.name());
                let e = event(true, "FailedBinding", text);
                if c.annotation(BOUND_BY_CONTROLLER).is_none() {
                    ClaimStep::Pending(Some(e))
                } else {
                    let why = format!(
                        "invalid binding of claim {:?} to volume {:?}: volume already claimed by {:?}",
                        c.key().to_string(),
                        v.name(),
                        ref_key(r).to_string()
                    );
                    ClaimStep::Conflict(e, why)
                }
            }
        });
    }
    let delay = i.class.is_some_and(class::waits_for_consumer);
    if let Some(v) = best(c, i.volumes, delay)? {
        return Ok(ClaimStep::Bind(Box::new(v)));
    }
    if let Some(d) = i.default_class.filter(|_| !class::is_set(c)) {
        return Ok(ClaimStep::SetClass(d.name().to_owned()));
    }
    if delay && c.annotation(SELECTED_NODE).is_none() {
        let e = match i.waiting_pods.as_slice() {
            [] => event(
                false,
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
            ),
            [one] => event(false, "WaitForPodScheduled", format!("waiting for pod {one} to be scheduled")),
            all => event(
                false,
                "WaitForPodScheduled",
                format!("waiting for pods {} to be scheduled", all.join(",")),
            ),
        };
        return Ok(ClaimStep::Pending(Some(e)));
    }
    if !class::of_claim(c).is_empty() {
        return Ok(ClaimStep::Provision);
    }
    let text = "no persistent volumes available for this claim and no storage class is set";
    Ok(ClaimStep::Pending(Some(event(false, "FailedBinding", text))))
}

/// What to do with a volume.
#[derive(Debug, PartialEq)]
pub enum VolumeStep {
    Phase(&'static str),
    /// Its claim is gone: release it, then reclaim it.
    Reclaim,
    /// Its claim has not answered yet.
    WakeClaim(Key),
    /// Its claim cannot have it.
    Mismatch(Key),
    /// Its claim is bound to another one.
    Unbind,
}

/// `claim` is the claim that the volume names, with the right uid.
pub fn volume(v: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> VolumeStep {
    let Some(r) = claim_ref(v).filter(|r| r.uid.as_ref().is_some_and(|u| !u.is_empty())) else {
        return VolumeStep::Phase("Available");
    };
    let Some(c) = claim.filter(|c| r.uid.as_deref() == Some(c.uid())) else { return VolumeStep::Reclaim };
    let name = volume_name(c);
    if name.is_empty() {
        if mode(c.spec.as_ref().and_then(|s| s.volume_mode.as_deref())) != volume_mode(v) {
            return VolumeStep::Mismatch(c.key());
        }
        VolumeStep::WakeClaim(c.key())
    } else if name == v.name() {
        VolumeStep::Phase("Bound")
    } else if v.annotation(PROVISIONED_BY).is_some() && reclaim_policy(v) == "Delete" {
        // Made for a claim that took another: nobody wants it.
        VolumeStep::Reclaim
    } else {
        VolumeStep::Unbind
    }
}

/// What to do with a volume that is released.
#[derive(Debug, PartialEq, Eq)]
pub enum Reclaim {
    Nothing,
    Fail(&'static str, String),
}

pub fn reclaim(v: &PersistentVolume) -> Reclaim {
    if v.annotation(MIGRATED_TO).is_some_and(|m| !m.is_empty()) {
        return Reclaim::Nothing;
    }
    match reclaim_policy(v) {
        "Retain" => Reclaim::Nothing,
        "Recycle" => Reclaim::Fail("VolumeFailedRecycle", "No recycler plugin found for the volume!".into()),
        "Delete" => {
            // Whoever made it deletes it.
            let outside = v
                .annotation(PROVISIONED_BY)
                .is_some_and(|p| !p.is_empty() && !p.starts_with("kubernetes.io/"));
            let csi = v.spec.as_ref().is_some_and(|s| s.csi.is_some());
            if outside || csi {
                return Reclaim::Nothing;
            }
            let why = format!(
                "error getting deleter volume plugin for volume {:?}: no deletable volume plugin matched",
                v.name()
            );
            Reclaim::Fail("VolumeFailedDelete", why)
        }
        _ => Reclaim::Fail(
            "VolumeUnknownReclaimPolicy",
            "Volume has unrecognized PersistentVolumeReclaimPolicy".into(),
        ),
    }
}

pub fn claim_ref(v: &PersistentVolume) -> Option<&ObjectReference> {
    v.spec.as_ref()?.claim_ref.as_ref()
}
pub fn ref_key(r: &ObjectReference) -> Key {
    Key::new(r.namespace.clone().unwrap_or_default(), r.name.clone().unwrap_or_default())
}
pub fn volume_name(c: &PersistentVolumeClaim) -> &str {
    c.spec.as_ref().and_then(|s| s.volume_name.as_deref()).unwrap_or_default()
}
pub fn phase_of(v: &PersistentVolume) -> &str {
    v.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}
fn reclaim_policy(v: &PersistentVolume) -> &str {
    v.spec.as_ref().and_then(|s| s.persistent_volume_reclaim_policy.as_deref()).unwrap_or("Retain")
}
fn mode(m: Option<&str>) -> &str {
    m.unwrap_or("Filesystem")
}
fn volume_mode(v: &PersistentVolume) -> &str {
    mode(v.spec.as_ref().and_then(|s| s.volume_mode.as_deref()))
}

/// Whether a volume names this claim, with its uid or with none.
pub fn is_bound_to(v: &PersistentVolume, c: &PersistentVolumeClaim) -> bool {
    claim_ref(v).is_some_and(|r| {
        let uid = r.uid.as_deref().unwrap_or_default();
        ref_key(r) == c.key() && (uid.is_empty() || uid == c.uid())
    })
}

fn capacity(v: &PersistentVolume) -> Quantity {
    let q = v.spec.as_ref().and_then(|s| s.capacity.as_ref()?.get("storage"));
    q.and_then(|q| Quantity::parse(&q.0).ok()).unwrap_or_else(Quantity::zero)
}
fn requested(c: &PersistentVolumeClaim) -> Quantity {
    let q = c.spec.as_ref().and_then(|s| s.resources.as_ref()?.requests.as_ref()?.get("storage"));
    q.and_then(|q| Quantity::parse(&q.0).ok()).unwrap_or_else(Quantity::zero)
}
fn attributes_class(v: Option<&String>) -> &str {
    v.map(String::as_str).unwrap_or_default()
}
fn same_attributes(v: &PersistentVolume, c: &PersistentVolumeClaim) -> bool {
    attributes_class(v.spec.as_ref().and_then(|s| s.volume_attributes_class_name.as_ref()))
        == attributes_class(c.spec.as_ref().and_then(|s| s.volume_attributes_class_name.as_ref()))
}
fn access_modes(v: &PersistentVolume) -> &[String] {
    v.spec.as_ref().and_then(|s| s.access_modes.as_deref()).unwrap_or_default()
}
fn has_modes(v: &PersistentVolume, c: &PersistentVolumeClaim) -> bool {
    let wanted = c.spec.as_ref().and_then(|s| s.access_modes.as_deref()).unwrap_or_default();
    wanted.iter().all(|m| access_modes(v).contains(m))
}
fn same_mode(v: &PersistentVolume, c: &PersistentVolumeClaim) -> bool {
    mode(c.spec.as_ref().and_then(|s| s.volume_mode.as_deref())) == volume_mode(v)
}

/// Whether a claim can have the volume that it names.
fn satisfies(v: &PersistentVolume, c: &PersistentVolumeClaim) -> Result<(), String> {
    if v.deleting() {
        return Err(format!("the volume is marked for deletion {:?}", v.name()));
    }
    if capacity(v).value() < requested(c).value() {
        return Err("requested PV is too small".into());
    }
    if class::of_volume(v) != class::of_claim(c) {
        return Err("storageClassName does not match".into());
    }
    if !same_attributes(v, c) {
        return Err("volumeAttributesClassName does not match".into());
    }
    if !same_mode(v, c) {
        return Err("incompatible volumeMode".into());
    }
    if !has_modes(v, c) {
        return Err("incompatible accessMode".into());
    }
    Ok(())
}

/// The volume for a claim: one that names it, or the smallest that is large enough, of those with the fewest access
/// modes beyond what is asked for.
pub fn best(
    c: &PersistentVolumeClaim,
    mut volumes: Vec<PersistentVolume>,
    delay: bool,
) -> Result<Option<PersistentVolume>, String> {
    let chosen = match c.spec.as_ref().and_then(|s| s.selector.as_ref()) {
        Some(s) => Some(selector(Some(s)).map_err(|e| format!("error creating label selector: {e}"))?),
        None => None,
    };
    let wanted = requested(c);
    volumes.retain(|v| {
        (claim_ref(v).is_none() || is_bound_to(v, c))
            && has_modes(v, c)
            && capacity(v) >= wanted
            && same_mode(v, c)
            && same_attributes(v, c)
            && !v.deleting()
    });
    let modes = |v: &PersistentVolume| {
        let mut m = access_modes(v).to_vec();
        m.sort_unstable();
        m.dedup();
        (m.len(), m)
    };
    volumes.sort_by(|a, b| {
        modes(a)
            .cmp(&modes(b))
            // Within equal modes one that names the claim comes first, whatever its size.
            .then_with(|| is_bound_to(b, c).cmp(&is_bound_to(a, c)))
            .then_with(|| capacity(a).cmp(&capacity(b)))
            .then_with(|| a.name().cmp(b.name()))
    });
    let free = |v: &PersistentVolume| {
        !delay
            && phase_of(v) == "Available"
            && chosen.as_ref().is_none_or(|s| matches(s, v.labels()))
            && class::of_volume(v) == class::of_claim(c)
    };
    Ok(volumes.into_iter().find(|v| is_bound_to(v, c) || free(v)))
}

/// The volume with its side of the binding, unless it has it.
pub fn bind_volume(v: &PersistentVolume, c: &PersistentVolumeClaim) -> Option<PersistentVolume> {
    let ours = !is_bound_to(v, c);
    let complete = claim_ref(v).is_some_and(|r| ref_key(r) == c.key() && r.uid.as_deref() == Some(c.uid()));
    if complete {
        return None;
    }
    let mut new = v.clone();
    new.spec.get_or_insert_with(PersistentVolumeSpec::default).claim_ref = Some(ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: Some(c.namespace().into()),
        name: Some(c.name().into()),
        uid: Some(c.uid().into()),
        resource_version: c.metadata.resource_version.clone(),
        field_path: None,
    });
    if ours {
        new.metadata
            .annotations
            .get_or_insert_default()
            .entry(BOUND_BY_CONTROLLER.into())
            .or_insert_with(|| "yes".into());
    }
    Some(new)
}

/// The claim with its side of the binding, unless it has it.
pub fn bind_claim(c: &PersistentVolumeClaim, v: &PersistentVolume) -> Option<PersistentVolumeClaim> {
    let mut new = c.clone();
    let annotations = new.metadata.annotations.get_or_insert_default();
    let mut changed = false;
    if volume_name(c) != v.name() {
        new.spec.get_or_insert_default().volume_name = Some(v.name().into());
        annotations.entry(BOUND_BY_CONTROLLER.into()).or_insert_with(|| "yes".into());
        changed = true;
    }
    if !annotations.contains_key(BIND_COMPLETED) {
        annotations.insert(BIND_COMPLETED.into(), "yes".into());
        changed = true;
    }
    changed.then_some(new)
}

/// The volume without the binding.
pub fn unbind(v: &PersistentVolume) -> PersistentVolume {
    let mut new = v.clone();
    let ours = v.annotation(BOUND_BY_CONTROLLER).is_some();
    if let Some(spec) = &mut new.spec {
        if ours {
            spec.claim_ref = None;
        } else if let Some(r) = &mut spec.claim_ref {
            // Whoever made it wants it for a claim of this name.
            r.uid = None;
        }
    }
    if ours && let Some(a) = &mut new.metadata.annotations {
        a.remove(BOUND_BY_CONTROLLER);
        if a.is_empty() {
            new.metadata.annotations = None;
        }
    }
    new
}

/// The claim in another phase, with the volume's capacity and modes; `None` when nothing changes.
pub fn claim_status(
    c: &PersistentVolumeClaim,
    phase: &str,
    volume: Option<&PersistentVolume>,
) -> Result<Option<PersistentVolumeClaim>, String> {
    let old = c.status.clone().unwrap_or_default();
    let mut s = old.clone();
    s.phase = Some(phase.into());
    let had = old.phase.as_deref().unwrap_or_default();
    let Some(v) = volume else {
        s.access_modes = None;
        s.capacity = None;
        s.current_volume_attributes_class_name = None;
        return Ok((s != old).then(|| PersistentVolumeClaim { status: Some(s), ..c.clone() }));
    };
    let spec = v.spec.as_ref();
    s.access_modes = spec.and_then(|s| s.access_modes.clone());
    if had != phase {
        let all = spec.and_then(|s| s.capacity.clone()).unwrap_or_default();
        if !all.contains_key("storage") {
            return Err(format!("PersistentVolume {:?} is without a storage capacity", v.name()));
        }
        if let Some(pre) = v.annotation(PRE_RESIZE).filter(|q| Quantity::parse(q).is_ok()) {
            s.capacity.get_or_insert_default().insert("storage".into(), crate::k8s::Quantity(pre.into()));
        } else {
            s.capacity = Some(all);
        }
    }
    if had == "Pending" && phase == "Bound" {
        s.current_volume_attributes_class_name = spec.and_then(|s| s.volume_attributes_class_name.clone());
    }
    Ok((s != old).then(|| PersistentVolumeClaim { status: Some(s), ..c.clone() }))
}

/// The claim annotated with who is to make its volume, unless it is.
pub fn with_provisioner(
    c: &PersistentVolumeClaim,
    class: &StorageClass,
    name: &str,
) -> Option<PersistentVolumeClaim> {
    if c.annotation(PROVISIONER[0]) == Some(name) {
        return None;
    }
    let mut new = c.clone();
    let a = new.metadata.annotations.get_or_insert_default();
    for key in PROVISIONER {
        a.insert(key.into(), name.into());
    }
    match class::moved_to(&class.provisioner) {
        Some(driver) => drop(a.insert(MIGRATED_TO.into(), driver.into())),
        None => drop(a.remove(MIGRATED_TO)),
    }
    Some(new)
}
