//! Rules, from their definitions to what they say about objects.

use super::*;
use serde_json::json;

fn schema(v: Json) -> Schema {
    Schema::parse(&v).unwrap()
}

fn sample() -> Schema {
    schema(json!({"type": "object", "properties": {
    "spec": {"type": "object",
        "x-kubernetes-validations": [
            {"rule": "self.min <= self.max", "message": "min must not exceed max"},
            {"rule": "self.max < 100", "messageExpression": "'max is ' + string(self.max)", "fieldPath": ".max"},
            {"rule": "!has(self.fixed) || self.fixed == oldSelf.fixed", "message": "fixed is immutable", "reason": "FieldValueForbidden"}
        ],
        "properties": {
            "min": {"type": "integer"}, "max": {"type": "integer"}, "fixed": {"type": "string", "maxLength": 10},
            "namespace": {"type": "string", "x-kubernetes-validations": [{"rule": "self != 'x'"}]},
            "list": {"type": "array", "maxItems": 10, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
                "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}, "v": {"type": "integer"}},
                    "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "v must not decrease"}]}}
        }}}}))
}

fn errors(new: Json, old: Option<Json>) -> (Vec<String>, Vec<String>) {
    let s = sample();
    let r = Rules::compile(&s).unwrap();
    let mut w = Vec::new();
    let e = r.validate(&s, &new, old.as_ref(), &mut w);
    (e.iter().map(ToString::to_string).collect(), w)
}

#[test]
fn rules_speak() {
    let obj = |min: i64, max: i64| json!({"spec": {"min": min, "max": max}});
    assert_eq!(errors(obj(1, 2), None).0, Vec::<String>::new());
    assert_eq!(errors(obj(3, 2), None).0, ["spec: Invalid value: min must not exceed max"]);
    assert_eq!(errors(obj(3, 200), None).0, ["spec.max: Invalid value: max is 200"]);
    // What did not change is told, not refused.
    let (e, w) = errors(obj(3, 2), Some(obj(3, 2)));
    assert_eq!((e.len(), w.len()), (0, 1));
    assert_eq!(
        errors(json!({"spec": {"min": 1, "max": 2, "namespace": "x"}}), None).0,
        ["spec.namespace: Invalid value: \"x\": failed rule: self != 'x'"]
    );
}

#[test]
fn transitions() {
    let fixed = |f: &str| json!({"spec": {"min": 1, "max": 2, "fixed": f}});
    assert_eq!(errors(fixed("a"), None).0.len(), 0);
    assert_eq!(errors(fixed("b"), Some(fixed("a"))).0, ["spec: Forbidden: fixed is immutable"]);
    let list =
        |v: i64| json!({"spec": {"min": 1, "max": 2, "list": [{"n": "x", "v": 9}, {"n": "a", "v": v}]}});
    assert_eq!(errors(list(1), Some(list(2))).0, ["spec.list[1]: Invalid value: v must not decrease"]);
    assert_eq!(
        errors(json!({"spec": {"min": 1}}), None).0,
        [
            "spec: Invalid value: \"object\": no such key: max evaluating rule: min must not exceed max",
            "spec: Invalid value: \"object\": no such key: max evaluating rule: self.max < 100"
        ]
    );
}

fn refused(rule: Json) -> Vec<String> {
    let s = schema(
        json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-validations": [rule], "properties": {
        "a": {"type": "integer"}, "s": {"type": "string"}, "l": {"type": "array", "items": {"type": "string"}},
        "free": {"x-kubernetes-preserve-unknown-fields": true}, "ios": {"x-kubernetes-int-or-string": true}}}}}),
    );
    check(&s, &Path::new("p")).iter().map(|e| format!("{}: {}", e.field, e.detail)).collect()
}

#[test]
fn definitions() {
    let at = "p.properties[spec].x-kubernetes-validations[0]";
    assert_eq!(refused(json!({"rule": "self.a > 0"})), Vec::<String>::new());
    assert_eq!(refused(json!({"rule": "self.ios == 'x' || self.ios == 1"})), Vec::<String>::new());
    assert_eq!(
        refused(json!({"rule": "self.b > 0"})),
        [format!(
            "{at}.rule: compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b > 0\n | ....^"
        )]
    );
    assert_eq!(refused(json!({"rule": "self.free == 1"})).len(), 1);
    assert_eq!(
        refused(json!({"rule": "self.a"})),
        [format!("{at}.rule: cel expression must evaluate to a bool")]
    );
    assert_eq!(
        refused(json!({"rule": "self.a > 0", "messageExpression": "self.a"})),
        [format!("{at}.messageExpression: messageExpression must evaluate to a string")]
    );
    assert_eq!(refused(json!({"rule": "self.a > 0", "optionalOldSelf": true})).len(), 1);
    let costly = refused(json!({"rule": "self.l.all(x, self.l.all(y, x.contains(y)))"}));
    assert_eq!(
        costly[0],
        format!(
            "{at}.rule: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
        )
    );
    assert_eq!(costly.len(), 3);
}
