//! Admission and conversion webhooks: a TLS server on loopback, told by the path what to answer, remembers what it was asked.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use base64::Engine;
use common::Server;
use expect_test::{Expect, expect};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const CONFIGS: &str = "/apis/admissionregistration.k8s.io/v1";

fn b64(s: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(s)
}

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// What the webhook at a path answers a request.
fn answer(path: &str, r: &Value) -> Value {
    let allow = json!({"allowed": true});
    let patch = |p: Value| json!({"allowed": true, "patchType": "JSONPatch", "patch": b64(p.to_string())});
    match path {
        "/allow" => allow,
        "/deny" => {
            json!({"allowed": false, "status": {"message": "not today", "code": 403, "reason": "Forbidden"}})
        }
        "/warn" => json!({"allowed": true, "warnings": ["mind the gap"], "auditAnnotations": {"k": "v"}}),
        "/step1" => match r["object"]["data"]["step2"].is_string() {
            // Seen again after the other one.
            true => patch(json!([{"op": "add", "path": "/data/step3", "value": "yes"}])),
            false => patch(json!([{"op": "add", "path": "/data/step1", "value": "yes"}])),
        },
        "/step2" => patch(json!([{"op": "add", "path": "/data/step2", "value": "yes"}])),
        "/bad-patch" => patch(json!([{"op": "remove", "path": "/data/none"}])),
        "/patch" => patch(json!([{"op": "add", "path": "/spec/paused", "value": true}])),
        "/prune" => patch(
            json!([{"op": "add", "path": "/spec/unknown", "value": 1}, {"op": "add", "path": "/spec/a", "value": "set"}]),
        ),
        _ => Value::Null,
    }
}

/// A conversion moves `spec.a` to `spec.b` and back.
fn converted(r: &Value) -> Value {
    let to = r["desiredAPIVersion"].as_str().unwrap();
    let objects = r["objects"].as_array().unwrap().iter().map(|o| {
        let mut o = o.clone();
        o["apiVersion"] = to.into();
        let (from, into) = if to.ends_with("v2") { ("a", "b") } else { ("b", "a") };
        if let Some(v) = o["spec"].as_object_mut().and_then(|s| s.remove(from)) {
            o["spec"][into] = v;
        }
        o
    });
    json!({"uid": r["uid"], "result": {"status": "Success"}, "convertedObjects": objects.collect::<Vec<_>>()})
}

struct Setup {
    s: Server,
    port: u16,
    ca: String,
    asked: Asked,
}

impl Setup {
    async fn new() -> Self {
        let s = Server::ready().await;
        // As webhooks have them: self-signed, an authority of its own.
        let mut p = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = p.self_signed(&key).unwrap().pem();
        let tls = serve::TlsSettings {
            certificates: serve::CertSource::from_pem(cert.as_bytes(), key.serialize_pem().as_bytes())
                .unwrap(),
            client_ca: None,
            http2: true,
        };
        let listener = serve::Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Asked::default();
        let log = asked.clone();
        let handler = move |req: Request<Incoming>| {
            let log = log.clone();
            async move {
                let path = req.uri().path().to_owned();
                let body = req.into_body().collect().await.unwrap().to_bytes();
                let mut v: Value = serde_json::from_slice(&body).unwrap();
                log.lock().unwrap().push((path.clone(), v["request"].clone()));
                if path == "/hang" {
                    std::future::pending::<()>().await;
                }
                if path == "/error" {
                    return Response::builder()
                        .status(StatusCode::INTERNAL_SERVER_ERROR)
                        .body(serve::full("broken"))
                        .unwrap();
                }
                v["response"] =
                    if path == "/convert" { converted(&v["request"]) } else { answer(&path, &v["request"]) };
                if v["response"].is_object() {
                    v["response"]["uid"] = v["request"]["uid"].clone();
                }
                Response::new(serve::full(v.to_string()))
            }
        };
        let server = serve::Server::new(s.rt.clone()).tls(&tls).unwrap();
        s.rt.spawn("webhook", async move { server.run(listener, handler).await });
        Self { s, port, ca: b64(cert), asked }
    }
    fn client(&self, path: &str) -> Value {
        json!({"url": format!("https://localhost:{}{path}", self.port), "caBundle": self.ca})
    }
    /// A configuration with webhooks for config maps at these paths, each changed by `more`.
    async fn configure(&self, kind: &str, name: &str, paths: &[&str], more: Value) {
        let hooks = paths.iter().enumerate().map(|(i, p)| {
            let mut w = json!({
                "name": format!("h{i}.example.com"), "clientConfig": self.client(p), "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "rules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
            });
            for (k, v) in more.as_object().into_iter().flatten() {
                w[k] = v.clone();
            }
            w
        });
        let o = json!({"metadata": {"name": name}, "webhooks": hooks.collect::<Vec<_>>()});
        let a = self.s.json(&format!("POST {CONFIGS}/{kind}webhookconfigurations"), o).await;
        assert_eq!(a.code, 201, "{}", a.text());
    }
    async fn unconfigure(&self, kind: &str, name: &str) {
        let line = format!("DELETE {CONFIGS}/{kind}webhookconfigurations/{name}");
        assert_eq!(self.s.json(&line, Value::Null).await.code, 200);
    }
    async fn map(&self, name: &str) -> common::Answer {
        let o = json!({"metadata": {"name": name}, "data": {"k": "v"}});
        self.s.json("POST /api/v1/namespaces/a/configmaps", o).await
    }
    fn paths(&self) -> String {
        let all = self.asked.lock().unwrap();
        all.iter().map(|(p, _)| p.as_str()).collect::<Vec<_>>().join(" ")
    }
    fn last(&self) -> Value {
        self.asked.lock().unwrap().last().unwrap().1.clone()
    }
    /// Messages without what differs from run to run.
    fn shown(&self, s: &str) -> String {
        s.replace(&self.port.to_string(), "PORT")
    }
}

fn check(got: &str, want: Expect) {
    want.assert_eq(got);
}

#[tokio::test]
async fn validating_webhooks_refuse() {
    let x = Setup::new().await;
    x.configure("validating", "c", &["/warn"], json!({})).await;
    let a = x.map("fine").await;
    assert_eq!((a.code, a.warnings()), (201, vec!["299 - \"mind the gap\"".to_owned()]));
    let mut r = x.last();
    for k in ["uid", "object"] {
        assert!(r.as_object_mut().unwrap().remove(k).is_some(), "{k}");
    }
    assert_eq!(
        r,
        json!({
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"}, "requestKind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "requestResource": {"group": "", "version": "v1", "resource": "configmaps"},
            "name": "fine", "namespace": "a", "operation": "CREATE", "dryRun": false, "oldObject": null,
            "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        })
    );
    x.configure("validating", "d", &["/deny"], json!({"matchPolicy": "Exact"})).await;
    check(
        &x.map("no").await.brief(),
        expect![[r#"403 admission webhook "h0.example.com" denied the request: not today"#]],
    );
    // Its configuration is taken away: from the answer on, nobody is asked.
    x.unconfigure("validating", "d").await;
    assert_eq!(x.map("yes").await.code, 201);
    // Webhooks are not asked about webhooks.
    let all = json!({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]});
    x.configure("validating", "e", &["/deny"], all).await;
    x.unconfigure("validating", "e").await;
}

#[tokio::test]
async fn failures_are_told_or_ignored() {
    let x = Setup::new().await;
    for (path, more, want) in [
        (
            "/error",
            json!({}),
            expect![[
                r#"500 Internal error occurred: failed calling webhook "h0.example.com": failed to call webhook: an error on the server ("broken") has prevented the request from succeeding"#
            ]],
        ),
        ("/error", json!({"failurePolicy": "Ignore"}), expect!["201 m"]),
        (
            "/nothing",
            json!({}),
            expect![[
                r#"500 Internal error occurred: failed calling webhook "h0.example.com": received invalid webhook response: webhook response was absent"#
            ]],
        ),
        ("/allow", json!({"admissionReviewVersions": ["v1beta1"]}), expect!["201 m"]),
        (
            "/deny",
            json!({"failurePolicy": "Ignore"}),
            expect![[r#"403 admission webhook "h0.example.com" denied the request: not today"#]],
        ),
        ("/deny", json!({"objectSelector": {"matchLabels": {"a": "b"}}}), expect!["201 m"]),
        (
            "/deny",
            json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}}),
            expect!["201 m"],
        ),
        (
            "/deny",
            json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "a"}}}),
            expect![[r#"403 admission webhook "h0.example.com" denied the request: not today"#]],
        ),
        (
            "/allow",
            json!({"clientConfig": {"service": {"namespace": "a", "name": "none"}}}),
            expect![[
                r#"500 Internal error occurred: failed calling webhook "h0.example.com": failed to call webhook: Post "https://none.a.svc:443/?timeout=10s": service "none" not found"#
            ]],
        ),
    ] {
        x.configure("validating", "c", &[path], more).await;
        check(&x.shown(&x.map("m").await.brief()), want);
        x.s.json("DELETE /api/v1/namespaces/a/configmaps/m", Value::Null).await;
        x.unconfigure("validating", "c").await;
    }
}

#[tokio::test]
async fn slow_webhooks_time_out() {
    let x = Setup::new().await;
    x.configure("validating", "c", &["/hang"], json!({"timeoutSeconds": 1})).await;
    check(
        &x.shown(&x.map("m").await.brief()),
        expect![[
            r#"500 Internal error occurred: failed calling webhook "h0.example.com": failed to call webhook: Post "https://localhost:PORT/hang?timeout=1s": context deadline exceeded"#
        ]],
    );
}

#[tokio::test]
async fn mutating_webhooks_change_objects() {
    let x = Setup::new().await;
    x.configure("mutating", "c", &["/step1", "/step2"], json!({"reinvocationPolicy": "IfNeeded"})).await;
    let a = x.map("m").await.value();
    assert_eq!(a["data"], json!({"k": "v", "step1": "yes", "step2": "yes", "step3": "yes"}));
    // The second round's change is one that the other one wants to see too.
    assert_eq!(x.paths(), "/step1 /step2 /step1 /step2");
    x.unconfigure("mutating", "c").await;
    x.asked.lock().unwrap().clear();
    x.configure("mutating", "c", &["/step1", "/step2"], json!({})).await;
    let a = x.map("n").await.value();
    assert_eq!(a["data"], json!({"k": "v", "step1": "yes", "step2": "yes"}));
    assert_eq!(x.paths(), "/step1 /step2");
    // A dry run goes only to webhooks that leave nothing behind; this one says so.
    let o = json!({"metadata": {"name": "o"}, "data": {"k": "v"}});
    let a = x.s.json("POST /api/v1/namespaces/a/configmaps?dryRun=All", o).await;
    assert_eq!((a.code, x.last()["dryRun"].clone()), (201, json!(true)));
    assert_eq!(x.last()["options"]["dryRun"], json!(["All"]));
    x.unconfigure("mutating", "c").await;
    x.configure("mutating", "c", &["/bad-patch"], json!({})).await;
    assert_eq!(x.map("p").await.code, 500);
}

#[tokio::test]
async fn rules_of_other_versions_get_them() {
    let x = Setup::new().await;
    let rules = |v: &str| json!({"rules": [{"operations": ["*"], "apiGroups": ["autoscaling"], "apiVersions": [v], "resources": ["horizontalpodautoscalers"]}]});
    let mut more = rules("v1");
    x.configure("validating", "c", &["/allow"], more.clone()).await;
    let hpa = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}})
    };
    let path = "POST /apis/autoscaling/v2/namespaces/a/horizontalpodautoscalers";
    assert_eq!(x.s.json(path, hpa("h")).await.code, 201);
    let r = x.last();
    assert_eq!(r["object"]["apiVersion"], "autoscaling/v1");
    assert_eq!(r["object"]["spec"]["targetCPUUtilizationPercentage"], 50);
    assert_eq!((&r["kind"]["version"], &r["requestKind"]["version"]), (&json!("v1"), &json!("v2")));
    x.unconfigure("validating", "c").await;
    x.asked.lock().unwrap().clear();
    more["matchPolicy"] = "Exact".into();
    x.configure("validating", "c", &["/allow"], more).await;
    assert_eq!(x.s.json(path, hpa("i")).await.code, 201);
    assert_eq!(x.paths(), "");
}

#[tokio::test]
async fn deletes_connects_and_scales_are_asked_about() {
    let x = Setup::new().await;
    let rules = |ops: &str, group: &str, res: &str| json!({"rules": [{"operations": [ops], "apiGroups": [group], "apiVersions": ["v1"], "resources": [res]}]});
    assert_eq!(x.map("m").await.code, 201);
    x.configure("validating", "c", &["/deny"], rules("DELETE", "", "configmaps")).await;
    for line in ["DELETE /api/v1/namespaces/a/configmaps/m", "DELETE /api/v1/namespaces/a/configmaps"] {
        assert_eq!(x.s.json(line, Value::Null).await.code, 403, "{line}");
        let r = x.last();
        assert_eq!((&r["object"], &r["oldObject"]["metadata"]["name"]), (&Value::Null, &json!("m")));
        assert_eq!(r["options"]["kind"], "DeleteOptions");
    }
    x.configure("validating", "d", &["/deny"], rules("CONNECT", "", "pods/attach")).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    x.s.json("POST /api/v1/namespaces/a/serviceaccounts", json!({"metadata": {"name": "default"}})).await;
    let a = x.s.json("POST /api/v1/namespaces/a/pods", pod).await;
    assert_eq!(a.code, 201, "{}", a.text());
    let a = x.s.json("POST /api/v1/namespaces/a/pods/p/attach?stdin=true&container=c", Value::Null).await;
    assert_eq!(a.code, 403, "{}", a.text());
    let r = x.last();
    assert_eq!(
        r["object"],
        json!({"kind": "PodAttachOptions", "apiVersion": "v1", "stdin": true, "container": "c"})
    );
    assert_eq!((&r["subResource"], &r["operation"]), (&json!("attach"), &json!("CONNECT")));
    x.configure("validating", "e", &["/allow"], rules("UPDATE", "apps", "deployments/scale")).await;
    let d = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    assert_eq!(x.s.json("POST /apis/apps/v1/namespaces/a/deployments", d).await.code, 201);
    let s = json!({"metadata": {"name": "d"}, "spec": {"replicas": 5}});
    let a = x.s.json("PUT /apis/apps/v1/namespaces/a/deployments/d/scale", s).await;
    assert_eq!(a.code, 200, "{}", a.text());
    let r = x.last();
    assert_eq!(r["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!(
        (&r["object"]["spec"], &r["oldObject"]["spec"]),
        (&json!({"replicas": 5}), &json!({"replicas": 1}))
    );
}

#[tokio::test]
async fn custom_resources_are_converted_and_mutated() {
    let x = Setup::new().await;
    let version = |name: &str, storage: bool, field: &str| {
        json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": {field: {"type": "string"}}}}}}})
    };
    let d = json!({"metadata": {"name": "things.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"}, "versions": [version("v1", true, "a"), version("v2", false, "b")],
        "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": x.client("/convert")}}}});
    assert_eq!(x.s.json("POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions", d).await.code, 201);
    let path = "/apis/example.com/v2/namespaces/a/things";
    while x.s.get(path).await.code != 200 {
        tokio::task::yield_now().await;
    }
    let thing = |name: &str, v: &str| json!({"apiVersion": format!("example.com/{v}"), "kind": "Thing", "metadata": {"name": name}, "spec": {"b": "x"}});
    let a = x.s.json(&format!("POST {path}"), thing("t", "v2")).await;
    assert_eq!((a.code, a.value()["spec"].clone()), (201, json!({"b": "x"})), "{}", a.text());
    let v1 = x.s.get("/apis/example.com/v1/namespaces/a/things/t").await.value();
    assert_eq!(v1["spec"], json!({"a": "x"}));
    // A webhook of the other version sees that one, and what it adds without the schema knowing it is pruned.
    let rules = json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["things"]}]});
    x.configure("mutating", "c", &["/prune"], rules).await;
    let a = x.s.json(&format!("POST {path}"), thing("u", "v2")).await;
    assert_eq!((a.code, a.value()["spec"].clone()), (201, json!({"b": "set"})), "{}", a.text());
}
