//! Levels and versions against pods, and the plugin against namespaces.

use super::*;
use crate::testing::{Ask, Store};
use serde_json::json;

fn lv(s: &str) -> LevelVersion {
    let (l, v) = s.split_once(':').unwrap();
    LevelVersion { level: Level::parse(l).unwrap(), version: Version::parse(v).unwrap() }
}

/// A pod that violates nothing.
fn good() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}})
}

/// The violations after changing the good pod.
fn check(level: &str, path: &str, v: Value) -> String {
    let mut pod = good();
    let at = path.replace("c.", "containers.");
    match at.strip_prefix("containers.") {
        Some(rest) => pod["spec"]["containers"][0].set_at(rest, v),
        None if at.starts_with("metadata") => pod.set_at(&at, v),
        None => pod["spec"].set_at(&at, v),
    }
    policy::details(&evaluate(lv(level), &pod, &pod["spec"]))
}

#[test]
fn the_good_pod_passes() {
    for l in
        ["baseline:latest", "restricted:latest", "restricted:v1.37", "restricted:v1.0", "restricted:v1.99"]
    {
        assert_eq!(check(l, "nodeName", json!("n")), "", "{l}");
    }
}

#[test]
fn baseline() {
    let b = "baseline:latest";
    for (path, v, want) in [
        (
            "c.securityContext.privileged",
            json!(true),
            r#"privileged (container "a" must not set securityContext.privileged=true)"#,
        ),
        ("hostNetwork", json!(true), "host namespaces (hostNetwork=true)"),
        (
            "volumes",
            json!([{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}]),
            r#"hostPath volumes (volumes "v", "w")"#,
        ),
        (
            "c.ports",
            json!([{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]),
            r#"hostPort (container "a" uses hostPorts 443, 80)"#,
        ),
        (
            "c.securityContext.capabilities.add",
            json!(["CHOWN", "NET_RAW"]),
            r#"non-default capabilities (container "a" must not include "NET_RAW" in securityContext.capabilities.add)"#,
        ),
        (
            "c.livenessProbe",
            json!({"httpGet": {"host": "x"}}),
            r#"probe or lifecycle host (container "a" uses probe or lifecycle host "x")"#,
        ),
        (
            "c.securityContext.procMount",
            json!("Unmasked"),
            r#"procMount (container "a" must not set securityContext.procMount to "Unmasked")"#,
        ),
        (
            "securityContext.seLinuxOptions",
            json!({"type": "spc_t", "user": "u"}),
            r#"seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)"#,
        ),
        (
            "securityContext.seccompProfile.type",
            json!("Unconfined"),
            r#"seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")"#,
        ),
        (
            "securityContext.sysctls",
            json!([{"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.x"}]),
            "forbidden sysctls (kernel.x)",
        ),
        (
            "securityContext.windowsOptions.hostProcess",
            json!(true),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            "c.securityContext.appArmorProfile.type",
            json!("Unconfined"),
            r#"forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")"#,
        ),
        (
            "metadata.annotations",
            json!({"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}),
            r#"forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/a="unconfined"")"#,
        ),
        ("c.securityContext.runAsUser", json!(0), ""),
    ] {
        assert_eq!(check(b, path, v.clone()), want, "{path}={v}");
        assert_eq!(check("privileged:latest", path, v), "");
    }
}

#[test]
fn versions() {
    let add = |l: &str, path: &str, v: Value| !check(l, path, v).is_empty();
    let rmem = json!([{"name": "net.ipv4.tcp_rmem"}]);
    assert!(add("baseline:v1.31", "securityContext.sysctls", rmem.clone()));
    assert!(!add("baseline:v1.32", "securityContext.sysctls", rmem));
    let probe = json!({"tcpSocket": {"host": "x"}});
    assert!(!add("baseline:v1.33", "c.startupProbe", probe.clone()));
    assert!(add("baseline:v1.34", "c.startupProbe", probe));
    let engine = json!({"type": "container_engine_t"});
    assert!(add("baseline:v1.30", "c.securityContext.seLinuxOptions", engine.clone()));
    assert!(!add("baseline:v1.31", "c.securityContext.seLinuxOptions", engine));
    let old = json!({"seccomp.security.alpha.kubernetes.io/pod": "unconfined"});
    assert_eq!(
        check("baseline:v1.18", "metadata.annotations", old.clone()),
        r#"seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")"#
    );
    assert!(!add("baseline:v1.19", "metadata.annotations", old));
    assert!(!add("restricted:v1.22", "c.securityContext.runAsUser", json!(0)));
    assert!(add("restricted:v1.23", "c.securityContext.runAsUser", json!(0)));
    // Unmasked /proc in a user namespace: baseline has allowed it since 1.35, restricted never.
    let mut pod = good();
    pod["spec"]["hostUsers"] = false.into();
    pod["spec"]["containers"][0]["securityContext"]["procMount"] = "Unmasked".into();
    let n = |l: &str| evaluate(lv(l), &pod, &pod["spec"]).len();
    assert_eq!(
        [n("baseline:v1.34"), n("baseline:v1.35"), n("restricted:v1.34"), n("restricted:v1.35")],
        [1, 0, 1, 1]
    );
}

#[test]
fn restricted() {
    let r = "restricted:latest";
    for (path, v, want) in [
        (
            "c.securityContext",
            json!({}),
            r#"allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])"#,
        ),
        (
            "c.securityContext.capabilities",
            json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]}),
            r#"unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)"#,
        ),
        (
            "volumes",
            json!([{"name": "v", "hostPath": {}}, {"name": "n", "nfs": {}}, {"name": "ok", "emptyDir": {}}]),
            r#"restricted volume types (volumes "v", "n" use restricted volume types "hostPath", "nfs")"#,
        ),
        (
            "securityContext.runAsNonRoot",
            json!(false),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            "securityContext",
            json!({"seccompProfile": {"type": "Localhost"}}),
            r#"runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)"#,
        ),
        (
            "securityContext",
            json!({"runAsNonRoot": true}),
            r#"seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#,
        ),
        ("c.securityContext.runAsUser", json!(0), r#"runAsUser=0 (container "a" must not set runAsUser=0)"#),
        ("os", json!({"name": "windows"}), ""),
    ] {
        assert_eq!(check(r, path, v.clone()), want, "{path}={v}");
    }
}

fn store(labels: Value) -> Store {
    Store::default().with("/namespaces", json!({"metadata": {"name": "ns", "labels": labels}}))
}
fn plugin() -> PodSecurity {
    PodSecurity::new(Config {
        exempt_usernames: vec!["root".into()],
        exempt_runtime_classes: vec!["kata".into()],
        ..Config::default()
    })
}
fn bad() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x", "securityContext": {"privileged": true}}]}})
}

#[test]
fn enforces_on_pods() {
    let s = store(json!({"pod-security.kubernetes.io/enforce": "baseline"}));
    let mut ask = Ask::new("create pods");
    assert_eq!(
        ask.run(&plugin(), &s, &mut bad(), None),
        Err(r#"pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)"#.into())
    );
    assert!(ask.effects.warnings.is_empty());
    assert_eq!(
        ask.effects.annotations,
        [("pod-security.kubernetes.io/enforce-policy".into(), "baseline:latest".into())]
    );
    let run = |what: &str, user: &str, mut new: Value, old: Option<Value>| {
        Ask::new(what).user(user, &[]).run(&plugin(), &s, &mut new, old.as_ref()).is_ok()
    };
    assert!(run("create pods", "root", bad(), None));
    let mut kata = bad();
    kata["spec"]["runtimeClassName"] = "kata".into();
    assert!(run("create pods", "u", kata, None));
    assert!(run("update pods", "u", bad(), Some(bad())));
    let mut other = bad();
    other["spec"]["containers"][0]["image"] = "y".into();
    assert!(!run("update pods", "u", other, Some(bad())));
    assert!(run("update pods/status", "u", bad(), None));
    assert!(!run("create pods", "u", bad(), None));
    assert!(Ask::new("create pods").run(&plugin(), &store(json!({})), &mut bad(), None).is_ok());
}

#[test]
fn warns_about_templates() {
    let s = store(
        json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/audit": "restricted"}),
    );
    let mut ask = Ask::new("create apps/deployments");
    let mut d = json!({"metadata": {"name": "d"}, "spec": {"template": bad()}});
    ask.run(&plugin(), &s, &mut d, None).unwrap();
    assert_eq!(
        ask.effects.warnings,
        [
            r#"would violate PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)"#
        ]
    );
    assert!(
        ask.effects.annotations[0]
            .1
            .starts_with("would violate PodSecurity \"restricted:latest\": privileged")
    );
}

#[test]
fn looks_at_namespace_labels() {
    let ns = |labels: Value| json!({"metadata": {"name": "ns", "labels": labels}});
    let e = Ask::new("create namespaces").run(&plugin(), &Store::default(), &mut ns(json!({"pod-security.kubernetes.io/enforce": "x", "pod-security.kubernetes.io/warn-version": "v1.01"})), None);
    assert_eq!(
        e,
        Err(r#"Namespace "ns" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "x": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "v1.01": must be "latest" or "v1.x"]"#.into())
    );
    let pod = |name: &str, owner: &str| {
        let mut p = bad();
        p["metadata"] =
            json!({"namespace": "ns", "name": name, "ownerReferences": [{"uid": owner, "controller": true}]});
        p
    };
    let s = Store::default().with("/pods", pod("b", "o")).with("/pods", pod("a", "o")).with("/pods", {
        let mut g = good();
        g["metadata"]["namespace"] = "ns".into();
        g
    });
    let mut ask = Ask::new("update namespaces");
    ask.run(
        &plugin(),
        &s,
        &mut ns(json!({"pod-security.kubernetes.io/enforce": "baseline"})),
        Some(&ns(json!({}))),
    )
    .unwrap();
    assert_eq!(
        ask.effects.warnings,
        [
            r#"existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest""#,
            "a (and 1 other pod): privileged"
        ]
    );
}
