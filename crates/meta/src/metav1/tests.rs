//! Validation of metadata.

use super::*;
use serde_json::json;

fn shown(e: &ErrorList) -> Vec<String> {
    e.iter().map(ToString::to_string).collect()
}

#[test]
fn create() {
    let ok = json!({"metadata": {"name": "a", "namespace": "n", "labels": {"k": "v"}, "annotations": {"X/Y": "z"}}});
    let path = Path::new("metadata");
    let check = |o: &Value, ns| shown(&validate_object_meta(o, ns, &names::is_dns1123_subdomain, &path));
    assert_eq!(check(&ok, true), Vec::<String>::new());
    assert_eq!(check(&ok, false), ["metadata.namespace: Forbidden: not allowed on this type"]);
    assert_eq!(
        check(&json!({}), true),
        [
            "metadata.name: Required value: name or generateName is required",
            "metadata.namespace: Required value",
        ]
    );
    let big = json!({"metadata": {"name": "a", "annotations": {"k": "x".repeat(256 * 1024)}}});
    assert_eq!(check(&big, false), ["metadata.annotations: Too long: may not be more than 262144 bytes"]);
    let owners = json!({"metadata": {"name": "a", "finalizers": ["orphan", "foregroundDeletion"], "ownerReferences": [
        {"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u", "controller": true},
        {"apiVersion": "a/b/c", "kind": "K", "name": "n", "uid": "", "controller": true}]}});
    assert_eq!(
        check(&owners, false),
        [
            "metadata.ownerReferences[0]: Invalid value: {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"e\",\"uid\":\"u\",\"controller\":true}: /v1, Kind=Event is disallowed from being an owner",
            "metadata.ownerReferences[1].apiVersion: Invalid value: \"a/b/c\": must be <group>/<version> or <version>",
            "metadata.ownerReferences[1].uid: Required value: must not be empty",
            "metadata.ownerReferences: Invalid value: [{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"e\",\"uid\":\"u\",\"controller\":true},{\"apiVersion\":\"a/b/c\",\"kind\":\"K\",\"name\":\"n\",\"uid\":\"\",\"controller\":true}]: Only one reference can have Controller set to true. Found \"true\" in references for Event/e and K/n",
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
        ]
    );
}

#[test]
fn update() {
    let old = json!({"metadata": {"name": "a", "uid": "u", "generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let new = json!({"metadata": {"name": "b", "uid": "u", "generation": 1, "finalizers": ["x/y"]}});
    assert_eq!(
        shown(&validate_object_meta_update(&new, &old)),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x/y\"}",
            "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
            "metadata.generation: Invalid value: 1: must not be decremented",
            "metadata.name: Invalid value: \"b\": field is immutable",
            "metadata.deletionTimestamp: Invalid value: null: field is immutable",
        ]
    );
}

#[test]
fn conditions_and_options() {
    let c = json!([{"type": "Ready", "status": "Yes", "reason": "1", "lastTransitionTime": "t"}, {"type": "Ready"}]);
    let errs = validate_conditions(c.as_array().unwrap(), &Path::new("c"));
    let fields: Vec<&str> = errs.iter().map(|e| e.field.as_str()).collect();
    assert_eq!(
        fields,
        ["c[0].status", "c[0].reason", "c[1]", "c[1].status", "c[1].lastTransitionTime", "c[1].reason"]
    );
    assert_eq!(
        shown(&validate_field_validation("x", &Path::new("fieldValidation"))),
        [
            "fieldValidation: Unsupported value: \"x\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
        ]
    );
    assert!(validate_dry_run(&["All"], &Path::root()).is_empty());
    assert_eq!(validate_field_manager("a\nb", &Path::root()).len(), 1);
}
