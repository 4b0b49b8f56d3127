//! Answers questions about objects, JSON lines in, JSON lines out, so that an oracle made of upstream's code can be
//! asked the same: `{"op": "default" | "row" | "create" | "update", "obj": …, "old": …, "sub": "status"}`.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a tool for comparing with upstream, run by hand"
)]

use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{Path, UserInfo, Value};
use schema::facts::Resource;
use serde_json::json;
use std::io::{BufRead, Write};

struct Target {
    r: &'static Resource,
    ty: schema::TypeId,
}

fn target(v: &Value) -> Result<Target, String> {
    let gv = meta::GroupVersion::parse(v.str_at("apiVersion")).ok_or("bad apiVersion")?;
    let kind = v.str_at("kind");
    let r = schema::facts::resources()
        .iter()
        .find(|r| r.group == gv.group && r.version == gv.version && r.kind == kind && !r.verbs.is_empty())
        .ok_or_else(|| format!("no kind {kind}"))?;
    Ok(Target { r, ty: r.type_id.ok_or("no type")? })
}

fn decode(v: &Value, t: &Target, now: Timestamp) -> Result<Value, String> {
    let bytes = serde_json::to_vec(v).map_err(|e| e.to_string())?;
    let mut v = schema::json::decode(&bytes, t.ty).map_err(|e| e.0)?.value;
    v["apiVersion"] = if t.r.group.is_empty() {
        t.r.version.into()
    } else {
        format!("{}/{}", t.r.group, t.r.version).into()
    };
    v["kind"] = t.r.kind.into();
    kinds::default_object(t.r.group, t.r.version, t.r.kind, &mut v, now);
    Ok(v)
}

fn copy(obj: &mut Value, from: &Value, path: &str) {
    match from.at(path) {
        Some(v) => obj.set_at(path, v.clone()),
        None => drop(obj.remove_at(path)),
    }
}

fn reset<'a>(r: &'a Resource, sub: &str) -> &'a [&'static str] {
    r.reset.iter().find(|(s, _)| *s == sub).map_or(&[], |(_, f)| f)
}

fn restore(obj: &mut Value, old: &Value, field: &str) {
    if field != "metadata" {
        return copy(obj, old, field);
    }
    let mut next = old.metadata().cloned().unwrap_or_default();
    for k in ["managedFields", "resourceVersion"] {
        match obj.metadata().and_then(|m| m.get(k)) {
            Some(v) => drop(next.insert(k.to_owned(), v.clone())),
            None => drop(next.remove(k)),
        }
    }
    *obj.metadata_mut() = next;
}

fn changed(resource: &str, obj: &Value, old: &Value) -> bool {
    let differ = |k: &str| obj.at(k) != old.at(k);
    match resource {
        "podtemplates" => differ("template"),
        "deployments" => differ("spec") || differ("metadata.annotations"),
        "endpointslices" => differ("endpoints") || differ("ports") || differ("metadata.labels"),
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => differ("webhooks"),
        "priorityclasses" => false,
        _ => differ("spec"),
    }
}

/// The oracle's clock is the machine's.
fn clock() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp { seconds: now.as_secs() as i64, nanos: now.subsec_nanos() }
}

/// `{"op": "cron", "spec": …, "after": seconds, "zone": …}`: the next five times.
fn cron(q: &Value) -> Result<Value, String> {
    let schedule = kinds::cron::Schedule::parse(q["spec"].as_str().unwrap_or(""))?;
    let zone = kinds::cron::Zone::named(q["zone"].as_str().unwrap_or("UTC"))?;
    let mut at = Timestamp { seconds: q["after"].as_i64().unwrap_or(0), nanos: 0 };
    let mut out = Vec::new();
    for _ in 0..5 {
        let Some(next) = schedule.next(at, &zone) else { break };
        out.push(next.seconds);
        at = next;
    }
    Ok(json!({"cells": out}))
}

fn answer(q: &Value) -> Result<Value, String> {
    if q["op"] == "cron" {
        return cron(q);
    }
    let now = Timestamp::parse("2023-11-14T22:13:20Z").ok_or("bad time")?;
    let t = target(&q["obj"])?;
    let mut obj = decode(&q["obj"], &t, now)?;
    let sub = q["sub"].as_str().unwrap_or("");
    let s = kinds::strategy(t.r.group, t.r.resource);
    let user = UserInfo {
        name: "alice".into(),
        uid: "u1".into(),
        groups: vec!["system:authenticated".into()],
        ..UserInfo::default()
    };
    let cx = kinds::Cx { now, user: &user, subresource: sub, seed: 1 };
    if t.r.namespaced && obj.namespace().is_empty() {
        obj.set_at("metadata.namespace", Value::from("default"));
    }
    if !t.r.namespaced {
        obj.remove_at("metadata.namespace");
    }
    let mut out = json!({});
    let mut errors = Vec::new();
    match q["op"].as_str().unwrap_or("") {
        "row" => {
            let now = clock();
            return Ok(json!({"cells": s.row(&obj, now)}));
        }
        "create" => {
            let m = obj.metadata_mut();
            for k in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
                m.remove(k);
            }
            m.insert("creationTimestamp".into(), "2023-11-14T22:13:20Z".into());
            m.insert("uid".into(), "11111111-2222-3333-4444-555555555555".into());
            if obj.name().is_empty() && !obj.str_at("metadata.generateName").is_empty() {
                let name = format!("{}abcde", obj.str_at("metadata.generateName"));
                obj.set_at("metadata.name", Value::from(name));
            }
            if reset(t.r, "").contains(&"status") && t.r.resource != "nodes" {
                obj.remove_at("status");
            }
            if t.r.generation && t.r.resource != "csidrivers" {
                obj.set_at("metadata.generation", Value::from(1));
            }
            s.prepare_create(&cx, &mut obj);
            errors.extend(meta::metav1::validate_object_meta(
                &obj,
                t.r.namespaced,
                &|n: &str| s.name_errors(n),
                &Path::new("metadata"),
            ));
            errors.extend(s.validate(&cx, &obj));
            if errors.is_empty() {
                out["warn"] = s.warnings(&cx, &obj, None).into();
            }
        }
        "update" => {
            let mut old = decode(&q["old"], &t, now)?;
            if t.r.namespaced && old.namespace().is_empty() {
                old.set_at("metadata.namespace", Value::from(obj.namespace()));
            }
            copy(&mut obj, &old, "metadata.generation");
            // Ownership of these is reset, not their value.
            for f in reset(t.r, sub).iter().filter(|f| **f != "status.conditions") {
                restore(&mut obj, &old, f);
            }
            s.prepare_update(&cx, &mut obj, &old);
            if sub != "status" && t.r.generation && changed(t.r.resource, &obj, &old) {
                obj.set_at("metadata.generation", Value::from(old.generation() + 1));
            }
            errors.extend(meta::metav1::validate_object_meta(
                &obj,
                t.r.namespaced,
                &meta::names::is_path_segment_name,
                &Path::new("metadata"),
            ));
            errors.extend(meta::metav1::validate_object_meta_update(&obj, &old));
            errors.extend(s.validate_update(&cx, &obj, &old));
            if errors.is_empty() {
                out["warn"] = s.warnings(&cx, &obj, Some(&old)).into();
            }
        }
        _ => {}
    }
    let errors: Vec<String> = errors.iter().map(|e| format!("{}: {}", e.field, e.body())).collect();
    if !errors.is_empty() {
        out["errs"] = errors.into();
    }
    let mut bytes = Vec::new();
    schema::json::encode(&obj, t.ty, &mut bytes);
    out["obj"] = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
    Ok(out)
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let a = match serde_json::from_str::<Value>(&line) {
            Ok(q) => answer(&q).unwrap_or_else(|e| json!({"fail": e})),
            Err(e) => json!({"fail": e.to_string()}),
        };
        writeln!(out, "{a}")?;
    }
    out.flush()
}
