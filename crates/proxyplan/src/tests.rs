//! Tables: services and slices in, elements and chains out.

use super::*;
use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

fn service(name: &str, spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name}, "spec": spec})).unwrap()
}

fn slice(name: &str, endpoints: Value) -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"namespace": "a", "name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints}))
    .unwrap()
}

fn endpoint(ip: &str, node: &str, ready: bool) -> Value {
    json!({"addresses": [ip], "nodeName": node, "conditions": {"ready": ready}})
}

fn options() -> Options {
    Options {
        node_name: "n1".into(),
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
        ..Options::default()
    }
}

fn rules(services: &[Service], slices: &[EndpointSlice]) -> Ruleset {
    ruleset(&model(services, slices, Family::V4, &options()), Family::V4, &options())
}

fn check(services: &[Service], slices: &[EndpointSlice], want: Expect) {
    let empty = rules(&[], &[]);
    want.assert_eq(&diff(&empty, &rules(services, slices)));
}

fn web(extra: Value) -> Service {
    let mut spec = json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80, "protocol": "TCP"}]});
    for (k, v) in extra.as_object().unwrap() {
        spec[k] = v.clone();
    }
    service("web", spec)
}

fn two() -> EndpointSlice {
    slice("web", json!([endpoint("10.244.0.2", "n1", true), endpoint("10.244.1.2", "n2", true)]))
}

#[test]
fn a_cluster_ip_draws_from_the_shared_chain() {
    check(
        &[web(json!({}))],
        &[two()],
        expect![[r#"
            add element ip keelson-proxy cluster-ips { 10.96.0.9 }
            add element ip keelson-proxy endpoints { 10.96.0.9 . tcp . 80 . 0 : 10.244.0.2 . 8080, 10.96.0.9 . tcp . 80 . 1 : 10.244.1.2 . 8080 }
            add element ip keelson-proxy hairpin { 10.244.0.2 . 10.244.0.2 }
            add element ip keelson-proxy services { 10.96.0.9 . tcp . 80 : goto oc2 }
        "#]],
    );
}

#[test]
fn no_endpoints_is_refused_and_unready_ones_do_not_count() {
    check(
        &[web(json!({}))],
        &[slice("web", json!([endpoint("10.244.0.2", "n2", false)]))],
        expect![[r#"
            add element ip keelson-proxy cluster-ips { 10.96.0.9 }
            add element ip keelson-proxy no-endpoints { 10.96.0.9 . tcp . 80 : goto reject-it }
        "#]],
    );
}

#[test]
fn a_terminating_endpoint_serves_when_there_is_no_other() {
    let e = json!([{"addresses": ["10.244.1.3"], "nodeName": "n2",
        "conditions": {"ready": false, "serving": true, "terminating": true}}]);
    let m = model(&[web(json!({}))], &[slice("web", e)], Family::V4, &options());
    assert_eq!(m.frontends.values().next().unwrap().endpoints, [("10.244.1.3".parse().unwrap(), 8080)]);
}

#[test]
fn a_node_port_hides_its_clients_unless_the_policy_is_local() {
    let np = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]});
    let m = model(&[web(np.clone())], &[two()], Family::V4, &options());
    let f = &m.frontends[&model::Key::NodePort(model::Protocol::Tcp, 30080)];
    assert_eq!((f.masquerade, f.endpoints.len()), (model::Masquerade::Always, 2));
    let mut local = np;
    local["externalTrafficPolicy"] = json!("Local");
    local["healthCheckNodePort"] = json!(31000);
    let m = model(&[web(local)], &[two()], Family::V4, &options());
    let f = &m.frontends[&model::Key::NodePort(model::Protocol::Tcp, 30080)];
    assert_eq!(
        (f.masquerade, f.endpoints.len(), f.inside.as_ref().unwrap().len()),
        (model::Masquerade::Never, 1, 2)
    );
    assert_eq!(m.health[&31000], ("a/web".to_owned(), 1));
}

#[test]
fn a_client_stays_with_its_endpoint() {
    let s = web(
        json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}),
    );
    let r = rules(&[s], &[two()]);
    assert_eq!(r.sets.len(), 2);
    assert!(r.sets.values().all(|d| d.contains("timeout 60s")), "{:?}", r.sets);
    assert!(r.chains.values().flatten().any(|rule| rule.starts_with("update @aff-")));
}

#[test]
fn headless_external_and_foreign_services_are_nobodys() {
    let other = serde_json::from_value(json!({"metadata": {"namespace": "a", "name": "x",
        "labels": {"service.kubernetes.io/service-proxy-name": "other"}},
        "spec": {"clusterIP": "10.96.0.3", "ports": [{"port": 1}]}}))
    .unwrap();
    let none = [
        web(json!({"clusterIP": "None"})),
        web(json!({"type": "ExternalName", "externalName": "x.y"})),
        other,
    ];
    assert_eq!(model(&none, &[two()], Family::V4, &options()), Model::default());
}

#[test]
fn node_hints_win_over_zone_hints_and_both_need_everybody() {
    let mut near = endpoint("10.244.0.2", "n1", true);
    near["hints"] = json!({"forNodes": [{"name": "n1"}]});
    let mut far = endpoint("10.244.1.2", "n2", true);
    let find = |a: &Value, b: &Value| {
        let m = model(&[web(json!({}))], &[slice("web", json!([a, b]))], Family::V4, &options());
        m.frontends.values().next().unwrap().endpoints.len()
    };
    assert_eq!(find(&near, &far), 2);
    far["hints"] = json!({"forNodes": [{"name": "n2"}]});
    assert_eq!(find(&near, &far), 1);
}

#[test]
fn going_there_and_back_leaves_nothing() {
    let (empty, busy) = (rules(&[], &[]), rules(&[web(json!({"externalIPs": ["192.0.2.7"]}))], &[two()]));
    assert_eq!(diff(&busy, &busy), "");
    let back = diff(&busy, &empty);
    assert!(back.contains("delete element"), "{back}");
}

#[test]
fn a_change_tells_what_it_concerns_and_no_more() {
    let one = |s: &Service, slices: &[EndpointSlice]| {
        model(std::slice::from_ref(s), slices, Family::V4, &options())
    };
    let named = |name: &str, ip: &str| {
        let mut s = web(json!({"clusterIP": ip, "externalIPs": ["192.0.2.7"]}));
        s.metadata.name = Some(name.into());
        s
    };
    let (a, b) = (named("a", "10.96.0.1"), named("b", "10.96.0.2"));
    let slices =
        |n: &str| slice(n, json!([endpoint("10.244.0.2", "n1", true), endpoint("10.244.1.2", "n2", true)]));
    let mut s = State::default();
    s.change(vec![("a".into(), one(&a, &[slices("a")]))]);
    let (old, new) = s.change(vec![("b".into(), one(&b, &[slices("b")]))]);
    // The external IP stays with the first service; the local endpoint was known before.
    let text = diff(&ruleset(&old, Family::V4, &options()), &ruleset(&new, Family::V4, &options()));
    assert!(!text.contains("192.0.2.7") && !text.contains("hairpin") && text.contains("10.96.0.2"), "{text}");
    let (old, new) = s.change(vec![("a".into(), Model::default())]);
    let gone = &old.frontends[&model::Key::Address("192.0.2.7".parse().unwrap(), model::Protocol::Tcp, 80)];
    let heir = &new.frontends[&model::Key::Address("192.0.2.7".parse().unwrap(), model::Protocol::Tcp, 80)];
    assert_eq!((gone.service.as_str(), heir.service.as_str()), ("a/a:", "a/b:"));
    assert_eq!(s.whole(), one(&b, &[slices("b")]));
    let (old, new) = s.change(vec![("b".into(), one(&b, &[slices("b")]))]);
    assert_eq!((old, new), (Model::default(), Model::default()));
}

#[test]
fn hints_of_unready_endpoints_do_not_count_and_empty_ones_are_none() {
    let mut near = endpoint("10.244.0.2", "n1", true);
    near["hints"] = json!({"forZones": [{"name": "z"}]});
    let mut unready = endpoint("10.244.1.2", "n2", false);
    let mut far = endpoint("10.244.1.3", "n2", true);
    far["hints"] = json!({"forZones": [{"name": "y"}]});
    let o = Options { zone: "z".into(), ..options() };
    let find = |list: Value| {
        model(&[web(json!({}))], &[slice("web", list)], Family::V4, &o)
            .frontends
            .into_values()
            .next()
            .unwrap()
    };
    assert_eq!(find(json!([near, far, unready])).endpoints.len(), 1);
    unready["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
    assert_eq!(find(json!([unready])).endpoints.len(), 1);
    far["hints"] = json!({"forZones": []});
    assert_eq!(find(json!([near, far])).endpoints.len(), 2);
}

#[test]
fn services_labelled_headless_are_ignored() {
    let mut s = web(json!({}));
    s.metadata.labels = Some([("service.kubernetes.io/headless".to_owned(), String::new())].into());
    assert_eq!(model(&[s], &[two()], Family::V4, &options()), Model::default());
}

#[test]
fn more_endpoints_than_the_shared_chains_take_are_drawn_in_one_rule() {
    let many: Vec<Value> = (0..40).map(|i| endpoint(&format!("10.244.1.{i}"), "n2", true)).collect();
    let r = rules(&[web(json!({}))], &[slice("web", json!(many))]);
    assert_eq!(r.chains.len(), 1);
    let rule = r.chains.values().next().unwrap().last().unwrap();
    assert!(
        rule.starts_with(
            "meta l4proto tcp dnat ip addr . port to numgen random mod 40 map { 0 : 10.244.1.0 . 8080"
        ),
        "{rule}"
    );
}
