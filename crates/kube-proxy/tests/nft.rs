//! The rulesets of proxyplan against the real nft, in a network namespace of their own: everything it writes is
//! accepted, and a change applied as a difference ends in the same table as a full load.

#![allow(clippy::unwrap_used, reason = "a test")]

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proxyplan::{Family, Options, Ruleset, diff, full, model, ruleset};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs scripts in a fresh namespace, one after the other, and answers the table at the end; `None` where this machine
/// has no nft or no right to make namespaces.
fn table(scripts: &[&str]) -> Option<String> {
    let list = scripts.iter().enumerate().map(|(i, _)| format!("nft -f $D/{i} && ")).collect::<String>();
    let dir = std::env::temp_dir().join(format!("keelson-nft-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (i, s) in scripts.iter().enumerate() {
        std::fs::File::create(dir.join(i.to_string())).unwrap().write_all(s.as_bytes()).unwrap();
    }
    let o = Command::new("unshare")
        .args(["-n", "sh", "-c", &format!("{list} nft list table ip keelson-proxy")])
        .env("D", &dir)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    std::fs::remove_dir_all(&dir).unwrap();
    let err = String::from_utf8_lossy(&o.stderr).into_owned();
    if err.contains("not found") || err.contains("Operation not permitted") || err.contains("unshare failed")
    {
        eprintln!("skipped: needs root and nft: {err}");
        return None;
    }
    assert!(o.status.success(), "{err}");
    Some(String::from_utf8_lossy(&o.stdout).into_owned())
}

fn options() -> Options {
    Options {
        node_name: "n1".into(),
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
        ..Options::default()
    }
}

/// A few services of every kind; `n` endpoints each.
fn cluster(n: usize, extra: Value) -> Ruleset {
    let mut services: Vec<Service> = Vec::new();
    let mut slices: Vec<EndpointSlice> = Vec::new();
    let kinds = [
        json!({}),
        json!({"type": "NodePort"}),
        json!({"sessionAffinity": "ClientIP"}),
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["192.0.2.0/24"]}),
        json!({"externalIPs": ["198.51.100.7"]}),
        json!({"internalTrafficPolicy": "Local"}),
    ];
    for (i, k) in kinds.iter().enumerate() {
        let name = format!("s{i}");
        let mut spec = json!({"clusterIP": format!("10.96.0.{}", i + 10), "ports": [
            {"name": "t", "port": 80, "nodePort": 30000 + i}, {"name": "u", "port": 53, "protocol": "UDP", "nodePort": 31000 + i}]});
        for (key, v) in k.as_object().unwrap().iter().chain(extra.as_object().unwrap()) {
            spec[key] = v.clone();
        }
        services.push(
            serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name}, "spec": spec,
            "status": {"loadBalancer": {"ingress": [{"ip": format!("203.0.113.{i}")}]}}}))
            .unwrap(),
        );
        let endpoints: Vec<Value> = (0..n)
            .map(|e| json!({"addresses": [format!("10.244.{}.{}", e % 2, i * 40 + e + 2)], "nodeName": format!("n{}", e % 2 + 1),
                "conditions": {"ready": true}}))
            .collect();
        slices.push(serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name, "labels": {
            "kubernetes.io/service-name": name}}, "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "t", "port": 8080, "protocol": "TCP"}, {"name": "u", "port": 5353, "protocol": "UDP"}]})).unwrap());
    }
    ruleset(&model(&services, &slices, Family::V4, &options()), Family::V4, &options())
}

/// Handles and the order of elements are nft's business.
fn normal(t: &str) -> Vec<String> {
    let flat = t.replace("elements = {", "").replace(['{', '}'], " ");
    let mut items: Vec<String> =
        flat.split([',', '\n']).map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect();
    items.sort();
    items
}

#[test]
fn a_difference_ends_where_a_full_load_does() {
    let states = [
        cluster(0, json!({})),
        cluster(3, json!({})),
        cluster(40, json!({})),
        cluster(1, json!({})),
        cluster(
            2,
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}}),
        ),
    ];
    for a in &states {
        for b in &states {
            let (load, step) = (full(a, &options()), diff(a, b));
            let Some(by_steps) = table(&[&load, &step]) else { return };
            let Some(at_once) = table(&[&full(b, &options())]) else { return };
            assert_eq!(normal(&by_steps), normal(&at_once));
        }
    }
}
