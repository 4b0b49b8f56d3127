//! RFC 7386 and the way back.

use super::*;
use serde_json::json;

#[test]
fn merges() {
    let check = |doc: Value, patch: Value, want: Value| assert_eq!(merge_patch(&doc, &patch).unwrap(), want);
    check(
        json!({"a": 1, "b": 2}),
        json!({"a": null, "c": {"d": null, "e": 1}}),
        json!({"b": 2, "c": {"e": 1}}),
    );
    check(json!({"a": [1]}), json!({"a": {"b": null}}), json!({"a": {}}));
    check(json!({"a": 1}), json!({"a": [null, {"x": null}]}), json!({"a": [null, {}]}));
    assert_eq!(merge_patch(&json!({}), &json!([])).unwrap_err().status().code, 400);
}

#[test]
fn differences_come_back() {
    let (a, b) =
        (json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]}), json!({"b": {"c": 1, "x": 3}, "e": [2], "f": {}}));
    let p = create_merge_patch(&a, &b);
    assert_eq!(p, json!({"a": null, "b": {"d": null, "x": 3}, "e": [2], "f": {}}));
    assert_eq!(merge_patch(&a, &p).unwrap(), b);
}
