//! Tables: pods and policies in, rules out.

use super::*;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn pod(ns: &str, name: &str, ip: &str, labels: Value, node: &str) -> (String, Option<Pod>) {
    let p = json!({"metadata": {"namespace": ns, "name": name, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [
            {"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 5353, "protocol": "UDP"}]}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}});
    (format!("{ns}/{name}"), Pod::of(&serde_json::from_value(p).unwrap(), "n1"))
}

fn cluster(policies: &[Value]) -> Cluster {
    let mut c = Cluster::default();
    for (name, p) in [
        pod("a", "web", "10.244.0.2", json!({"app": "web"}), "n1"),
        pod("a", "db", "10.244.0.3", json!({"app": "db"}), "n1"),
        pod("b", "web", "10.244.1.2", json!({"app": "web"}), "n2"),
    ] {
        c.pods.insert(name, p.unwrap());
    }
    for ns in ["a", "b", "kube-system"] {
        c.namespaces.insert(ns.into(), [("kubernetes.io/metadata.name".to_owned(), ns.to_owned())].into());
    }
    c.dns = vec![("192.0.2.1".parse().unwrap(), Protocol::Udp, 10053)];
    for (i, spec) in policies.iter().enumerate() {
        let p = json!({"metadata": {"namespace": "a", "name": format!("p{i}")}, "spec": spec});
        c.policies.insert(format!("a/p{i}"), Policy::of(&serde_json::from_value(p).unwrap()));
    }
    c
}

fn check(policies: &[Value], want: Expect) {
    want.assert_eq(&diff(&Ruleset::default(), &ruleset(&cluster(policies), false)));
}

#[test]
fn nobody_is_isolated_without_a_policy() {
    check(&[], expect![[""]]);
    check(
        &[json!({"podSelector": {"matchLabels": {"app": "none"}}, "policyTypes": ["Ingress"]})],
        expect![[""]],
    );
}

#[test]
fn deny_all_in_both_directions() {
    check(
        &[json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})],
        expect![[r#"
            add chain ip keelson-policy in-723de8827de4ba81
            add chain ip keelson-policy out-723de8827de4ba81
            add element ip keelson-policy egress { 10.244.0.2 : jump out-723de8827de4ba81, 10.244.0.3 : jump out-723de8827de4ba81 }
            add element ip keelson-policy ingress { 10.244.0.2 : jump in-723de8827de4ba81, 10.244.0.3 : jump in-723de8827de4ba81 }
            add element ip keelson-policy self { 10.244.0.2 . 10.244.0.2, 10.244.0.3 . 10.244.0.3 }
            add rule ip keelson-policy in-723de8827de4ba81 drop
            add rule ip keelson-policy out-723de8827de4ba81 drop
        "#]],
    );
}

#[test]
fn peers_are_sets_and_blocks_and_ports_are_merged() {
    check(
        &[json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "web"}}},
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}},
                {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}],
             "ports": [{"port": 80}, {"port": 81, "endPort": 90}, {"port": 85}, {"protocol": "UDP"}, {"port": "http"}]}]})],
        expect![[r#"
            add set ip keelson-policy peer-143484a0eda4e012 { type ipv4_addr; }
            add set ip keelson-policy peer-450188bab791b841 { type ipv4_addr; }
            add set ip keelson-policy port-tcp-http { type ipv4_addr . inet_service; }
            add chain ip keelson-policy in-723de8827de4ba81
            add element ip keelson-policy ingress { 10.244.0.3 : jump in-723de8827de4ba81 }
            add element ip keelson-policy peer-143484a0eda4e012 { 10.244.0.2 }
            add element ip keelson-policy peer-450188bab791b841 { 10.244.1.2 }
            add element ip keelson-policy port-tcp-http { 10.244.0.2 . 8080, 10.244.0.3 . 8080, 10.244.1.2 . 8080 }
            add element ip keelson-policy self { 10.244.0.3 . 10.244.0.3 }
            add rule ip keelson-policy in-723de8827de4ba81 ip saddr @peer-143484a0eda4e012 tcp dport { 80-90 } return
            add rule ip keelson-policy in-723de8827de4ba81 ip saddr @peer-143484a0eda4e012 ip daddr . tcp dport @port-tcp-http return
            add rule ip keelson-policy in-723de8827de4ba81 ip saddr @peer-143484a0eda4e012 meta l4proto udp return
            add rule ip keelson-policy in-723de8827de4ba81 ip saddr @peer-450188bab791b841 tcp dport { 80-90 } return
            add rule ip keelson-policy in-723de8827de4ba81 ip saddr @peer-450188bab791b841 ip daddr . tcp dport @port-tcp-http return
            add rule ip keelson-policy in-723de8827de4ba81 ip saddr @peer-450188bab791b841 meta l4proto udp return
            add rule ip keelson-policy in-723de8827de4ba81 ip saddr 192.0.2.0/24 ip saddr != { 192.0.2.128/25 } tcp dport { 80-90 } return
            add rule ip keelson-policy in-723de8827de4ba81 ip saddr 192.0.2.0/24 ip saddr != { 192.0.2.128/25 } ip daddr . tcp dport @port-tcp-http return
            add rule ip keelson-policy in-723de8827de4ba81 ip saddr 192.0.2.0/24 ip saddr != { 192.0.2.128/25 } meta l4proto udp return
            add rule ip keelson-policy in-723de8827de4ba81 drop
        "#]],
    );
}

#[test]
fn egress_to_dns_means_keelsons_own() {
    let to = |labels: Value| {
        let r = ruleset(
            &cluster(&[
                json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [
                {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                    "podSelector": {"matchLabels": labels}}], "ports": [{"port": 53, "protocol": "UDP"}]}]}),
            ]),
            false,
        );
        r.chains.values().flatten().any(|r| r == "ip daddr 192.0.2.1 udp dport 10053 return")
    };
    assert!(to(json!({"k8s-app": "kube-dns"})));
    assert!(!to(json!({"k8s-app": "other"})));
}

#[test]
fn host_network_and_ended_pods_do_not_count() {
    let of = |spec: Value, status: Value| {
        Pod::of(
            &serde_json::from_value(json!({"metadata": {}, "spec": spec, "status": status})).unwrap(),
            "n1",
        )
    };
    let up = json!({"phase": "Running", "podIP": "10.244.0.9"});
    assert!(of(json!({"containers": []}), up.clone()).is_some());
    assert!(of(json!({"containers": [], "hostNetwork": true}), up).is_none());
    assert!(of(json!({"containers": []}), json!({"phase": "Succeeded", "podIP": "10.244.0.9"})).is_none());
    assert!(of(json!({"containers": []}), json!({"phase": "Pending"})).is_none());
}

#[test]
fn a_pod_that_comes_changes_elements_only_and_back_is_nothing() {
    let policy = json!({"podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]});
    let mut c = cluster(&[policy]);
    let before = ruleset(&c, false);
    let (name, p) = pod("a", "web2", "10.244.1.9", json!({"app": "web"}), "n2");
    c.pods.insert(name.clone(), p.unwrap());
    let after = ruleset(&c, false);
    let there = diff(&before, &after);
    assert!(there.lines().all(|l| l.starts_with("add element")) && there.lines().count() == 1, "{there}");
    c.pods.remove(&name);
    assert_eq!(ruleset(&c, false), before);
    assert_eq!(diff(&before, &before), "");
    c.policies.clear();
    let gone = diff(&before, &ruleset(&c, false));
    assert!(gone.contains("delete chain") && gone.contains("delete set"), "{gone}");
}

#[test]
fn families_are_apart() {
    let c = cluster(&[
        json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}]}),
    ]);
    assert!(ruleset(&c, true).chains.is_empty());
    assert!(ruleset(&c, false).chains.values().all(|r| r == &["drop"]));
}
