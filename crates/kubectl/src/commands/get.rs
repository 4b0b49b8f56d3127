//! `get`: tables as the server makes them, or objects in a format.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, Target, text};
use crate::print::{self, Format};
use bytes::Bytes;
use client::url::with_query;
use http::Method;
use serde_json::{Value, json};

super::commands! {
    "get" "[(-o|--output=)json|yaml|name|jsonpath|custom-columns|wide] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE/NAME ...)"
        "Display one or many resources\n\nPrints objects as a table that the server makes, or in the format of -o: yaml, json, name, wide, jsonpath, go-template,\ncustom-columns. Without a name all of the type are listed, of all namespaces with -A.\n\nUse \"kubectl api-resources\" for a complete list of supported resources."
        "# All pods of the namespace, of all namespaces, with more columns\nkubectl get pods\nkubectl get pods -A -o wide\n\n# One object; several types at once\nkubectl get deploy/web -o yaml\nkubectl get deploy,svc,pods -l app=web\n\n# Only what you need\nkubectl get pod web-0 -o jsonpath='{.status.podIP}'\nkubectl get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName\nkubectl get pods -o go-template='{{range .items}}{{.metadata.name}}{{\"\\n\"}}{{end}}'\n\n# Go on as things change; in an order; a subresource\nkubectl get pods -w\nkubectl get pods --sort-by=.metadata.creationTimestamp\nkubectl get deploy web --subresource=status"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::SELECTOR,
        objects::FIELD_SELECTOR,
        objects::OUTPUT,
        objects::ALL_NAMESPACES,
        objects::MANAGED,
        flag("watch", Some('w'), Form::Bool, "false", "After listing or getting, watch for changes"),
        flag("watch-only", None, Form::Bool, "false", "Watch for changes without listing first"),
        flag("output-watch-events", None, Form::Bool, "false", "Print the kind of event too, with --watch"),
        flag("sort-by", None, Form::Text, "", "Sort by this JSONPath expression, e.g. '{.metadata.name}'"),
        flag("show-labels", None, Form::Bool, "false", "Show all labels as the last column"),
        flag("show-kind", None, Form::Bool, "false", "List the resource type for the objects"),
        flag("no-headers", None, Form::Bool, "false", "Don't print headers"),
        flag("label-columns", Some('L'), Form::List, "", "Labels that are presented as columns"),
        flag("ignore-not-found", None, Form::Bool, "false", "Exit with code 0 when an object does not exist"),
        flag("chunk-size", None, Form::Text, "500", "Return large lists in chunks; 0: all at once"),
        flag("raw", None, Form::Text, "", "Raw URI to request from the server"),
        flag(
            "subresource",
            None,
            Form::Text,
            "",
            "Get this subresource of the objects: status, scale, resize"
        )
    ]
);

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

pub async fn run(cx: Cx) -> Result<(), Error> {
    if cx.p.given("raw") {
        print::out(&String::from_utf8_lossy(&cx.bytes(cx.p.text("raw")).await?));
        return Ok(());
    }
    if cx.p.args.is_empty() && !cx.p.given("filename") && !cx.p.given("kustomize") {
        eprintln!(
            "You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.\n"
        );
        return Err(Error::plain(
            "Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of that resource (e.g. kubectl explain pods).\nSee 'kubectl get -h' for help and examples",
        ));
    }
    let format = Format::parse(cx.p.text("output"), !cx.p.on("no-headers"))?;
    let targets = objects::targets(&cx, &cx.p.args, true).await?;
    if cx.p.int("chunk-size")? < 0 {
        return Err(Error::plain("--chunk-size must not be negative"));
    }
    if cx.p.on("watch") || cx.p.on("watch-only") {
        if cx.p.given("sort-by") {
            eprintln!("warning: --watch requested, --sort-by will be ignored");
        }
        return watch(&cx, &targets, format).await;
    }
    match format {
        Some(f) => formatted(&cx, &targets, &f).await,
        None => tables(&cx, &targets).await,
    }
}

async fn formatted(cx: &Cx, targets: &[Target], f: &Format) -> Result<(), Error> {
    let (mut found, mut errors) = objects::fetch(cx, targets).await;
    if cx.p.on("ignore-not-found") {
        errors.retain(|e| !e.is_not_found());
    }
    let whole = matches!(f, Format::Json | Format::Yaml);
    if whole && !cx.p.on("show-managed-fields") {
        found.iter_mut().for_each(|(_, v)| objects::hide_managed(v));
    }
    if cx.p.given("sort-by") {
        let by = sorter(cx)?;
        found.sort_by(|a, b| compare(&key(&by, &a.1), &key(&by, &b.1)));
    }
    let single = targets.len() == 1 && !targets[0].name.is_empty();
    if single && found.is_empty() {
        return Error::many(errors);
    }
    match f {
        Format::Name => found.iter().for_each(|(t, _)| print::line(&t.said())),
        Format::Columns(c, headers) => {
            let mut rows: Vec<Vec<String>> = Vec::new();
            if *headers {
                rows.push(c.iter().map(|(h, _)| h.clone()).collect());
            }
            rows.extend(found.iter().map(|(_, v)| print::cells(c, v)));
            print::out(&print::table(&rows));
        }
        Format::Json | Format::Yaml | Format::Path(_) => {
            let v = match found.pop() {
                Some((_, v)) if single => v,
                last => {
                    let items: Vec<Value> = found.into_iter().chain(last).map(|(_, v)| v).collect();
                    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
                }
            };
            match f {
                Format::Json => print::line(&print::pretty(&v)),
                Format::Yaml => print::out(&print::yaml(&v)),
                Format::Path(p) => print::out(&p.text(&v)?),
                _ => {}
            }
        }
    }
    Error::many(errors)
}

fn sorter(cx: &Cx) -> Result<crate::jsonpath::Template, Error> {
    let t = crate::jsonpath::relaxed(cx.p.text("sort-by"))?;
    Ok(crate::jsonpath::Template::parse(&t)?)
}
fn key(by: &crate::jsonpath::Template, v: &Value) -> Value {
    by.values(v).ok().and_then(|v| v.first().map(|v| (*v).clone())).unwrap_or_default()
}
fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(std::cmp::Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => {
            match (meta::quantity::Quantity::parse(a), meta::quantity::Quantity::parse(b)) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                _ => a.cmp(b),
            }
        }
        (Value::Null, Value::Null) => std::cmp::Ordering::Equal,
        (Value::Null, _) => std::cmp::Ordering::Less,
        (_, Value::Null) => std::cmp::Ordering::Greater,
        (a, b) => print::go(a).cmp(&print::go(b)),
    }
}

/// Rows of one resource, before they are printed.
struct Block {
    columns: Vec<Value>,
    rows: Vec<Value>,
    /// `pod/` or `deployment.apps/`.
    prefix: String,
    namespaced: bool,
}

async fn tables(cx: &Cx, targets: &[Target]) -> Result<(), Error> {
    let mut errors = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    let include = if cx.p.given("sort-by") { "Object" } else { "" };
    for t in targets {
        let mut next = String::new();
        loop {
            let p = if t.name.is_empty() {
                let limit = if cx.p.text("chunk-size") == "0" { "" } else { cx.p.text("chunk-size") };
                objects::list_path(
                    cx,
                    t,
                    &[("limit", limit), ("continue", &next), ("includeObject", include)],
                )
            } else {
                with_query(t.path(cx.p.text("subresource")), &[("includeObject", include)])
            };
            let v = match cx.exchange(Method::GET, &p, "", TABLE, Bytes::new()).await {
                Ok(v) => v,
                Err(e) if e.is_not_found() && cx.p.on("ignore-not-found") => break,
                Err(e) => {
                    errors.push(e);
                    break;
                }
            };
            next = text(&v, "/metadata/continue").to_owned();
            let v = if text(&v, "/kind") == "Table" { v } else { as_table(v, cx.rt.clock.unix_seconds()) };
            let prefix = t.resource.said("");
            add(&mut blocks, v, prefix, t.resource.namespaced);
            if next.is_empty() {
                break;
            }
        }
    }
    // Names have their kind before them where there is more than one kind.
    let several = blocks.windows(2).any(|w| w[0].prefix != w[1].prefix);
    if !several && !cx.p.on("show-kind") {
        blocks.iter_mut().for_each(|b| b.prefix.clear());
    }
    let mut first = true;
    let mut any = false;
    for b in &mut blocks {
        if b.rows.is_empty() {
            continue;
        }
        any = true;
        if cx.p.given("sort-by") {
            let by = sorter(cx)?;
            b.rows.sort_by(|x, y| compare(&key(&by, &x["object"]), &key(&by, &y["object"])));
        }
        if !first && !cx.p.on("no-headers") {
            print::out("\n");
        }
        first = false;
        print::out(&print::table(&lines(cx, b, !cx.p.on("no-headers"))));
    }
    if !any && errors.is_empty() && !cx.p.on("ignore-not-found") {
        let namespaced = targets.iter().any(|t| t.resource.namespaced);
        if namespaced && !cx.p.on("all-namespaces") {
            eprintln!("No resources found in {} namespace.", cx.namespace()?);
        } else {
            eprintln!("No resources found");
        }
    }
    Error::many(errors)
}

/// An object that the server makes no table of, as the table that upstream makes of it.
fn as_table(v: Value, now: i64) -> Value {
    let born = meta::time::Timestamp::parse(text(&v, "/metadata/creationTimestamp"));
    let age = born.map_or("<unknown>".into(), |t| meta::time::human_duration(now - t.seconds));
    json!({"columnDefinitions": [{"name": "Name"}, {"name": "Age"}],
        "rows": [{"cells": [v["metadata"]["name"], age], "object": v}]})
}

fn add(blocks: &mut Vec<Block>, mut v: Value, prefix: String, namespaced: bool) {
    let rows = match v["rows"].take() {
        Value::Array(a) => a,
        _ => Vec::new(),
    };
    let columns = match v["columnDefinitions"].take() {
        Value::Array(a) => a,
        _ => Vec::new(),
    };
    match blocks.last_mut() {
        Some(b) if b.prefix == prefix && (b.columns == columns || columns.is_empty()) => b.rows.extend(rows),
        _ => blocks.push(Block { columns, rows, prefix, namespaced }),
    }
}

fn lines(cx: &Cx, b: &Block, headers: bool) -> Vec<Vec<String>> {
    let wide = cx.p.text("output") == "wide";
    let ns = cx.p.on("all-namespaces") && b.namespaced;
    let show: Vec<usize> = (0..b.columns.len())
        .filter(|i| wide || b.columns[*i]["priority"].as_i64().unwrap_or(0) == 0)
        .collect();
    let extra = cx.p.list("label-columns");
    let mut out = Vec::new();
    if headers {
        let mut h: Vec<String> = Vec::new();
        if ns {
            h.push("NAMESPACE".into());
        }
        h.extend(show.iter().map(|i| text(&b.columns[*i], "/name").to_uppercase()));
        h.extend(extra.iter().map(|l| l.rsplit('/').next().unwrap_or(l).to_uppercase()));
        if cx.p.on("show-labels") {
            h.push("LABELS".into());
        }
        out.push(h);
    }
    for r in &b.rows {
        let mut l: Vec<String> = Vec::new();
        if ns {
            l.push(text(r, "/object/metadata/namespace").to_owned());
        }
        for i in &show {
            let cell = match &r["cells"][*i] {
                Value::Null => String::new(),
                v => print::go(v),
            };
            let cell = match cell.find(['\n', '\r', '\x0c']) {
                Some(n) => format!("{}...", &cell[..n]),
                None => cell,
            };
            let name = *i == 0 && !b.prefix.is_empty();
            l.push(if name { format!("{}{cell}", b.prefix) } else { cell });
        }
        let labels = objects::labels(&r["object"], "/metadata/labels");
        for e in &extra {
            l.push(labels.iter().find(|(k, _)| k == e).map(|(_, v)| v.clone()).unwrap_or_default());
        }
        if cx.p.on("show-labels") {
            let all: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            l.push(if all.is_empty() { "<none>".into() } else { all.join(",") });
        }
        out.push(l);
    }
    out
}

async fn watch(cx: &Cx, targets: &[Target], format: Option<Format>) -> Result<(), Error> {
    let [t] = targets else {
        return Err(Error::plain("you may only specify a single resource type"));
    };
    let events = cx.p.on("output-watch-events");
    let table = format.is_none();
    let accept = if table { TABLE } else { "application/json" };
    let list = if t.name.is_empty() {
        objects::list_path(cx, t, &[])
    } else {
        with_query(
            t.resource.collection(&t.namespace),
            &[("fieldSelector", &format!("metadata.name={}", t.name))],
        )
    };
    if !t.name.is_empty() {
        cx.get(&t.path("")).await?;
    }
    let v = cx.exchange(Method::GET, &list, "", accept, Bytes::new()).await?;
    let version = text(&v, "/metadata/resourceVersion").to_owned();
    let mut columns = v["columnDefinitions"].clone();
    let mut headers = !cx.p.on("no-headers");
    let mut widest: Vec<String> = Vec::new();
    let mut show = |kind: &str, mut v: Value| -> Result<(), Error> {
        if table {
            if !v["columnDefinitions"].is_null() {
                columns = v["columnDefinitions"].clone();
            }
            v["columnDefinitions"] = columns.clone();
            let mut blocks = Vec::new();
            add(
                &mut blocks,
                v,
                if cx.p.on("show-kind") { t.resource.said("") } else { String::new() },
                t.resource.namespaced,
            );
            for b in blocks.iter().filter(|b| !b.rows.is_empty()) {
                let mut l = lines(cx, b, headers);
                if events {
                    for (i, r) in l.iter_mut().enumerate() {
                        r.insert(0, if headers && i == 0 { "EVENT".into() } else { kind.to_owned() });
                    }
                }
                headers = false;
                // Columns stay as wide as they were: a row of the widest cells so far, which is not printed.
                for r in &l {
                    widest.resize(widest.len().max(r.len()), String::new());
                    for (w, c) in widest.iter_mut().zip(r) {
                        if c.chars().count() > w.chars().count() {
                            w.clone_from(c);
                        }
                    }
                }
                l.insert(0, widest.clone());
                let t = print::table(&l);
                print::out(t.split_once('\n').map_or("", |(_, rest)| rest));
            }
            return Ok(());
        }
        let whole = matches!(&format, Some(Format::Json | Format::Yaml));
        if whole && !cx.p.on("show-managed-fields") {
            objects::hide_managed(&mut v);
        }
        let at = Target { name: text(&v, "/metadata/name").to_owned(), ..t.clone() };
        let v = if events { json!({"type": kind, "object": v}) } else { v };
        match &format {
            Some(Format::Name) => print::line(&at.said()),
            Some(Format::Json) => print::line(&print::pretty(&v)),
            Some(Format::Yaml) => print::out(&format!("---\n{}", print::yaml(&v))),
            Some(Format::Path(p)) => print::out(&p.text(&v)?),
            Some(Format::Columns(c, _)) => print::out(&print::table(&[print::cells(c, &v)])),
            None => {}
        }
        Ok(())
    };
    if !cx.p.on("watch-only") {
        if table {
            show("ADDED", v)?;
        } else {
            for mut i in v["items"].as_array().cloned().unwrap_or_default() {
                i["apiVersion"] = t.resource.api_version().into();
                i["kind"] = t.resource.kind.clone().into();
                show("ADDED", i)?;
            }
        }
    }
    let path = with_query(list, &[("watch", "true"), ("resourceVersion", &version)]);
    cx.lines(&path, accept, |mut e| {
        let kind = text(&e, "/type").to_owned();
        if kind == "ERROR" {
            let s = serde_json::from_value(e["object"].take()).map_err(|e| Error::plain(e.to_string()))?;
            return Err(Error::Status(Box::new(s)));
        }
        if kind != "BOOKMARK" {
            show(&kind, e["object"].take())?;
        }
        Ok(true)
    })
    .await
}
