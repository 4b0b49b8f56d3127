//! The generic part of strategies, driven by the facts: what an endpoint throws away, generations, validation of the
//! metadata (apiserver `pkg/registry/rest`).

use crate::cx::Cx;
use crate::registry::{Codec, ResourceInfo};
use crate::{Failure, Result};
use meta::object::ObjectExt;
use meta::{ErrorList, Map, Path, Status, Value};

/// Takes away what a client may not say on a create.
pub fn wipe_system_fields(obj: &mut Value) {
    let m = obj.metadata_mut();
    for k in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        m.remove(k);
    }
}

/// The object's namespace must be the request's; an empty one is filled in.
pub fn match_namespace(info: &ResourceInfo, namespace: &str, obj: &mut Value) -> Result<()> {
    let expected = if info.namespaced { namespace } else { "" };
    let have = obj.namespace();
    if have == expected {
        return Ok(());
    }
    if have.is_empty() {
        obj.metadata_mut().insert("namespace".into(), expected.into());
        return Ok(());
    }
    if info.namespaced {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )
        .into());
    }
    // A cluster-scoped object's namespace is dropped, as upstream does.
    obj.metadata_mut().remove("namespace");
    Ok(())
}

/// Owner references that come twice are dropped, with a warning.
pub fn dedup_owners(cx: &Cx, obj: &mut Value, after_admission: bool) {
    let Some(Value::Array(refs)) = obj.metadata_mut().get_mut("ownerReferences") else { return };
    let mut seen: Vec<Value> = Vec::with_capacity(refs.len());
    let mut dropped: Vec<String> = Vec::new();
    for r in refs.drain(..) {
        if seen.contains(&r) {
            dropped.push(r.str_at("uid").to_owned());
        } else {
            seen.push(r);
        }
    }
    *refs = seen;
    if dropped.is_empty() {
        return;
    }
    let uids = dropped.join(", ");
    cx.warn(if after_admission {
        format!(".metadata.ownerReferences contains duplicate entries after mutating admission happens; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uids}")
    } else {
        format!(".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uids}")
    });
}

/// What the facts and the kind's strategy do to a new object.
pub fn for_create(cx: &Cx, obj: &mut Value) {
    let info = &*cx.res;
    match &info.codec {
        Codec::Builtin(_) => {
            // The kubelet registers its node with a status.
            if info.reset_fields("").iter().any(|f| f == "status") && !info.is("", "nodes") {
                obj.remove_at("status");
            }
            if info.generation && !info.is("storage.k8s.io", "csidrivers") {
                obj.metadata_mut().insert("generation".into(), 1.into());
            }
            kinds::strategy(&info.gvr.group, &info.gvr.resource).prepare_create(&cx.kinds_cx(""), obj);
        }
        Codec::Custom(_) => {
            if info.has_status() {
                obj.remove_at("status");
            }
            obj.metadata_mut().insert("generation".into(), 1.into());
        }
    }
}

/// What the facts and the kind's strategy do to an object that is to replace `old`.
pub fn for_update(cx: &Cx, sub: &str, obj: &mut Value, old: &Value) {
    let info = &*cx.res;
    copy(obj, old, "metadata.generation");
    match &info.codec {
        Codec::Builtin(_) => {
            // Conditions of signing requests are reset for ownership only: their strategy says which may change.
            for f in info.reset_fields(sub).iter().filter(|f| *f != "status.conditions") {
                restore(obj, old, f);
            }
            kinds::strategy(&info.gvr.group, &info.gvr.resource).prepare_update(&cx.kinds_cx(sub), obj, old);
            if sub != "status" && info.generation && changed(info, obj, old) {
                bump(obj, old);
            }
        }
        Codec::Custom(_) if sub == "status" => {
            let status = obj.get("status").cloned();
            let mut next = old.clone();
            for k in ["managedFields", "resourceVersion"] {
                copy(&mut next, obj, &format!("metadata.{k}"));
            }
            match status {
                Some(s) => next.set_at("status", s),
                None => drop(next.remove_at("status")),
            }
            *obj = next;
        }
        Codec::Custom(_) => {
            if info.has_status() {
                copy(obj, old, "status");
            }
            if changed(info, obj, old) {
                bump(obj, old);
            }
        }
    }
}

fn bump(obj: &mut Value, old: &Value) {
    obj.metadata_mut().insert("generation".into(), (old.generation() + 1).into());
}

/// Sets a field from another object, or takes it away.
fn copy(obj: &mut Value, from: &Value, path: &str) {
    match from.at(path) {
        Some(v) => obj.set_at(path, v.clone()),
        None => drop(obj.remove_at(path)),
    }
}

/// Puts back what this endpoint may not change.
fn restore(obj: &mut Value, old: &Value, field: &str) {
    if field != "metadata" {
        return copy(obj, old, field);
    }
    let mut next: Map<String, Value> = old.metadata().cloned().unwrap_or_default();
    for k in ["managedFields", "resourceVersion"] {
        match obj.metadata().and_then(|m| m.get(k)) {
            Some(v) => drop(next.insert(k.to_owned(), v.clone())),
            None => drop(next.remove(k)),
        }
    }
    *obj.metadata_mut() = next;
}

/// Whether an update changed what counts for the generation.
fn changed(info: &ResourceInfo, obj: &Value, old: &Value) -> bool {
    let differ = |k: &str| obj.get(k) != old.get(k);
    let all_but = |skip: &[&str]| {
        let strip = |v: &Value| {
            let mut m = v.as_object().cloned().unwrap_or_default();
            for k in skip {
                m.remove(*k);
            }
            m
        };
        strip(obj) != strip(old)
    };
    if info.is_custom() {
        return if info.has_status() {
            all_but(&["metadata", "status", "apiVersion", "kind"])
        } else {
            all_but(&["metadata", "apiVersion", "kind"])
        };
    }
    match info.gvr.resource.as_str() {
        "podtemplates" => differ("template"),
        "deployments" => differ("spec") || obj.at("metadata.annotations") != old.at("metadata.annotations"),
        "endpointslices" => all_but(&["metadata"]) || obj.labels() != old.labels(),
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => differ("webhooks"),
        "priorityclasses" => false,
        _ => differ("spec"),
    }
}

/// What an update may never change or lose.
pub fn keep_metadata(obj: &mut Value, old: &Value) {
    if obj.uid().is_empty() {
        copy(obj, old, "metadata.uid");
    }
    if old.at("metadata.creationTimestamp").is_some() {
        copy(obj, old, "metadata.creationTimestamp");
    }
    if old.deletion_timestamp().is_some() {
        copy(obj, old, "metadata.deletionTimestamp");
    }
    if obj.at("metadata.deletionGracePeriodSeconds").is_none() {
        copy(obj, old, "metadata.deletionGracePeriodSeconds");
    }
}

fn name_errors(info: &ResourceInfo) -> impl Fn(&str) -> Vec<String> {
    let strategy = (!info.is_custom()).then(|| kinds::strategy(&info.gvr.group, &info.gvr.resource));
    let rbac = info.gvr.group == authz::rbac::GROUP || info.gvr.group == "apiregistration.k8s.io";
    move |n: &str| match strategy {
        // Such names have colons, or end in a dot.
        _ if rbac => meta::names::is_path_segment_name(n),
        Some(s) => s.name_errors(n),
        None => meta::names::is_dns1123_subdomain(n),
    }
}

fn invalid(info: &ResourceInfo, obj: &Value, errors: &ErrorList) -> Failure {
    Status::invalid(&info.group_kind(), obj.name(), errors).into()
}

/// Validates a new object.
pub fn validate_create(cx: &Cx, obj: &Value) -> Result<()> {
    let info = &*cx.res;
    let names = name_errors(info);
    let mut errors = meta::metav1::validate_object_meta(obj, info.namespaced, &names, &Path::new("metadata"));
    let kcx = cx.kinds_cx("");
    match &info.codec {
        Codec::Builtin(_) => {
            let s = kinds::strategy(&info.gvr.group, &info.gvr.resource);
            errors.extend(s.validate(&kcx, obj));
            if errors.is_empty() {
                s.warnings(&kcx, obj, None).into_iter().for_each(|w| cx.warn(w));
            }
        }
        Codec::Custom(c) => errors.extend(c.validate(&kcx, obj, None)),
    }
    if errors.is_empty() { Ok(()) } else { Err(invalid(info, obj, &errors)) }
}

/// Validates an object that is to replace `old`.
pub fn validate_update(cx: &Cx, sub: &str, obj: &Value, old: &Value) -> Result<()> {
    let info = &*cx.res;
    let mut errors = meta::metav1::validate_object_meta(
        obj,
        info.namespaced,
        &meta::names::is_path_segment_name,
        &Path::new("metadata"),
    );
    errors.extend(meta::metav1::validate_object_meta_update(obj, old));
    let kcx = cx.kinds_cx(sub);
    match &info.codec {
        Codec::Builtin(_) => {
            let s = kinds::strategy(&info.gvr.group, &info.gvr.resource);
            errors.extend(s.validate_update(&kcx, obj, old));
            if errors.is_empty() {
                s.warnings(&kcx, obj, Some(old)).into_iter().for_each(|w| cx.warn(w));
            }
        }
        Codec::Custom(c) => errors.extend(c.validate(&kcx, obj, Some(old))),
    }
    let mut unique: ErrorList = Vec::with_capacity(errors.len());
    for e in errors {
        if !unique.contains(&e) {
            unique.push(e);
        }
    }
    if unique.is_empty() { Ok(()) } else { Err(invalid(info, obj, &unique)) }
}
