//! Policies, from their specifications to what they say.

use super::*;
use serde_json::json;

fn input(object: Json) -> Input {
    Input {
        object: json::dynamic(&object),
        old_object: Value::Null,
        params: json::dynamic(&json!({"max": 3})),
        request: json::dynamic(
            &json!({"operation": "CREATE", "userInfo": {"username": "bob", "groups": ["a"]}, "dryRun": false}),
        ),
        namespace: json::dynamic(&json!({"metadata": {"name": "ns", "labels": {"env": "prod"}}})),
        authorizer: None,
    }
}

fn messages(spec: Json, object: Json) -> Vec<String> {
    Validating::compile(&spec).judge(&input(object)).denials.into_iter().map(|d| d.message).collect()
}

#[test]
fn validations() {
    let spec = |v: Json| {
        json!({"paramKind": {"kind": "X"}, "variables": [
        {"name": "n", "expression": "object.spec.replicas"}, {"name": "twice", "expression": "variables.n * 2"}],
        "validations": v})
    };
    let obj = json!({"spec": {"replicas": 5}});
    assert_eq!(
        messages(spec(json!([{"expression": "variables.twice <= params.max"}])), obj.clone()),
        ["failed expression: variables.twice <= params.max"]
    );
    assert_eq!(
        messages(
            spec(
                json!([{"expression": "object.spec.replicas <= params.max", "messageExpression": "'replicas must be no greater than ' + string(params.max)"}])
            ),
            obj.clone()
        ),
        ["replicas must be no greater than 3"]
    );
    assert_eq!(
        messages(
            spec(
                json!([{"expression": "namespaceObject.metadata.labels.env == 'prod' && request.userInfo.username == 'bob'"}])
            ),
            obj.clone()
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        messages(spec(json!([{"expression": "object.spec.x == 1"}])), obj.clone()),
        ["expression 'object.spec.x == 1' resulted in error: no such key: x"]
    );
    assert!(messages(spec(json!([{"expression": "nope"}])), obj.clone())[0].starts_with(
        "compilation error: compilation failed: ERROR: <input>:1:1: undeclared reference to 'nope'"
    ));
    let mut ignored = spec(json!([{"expression": "object.spec.x == 1"}]));
    ignored["failurePolicy"] = "Ignore".into();
    assert_eq!(messages(ignored, obj.clone()), Vec::<String>::new());
    let mut guarded = spec(json!([{"expression": "false"}]));
    guarded["matchConditions"] = json!([{"name": "a", "expression": "object.spec.replicas > 10"}]);
    assert_eq!(messages(guarded, obj), Vec::<String>::new());
}

#[test]
fn mutations() {
    let spec = json!({"mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{metadata: Object.metadata{labels: {'a': 'b'}}, spec: Object.spec{l: [Object.spec.l{n: 1}]}}"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('x/y'), value: 'z'}]"}},
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.wrong{}}"}},
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "1"}}
    ]});
    let m = Mutating::compile(&spec);
    let i = input(json!({}));
    assert_eq!(
        m.change(0, &i),
        Ok(Change::Apply(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"l": [{"n": 1}]}})))
    );
    assert_eq!(
        m.change(1, &i),
        Ok(Change::Patch(json!([{"op": "add", "path": "/metadata/annotations/x~1y", "value": "z"}])))
    );
    assert!(
        m.change(2, &i)
            .unwrap_err()
            .contains("unexpected type name \"Object.wrong\", expected \"Object.spec\"")
    );
    assert_eq!(m.change(3, &i), Err("must evaluate to Object but got int".to_owned()));
}

#[test]
fn conditions() {
    let c = |e: &str| {
        MatchConditions::compile(&[json!({"name": "c", "expression": e})])
            .matches(&input(json!({"a": 1})), true)
    };
    assert_eq!(c("object.a == 1"), Ok(true));
    assert_eq!(c("object.a == 2"), Ok(false));
    assert!(c("object.b == 2").is_err());
    assert_eq!(c("!('system:nodes' in request.userInfo.groups)"), Ok(true));
}
