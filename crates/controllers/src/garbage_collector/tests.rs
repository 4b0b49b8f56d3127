//! The collector against the server in memory.

use crate::testing::Cluster;
use crate::util::discovery::testdata::answers;
use client::fake::FakeApi;
use client::{Client, Transport};
use http::Method;
use meta::object::ObjectExt;
use serde_json::{Value, json};
use std::sync::Arc;

async fn start() -> Cluster {
    let api = FakeApi::new();
    let (core, groups) = answers(&[
        "v1 configmaps ConfigMap Namespaced",
        "v1 secrets Secret Namespaced",
        "v1 nodes Node Cluster",
        "x.io/v1 things Thing Namespaced",
    ]);
    api.answer("/api", core);
    api.answer("/apis", groups);
    Cluster::on(api, &["garbage-collector-controller"], |_| {}).await
}

fn object(kind: &str, name: &str, owners: &[(&str, &str, &str)]) -> Value {
    let refs: Vec<Value> = owners
        .iter()
        .map(|(kind, name, uid)| {
            let v = if *kind == "Thing" { "x.io/v1" } else { "v1" };
            json!({"apiVersion": v, "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": true})
        })
        .collect();
    let mut v = json!({"apiVersion": if kind == "Thing" { "x.io/v1" } else { "v1" }, "kind": kind,
        "metadata": {"name": name, "uid": format!("u-{name}")}});
    if kind != "Node" {
        v["metadata"]["namespace"] = json!("ns");
    }
    if !refs.is_empty() {
        v["metadata"]["ownerReferences"] = json!(refs);
    }
    v
}

async fn delete(c: &Cluster, path: &str, policy: &str) {
    let t: Arc<dyn Transport> = Arc::new(c.api.clone());
    Client::new(t).request(Method::DELETE, path, Some(&json!({"propagationPolicy": policy}))).await.unwrap();
    c.settle().await;
}

/// A secret owned by a config map owned by a thing.
fn chain(c: &Cluster) {
    c.api.seed("things", object("Thing", "a", &[]));
    c.api.seed("configmaps", object("ConfigMap", "b", &[("Thing", "a", "u-a")]));
    c.api.seed("secrets", object("Secret", "c", &[("ConfigMap", "b", "u-b")]));
}

fn left(c: &Cluster) -> Vec<String> {
    let mut all = c.names("x.io", "things");
    all.extend(c.names("", "configmaps"));
    all.extend(c.names("", "secrets"));
    all.extend(c.names("", "nodes"));
    all
}

#[tokio::test(start_paused = true)]
async fn background() {
    let c = start().await;
    chain(&c);
    c.settle().await;
    assert_eq!(left(&c), ["a", "b", "c"]);
    delete(&c, "/apis/x.io/v1/namespaces/ns/things/a", "Background").await;
    assert_eq!(left(&c), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn foreground_goes_from_the_leaves() {
    let c = start().await;
    chain(&c);
    c.patch("", "secrets", "ns", "c", json!({"metadata": {"finalizers": ["example.com/hold"]}}));
    c.settle().await;
    delete(&c, "/apis/x.io/v1/namespaces/ns/things/a", "Foreground").await;
    assert_eq!(left(&c), ["a", "b", "c"], "all wait for the last one");
    for (g, r, n) in [("x.io", "things", "a"), ("", "configmaps", "b")] {
        let o = c.api.object(g, r, "ns", n).unwrap();
        assert_eq!(o.finalizers(), ["foregroundDeletion"]);
    }
    c.api.remove("", "secrets", "ns", "c");
    c.settle().await;
    assert_eq!(left(&c), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn orphaned_dependents_stay() {
    let c = start().await;
    chain(&c);
    c.settle().await;
    delete(&c, "/apis/x.io/v1/namespaces/ns/things/a", "Orphan").await;
    assert_eq!(left(&c), ["b", "c"]);
    assert_eq!(
        c.api.object("", "configmaps", "ns", "b").unwrap()["metadata"].get("ownerReferences"),
        Some(&json!([]))
    );
}

#[tokio::test(start_paused = true)]
async fn absent_owners() {
    let c = start().await;
    c.api.seed("things", object("Thing", "a", &[]));
    // Never was there; was there under another uid; is there besides one that is not.
    c.api.seed("configmaps", object("ConfigMap", "never", &[("Thing", "x", "u-x")]));
    c.api.seed("configmaps", object("ConfigMap", "other", &[("Thing", "a", "u-before")]));
    c.api.seed("configmaps", object("ConfigMap", "both", &[("Thing", "a", "u-a"), ("Thing", "x", "u-x")]));
    // A kind that is not served, and a namespaced owner of a cluster-scoped object: nobody knows.
    c.api.seed("configmaps", object("ConfigMap", "unknown", &[("Gadget", "g", "u-g")]));
    c.api.seed("nodes", object("Node", "node", &[("Thing", "a", "u-a")]));
    c.settle().await;
    assert_eq!(left(&c), ["a", "both", "unknown", "node"]);
    let owners = c.api.object("", "configmaps", "ns", "both").unwrap()["metadata"]["ownerReferences"].clone();
    assert_eq!((owners[0]["name"].clone(), owners[1].clone()), (json!("a"), Value::Null));
}

#[tokio::test(start_paused = true)]
async fn new_resources_are_followed() {
    let c = start().await;
    let (_, groups) = answers(&["x.io/v1 things Thing Namespaced", "y.io/v1 gadgets Gadget Namespaced"]);
    c.api.answer("/apis", groups);
    c.api.seed("customresourcedefinitions", json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "gadgets.y.io"}}));
    c.settle().await;
    let mut g = object("Thing", "g", &[("Thing", "gone", "u-gone")]);
    g["apiVersion"] = json!("y.io/v1");
    g["kind"] = json!("Gadget");
    c.api.seed("gadgets", g);
    c.settle().await;
    assert!(c.names("y.io", "gadgets").is_empty());
}
