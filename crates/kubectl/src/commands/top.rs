//! `top`: what nodes and pods use, by the metrics API (kubectl `pkg/cmd/top`, `pkg/metricsutil`).

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, text};
use crate::print;
use client::url::{collection, object, with_query};
use meta::quantity::Quantity;
use serde_json::Value;
use std::cmp::Reverse;

super::commands! {
    "top node" "[NAME | -l label]"
        "Display resource (CPU/memory) usage of nodes\n\nShares are of what a node can give to pods (allocatable). A metrics server must be installed in the cluster."
        "kubectl top node\nkubectl top node n1\nkubectl top node --sort-by=memory"
        NODE, node;
    "top pod" "[NAME | -l label]"
        "Display resource (CPU/memory) usage of pods\n\nA metrics server must be installed in the cluster; a new pod has no figures for some minutes."
        "kubectl top pod -A --sort-by=cpu\nkubectl top pod web-0 --containers\nkubectl top pod -l app=web --sum"
        POD, pod;
}

const SORT: Flag = flag("sort-by", None, Form::Text, "", "Sort by cpu or memory, the most first");
const HEADERS: Flag = flag("no-headers", None, Form::Bool, "false", "Don't print headers");
const SWAP: Flag = flag("show-swap", None, Form::Bool, "false", "Show swap too");
const PROTO: Flag = flag(
    "use-protocol-buffers",
    None,
    Form::Bool,
    "true",
    "Accepted as upstream does; answers are read as JSON",
);

const NODE: &[Flag] = &[
    objects::SELECTOR,
    SORT,
    HEADERS,
    SWAP,
    PROTO,
    flag("show-capacity", None, Form::Bool, "false", "Shares of the node's capacity"),
];
const POD: &[Flag] = &[
    objects::SELECTOR,
    objects::FIELD_SELECTOR,
    objects::ALL_NAMESPACES,
    SORT,
    HEADERS,
    SWAP,
    PROTO,
    flag("containers", None, Form::Bool, "false", "Show each container"),
    flag("sum", None, Form::Bool, "false", "Show the sum"),
];

/// Pods younger than this have no figures yet, in seconds.
const DELAY: i64 = 120;

/// The version of the metrics API that is served.
async fn version(cx: &Cx) -> Result<&'static str, Error> {
    let groups = cx.get("/apis").await?;
    let all = groups["groups"].as_array().into_iter().flatten();
    let of = all
        .filter(|g| g["name"] == "metrics.k8s.io")
        .flat_map(|g| g["versions"].as_array().into_iter().flatten());
    let have: Vec<&str> = of.map(|v| text(v, "/version")).collect();
    ["v1", "v1beta1"]
        .into_iter()
        .find(|v| have.contains(v))
        .ok_or_else(|| Error::plain("Metrics API not available"))
}

fn check<'c>(cx: &'c Cx, many: bool, or: &str) -> Result<Option<&'c str>, Error> {
    if !matches!(cx.p.text("sort-by"), "" | "cpu" | "memory") {
        return Err(Error::plain("--sort-by accepts only cpu or memory"));
    }
    match cx.p.args.as_slice() {
        [] => Ok(None),
        [_] if many => Err(Error::plain(format!("only one of NAME or {or} can be provided"))),
        [n] => Ok(Some(n)),
        _ => Err(Error::plain(format!(
            "{} [NAME | -l label]\nSee 'kubectl {} -h' for help and examples",
            cx.path.trim_start_matches("top "),
            cx.path
        ))),
    }
}

async fn metrics(cx: &Cx, what: &str, ns: Option<&str>, name: Option<&str>) -> Result<Vec<Value>, Error> {
    let v = version(cx).await?;
    match name {
        Some(n) => Ok(vec![cx.get(&object("metrics.k8s.io", v, what, ns, n, "")).await?]),
        None => {
            let p = collection("metrics.k8s.io", v, what, ns.filter(|n| !n.is_empty()));
            let mut l = cx.get(&with_query(p, &[("labelSelector", cx.p.text("selector"))])).await?;
            Ok(match l["items"].take() {
                Value::Array(a) => a,
                _ => Vec::new(),
            })
        }
    }
}

fn amount(usage: &Value, what: &str) -> Quantity {
    usage[what].as_str().and_then(|s| Quantity::parse(s).ok()).unwrap_or_else(Quantity::zero)
}

fn shown(what: &str, q: &Quantity) -> String {
    match what {
        "cpu" => format!("{}m", q.milli_value()),
        _ => format!("{}Mi", q.value() / (1024 * 1024)),
    }
}

fn measured(cx: &Cx) -> Vec<&'static str> {
    let mut all = vec!["cpu", "memory"];
    if cx.p.on("show-swap") {
        all.push("swap");
    }
    all
}

pub async fn node(cx: Cx) -> Result<(), Error> {
    let name = check(&cx, !cx.p.text("selector").is_empty(), "--selector")?;
    let mut all = metrics(&cx, "nodes", None, name).await?;
    if all.is_empty() {
        return Err(Error::plain("metrics not available yet"));
    }
    let nodes = match name {
        Some(n) => vec![cx.get(&object("", "v1", "nodes", None, n, "")).await?],
        None => {
            let p = collection("", "v1", "nodes", None);
            let l = cx.get(&with_query(p, &[("labelSelector", cx.p.text("selector"))])).await?;
            l["items"].as_array().cloned().unwrap_or_default()
        }
    };
    let by = cx.p.text("sort-by");
    all.sort_by_cached_key(|m| {
        let most = if by.is_empty() { None } else { Some(Reverse(amount(&m["usage"], by).milli_value())) };
        (most, text(m, "/metadata/name").to_owned())
    });
    let what = measured(&cx);
    let mut rows: Vec<Vec<String>> = Vec::new();
    if !cx.p.on("no-headers") {
        let mut h = vec!["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"];
        if what.len() > 2 {
            h.extend(["SWAP(bytes)", "SWAP(%)"]);
        }
        rows.push(h.into_iter().chain([""]).map(str::to_owned).collect());
    }
    let place = if cx.p.on("show-capacity") { "/status/capacity" } else { "/status/allocatable" };
    for m in &all {
        let name = text(m, "/metadata/name");
        let node = nodes.iter().find(|n| text(n, "/metadata/name") == name);
        let mut row = vec![name.to_owned()];
        for w in &what {
            let of = match (node, *w) {
                (None, _) => None,
                (Some(n), "swap") => n
                    .pointer("/status/nodeInfo/swap/capacity")
                    .and_then(Value::as_i64)
                    .map(|c| c as f64 * 1000.0),
                (Some(n), w) => n.pointer(place).map(|a| amount(a, w).milli_value() as f64),
            };
            if *w == "swap" && of.is_none() {
                row.extend(["<unknown>".to_owned(), "<unknown>".to_owned()]);
                continue;
            }
            let q = amount(&m["usage"], w);
            row.push(shown(w, &q));
            if let Some(of) = of {
                let share = if of == 0.0 { 0.0 } else { q.milli_value() as f64 / of * 100.0 };
                row.push(format!("{}%", share as i64));
            }
        }
        row.push(String::new());
        rows.push(row);
    }
    for n in nodes.iter().map(|n| text(n, "/metadata/name")) {
        if !all.iter().any(|m| text(m, "/metadata/name") == n) {
            let mut row = vec![n.to_owned()];
            row.extend(std::iter::repeat_n("<unknown>".to_owned(), what.len() * 2));
            row.push(String::new());
            rows.push(row);
        }
    }
    print::out(&print::table(&rows));
    Ok(())
}

pub async fn pod(cx: Cx) -> Result<(), Error> {
    let fields = cx.p.text("field-selector");
    let name = check(&cx, !cx.p.text("selector").is_empty() || !fields.is_empty(), "selector")?;
    let everywhere = cx.p.on("all-namespaces");
    let ns = if everywhere { String::new() } else { cx.namespace()? };
    let mut all = metrics(&cx, "pods", Some(&ns), name).await?;
    if !all.is_empty() && !fields.is_empty() {
        let known = pods(&cx, &ns).await?;
        let key =
            |v: &Value| (text(v, "/metadata/namespace").to_owned(), text(v, "/metadata/name").to_owned());
        all.retain(|m| known.iter().any(|p| key(p) == key(m)));
    }
    if all.is_empty() {
        nothing(&cx, &ns, name).await?;
        if everywhere {
            eprintln!("No resources found");
        } else {
            eprintln!("No resources found in {ns} namespace.");
        }
        return Ok(());
    }
    let (what, by) = (measured(&cx), cx.p.text("sort-by"));
    let total = |m: &Value, w: &str| {
        let each = m["containers"].as_array().into_iter().flatten();
        each.fold(Quantity::zero(), |sum, c| sum.plus(&amount(&c["usage"], w)))
    };
    all.sort_by_cached_key(|m| {
        let most = if by.is_empty() { None } else { Some(Reverse(total(m, by).milli_value())) };
        let ns = if everywhere { text(m, "/metadata/namespace") } else { "" };
        (most, ns.to_owned(), text(m, "/metadata/name").to_owned())
    });
    let containers = cx.p.on("containers");
    let mut heads = Vec::new();
    if everywhere {
        heads.push("NAMESPACE");
    }
    if containers {
        heads.push("POD");
    }
    heads.extend(["NAME", "CPU(cores)", "MEMORY(bytes)"]);
    if what.len() > 2 {
        heads.push("SWAP(bytes)");
    }
    let width = if cx.p.on("no-headers") { what.len() + 1 } else { heads.len() };
    let mut rows: Vec<Vec<String>> = Vec::new();
    if !cx.p.on("no-headers") {
        rows.push(heads.into_iter().chain([""]).map(str::to_owned).collect());
    }
    let mut sums: Vec<Quantity> = what.iter().map(|_| Quantity::zero()).collect();
    for m in &all {
        let mut start = Vec::new();
        if everywhere {
            start.push(text(m, "/metadata/namespace").to_owned());
        }
        for (s, w) in sums.iter_mut().zip(&what) {
            *s = s.plus(&total(m, w));
        }
        let line = |mut row: Vec<String>, name: &str, of: &dyn Fn(&str) -> Quantity| {
            row.push(name.to_owned());
            row.extend(what.iter().map(|w| shown(w, &of(w))));
            row.push(String::new());
            row
        };
        let pod = text(m, "/metadata/name");
        if containers {
            start.push(pod.to_owned());
            let mut each: Vec<&Value> = m["containers"].as_array().into_iter().flatten().collect();
            each.sort_by_cached_key(|c| {
                let most =
                    if by.is_empty() { None } else { Some(Reverse(amount(&c["usage"], by).milli_value())) };
                (most, text(c, "/name").to_owned())
            });
            rows.extend(
                each.into_iter().map(|c| line(start.clone(), text(c, "/name"), &|w| amount(&c["usage"], w))),
            );
        } else {
            rows.push(line(start, pod, &|w| total(m, w)));
        }
    }
    if cx.p.on("sum") {
        let blank = |n: usize| vec![String::new(); n];
        let mut row = blank(width.saturating_sub(2));
        row.extend(["________".to_owned(), "________".to_owned(), String::new()]);
        rows.push(row);
        let mut row = blank(width.saturating_sub(3) + 1);
        row.extend(what.iter().zip(&sums).map(|(w, q)| shown(w, q)));
        row.push(String::new());
        rows.push(row);
    }
    print::out(&print::table(&rows));
    Ok(())
}

async fn pods(cx: &Cx, ns: &str) -> Result<Vec<Value>, Error> {
    let p = collection("", "v1", "pods", Some(ns).filter(|n| !n.is_empty()));
    let sel = [("labelSelector", cx.p.text("selector")), ("fieldSelector", cx.p.text("field-selector"))];
    let l = cx.get(&with_query(p, &sel)).await?;
    Ok(l["items"].as_array().cloned().unwrap_or_default())
}

/// Why there are no figures: a pod that should have some, pods too new to have any, or no pods.
async fn nothing(cx: &Cx, ns: &str, name: Option<&str>) -> Result<(), Error> {
    let all = match name {
        Some(n) => vec![cx.get(&object("", "v1", "pods", Some(ns), n, "")).await?],
        None => pods(cx, ns).await?,
    };
    if all.is_empty() {
        return Ok(());
    }
    let now = cx.rt.clock.unix_seconds();
    for p in &all {
        let born = meta::time::Timestamp::parse(text(p, "/metadata/creationTimestamp"));
        let age = born.map_or(0, |t| now - t.seconds);
        if age > DELAY {
            return Err(Error::plain(format!(
                "Metrics not available for pod {}/{}, age: {}",
                text(p, "/metadata/namespace"),
                text(p, "/metadata/name"),
                print::duration(age * 1000)
            )));
        }
    }
    Err(Error::plain("metrics not available yet"))
}
