//! Sequences of writes and what upstream's field manager made of them, and cases of our own.

use super::*;
use crate::typed::tests::root;
use serde_json::json;

/// One line a sequence: what was sent, and after each step the object or the error as upstream v1.37 has them.
/// (Made by running upstream's managedfields package on random sequences, see `oracle/README.md`.)
const UPSTREAM: &str = include_str!("testdata/sequences.jsonl");

fn now() -> Timestamp {
    Timestamp::parse("2026-01-02T03:04:05Z").unwrap()
}

/// Entries without times (upstream's are of when it ran), but with whether there is one.
fn canonical(mut o: Value) -> Value {
    if let Some(Value::Array(a)) = o.get_mut("metadata").and_then(|m| m.get_mut(MANAGED)) {
        for e in a.iter_mut() {
            if let Some(t) = e.get_mut("time") {
                *t = json!("T");
            }
        }
        a.sort_by_key(|e| {
            let mut e = e.clone();
            e.as_object_mut().unwrap().remove("fieldsV1");
            e.to_string()
        });
    }
    o
}

fn outcome(r: Result<Value, ApplyError>) -> Result<Value, String> {
    r.map_err(|e| match e {
        ApplyError::Conflicts(c) => {
            let s = c.status();
            let mut causes: Vec<String> =
                s.details.unwrap().causes.iter().map(|c| format!("{} {}", c.message, c.field)).collect();
            causes.sort();
            format!("conflict: {}", causes.join("|"))
        }
        e => format!("error: {e}"),
    })
}

fn run_sequences(lines: &str) -> usize {
    let schema = root();
    let reset = Filter::exclude(&["status"]);
    let mut n = 0;
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let mut live: Option<Value> = None;
        let steps = case["steps"].as_array().unwrap();
        for (i, (s, want)) in steps.iter().zip(case["results"].as_array().unwrap()).enumerate() {
            let sub = s["sub"].as_str().unwrap();
            let req = Request {
                api_version: "example.com/v1",
                schema: Node::Custom(&schema),
                manager: s["manager"].as_str().unwrap(),
                subresource: sub,
                now: now(),
                filter: if sub.is_empty() { &reset } else { &Filter::All },
                versions: &OneVersion,
            };
            let mut object = s["object"].clone();
            let got = if s["op"] == "apply" {
                outcome(apply(&req, "Root", live.as_ref(), &object, s["force"] == true))
            } else {
                if let Some(l) = &live {
                    object["metadata"]["uid"] = json!("u");
                    if let Some(m) = managed_of(l) {
                        object["metadata"][MANAGED] = m.clone();
                    }
                }
                update(&req, live.as_ref(), &mut object);
                Ok(object)
            };
            let got = got.map(|mut o| {
                o["metadata"]["uid"] = json!("u");
                o
            });
            let want: Result<Value, String> = match want.get("error") {
                Some(e) => Err(match e.as_str().unwrap().strip_prefix("conflict: ") {
                    Some(c) => {
                        let mut c: Vec<&str> = c.split('|').collect();
                        c.sort_unstable();
                        format!("conflict: {}", c.join("|"))
                    }
                    None => e.as_str().unwrap().to_owned(),
                }),
                None => Ok(want["object"].clone()),
            };
            let text = |r: &Result<Value, String>| match r {
                Ok(o) => serde_json::to_string_pretty(&canonical(o.clone())).unwrap(),
                Err(e) => e.clone(),
            };
            let (g, w) = (text(&got), text(&want));
            if g != w {
                let (gl, wl): (Vec<_>, Vec<_>) = (g.lines().collect(), w.lines().collect());
                let at = gl.iter().zip(&wl).take_while(|(a, b)| a == b).count();
                let part = |l: &[&str]| l[at.saturating_sub(12)..(at + 6).min(l.len())].join("\n");
                let live = text(&live.clone().ok_or_else(|| "none".to_owned()));
                panic!(
                    "step {i}: {s}\n--- live\n{live}\n--- got, line {at}\n{}\n--- want\n{}",
                    part(&gl),
                    part(&wl)
                );
            }
            if let Ok(o) = got {
                live = Some(o);
            }
            n += 1;
        }
    }
    n
}

#[test]
fn sequences_as_upstream() {
    assert!(run_sequences(UPSTREAM) > 100);
}

/// More sequences than the repository keeps: `SEQUENCES=file cargo test -p patch -- --ignored`.
#[test]
#[ignore = "needs a file"]
fn more_sequences() {
    let file = std::env::var("SEQUENCES").unwrap();
    println!("{} steps", run_sequences(&std::fs::read_to_string(file).unwrap()));
}

fn request<'a>(
    schema: &'a crate::typed::tests::Spot,
    manager: &'a str,
    versions: &'a dyn Versions,
) -> Request<'a> {
    Request {
        api_version: "example.com/v1",
        schema: Node::Custom(schema),
        manager,
        subresource: "",
        now: now(),
        filter: &Filter::All,
        versions,
    }
}

/// v2 calls `num` `str`.
struct TwoVersions(crate::typed::tests::Spot);
impl Versions for TwoVersions {
    fn schema(&self, v: &str) -> Option<Node<'_>> {
        (v == "example.com/v2").then_some(Node::Custom(&self.0))
    }
    fn convert(&self, o: &Value, v: &str) -> Option<Value> {
        let (from, to) = match v {
            "example.com/v1" => ("str", "num"),
            "example.com/v2" => ("num", "str"),
            _ => return None,
        };
        let mut o = o.clone();
        o["apiVersion"] = json!(v);
        if let Some(x) = o["spec"].as_object_mut().and_then(|s| s.remove(from)) {
            o["spec"][to] = x;
        }
        Some(o)
    }
}

#[test]
fn entries_of_other_versions() {
    let schema = root();
    let versions = TwoVersions(root());
    let entry = |v: &str, fields: Value| json!({"manager": "other", "operation": "Update", "apiVersion": v, "fieldsType": "FieldsV1", "fieldsV1": fields});
    let live = json!({"apiVersion": "example.com/v1", "kind": "Root", "metadata": {"uid": "u", "managedFields": [
        entry("example.com/v2", json!({"f:spec": {"f:str": {}, "f:nested": {}}})),
        entry("example.com/v0", json!({"f:spec": {"f:old": {}}})),
    ]}, "spec": {"num": 1}});
    let mut new = live.clone();
    new["spec"]["num"] = json!(2);
    update(&request(&schema, "me", &versions), Some(&live), &mut new);
    assert_eq!(
        new["metadata"]["managedFields"],
        json!([
            entry("example.com/v2", json!({"f:spec": {"f:nested": {}}})),
            {"manager": "me", "operation": "Update", "apiVersion": "example.com/v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:spec": {"f:num": {}}}, "time": "2026-01-02T03:04:05Z"},
        ])
    );
    // And an applier that moves to another version.
    let mut live = live;
    live["metadata"]["managedFields"][0]["operation"] = json!("Apply");
    let config = json!({"apiVersion": "example.com/v1", "kind": "Root", "metadata": {"name": "n"}});
    let got = apply(&request(&schema, "other", &versions), "Root", Some(&live), &config, false).unwrap();
    assert_eq!(got["spec"], json!(null));
}

#[test]
fn sent_entries() {
    let schema = root();
    let mine = json!([{"manager": "a", "operation": "Update", "apiVersion": "example.com/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:num": {}}}, "time": "2020-01-01T00:00:00Z"}]);
    let live = json!({"apiVersion": "example.com/v1", "kind": "Root",
        "metadata": {"uid": "u", "managedFields": mine}, "spec": {"num": 1}});
    let after = |sent: Value| {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = sent;
        update(&request(&schema, "b", &OneVersion), Some(&live), &mut new);
        new["metadata"].get("managedFields").cloned()
    };
    assert_eq!(after(json!([])), None);
    assert_eq!(after(json!([{}])), None);
    assert_eq!(after(json!(null)), Some(mine.clone()));
    assert_eq!(after(json!([{"manager": "x"}])), Some(mine.clone()));
    let mut other = mine.clone();
    other[0]["fieldsV1"] = json!({"f:spec": {"f:str": {}}});
    assert_eq!(after(other.clone()), Some(other));
    assert!(validate(&json!([{"manager": "x"}])).is_err());
    assert!(validate(&mine).is_ok());
}

#[test]
fn only_times_changed() {
    let o = |t: &str, n: i64| json!({"metadata": {"resourceVersion": "1", "managedFields": [{"manager": "a", "time": t}]}, "spec": {"num": n}});
    let mut new = o("2", 1);
    keep_timestamps(&o("1", 1), &mut new);
    assert_eq!(new, o("1", 1));
    let mut new = o("2", 2);
    keep_timestamps(&o("1", 1), &mut new);
    assert_eq!(new, o("2", 2));
}

#[test]
fn scale_takes_the_replicas() {
    let at: scale::Replicas<'_> = &[("apps/v1", Some("spec.replicas"))];
    let e = |m: &str, v: &str, sub: &str, f: Value| {
        let mut e = json!({"manager": m, "operation": "Update", "apiVersion": v, "fieldsType": "FieldsV1", "fieldsV1": f});
        if !sub.is_empty() {
            e["subresource"] = json!(sub);
        }
        e
    };
    let both = json!({"f:spec": {"f:replicas": {}, "f:selector": {}}});
    let replicas = json!({"f:spec": {"f:replicas": {}}});
    let parent = json!([e("test", "apps/v1", "", both)]);
    let scale = scale::to_scale(Some(&parent), at).unwrap();
    assert_eq!(scale, Some(json!([e("test", "autoscaling/v1", "", replicas.clone())])));
    // Somebody else scaled.
    let scale = json!([e("hpa", "autoscaling/v1", "scale", replicas.clone())]);
    let after = scale::to_parent(Some(&parent), Some(&scale), "apps/v1", at).unwrap().unwrap();
    assert_eq!(
        after,
        json!([
            e("hpa", "apps/v1", "scale", replicas),
            e("test", "apps/v1", "", json!({"f:spec": {"f:selector": {}}})),
        ])
    );
}

#[test]
fn conflicts_are_told_as_upstream_tells_them() {
    let schema = root();
    let mut live = json!({"apiVersion": "example.com/v1", "kind": "Root", "metadata": {"name": "n"},
        "spec": {"num": 1, "klist": [{"name": "a", "val": 1}]}});
    update(&request(&schema, "one", &OneVersion), None, &mut live);
    live["metadata"]["uid"] = json!("u");
    let try_it = |spec: Value| {
        let config =
            json!({"apiVersion": "example.com/v1", "kind": "Root", "metadata": {"name": "n"}, "spec": spec});
        apply(&request(&schema, "two", &OneVersion), "Root", Some(&live), &config, false)
            .unwrap_err()
            .status()
    };
    let s = try_it(json!({"num": 2}));
    assert_eq!((s.code, s.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        s.message,
        "Apply failed with 1 conflict: conflict with \"one\" using example.com/v1: .spec.num"
    );
    let s = try_it(json!({"num": 2, "klist": [{"name": "a", "val": 2}]}));
    assert_eq!(
        s.message,
        "Apply failed with 2 conflicts: conflicts with \"one\" using example.com/v1:\n- .spec.num\n- .spec.klist[name=\"a\"].val"
    );
    assert_eq!(s.details.unwrap().causes.len(), 2);
    let wrong = |config: Value| {
        let s = apply(&request(&schema, "two", &OneVersion), "Root", Some(&live), &config, false)
            .unwrap_err()
            .status();
        (s.code, s.message)
    };
    assert_eq!(
        wrong(json!({"apiVersion": "v1", "kind": "Pod"})),
        (400, "invalid object type: /v1, Kind=Pod".into())
    );
    assert_eq!(
        wrong(json!({"apiVersion": "example.com/v1", "kind": "Root", "metadata": {"managedFields": []}})),
        (400, "metadata.managedFields must be nil".into())
    );
}

/// Built-in kinds: what upstream says an update owns. `BUILTIN=dir cargo test -p patch -- --ignored`, with `in.jsonl` of
/// `{"old": object or null, "new": object}` and `out.jsonl` of upstream's fieldsV1 (`oracle/builtin`).
#[test]
#[ignore = "needs files"]
fn builtin_kinds() {
    let dir = std::env::var("BUILTIN").unwrap();
    let read = |f: &str| std::fs::read_to_string(format!("{dir}/{f}")).unwrap();
    let (mut n, mut bad) = (0, Vec::new());
    for (i, o) in read("in.jsonl").lines().zip(read("out.jsonl").lines()) {
        if o == "null" {
            continue;
        }
        let (i, want): (Value, Value) = (serde_json::from_str(i).unwrap(), serde_json::from_str(o).unwrap());
        let (v, kind) = (i["new"]["apiVersion"].as_str().unwrap(), i["new"]["kind"].as_str().unwrap());
        let (group, version) = v.split_once('/').unwrap_or(("", v));
        let Some(ty) = schema::facts::type_of(group, version, kind) else { continue };
        let canonical = |v: &Value| schema::json::canonicalize(v.clone(), ty).unwrap().value;
        let old = (!i["old"].is_null()).then(|| {
            let mut o = canonical(&i["old"]);
            o["metadata"].as_object_mut().unwrap().remove("uid");
            o
        });
        let mut new = canonical(&i["new"]);
        let req = Request {
            api_version: v,
            schema: Node::Type(ty),
            manager: "m",
            subresource: "",
            now: now(),
            filter: &Filter::All,
            versions: &OneVersion,
        };
        update(&req, old.as_ref(), &mut new);
        let got = FieldSet::from_value(&new["metadata"][MANAGED][0]["fieldsV1"]).unwrap();
        if want.is_string() {
            bad.push(format!("{v} {kind}: upstream: {want}"));
            continue;
        }
        let want = FieldSet::from_value(&want).unwrap();
        n += 1;
        if got != want {
            let more = got.clone().difference(&want).paths();
            let less = want.difference(&got).paths();
            bad.push(format!(
                "{v} {kind} old={}: more {:?} less {:?}",
                old.is_some(),
                &more[..more.len().min(6)],
                &less[..less.len().min(6)]
            ));
        }
    }
    assert!(bad.is_empty(), "{} of {n}:\n{}", bad.len(), bad.join("\n"));
}
