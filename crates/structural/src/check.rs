//! Is a schema structural? (apiextensions-apiserver `pkg/apiserver/schema/validation.go`.) What is not makes the
//! definition invalid.

use crate::{Additional, Schema};
use meta::{ErrorList, FieldError, Path};

/// Checks a version's schema; `path` is where it stands in the definition.
pub fn check(s: &Schema, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if s.ty.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must not be empty at the root"));
    } else if s.ty != "object" {
        errors.push(FieldError::invalid(&path.child("type"), s.ty.as_str(), "must be object at the root"));
    }
    at(s, path, &mut errors, true);
    errors
}

fn at(s: &Schema, path: &Path, errors: &mut ErrorList, root: bool) {
    const TYPES: [&str; 6] = ["object", "array", "string", "integer", "number", "boolean"];
    if s.ty.is_empty() && !s.preserve && !s.int_or_string && !root {
        errors
            .push(FieldError::required(&path.child("type"), "must not be empty for specified object fields"));
    }
    if !s.ty.is_empty() && !TYPES.contains(&s.ty.as_str()) {
        let mut sorted = TYPES;
        sorted.sort_unstable();
        errors.push(FieldError::not_supported(&path.child("type"), s.ty.as_str(), &sorted));
    }
    if s.int_or_string && !s.ty.is_empty() {
        errors.push(FieldError::forbidden(
            &path.child("type"),
            "must be empty if x-kubernetes-int-or-string is true",
        ));
    }
    if s.embedded && s.ty != "object" {
        errors.push(FieldError::invalid(
            &path.child("type"),
            s.ty.as_str(),
            "must be object if x-kubernetes-embedded-resource is true",
        ));
    }
    if s.embedded && !s.preserve && s.properties.is_empty() {
        errors.push(FieldError::required(&path.child("properties"), "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"));
    }
    if !s.properties.is_empty() && !matches!(s.additional, Additional::None) {
        errors.push(FieldError::forbidden(
            &path.child("additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        ));
    }
    if s.ty == "array" && s.items.is_none() {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    lists(s, path, errors);
    for (k, p) in &s.properties {
        if root && k == "metadata" {
            for inner in p.properties.keys().filter(|k| !matches!(k.as_str(), "name" | "generateName")) {
                let at = path.child("properties").key("metadata").child("properties").key(inner);
                errors.push(FieldError::forbidden(&at, "must not specify anything other than name and generateName, but metadata is implicitly specified"));
            }
            continue;
        }
        at(p, &path.child("properties").key(k), errors, false);
    }
    if let Additional::Schema(a) = &s.additional {
        at(a, &path.child("additionalProperties"), errors, false);
    }
    if let Some(i) = &s.items {
        at(i, &path.child("items"), errors, false);
    }
}

fn lists(s: &Schema, path: &Path, errors: &mut ErrorList) {
    match s.list_type.as_str() {
        "" | "atomic" | "set" => {
            if !s.list_keys.is_empty() {
                let at = path.child("x-kubernetes-list-map-keys");
                errors.push(FieldError::forbidden(&at, "must be empty unless x-kubernetes-list-type is map"));
            }
        }
        "map" => {
            let at = path.child("x-kubernetes-list-map-keys");
            if s.list_keys.is_empty() {
                errors.push(FieldError::required(&at, "must not be empty if x-kubernetes-list-type is map"));
            }
            for (i, k) in s.list_keys.iter().enumerate() {
                if s.items.as_ref().is_some_and(|x| !x.properties.contains_key(k)) {
                    errors.push(FieldError::invalid(
                        &at.index(i),
                        k.as_str(),
                        "entries must all be names of item properties",
                    ));
                }
            }
        }
        other => errors.push(FieldError::not_supported(
            &path.child("x-kubernetes-list-type"),
            other,
            &["atomic", "map", "set"],
        )),
    }
    if !s.list_type.is_empty() && s.ty != "array" {
        let at = path.child("type");
        errors.push(FieldError::invalid(
            &at,
            s.ty.as_str(),
            "must be array if x-kubernetes-list-type is specified",
        ));
    }
}
