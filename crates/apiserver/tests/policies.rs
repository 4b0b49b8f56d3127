//! Admission policies, from their objects to what they do to requests.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::Server;
use serde_json::{Value, json};

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn rules(resource: &str) -> Value {
    json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}]})
}

async fn put(s: &Server, resource: &str, kind: &str, name: &str, spec: Value) -> Value {
    let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let a = s.json(&format!("POST {ADMISSION}/{resource}"), body).await;
    assert_eq!(a.code, 201, "{}", a.text());
    a.value()
}

async fn ready() -> Server {
    let s = Server::ready().await;
    let ns = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    let a = s.json("POST /api/v1/namespaces", ns).await;
    assert_eq!(a.code, 201, "{}", a.text());
    s
}

fn map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

#[tokio::test(start_paused = true)]
async fn policies_validate() {
    let s = ready().await;
    let a = s.json(&format!("POST {MAPS}"), map("limits", json!({"most": "2"}))).await;
    assert_eq!(a.code, 201, "{}", a.text());
    put(&s, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", "few", json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": rules("configmaps"),
        "variables": [{"name": "n", "expression": "has(object.data) ? object.data.size() : 0"}],
        "matchConditions": [{"name": "named", "expression": "!object.metadata.name.startsWith('kube-')"}],
        "validations": [
            {"expression": "variables.n <= int(params.data.most)", "messageExpression": "'no more than ' + params.data.most + ' keys'", "reason": "Forbidden"},
            {"expression": "request.userInfo.username != '' && namespaceObject.metadata.name == 'default'"}]})).await;
    let binding = |actions: Value| {
        json!({"policyName": "few", "validationActions": actions,
        "paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}})
    };
    put(
        &s,
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        "few",
        binding(json!(["Deny"])),
    )
    .await;
    let many = json!({"a": "1", "b": "2", "c": "3"});
    let a = s.json(&format!("POST {MAPS}"), map("x", many.clone())).await;
    let v = a.value();
    assert_eq!((a.code, &v["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        v["message"],
        "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'few' with binding 'few' denied request: no more than 2 keys"
    );
    let a = s.json(&format!("POST {MAPS}"), map("x", json!({"a": "1"}))).await;
    assert_eq!(a.code, 201, "{}", a.text());
    let a = s.json(&format!("POST {MAPS}"), map("kube-x", many)).await;
    assert_eq!(a.code, 201, "{}", a.text());
}

#[tokio::test(start_paused = true)]
async fn policies_mutate() {
    let s = ready().await;
    put(&s, "mutatingadmissionpolicies", "MutatingAdmissionPolicy", "label", json!({
        "matchConstraints": rules("configmaps"), "reinvocationPolicy": "Never", "failurePolicy": "Fail",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{metadata: Object.metadata{labels: {'a': 'b'}}}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/metadata/labels/c', value: object.metadata.labels.a + 'd'}]"}}]})).await;
    put(
        &s,
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding",
        "label",
        json!({"policyName": "label"}),
    )
    .await;
    let a = s.json(&format!("POST {MAPS}"), map("x", json!({}))).await;
    assert_eq!(a.code, 201, "{}", a.text());
    assert_eq!(a.value()["metadata"]["labels"], json!({"a": "b", "c": "bd"}));
}

#[tokio::test(start_paused = true)]
async fn policies_are_checked() {
    let s = Server::ready().await;
    let uri = format!("{ADMISSION}/validatingadmissionpolicies?watch=1");
    let mut w = s.watch(&uri).await;
    put(&s, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", "typed", json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}]},
        "validations": [{"expression": "object.spec.replicas > '1'", "messageExpression": "'wants ' + object.spec.replicas"},
            {"expression": "object.metadata.labels.all(k, k != '') && object.spec.template.spec.containers.all(c, c.image != '')"}]})).await;
    let status = loop {
        let e = w.next().await.unwrap();
        if !e["object"]["status"]["typeChecking"].is_null() {
            break e["object"]["status"].clone();
        }
    };
    assert_eq!(status["observedGeneration"], 1);
    let warnings = status["typeChecking"]["expressionWarnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "{status}");
    assert_eq!(warnings[0]["fieldRef"], "spec.validations[0].expression");
    assert!(warnings[0]["warning"].as_str().unwrap().contains("apps/v1, Kind=Deployment: compilation failed: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'"));
    assert!(warnings[1]["warning"].as_str().unwrap().contains("'_+_' applied to '(string, int)'"));
}
