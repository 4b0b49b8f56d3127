//! Validation of `metadata` and of the other common parts (apimachinery `pkg/api/validation/objectmeta.go`,
//! `pkg/apis/meta/v1/validation`).

use crate::field::{ErrorList, FieldError, Path};
use crate::gvk::GroupVersion;
use crate::object::ObjectExt;
use crate::{labels, names};
use serde_json::{Map, Value};

const ANNOTATIONS_LIMIT: usize = 256 * 1024;
pub const IMMUTABLE: &str = "field is immutable";

fn text<'a>(v: &'a Value, k: &str) -> &'a str {
    v.get(k).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata` of an object about to be created. `name_errors` says what is wrong with a name of this kind; `path` is
/// where the metadata is (`metadata`).
pub fn validate_object_meta(
    obj: &Value,
    namespaced: bool,
    name_errors: &dyn Fn(&str) -> Vec<String>,
    path: &Path,
) -> ErrorList {
    let empty = Map::new();
    let meta = obj.metadata().unwrap_or(&empty);
    let mut errs = ErrorList::new();
    let generate = meta.get("generateName").and_then(Value::as_str).unwrap_or_default();
    if !generate.is_empty() {
        let at = path.child("generateName");
        for m in name_errors(&names::mask_trailing_dash(generate)) {
            errs.push(FieldError::invalid(&at, generate, m));
        }
    }
    let name = obj.name();
    if name.is_empty() {
        errs.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    }
    if !name.is_empty() {
        let at = path.child("name");
        errs.extend(name_errors(name).into_iter().map(|m| FieldError::invalid(&at, name, m)));
    }
    let (ns, at) = (obj.namespace(), path.child("namespace"));
    if !namespaced {
        if !ns.is_empty() {
            errs.push(FieldError::forbidden(&at, "not allowed on this type"));
        }
    } else if ns.is_empty() {
        errs.push(FieldError::required(&at, ""));
    } else {
        errs.extend(names::is_dns1123_label(ns).into_iter().map(|m| FieldError::invalid(&at, ns, m)));
    }
    errs.extend(validate_nonnegative(obj.generation(), &path.child("generation")));
    errs.extend(labels::validate_labels(obj.labels(), &path.child("labels")));
    errs.extend(validate_annotations(
        meta.get("annotations").and_then(Value::as_object),
        &path.child("annotations"),
    ));
    errs.extend(validate_owner_references(
        obj.array_at("metadata.ownerReferences"),
        &path.child("ownerReferences"),
    ));
    errs.extend(validate_finalizers(&obj.finalizers(), &path.child("finalizers")));
    errs.extend(validate_managed_fields(
        obj.array_at("metadata.managedFields"),
        &path.child("managedFields"),
    ));
    errs
}

/// `metadata` of an object about to replace `old`.
pub fn validate_object_meta_update(new: &Value, old: &Value) -> ErrorList {
    let path = Path::new("metadata");
    let mut errs = ErrorList::new();
    if old.deletion_timestamp().is_some() {
        let before = old.finalizers();
        let mut extra: Vec<&str> = new.finalizers().into_iter().filter(|f| !before.contains(f)).collect();
        extra.sort_unstable();
        extra.dedup();
        if !extra.is_empty() {
            let shown: Vec<String> = extra.iter().map(|f| crate::field::quote(f)).collect();
            errs.push(FieldError::forbidden(
                &path.child("finalizers"),
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    shown.join(", ")
                ),
            ));
        }
    }
    if new.resource_version().is_empty() {
        errs.push(FieldError::invalid(&path.child("resourceVersion"), "", "must be specified for an update"));
    }
    let at = path.child("generation");
    errs.extend(validate_nonnegative(new.generation(), &at));
    if new.generation() < old.generation() {
        errs.push(FieldError::invalid(&at, new.generation(), "must not be decremented"));
    }
    for key in ["name", "namespace", "uid"] {
        let get = |o: &Value| Value::from(o.get("metadata").map(|m| text(m, key)).unwrap_or_default());
        errs.extend(validate_immutable(Some(&get(new)), Some(&get(old)), &path.child(key)));
    }
    for key in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let get = |o: &Value| o.get("metadata").and_then(|m| m.get(key)).filter(|v| !v.is_null()).cloned();
        errs.extend(validate_immutable(get(new).as_ref(), get(old).as_ref(), &path.child(key)));
    }
    errs.extend(labels::validate_labels(new.labels(), &path.child("labels")));
    errs.extend(validate_annotations(
        new.at("metadata.annotations").and_then(Value::as_object),
        &path.child("annotations"),
    ));
    errs.extend(validate_owner_references(
        new.array_at("metadata.ownerReferences"),
        &path.child("ownerReferences"),
    ));
    errs.extend(validate_managed_fields(
        new.array_at("metadata.managedFields"),
        &path.child("managedFields"),
    ));
    errs
}

/// `field is immutable` where the two differ.
pub fn validate_immutable(new: Option<&Value>, old: Option<&Value>, path: &Path) -> ErrorList {
    if new == old {
        return ErrorList::new();
    }
    vec![FieldError::invalid(path, new.cloned().unwrap_or(Value::Null), IMMUTABLE)]
}

pub fn validate_nonnegative(v: i64, path: &Path) -> ErrorList {
    if v >= 0 {
        return ErrorList::new();
    }
    vec![FieldError::invalid(path, v, "must be greater than or equal to 0")]
}

/// Keys (in any case) and the total size.
pub fn validate_annotations(a: Option<&Map<String, Value>>, path: &Path) -> ErrorList {
    let mut errs = ErrorList::new();
    let mut size = 0usize;
    for (k, v) in a.into_iter().flatten() {
        for m in names::is_qualified_name(&k.to_lowercase()) {
            errs.push(FieldError::invalid(path, k.as_str(), m));
        }
        size += k.len() + v.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        errs.push(FieldError::too_long(path, ANNOTATIONS_LIMIT as i64));
    }
    errs
}

/// Finalizers' names, and that garbage collection's two are not both there.
pub fn validate_finalizers(finalizers: &[&str], path: &Path) -> ErrorList {
    let mut errs = ErrorList::new();
    for f in finalizers {
        errs.extend(validate_finalizer_name(f, path));
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        errs.push(FieldError::invalid(
            path,
            Value::from(finalizers.to_vec()),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
    errs
}

pub fn validate_finalizer_name(name: &str, path: &Path) -> ErrorList {
    names::is_qualified_name(name).into_iter().map(|m| FieldError::invalid(path, name, m)).collect()
}

/// An owner reference as an error message shows it, in upstream's field order.
fn show_owner(o: &Value) -> String {
    let parts: Vec<String> = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"]
        .iter()
        .filter_map(|k| match o.get(*k) {
            None if matches!(*k, "controller" | "blockOwnerDeletion") => None,
            None => Some(format!("\"{k}\":\"\"")),
            Some(v) => Some(format!("\"{k}\":{v}")),
        })
        .collect();
    format!("{{{}}}", parts.join(","))
}

pub fn validate_owner_references(refs: &[Value], path: &Path) -> ErrorList {
    let mut errs = ErrorList::new();
    let mut controller: Option<String> = None;
    for (i, r) in refs.iter().enumerate() {
        let at = path.index(i);
        let api_version = text(r, "apiVersion");
        let gv = GroupVersion::parse(api_version).filter(|g| !g.version.is_empty());
        if api_version.is_empty() {
            errs.push(FieldError::required(&at.child("apiVersion"), "must not be empty"));
        } else if gv.is_none() {
            errs.push(FieldError::invalid(
                &at.child("apiVersion"),
                api_version,
                "must be <group>/<version> or <version>",
            ));
        }
        for k in ["kind", "name", "uid"] {
            if text(r, k).is_empty() {
                errs.push(FieldError::required(&at.child(k), "must not be empty"));
            }
        }
        if api_version == "v1" && text(r, "kind") == "Event" {
            errs.push(FieldError::new(
                crate::field::ErrorType::Invalid,
                &at,
                Some(show_owner(r)),
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if r.get("controller").and_then(Value::as_bool) == Some(true) {
            let this = format!("{}/{}", text(r, "kind"), text(r, "name"));
            match &controller {
                None => controller = Some(this),
                Some(first) => {
                    let all: Vec<String> = refs.iter().map(show_owner).collect();
                    errs.push(FieldError::new(
                        crate::field::ErrorType::Invalid,
                        path,
                        Some(format!("[{}]", all.join(","))),
                        format!(
                            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                        ),
                    ));
                }
            }
        }
    }
    errs
}

pub fn validate_managed_fields(entries: &[Value], path: &Path) -> ErrorList {
    let mut errs = ErrorList::new();
    for (i, e) in entries.iter().enumerate() {
        let at = path.index(i);
        match text(e, "operation") {
            "" => errs.push(FieldError::required(&at.child("operation"), "must not be empty")),
            "Apply" | "Update" => {}
            op => errs.push(FieldError::not_supported(&at.child("operation"), op, &["Apply", "Update"])),
        }
        let ty = text(e, "fieldsType");
        if !ty.is_empty() && ty != "FieldsV1" {
            errs.push(FieldError::invalid(&at.child("fieldsType"), ty, "must be `FieldsV1`"));
        }
        errs.extend(validate_field_manager(text(e, "manager"), &at.child("manager")));
        if text(e, "subresource").len() > 256 {
            errs.push(FieldError::too_long(&at.child("subresource"), 256));
        }
    }
    errs
}

/// The name of a field manager: at most 128 bytes, printable.
pub fn validate_field_manager(name: &str, path: &Path) -> ErrorList {
    let mut errs = ErrorList::new();
    if name.len() > 128 {
        errs.push(FieldError::too_long(path, 128));
    }
    for (i, c) in name.char_indices() {
        if c.is_control() || (c.is_whitespace() && c != ' ') {
            errs.push(FieldError::invalid(
                path,
                name,
                format!("invalid character U+{:04X} (at position {i})", u32::from(c)),
            ));
        }
    }
    errs
}

pub fn validate_dry_run(values: &[&str], path: &Path) -> ErrorList {
    if values.iter().all(|v| *v == "All") {
        return ErrorList::new();
    }
    vec![FieldError::not_supported(path, Value::from(values.to_vec()), &["All"])]
}

pub fn validate_field_validation(v: &str, path: &Path) -> ErrorList {
    if matches!(v, "" | "Ignore" | "Warn" | "Strict") {
        return ErrorList::new();
    }
    vec![FieldError::not_supported(path, v, &["", "Ignore", "Strict", "Warn"])]
}

/// A list of `metav1.Condition`.
pub fn validate_conditions(conditions: &[Value], path: &Path) -> ErrorList {
    let mut errs = ErrorList::new();
    let mut seen: Vec<&str> = Vec::new();
    for (i, c) in conditions.iter().enumerate() {
        let at = path.index(i);
        let ty = text(c, "type");
        if seen.contains(&ty) {
            errs.push(FieldError::duplicate(&at, ty));
        }
        seen.push(ty);
        if ty.is_empty() {
            errs.push(FieldError::required(&at.child("type"), "is required"));
        } else {
            errs.extend(labels::validate_label_name(ty, &at.child("type")));
        }
        match text(c, "status") {
            "" => errs.push(FieldError::required(&at.child("status"), "")),
            "True" | "False" | "Unknown" => {}
            s => {
                errs.push(FieldError::not_supported(&at.child("status"), s, &["False", "True", "Unknown"]));
            }
        }
        let generation = c.get("observedGeneration").and_then(Value::as_i64).unwrap_or(0);
        if generation < 0 {
            errs.push(FieldError::invalid(
                &at.child("observedGeneration"),
                generation,
                "must be greater than or equal to zero",
            ));
        }
        if text(c, "lastTransitionTime").is_empty() {
            errs.push(FieldError::required(&at.child("lastTransitionTime"), ""));
        }
        let (reason, at_reason) = (text(c, "reason"), at.child("reason"));
        if reason.is_empty() {
            errs.push(FieldError::required(&at_reason, ""));
        } else {
            for m in names::is_valid_condition_reason(reason) {
                errs.push(FieldError::invalid(&at_reason, reason, m));
            }
            if reason.len() > 1024 {
                errs.push(FieldError::too_long(&at_reason, 1024));
            }
        }
        if text(c, "message").len() > 32 * 1024 {
            errs.push(FieldError::too_long(&at.child("message"), 32 * 1024));
        }
    }
    errs
}

#[cfg(test)]
mod tests;
