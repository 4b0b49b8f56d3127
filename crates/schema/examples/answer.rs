//! Answers questions on standard input, one a line: a command, a tab, the input as base64. `testdata/oracle/main.go`
//! answers the same ones with upstream's code; `testdata/oracle/compare.py` asks both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schema::{facts, json, proto, transcode, yaml};
use std::io::BufRead;

fn ty(kind: &str) -> schema::TypeId {
    let groups = [
        ("", "v1"),
        ("apps", "v1"),
        ("batch", "v1"),
        ("networking.k8s.io", "v1"),
        ("coordination.k8s.io", "v1"),
        ("rbac.authorization.k8s.io", "v1"),
        ("apiextensions.k8s.io", "v1"),
    ];
    groups.iter().find_map(|(g, v)| facts::type_of(g, v, kind)).expect("a kind")
}

fn answer(cmd: &str, input: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(input);
    let (cmd, kind) = cmd.split_once(' ').unwrap_or((cmd, ""));
    let fail = |e: schema::DecodeError| e.0;
    Ok(match cmd {
        "quantity" => meta::quantity::normalize(&text)?.into_owned(),
        "yaml2json" => json::to_string(&yaml::parse(input).map_err(fail)?),
        "json2yaml" => yaml::to_string(&json::decode_untyped(input).map_err(fail)?.value),
        "labels" => meta::selector::Selector::parse(&text)?.to_string(),
        "fields" => meta::selector::FieldSelector::parse(&text)?.to_string(),
        "decode" => {
            let ty = ty(kind);
            let d = json::decode(input, ty).map_err(fail)?;
            let mut out = Vec::new();
            json::encode(&d.value, ty, &mut out);
            let mut s = String::from_utf8(out).map_err(|e| e.to_string())?;
            for e in d.strict {
                s += &format!("\nS {e}");
            }
            s + "\nP " + &STANDARD.encode(proto::encode(&d.value, ty))
        }
        "proto" => {
            let raw = STANDARD.decode(input).map_err(|e| e.to_string())?;
            let v = proto::decode(&raw, ty(kind)).map_err(fail)?;
            let mut tree = Vec::new();
            json::encode(&v, ty(kind), &mut tree);
            let rv = v["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            let mut out = Vec::new();
            transcode::proto_to_json(&raw, ty(kind), None, rv, &mut out).map_err(fail)?;
            if out != tree {
                return Ok(format!(
                    "stream {}\ntree {}",
                    String::from_utf8_lossy(&out),
                    String::from_utf8_lossy(&tree)
                ));
            }
            String::from_utf8(out).map_err(|e| e.to_string())?
        }
        "untyped" => {
            let d = json::decode_untyped(input).map_err(fail)?;
            let mut s = json::to_string(&d.value);
            for e in d.strict {
                s += &format!("\nS {e}");
            }
            s
        }
        _ => return Err("?".into()),
    })
}

fn main() {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let (cmd, input) = line.split_once('\t').unwrap_or((&line, ""));
        let input = STANDARD.decode(input).unwrap_or_default();
        let out = answer(cmd, &input).unwrap_or_else(|e| format!("E {e}"));
        println!("{}", STANDARD.encode(out));
    }
}
