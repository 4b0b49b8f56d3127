//! Expressions whose outcome upstream's own libraries told (see `oracle/`).

use crate::value::{Key, Value};
use crate::{Env, Limits, Type, cost};
use serde_json::{Value as Json, json};

fn env() -> Env {
    Env::new()
        .var("i", Type::Int)
        .var("s", Type::String)
        .var("b", Type::Bool)
        .var("l", Type::list(Type::Int))
        .var("ls", Type::list(Type::String))
        .var("m", Type::map(Type::String, Type::String))
        .var("d", Type::Dyn)
}

fn variables() -> Vec<(&'static str, Value)> {
    let v = json!({
        "i": 7, "s": "hello", "b": true, "l": [3, 1, 2], "ls": ["a", "b", "c"], "m": {"k": "v", "x": "y"},
        "d": {"a": {"b": 1}, "l": [1, "two", 3.0], "s": "text", "n": null, "t": true}
    });
    ["i", "s", "b", "l", "ls", "m", "d"].into_iter().map(|n| (n, crate::json::dynamic(&v[n]))).collect()
}

/// The form in which the oracle prints a value.
fn show(v: &Value) -> String {
    let list = |all: Vec<String>| all.join(", ");
    match v {
        Value::Uint(u) => format!("{u}u"),
        Value::Double(d) => format!("d{}", v_g(*d)),
        Value::String(s) => json!(s.as_ref()).to_string(),
        Value::Bytes(b) => format!("b{}", b.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        Value::List(l) => format!("[{}]", list(l.items.iter().map(show).collect())),
        Value::Map(m) => {
            let key = |k: &Key| show(&k.value());
            let mut all: Vec<String> =
                m.entries.iter().map(|(k, v)| format!("{}: {}", key(k), show(v))).collect();
            all.sort();
            format!("{{{}}}", list(all))
        }
        Value::Optional(None) => "none".to_owned(),
        Value::Optional(Some(v)) => format!("some({})", show(v)),
        Value::Opaque(o) => format!("<{}>", o.type_of().name()),
        v => v.show(),
    }
}

fn v_g(d: f64) -> String {
    crate::convert::double_text(d)
}

fn outcome(env: &Env, expr: &str) -> Json {
    let p = match env.compile(expr) {
        Err(e) => return json!({"expr": expr, "refused": e.display(), "cost": 0, "min": 0, "max": 0}),
        Ok(p) => p,
    };
    if let Some(b) = &p.broken {
        return json!({"expr": expr, "refused": format!("program: {b}"), "cost": 0, "min": 0, "max": 0});
    }
    let est = p.estimate(&cost::Unknown);
    let vars = variables();
    let (v, cost) = p.run(vars.as_slice(), &Limits::default());
    let mut out = json!({"expr": expr, "type": p.result_type().to_string(), "cost": cost, "min": est.min, "max": est.max});
    match v {
        Ok(v) => out["value"] = show(&v).into(),
        Err(e) => out["failed"] = e.message.into(),
    }
    out
}

#[test]
fn as_upstream() {
    let known: Vec<&str> =
        include_str!("testdata/differs.txt").lines().filter(|l| !l.starts_with('#')).collect();
    let env = env();
    let mut wrong = Vec::new();
    for line in include_str!("testdata/expected.jsonl").lines() {
        let mut want: Json = serde_json::from_str(line).unwrap();
        let expr = want["expr"].as_str().unwrap().to_owned();
        let got = outcome(&env, &expr);
        if got.get("failed").is_some() && want.get("failed").is_some() {
            // What an evaluation that fails has cost until then is nobody's concern.
            want["cost"] = got["cost"].clone();
        }
        if (got != want) != known.contains(&expr.as_str()) {
            wrong.push(format!("want {want}\n got {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n\n"));
}
