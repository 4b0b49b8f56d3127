//! The forms of answers and bodies: protobuf, YAML, tables, metadata only, compressed; and the way in from this process.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use client::{ListWatch, RawEvent};
use common::Server;
use futures::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::io::Read;

const CMS: &str = "/api/v1/namespaces/a/configmaps";
const PROTO: &str = "application/vnd.kubernetes.protobuf";

fn cm(name: &str, v: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": name}}, "data": {"k": v}})
}

fn ty(name: &str) -> schema::TypeId {
    schema::facts::type_named(name).unwrap()
}

#[tokio::test]
async fn protobuf_both_ways() {
    let s = Server::ready().await;
    let raw = schema::proto::encode(&cm("x", "v"), ty("core.v1.ConfigMap"));
    let body = schema::proto::wrap("v1", "ConfigMap", &raw);
    let h = [("content-type", PROTO), ("accept", PROTO)];
    let a = s.raw(&format!("POST {CMS}"), &h, body).await;
    assert_eq!((a.code, a.headers["content-type"].to_str().unwrap()), (201, PROTO));
    let j = s.get(&format!("{CMS}/x")).await.value();
    let decode = |b: &[u8], want: &str, t: &str| {
        let env = schema::proto::unwrap(b).unwrap();
        assert_eq!((env.api_version, env.kind), ("v1", want));
        schema::proto::decode(env.raw, ty(t)).unwrap()
    };
    let mut bare = j.clone();
    bare.as_object_mut().unwrap().retain(|k, _| k != "kind" && k != "apiVersion");
    assert_eq!(decode(&a.body, "ConfigMap", "core.v1.ConfigMap"), bare);
    assert_eq!(s.raw(&format!("GET {CMS}/x"), &[("accept", PROTO)], "").await.body, a.body);

    // Long lists too, whose length stands at their beginning.
    for i in 0..40 {
        s.json(&format!("POST {CMS}"), cm(&format!("n{i}"), &"v".repeat(5000))).await;
    }
    let l = s.raw(&format!("GET {CMS}"), &[("accept", PROTO)], "").await;
    let list = decode(&l.body, "ConfigMapList", "core.v1.ConfigMapList");
    let j = s.get(CMS).await.value();
    assert_eq!(
        (list["items"].clone(), list["metadata"].clone()),
        (j["items"].clone(), j["metadata"].clone())
    );
    assert_eq!(list["items"].as_array().unwrap().len(), 41);
    // Failures come as protobuf where that was asked for.
    let e = s.raw(&format!("GET {CMS}/none"), &[("accept", PROTO)], "").await;
    assert_eq!(decode(&e.body, "Status", "meta.v1.Status")["code"], 404);
    let bad = s.raw(&format!("POST {CMS}"), &h, "k8s\0junk").await;
    assert_eq!(bad.code, 400);
}

#[tokio::test]
async fn watch_frames_in_protobuf() {
    let s = Server::ready().await;
    s.json(&format!("POST {CMS}"), cm("x", "v")).await;
    let req = http::Request::get(format!("{CMS}?watch=1"))
        .header("accept", PROTO)
        .body(bytes::Bytes::new())
        .unwrap();
    let res = s.send(req).await;
    assert_eq!(res.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
    let frame = res.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    let len = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
    assert_eq!(frame.len(), len + 4);
    let event = schema::proto::decode(&frame[4..], ty("meta.v1.WatchEvent"));
    // The object inside is enveloped; its name stands in it as it is.
    assert_eq!(&frame[4..11], b"\x0a\x05ADDED");
    assert!(frame.windows(4).any(|w| w == schema::proto::MAGIC), "{event:?}");
}

#[tokio::test]
async fn yaml_pretty_and_gzip() {
    let s = Server::ready().await;
    let y = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yy\ndata:\n  mode: \"0644\"\n";
    let h = [("content-type", "application/yaml"), ("accept", "application/yaml")];
    let a = s.raw(&format!("POST {CMS}"), &h, y).await;
    assert_eq!(a.code, 201, "{}", a.text());
    assert!(
        a.text().starts_with("apiVersion: v1\ndata:\n  mode: \"0644\"\nkind: ConfigMap\n"),
        "{}",
        a.text()
    );
    let p = s.raw(&format!("GET {CMS}/yy"), &[("user-agent", "curl/8")], "").await;
    assert!(
        p.text().starts_with("{\n  \"kind\": \"ConfigMap\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {\n"),
        "{}",
        p.text()
    );
    let plain = s.raw(&format!("GET {CMS}/yy?pretty=false"), &[("user-agent", "curl/8")], "").await;
    assert_eq!(plain.text().lines().count(), 1);
    for i in 0..60 {
        s.json(&format!("POST {CMS}"), cm(&format!("n{i}"), &"v".repeat(5000))).await;
    }
    let z = s.raw(&format!("GET {CMS}"), &[("accept-encoding", "gzip")], "").await;
    assert_eq!(z.headers["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&z.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, s.get(CMS).await.text());
    let small = s.raw(&format!("GET {CMS}/yy"), &[("accept-encoding", "gzip")], "").await;
    assert!(small.headers.get("content-encoding").is_none());
}

#[tokio::test]
async fn tables_and_metadata() {
    let s = Server::ready().await;
    s.json(&format!("POST {CMS}"), cm("x", "v")).await;
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let t = s.raw(&format!("GET {CMS}"), &table, "").await.value();
    assert_eq!((&t["kind"], &t["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(t["columnDefinitions"][0]["name"], "Name");
    assert_eq!(t["rows"][0]["cells"][0], "x");
    assert_eq!(t["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let one = s.raw(&format!("GET {CMS}/x?includeObject=Object"), &table, "").await.value();
    assert_eq!(one["rows"][0]["object"]["data"], json!({"k": "v"}));
    let none = s.raw(&format!("GET {CMS}/x?includeObject=None"), &table, "").await.value();
    assert!(none["rows"][0].get("object").is_none());
    assert_eq!(s.raw(&format!("GET {CMS}/x?includeObject=All"), &table, "").await.code, 422);

    let partial = |k: &str| format!("application/json;as={k};v=v1;g=meta.k8s.io");
    let h = partial("PartialObjectMetadataList");
    let l = s.raw(&format!("GET {CMS}"), &[("accept", &h)], "").await.value();
    assert_eq!(l["kind"], "PartialObjectMetadataList");
    let item = &l["items"][0];
    assert_eq!((&item["kind"], item.get("data")), (&json!("PartialObjectMetadata"), None));
    let h = partial("PartialObjectMetadata");
    let o = s.raw(&format!("GET {CMS}/x"), &[("accept", &h)], "").await.value();
    assert_eq!(&o, item);

    let req = http::Request::get(format!("{CMS}?watch=1&allowWatchBookmarks=1"))
        .header("accept", table[0].1)
        .body(bytes::Bytes::new())
        .unwrap();
    s.json(&format!("POST {CMS}"), cm("y", "v")).await;
    let mut body = s.send(req).await.into_body();
    let mut frames = Vec::new();
    while frames.len() < 3 {
        let f = body.frame().await.unwrap().unwrap().into_data().unwrap();
        frames.extend(
            f.split(|b| *b == b'\n')
                .filter(|l| !l.is_empty())
                .map(|l| serde_json::from_slice::<Value>(l).unwrap()),
        );
    }
    assert!(
        frames[0]["object"]["columnDefinitions"].is_array()
            && frames[1]["object"]["columnDefinitions"].is_null()
    );
    assert_eq!(frames[1]["object"]["rows"][0]["cells"][0], "y");
    assert_eq!(frames[2]["type"], "BOOKMARK");
}

#[tokio::test]
async fn components_of_the_process_share_the_stored_bytes() {
    let s = Server::ready().await;
    s.json(&format!("POST {CMS}"), cm("x", "v")).await;
    let t = s.api.transport(Server::admin());
    let what = ListWatch { version: "v1".into(), resource: "configmaps".into(), ..ListWatch::default() };
    let l = t.list(what.clone()).await.unwrap();
    assert_eq!((l.items.len(), l.items[0].header.name.as_str(), l.items[0].json), (1, "x", false));
    let again = t.list(what.clone()).await.unwrap();
    assert_eq!(l.items[0].body.as_ptr(), again.items[0].body.as_ptr(), "no copy");
    let v = schema::proto::decode(&l.items[0].body, ty("core.v1.ConfigMap")).unwrap();
    assert_eq!(v["data"], json!({"k": "v"}));
    let mut w = t.watch(what.clone(), l.resource_version).await.unwrap();
    s.json(&format!("POST {CMS}"), cm("y", "v")).await;
    s.json(&format!("DELETE {CMS}/x"), Value::Null).await;
    let RawEvent::Added(o) = w.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(o.header.name, "y");
    let RawEvent::Deleted(o) = w.next().await.unwrap().unwrap() else { panic!() };
    assert!(o.header.name == "x" && o.resource_version > l.resource_version);
    let labelled = ListWatch { label_selector: "l in (y)".into(), ..what };
    assert_eq!(t.list(labelled).await.unwrap().items.len(), 1);
    // Rights are those of the component.
    let store = s.store.clone();
    let mut cfg = common::config(&store);
    cfg.authorization = vec![apiserver::config::Mode::Rbac];
    let strict = Server::with(cfg, store);
    let t = strict.api.transport(meta::UserInfo::new("nobody", &[]));
    let e =
        t.list(ListWatch { version: "v1".into(), resource: "secrets".into(), ..ListWatch::default() }).await;
    assert!(e.err().unwrap().is(meta::Reason::Forbidden));
}

#[tokio::test]
async fn two_versions_of_one_stored_form() {
    let s = Server::ready().await;
    let e = json!({"metadata": {"name": "e", "namespace": "a"}, "eventTime": "2026-01-02T03:04:05.000000Z", "reason": "R",
        "action": "A", "type": "Normal", "reportingController": "c", "reportingInstance": "i", "note": "hello",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "a"}});
    let c = s.json("POST /apis/events.k8s.io/v1/namespaces/a/events", e).await;
    assert_eq!(c.code, 201, "{}", c.text());
    let core = s.get("/api/v1/namespaces/a/events/e").await.value();
    assert_eq!(
        (&core["message"], &core["involvedObject"]["name"], &core["apiVersion"]),
        (&json!("hello"), &json!("p"), &json!("v1"))
    );
    let new =
        s.get("/apis/events.k8s.io/v1/namespaces/a/events?fieldSelector=regarding.name%3Dp").await.value();
    assert_eq!((&new["items"][0]["note"], &new["kind"]), (&json!("hello"), &json!("EventList")));
    assert_eq!(
        s.get("/api/v1/namespaces/a/events?fieldSelector=involvedObject.name%3Dq").await.brief(),
        "200 []"
    );
    let mut w = s.watch("/apis/events.k8s.io/v1/namespaces/a/events?watch=1").await;
    let f = w.next().await.unwrap();
    assert_eq!(
        (&f["object"]["note"], &f["object"]["apiVersion"]),
        (&json!("hello"), &json!("events.k8s.io/v1"))
    );
    let hpa = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "targetCPUUtilizationPercentage": 50}});
    let a = s.json("POST /apis/autoscaling/v1/namespaces/a/horizontalpodautoscalers", hpa).await;
    assert_eq!(a.code, 201, "{}", a.text());
    let v2 = s.get("/apis/autoscaling/v2/namespaces/a/horizontalpodautoscalers/h").await.value();
    assert_eq!(v2["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 50);
    let v1 = s.get("/apis/autoscaling/v1/namespaces/a/horizontalpodautoscalers").await.value();
    assert_eq!(v1["items"][0]["spec"]["targetCPUUtilizationPercentage"], 50);
    // In the process too: converted on the way out.
    let t = s.api.transport(Server::admin());
    let what = ListWatch {
        group: "autoscaling".into(),
        version: "v1".into(),
        resource: "horizontalpodautoscalers".into(),
        ..ListWatch::default()
    };
    let l = t.list(what).await.unwrap();
    assert!(
        l.items[0].json
            && String::from_utf8_lossy(&l.items[0].body).contains("targetCPUUtilizationPercentage")
    );
}

#[tokio::test]
async fn definitions_are_stored_as_upstream_stores_them() {
    let s = Server::ready().await;
    let crd = json!({"metadata": {"name": "foos.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo"}, "versions": [{"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let a = s.json("POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd).await;
    assert_eq!(a.code, 201, "{}", a.text());
    use storage::Storage;
    let home = common::mem::Home(s.store.clone());
    let r = home
        .cached()
        .get("/registry/apiextensions.k8s.io/customresourcedefinitions/foos.example.com")
        .unwrap();
    let stored: Value = serde_json::from_slice(&r.value).unwrap();
    assert_eq!(
        (&stored["apiVersion"], &stored["spec"]["version"]),
        (&json!("apiextensions.k8s.io/v1beta1"), &json!("v1"))
    );
    let l =
        s.raw("GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions", &[("accept", PROTO)], "").await;
    let env = schema::proto::unwrap(&l.body).unwrap();
    let t = schema::facts::type_of("apiextensions.k8s.io", "v1", "CustomResourceDefinitionList").unwrap();
    assert_eq!(schema::proto::decode(env.raw, t).unwrap()["items"][0]["spec"]["group"], "example.com");
}
