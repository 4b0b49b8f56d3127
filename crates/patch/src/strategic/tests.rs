//! Tests.

use crate::typed::tests::root;
use crate::*;
use schema::Node;
use serde_json::Value;

/// Patches of every kind and what upstream's libraries made of them, one a line.
const UPSTREAM: &str = include_str!("testdata/patches.jsonl");

fn run(lines: &str) -> usize {
    let mut schema = root();
    // As in upstream's Deployment.spec.strategy.
    for (name, f) in &mut schema.fields {
        if *name == "spec" {
            for (name, f) in &mut f.fields {
                if *name == "astruct" {
                    f.patch.retain_keys = true;
                }
            }
        }
        let _ = f;
    }
    let node = Node::Custom(&schema);
    let mut failed = Vec::new();
    let mut n = 0;
    // A limit of upstream's that we do not share.
    for line in lines.lines().filter(|l| !l.contains("data type is not struct, instead is: map")) {
        let c: Value = serde_json::from_str(line).unwrap();
        let (a, b, d) = (&c["a"], &c["b"], &c["c"]);
        let got: Result<Value, String> = match c["op"].as_str().unwrap() {
            "merge" => strategic_merge(a, b, node).map_err(|e| e.to_string()),
            "two" => create_strategic_patch(a, b, node).map_err(|e| e.to_string()),
            "three" => three_way_strategic(a, b, d, node, true).map_err(|e| e.to_string()),
            "three-no" => three_way_strategic(a, b, d, node, false).map_err(|e| e.to_string()),
            "json" => json_patch(a, b).map_err(|e| e.to_string()),
            "rfc7386" => merge_patch(a, b).map_err(|e| e.to_string()),
            "three-merge" => Ok(three_way_merge(a, b, d)),
            _ => unreachable!(),
        };
        let same = match (&got, c.get("ok"), c.get("error")) {
            (Ok(g), Some(w), _) => g == w,
            // Messages print Go values; that there is an error is what counts.
            (Err(g), None, Some(w)) => {
                let w = w.as_str().unwrap();
                c["op"] != "json" || g == w || w.contains("strconv") || w.contains("replace operation value")
            }
            _ => false,
        };
        if !same {
            failed.push(format!(
                "{}\n a {a}\n b {b}\n c {d}\n got  {}\n want {}",
                c["op"],
                got.map_or_else(|e| e, |v| v.to_string()),
                c.get("ok").or(c.get("error")).unwrap()
            ));
        }
        n += 1;
    }
    assert!(failed.is_empty(), "{} of {n}\n{}", failed.len(), failed[..failed.len().min(3)].join("\n"));
    n
}

#[test]
fn patches_as_upstream() {
    assert!(run(UPSTREAM) > 100);
}

/// `PATCHES=file cargo test -p patch -- --ignored`
#[test]
#[ignore = "needs a file"]
fn more_patches() {
    let file = std::env::var("PATCHES").unwrap();
    println!("{} patches", run(&std::fs::read_to_string(file).unwrap()));
}
