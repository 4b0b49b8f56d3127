//! Slices of services, planned and written.

use super::plan::{Input, Plan, plan};
use crate::k8s::core::{Pod, Service};
use crate::k8s::discovery::EndpointSlice;
use crate::testing::Cluster;
use crate::util::meta::MetaExt;
use expect_test::{Expect, expect};
use meta::object::ObjectExt;
use serde_json::{Value, json};
use std::collections::HashMap;

fn service(spec: Value) -> Value {
    let mut s = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "ns", "uid": "su", "labels": {"a": "b"}},
        "spec": {"clusterIP": "10.1.0.1", "ipFamilies": ["IPv4"], "selector": {"app": "x"},
            "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]}});
    for (k, v) in spec.as_object().into_iter().flatten() {
        s["spec"][k] = v.clone();
    }
    s
}
fn pod(i: usize, ready: bool, deleting: bool) -> Value {
    let mut p = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{i:03}"), "namespace": "ns", "uid": format!("u{i}"), "labels": {"app": "x"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{i}"), "podIPs": [{"ip": format!("10.0.0.{i}")}, {"ip": format!("fd00::{i}")}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}});
    if deleting {
        p["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
    }
    p
}
fn run(s: &Value, pods: &[Value], existing: Vec<EndpointSlice>, max: usize) -> Plan {
    let s: Service = serde_json::from_value(s.clone()).unwrap();
    let pods: Vec<Pod> = pods.iter().map(|p| serde_json::from_value(p.clone()).unwrap()).collect();
    let nodes: HashMap<String, Option<String>> = [("n1".to_owned(), Some("z1".to_owned()))].into();
    plan(Input { service: &s, pods: &pods, nodes: &nodes, existing, max })
}
fn show(p: &Plan) -> String {
    let line = |what: &str, s: &EndpointSlice| {
        let ports: Vec<_> = s.ports.iter().flatten().map(|p| p.port.unwrap_or(0).to_string()).collect();
        let eps: Vec<_> = s
            .endpoints
            .iter()
            .flatten()
            .map(|e| {
                let c = e.conditions.clone().unwrap();
                let flag = |b: Option<bool>, t: &str| if b == Some(true) { t.to_owned() } else { "-".into() };
                let hint = e.hints.as_ref().map(|h| {
                    let z: Vec<_> = h.for_zones.iter().flatten().map(|z| z.name.as_str()).collect();
                    let n: Vec<_> = h.for_nodes.iter().flatten().map(|z| z.name.as_str()).collect();
                    format!("@{}{}", z.join(","), n.join(","))
                });
                format!(
                    "{}{}{}{}{}",
                    e.addresses.join("+"),
                    flag(c.ready, "r"),
                    flag(c.serving, "s"),
                    flag(c.terminating, "t"),
                    hint.unwrap_or_default()
                )
            })
            .collect();
        format!("{what} {} {} [{}] {}\n", s.name(), s.address_type, ports.join(","), eps.join(" "))
    };
    let mut out = String::new();
    p.create.iter().for_each(|s| out += &line("create", s));
    p.update.iter().for_each(|s| out += &line("update", s));
    p.delete.iter().for_each(|s| out += &line("delete", s));
    out
}
fn check(s: &Value, pods: &[Value], existing: Vec<EndpointSlice>, max: usize, want: Expect) -> Plan {
    let p = run(s, pods, existing, max);
    want.assert_eq(&show(&p));
    p
}
/// What the server has after a plan.
fn stored(p: Plan) -> Vec<EndpointSlice> {
    let mut all = p.update;
    for (i, mut s) in p.create.into_iter().enumerate() {
        s.metadata.name = Some(format!("s-{i}"));
        all.push(s);
    }
    all
}

#[test]
fn plans() {
    let pods = [pod(1, true, false), pod(2, false, false), pod(3, true, true)];
    let s = service(json!({}));
    let p = check(
        &s,
        &pods,
        vec![],
        100,
        expect![[r#"
        create  IPv4 [8080] 10.0.0.1rs- 10.0.0.2--- 10.0.0.3-st
    "#]],
    );
    let there = stored(p);
    check(&s, &pods, there.clone(), 100, expect![]);
    // A pod changes, another goes, a third comes.
    let pods = [pod(1, true, false), pod(2, true, false), pod(4, true, false)];
    check(
        &s,
        &pods,
        there.clone(),
        100,
        expect![[r#"
        update s-0 IPv4 [8080] 10.0.0.1rs- 10.0.0.2rs- 10.0.0.4rs-
    "#]],
    );
    // Nothing is left: the slice becomes the placeholder, which then stays.
    let p = check(
        &s,
        &[],
        there,
        100,
        expect![[r#"
        update s-0 IPv4 [] 
    "#]],
    );
    check(&s, &[], stored(p), 100, expect![]);
    // Not ready is ready if the service says so.
    check(
        &service(json!({"publishNotReadyAddresses": true})),
        &[pod(1, false, true)],
        vec![],
        100,
        expect![[r#"
        create  IPv4 [8080] 10.0.0.1r-t
    "#]],
    );
    // Two families, a headless service without ports.
    let s = service(json!({"clusterIP": "None", "ports": null, "ipFamilies": ["IPv4", "IPv6"]}));
    check(
        &s,
        &[pod(1, true, false)],
        vec![],
        100,
        expect![[r#"
        create  IPv4 [] 10.0.0.1rs-
        create  IPv6 [] fd00::1rs-
    "#]],
    );
    // Hints.
    let s = service(json!({"trafficDistribution": "PreferSameZone"}));
    let p = check(
        &s,
        &[pod(1, true, false)],
        vec![],
        100,
        expect![[r#"
        create  IPv4 [8080] 10.0.0.1rs-@z1
    "#]],
    );
    let s = service(json!({"trafficDistribution": "PreferSameNode"}));
    let p = check(
        &s,
        &[pod(1, true, false)],
        stored(p),
        100,
        expect![[r#"
        update s-0 IPv4 [8080] 10.0.0.1rs-@z1n1
    "#]],
    );
    check(
        &service(json!({})),
        &[pod(1, true, false)],
        stored(p),
        100,
        expect![[r#"
        update s-0 IPv4 [8080] 10.0.0.1rs-
    "#]],
    );
}

#[test]
fn slices_are_filled_with_few_writes() {
    let s = service(json!({}));
    let pods: Vec<Value> = (0..5).map(|i| pod(i, true, false)).collect();
    let p = run(&s, &pods, vec![], 2);
    assert_eq!(p.create.len(), 3);
    let there = stored(p);
    let more: Vec<Value> = (0..6).map(|i| pod(i, true, false)).collect();
    let p = run(&s, &more, there.clone(), 2);
    assert_eq!((p.create.len(), p.update.len(), p.delete.len()), (0, 1, 0), "into the slice with room");
    let p = run(&s, &more[1..], there, 2);
    assert_eq!(
        (p.create.len(), p.update.len(), p.delete.len()),
        (0, 1, 0),
        "into the slice that changes anyway"
    );
}

#[tokio::test(start_paused = true)]
async fn follows_pods() {
    let c = Cluster::start(&["endpointslice-controller"]).await;
    c.api.seed("nodes", json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}));
    c.api.seed("services", service(json!({})));
    c.api.seed("pods", pod(1, false, false));
    c.settle().await;
    let slice = || c.api.objects("discovery.k8s.io", "endpointslices");
    let ready = || slice()[0]["endpoints"][0]["conditions"]["ready"].clone();
    assert_eq!((slice().len(), ready()), (1, json!(false)));
    c.set_ready(&pod(1, true, false));
    c.settle().await;
    assert_eq!((slice().len(), ready()), (1, json!(true)));
    assert_eq!(
        slice()[0].label("endpointslice.kubernetes.io/managed-by"),
        Some("endpointslice-controller.k8s.io")
    );
    c.api.remove("", "pods", "ns", "p001");
    c.settle().await;
    assert_eq!(slice()[0]["endpoints"], json!([]));
}
