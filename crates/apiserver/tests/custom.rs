//! Custom resources: from the definition to its objects.

#![allow(clippy::unwrap_used, reason = "tests")]
#![recursion_limit = "256"]

mod common;

use common::{Answer, Server};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS: &str = "/apis/stable.example.com/v1/namespaces/a/crontabs";

fn crd() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true,
                 "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
                 "selectableFields": [{"jsonPath": ".spec.color"}],
                 "additionalPrinterColumns": [
                    {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
                    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
                 "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["cronSpec"], "properties": {
                        "cronSpec": {"type": "string", "pattern": "^(\\d+|\\*)(\\s+(\\d+|\\*)){4}$"},
                        "color": {"type": "string"},
                        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
                            "items": {"type": "object", "required": ["port"], "properties": {"port": {"type": "integer"}, "name": {"type": "string"}}}},
                        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}},
                    "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"},
                        "conditions": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}}}},
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                 "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
                {"name": "v1alpha1", "served": false, "storage": false,
                 "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

fn tab(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": spec})
}

fn good() -> Value {
    json!({"cronSpec": "* * * * 5"})
}

/// Waits for the definition to say so, by a watch.
async fn until(s: &Server, name: &str, what: impl Fn(&Value) -> bool) -> Value {
    let mut w = s.watch(&format!("{CRDS}?watch=1&fieldSelector=metadata.name%3D{name}")).await;
    loop {
        let e = w.next().await.unwrap();
        if what(&e) {
            return e["object"].clone();
        }
    }
}

fn conditions(v: &Value) -> String {
    let all = v["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let all: Vec<String> = all
        .iter()
        .map(|c| {
            format!(
                "{}={} {}",
                c["type"].as_str().unwrap(),
                c["status"].as_str().unwrap(),
                c["reason"].as_str().unwrap()
            )
        })
        .collect();
    all.join("; ")
}

async fn establish(s: &Server, d: &Value) -> Value {
    let a = s.json(&format!("POST {CRDS}"), d.clone()).await;
    assert_eq!(a.code, 201, "{}", a.text());
    until(s, d["metadata"]["name"].as_str().unwrap(), |e| {
        conditions(&e["object"]).contains("Established=True")
    })
    .await
}

async fn ready() -> Server {
    let s = Server::ready().await;
    establish(&s, &crd()).await;
    s
}

fn says(a: &Answer, want: Expect) {
    let mut text = a.brief();
    for w in a.warnings() {
        text.push('\n');
        text.push_str(&w);
    }
    want.assert_eq(&text);
}

#[tokio::test]
async fn definitions_are_established_and_served() {
    let s = Server::ready().await;
    let d = establish(&s, &crd()).await;
    assert_eq!(conditions(&d), "NamesAccepted=True NoConflicts; Established=True InitialNamesAccepted");
    assert_eq!(d["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(d["status"]["acceptedNames"]["listKind"], "CronTabList");
    // Whoever saw it established finds it in discovery.
    let list = s.get("/apis/stable.example.com/v1").await.value();
    let names: Vec<&str> =
        list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["crontabs", "crontabs/scale", "crontabs/status"]);
    assert_eq!(list["resources"][0]["shortNames"], json!(["ct"]));
    assert_eq!(list["resources"][0]["storageVersionHash"].as_str().unwrap().len(), 12);
    let group = s.get("/apis/stable.example.com").await.value();
    let versions: Vec<&str> =
        group["versions"].as_array().unwrap().iter().map(|v| v["version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["v1", "v1beta1"]);
    assert_eq!(s.get("/apis/stable.example.com/v1alpha1/crontabs").await.code, 404);
    let doc = s.get("/openapi/v3/apis/stable.example.com/v1").await;
    assert!(doc.text().contains("com.example.stable.v1.CronTab"), "{}", doc.text());
    // The stored form is upstream's.
    let stored =
        stored(&s, "/registry/apiextensions.k8s.io/customresourcedefinitions/crontabs.stable.example.com");
    assert_eq!(stored["apiVersion"], "apiextensions.k8s.io/v1beta1");
}

fn stored(s: &Server, key: &str) -> Value {
    use storage::Storage;
    let r = common::mem::Home(s.store.clone()).cached().get(key).unwrap();
    serde_json::from_slice(&r.value).unwrap()
}

#[tokio::test]
async fn objects_are_pruned_defaulted_and_validated() {
    let s = ready().await;
    let post = format!("POST {TABS}");
    let mut odd = tab(
        "x",
        json!({"cronSpec": "* * * * 5", "foo": 1, "replicas": null,
        "template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n", "odd": 1}, "free": 1}}),
    );
    odd["metadata"]["bar"] = 1.into();
    odd["top"] = 1.into();
    says(
        &s.json(&format!("{post}?fieldValidation=Strict"), odd.clone()).await,
        expect![[
            r#"400 CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "metadata.bar", unknown field "spec.foo", unknown field "top", unknown field "spec.template.metadata.odd""#
        ]],
    );
    let c = s.json(&post, odd).await;
    says(
        &c,
        expect![[r#"
            201 x
            299 - "unknown field \"metadata.bar\""
            299 - "unknown field \"spec.foo\""
            299 - "unknown field \"top\""
            299 - "unknown field \"spec.template.metadata.odd\"""#]],
    );
    let v = c.value();
    assert_eq!(
        v["spec"],
        json!({"cronSpec": "* * * * 5", "replicas": 1,
        "template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "n"}, "free": 1}})
    );
    assert_eq!((&v["metadata"]["generation"], &v["top"]), (&json!(1), &Value::Null));
    assert_eq!(s.get(&format!("{TABS}/x")).await.body.len(), c.body.len());
    let at = stored(&s, "/registry/stable.example.com/crontabs/a/x");
    assert_eq!(
        (&at["apiVersion"], &at["metadata"]["resourceVersion"]),
        (&json!("stable.example.com/v1"), &Value::Null)
    );

    let cases = [
        (
            tab("y", json!({"cronSpec": "x"})),
            expect![[
                r#"422 CronTab.stable.example.com "y" is invalid: spec.cronSpec: Invalid value: "x": spec.cronSpec in body should match '^(\d+|\*)(\s+(\d+|\*)){4}$'"#
            ]],
        ),
        (
            tab("y", json!({"cronSpec": "* * * * 5", "replicas": 11})),
            expect![[
                r#"422 CronTab.stable.example.com "y" is invalid: spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"#
            ]],
        ),
        (
            tab("y", json!({})),
            expect![[r#"422 CronTab.stable.example.com "y" is invalid: spec.cronSpec: Required value"#]],
        ),
        (
            tab("y", json!({"cronSpec": "* * * * 5", "ports": [{"port": 1}, {"port": 1}]})),
            expect![[
                r#"422 CronTab.stable.example.com "y" is invalid: spec.ports[1]: Duplicate value: {"port":1}"#
            ]],
        ),
        (
            tab("y", json!({"cronSpec": "* * * * 5", "template": {"kind": "X"}})),
            expect![[
                r#"422 CronTab.stable.example.com "y" is invalid: spec.template.apiVersion: Required value"#
            ]],
        ),
    ];
    for (body, want) in cases {
        says(&s.json(&post, body).await, want);
    }
}

#[tokio::test]
async fn status_and_scale_have_ends_of_their_own() {
    let s = ready().await;
    let mut o = tab("x", good());
    o["status"] = json!({"replicas": 3});
    let c = s.json(&format!("POST {TABS}"), o).await.value();
    assert_eq!(c.get("status"), None);
    // The status endpoint changes the status alone, and no generation.
    let mut next = c.clone();
    next["status"] =
        json!({"replicas": 3, "selector": "a=b", "conditions": [{"type": "Ready", "status": "True"}]});
    next["spec"]["replicas"] = 7.into();
    next["metadata"]["labels"] = json!({"a": "b"});
    let u = s.json(&format!("PUT {TABS}/x/status"), next.clone()).await.value();
    assert_eq!(
        (&u["status"]["replicas"], &u["spec"]["replicas"], &u["metadata"]["generation"]),
        (&json!(3), &json!(1), &json!(1))
    );
    assert_eq!(u["metadata"].get("labels"), None);
    // And the main one does not.
    let mut next = u.clone();
    next["status"]["replicas"] = 9.into();
    next["spec"]["replicas"] = 4.into();
    let u = s.json(&format!("PUT {TABS}/x"), next).await.value();
    assert_eq!((&u["status"]["replicas"], &u["metadata"]["generation"]), (&json!(3), &json!(2)));

    let t = s
        .raw(&format!("GET {TABS}"), &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")], "")
        .await
        .value();
    assert_eq!(t["rows"][0]["cells"], json!(["x", "* * * * 5", 4, "True", "0s"]));
    let head: Vec<Value> = t["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| json!([c["name"], c["type"], c["priority"]]))
        .collect();
    assert_eq!(head[2], json!(["Replicas", "integer", 1]));
    let sel = |v: &str| format!("{TABS}?fieldSelector=spec.color%3D{v}");
    assert_eq!(s.get(&sel("red")).await.brief(), "200 []");
    s.json(&format!("POST {TABS}"), tab("r", json!({"cronSpec": "* * * * 5", "color": "red"}))).await;
    assert_eq!(s.get(&sel("red")).await.brief(), "200 [r]");
    says(
        &s.get(&format!("{TABS}?fieldSelector=spec.cronSpec%3D1")).await,
        expect!["400 field label not supported: spec.cronSpec"],
    );
}

#[tokio::test]
async fn versions_differ_by_name_and_are_announced_as_deprecated() {
    let s = ready().await;
    s.json(&format!("POST {TABS}"), tab("x", good())).await;
    let old = TABS.replace("/v1/", "/v1beta1/");
    let g = s.get(&format!("{old}/x")).await;
    says(
        &g,
        expect![[r#"
            200 x
            299 - "stable.example.com/v1beta1 CronTab is deprecated; use stable.example.com/v1 CronTab""#]],
    );
    assert_eq!(g.value()["apiVersion"], "stable.example.com/v1beta1");
    let mut o = tab("y", good());
    o["apiVersion"] = "stable.example.com/v1beta1".into();
    assert_eq!(s.json(&format!("POST {old}"), o).await.code, 201);
    assert_eq!(
        stored(&s, "/registry/stable.example.com/crontabs/a/y")["apiVersion"],
        "stable.example.com/v1"
    );
    // Defaults of the stored version come when it is read.
    assert_eq!(s.get(&format!("{TABS}/y")).await.value()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn patches_and_applies() {
    let s = ready().await;
    s.json(&format!("POST {TABS}"), tab("x", good())).await;
    let at = format!("PATCH {TABS}/x");
    says(
        &s.raw(&at, &[("content-type", "application/strategic-merge-patch+json")], "{}").await,
        expect![
            "415 the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        ],
    );
    let m = s
        .raw(
            &at,
            &[("content-type", "application/merge-patch+json")],
            json!({"spec": {"replicas": 2}}).to_string(),
        )
        .await;
    assert_eq!(m.value()["spec"]["replicas"], 2, "{}", m.text());
    let apply = json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": "x", "labels": {"l": "1"}},
        "spec": {"ports": [{"port": 80, "name": "web"}]}});
    let a = s
        .raw(
            &format!("{at}?fieldManager=me"),
            &[("content-type", "application/apply-patch+yaml")],
            apply.to_string(),
        )
        .await;
    assert_eq!(a.code, 200, "{}", a.text());
    let more = apply.to_string().replace("80", "81").replace("web", "tls");
    let b = s
        .raw(&format!("{at}?fieldManager=you"), &[("content-type", "application/apply-patch+yaml")], more)
        .await;
    assert_eq!(b.value()["spec"]["ports"], json!([{"name": "web", "port": 80}, {"name": "tls", "port": 81}]));
    assert_eq!(
        s.raw(&format!("GET {TABS}/x"), &[("accept", "application/vnd.kubernetes.protobuf")], "").await.code,
        406
    );
}

#[tokio::test]
async fn names_are_given_once() {
    let s = ready().await;
    let mut other = crd();
    other["metadata"]["name"] = "cronies.stable.example.com".into();
    other["spec"]["names"] = json!({"plural": "cronies", "kind": "CronTab", "shortNames": ["ct"]});
    assert_eq!(s.json(&format!("POST {CRDS}"), other).await.code, 201);
    let d = until(&s, "cronies.stable.example.com", |e| !conditions(&e["object"]).is_empty()).await;
    assert_eq!(conditions(&d), "NamesAccepted=False ListKindConflict; Established=False NotAccepted");
    assert_eq!(s.get("/apis/stable.example.com/v1/cronies").await.code, 404);
    // The first goes, the second gets its names.
    assert_eq!(s.json(&format!("DELETE {CRDS}/crontabs.stable.example.com"), Value::Null).await.code, 200);
    let d =
        until(&s, "cronies.stable.example.com", |e| conditions(&e["object"]).contains("Established=True"))
            .await;
    assert_eq!(conditions(&d), "NamesAccepted=True NoConflicts; Established=True InitialNamesAccepted");
    assert_eq!(s.get("/apis/stable.example.com/v1/cronies").await.code, 200);
}

#[tokio::test]
async fn objects_go_before_their_definition() {
    let s = ready().await;
    let mut held = tab("held", good());
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    for o in [held, tab("x", good())] {
        assert_eq!(s.json(&format!("POST {TABS}"), o).await.code, 201);
    }
    let name = "crontabs.stable.example.com";
    let d = s.json(&format!("DELETE {CRDS}/{name}"), Value::Null).await;
    assert!(conditions(&d.value()).contains("Terminating=True InstanceDeletionPending"), "{}", d.text());
    until(&s, name, |e| conditions(&e["object"]).contains("InstanceDeletionInProgress")).await;
    let mut w = s.watch(&format!("{TABS}?watch=1")).await;
    loop {
        let e = w.next().await.unwrap();
        if e["type"] == "DELETED" || s.get(&format!("{TABS}/x")).await.code == 404 {
            break;
        }
    }
    says(
        &s.json(&format!("POST {TABS}"), tab("new", good())).await,
        expect!["405 create not allowed while custom resource definition is terminating"],
    );
    // What holds the last one lets go.
    let at = format!("PATCH {TABS}/held");
    let free = s
        .raw(&at, &[("content-type", "application/merge-patch+json")], r#"{"metadata":{"finalizers":null}}"#)
        .await;
    assert_eq!(free.code, 200, "{}", free.text());
    let mut gone = s.watch(&format!("{CRDS}?watch=1&fieldSelector=metadata.name%3D{name}")).await;
    while s.get(&format!("{CRDS}/{name}")).await.code != 404 {
        gone.next().await.unwrap();
    }
    let mut tries = 0;
    while s.get(TABS).await.code != 404 {
        tokio::task::yield_now().await;
        tries += 1;
        assert!(tries < 10_000);
    }
}

#[tokio::test]
async fn a_new_server_serves_at_once_what_was_established() {
    let s = ready().await;
    s.json(&format!("POST {TABS}"), tab("x", good())).await;
    let again = Server::with(common::config(&s.store), s.store.clone());
    assert_eq!(again.get(&format!("{TABS}/x")).await.code, 200);
}

#[tokio::test]
async fn schemas_change_and_old_objects_are_seen_through_the_new_ones() {
    let s = ready().await;
    s.json(&format!("POST {TABS}"), tab("x", json!({"cronSpec": "* * * * 5", "color": "red"}))).await;
    let at = format!("{CRDS}/crontabs.stable.example.com");
    let mut d = s.get(&at).await.value();
    let spec = &mut d["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    spec["cronSpec"]["pattern"] = "^never$".into();
    spec["extra"] = json!({"type": "string", "default": "d"});
    spec["color"] = json!({"type": "string", "default": "blue"});
    let mut w = s.watch(&format!("{TABS}?watch=1&resourceVersion={}", s.revision())).await;
    let u = s.json(&format!("PUT {at}"), d).await;
    assert_eq!(u.code, 200, "{}", u.text());
    // Watches of what it was are over.
    assert_eq!(w.short().await, "end");
    let mut tries = 0;
    let v = loop {
        let v = s.get(&format!("{TABS}/x")).await.value();
        if v["spec"]["extra"] == "d" {
            break v;
        }
        tokio::task::yield_now().await;
        tries += 1;
        assert!(tries < 10_000, "{v}");
    };
    // What did not change is not held against the object.
    let mut next = v;
    next["spec"]["replicas"] = 5.into();
    assert_eq!(s.json(&format!("PUT {TABS}/x"), next.clone()).await.code, 200);
    says(
        &s.json(&format!("POST {TABS}"), tab("y", good())).await,
        expect![[
            r#"422 CronTab.stable.example.com "y" is invalid: spec.cronSpec: Invalid value: "* * * * 5": spec.cronSpec in body should match '^never$'"#
        ]],
    );
}
