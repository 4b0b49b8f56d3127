//! Tables.

use super::*;
use expect_test::{Expect, expect};
use meta::{Path, Value};
use serde_json::json;

fn parse(v: Value) -> Schema {
    Schema::parse(&v).unwrap()
}

fn sample() -> Schema {
    parse(json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["cron"], "properties": {
            "cron": {"type": "string", "pattern": "^\\d+$", "maxLength": 5},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
            "when": {"type": "string", "format": "date-time", "nullable": true},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "port": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {
                "type": "object", "properties": {"n": {"type": "string"}, "v": {"type": "integer", "default": 7}}}}}}}}))
}

fn errors(v: Value, want: Expect) {
    let e: Vec<String> = sample().validate(&v).iter().map(ToString::to_string).collect();
    want.assert_eq(&e.join("\n"));
}

#[test]
fn what_is_wrong_is_said_in_upstreams_words() {
    errors(json!({"spec": {"cron": "12", "port": "x", "when": null}}), expect![""]);
    errors(
        json!({"spec": {"cron": "abc", "replicas": 11, "mode": "c", "when": "yesterday"}}),
        expect![[r#"
            spec.cron: Invalid value: "abc": spec.cron in body should match '^\d+$'
            spec.mode: Unsupported value: "c": supported values: "a", "b"
            spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10
            spec.when: Invalid value: "yesterday": spec.when in body must be of type date-time: "yesterday""#]],
    );
    errors(
        json!({"spec": {"replicas": "x", "port": true, "labels": {"a": 1}, "items": [{"n": "a"}, {"n": "a"}]}}),
        expect![[r#"
            spec.cron: Required value
            spec.items[1]: Duplicate value: {"n":"a"}
            spec.labels[a]: Invalid value: "integer": spec.labels[a] in body must be of type string: "integer"
            spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"
            spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#]],
    );
}

#[test]
fn unknown_members_go_and_are_told() {
    let mut v = json!({"apiVersion": "x", "metadata": {"name": "n"}, "extra": 1,
        "spec": {"foo": 1, "free": {"a": {"b": 1}}, "items": [{"n": "a", "z": 1}], "labels": {"k": "v"}}});
    assert_eq!(sample().prune(&mut v), ["extra", "spec.foo", "spec.items[0].z"]);
    assert_eq!(v["spec"], json!({"free": {"a": {"b": 1}}, "items": [{"n": "a"}], "labels": {"k": "v"}}));
}

#[test]
fn defaults_reach_into_lists_and_replace_nulls() {
    let mut v = json!({"spec": {"replicas": null, "items": [{"n": "a"}]}});
    sample().fill_defaults(&mut v);
    assert_eq!(v, json!({"spec": {"replicas": 1, "items": [{"n": "a", "v": 7}]}}));
}

#[test]
fn combinations() {
    let s = parse(
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
    );
    assert_eq!(s.validate(&json!({"a": 1})).len(), 0);
    assert_eq!(s.validate(&json!({})).len(), 1);
    assert_eq!(s.validate(&json!({"a": 1, "b": 1})).len(), 1);
}

#[test]
fn what_is_not_structural_is_refused() {
    let bad = parse(
        json!({"type": "array", "properties": {"x": {}, "l": {"type": "array"}, "m": {"type": "string", "x-kubernetes-list-type": "map"}}}),
    );
    let got: Vec<String> = check(&bad, &Path::new("s")).iter().map(|e| e.field.clone()).collect();
    assert_eq!(
        got,
        [
            "s.type",
            "s.items",
            "s.properties[l].items",
            "s.properties[m].x-kubernetes-list-map-keys",
            "s.properties[m].type",
            "s.properties[x].type"
        ]
    );
    assert!(Schema::parse(&json!({"properties": {"a": {"pattern": "("}}})).is_err());
    assert_eq!(check(&sample(), &Path::new("s")), []);
}

#[test]
fn depth_is_bounded() {
    let mut v = json!({"type": "object"});
    for _ in 0..200 {
        v = json!({"type": "object", "properties": {"a": v}});
    }
    assert!(Schema::parse(&v).is_err());
}
