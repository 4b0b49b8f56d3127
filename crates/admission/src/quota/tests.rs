//! Charging and counting.

use super::*;
use crate::testing::{Ask, Store};
use meta::time::Timestamp;
use serde_json::json;

const NOW: Timestamp = Timestamp { seconds: 1_800_000_000, nanos: 0 };

fn quota(name: &str, hard: Value, used: Value, spec: Value) -> Value {
    let mut q = json!({"metadata": {"namespace": "ns", "name": name, "resourceVersion": "7"}, "spec": spec, "status": {"hard": hard, "used": used}});
    q["spec"]["hard"] = q["status"]["hard"].clone();
    q
}
fn with(q: Value) -> Store {
    Store::default().with("/resourcequotas", q)
}
fn pod(cpu: &str) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}}]}})
}
fn run(s: &Store, what: &str, mut new: Value, old: Option<Value>) -> Result<Vec<Value>, String> {
    let mut ask = Ask::new(what);
    ask.run(&ResourceQuota::new(Vec::new()), s, &mut new, old.as_ref())?;
    Ok(ask.effects.reservations)
}

#[test]
fn charges_pods() {
    let s = with(quota(
        "q",
        json!({"pods": "2", "requests.cpu": "2", "count/secrets": "1"}),
        json!({"pods": "1", "requests.cpu": "500m", "count/secrets": "0"}),
        json!({}),
    ));
    let charged = run(&s, "create pods", pod("1500m"), None).unwrap();
    assert_eq!(charged.len(), 1);
    assert_eq!(charged[0]["status"]["used"], json!({"pods": "2", "requests.cpu": "2", "count/secrets": "0"}));
    assert_eq!(charged[0]["metadata"]["resourceVersion"], "7");
    assert_eq!(
        run(&s, "create pods", pod("2"), None),
        Err(r#"pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=2, used: requests.cpu=500m, limited: requests.cpu=2"#.into())
    );
    let mut silent = pod("1");
    silent["spec"]["containers"][0]["resources"] = json!({});
    assert_eq!(
        run(&s, "create pods", silent, None),
        Err(r#"pods "p" is forbidden: failed quota: q: must specify requests.cpu for: c"#.into())
    );
    assert_eq!(run(&s, "create configmaps", json!({"metadata": {"name": "x"}}), None), Ok(vec![]));
    assert_eq!(run(&s, "update pods", pod("9"), Some(pod("1"))), Ok(vec![]));
}

#[test]
fn charges_what_an_update_adds() {
    let s =
        with(quota("q", json!({"services.nodeports": "3"}), json!({"services.nodeports": "2"}), json!({})));
    let svc = |n: usize| json!({"metadata": {"name": "s", "resourceVersion": "1"}, "spec": {"type": "NodePort", "ports": vec![json!({"port": 1}); n]}});
    let charged = run(&s, "update services", svc(3), Some(svc(2))).unwrap();
    assert_eq!(charged[0]["status"]["used"], json!({"services.nodeports": "3"}));
    assert_eq!(run(&s, "update services", svc(1), Some(svc(2))), Ok(vec![]));
    assert!(run(&s, "update services", svc(4), Some(svc(2))).is_err());
    let claim = with(quota(
        "q",
        json!({"requests.storage": "10Gi", "gold.storageclass.storage.k8s.io/requests.storage": "5Gi"}),
        json!({"requests.storage": "1Gi", "gold.storageclass.storage.k8s.io/requests.storage": "0"}),
        json!({}),
    ));
    let pvc = |size: &str, class: &str| json!({"metadata": {"name": "c"}, "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}});
    assert!(run(&claim, "create persistentvolumeclaims", pvc("6Gi", "silver"), None).is_ok());
    assert!(
        run(&claim, "create persistentvolumeclaims", pvc("6Gi", "gold"), None)
            .unwrap_err()
            .contains("limited: gold.storageclass.storage.k8s.io/requests.storage=5Gi")
    );
}

#[test]
fn wants_a_known_status() {
    let s = with(quota("q", json!({"count/deployments.apps": "2"}), json!({}), json!({})));
    assert_eq!(
        run(&s, "create apps/deployments", json!({"metadata": {"name": "d"}}), None),
        Err(r#"deployments.apps "d" is forbidden: status unknown for quota: q, resources: count/deployments.apps"#.into())
    );
    let s = with(quota("q", json!({"secrets": "1"}), json!({"secrets": "1"}), json!({})));
    assert!(
        run(&s, "create secrets", json!({"metadata": {"name": "s"}}), None)
            .unwrap_err()
            .contains("exceeded quota: q, requested: secrets=1, used: secrets=1, limited: secrets=1")
    );
}

#[test]
fn looks_at_scopes() {
    let scoped = |spec: Value| with(quota("q", json!({"pods": "0"}), json!({"pods": "0"}), spec));
    let fits = |spec: Value, p: Value| run(&scoped(spec), "create pods", p, None).is_ok();
    let high = |class: &str| {
        let mut p = pod("1");
        p["spec"]["priorityClassName"] = class.into();
        p
    };
    let expr = |op: &str, values: Value| json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": op, "values": values}]}});
    assert!(!fits(json!({}), pod("1")));
    assert!(!fits(expr("In", json!(["high"])), high("high")));
    assert!(fits(expr("In", json!(["high"])), high("low")));
    assert!(fits(expr("Exists", json!([])), pod("1")));
    assert!(!fits(expr("NotIn", json!(["high"])), pod("1")));
    assert!(fits(json!({"scopes": ["Terminating"]}), pod("1")));
    assert!(!fits(json!({"scopes": ["NotTerminating"]}), pod("1")));
    assert!(fits(json!({"scopes": ["BestEffort"]}), pod("1")));
    assert!(!fits(json!({"scopes": ["NotBestEffort"]}), pod("1")));
    assert!(!fits(json!({"scopes": ["BestEffort"]}), json!({"spec": {"containers": [{"name": "c"}]}})));
}

#[test]
fn limits_by_default() {
    let p = ResourceQuota::new(vec![
        LimitedResource {
            resource: "pods".into(),
            match_scopes: vec![json!({"scopeName": "PriorityClass", "operator": "In", "values": ["high"]})],
            ..Default::default()
        },
        LimitedResource {
            resource: "persistentvolumeclaims".into(),
            match_contains: vec!["gold.storageclass".into()],
            ..Default::default()
        },
    ]);
    let mut high = pod("1");
    high["spec"]["priorityClassName"] = "high".into();
    let run = |what: &str, mut o: Value| Ask::new(what).run(&p, &Store::default(), &mut o, None);
    assert_eq!(run("create pods", pod("1")), Ok(()));
    assert_eq!(
        run("create pods", high),
        Err("insufficient quota to match these scopes: [{PriorityClass In [high]}]".into())
    );
    let claim = json!({"metadata": {"name": "c"}, "spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1"}}}});
    assert_eq!(
        run("create persistentvolumeclaims", claim),
        Err(r#"persistentvolumeclaims "c" is forbidden: insufficient quota to consume: gold.storageclass.storage.k8s.io/persistentvolumeclaims,gold.storageclass.storage.k8s.io/requests.storage"#.into())
    );
}

#[test]
fn counts_a_namespace() {
    let q = quota(
        "q",
        json!({"pods": "9", "cpu": "9", "count/pods": "9", "count/configmaps": "9", "nonsense": "1"}),
        json!({"nonsense": "3", "gone": "1"}),
        json!({}),
    );
    let mut done = pod("1");
    done["metadata"] = json!({"namespace": "ns", "name": "done"});
    done["status"] = json!({"phase": "Succeeded"});
    let mut live = pod("250m");
    live["metadata"]["namespace"] = "ns".into();
    let s = Store::default()
        .with("/pods", done)
        .with("/pods", live)
        .with("/pods", json!({"metadata": {"namespace": "other", "name": "x"}}));
    let tracked: Vec<String> = tracked(&q, &s).iter().map(ToString::to_string).collect();
    assert_eq!(tracked, ["configmaps", "pods"]);
    assert_eq!(
        current(&q, NOW, &s)["used"],
        json!({"pods": "1", "cpu": "250m", "count/pods": "2", "count/configmaps": "0", "nonsense": "3"})
    );
}

#[test]
fn counts_devices() {
    let s = Store::default().with(
        "resource.k8s.io/deviceclasses",
        json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}}),
    );
    let claim = json!({"metadata": {"namespace": "ns", "name": "c"}, "spec": {"devices": {"requests": [
        {"exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
        {"firstAvailable": [{"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}, {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 3}]}]}}});
    let u = usage("resource.k8s.io", "resourceclaims", &claim, NOW, &s);
    assert_eq!(
        pretty(&u),
        "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=5,requests.deviceclass.resource.kubernetes.io/gpu=5,requests.example.com/gpu=5"
    );
}
