//! Which claims pods use, and what a claim made for a pod looks like.

use crate::k8s::ObjectMeta;
use crate::k8s::core::{Pod, PodResourceClaim};
use crate::k8s::resource::{ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate};
use crate::util::meta::{MetaExt, controller_ref};
use crate::util::pods;

pub const FOR: &str = "resource.kubernetes.io/pod-claim-name";
pub const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// Names that are generated have 63 characters, with a dash and five random ones.
const MAX_BASE: usize = 57;

/// The claim behind an entry of a pod.
#[derive(Debug, PartialEq, Eq)]
pub enum Name {
    /// Named by the user.
    Given(String),
    /// Made for the pod.
    Made(String),
    /// Made from a template, which has not happened yet.
    Missing,
    /// The template asks for nothing.
    Unneeded,
}

pub fn entries(p: &Pod) -> &[PodResourceClaim] {
    p.spec.as_ref().and_then(|s| s.resource_claims.as_deref()).unwrap_or_default()
}

pub fn name(p: &Pod, c: &PodResourceClaim) -> Name {
    if let Some(n) = &c.resource_claim_name {
        return Name::Given(n.clone());
    }
    let mut known = p.status.iter().flat_map(|s| s.resource_claim_statuses.iter().flatten());
    match known.find(|s| s.name == c.name) {
        None => Name::Missing,
        Some(s) => s.resource_claim_name.clone().map_or(Name::Unneeded, Name::Made),
    }
}

/// The names of all claims of a pod.
pub fn names(p: &Pod) -> Vec<String> {
    let mut all: Vec<String> = entries(p)
        .iter()
        .filter_map(|c| match name(p, c) {
            Name::Given(n) | Name::Made(n) => Some(n),
            _ => None,
        })
        .collect();
    let extended = p.status.as_ref().and_then(|s| s.extended_resource_claim_status.as_ref());
    all.extend(extended.map(|e| e.resource_claim_name.clone()));
    all
}

pub fn uses_claims(p: &Pod) -> bool {
    !entries(p).is_empty() || p.status.as_ref().is_some_and(|s| s.extended_resource_claim_status.is_some())
}

/// It will not run any more, and has nothing that runs.
pub fn is_done(p: &Pod) -> bool {
    pods::is_terminal(p) || p.deleting() && pods::node_name(p).is_empty()
}

/// Whether a claim was made for a pod.
pub fn is_for(claim: &ResourceClaim, p: &Pod) -> bool {
    claim.is_controlled_by(p.uid())
}

pub fn is_for_pods(r: &ResourceClaimConsumerReference) -> bool {
    r.api_group.as_deref().unwrap_or_default().is_empty() && r.resource == "pods"
}
pub fn reserved_for(claim: &ResourceClaim) -> &[ResourceClaimConsumerReference] {
    claim.status.as_ref().and_then(|s| s.reserved_for.as_deref()).unwrap_or_default()
}

/// An allocated claim with the pod among those it is reserved for, if there is room and it is not there.
pub fn reserve(claim: &ResourceClaim, p: &Pod) -> Option<ResourceClaim> {
    let allocated = claim.status.as_ref().is_some_and(|s| s.allocation.is_some());
    let all = reserved_for(claim);
    if !allocated || all.len() >= 256 || all.iter().any(|r| r.uid == p.uid()) {
        return None;
    }
    let mut new = claim.clone();
    new.status.get_or_insert_default().reserved_for.get_or_insert_default().push(
        ResourceClaimConsumerReference {
            api_group: None,
            resource: "pods".into(),
            name: p.name().into(),
            uid: p.uid().into(),
        },
    );
    Some(new)
}

fn base(pod: &str, entry: &str) -> String {
    let full = format!("{pod}-{entry}-");
    if full.len() <= MAX_BASE {
        return full;
    }
    // Names are ASCII; each keeps its share.
    let share = |s: &str| s.get(..s.len() * MAX_BASE / full.len()).unwrap_or(s).to_owned();
    format!("{}-{}", share(pod), share(entry))
}

pub fn claim(p: &Pod, entry: &str, t: &ResourceClaimTemplate) -> ResourceClaim {
    let spec = t.spec.clone().unwrap_or_default();
    let m = spec.metadata.unwrap_or_default();
    let mut annotations = m.annotations.unwrap_or_default();
    annotations.insert(FOR.into(), entry.into());
    let mut owner = controller_ref(p);
    owner.block_owner_deletion = None;
    ResourceClaim {
        metadata: ObjectMeta {
            generate_name: Some(base(p.name(), entry)),
            namespace: p.metadata.namespace.clone(),
            labels: m.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: spec.spec,
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_have_names() {
        let p: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [], "resourceClaims": [
            {"name": "a", "resourceClaimName": "given"}, {"name": "b", "resourceClaimTemplateName": "t"},
            {"name": "c", "resourceClaimTemplateName": "t"}, {"name": "d", "resourceClaimTemplateName": "t"}]},
            "status": {"resourceClaimStatuses": [{"name": "b", "resourceClaimName": "p-b-x"}, {"name": "c"}]}}))
        .unwrap();
        let all: Vec<Name> = entries(&p).iter().map(|c| name(&p, c)).collect();
        assert_eq!(
            all,
            [Name::Given("given".into()), Name::Made("p-b-x".into()), Name::Unneeded, Name::Missing]
        );
        assert_eq!(names(&p), ["given", "p-b-x"]);
        assert_eq!(base("pod", "claim"), "pod-claim-");
        assert_eq!(base(&"p".repeat(60), &"c".repeat(20)), format!("{}-{}", "p".repeat(41), "c".repeat(13)));
    }
}
