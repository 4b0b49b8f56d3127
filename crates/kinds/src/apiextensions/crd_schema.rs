//! Schemas in definitions of custom resources (X/pkg/apis/apiextensions/validation, X/pkg/apiserver/schema/validation.go).

use meta::{ErrorList, FieldError, Path, Value};
use structural::Schema;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// Keys of a schema that are not value validations: below `allOf` and its like they must not stand.
const STRUCTURE: [&str; 12] = [
    "type",
    "default",
    "title",
    "description",
    "nullable",
    "additionalProperties",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
];
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is wrong with a version's schema.
pub(super) fn check(raw: &Value, path: &Path, status: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    if status {
        root(raw, path, &mut errors);
    }
    if raw.get("nullable") == Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    match Schema::parse(raw) {
        Err(e) => errors.push(FieldError::invalid(path, "", e)),
        Ok(s) => {
            errors.extend(structural::check(&s, path));
            if errors.is_empty() {
                defaults(&s, raw, path, &mut errors);
            }
        }
    }
    walk(raw, path, Place::Root, &mut errors);
    if errors.is_empty()
        && let Ok(s) = Schema::parse(raw)
    {
        errors = cel::crd::check(&s, path);
    }
    let mut unique = ErrorList::with_capacity(errors.len());
    for e in errors {
        if !unique.contains(&e) {
            unique.push(e);
        }
    }
    unique
}

/// With a status endpoint the status is validated by itself: nothing at the root may reach into it.
fn root(raw: &Value, path: &Path, errors: &mut ErrorList) {
    const ALLOWED: [&str; 13] = [
        "description",
        "externalDocs",
        "example",
        "title",
        "format",
        "properties",
        "required",
        "type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
        "x-kubernetes-map-type",
        "x-kubernetes-list-type",
        "id",
    ];
    if raw.get("type").is_some_and(|t| t != "object") {
        let why = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        let ty = raw.get("type").cloned().unwrap_or_default();
        errors.push(FieldError::invalid(&path.child("type"), ty, why));
        return;
    }
    let extra = raw.as_object().into_iter().flatten().any(|(k, _)| !ALLOWED.contains(&k.as_str()));
    if extra {
        let why = "only [\"Description\" \"Type\" \"Format\" \"Title\" \"Maximum\" \"ExclusiveMaximum\" \"Minimum\" \"ExclusiveMinimum\" \"MaxLength\" \"MinLength\" \"Pattern\" \"MaxItems\" \"MinItems\" \"UniqueItems\" \"MultipleOf\" \"Required\" \"Items\" \"Properties\" \"ExternalDocs\" \"Example\" \"XPreserveUnknownFields\" \"XValidations\"] fields are allowed at the root of the schema if the status subresource is enabled";
        // What upstream allows besides says something about scalars and lists only, and the root is an object.
        const SCALAR: [&str; 12] = [
            "maximum",
            "exclusiveMaximum",
            "minimum",
            "exclusiveMinimum",
            "maxLength",
            "minLength",
            "pattern",
            "maxItems",
            "minItems",
            "uniqueItems",
            "multipleOf",
            "items",
        ];
        let known = |k: &str| ALLOWED.contains(&k) || SCALAR.contains(&k);
        if raw.as_object().into_iter().flatten().any(|(k, _)| !known(k)) {
            errors.push(FieldError::invalid(path, raw.clone(), why));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// A place of the object.
    Object,
    /// Inside the metadata of an object.
    Meta,
    /// Below `allOf`, `anyOf`, `oneOf`, `not`: validation only.
    Junctor,
}

fn walk(raw: &Value, path: &Path, place: Place, errors: &mut ErrorList) {
    let Some(o) = raw.as_object() else { return };
    let ty = o.get("type").and_then(Value::as_str).unwrap_or("");
    let forbid = |errors: &mut ErrorList, k: &str, why: &str| {
        errors.push(FieldError::forbidden(&path.child(k), why));
    };
    if !ty.is_empty() && !TYPES.contains(&ty) {
        errors.push(FieldError::not_supported(&path.child("type"), ty, &TYPES));
    }
    for k in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        let empty = |v: &Value| v.is_null() || v == "" || v.as_object().is_some_and(|o| o.is_empty());
        if o.get(k).is_some_and(|v| !empty(v)) {
            forbid(errors, k, &format!("{k} is not supported"));
        }
    }
    if ty == "null" {
        forbid(errors, "type", "type cannot be set to null, use nullable as an alternative");
    }
    if o.get("items").is_some_and(Value::is_array) {
        forbid(errors, "items", "items must be a schema object and not an array");
    }
    if o.get("uniqueItems") == Some(&Value::Bool(true)) {
        forbid(
            errors,
            "uniqueItems",
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        );
    }
    let embedded = o.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
    if place == Place::Meta && embedded {
        forbid(errors, "x-kubernetes-embedded-resource", "must not be used inside of resource meta");
    }
    if o.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&at, false, "must be true or undefined"));
    }
    if place == Place::Junctor {
        for k in STRUCTURE {
            let int_or_string = o.len() == 1 && k == "type" && matches!(ty, "integer" | "string");
            let empty = o.get(k).is_none_or(|v| v.is_null() || v == "" || *v == Value::Bool(false));
            if !empty && !int_or_string {
                let why = if k == "type" {
                    "must be empty to be structural".to_owned()
                } else {
                    "must be undefined to be structural".to_owned()
                };
                forbid(errors, k, &why);
            }
        }
    }
    map_type(o, ty, path, errors);
    list_map(o, path, errors);
    rules(o, path, errors);

    let below = |k: &str, inner: Place| match place {
        Place::Junctor => Place::Junctor,
        Place::Meta => Place::Meta,
        Place::Root if matches!(k, "metadata") => Place::Meta,
        _ if embedded && k == "metadata" => Place::Meta,
        _ => inner,
    };
    for (k, s) in o.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let at = path.child("properties").key(k);
        if place == Place::Root
            && matches!(k.as_str(), "metadata" | "apiVersion" | "kind")
            && let Some(where_) = find_default(s, &at)
        {
            errors.push(FieldError::forbidden(&where_, format!("must not be set in top-level {k}")));
        }
        walk(s, &at, below(k, Place::Object), errors);
    }
    if let Some(s) = o.get("additionalProperties").filter(|s| s.is_object()) {
        if place == Place::Root {
            forbid(errors, "additionalProperties", "must not be used at the root");
        }
        walk(s, &path.child("additionalProperties"), below("", Place::Object), errors);
    }
    if let Some(s) = o.get("items").filter(|s| s.is_object()) {
        walk(s, &path.child("items"), below("", Place::Object), errors);
    }
    for k in ["allOf", "anyOf", "oneOf"] {
        for (i, s) in o.get(k).and_then(Value::as_array).into_iter().flatten().enumerate() {
            walk(s, &path.child(k).index(i), Place::Junctor, errors);
        }
    }
    if let Some(s) = o.get("not") {
        walk(s, &path.child("not"), Place::Junctor, errors);
    }
}

fn find_default(s: &Value, path: &Path) -> Option<Path> {
    if s.get("default").is_some_and(|d| !d.is_null()) {
        return Some(path.child("default"));
    }
    let props = s.get("properties").and_then(Value::as_object).into_iter().flatten();
    props.into_iter().find_map(|(k, x)| find_default(x, &path.child("properties").key(k)))
}

type Obj = serde_json::Map<String, Value>;

fn map_type(o: &Obj, ty: &str, path: &Path, errors: &mut ErrorList) {
    let Some(m) = o.get("x-kubernetes-map-type").and_then(Value::as_str) else { return };
    let why = "must be object if x-kubernetes-map-type is specified";
    match ty {
        "object" => {}
        "" => errors.push(FieldError::required(&path.child("type"), why)),
        t => errors.push(FieldError::invalid(&path.child("type"), t, why)),
    }
    if !matches!(m, "atomic" | "granular") {
        errors.push(FieldError::not_supported(
            &path.child("x-kubernetes-map-type"),
            m,
            &["atomic", "granular"],
        ));
    }
}

/// Items of a list by keys (`validateMapListKeysMapSet`).
fn list_map(o: &Obj, path: &Path, errors: &mut ErrorList) {
    let list = o.get("x-kubernetes-list-type").and_then(Value::as_str).unwrap_or("");
    let Some(items) = o.get("items").filter(|i| i.is_object()) else { return };
    let nullable = |v: &Value| v.get("nullable") == Some(&Value::Bool(true));
    let of_items = path.child("items");
    if matches!(list, "map" | "set") && nullable(items) {
        let why = "cannot be nullable when x-kubernetes-list-type is ".to_owned() + list;
        errors.push(FieldError::forbidden(&of_items.child("nullable"), why));
    }
    let text = |v: &Value, k: &str| v.get(k).and_then(Value::as_str).unwrap_or("").to_owned();
    if list == "set" {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        match text(items, "type").as_str() {
            "array" if !matches!(text(items, "x-kubernetes-list-type").as_str(), "" | "atomic") => {
                let at = of_items.child("x-kubernetes-list-type");
                errors.push(FieldError::invalid(&at, text(items, "x-kubernetes-list-type"), why));
            }
            "object" if text(items, "x-kubernetes-map-type") != "atomic" => {
                let at = of_items.child("x-kubernetes-map-type");
                errors.push(FieldError::invalid(&at, text(items, "x-kubernetes-map-type"), why));
            }
            _ => {}
        }
    }
    if list != "map" {
        return;
    }
    if text(items, "type") != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(&of_items.child("type"), text(items, "type"), why));
        return;
    }
    let required = items.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    let keys = o.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
    for k in keys.filter_map(Value::as_str) {
        if seen.contains(&k) {
            let at = path.child("x-kubernetes-list-map-keys");
            let all = o.get("x-kubernetes-list-map-keys").cloned().unwrap_or_default();
            errors.push(FieldError::invalid(&at, all, "must not contain duplicate entries"));
        }
        seen.push(k);
        let Some(p) = items.get("properties").and_then(|p| p.get(k)) else { continue };
        let at = of_items.child("properties").key(k);
        if matches!(text(p, "type").as_str(), "array" | "object") {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(&at.child("type"), text(items, "type"), why));
        }
        if nullable(p) {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&at.child("nullable"), why));
        }
        if p.get("default").is_none_or(Value::is_null) && !required.iter().any(|r| r == k) {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&at.child("default"), why));
        }
    }
}

/// The form of `x-kubernetes-validations`; what the rules say is for the evaluator.
fn rules(o: &Obj, path: &Path, errors: &mut ErrorList) {
    let all = o.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    for (i, r) in all.enumerate() {
        let at = path.child("x-kubernetes-validations").index(i);
        let text = |k: &str| r.get(k).and_then(Value::as_str);
        let (rule, message) = (text("rule").unwrap_or("").trim(), text("message").unwrap_or(""));
        let lines = |s: &str| s.contains(['\n', '\r']);
        if rule.is_empty() {
            errors.push(FieldError::required(&at.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(&at.child("message"), message, "must be non-empty if specified"));
        } else if lines(message.trim()) {
            errors.push(FieldError::invalid(&at.child("message"), message, "must not contain line breaks"));
        } else if lines(rule) && message.trim().is_empty() {
            let why = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(&at.child("message"), why));
        }
        if text("messageExpression").is_some_and(|m| !m.is_empty() && m.trim().is_empty()) {
            let why = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(&at.child("messageExpression"), why));
        }
        if let Some(x) = text("reason").filter(|x| !REASONS.contains(x)) {
            errors.push(FieldError::not_supported(&at.child("reason"), x, &REASONS));
        }
        if let Some(f) = text("fieldPath").filter(|f| !f.is_empty()) {
            if f.trim().is_empty() {
                errors.push(FieldError::invalid(&at.child("fieldPath"), f, "must be non-empty if specified"));
            }
            if lines(f) {
                errors.push(FieldError::invalid(&at.child("fieldPath"), f, "must not contain line breaks"));
            }
        }
    }
}

/// Defaults must be what pruning leaves alone and validation lets pass.
fn defaults(s: &Schema, raw: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(d) = &s.default {
        let at = path.child("default");
        let mut pruned = d.clone();
        if !s.prune_part(&mut pruned).is_empty() {
            errors.push(FieldError::invalid(&at, d.clone(), "must not have unknown fields"));
        }
        let mut full = d.clone();
        s.fill_defaults(&mut full);
        errors.extend(s.validate_update(&full, None, &at));
    }
    for (k, p) in &s.properties {
        let of = raw.get("properties").and_then(|r| r.get(k)).unwrap_or(&Value::Null);
        defaults(p, of, &path.child("properties").key(k), errors);
    }
    if let structural::Additional::Schema(a) = &s.additional {
        defaults(a, &Value::Null, &path.child("additionalProperties"), errors);
    }
    if let Some(i) = &s.items {
        defaults(i, &Value::Null, &path.child("items"), errors);
    }
}
