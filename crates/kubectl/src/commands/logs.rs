//! `logs`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, Target, text};
use bytes::Bytes;
use client::url::with_query;
use futures::StreamExt;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use std::io::Write;

pub const FLAGS: &[Flag] = &[
    objects::SELECTOR,
    flag("container", Some('c'), Form::Text, "", "Print the logs of this container"),
    flag("follow", Some('f'), Form::Bool, "false", "Go on as logs come"),
    flag(
        "previous",
        Some('p'),
        Form::Bool,
        "false",
        "Print the logs of the previous instance of the container",
    ),
    flag("timestamps", None, Form::Bool, "false", "Include timestamps on each line"),
    flag("tail", None, Form::Text, "-1", "Lines of recent log to show; -1: all, or 10 with a selector"),
    flag("since", None, Form::Text, "0s", "Only logs newer than a duration like 5s, 2m or 3h"),
    flag("since-time", None, Form::Text, "", "Only logs after a date (RFC3339)"),
    flag("limit-bytes", None, Form::Text, "0", "Maximum bytes of logs; 0: no limit"),
    flag("all-containers", None, Form::Bool, "false", "Get all containers' logs in the pods"),
    flag("prefix", None, Form::Bool, "false", "Prefix each line with pod and container"),
];

/// The pods that a word means: a pod, or those of a workload, newest choice last.
pub async fn pods(cx: &Cx, word: &str) -> Result<Vec<Value>, Error> {
    let args = if word.contains('/') { vec![word.to_owned()] } else { vec!["pods".into(), word.to_owned()] };
    let Some(t) = objects::targets(cx, &args, false).await?.into_iter().next() else { return Ok(Vec::new()) };
    let v = cx.get(&t.path("")).await?;
    if t.resource.kind == "Pod" {
        return Ok(vec![v]);
    }
    let s = &v["spec"]["selector"];
    let m = if t.resource.kind == "Service" || t.resource.kind == "ReplicationController" {
        s
    } else {
        &s["matchLabels"]
    };
    let q: Vec<String> = objects::labels(m, "").into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    if q.is_empty() {
        return Err(Error::plain(format!(
            "cannot get the logs from {}: it selects no pods by labels",
            t.said()
        )));
    }
    let of = cx.discovery().await?.find("pods")?;
    let mut v = cx.get(&with_query(of.collection(&t.namespace), &[("labelSelector", &q.join(","))])).await?;
    let mut all = match v["items"].take() {
        Value::Array(a) => a,
        _ => Vec::new(),
    };
    all.sort_by_key(|p| {
        (text(p, "/status/phase") != "Running", text(p, "/metadata/creationTimestamp").to_owned())
    });
    if all.is_empty() {
        return Err(Error::plain(format!("no pods found for {}", t.said())));
    }
    if all.len() > 1 {
        eprintln!("Found {} pods, using pod/{}", all.len(), text(&all[0], "/metadata/name"));
        all.truncate(1);
    }
    Ok(all)
}

/// The container to use when none is named (kubectl `podutils.FindOrDefaultContainerByName`).
pub fn container(pod: &Value, quiet: bool) -> String {
    let names: Vec<&str> =
        pod["spec"]["containers"].as_array().into_iter().flatten().map(|c| text(c, "/name")).collect();
    let wish = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    if let Some(w) = wish.filter(|w| names.contains(w)) {
        return w.to_owned();
    }
    let first = names.first().copied().unwrap_or_default();
    if names.len() > 1 && !quiet {
        let all: Vec<&str> = names
            .iter()
            .copied()
            .chain(
                pod["spec"]["ephemeralContainers"].as_array().into_iter().flatten().map(|c| text(c, "/name")),
            )
            .collect();
        let init: Vec<String> = pod["spec"]["initContainers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| format!("{} (init)", text(c, "/name")))
            .collect();
        let all: Vec<String> = all.into_iter().map(str::to_owned).chain(init).collect();
        eprintln!("Defaulted container {first:?} out of: {}", all.join(", "));
    }
    first.to_owned()
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let selector = cx.p.text("selector");
    let words = &cx.p.args;
    let pods = match (words.as_slice(), selector) {
        ([], "") => {
            return Err(Error::plain(
                "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command\nSee 'kubectl logs -h' for help and examples",
            ));
        }
        ([], _) => {
            let t = objects::targets(&cx, &["pods".to_owned()], true).await?;
            let all = match t.first() {
                Some(t) => objects::list(&cx, t).await?,
                None => Vec::new(),
            };
            if all.is_empty() {
                eprintln!("No resources found in {} namespace.", cx.namespace()?);
            }
            all
        }
        ([_, ..], s) if !s.is_empty() => {
            return Err(Error::plain("only a selector (-l) or a POD name is allowed"));
        }
        ([w, rest @ ..], _) => {
            if rest.len() > 1 || (!rest.is_empty() && cx.p.given("container")) {
                return Err(Error::plain("only one of -c or an inline [CONTAINER] arg is allowed"));
            }
            pods(&cx, w).await?
        }
    };
    let inline = words.get(1).map(String::as_str).unwrap_or_else(|| cx.p.text("container"));
    let of = cx.discovery().await?.find("pods")?.clone();
    let mut jobs = Vec::new();
    for p in &pods {
        let names: Vec<String> = if cx.p.on("all-containers") {
            ["initContainers", "containers", "ephemeralContainers"]
                .iter()
                .flat_map(|f| p["spec"][f].as_array().into_iter().flatten())
                .map(|c| text(c, "/name").to_owned())
                .collect()
        } else if inline.is_empty() {
            vec![container(p, false)]
        } else {
            vec![inline.to_owned()]
        };
        let (name, namespace) =
            (text(p, "/metadata/name").to_owned(), text(p, "/metadata/namespace").to_owned());
        let t = Target { resource: of.clone(), name, namespace, manifest: None };
        jobs.extend(names.into_iter().map(|c| (t.clone(), c)));
    }
    if cx.p.on("follow") && jobs.len() > 5 {
        return Err(Error::plain(format!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is 5, use --max-log-requests to increase the limit",
            jobs.len()
        )));
    }
    if cx.p.on("follow") {
        let all = futures::future::join_all(jobs.iter().map(|(t, c)| one(&cx, t, c))).await;
        return Error::many(all.into_iter().filter_map(Result::err).collect());
    }
    for (t, c) in &jobs {
        one(&cx, t, c).await?;
    }
    Ok(())
}

async fn one(cx: &Cx, t: &Target, container: &str) -> Result<(), Error> {
    let on = |n: &str| if cx.p.on(n) { "true" } else { "" };
    let tail = match cx.p.text("tail") {
        "-1" if !cx.p.text("selector").is_empty() && !cx.p.given("tail") => "10",
        "-1" => "",
        n => n,
    };
    let ms = cx.p.millis("since")?;
    let since = if ms > 0 { ((ms + 999) / 1000).to_string() } else { String::new() };
    let limit = if cx.p.text("limit-bytes") == "0" { "" } else { cx.p.text("limit-bytes") };
    let path = with_query(
        t.path("log"),
        &[
            ("container", container),
            ("follow", on("follow")),
            ("previous", on("previous")),
            ("timestamps", on("timestamps")),
            ("tailLines", tail),
            ("sinceSeconds", &since),
            ("sinceTime", cx.p.text("since-time")),
            ("limitBytes", limit),
        ],
    );
    let prefix = if cx.p.on("prefix") { format!("[pod/{}/{container}] ", t.name) } else { String::new() };
    let r = cx.send(Method::GET, &path, "", "application/json, */*", Bytes::new()).await?;
    let mut s = r.into_body().into_data_stream();
    let mut fresh = true;
    while let Some(chunk) = s.next().await {
        let chunk = chunk.map_err(|e| Error::plain(e.to_string()))?;
        let mut o = std::io::stdout().lock();
        if prefix.is_empty() {
            o.write_all(&chunk)?;
        } else {
            for l in chunk.split_inclusive(|b| *b == b'\n') {
                if fresh {
                    o.write_all(prefix.as_bytes())?;
                }
                o.write_all(l)?;
                fresh = l.ends_with(b"\n");
            }
        }
        o.flush()?;
    }
    Ok(())
}
