//! Short notations of pods and observations for tests.

use super::observe::{Instance, Observed, Sandbox, State};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// A pod from its spec (and status), named `p` in namespace `ns`, uid `u`.
pub fn pod(spec: Value) -> Pod {
    let v = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1}, "spec": spec});
    serde_json::from_value(v).unwrap()
}

/// `"web:running"`, `"web:exited(1)"`, `"web:created"`, `"web:unknown"`, newest first; ids are `name-N` counted from the
/// oldest. A ready sandbox `s0` with an address is there unless the list begins with `-`.
pub fn observed(text: &str) -> Observed {
    let mut o = Observed::default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let no_sandbox = words.first() == Some(&"-");
    if !no_sandbox {
        o.sandboxes.push(Sandbox {
            id: "s0".into(),
            ready: true,
            ips: vec!["10.0.0.5".into()],
            ..Default::default()
        });
        o.ips = vec!["10.0.0.5".into()];
    }
    let list: Vec<&str> = words.into_iter().filter(|w| *w != "-").collect();
    for (i, w) in list.iter().enumerate() {
        let (name, state) = w.split_once(':').unwrap();
        let age = i64::try_from(list.len() - i).unwrap() * 1_000_000_000;
        let n = list[i..].iter().filter(|x| x.split_once(':').unwrap().0 == name).count() - 1;
        let code =
            state.strip_prefix("exited(").and_then(|r| r.strip_suffix(')')).map(|c| c.parse().unwrap());
        o.instances.push(Instance {
            id: format!("{name}-{n}"),
            name: name.into(),
            sandbox: if no_sandbox { "old".into() } else { "s0".into() },
            state: match state {
                "running" => State::Running,
                "created" => State::Created,
                "unknown" => State::Unknown,
                _ => State::Exited,
            },
            created: age,
            started: age,
            finished: if code.is_some() { age } else { 0 },
            exit_code: code.unwrap_or(0),
            restart_count: i32::try_from(n).unwrap(),
            ..Default::default()
        });
    }
    o
}
