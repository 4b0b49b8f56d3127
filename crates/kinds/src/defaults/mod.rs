//! Defaulting of built-in kinds: functions that belong to types, run on every value of their type under a defaulted
//! kind, parent before child (K/pkg/apis/*/v*/{defaults,zz_generated.defaults}.go).
//!
//! A struct that Go holds by value exists even where the document leaves it out; [`VALUES`] makes those that have
//! defaults below them.

mod admissionregistration;
mod apiextensions;
mod apps;
mod authentication;
mod autoscaling;
mod batch;
mod certificates;
mod core;
mod discovery;
mod flowcontrol;
mod networking;
mod rbac;
mod resource;
mod scheduling;
mod storage;
#[cfg(test)]
mod tests;

use crate::val::{Obj, Put};
use meta::Value;
use meta::time::Timestamp;
use schema::TypeId;
use std::sync::OnceLock;

/// Defaults one value of a type.
pub(crate) type DefaultFn = fn(&mut Obj, Timestamp);

/// Type name and function; several for one type run in this order.
type Rows = &'static [(&'static str, DefaultFn)];

const LISTS: &[Rows] = &[
    admissionregistration::ROWS,
    apiextensions::ROWS,
    apps::ROWS,
    authentication::ROWS,
    autoscaling::ROWS,
    batch::ROWS,
    certificates::ROWS,
    core::ROWS,
    core::VOLUME_ROWS,
    discovery::ROWS,
    flowcontrol::ROWS,
    networking::ROWS,
    rbac::ROWS,
    resource::ROWS,
    scheduling::ROWS,
    storage::ROWS,
];

/// Structs held by value, with defaults below them: they are visited even when the document has nothing there.
const VALUES: &[(&str, &[&str])] = &[
    ("admissionregistration.v1.MutatingAdmissionPolicy", &["spec"]),
    ("admissionregistration.v1.ValidatingAdmissionPolicy", &["spec"]),
    ("admissionregistration.v1alpha1.MutatingAdmissionPolicy", &["spec"]),
    ("admissionregistration.v1beta1.MutatingAdmissionPolicy", &["spec"]),
    ("apps.v1.DaemonSet", &["spec"]),
    ("apps.v1.DaemonSetSpec", &["template"]),
    ("apps.v1.Deployment", &["spec"]),
    ("apps.v1.DeploymentSpec", &["template"]),
    ("apps.v1.ReplicaSet", &["spec"]),
    ("apps.v1.ReplicaSetSpec", &["template"]),
    ("apps.v1.StatefulSet", &["spec"]),
    ("apps.v1.StatefulSetSpec", &["template"]),
    ("authentication.v1.TokenRequest", &["spec"]),
    ("batch.v1.CronJob", &["spec"]),
    ("batch.v1.CronJobSpec", &["jobTemplate"]),
    ("batch.v1.JobTemplateSpec", &["spec"]),
    ("batch.v1.Job", &["spec"]),
    ("batch.v1.JobSpec", &["template"]),
    ("certificates.v1.PodCertificateRequest", &["spec"]),
    ("certificates.v1beta1.PodCertificateRequest", &["spec"]),
    ("core.v1.Namespace", &["status"]),
    ("core.v1.PersistentVolumeClaim", &["spec"]),
    ("core.v1.PersistentVolumeClaimTemplate", &["spec"]),
    ("core.v1.Pod", &["spec"]),
    ("core.v1.PodTemplate", &["template"]),
    ("core.v1.PodTemplateSpec", &["spec"]),
    ("core.v1.ReplicationController", &["spec"]),
    ("flowcontrol.v1.FlowSchema", &["spec"]),
    ("resource.v1.DeviceTaintRule", &["spec"]),
    ("resource.v1.DeviceTaintRuleSpec", &["taint"]),
    ("resource.v1alpha3.DeviceTaintRule", &["spec"]),
    ("resource.v1alpha3.DeviceTaintRuleSpec", &["taint"]),
    ("resource.v1alpha3.ResourcePoolStatusRequest", &["spec"]),
    ("resource.v1beta2.DeviceTaintRule", &["spec"]),
    ("resource.v1beta2.DeviceTaintRuleSpec", &["taint"]),
    ("scheduling.v1alpha3.CompositePodGroup", &["spec"]),
    ("scheduling.v1alpha3.PodGroup", &["spec"]),
    ("scheduling.v1beta1.PodGroup", &["spec"]),
];

#[derive(Default, Clone)]
struct Hooks {
    values: &'static [&'static str],
    fns: Vec<DefaultFn>,
}

fn table() -> &'static [Hooks] {
    static TABLE: OnceLock<Vec<Hooks>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut t: Vec<Hooks> = Vec::new();
        let mut slot = |name: &str, f: &mut dyn FnMut(&mut Hooks)| {
            let Some(TypeId(id)) = schema::facts::type_named(name) else {
                debug_assert!(false, "no type {name} in the facts");
                return;
            };
            let id = usize::from(id);
            if t.len() <= id {
                t.resize(id + 1, Hooks::default());
            }
            f(&mut t[id]);
        };
        for (name, f) in LISTS.iter().copied().flatten() {
            slot(name, &mut |h| h.fns.push(*f));
        }
        for (name, fields) in VALUES {
            slot(name, &mut |h| h.values = fields);
        }
        t
    })
}

/// Sets the defaults of an object of a built-in kind. `now` is what resource.k8s.io writes into `timeAdded`.
pub fn default_object(group: &str, version: &str, kind: &str, obj: &mut Value, now: Timestamp) {
    let Some(ty) = schema::facts::type_of(group, version, kind) else { return };
    let table = table();
    schema::facts::walk(ty, obj, &mut |ty, v| {
        let Some(h) = table.get(usize::from(ty.0)) else { return };
        if h.fns.is_empty() && h.values.is_empty() {
            return;
        }
        let m = v.map();
        for f in &h.fns {
            f(m, now);
        }
        for k in h.values {
            m.obj(k);
        }
    });
    crate::convert::normalize(group, version, kind, obj);
}
