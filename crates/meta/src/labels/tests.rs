//! Label selectors of objects.

use super::*;
use serde_json::json;

#[test]
fn selectors_of_objects() {
    assert!(from_label_selector(None).unwrap().nothing);
    assert!(from_label_selector(Some(&json!({}))).unwrap().everything());
    let s = json!({"matchLabels": {"b": "1"}, "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "DoesNotExist"}]});
    assert_eq!(from_label_selector(Some(&s)).unwrap().to_string(), "a in (x,y),b=1,!c");
    let bad = json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]});
    assert_eq!(from_label_selector(Some(&bad)).unwrap_err(), "\"Gt\" is not a valid label selector operator");
    assert!(is_empty(&json!({"matchLabels": {}})) && !is_empty(&s));
}

#[test]
fn validation() {
    let s = json!({"matchLabels": {"a": "-"}, "matchExpressions": [
        {"key": "a", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["x"]}, {"key": "", "operator": "Q"}]});
    let errs: Vec<String> =
        validate_label_selector(Some(&s), SelectorOptions::default(), &Path::new("spec.selector"))
            .iter()
            .map(|e| format!("{} {}", e.field, e.kind.reason()))
            .collect();
    assert_eq!(
        errs,
        [
            "spec.selector.matchLabels FieldValueInvalid",
            "spec.selector.matchExpressions[0].values FieldValueRequired",
            "spec.selector.matchExpressions[1].values FieldValueForbidden",
            "spec.selector.matchExpressions[2].operator FieldValueInvalid",
            "spec.selector.matchExpressions[2].key FieldValueInvalid",
            "spec.selector.matchExpressions[2].key FieldValueInvalid",
        ]
    );
}
