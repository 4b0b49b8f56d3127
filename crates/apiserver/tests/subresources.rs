//! Subresources with behaviour of their own, allocation for Services, reviews.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::Server;
use serde_json::{Value, json};

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

const PODS: &str = "/api/v1/namespaces/a/pods";

async fn with_account() -> Server {
    let s = Server::ready().await;
    let sa = json!({"metadata": {"name": "default"}});
    assert_eq!(s.json("POST /api/v1/namespaces/a/serviceaccounts", sa).await.code, 201);
    s
}

async fn merge(s: &Server, path: &str, body: Value) -> common::Answer {
    let h = [("content-type", "application/merge-patch+json"), ("user-agent", "scaler/1")];
    s.raw(&format!("PATCH {path}"), &h, body.to_string()).await
}

#[tokio::test]
async fn pods_are_bound_once() {
    let s = with_account().await;
    let c = s.json(&format!("POST {PODS}"), pod("p")).await;
    assert_eq!(c.code, 201, "{}", c.text());
    let b = |node: &str| json!({"metadata": {"name": "p", "annotations": {"k": "v"}}, "target": {"kind": "Node", "name": node}});
    let post = format!("POST {PODS}/p/binding");
    assert_eq!(s.json(&post, json!({"metadata": {"name": "q"}, "target": {"name": "n"}})).await.code, 400);
    let a = s.json(&post, b("n1")).await;
    assert_eq!((a.code, a.value()["status"].as_str()), (201, Some("Success")), "{}", a.text());
    let p = s.get(&format!("{PODS}/p")).await.value();
    assert_eq!((&p["spec"]["nodeName"], &p["metadata"]["annotations"]["k"]), (&json!("n1"), &json!("v")));
    assert_eq!(p["status"]["conditions"][0]["type"], "PodScheduled");
    assert_eq!(
        s.json(&post, b("n2")).await.brief(),
        r#"409 Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1""#
    );
    assert_eq!(s.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.brief(), "200 [p]");
    assert_eq!(s.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2").await.brief(), "200 []");
}

#[tokio::test]
async fn pods_end_gracefully() {
    let s = with_account().await;
    s.json(&format!("POST {PODS}"), pod("p")).await;
    s.json(&format!("POST {PODS}/p/binding"), json!({"metadata": {"name": "p"}, "target": {"name": "n"}}))
        .await;
    let d = s.json(&format!("DELETE {PODS}/p"), Value::Null).await;
    assert_eq!((d.code, &d.value()["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(30)));
    assert_eq!(d.value()["metadata"]["deletionTimestamp"], "2026-01-02T03:04:35Z");
    let again = s.json(&format!("DELETE {PODS}/p"), json!({"gracePeriodSeconds": 60})).await;
    assert_eq!(again.value()["metadata"]["deletionGracePeriodSeconds"], 30);
    let sooner = s.json(&format!("DELETE {PODS}/p"), json!({"gracePeriodSeconds": 5})).await;
    assert_eq!(sooner.value()["metadata"]["deletionTimestamp"], "2026-01-02T03:04:10Z");
    let wrong = s.json(&format!("DELETE {PODS}/p"), json!({"preconditions": {"uid": "x"}})).await;
    assert_eq!(wrong.code, 409);
    let now = s.json(&format!("DELETE {PODS}/p"), json!({"gracePeriodSeconds": 0})).await;
    assert_eq!((now.code, &now.value()["kind"]), (200, &json!("Pod")));
    assert_eq!(s.get(&format!("{PODS}/p")).await.code, 404);
    // One that was never on a node goes at once.
    s.json(&format!("POST {PODS}"), pod("q")).await;
    s.json(&format!("DELETE {PODS}/q"), Value::Null).await;
    assert_eq!(s.get(&format!("{PODS}/q")).await.code, 404);
}

#[tokio::test]
async fn evictions_respect_budgets() {
    let s = with_account().await;
    s.json(&format!("POST {PODS}"), pod("p")).await;
    let running =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(merge(&s, &format!("{PODS}/p/status"), running).await.code, 200);
    let pdbs = "/apis/policy/v1/namespaces/a/poddisruptionbudgets";
    let pdb = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}});
    let c = s.json(&format!("POST {pdbs}"), pdb).await;
    assert_eq!(c.code, 201, "{}", c.text());
    let evict = format!("POST {PODS}/p/eviction");
    let e = json!({"metadata": {"name": "p"}});
    let a = s.json(&evict, e.clone()).await;
    assert_eq!((a.code, a.headers["retry-after"].to_str().unwrap()), (429, "10"));
    let st = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 0, "desiredHealthy": 1, "currentHealthy": 1, "expectedPods": 1}});
    assert_eq!(merge(&s, &format!("{pdbs}/b/status"), st).await.code, 200);
    let a = s.json(&evict, e.clone()).await;
    assert_eq!(a.brief(), "429 Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(
        a.value()["details"]["causes"][0]["message"],
        "The disruption budget b needs 1 healthy pods and has 1 currently"
    );
    assert!(a.headers.get("retry-after").is_none());
    let st = json!({"status": {"disruptionsAllowed": 1}});
    merge(&s, &format!("{pdbs}/b/status"), st).await;
    let a = s.json(&evict, e).await;
    assert_eq!((a.code, a.value()["status"].as_str()), (201, Some("Success")), "{}", a.text());
    let b = s.get(&format!("{pdbs}/b")).await.value();
    assert_eq!(b["status"]["disruptionsAllowed"], 0);
    assert!(b["status"]["disruptedPods"]["p"].is_string());
    assert_eq!(s.get(&format!("{PODS}/p")).await.code, 404);
}

#[tokio::test]
async fn scale_is_the_replicas() {
    let s = Server::ready().await;
    let d = "/apis/apps/v1/namespaces/a/deployments";
    let o = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    s.json(&format!("POST {d}"), o).await;
    let g = s.get(&format!("{d}/d/scale")).await.value();
    assert_eq!(
        (&g["kind"], &g["spec"], &g["status"]),
        (&json!("Scale"), &json!({"replicas": 1}), &json!({"replicas": 0, "selector": "a=b"}))
    );
    let a = merge(&s, &format!("{d}/d/scale"), json!({"spec": {"replicas": 4}})).await;
    assert_eq!((a.code, &a.value()["spec"]["replicas"]), (200, &json!(4)), "{}", a.text());
    let v = s.get(&format!("{d}/d")).await.value();
    assert_eq!((&v["spec"]["replicas"], &v["metadata"]["generation"]), (&json!(4), &json!(2)));
    let owners: Vec<&str> = v["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["subresource"].as_str().unwrap_or(""))
        .collect();
    assert!(owners.contains(&"scale"), "{v}");
    let mut put = g.clone();
    put["spec"]["replicas"] = 2.into();
    assert_eq!(s.json(&format!("PUT {d}/d/scale"), put.clone()).await.code, 409);
    put["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(s.json(&format!("PUT {d}/d/scale"), put.clone()).await.code, 200);
    put["spec"]["replicas"] = (-1).into();
    assert_eq!(s.json(&format!("PUT {d}/d/scale"), put).await.code, 422);
}

#[tokio::test]
async fn namespaces_are_finalized() {
    let s = Server::ready().await;
    let d = s.json("DELETE /api/v1/namespaces/b", Value::Null).await.value();
    assert_eq!(d["status"]["phase"], "Terminating");
    let forbidden = s.json("POST /api/v1/namespaces/b/configmaps", json!({"metadata": {"name": "x"}})).await;
    assert_eq!(
        (forbidden.code, &forbidden.value()["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
    let mut n = s.get("/api/v1/namespaces/b").await.value();
    n["spec"]["finalizers"] = json!([]);
    let f = s.json("PUT /api/v1/namespaces/b/finalize", n).await;
    assert_eq!(f.code, 200, "{}", f.text());
    assert_eq!(s.get("/api/v1/namespaces/b").await.code, 404);
    s.json("POST /api/v1/namespaces", json!({"metadata": {"name": "default"}})).await;
    assert_eq!(s.json("DELETE /api/v1/namespaces/default", Value::Null).await.code, 403);
}

#[tokio::test]
async fn services_are_given_addresses_and_ports() {
    let s = Server::ready().await;
    let svcs = "/api/v1/namespaces/a/services";
    let svc = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let ports = || json!([{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]);
    let a = s.json(&format!("POST {svcs}"), svc("x", json!({"type": "NodePort", "ports": ports()}))).await;
    assert_eq!(a.code, 201, "{}", a.text());
    let x = a.value();
    let ip = x["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(ip.starts_with("10.0.0."));
    assert_eq!((&x["spec"]["clusterIPs"], &x["spec"]["ipFamilies"]), (&json!([ip]), &json!(["IPv4"])));
    let np = x["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30000..=32767).contains(&np));
    assert_eq!(x["spec"]["ports"][1]["nodePort"], np);
    let taken = s.json(&format!("POST {svcs}"), svc("y", json!({"clusterIP": ip, "ports": ports()}))).await;
    assert_eq!(
        taken.brief(),
        format!(
            r#"422 Service "y" is invalid: spec.clusterIPs: Invalid value: ["{ip}"]: failed to allocate IP {ip}: provided IP is already allocated"#
        )
    );
    let busy = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": np}]});
    let busy = s.json(&format!("POST {svcs}"), svc("y", busy)).await;
    assert!(busy.brief().ends_with("provided port is already allocated"), "{}", busy.brief());
    let far = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]});
    let far = s.json(&format!("POST {svcs}"), svc("y", far)).await;
    assert!(
        far.brief()
            .ends_with("provided port is not in the valid range. The range of valid ports is 30000-32767"),
        "{}",
        far.brief()
    );
    let ips = async || {
        s.get("/apis/networking.k8s.io/v1/ipaddresses").await.value()["items"].as_array().unwrap().len()
    };
    assert_eq!(ips().await, 1, "failed creates gave their addresses back");
    // What a PUT leaves out stays.
    let u = s.json(&format!("PUT {svcs}/x"), svc("x", json!({"type": "NodePort", "ports": ports()}))).await;
    assert_eq!(
        (u.code, &u.value()["spec"]["clusterIP"], &u.value()["spec"]["ports"][0]["nodePort"]),
        (200, &json!(ip), &json!(np)),
        "{}",
        u.text()
    );
    let h = s
        .json(
            &format!("POST {svcs}"),
            svc("h", json!({"clusterIP": "None", "selector": {"a": "b"}, "ports": ports()})),
        )
        .await;
    assert_eq!((h.code, &h.value()["spec"]["clusterIPs"]), (201, &json!(["None"])), "{}", h.text());
    let d = s.json(&format!("DELETE {svcs}/x"), Value::Null).await;
    assert_eq!(d.value()["kind"], "Service");
    assert_eq!(ips().await, 0);
    let again = json!({"type": "NodePort", "clusterIP": ip, "ports": [{"port": 80, "nodePort": np}]});
    let again = s.json(&format!("POST {svcs}"), svc("z", again)).await;
    assert_eq!(again.code, 201, "{}", again.text());
    let dry = s.json(&format!("POST {svcs}?dryRun=All"), svc("w", json!({"ports": [{"port": 1}]}))).await;
    assert_eq!((dry.code, ips().await), (201, 1));
}

#[tokio::test]
async fn reviews() {
    let s = Server::ready().await;
    let az = "POST /apis/authorization.k8s.io/v1";
    let r = s
        .json(
            &format!("{az}/selfsubjectaccessreviews"),
            json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}),
        )
        .await;
    assert_eq!((r.code, &r.value()["status"]["allowed"]), (201, &json!(true)), "{}", r.text());
    let r = s.json(&format!("{az}/subjectaccessreviews"), json!({"spec": {"user": "u"}})).await;
    assert_eq!(r.code, 422);
    let r = s.json(&format!("{az}/selfsubjectrulesreviews"), json!({"spec": {"namespace": "a"}})).await;
    assert!(!r.value()["status"]["resourceRules"].as_array().unwrap().is_empty());
    let an = "POST /apis/authentication.k8s.io/v1";
    let r = s.json(&format!("{an}/selfsubjectreviews"), json!({})).await;
    assert_eq!(r.value()["status"]["userInfo"]["username"], "admin");
    let r = s.json(&format!("{an}/tokenreviews"), json!({"spec": {"token": "x"}})).await;
    assert_eq!((r.code, r.value()["status"].get("authenticated")), (201, None));
    let r = s.json(&format!("{an}/tokenreviews"), json!({"spec": {}})).await;
    assert_eq!(r.brief(), "400 token is required for TokenReview in authentication");
    let c = s.get("/api/v1/componentstatuses").await;
    assert_eq!(c.brief(), "200 [controller-manager etcd-0 scheduler]");
    assert_eq!(c.warnings().len(), 1);
}

#[tokio::test]
async fn documents() {
    let s = Server::new();
    let v3 = s.get("/openapi/v3").await.value();
    let url = v3["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let d = s.get(&url).await;
    assert_eq!((d.code, d.headers["cache-control"].to_str().unwrap()), (200, "public, immutable"));
    let moved = s.get("/openapi/v3/apis/apps/v1?hash=0").await;
    assert_eq!((moved.code, moved.headers["location"].to_str().unwrap()), (301, url.as_str()));
    assert_eq!(s.get("/openapi/v2").await.value()["swagger"], "2.0");
    assert_eq!(s.get("/swagger-ui/").await.code, 404, "only when asked for");
    // As kubectl asks when it validates by itself.
    let asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let pb = s.raw("GET /openapi/v2", &[("accept", asked)], "").await;
    let form = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    assert_eq!((pb.code, pb.headers["content-type"].to_str().unwrap()), (200, form));
    assert!(pb.body.windows(5).any(|w| w == b"\x0a\x032.0"), "field 1 is the version");
}
