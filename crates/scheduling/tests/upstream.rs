//! Random clusters and pods, and what upstream's plugins say about every node (`oracle/`).

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::World;
use scheduling::cycle::explain;
use scheduling::status::Code;
use scheduling::{Config, PodInfo};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const UPSTREAM: &str = include_str!("data/upstream.jsonl");

fn run(lines: &str) -> usize {
    let mut failed = Vec::new();
    let mut n = 0;
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let mut w = World::new("");
        for o in case["objects"].as_array().unwrap() {
            w.object(o.clone());
        }
        let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(case["pod"].clone()).unwrap();
        let pod = PodInfo::of(&pod);
        let profile = &Config::default().build().unwrap()[0];
        let e = explain(profile, &w.engine.cluster, &pod);
        let want = &case["result"];
        let mut got = json!({});
        if let Some(r) = &e.refused {
            got["prefilter"] = json!(r);
        } else {
            let nodes: BTreeMap<&String, Vec<String>> = e
                .nodes
                .iter()
                .map(|(n, (code, r))| {
                    let mut r = r.clone();
                    r.sort();
                    if r != ["not named"] {
                        r.push(match code {
                            Code::Unschedulable => "Unschedulable".into(),
                            Code::Unresolvable => "UnschedulableAndUnresolvable".into(),
                            Code::Error => "Error".into(),
                        });
                    }
                    (n, r)
                })
                .collect();
            got["filter"] = json!(nodes);
            for (node, by) in &e.scores {
                let mut m: BTreeMap<&str, i64> = by.clone();
                m.insert("total", by.values().sum());
                m.retain(|_, v| *v != 0);
                got["scores"][node] = json!(m);
            }
        }
        let mut want = want.clone();
        if let Some(s) = want.get_mut("scores").and_then(Value::as_object_mut) {
            for by in s.values_mut() {
                by.as_object_mut().unwrap().retain(|_, v| *v != 0);
            }
        }
        n += 1;
        if got != want {
            failed.push(format!("got  {got}\nwant {want}\npod {}\nin {}", case["pod"], case["objects"]));
        }
    }
    assert!(failed.is_empty(), "{} of {n}\n{}", failed.len(), failed[..failed.len().min(2)].join("\n\n"));
    n
}

#[test]
fn as_upstream() {
    assert!(run(UPSTREAM) >= 15);
}

/// More than the repository keeps: `CASES=file cargo test -p scheduling -- --ignored`.
#[test]
#[ignore = "needs a file"]
fn more() {
    let file = std::env::var("CASES").unwrap();
    println!("{} cases", run(&std::fs::read_to_string(file).unwrap()));
}
