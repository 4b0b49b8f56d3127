//! Revisions of the templates of DaemonSets and StatefulSets (upstream `pkg/controller/history`).

use super::hash;
use super::meta::{MetaExt, controller_ref};
use crate::k8s::apps::ControllerRevision;
use crate::k8s::core::{PodTemplate, PodTemplateSpec};
use crate::k8s::{Map, ObjectMeta};
use client::Kind;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Value, json};

/// The label of pods and revisions that says which revision they are of.
pub const HASH: &str = "controller-revision-hash";

/// What a revision holds: a strategic merge patch that sets the template, as `kubectl rollout undo` applies it.
pub fn data(t: &PodTemplateSpec) -> Value {
    let whole = PodTemplate { template: Some(t.clone()), ..PodTemplate::default() };
    let mut template = whole.to_value()["template"].take();
    template["$patch"] = json!("replace");
    json!({ "spec": { "template": template } })
}

/// The template in a revision.
pub fn template(r: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut t = r.data.0.pointer("/spec/template")?.clone();
    t.as_object_mut()?.remove("$patch");
    PodTemplate::from_value(json!({ "template": t })).ok()?.template
}

pub fn matches(r: &ControllerRevision, t: &PodTemplateSpec) -> bool {
    template(r).is_some_and(|x| x == *t)
}

/// By revision, then by age.
pub fn order(a: &ControllerRevision, b: &ControllerRevision) -> std::cmp::Ordering {
    a.revision.cmp(&b.revision).then(a.created().cmp(&b.created())).then(a.name().cmp(b.name()))
}

/// A new revision of an owner's template; its hash goes into `label`.
pub fn new<O: Kind>(
    owner: &O,
    t: &PodTemplateSpec,
    label: &str,
    mut labels: Map,
    revision: i64,
    collisions: Option<i32>,
) -> ControllerRevision {
    let hash = hash::of(t, collisions);
    let prefix = owner.name().get(..223).unwrap_or(owner.name());
    let name = format!("{prefix}-{hash}");
    labels.insert(label.into(), hash);
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: owner.ns().map(str::to_owned),
            labels: Some(labels),
            annotations: owner.metadata().annotations.clone(),
            owner_references: Some(vec![controller_ref(owner)]),
            ..ObjectMeta::default()
        },
        data: RawExtension(data(t)),
        revision: Some(revision),
    }
}
