//! Groups that another server serves.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::Server;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use runtime::Runtime;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A server of `wardle.example.com/v1` with one resource, and what it was told of the user.
async fn extension(rt: &Runtime, cert: &str, key: &str, aggregated: bool, down: Arc<AtomicBool>) -> u16 {
    let tls = serve::TlsSettings {
        certificates: serve::CertSource::from_pem(cert.as_bytes(), key.as_bytes()).unwrap(),
        client_ca: Some(serve::ClientCa::from_pem(cert.as_bytes()).unwrap()),
        http2: true,
    };
    let listener = serve::Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let handler = move |req: Request<Incoming>| {
        let down = down.clone();
        async move {
            let peer = req.extensions().get::<Arc<serve::Peer>>().unwrap().clone();
            let h = |n: &str| {
                let all: Vec<&str> = req.headers().get_all(n).iter().map(|v| v.to_str().unwrap()).collect();
                all.join(",")
            };
            let mut kind = "application/json";
            let answer = match req.uri().path() {
                _ if down.load(Ordering::Relaxed) => json!({}),
                "/apis" if aggregated && h("accept").contains("APIGroupDiscoveryList") => {
                    kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
                    json!({"items": [{"metadata": {"name": "wardle.example.com"}, "versions": [
                        {"version": "v1", "resources": [{"resource": "flunders", "scope": "Namespaced", "verbs": ["list"]}]}]}]})
                }
                "/apis/wardle.example.com/v1" => json!({"kind": "APIResourceList", "resources": [
                    {"name": "flunders", "kind": "Flunder", "namespaced": true, "verbs": ["list"], "shortNames": ["fl"]},
                    {"name": "flunders/status", "kind": "Flunder", "namespaced": true, "verbs": ["get"]}]}),
                "/openapi/v3" => json!({"paths": {"apis/wardle.example.com/v1": {
                    "serverRelativeURL": "/openapi/v3/apis/wardle.example.com/v1?hash=X"}}}),
                path => json!({
                    "path": path, "query": req.uri().query(), "method": req.method().as_str(), "user": h("x-remote-user"),
                    "groups": h("x-remote-group"), "extra": h("x-remote-extra-example.org%2fk"),
                    "authorization": h("authorization"), "certificates": peer.certificates.len(), "host": h("host"),
                }),
            };
            let code = if down.load(Ordering::Relaxed) { StatusCode::NOT_FOUND } else { StatusCode::OK };
            let b = Response::builder().status(code).header("content-type", kind);
            b.body(serve::full(answer.to_string())).unwrap()
        }
    };
    let server = serve::Server::new(rt.clone()).tls(&tls).unwrap();
    rt.spawn("extension", async move { server.run(listener, handler).await });
    port
}

struct Setup {
    s: Server,
    cert: String,
    key: String,
}

fn setup() -> Setup {
    let store = common::mem::Mem::new();
    let mut cfg = common::config(&store);
    let mut ca = CertificateParams::new(vec!["ext.default.svc".to_owned()]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let cert = ca.self_signed(&key).unwrap();
    let client_key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&ca, &key);
    let client = CertificateParams::new(vec![]).unwrap().signed_by(&client_key, &issuer).unwrap();
    cfg.proxy_client = Some((client.pem(), client_key.serialize_pem()));
    Setup { s: Server::with(cfg, store), cert: cert.pem(), key: key.serialize_pem() }
}

/// Waits until the APIService says so.
async fn until(s: &Server, status: &str) -> Value {
    let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.wardle.example.com";
    for _ in 0..20_000 {
        let v = s.get(path).await.value();
        let c = v["status"]["conditions"][0].clone();
        if c["status"] == status {
            return c;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("{}", s.get(path).await.value()["status"]);
}

async fn register(x: &Setup, port: u16) {
    use base64::Engine;
    let ca = base64::engine::general_purpose::STANDARD.encode(&x.cert);
    let o = json!({"metadata": {"name": "v1.wardle.example.com"}, "spec": {
        "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 200,
        "caBundle": ca, "service": {"namespace": "default", "name": "ext", "port": port}}});
    let a = x.s.json("POST /apis/apiregistration.k8s.io/v1/apiservices", o).await;
    assert_eq!(a.code, 201, "{}", a.text());
}

async fn groups(s: &Server) -> String {
    let v = s.get("/apis").await.value();
    let names: Vec<&str> =
        v["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    names.join(" ")
}

async fn aggregated(s: &Server) -> Value {
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let v = s.raw("GET /apis", &[("accept", accept)], "").await.value();
    let mut g =
        v["items"].as_array().unwrap().iter().filter(|g| g["metadata"]["name"] == "wardle.example.com");
    g.next().unwrap()["versions"][0].clone()
}

#[tokio::test]
async fn another_server_serves_a_group() {
    let x = setup();
    let s = &x.s;
    s.api.start();
    s.rt.ready.wait_for("apiserver/autoregister-completion").await;
    assert!(!groups(s).await.contains("wardle"));
    assert_eq!(s.get("/apis/wardle.example.com/v1/flunders").await.code, 404);
    let down = Arc::new(AtomicBool::new(false));
    let port = extension(&s.rt, &x.cert, &x.key, true, down.clone()).await;
    register(&x, port).await;
    let c = until(s, "False").await;
    assert_eq!(
        (&c["reason"], &c["message"]),
        (&json!("ServiceNotFound"), &json!("service/ext in \"default\" is not present"))
    );
    assert!(groups(s).await.contains(" wardle.example.com"));
    assert_eq!(s.get("/apis/wardle.example.com/v1/flunders").await.brief(), "503 service unavailable");
    assert_eq!(aggregated(s).await, json!({"version": "v1", "freshness": "Stale"}));

    let svc =
        json!({"metadata": {"name": "ext"}, "spec": {"type": "ExternalName", "externalName": "localhost"}});
    assert_eq!(s.json("POST /api/v1/namespaces/default/services", svc).await.code, 201);
    assert_eq!(until(s, "True").await["reason"], "Passed");

    // Requests go on with the user's name, and none of its credentials.
    let path = "/apis/wardle.example.com/v1/namespaces/a/flunders/f%2Fx?limit=1&labelSelector=a%3Db";
    let mut user = Server::admin();
    user.extra.insert("example.org/k".into(), vec!["v".into()]);
    let req = Request::get(path).header("authorization", "Bearer secret").header("x-remote-user", "evil");
    let req = req.body(apiserver::body::Input::Bytes(Default::default())).unwrap();
    let r = s.api.handle(req, apiserver::server::Sender::Process(user)).await;
    let body = r.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        json!({
            "path": "/apis/wardle.example.com/v1/namespaces/a/flunders/f%2Fx", "query": "limit=1&labelSelector=a%3Db",
            "method": "GET", "user": "admin", "groups": "system:masters,system:authenticated", "extra": "v",
            "authorization": "", "certificates": 1, "host": "ext.default.svc",
        })
    );
    let d = s.get("/apis/wardle.example.com/v1").await.value();
    assert_eq!(d["resources"][0]["name"], "flunders");
    assert_eq!(s.get("/apis/wardle.example.com").await.value()["preferredVersion"]["version"], "v1");
    let v = aggregated(s).await;
    assert_eq!((&v["freshness"], &v["resources"][0]["resource"]), (&json!("Current"), &json!("flunders")));
    let index = s.get("/openapi/v3").await.value();
    let url = &index["paths"]["apis/wardle.example.com/v1"]["serverRelativeURL"];
    assert_eq!(url, "/openapi/v3/apis/wardle.example.com/v1?hash=X");
    let doc = s.get(url.as_str().unwrap()).await.value();
    assert_eq!((&doc["user"], &doc["query"]), (&json!("system:aggregator"), &json!("hash=X")));

    // It goes down; its Service is touched, so that nobody has to wait for the next look.
    down.store(true, Ordering::Relaxed);
    let touch = json!({"metadata": {"labels": {"a": "b"}}});
    let kind = [("content-type", "application/merge-patch+json")];
    s.raw("PATCH /api/v1/namespaces/default/services/ext", &kind, touch.to_string()).await;
    assert_eq!(until(s, "False").await["reason"], "FailedDiscoveryCheck");
    assert_eq!(s.get("/apis/wardle.example.com/v1").await.code, 503);
    assert_eq!(aggregated(s).await["freshness"], "Stale");

    s.json("DELETE /apis/apiregistration.k8s.io/v1/apiservices/v1.wardle.example.com", Value::Null).await;
    while groups(s).await.contains("wardle") {
        tokio::task::yield_now().await;
    }
    assert_eq!(s.get("/apis/wardle.example.com/v1").await.code, 404);
}

#[tokio::test]
async fn older_servers_are_understood() {
    let x = setup();
    let s = &x.s;
    s.api.start();
    s.rt.ready.wait_for("apiserver/autoregister-completion").await;
    let port = extension(&s.rt, &x.cert, &x.key, false, Arc::default()).await;
    let svc =
        json!({"metadata": {"name": "ext"}, "spec": {"type": "ExternalName", "externalName": "localhost"}});
    assert_eq!(s.json("POST /api/v1/namespaces/default/services", svc).await.code, 201);
    register(&x, port).await;
    until(s, "True").await;
    let kind = json!({"group": "wardle.example.com", "version": "v1", "kind": "Flunder"});
    assert_eq!(
        aggregated(s).await,
        json!({"version": "v1", "freshness": "Current", "resources": [{
            "resource": "flunders", "responseKind": kind, "scope": "Namespaced", "singularResource": "", "verbs": ["list"],
            "shortNames": ["fl"], "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}]}]})
    );
}
