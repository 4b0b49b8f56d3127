//! `describe`: an object's fields in words, and its events. One generic form for every kind.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, Target, text};
use crate::print;
use client::url::with_query;
use serde_json::Value;
use std::fmt::Write;

pub const FLAGS: &[Flag] = &[
    objects::FILENAME,
    objects::RECURSIVE,
    objects::KUSTOMIZE,
    objects::SELECTOR,
    objects::ALL_NAMESPACES,
    flag("show-events", None, Form::Bool, "true", "Display events related to the described object"),
];

pub async fn run(cx: Cx) -> Result<(), Error> {
    if cx.p.args.is_empty() && !cx.p.given("filename") {
        return Err(Error::plain(
            "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.",
        ));
    }
    let targets = objects::targets(&cx, &cx.p.args, true).await?;
    let (found, errors) = objects::fetch(&cx, &targets).await;
    for (i, (t, v)) in found.iter().enumerate() {
        if i > 0 {
            print::out("\n\n");
        }
        let mut s = object(v);
        let plain = matches!(t.resource.name.as_str(), "secrets") && t.resource.group.is_empty();
        if cx.p.on("show-events") && !plain {
            s.push_str(&events(&cx, t, v).await);
        }
        print::out(&s);
    }
    if found.is_empty() && errors.is_empty() {
        eprintln!("No resources found in {} namespace.", cx.namespace()?);
    }
    Error::many(errors)
}

/// `someField` as `Some Field`.
fn title(k: &str) -> String {
    let mut out = String::new();
    let chars: Vec<char> = k.chars().collect();
    for (i, c) in chars.iter().enumerate() {
        let start = c.is_uppercase()
            && i > 0
            && (chars[i - 1].is_lowercase() || chars.get(i + 1).is_some_and(|n| n.is_lowercase()));
        if start {
            out.push(' ');
        }
        if i == 0 { out.extend(c.to_uppercase()) } else { out.push(*c) }
    }
    out
}

fn map(label: &str, m: &[(String, String)], sep: &str) -> String {
    if m.is_empty() {
        return format!("{label}\t<none>\n");
    }
    let mut s = String::new();
    for (i, (k, v)) in m.iter().enumerate() {
        let _ = writeln!(s, "{}\t{k}{sep}{v}", if i == 0 { label } else { "" });
    }
    s
}

fn object(v: &Value) -> String {
    let mut s =
        format!("Name:\t{}\nNamespace:\t{}\n", text(v, "/metadata/name"), text(v, "/metadata/namespace"));
    s.push_str(&map("Labels:", &objects::labels(v, "/metadata/labels"), "="));
    let mut notes = objects::labels(v, "/metadata/annotations");
    notes.retain(|(k, _)| k != super::create::LAST_APPLIED);
    s.push_str(&map("Annotations:", &notes, ": "));
    let kind = text(v, "/kind");
    if (kind == "ConfigMap" || kind == "Secret") && text(v, "/apiVersion") == "v1" {
        let rows: Vec<Vec<String>> = s.lines().map(|l| l.split('\t').map(str::to_owned).collect()).collect();
        return format!("{}{}", aligned(&rows), data(kind, v));
    }
    let _ = writeln!(s, "API Version:\t{}\nKind:\t{kind}", text(v, "/apiVersion"));
    let mut rest = v.clone();
    if let Some(o) = rest.as_object_mut() {
        o.remove("apiVersion");
        o.remove("kind");
        if let Some(m) = o.get_mut("metadata").and_then(Value::as_object_mut) {
            for k in ["managedFields", "name", "namespace", "labels", "annotations"] {
                m.remove(k);
            }
        }
    }
    fields(&rest, 0, &mut s);
    let rows: Vec<Vec<String>> = s.lines().map(|l| l.split('\t').map(str::to_owned).collect()).collect();
    aligned(&rows)
}

/// A pod template, in the generic form.
pub fn template(v: &Value) -> String {
    let mut s = String::new();
    fields(v, 1, &mut s);
    let rows: Vec<Vec<String>> = s.lines().map(|l| l.split('\t').map(str::to_owned).collect()).collect();
    aligned(&rows)
}

/// The keys of a ConfigMap with their values, those of a Secret only with their lengths.
fn data(kind: &str, v: &Value) -> String {
    let size = |b64: &str| client::config::kubeconfig::base64_data(b64).map_or(0, |b| b.len());
    let mut s = String::new();
    if kind == "Secret" {
        let _ = writeln!(s, "\nType:  {}\n\nData\n====", text(v, "/type"));
        let mut rows = Vec::new();
        for (k, d) in objects::labels(v, "/data") {
            rows.push(vec![format!("{k}:"), format!("{} bytes", size(&d))]);
        }
        s.push_str(&print::tabs(&rows, 0, 2));
        return s;
    }
    s.push_str("\nData\n====\n");
    for (k, d) in objects::labels(v, "/data") {
        let _ = writeln!(s, "{k}:\n----\n{d}\n");
    }
    s.push_str("\nBinaryData\n====\n");
    for (k, d) in objects::labels(v, "/binaryData") {
        let _ = writeln!(s, "{k}: {} bytes", size(&d));
    }
    s.push('\n');
    s
}

/// Columns of neighbouring lines, as a tabwriter aligns them.
fn aligned(rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    let mut i = 0;
    while i < rows.len() {
        let n = rows[i..].iter().take_while(|r| (r.len() > 1) == (rows[i].len() > 1)).count();
        out.push_str(&print::tabs(&rows[i..i + n], 0, 2));
        i += n;
    }
    out
}

fn fields(v: &Value, level: usize, s: &mut String) {
    let pad = "  ".repeat(level);
    for (k, v) in v.as_object().into_iter().flatten() {
        match v {
            Value::Object(_) => {
                let _ = writeln!(s, "{pad}{}:", title(k));
                fields(v, level + 1, s);
            }
            Value::Array(a) if a.iter().any(Value::is_object) => {
                let _ = writeln!(s, "{pad}{}:", title(k));
                for i in a {
                    fields(i, level + 1, s);
                }
            }
            Value::Array(a) => {
                let _ = writeln!(s, "{pad}{}:", title(k));
                for i in a {
                    let _ = writeln!(s, "{pad}  {}", print::go(i));
                }
            }
            v => {
                let _ = writeln!(s, "{pad}{}:\t{}", title(k), print::go(v).replace('\n', " "));
            }
        }
    }
}

async fn events(cx: &Cx, t: &Target, v: &Value) -> String {
    let name = text(v, "/metadata/name");
    let ns = if t.namespace.is_empty() { "default" } else { &t.namespace };
    let sel = format!("involvedObject.name={name},involvedObject.uid={}", text(v, "/metadata/uid"));
    let p = with_query(client::url::collection("", "v1", "events", Some(ns)), &[("fieldSelector", &sel)]);
    let all = match cx.get(&p).await {
        Ok(mut v) => match v["items"].take() {
            Value::Array(a) => a,
            _ => Vec::new(),
        },
        Err(_) => return String::new(),
    };
    if all.is_empty() {
        return "Events:  <none>\n".into();
    }
    let now = cx.rt.clock.unix_seconds();
    let ago =
        |at: &str| meta::time::Timestamp::parse(at).map(|t| meta::time::human_duration(now - t.seconds));
    let mut rows = vec![
        ["  Type", "Reason", "Age", "From", "Message"].map(str::to_owned).to_vec(),
        ["  ----", "------", "----", "----", "-------"].map(str::to_owned).to_vec(),
    ];
    for e in &all {
        let pick = |a: &str, b: &str| {
            if text(e, a).is_empty() { text(e, b).to_owned() } else { text(e, a).to_owned() }
        };
        let last = ago(&pick("/lastTimestamp", "/eventTime")).unwrap_or_else(|| "<unknown>".into());
        let n = e["count"].as_i64().unwrap_or(1);
        let age = if n > 1 {
            let first = ago(text(e, "/firstTimestamp")).unwrap_or_else(|| "<unknown>".into());
            format!("{last} (x{n} over {first})")
        } else {
            last
        };
        rows.push(vec![
            format!("  {}", text(e, "/type")),
            text(e, "/reason").to_owned(),
            age,
            pick("/source/component", "/reportingComponent"),
            text(e, "/message").trim().to_owned(),
        ]);
    }
    format!("Events:\n{}", print::tabs(&rows, 0, 2))
}
