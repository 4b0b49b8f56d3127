//! One object, three ways.

use super::*;
use crate::{facts, proto};
use serde_json::json;

#[test]
fn the_same_from_every_form() {
    let v = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "n", "namespace": "ns", "uid": "u", "generation": 3, "labels": {"a": "1", "b": ""},
        "annotations": {"x": "y"}, "finalizers": ["f/g"], "deletionTimestamp": "2026-01-01T00:00:00Z",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "o", "controller": true}]},
        "data": {"k": "v"}});
    let want = Header::from_value(&v);
    assert_eq!(want.controller().unwrap().kind, "ReplicaSet");
    assert_eq!((want.label("a"), want.annotation("x"), want.deleting), (Some("1"), Some("y"), true));
    assert_eq!(Header::from_json(v.to_string().as_bytes()).unwrap(), want);
    let ty = facts::type_of("", "v1", "ConfigMap").unwrap();
    assert_eq!(Header::from_proto(&proto::encode(&v, ty)).unwrap(), want);
}

#[test]
fn bad_bytes() {
    assert!(Header::from_proto(&[0x0a, 0xff]).is_err());
    assert!(Header::from_json(b"[]").is_err() && Header::from_json(b"{").is_err());
    assert_eq!(Header::from_json(br#"{"metadata":{"name":1}}"#).unwrap(), Header::default());
}
