//! What the random patches of `strategic/testdata` do not reach.

use super::*;
use serde_json::json;

#[test]
fn limits() {
    let many = Value::Array(vec![json!({"op": "add", "path": "/a", "value": 1}); MAX_OPERATIONS + 1]);
    let e = json_patch(&json!({}), &many).unwrap_err();
    assert_eq!(e.status().code, 413);
    assert_eq!(
        e.status().message,
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
    let copies = Value::Array(vec![json!({"op": "copy", "from": "/a", "path": "/b/-"}); 40]);
    let e = json_patch(&json!({"a": "x".repeat(100_000), "b": []}), &copies).unwrap_err();
    assert_eq!(e.status().code, 422);
    assert!(json_patch(&json!({"a": "x".repeat(1000), "b": []}), &copies).is_ok());
}

#[test]
fn refusals() {
    let status = |p: Value| {
        let s = json_patch(&json!({"a": [1]}), &p).unwrap_err().status();
        (s.code, s.message)
    };
    let rejected = (422, "the server rejected our request due to an error in our request".to_owned());
    assert_eq!(status(json!({"op": "add"})).0, 400);
    assert_eq!(status(json!([1])).0, 400);
    assert_eq!(status(json!([null])), rejected);
    assert_eq!(status(json!([{"op": "test", "path": "/a/0", "value": 2}])), rejected);
    assert_eq!(status(json!([{"op": "replace", "path": "/a/-2", "value": 2}])), rejected);
    assert_eq!(status(json!([{"op": "frob", "path": "/a"}])), rejected);
}

#[test]
fn negative_indices() {
    let p = json!([{"op": "add", "path": "/a/-1", "value": 3}, {"op": "remove", "path": "/a/-2"}]);
    assert_eq!(json_patch(&json!({"a": [1, 2]}), &p).unwrap(), json!({"a": [1, 3]}));
}
