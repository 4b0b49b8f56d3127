//! Matching and covering, as tables.

use super::*;

fn rule(s: &str) -> PolicyRule {
    // "verbs groups resources [names]", comma-separated; "url" as groups for paths; "core" for "".
    let f: Vec<&str> = s.split(' ').collect();
    let list = |i: usize| -> Vec<String> {
        f.get(i).map_or(Vec::new(), |x| {
            x.split(',').map(|y| if y == "core" { String::new() } else { y.to_owned() }).collect()
        })
    };
    if f[1] == "url" {
        return PolicyRule { verbs: list(0), non_resource_urls: list(2), ..PolicyRule::default() };
    }
    PolicyRule {
        verbs: list(0),
        api_groups: list(1),
        resources: list(2),
        resource_names: list(3),
        ..PolicyRule::default()
    }
}

fn request(s: &str) -> Attributes {
    let f: Vec<&str> = s.split(' ').collect();
    if f[1].starts_with('/') {
        return Attributes { verb: f[0].into(), path: f[1].into(), ..Attributes::default() };
    }
    let (r, sub) = f[2].split_once('/').unwrap_or((f[2], ""));
    Attributes {
        verb: f[0].into(),
        group: if f[1] == "core" { String::new() } else { f[1].into() },
        resource: r.into(),
        subresource: sub.into(),
        name: f.get(3).copied().unwrap_or("").into(),
        is_resource: true,
        ..Attributes::default()
    }
}

#[test]
fn matches_requests() {
    for (r, q, want) in [
        ("get core pods", "get core pods", true),
        ("get core pods", "list core pods", false),
        ("get core pods", "get core pods/log", false),
        ("get core pods/log", "get core pods/log x", true),
        ("get core pods/log", "get core pods", false),
        ("* core */scale", "update core replicationcontrollers/scale", true),
        ("* core */scale", "update core replicationcontrollers", false),
        ("* core */scale", "update apps deployments/scale", false),
        ("get core pods/*", "get core pods/log", false),
        ("* * *", "delete apps deployments/status", true),
        ("* * *", "get /metrics", false),
        ("get core configmaps a,b", "get core configmaps b", true),
        ("get core configmaps a,b", "get core configmaps c", false),
        ("create core configmaps a", "create core configmaps", false),
        ("get url /healthz", "get /healthz", true),
        ("get url /healthz", "get /healthz/etcd", false),
        ("get url /healthz/*", "get /healthz/etcd", true),
        ("get url /api*", "get /apis/apps", true),
        ("get url *", "get /anything", true),
        ("get url *", "post /anything", false),
        ("get url /a", "get core pods", false),
    ] {
        assert_eq!(rule(r).allows(&request(q)), want, "{r} <- {q}");
    }
}

#[test]
fn covers_rules() {
    for (owned, wanted, want) in [
        ("* * *", "get,list core pods,services", ""),
        ("get core pods", "get,list core pods", r#"{APIGroups:[""], Resources:["pods"], Verbs:["list"]}"#),
        ("get core pods", "get core pods x", ""),
        ("get core pods x", "get core pods", r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#),
        ("* core */scale", "get core a/scale", ""),
        ("get url /a/*", "get url /a/b", ""),
        ("get url /a/*", "get url /b", r#"{NonResourceURLs:["/b"], Verbs:["get"]}"#),
    ] {
        assert_eq!(
            compact_texts(&missing(&[rule(owned)], &[rule(wanted)])).join("\n"),
            want,
            "{owned} ⊇ {wanted}"
        );
    }
    let two = [rule("get core pods"), rule("list core pods")];
    assert!(covers(&two, &[rule("get,list core pods")]));
    let m = missing(&[], &[rule("get,list core pods x")]);
    assert_eq!(
        compact_texts(&m),
        [r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["x"], Verbs:["get" "list"]}"#]
    );
}

#[test]
fn round_trips_json() {
    let r = rule("get core pods x");
    assert_eq!(PolicyRule::of_role(&serde_json::json!({"rules": [r.to_value()]})), [r]);
    assert!(PolicyRule::of_role(&serde_json::json!({"rules": null})).is_empty());
}
