//! Endpoints of services.

use super::plan::plan;
use crate::k8s::core::{Endpoints, Pod, Service};
use crate::testing::Cluster;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn service(spec: Value) -> Value {
    let mut s = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "ns", "labels": {"a": "b"}},
        "spec": {"clusterIP": "10.1.0.1", "selector": {"app": "x"}, "ports": [
            {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}, {"name": "named", "port": 81, "targetPort": "web", "protocol": "TCP"}]}});
    for (k, v) in spec.as_object().into_iter().flatten() {
        s["spec"][k] = v.clone();
    }
    s
}
fn pod(i: usize, ready: bool, port: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{i}"), "namespace": "ns", "uid": format!("u{i}"), "labels": {"app": "x"}},
        "spec": {"nodeName": "n", "hostname": "h", "subdomain": "s", "containers": [{"name": "c", "ports": [{"name": port, "containerPort": 9000 + i, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{i}"), "podIPs": [{"ip": format!("10.0.0.{i}")}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
}
fn check(s: &Value, pods: &[Value], want: Expect) -> Endpoints {
    let s: Service = serde_json::from_value(s.clone()).unwrap();
    let pods: Vec<Pod> = pods.iter().map(|p| serde_json::from_value(p.clone()).unwrap()).collect();
    let e = plan(&s, &pods, None).unwrap();
    let mut out = format!("{:?}\n", e.metadata.labels.clone().unwrap());
    for s in e.subsets.iter().flatten() {
        let l = |v: &Option<Vec<crate::k8s::core::EndpointAddress>>| {
            v.iter().flatten().map(|a| a.ip.clone()).collect::<Vec<_>>().join(",")
        };
        let ports: Vec<_> = s.ports.iter().flatten().map(|p| p.port.to_string()).collect();
        out += &format!(
            "ready {} not {} ports {}\n",
            l(&s.addresses),
            l(&s.not_ready_addresses),
            ports.join(",")
        );
    }
    want.assert_eq(&out);
    assert!(plan(&s, &pods, Some(&e)).is_none(), "what was written is right");
    e
}

#[test]
fn plans() {
    let pods = [pod(2, true, "web"), pod(1, true, "web"), pod(3, false, "other")];
    let e = check(
        &service(json!({})),
        &pods,
        expect![[r#"
        {"a": "b", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        ready 10.0.0.1 not  ports 9001
        ready 10.0.0.1,10.0.0.2 not 10.0.0.3 ports 8080
        ready 10.0.0.2 not  ports 9002
    "#]],
    );
    let a = e.subsets.unwrap()[0].addresses.clone().unwrap()[0].clone();
    assert_eq!(
        (a.hostname.as_deref(), a.node_name.as_deref(), a.target_ref.unwrap().name.as_deref()),
        (Some("h"), Some("n"), Some("p1"))
    );
    check(
        &service(json!({"clusterIP": "None", "ports": null})),
        &pods,
        expect![[r#"
        {"a": "b", "endpoints.kubernetes.io/managed-by": "endpoint-controller", "service.kubernetes.io/headless": ""}
        ready 10.0.0.1,10.0.0.2 not 10.0.0.3 ports 
    "#]],
    );
    check(
        &service(json!({"publishNotReadyAddresses": true})),
        &pods,
        expect![[r#"
        {"a": "b", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        ready 10.0.0.1 not  ports 9001
        ready 10.0.0.1,10.0.0.2,10.0.0.3 not  ports 8080
        ready 10.0.0.2 not  ports 9002
    "#]],
    );
    check(
        &service(json!({})),
        &[],
        expect![[r#"
        {"a": "b", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    "#]],
    );
}

#[test]
fn is_cut_to_capacity() {
    let s: Service = serde_json::from_value(service(json!({}))).unwrap();
    let pods: Vec<Pod> = (0..1100)
        .map(|i| {
            let mut p = pod(0, i >= 600, "web");
            p["metadata"]["uid"] = json!(format!("u{i}"));
            p["status"]["podIPs"][0]["ip"] = json!(format!("10.0.{}.{}", i / 250, i % 250));
            serde_json::from_value(p).unwrap()
        })
        .collect();
    let e = plan(&s, &pods, None).unwrap();
    let (mut ready, mut unready) = (0, 0);
    for s in e.subsets.iter().flatten() {
        ready += s.addresses.as_ref().map_or(0, Vec::len);
        unready += s.not_ready_addresses.as_ref().map_or(0, Vec::len);
    }
    assert_eq!((ready, unready), (500, 500));
    assert_eq!(e.metadata.annotations.unwrap()["endpoints.kubernetes.io/over-capacity"], "truncated");
}

#[tokio::test(start_paused = true)]
async fn follows_services() {
    let api = client::fake::FakeApi::new();
    api.seed("endpoints", json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "left-over", "namespace": "ns"}}));
    let c = Cluster::on(api, &["endpoints-controller"], |_| {}).await;
    assert!(c.names("", "endpoints").is_empty());
    c.api.seed("services", service(json!({})));
    c.api.seed("pods", pod(1, true, "web"));
    c.settle().await;
    assert_eq!(
        c.api.object("", "endpoints", "ns", "s").unwrap()["subsets"][0]["addresses"][0]["ip"],
        "10.0.0.1"
    );
    c.api.remove("", "endpoints", "ns", "s");
    c.settle().await;
    assert_eq!(c.names("", "endpoints"), ["s"], "it is made again");
    c.api.remove("", "services", "ns", "s");
    c.settle().await;
    assert!(c.names("", "endpoints").is_empty());
}
