//! Admission policies: ValidatingAdmissionPolicy and MutatingAdmissionPolicy with their bindings (apiserver
//! `pkg/admission/plugin/policy`). What they say is `cel::policy`'s; here policies that concern a request are found,
//! given what they ask for, and obeyed.

pub(crate) mod input;
mod matching;
mod mutate;
mod params;
mod typecheck;
mod validate;

pub use input::input;
pub use mutate::mutate;
pub use typecheck::written;
pub use validate::validate;

use crate::cx::Cx;
use crate::object::decode_builtin;
use crate::registry::ResourceInfo;
use meta::Value;
use meta::object::ObjectExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const GROUP: &str = "admissionregistration.k8s.io";

/// Requests that no policy looks at: those about policies, and questions that carry credentials.
const EXEMPT: [(&str, &str); 10] = [
    (GROUP, "validatingadmissionpolicies"),
    (GROUP, "validatingadmissionpolicybindings"),
    (GROUP, "mutatingadmissionpolicies"),
    (GROUP, "mutatingadmissionpolicybindings"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

fn exempt(info: &ResourceInfo) -> bool {
    EXEMPT.iter().any(|(g, r)| info.is(g, r))
}

/// A policy or binding as stored, and what was worked out from it once.
struct Kept<T> {
    name: String,
    spec: Value,
    made: T,
}

/// By key: the revision, and the object.
type Shelf<T> = Mutex<HashMap<String, (i64, Arc<Kept<T>>)>>;

/// Policies and bindings as they were last seen.
#[derive(Default)]
pub struct Policies {
    validating: Shelf<cel::policy::Validating>,
    mutating: Shelf<cel::policy::Mutating>,
    validating_bindings: Shelf<()>,
    mutating_bindings: Shelf<()>,
}

/// Whether there are mutating policies.
pub fn mutating(cx: &Cx) -> bool {
    any(cx, "mutatingadmissionpolicies")
}
/// Whether there are validating policies.
pub fn validating(cx: &Cx) -> bool {
    any(cx, "validatingadmissionpolicies")
}

fn any(cx: &Cx, resource: &str) -> bool {
    let registry = cx.server.registry();
    let Some(info) = registry.any_version(GROUP, resource) else { return false };
    let mut found = false;
    cx.server.store.cached().scan(&info.prefix, "", &mut |_| {
        found = true;
        false
    });
    found
}

/// All objects of a resource, each compiled when it is first seen.
fn all<T>(cx: &Cx, resource: &str, shelf: &Shelf<T>, make: impl Fn(&Value) -> T) -> Vec<Arc<Kept<T>>> {
    let Some(info) = cx.server.registry().any_version(GROUP, resource).cloned() else { return Vec::new() };
    let mut out = Vec::new();
    let mut records = Vec::new();
    cx.server.store.cached().scan(&info.prefix, "", &mut |r| {
        records.push(Arc::clone(r));
        true
    });
    if records.is_empty() {
        return out;
    }
    let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
    for r in &records {
        let key = r.key.to_string();
        if let Some((_, k)) = shelf.get(&key).filter(|(rev, _)| *rev == r.mod_revision) {
            out.push(k.clone());
            continue;
        }
        let Ok((v, _)) = decode_builtin(&info, r) else { continue };
        let spec = v.at("spec").cloned().unwrap_or_default();
        let kept = Arc::new(Kept { name: v.name().to_owned(), made: make(&spec), spec });
        shelf.insert(key, (r.mod_revision, kept.clone()));
        out.push(kept);
    }
    if shelf.len() > 2 * records.len() {
        shelf.retain(|k, _| records.iter().any(|r| r.key.to_string() == *k));
    }
    out
}

/// The bindings of a policy.
fn bound<'b>(policy: &str, bindings: &'b [Arc<Kept<()>>]) -> impl Iterator<Item = &'b Kept<()>> {
    let policy = policy.to_owned();
    bindings.iter().map(AsRef::as_ref).filter(move |b| b.spec.str_at("policyName") == policy)
}
