//! Create, get, list, watch, update, delete of built-in kinds, as JSON.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::Server;
use serde_json::{Value, json};

fn cm(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

const CMS: &str = "/api/v1/namespaces/a/configmaps";

#[tokio::test]
async fn life_of_a_config_map() {
    let s = Server::ready().await;
    let post = format!("POST {CMS}");
    let c = s.json(&post, cm("x", json!({"k": "v"}))).await;
    assert_eq!(c.code, 201, "{}", c.text());
    let v = c.value();
    assert_eq!(v["metadata"]["namespace"], "a");
    assert_eq!(v["metadata"]["creationTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(v["metadata"]["uid"].as_str().unwrap().len(), 36);
    let text = c.text();
    assert!(
        text.starts_with(
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","namespace":"a","uid":"#
        ),
        "{text}"
    );
    assert!(text.ends_with("}\n"));

    let g = s.get(&format!("{CMS}/x")).await;
    assert_eq!(g.body, c.body);
    assert_eq!(s.json(&post, cm("x", json!({}))).await.brief(), r#"409 configmaps "x" already exists"#);

    // A PUT with the version it read, then one with the old version.
    let mut next = v.clone();
    next["data"]["k"] = "w".into();
    let put = format!("PUT {CMS}/x");
    let u = s.json(&put, next.clone()).await;
    assert_eq!(u.code, 200);
    assert_ne!(u.value()["metadata"]["resourceVersion"], v["metadata"]["resourceVersion"]);
    let stale = s.json(&put, next.clone()).await;
    assert_eq!(
        stale.brief(),
        r#"409 Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to the latest version and try again"#
    );
    // Nothing changed: nothing is written.
    let same = s.json(&put, u.value()).await;
    assert_eq!(same.value()["metadata"]["resourceVersion"], u.value()["metadata"]["resourceVersion"]);
    // Without a version: whatever is there is replaced.
    assert_eq!(s.json(&put, cm("x", json!({"k": "z"}))).await.code, 200);

    let d = s.json(&format!("DELETE {CMS}/x"), Value::Null).await;
    let st = d.value();
    assert_eq!(
        (d.code, &st["status"], &st["details"]["kind"]),
        (200, &json!("Success"), &json!("configmaps"))
    );
    assert_eq!(st["details"]["uid"], v["metadata"]["uid"]);
    assert_eq!(s.get(&format!("{CMS}/x")).await.brief(), r#"404 configmaps "x" not found"#);
}

#[tokio::test]
async fn failures_say_what_upstream_says() {
    let s = Server::ready().await;
    let post = format!("POST {CMS}");
    let cases: &[(&str, Value, &str)] = &[
        (
            "GET /api/v1/namespaces/a/nothings",
            Value::Null,
            "404 the server could not find the requested resource",
        ),
        ("GET /apis/none/v1/x", Value::Null, "404 404 page not found"),
        (
            "PUT /api/v1/namespaces/a/configmaps",
            json!({}),
            "405 the server does not allow this method on the requested resource",
        ),
        (
            "POST /api/v1/configmaps",
            json!({}),
            "405 the server does not allow this method on the requested resource",
        ),
        (&post, json!([]), "400 "),
        (&post, json!({"kind": "Pod", "apiVersion": "v1"}), "400 "),
        (
            &post,
            json!({"metadata": {"name": "x", "namespace": "b"}}),
            "400 the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            &post,
            json!({}),
            r#"422 ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#,
        ),
        (
            "PUT /api/v1/namespaces/a/configmaps/y",
            cm("x", json!({})),
            "400 the name of the object (x) does not match the name on the URL (y)",
        ),
        ("PUT /api/v1/namespaces/a/configmaps/y", cm("y", json!({})), r#"404 configmaps "y" not found"#),
        ("DELETE /api/v1/namespaces/a/configmaps/y", Value::Null, r#"404 configmaps "y" not found"#),
        ("GET /api/v1/configmaps?labelSelector=a%20b", Value::Null, "400 unable to parse requirement: "),
        (
            "GET /api/v1/configmaps?fieldSelector=x=y",
            Value::Null,
            r#"400 "x" is not a known field selector: only "metadata.name", "metadata.namespace""#,
        ),
        ("GET /api/v1/pods?fieldSelector=x=y", Value::Null, "400 field label not supported: x"),
        ("GET /api/v1/configmaps?resourceVersion=x", Value::Null, "400 invalid resource version: "),
        ("GET /api/v1/configmaps?continue=x", Value::Null, "400 invalid continue token: "),
        (
            "POST /api/v1/namespaces/a/configmaps?dryRun=x",
            cm("x", json!({})),
            r#"422 CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["x"]: supported values: "All""#,
        ),
    ];
    for (line, body, want) in cases {
        let a = s.json(line, body.clone()).await;
        let got = a.brief();
        assert!(
            got.starts_with(want) && (got == *want || want.ends_with(' ')),
            "{line}\n got: {got}\nwant: {want}"
        );
    }
}

#[tokio::test]
async fn lists_are_paged_and_selected() {
    let s = Server::ready().await;
    for (ns, n) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")] {
        let mut o = cm(n, json!({}));
        o["metadata"]["labels"] = json!({"n": n});
        assert_eq!(s.json(&format!("POST /api/v1/namespaces/{ns}/configmaps"), o).await.code, 201);
    }
    let cases = [
        ("/api/v1/configmaps", "200 [1 2 3 1]"),
        (CMS, "200 [1 2 3]"),
        ("/api/v1/namespaces/a/configmaps?labelSelector=n%20in%20(1,3)", "200 [1 3]"),
        ("/api/v1/configmaps?fieldSelector=metadata.name%3D1", "200 [1 1]"),
        ("/api/v1/configmaps?fieldSelector=metadata.namespace%3Db", "200 [1]"),
        ("/api/v1/namespaces/a/configmaps?fieldSelector=metadata.name%3D2", "200 [2]"),
        ("/api/v1/namespaces/a/configmaps?limit=2&resourceVersion=0", "200 [1 2 3]"),
        ("/api/v1/namespaces/a/configmaps?limit=1&labelSelector=n!%3D1", "200 [2]"),
    ];
    for (path, want) in cases {
        assert_eq!(s.get(path).await.brief(), want, "{path}");
    }
    // Pages are of one revision, whatever happens in between.
    let p = s.get(&format!("{CMS}?limit=2")).await.value();
    assert_eq!(p["metadata"]["remainingItemCount"], 1);
    let token = p["metadata"]["continue"].as_str().unwrap().to_owned();
    s.json(&format!("DELETE {CMS}/3"), Value::Null).await;
    let q = s.get(&format!("{CMS}?limit=2&continue={token}")).await;
    assert_eq!(q.brief(), "200 [3]");
    assert_eq!(q.value()["metadata"]["resourceVersion"], p["metadata"]["resourceVersion"]);
    // After a compaction the token is refused, and a new one goes on with what there is now.
    use storage::Storage;
    let home = common::mem::Home(s.store.clone());
    home.compact(home.cached().revision()).await.unwrap();
    let r = s.get(&format!("{CMS}?limit=2&continue={token}")).await;
    assert_eq!((r.code, &r.value()["reason"]), (410, &json!("Expired")));
    let token = r.value()["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(s.get(&format!("{CMS}?limit=2&continue={token}")).await.brief(), "200 []");
}

#[tokio::test(start_paused = true)]
async fn watches() {
    let s = Server::ready().await;
    let post = format!("POST {CMS}");
    s.json(&post, cm("x", json!({}))).await;
    let rv = s.get(CMS).await.value()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut all = s.watch(&format!("{CMS}?watch=1&allowWatchBookmarks=true")).await;
    assert_eq!(all.short().await, "ADDED x");
    let end = all.next().await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(end["object"]["metadata"]["resourceVersion"], rv);
    let mut later = s.watch(&format!("{CMS}?watch=1&resourceVersion={rv}")).await;
    let mut labelled = s.watch(&format!("{CMS}?watch=1&labelSelector=a%3Db&resourceVersion={rv}")).await;
    let mut one =
        s.watch(&format!("{CMS}?watch=1&fieldSelector=metadata.name%3Dy&resourceVersion={rv}")).await;

    let mut y = s.json(&post, cm("y", json!({}))).await.value();
    y["metadata"]["labels"] = json!({"a": "b"});
    let mut y = s.json(&format!("PUT {CMS}/y"), y).await.value();
    y["metadata"]["labels"] = json!({"a": "c"});
    s.json(&format!("PUT {CMS}/y"), y).await;
    s.json(&format!("DELETE {CMS}/y"), Value::Null).await;

    for w in [&mut all, &mut later, &mut one] {
        for want in ["ADDED y", "MODIFIED y", "MODIFIED y", "DELETED y"] {
            assert_eq!(w.short().await, want);
        }
    }
    // It enters and leaves the selection; what is told on leaving is the last state inside.
    assert_eq!(labelled.short().await, "ADDED y");
    let gone = labelled.next().await.unwrap();
    assert_eq!((&gone["type"], &gone["object"]["metadata"]["labels"]["a"]), (&json!("DELETED"), &json!("b")));

    // Bookmarks come every minute, with the newest version.
    s.json("POST /api/v1/namespaces/b/configmaps", cm("z", json!({}))).await;
    let b = all.next().await.unwrap();
    let newest = s.get(CMS).await.value()["metadata"]["resourceVersion"].clone();
    assert_eq!((&b["type"], &b["object"]["metadata"]["resourceVersion"]), (&json!("BOOKMARK"), &newest));

    let mut short = s.watch(&format!("{CMS}?watch=1&timeoutSeconds=5&resourceVersion={rv}0")).await;
    assert_eq!(short.short().await, "end");
    use storage::Storage;
    let home = common::mem::Home(s.store.clone());
    home.compact(home.cached().revision()).await.unwrap();
    let mut old = s.watch(&format!("{CMS}?watch=1&resourceVersion={rv}")).await;
    let e = old.next().await.unwrap();
    assert_eq!(
        (&e["type"], &e["object"]["code"], &e["object"]["reason"]),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
}

#[tokio::test]
async fn names_are_generated() {
    let s = Server::ready().await;
    let o = json!({"metadata": {"generateName": "gen-"}});
    let a = s.json(&format!("POST {CMS}"), o.clone()).await.value();
    let name = a["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
    let dry = s.json(&format!("POST {CMS}?dryRun=All"), o).await;
    assert_eq!(dry.code, 201);
    assert!(dry.value()["metadata"].get("resourceVersion").is_none());
    assert_eq!(s.get(CMS).await.brief(), format!("200 [{name}]"));
}

#[tokio::test]
async fn unknown_fields() {
    let s = Server::ready().await;
    let o = json!({"metadata": {"name": "x", "foo": 1}, "data": {}, "dat": {}});
    let w = s.json(&format!("POST {CMS}?dryRun=All"), o.clone()).await;
    assert_eq!(
        w.warnings(),
        [r#"299 - "unknown field \"dat\"""#, r#"299 - "unknown field \"metadata.foo\"""#]
    );
    let strict = s.json(&format!("POST {CMS}?fieldValidation=Strict"), o.clone()).await;
    assert_eq!(
        strict.brief(),
        r#"400 ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dat", unknown field "metadata.foo""#
    );
    let ignore = s.json(&format!("POST {CMS}?fieldValidation=Ignore&dryRun=All"), o).await;
    assert!(ignore.warnings().is_empty());
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let s = Server::ready().await;
    let mut o = cm("x", json!({}));
    o["metadata"]["finalizers"] = json!(["example.com/f"]);
    s.json(&format!("POST {CMS}"), o).await;
    let d = s.json(&format!("DELETE {CMS}/x"), Value::Null).await;
    assert_eq!(d.code, 200);
    let mut v = s.get(&format!("{CMS}/x")).await.value();
    assert_eq!(v["metadata"]["deletionTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(v["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(
        s.json(&format!("POST {CMS}"), cm("x", json!({}))).await.brief(),
        r#"409 object is being deleted: configmaps "x" already exists"#
    );
    v["metadata"]["finalizers"] = json!(["example.com/f", "example.com/g"]);
    assert_eq!(s.json(&format!("PUT {CMS}/x"), v.clone()).await.code, 422);
    v["metadata"]["finalizers"] = json!([]);
    assert_eq!(s.json(&format!("PUT {CMS}/x"), v).await.code, 200);
    assert_eq!(s.get(&format!("{CMS}/x")).await.code, 404);
}

#[tokio::test]
async fn collections_are_deleted() {
    let s = Server::ready().await;
    for n in ["1", "2", "3"] {
        let mut o = cm(n, json!({}));
        o["metadata"]["labels"] = json!({"odd": (n != "2").to_string()});
        s.json(&format!("POST {CMS}"), o).await;
    }
    let d = s.json(&format!("DELETE {CMS}?labelSelector=odd%3Dtrue"), Value::Null).await;
    assert_eq!(d.brief(), "200 [1 3]");
    assert_eq!(s.get(CMS).await.brief(), "200 [2]");
}

#[tokio::test]
async fn discovery_and_health() {
    let s = Server::ready().await;
    assert_eq!(s.get("/readyz").await.text(), "ok");
    assert!(s.get("/livez?verbose").await.text().ends_with("livez check passed\n"));
    assert_eq!(s.get("/version").await.value()["gitVersion"], "v1.37.2");
    assert_eq!(s.get("/api").await.value()["versions"], json!(["v1"]));
    let groups = s.get("/apis").await.value();
    assert_eq!(groups["groups"].as_array().unwrap().len(), 21);
    assert_eq!(groups["groups"][1]["name"], "apps");
    let core = s.get("/api/v1").await.value();
    let pods = core["resources"].as_array().unwrap().iter().find(|r| r["name"] == "pods").unwrap();
    assert_eq!(pods["storageVersionHash"], "xPOwRZ+Yhw8=");
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let a = s.raw("GET /apis", &[("accept", accept)], "").await;
    assert_eq!(a.value()["items"].as_array().unwrap().len(), 21);
    let etag = a.headers["etag"].to_str().unwrap();
    assert_eq!(s.raw("GET /apis", &[("accept", accept), ("if-none-match", etag)], "").await.code, 304);
}
