//! Who owns a claim, by the set's retention policy: nobody, the set, or a pod that is about to go.

use super::identity;
use crate::k8s::OwnerReference;
use crate::k8s::apps::StatefulSet;
use crate::k8s::core::{PersistentVolumeClaim, Pod};
use crate::util::meta::{MetaExt, controller_ref};

fn deletes(s: &StatefulSet) -> (bool, bool) {
    let p = s.spec.persistent_volume_claim_retention_policy.as_ref();
    let is = |v: Option<&String>| v.is_some_and(|v| v == "Delete");
    (is(p.and_then(|p| p.when_scaled.as_ref())), is(p.and_then(|p| p.when_deleted.as_ref())))
}

/// Whether claims may go with pods that are scaled away.
pub fn when_scaled(s: &StatefulSet) -> bool {
    deletes(s).0
}

fn refs(c: &PersistentVolumeClaim) -> impl Iterator<Item = &OwnerReference> {
    c.metadata.owner_references.iter().flatten()
}
fn is_set(r: &OwnerReference, s: &StatefulSet) -> bool {
    r.api_version == "apps/v1" && r.kind == "StatefulSet" && r.name == s.name()
}
fn is_pod(r: &OwnerReference, pod: &str) -> bool {
    r.api_version == "v1" && r.kind == "Pod" && r.name == pod
}
fn owned_by(c: &PersistentVolumeClaim, uid: &str) -> bool {
    !uid.is_empty() && refs(c).any(|r| r.uid == uid)
}
/// An owner of the pod's name that is another pod: the claim is about to be collected.
pub fn is_stale(c: &PersistentVolumeClaim, pod: &str, uid: &str) -> bool {
    refs(c).find(|r| is_pod(r, pod)).is_some_and(|r| r.uid != uid)
}

/// Somebody else controls the claim: the policy does not apply.
pub fn has_other_controller(c: &PersistentVolumeClaim, s: &StatefulSet, p: &Pod) -> bool {
    if deletes(s) == (false, false) {
        return false;
    }
    refs(c).any(|r| {
        if is_set(r, s) {
            r.uid != s.uid()
        } else if is_pod(r, p.name()) {
            r.uid != p.uid()
        } else {
            r.controller == Some(true)
        }
    })
}

/// Who owns it by the policy: the set, the pod.
fn wanted(s: &StatefulSet, p: &Pod) -> (bool, bool) {
    let gone = identity::ordinal(s.name(), p.name()).is_none_or(|n| !identity::range(s).contains(&n));
    match deletes(s) {
        (false, false) => (false, false),
        (false, true) => (true, false),
        (true, false) => (false, gone),
        (true, true) => (!gone, gone),
    }
}

fn is_right(c: &PersistentVolumeClaim, s: &StatefulSet, p: &Pod) -> bool {
    let stale_set = refs(c).find(|r| is_set(r, s)).is_some_and(|r| r.uid != s.uid());
    if stale_set || is_stale(c, p.name(), p.uid()) {
        return true;
    }
    let (by_set, by_pod) = (owned_by(c, s.uid()), owned_by(c, p.uid()));
    if has_other_controller(c, s, p) {
        return !by_set && !by_pod;
    }
    let ours = |r: &&OwnerReference| r.uid == s.uid() || (!p.uid().is_empty() && r.uid == p.uid());
    if refs(c).filter(ours).any(|r| r.controller != Some(true)) {
        return false;
    }
    (by_set, by_pod) == wanted(s, p)
}

/// The claim with the owners the policy wants, if it has others.
pub fn corrected(c: &PersistentVolumeClaim, s: &StatefulSet, p: &Pod) -> Option<PersistentVolumeClaim> {
    if is_right(c, s, p) {
        return None;
    }
    let mut new = c.clone();
    let mut owners: Vec<OwnerReference> =
        refs(c).filter(|r| !is_set(r, s) && !is_pod(r, p.name())).cloned().collect();
    if !has_other_controller(c, s, p) {
        let (set, pod) = wanted(s, p);
        if set {
            owners.push(controller_ref(s));
        }
        if pod && !p.uid().is_empty() {
            owners.push(controller_ref(p));
        }
    }
    new.metadata.owner_references = (!owners.is_empty()).then_some(owners);
    (new != *c).then_some(new)
}
