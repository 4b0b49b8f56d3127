//! The stream against the tree, and bytes that no encoder writes.

use super::*;
use crate::facts;
use serde_json::json;

fn pod() -> crate::Value {
    json!({"metadata": {"name": "p", "resourceVersion": "7", "labels": {"b": "<", "a": "1"}, "managedFields": [
            {"manager": "m", "operation": "Update", "fieldsV1": {"f:spec": {"f:x": {}}}}]},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "500m"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}]},
        "status": {"startTime": "2026-01-02T03:04:05Z"}})
}

#[test]
fn the_version_is_replaced() {
    let ty = facts::type_of("", "v1", "Pod").unwrap();
    let raw = proto::encode(&json::canonicalize(pod(), ty).unwrap().value, ty);
    for rv in ["", "8", "123456789012345678901234567890"] {
        let mut want = pod();
        proto::set_version(&mut want, rv);
        want["kind"] = "Pod".into();
        want["apiVersion"] = "v1".into();
        let mut text = Vec::new();
        json::encode(&json::canonicalize(want, ty).unwrap().value, ty, &mut text);
        let mut out = Vec::new();
        proto_to_json(&raw, ty, Some(("Pod", "v1")), rv, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(text).unwrap());
        let mut out = b"x".to_vec();
        proto_with_version(&raw, rv, &mut out).unwrap();
        let mut want = pod();
        proto::set_version(&mut want, rv);
        assert_eq!(out[1..], proto::encode(&json::canonicalize(want, ty).unwrap().value, ty));
    }
    // No metadata at all.
    let mut out = Vec::new();
    proto_with_version(&[0x12, 0], "8", &mut out).unwrap();
    assert_eq!(out, [0x0a, 3, 0x32, 1, b'8', 0x12, 0]);
}

#[test]
fn irregular_bytes_go_by_way_of_a_tree() {
    let ty = facts::type_of("", "v1", "ConfigMap").unwrap();
    let entry = |k: u8, v: u8| [0x12, 6, 0x0a, 1, k, 0x12, 1, v];
    let meta = |field: u8, v: u8| [0x0a, 3, field, 1, v];
    // Metadata in two parts, data around it, keys out of order and twice.
    let mut raw = Vec::new();
    raw.extend(entry(b'b', b'1'));
    raw.extend(meta(0x0a, b'n'));
    raw.extend(entry(b'a', b'2'));
    raw.extend(meta(0x1a, b's'));
    raw.extend(entry(b'b', b'3'));
    raw.extend([0xf8, 0x07, 1]);
    let mut out = Vec::new();
    proto_to_json(&raw, ty, None, "", &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"metadata":{"name":"n","namespace":"s"},"data":{"a":"2","b":"3"}}"#
    );
    let mut out = b"x".to_vec();
    assert!(proto_to_json(&[0x0a, 9, 1], ty, None, "", &mut out).is_err());
    assert_eq!(out, b"x");
}

#[test]
fn custom_resources() {
    for (text, rv, want) in [
        (
            r#"{"a":1,"metadata":{"name":"n","resourceVersion":"1","x":{}},"b":[]}"#,
            "2",
            r#"{"a":1,"metadata":{"resourceVersion":"2","name":"n","x":{}},"b":[]}"#,
        ),
        (r#"{"metadata":{"resourceVersion":"1"}}"#, "", r#"{"metadata":{}}"#),
        (r#"{"metadata": { "a" : 1 , "resourceVersion" : "1" } }"#, "", r#"{"metadata": {"a" : 1} }"#),
        (r#"{"metadata":{}}"#, "2", r#"{"metadata":{"resourceVersion":"2"}}"#),
        (r#"{"a":{}}"#, "2", r#"{"a":{}}"#),
    ] {
        let mut out = Vec::new();
        json_with_version(text.as_bytes(), rv, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
    for bad in ["", "[]", "{", r#"{"metadata":1}"#, r#"{"metadata":{"a":1,}}"#, r#"{"metadata":{"a"}}"#] {
        assert!(json_with_version(bad.as_bytes(), "1", &mut Vec::new()).is_err(), "{bad}");
    }
}
