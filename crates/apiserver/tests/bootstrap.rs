//! What a server makes by itself, and that it makes it once.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use apiserver::config::Mode;
use common::Server;
use serde_json::json;

#[tokio::test]
async fn a_new_store_is_filled_once() {
    let store = common::mem::Mem::new();
    let mut cfg = common::config(&store);
    cfg.advertise_address = "192.0.2.7".parse().unwrap();
    cfg.authorization = vec![Mode::Node, Mode::Rbac];
    let s = Server::with(cfg, store.clone());
    tokio::time::timeout(std::time::Duration::from_secs(20), s.api.bootstrap()).await.unwrap();
    let count = async |path: &str| s.get(path).await.value()["items"].as_array().unwrap().len();
    let cases = [
        ("/api/v1/namespaces", 4),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles", 73),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", 55),
        ("/apis/rbac.authorization.k8s.io/v1/roles", 7),
        ("/apis/rbac.authorization.k8s.io/v1/rolebindings", 7),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", 2),
        ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", 11),
        ("/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations", 8),
        ("/apis/apiregistration.k8s.io/v1/apiservices", 22),
        ("/apis/networking.k8s.io/v1/servicecidrs", 1),
        ("/apis/networking.k8s.io/v1/ipaddresses", 1),
        ("/api/v1/services", 1),
        ("/api/v1/endpoints", 1),
        ("/apis/discovery.k8s.io/v1/endpointslices", 1),
    ];
    for (path, want) in cases {
        assert_eq!(count(path).await, want, "{path}");
    }
    let svc = s.get("/api/v1/namespaces/default/services/kubernetes").await.value();
    assert_eq!(svc["spec"]["clusterIPs"], json!(["10.0.0.1"]));
    assert_eq!(svc["spec"]["ports"][0]["targetPort"], 6443);
    let ip = s.get("/apis/networking.k8s.io/v1/ipaddresses/10.0.0.1").await.value();
    assert_eq!(
        ip["spec"]["parentRef"],
        json!({"resource": "services", "namespace": "default", "name": "kubernetes"})
    );
    assert!(s.get("/readyz?verbose").await.text().contains("[+]poststarthook/rbac/bootstrap-roles ok\n"));

    // A second start finds everything as it should be and writes nothing.
    let before = s.get("/api/v1/namespaces").await.value()["metadata"]["resourceVersion"].clone();
    s.api.bootstrap().await;
    assert_eq!(s.get("/api/v1/namespaces").await.value()["metadata"]["resourceVersion"], before);
}
