//! What to do, as a table: spec, observation, probe results → plan.

use super::*;
use crate::pod::testing::{observed, pod};
use serde_json::json;

/// The plan in one line.
fn show(p: &Plan) -> String {
    let mut out: Vec<String> = vec![];
    if p.kill_pod {
        out.push("kill-pod".into());
    }
    if p.create_sandbox {
        out.push(format!("sandbox#{}", p.attempt));
    }
    out.extend(p.kill.iter().map(|k| format!("kill {} ({})", k.id, k.message)));
    out.extend(p.reset.iter().map(|r| format!("reset {}{}", r.id, if r.running { "!" } else { "" })));
    for (name, list) in [("ephemeral", &p.start_ephemeral), ("init", &p.start_init), ("start", &p.start)] {
        if !list.is_empty() {
            out.push(format!("{name}{list:?}"));
        }
    }
    out.join("; ")
}

fn probes(text: &str) -> ProbeResults {
    let mut r = ProbeResults::default();
    for w in text.split_whitespace() {
        let (kind, rest) = w.split_once(':').unwrap();
        let (id, v) = rest.split_once('=').unwrap();
        let map = match kind {
            "startup" => &mut r.startup,
            "liveness" => &mut r.liveness,
            _ => &mut r.readiness,
        };
        map.insert(id.into(), v == "ok");
    }
    r
}

fn check(spec: serde_json::Value, seen: &str, results: &str, want: &str) {
    let got = show(&plan(&pod(spec.clone()), &observed(seen), &probes(results), &[], false));
    assert_eq!(got, want, "spec {spec} seen {seen:?} probes {results:?}");
}

#[test]
fn main_containers() {
    let s = |policy: &str| json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]});
    for (policy, seen, want) in [
        ("Always", "-", "kill-pod; sandbox#0; start[0, 1]"),
        ("Always", "", "start[0, 1]"),
        ("Always", "a:running b:running", ""),
        ("Always", "a:exited(0) b:running", "start[0]"),
        ("OnFailure", "a:exited(0) b:running", ""),
        ("OnFailure", "a:exited(1) b:running", "start[0]"),
        ("Never", "a:exited(1) b:running", ""),
        ("Never", "a:exited(1) b:exited(0)", "kill-pod"),
        ("Never", "a:created b:running", "start[0]"),
        (
            "Always",
            "a:unknown b:running",
            "kill a-0 (Container is in \"unknown\" state, try killing it before restart); start[0]",
        ),
        ("OnFailure", "- a:exited(0) b:exited(0)", "kill-pod"),
        ("OnFailure", "- a:exited(0) b:exited(3)", "kill-pod; sandbox#0; start[1]"),
    ] {
        check(s(policy), seen, "", want);
    }
}

#[test]
fn sandbox_died() {
    let p = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}));
    let mut o = observed("a:exited(137)");
    o.sandboxes[0].ready = false;
    assert_eq!(
        show(&plan(&p, &o, &ProbeResults::default(), &[], false)),
        "kill-pod",
        "a pod that never restarts"
    );
    let p = pod(json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}));
    let got = show(&plan(&p, &o, &ProbeResults::default(), &[], false));
    assert_eq!(got, "kill-pod; sandbox#1; init[0]", "init containers run again");
    o.sandboxes[0].ready = true;
    o.sandboxes[0].ips.clear();
    assert_eq!(show(&plan(&p, &o, &ProbeResults::default(), &[], false)), "kill-pod; sandbox#1; init[0]");
}

#[test]
fn probes_kill() {
    let s = |policy: &str| json!({"restartPolicy": policy, "containers": [{"name": "a"}]});
    for (policy, results, want) in [
        ("Always", "liveness:a-0=ok", ""),
        (
            "Always",
            "liveness:a-0=bad",
            "kill a-0 (Container a failed liveness probe, will be restarted); start[0]",
        ),
        ("Never", "liveness:a-0=bad", "kill-pod; kill a-0 (Container a failed liveness probe)"),
        (
            "OnFailure",
            "startup:a-0=bad",
            "kill a-0 (Container a failed startup probe, will be restarted); start[0]",
        ),
        ("Always", "readiness:a-0=bad", ""),
    ] {
        check(s(policy), "a:running", results, want);
    }
}

#[test]
fn init_in_order() {
    let s = |policy: &str| json!({"restartPolicy": policy, "initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]});
    for (policy, seen, want) in [
        ("Always", "", "init[0]"),
        ("Always", "i:running", ""),
        ("Always", "i:exited(0)", "init[1]"),
        ("Always", "i:exited(1)", "init[0]"),
        ("Never", "i:exited(1)", "kill-pod"),
        ("Always", "j:running i:exited(0)", ""),
        ("Always", "j:exited(0) i:exited(0)", "start[0]"),
        ("Always", "j:exited(0)", "start[0]"),
        ("Always", "a:running", ""),
        ("Always", "a:exited(1) j:exited(0)", "start[0]"),
        ("Always", "i:created", "init[0]"),
    ] {
        check(s(policy), seen, "", want);
    }
}

#[test]
fn sidecars() {
    let s = json!({
        "restartPolicy": "Never",
        "initContainers": [
            {"name": "s", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}},
            {"name": "i"}, {"name": "t", "restartPolicy": "Always", "livenessProbe": {"tcpSocket": {"port": 1}}}],
        "containers": [{"name": "a"}],
    });
    for (seen, results, want) in [
        ("", "", "init[0]"),
        ("s:running", "", ""),
        ("s:running", "startup:s-0=ok", "init[1]"),
        ("s:running", "startup:s-0=bad", "kill s-0 (Init container s failed startup probe); init[0]"),
        ("i:exited(0) s:running", "startup:s-0=ok", "init[2]"),
        ("i:running s:exited(1)", "", "init[0]"),
        ("t:running i:exited(0) s:running", "startup:s-0=ok", "start[0]"),
        (
            "a:running t:running i:exited(0) s:running",
            "startup:s-0=ok liveness:t-0=bad",
            "kill t-0 (Init container t failed liveness probe); init[2]",
        ),
        ("a:running t:exited(0) i:exited(0) s:exited(0)", "", "init[0, 2]"),
        ("a:exited(0) t:exited(0) i:exited(0) s:running", "startup:s-0=ok", "kill-pod"),
        ("a:running", "", "init[0, 2]"),
    ] {
        check(s.clone(), seen, results, want);
    }
}

#[test]
fn ephemeral_start_once() {
    let s = json!({
        "initContainers": [{"name": "i"}], "containers": [{"name": "a"}], "ephemeralContainers": [{"name": "e"}]});
    check(s.clone(), "i:running", "", "ephemeral[0]");
    check(s, "e:exited(1) i:running", "", "");
}

#[test]
fn changed_image_restarts() {
    let p = pod(json!({"containers": [{"name": "a", "image": "new"}]}));
    let mut o = observed("a:running");
    o.instances[0].hash = 1;
    let got = show(&plan(&p, &o, &ProbeResults::default(), &[], false));
    assert_eq!(got, "kill a-0 (Container a definition changed, will be restarted); start[0]");
}

#[test]
fn restart_all_in_place() {
    let rule = json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]);
    let p = pod(json!({
        "initContainers": [{"name": "i"}],
        "containers": [{"name": "a", "restartPolicy": "Never", "restartPolicyRules": rule}, {"name": "b"}]}));
    let o = observed("a:exited(88) b:running i:exited(0)");
    assert!(restarts_all(&p, &o, None));
    assert!(!restarts_all(&p, &observed("a:exited(1) b:running"), None));
    let got = show(&plan(&p, &o, &ProbeResults::default(), &[], true));
    assert_eq!(got, "reset b-0!; reset i-0; reset a-0");
}

#[test]
fn deleted_pods_do_not_start() {
    let mut p = pod(json!({"containers": [{"name": "a"}]}));
    p.metadata.deletion_timestamp = Some(crate::pod::helpers::time(0));
    let got = plan(&p, &observed("a:exited(1)"), &ProbeResults::default(), &[], false);
    assert_eq!(show(&got), "kill-pod");
}

#[test]
fn resized_containers_restart() {
    let p = pod(json!({"restartPolicy": "Never", "containers": [{"name": "a"}, {"name": "b"}]}));
    let got = plan(&p, &observed("a:running b:running"), &ProbeResults::default(), &["a".to_owned()], false);
    assert_eq!(show(&got), "kill a-0 (Container a resize requires restart, will be restarted); start[0]");
}
