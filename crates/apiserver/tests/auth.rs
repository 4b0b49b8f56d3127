//! Who may do what: requests as they come from the network.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use apiserver::body::Input;
use apiserver::config::{Mode, ServiceAccounts};
use apiserver::server::Sender;
use authn::keys::PrivateKey;
use authn::static_tokens::StaticTokens;
use common::{Answer, Server};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

const TOKENS: &str = "t-admin,admin,1,\"system:masters\"\nt-bob,bob,2\nt-eve,eve,3\n";

fn server() -> Server {
    let store = common::mem::Mem::new();
    let mut cfg = common::config(&store);
    cfg.authentication.tokens = StaticTokens::parse(TOKENS).unwrap();
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    cfg.authentication.service_accounts = Some(ServiceAccounts {
        signer: PrivateKey::from_pem(&key).unwrap(),
        keys: Vec::new(),
        issuers: vec!["https://issuer.example".into()],
        audiences: Vec::new(),
        jwks_uri: String::new(),
        max_expiration: 0,
        extend_expiration: true,
    });
    cfg.authorization = vec![Mode::Node, Mode::Rbac];
    cfg.swagger_ui = true;
    Server::with(cfg, store)
}

async fn send(s: &Server, token: &str, line: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    let (method, uri) = line.split_once(' ').unwrap();
    let mut b = Request::builder().method(method).uri(uri).header("content-type", "application/json");
    if !token.is_empty() {
        b = b.header("authorization", format!("Bearer {token}"));
    }
    for (k, v) in headers {
        b = b.header(*k, *v);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let res = s.api.handle(b.body(Input::Bytes(body.into())).unwrap(), Sender::Network(None)).await;
    let (parts, body) = res.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { code: parts.status.as_u16(), headers: parts.headers, body }
}

#[tokio::test]
async fn strangers_and_rights() {
    let s = server();
    s.api.bootstrap().await;
    let none = Value::Null;
    let cases = [
        ("", "GET /healthz", "200 ok"),
        ("", "GET /version", "200 "),
        ("", "GET /swagger-ui/", "401 Unauthorized"),
        ("t-bob", "GET /swagger-ui/", r#"403 forbidden: User "bob" cannot get path "/swagger-ui/""#),
        ("", "GET /api/v1/pods", "401 Unauthorized"),
        ("wrong", "GET /healthz", "401 Unauthorized"),
        ("t-admin", "GET /api/v1/namespaces/default/pods", "200 []"),
        (
            "t-bob",
            "GET /api/v1/namespaces/default/pods",
            r#"403 pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default""#,
        ),
        (
            "t-bob",
            "GET /api/v1/nodes/n",
            r#"403 nodes "n" is forbidden: User "bob" cannot get resource "nodes" in API group "" at the cluster scope"#,
        ),
        ("t-bob", "GET /metrics", r#"403 forbidden: User "bob" cannot get path "/metrics""#),
        (
            "t-bob",
            "GET /apis/none/v1/x",
            r#"403 x.none is forbidden: User "bob" cannot list resource "x" in API group "none" at the cluster scope"#,
        ),
        ("t-bob", "GET /api", "200 "),
    ];
    for (token, line, want) in cases {
        let a = send(&s, token, line, &[], none.clone()).await;
        assert_eq!(a.brief(), want, "{token} {line}");
        assert!(a.headers.contains_key("audit-id"));
    }
    let page = send(&s, "t-admin", "GET /swagger-ui/", &[], none.clone()).await;
    assert!(page.code == 200 && page.text().starts_with("<!doctype html>"), "{}", page.brief());
    // A binding counts at once.
    let rb = json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}]});
    let rbs = "POST /apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    // The aggregating controller is not here: give the role rules.
    let role = json!({"metadata": {"name": "seer"}, "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["create", "update"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings", "roles"]},
        {"verbs": ["update"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}]});
    assert_eq!(
        send(&s, "t-admin", "POST /apis/rbac.authorization.k8s.io/v1/clusterroles", &[], role).await.code,
        201
    );
    let mut seer = rb.clone();
    seer["roleRef"]["name"] = "seer".into();
    assert_eq!(send(&s, "t-admin", rbs, &[], seer).await.code, 201);
    for _ in 0..100 {
        if send(&s, "t-bob", "GET /api/v1/namespaces/default/pods", &[], none.clone()).await.code == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(send(&s, "t-bob", "GET /api/v1/namespaces/default/pods", &[], none.clone()).await.code, 200);
    // He may make roles, but none with more than he has.
    let mut more = rb;
    more["metadata"]["name"] = "c".into();
    more["roleRef"]["name"] = "cluster-admin".into();
    let a = send(&s, "t-bob", rbs, &[], more).await;
    assert_eq!(a.code, 403, "{}", a.text());
    // A PUT that creates needs the right to create.
    let lease = json!({"metadata": {"name": "l", "namespace": "default"}, "spec": {}});
    let put = "PUT /apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let a = send(&s, "t-bob", put, &[], lease.clone()).await;
    assert!(a.brief().contains(r#"cannot create resource "leases""#), "{}", a.brief());
    assert_eq!(send(&s, "t-admin", put, &[], lease).await.code, 201);
}

#[tokio::test]
async fn service_accounts_and_impersonation() {
    let s = server();
    s.api.bootstrap().await;
    let sa = json!({"metadata": {"name": "robot"}});
    send(&s, "t-admin", "POST /api/v1/namespaces/default/serviceaccounts", &[], sa).await;
    let t = send(
        &s,
        "t-admin",
        "POST /api/v1/namespaces/default/serviceaccounts/robot/token",
        &[],
        json!({"spec": {"expirationSeconds": 600}}),
    )
    .await;
    assert_eq!(t.code, 201, "{}", t.text());
    let token = t.value()["status"]["token"].as_str().unwrap().to_owned();
    assert_eq!(t.value()["status"]["expirationTimestamp"], "2026-01-02T03:14:05Z");
    let me = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews";
    let a = send(&s, &token, me, &[], json!({})).await;
    assert_eq!(
        a.value()["status"]["userInfo"]["username"],
        "system:serviceaccount:default:robot",
        "{}",
        a.text()
    );
    s.rt.clock.advance(std::time::Duration::from_secs(600 + 61));
    assert_eq!(send(&s, &token, me, &[], json!({})).await.code, 401);
    let short = send(
        &s,
        "t-admin",
        "POST /api/v1/namespaces/default/serviceaccounts/robot/token",
        &[],
        json!({"spec": {"expirationSeconds": 60}}),
    )
    .await;
    assert_eq!(short.code, 422);

    let as_bob = [("impersonate-user", "bob"), ("impersonate-group", "g")];
    let a = send(&s, "t-admin", me, &as_bob, json!({})).await;
    assert_eq!(
        a.value()["status"]["userInfo"],
        json!({"username": "bob", "groups": ["g", "system:authenticated"]})
    );
    let a = send(&s, "t-eve", me, &as_bob, json!({})).await;
    assert_eq!(a.code, 403, "{}", a.text());

    let d =
        send(&s, "t-admin", "GET /.well-known/openid-configuration", &[("host", "h:1")], Value::Null).await;
    assert_eq!(d.value()["jwks_uri"], "https://h:1/openid/v1/jwks");
    let k = send(&s, "t-admin", "GET /openid/v1/jwks", &[], Value::Null).await;
    assert_eq!(k.value()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn pods_get_a_token_volume_and_wait_for_their_account() {
    let s = server();
    s.api.bootstrap().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let post = "POST /api/v1/namespaces/default/pods";
    let (a, ()) = tokio::join!(send(&s, "t-admin", post, &[], pod), async {
        tokio::task::yield_now().await;
        let sa = json!({"metadata": {"name": "default"}});
        assert_eq!(
            send(&s, "t-admin", "POST /api/v1/namespaces/default/serviceaccounts", &[], sa).await.code,
            201
        );
    });
    assert_eq!(a.code, 201, "{}", a.text());
    let v = a.value();
    assert_eq!(v["spec"]["serviceAccountName"], "default");
    assert!(v["spec"]["volumes"][0]["name"].as_str().unwrap().starts_with("kube-api-access-"));
    assert_eq!(v["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(v["status"]["qosClass"], "BestEffort");
}

#[tokio::test]
async fn quotas_are_charged() {
    let s = server();
    s.api.bootstrap().await;
    let q = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "1"}}});
    assert_eq!(send(&s, "t-admin", "POST /api/v1/namespaces/default/resourcequotas", &[], q).await.code, 201);
    let st = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "1"}}, "status": {"hard": {"configmaps": "1"}, "used": {"configmaps": "0"}}});
    let a = send(&s, "t-admin", "PUT /api/v1/namespaces/default/resourcequotas/q/status", &[], st).await;
    assert_eq!(a.code, 200, "{}", a.text());
    let post = "POST /api/v1/namespaces/default/configmaps";
    assert_eq!(send(&s, "t-admin", post, &[], json!({"metadata": {"name": "x"}})).await.code, 201);
    let a = send(&s, "t-admin", post, &[], json!({"metadata": {"name": "y"}})).await;
    assert_eq!(
        a.brief(),
        r#"403 configmaps "y" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"#
    );
}
