//! PATCH in its four forms, and what is remembered of who owns what.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Answer, Server};
use serde_json::{Value, json};

const CMS: &str = "/api/v1/namespaces/a/configmaps";
const DEPLOYS: &str = "/apis/apps/v1/namespaces/a/deployments";

async fn patch(s: &Server, path: &str, kind: &str, body: Value) -> Answer {
    let ct = match kind {
        "apply" => "application/apply-patch+yaml".to_owned(),
        k => format!("application/{k}-patch+json"),
    };
    s.raw(&format!("PATCH {path}"), &[("content-type", &ct), ("user-agent", "patcher/1")], body.to_string())
        .await
}

fn deployment() -> Value {
    json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}]}]}}}})
}

#[tokio::test]
async fn the_four_forms() {
    let s = Server::ready().await;
    let c = s.json(&format!("POST {DEPLOYS}"), deployment()).await;
    assert_eq!(c.code, 201, "{}", c.text());
    let d = format!("{DEPLOYS}/d");
    let containers = |a: &Answer| a.value()["spec"]["template"]["spec"]["containers"].clone();

    let a = patch(
        &s,
        &d,
        "strategic-merge",
        json!({"spec": {"template": {"spec": {"containers": [
        {"name": "c", "image": "i:2"}, {"name": "new", "image": "j"}]}}}}),
    )
    .await;
    assert_eq!(a.code, 200, "{}", a.text());
    assert_eq!(containers(&a)[0]["env"][0]["name"], "A");
    assert_eq!((&containers(&a)[0]["image"], &containers(&a)[1]["name"]), (&json!("i:2"), &json!("new")));
    assert_eq!(a.value()["metadata"]["generation"], 2);

    let a =
        patch(&s, &d, "merge", json!({"spec": {"replicas": 5}, "metadata": {"labels": {"x": "y"}}})).await;
    assert_eq!(
        (&a.value()["spec"]["replicas"], &a.value()["metadata"]["generation"]),
        (&json!(5), &json!(3))
    );

    let a = patch(
        &s,
        &d,
        "json",
        json!([
        {"op": "test", "path": "/spec/replicas", "value": 5},
        {"op": "remove", "path": "/spec/template/spec/containers/1"},
        {"op": "replace", "path": "/status", "value": {"replicas": 9}}]),
    )
    .await;
    assert_eq!(containers(&a).as_array().unwrap().len(), 1);
    assert_eq!(a.value()["status"], json!({}), "the main endpoint leaves the status alone");

    let a = patch(&s, &d, "json", json!([{"op": "test", "path": "/spec/replicas", "value": 6}])).await;
    assert_eq!(a.brief(), "422 the server rejected our request due to an error in our request");
    let a = patch(&s, &d, "merge", json!([1])).await;
    assert_eq!(a.code, 400);
    let a = patch(&s, &format!("{DEPLOYS}/none"), "merge", json!({})).await;
    assert_eq!(a.brief(), r#"404 deployments.apps "none" not found"#);
    let a = patch(&s, &d, "nothing", json!({})).await;
    assert_eq!(a.code, 415);
    let a = patch(&s, &format!("{d}?fieldValidation=Strict"), "merge", json!({"spec": {"foo": 1}})).await;
    assert_eq!(a.code, 422);
    assert!(
        a.text().contains(r#"strict decoding error: unknown field \\\"spec.foo\\\""#)
            || a.text().contains("strict decoding error: unknown field"),
        "{}",
        a.text()
    );
    let a = patch(&s, &d, "merge", json!({"spec": {"foo": 1}})).await;
    assert_eq!(a.warnings(), [r#"299 - "unknown field \"spec.foo\"""#]);
    // The status endpoint: only the status.
    let a = patch(
        &s,
        &format!("{d}/status"),
        "merge",
        json!({"spec": {"replicas": 1}, "status": {"replicas": 3}}),
    )
    .await;
    assert_eq!((&a.value()["status"]["replicas"], &a.value()["spec"]["replicas"]), (&json!(3), &json!(5)));
    // With a version in it, a patch is refused like a PUT.
    let a = patch(&s, &d, "merge", json!({"metadata": {"resourceVersion": "1"}})).await;
    assert_eq!(a.code, 409);
}

fn owners(v: &Value) -> String {
    let mut out: Vec<String> = v["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| {
            let s = |k: &str| e[k].as_str().unwrap_or("");
            format!("{} {} {} {}", s("manager"), s("operation"), s("subresource"), e["fieldsV1"])
        })
        .collect();
    out.sort();
    out.join("\n")
}

#[tokio::test]
async fn owners_are_remembered() {
    let s = Server::ready().await;
    let o = json!({"metadata": {"name": "x"}, "data": {"a": "1", "b": "2"}});
    let c = s.json(&format!("POST {CMS}?fieldManager=m"), o).await.value();
    assert_eq!(owners(&c), r#"m Update  {"f:data":{".":{},"f:a":{},"f:b":{}}}"#);
    let x = format!("{CMS}/x");
    let a = patch(&s, &x, "merge", json!({"data": {"b": "3"}})).await.value();
    assert_eq!(
        owners(&a),
        "m Update  {\"f:data\":{\".\":{},\"f:a\":{}}}\npatcher Update  {\"f:data\":{\"f:b\":{}}}"
    );
}

#[tokio::test]
async fn apply() {
    let s = Server::ready().await;
    let x = format!("{CMS}/x");
    let conf = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data});
    let a = patch(&s, &x, "apply", conf(json!({"a": "1"}))).await;
    assert_eq!(
        a.brief(),
        r#"422 PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#
    );
    let one = format!("{x}?fieldManager=one");
    let a = patch(&s, &one, "apply", conf(json!({"a": "1", "b": "1"}))).await;
    assert_eq!(a.code, 201, "{}", a.text());
    assert_eq!(owners(&a.value()), r#"one Apply  {"f:data":{"f:a":{},"f:b":{}}}"#);
    let rv = a.value()["metadata"]["resourceVersion"].clone();
    let again = patch(&s, &one, "apply", conf(json!({"a": "1", "b": "1"}))).await;
    assert_eq!((again.code, &again.value()["metadata"]["resourceVersion"]), (200, &rv));
    let two = format!("{x}?fieldManager=two");
    let c = patch(&s, &two, "apply", conf(json!({"a": "2"}))).await;
    assert_eq!(c.brief(), r#"409 Apply failed with 1 conflict: conflict with "one": .data.a"#);
    let f = patch(&s, &format!("{two}&force=true"), "apply", conf(json!({"a": "2"}))).await;
    assert_eq!(f.value()["data"], json!({"a": "2", "b": "1"}));
    // What is left out is taken away where nobody else owns it.
    let l = patch(&s, &one, "apply", conf(json!({}))).await;
    assert_eq!(l.value()["data"], json!({"a": "2"}));
    let u = patch(
        &s,
        &one,
        "apply",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "foo": 1}),
    )
    .await;
    assert!(u.brief().contains(".foo: field not declared in schema"), "{}", u.brief());
    let n =
        patch(&s, &one, "apply", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "y"}}))
            .await;
    assert_eq!(n.code, 400);
}
