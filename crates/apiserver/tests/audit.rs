//! What is recorded of requests.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use apiserver::audit::log::Options;
use apiserver::audit::policy::Policy;
use apiserver::body::Input;
use apiserver::config::Mode;
use apiserver::server::Sender;
use common::Server;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, nonResourceURLs: [/version]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}], omitStages: [RequestReceived]}
- {level: RequestResponse, omitManagedFields: true, omitStages: [RequestReceived], resources: [{group: "", resources: [configmaps]}]}
- {level: Metadata}
"#;

async fn send(s: &Server, line: &str, headers: &[(&str, &str)], body: Value) -> u16 {
    let (method, uri) = line.split_once(' ').unwrap();
    let mut b = Request::builder().method(method).uri(uri).header("content-type", "application/json");
    for (k, v) in headers {
        b = b.header(*k, *v);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let res = s.api.handle(b.body(Input::Bytes(body.into())).unwrap(), Sender::Network(None)).await;
    let code = res.status().as_u16();
    if !line.contains("watch=") {
        res.into_body().collect().await.unwrap();
    }
    code
}

#[tokio::test]
async fn events() {
    let path = std::env::temp_dir().join(format!("audit-events-{}.log", std::process::id()));
    let store = common::mem::Mem::new();
    let mut cfg = common::config(&store);
    let tokens = "t-admin,admin,1,\"system:masters\"\nt-bob,bob,2\n";
    cfg.authentication.tokens = authn::static_tokens::StaticTokens::parse(tokens).unwrap();
    cfg.authorization = vec![Mode::Rbac];
    let options = Options { path: path.clone(), max_age: 0, max_backups: 0, max_size: 1 };
    cfg.audit = Some((Policy::parse(POLICY).unwrap(), options));
    let s = Server::with(cfg, store);
    let admin = ("authorization", "Bearer t-admin");
    let ns = json!({"metadata": {"name": "a"}});
    assert_eq!(
        send(
            &s,
            "POST /api/v1/namespaces",
            &[admin, ("audit-id", "one"), ("x-forwarded-for", "192.0.2.1, 192.0.2.2"), ("user-agent", "t/1")],
            ns
        )
        .await,
        201
    );
    assert_eq!(send(&s, "GET /version", &[admin], Value::Null).await, 200);
    let cms = "/api/v1/namespaces/a/configmaps";
    let cm = json!({"metadata": {"name": "x"}, "data": {"k": "v"}});
    assert_eq!(
        send(&s, &format!("POST {cms}"), &[admin, ("accept", "application/vnd.kubernetes.protobuf")], cm)
            .await,
        201
    );
    assert_eq!(
        send(&s, &format!("GET {cms}"), &[admin, ("impersonate-user", "bob")], Value::Null).await,
        403
    );
    assert_eq!(
        send(&s, "GET /api/v1/namespaces/a/secrets?watch=1&timeoutSeconds=1", &[admin], Value::Null).await,
        200
    );
    assert_eq!(send(&s, "GET /api/v1/pods", &[("authorization", "Bearer wrong")], Value::Null).await, 401);
    assert!(s.rt.shutdown(std::time::Duration::from_secs(20)).await);

    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let events: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let short = |e: &Value| {
        let code = e["responseStatus"]["code"].as_i64().unwrap_or(0);
        let s = |k: &str| e[k].as_str().unwrap().to_owned();
        format!("{} {} {} {code}", s("stage"), s("verb"), s("requestURI"))
    };
    assert_eq!(
        events.iter().map(short).collect::<Vec<_>>(),
        [
            "RequestReceived create /api/v1/namespaces 0",
            "ResponseComplete create /api/v1/namespaces 201",
            "ResponseComplete create /api/v1/namespaces/a/configmaps 201",
            "ResponseComplete list /api/v1/namespaces/a/configmaps 403",
            "ResponseStarted watch /api/v1/namespaces/a/secrets?watch=1&timeoutSeconds=1 200",
            "ResponseComplete watch /api/v1/namespaces/a/secrets?watch=1&timeoutSeconds=1 200",
            "ResponseStarted list /api/v1/pods 401",
        ]
    );
    let user = json!({"username": "admin", "uid": "1", "groups": ["system:masters", "system:authenticated"]});
    assert_eq!(
        events[1],
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "one",
            "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces", "verb": "create", "user": user,
            "sourceIPs": ["192.0.2.1", "192.0.2.2"], "userAgent": "t/1",
            "objectRef": {"resource": "namespaces", "name": "a", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 201},
            "requestReceivedTimestamp": "2026-01-02T03:04:05.000000Z", "stageTimestamp": "2026-01-02T03:04:05.000000Z",
            "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
        })
    );
    let created = &events[2];
    assert_eq!(created["requestObject"], json!({"metadata": {"name": "x"}, "data": {"k": "v"}}));
    assert_eq!(created["responseObject"]["data"], json!({"k": "v"}));
    assert_eq!(created["responseObject"]["kind"], "ConfigMap");
    assert!(created["responseObject"]["metadata"].get("managedFields").is_none());
    let denied = &events[3];
    assert_eq!((&denied["user"], &denied["impersonatedUser"]["username"]), (&user, &json!("bob")));
    assert_eq!(denied["responseStatus"]["reason"], "Forbidden");
    assert_eq!(denied["annotations"]["authorization.k8s.io/decision"], "forbid");
    let stranger = events.last().unwrap();
    assert_eq!(stranger["user"], json!({}));
    assert_eq!(stranger["responseStatus"]["message"], "Authentication failed, attempted: bearer");
}
