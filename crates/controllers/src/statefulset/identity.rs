//! Names, labels and volumes that make a pod the one of its ordinal.

use super::plan::Revision;
use crate::k8s::apps::StatefulSet;
use crate::k8s::core::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume};
use crate::util::meta::MetaExt;
use crate::util::{history, pods};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal of a pod of the set, by its name.
pub fn ordinal(set: &str, pod: &str) -> Option<i32> {
    let (parent, n) = pod.rsplit_once('-')?;
    if parent != set || n.is_empty() || !n.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    n.parse().ok()
}
pub fn start(s: &StatefulSet) -> i32 {
    s.spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0)
}
pub fn replicas(s: &StatefulSet) -> i32 {
    s.spec.replicas.unwrap_or(1).max(0)
}
pub fn range(s: &StatefulSet) -> std::ops::Range<i32> {
    start(s)..start(s).saturating_add(replicas(s))
}
pub fn pod_name(s: &StatefulSet, n: i32) -> String {
    format!("{}-{n}", s.name())
}
pub fn claim_name(s: &StatefulSet, template: &PersistentVolumeClaim, n: i32) -> String {
    format!("{}-{}-{n}", template.name(), s.name())
}

/// The claims of an ordinal, in the order of their templates.
pub fn claims(s: &StatefulSet, n: i32) -> Vec<PersistentVolumeClaim> {
    let templates = s.spec.volume_claim_templates.iter().flatten();
    templates
        .map(|t| {
            let mut c = t.clone();
            c.metadata.name = Some(claim_name(s, t, n));
            c.metadata.namespace.clone_from(&s.metadata.namespace);
            c.status = None;
            let selected = s.spec.selector.match_labels.clone().unwrap_or_default();
            c.metadata.labels.get_or_insert_default().extend(selected);
            c
        })
        .collect()
}

/// Puts the claims of an ordinal among a pod's volumes, in place of what has their names.
fn set_volumes(s: &StatefulSet, n: i32, p: &mut Pod) {
    let spec = p.spec.get_or_insert_default();
    let names: Vec<&str> = s.spec.volume_claim_templates.iter().flatten().map(MetaExt::name).collect();
    let old = spec.volumes.take().unwrap_or_default();
    let mut new: Vec<Volume> = s
        .spec
        .volume_claim_templates
        .iter()
        .flatten()
        .map(|t| Volume {
            name: t.name().into(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(s, t, n),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    new.extend(old.into_iter().filter(|v| !names.contains(&v.name.as_str())));
    spec.volumes = (!new.is_empty()).then_some(new);
}

fn set_labels(s: &StatefulSet, n: i32, p: &mut Pod) {
    let labels = p.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.into(), pod_name(s, n));
    labels.insert(POD_INDEX.into(), n.to_string());
}

/// The pod of an ordinal as a revision has it.
pub fn pod(s: &StatefulSet, r: &Revision, n: i32) -> Pod {
    let mut p = pods::from_template(&r.template, s);
    p.metadata.name = Some(pod_name(s, n));
    // Upstream leaves the prefix of generated names as well; a name goes before it.
    set_labels(s, n, &mut p);
    let spec = p.spec.get_or_insert_default();
    spec.hostname = Some(pod_name(s, n));
    spec.subdomain = s.spec.service_name.clone().filter(|n| !n.is_empty());
    set_volumes(s, n, &mut p);
    p.metadata.labels.get_or_insert_default().insert(history::HASH.into(), r.name.clone());
    p
}

/// The pod with name label and volumes put right, if they are not.
pub fn corrected(s: &StatefulSet, n: i32, p: &Pod) -> Option<Pod> {
    let labelled = p.label(POD_NAME) == Some(p.name());
    let volumes = p.spec.as_ref().and_then(|x| x.volumes.as_ref());
    let stored = s.spec.volume_claim_templates.iter().flatten().all(|t| {
        let v = volumes.iter().flat_map(|v| v.iter()).find(|v| v.name == t.name());
        v.and_then(|v| v.persistent_volume_claim.as_ref())
            .is_some_and(|c| c.claim_name == claim_name(s, t, n))
    });
    if labelled && stored {
        return None;
    }
    let mut new = p.clone();
    set_labels(s, n, &mut new);
    if !stored {
        set_volumes(s, n, &mut new);
    }
    Some(new)
}
