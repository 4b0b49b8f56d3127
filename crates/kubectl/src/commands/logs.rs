//! `logs`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, Target, text};
use crate::pods::{self, For};
use bytes::Bytes;
use client::url::with_query;
use futures::StreamExt;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use std::io::Write;

super::commands! {
    "logs" "[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]"
        "Print the logs for a container in a pod\n\nOf a workload (deploy/web, job/x) it is the logs of its best pod; --all-pods prints those of all."
        "# What a pod's only container said\nkubectl logs web-0\n\n# Follow one container\nkubectl logs -f web-0 -c app\n\n# All containers of all pods with a label, each line with its origin\nkubectl logs -l app=web --all-containers --prefix\n\n# The last hour; what the container before the restart said\nkubectl logs web-0 --since=1h\nkubectl logs web-0 -p"
        FLAGS, run;
}

const FLAGS: &[Flag] = &[
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
    flag("all-pods", None, Form::Bool, "false", "Get the logs of all pods of a workload; sets --prefix"),
    flag("prefix", None, Form::Bool, "false", "Prefix each line with pod and container"),
    flag("ignore-errors", None, Form::Bool, "false", "Go on where following logs fails"),
    flag(
        "max-log-requests",
        None,
        Form::Text,
        "5",
        "How many logs may be followed at a time with a selector",
    ),
    flag(
        "insecure-skip-tls-verify-backend",
        None,
        Form::Bool,
        "false",
        "Do not check the kubelet's certificate that the logs come from",
    ),
    flag("pod-running-timeout", None, Form::Text, "20s", "How long to wait until there is a pod"),
];

/// A container whose log is wanted.
struct Job {
    target: Target,
    container: String,
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let usage = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command\nSee 'kubectl logs -h' for help and examples";
    let selector = cx.p.text("selector");
    let words = &cx.p.args;
    if cx.p.given("since") && cx.p.given("since-time") {
        return Err(Error::plain("at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if cx.p.millis("since")? < 0 {
        return Err(Error::plain("--since must be greater than 0"));
    }
    if cx.p.int("limit-bytes")? < 0 || (cx.p.given("limit-bytes") && cx.p.int("limit-bytes")? == 0) {
        return Err(Error::plain("--limit-bytes must be greater than 0"));
    }
    if cx.p.int("tail")? < -1 {
        return Err(Error::plain("--tail must be greater than or equal to -1"));
    }
    if cx.p.on("all-containers") && (cx.p.given("container") || words.len() > 1) {
        return Err(Error::plain(
            "--all-containers=true should not be specified with container name ".to_owned()
                + words.get(1).map_or_else(|| cx.p.text("container"), String::as_str),
        ));
    }
    let pods = match (words.as_slice(), selector) {
        ([], "") => return Err(Error::plain(usage)),
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
        (_, s) if !s.is_empty() => {
            return Err(Error::plain("only a selector (-l) or a POD name is allowed"));
        }
        ([_, _], _) if cx.p.given("container") => {
            return Err(Error::plain("only one of -c or an inline [CONTAINER] arg is allowed"));
        }
        ([w] | [w, _], _) => {
            let (t, v) = pods::object(&cx, w).await.map_err(|e| match (&e, cx.namespace()) {
                (Error::Status(s), Ok(ns)) if e.is_not_found() => {
                    Error::plain(format!("error from server (NotFound): {} in namespace {ns:?}", s.message))
                }
                _ => e,
            })?;
            let mut all = pods::of(&cx, &t, v, For::Logs).await?;
            if all.len() > 1 && !cx.p.on("all-pods") {
                eprintln!("Found {} pods, using pod/{}", all.len(), text(&all[0], "/metadata/name"));
                all.truncate(1);
            }
            all
        }
        _ => return Err(Error::plain(usage)),
    };
    let inline = words.get(1).map_or_else(|| cx.p.text("container"), String::as_str);
    let mut jobs = Vec::new();
    for p in &pods {
        jobs.extend(of_pod(&cx, p, inline).await?);
    }
    if !cx.p.on("follow") || jobs.len() == 1 {
        for j in &jobs {
            one(&cx, j).await?;
        }
        return Ok(());
    }
    let most = usize::try_from(cx.p.int("max-log-requests")?).unwrap_or(0);
    if jobs.len() > most {
        return Err(Error::plain(format!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {most}, use --max-log-requests to increase the limit",
            jobs.len()
        )));
    }
    let each = async |j: &Job| match one(&cx, j).await {
        Err(e) if cx.p.on("ignore-errors") => {
            eprintln!("error: {}", e.bare());
            Ok(())
        }
        r => r,
    };
    futures::future::try_join_all(jobs.iter().map(each)).await.map(|_| ())
}

async fn of_pod(cx: &Cx, pod: &Value, inline: &str) -> Result<Vec<Job>, Error> {
    let of = cx.discovery().await?.find("pods")?;
    let target = Target {
        resource: of.clone(),
        name: text(pod, "/metadata/name").to_owned(),
        namespace: text(pod, "/metadata/namespace").to_owned(),
        manifest: None,
    };
    let names = if cx.p.on("all-containers") {
        pods::names(pod)
    } else if inline.is_empty() {
        vec![pods::container(pod, cx.p.on("all-pods") || !cx.p.text("selector").is_empty())]
    } else {
        vec![inline.to_owned()]
    };
    names
        .into_iter()
        .map(|c| match pods::find(pod, &c) {
            Some(_) => Ok(Job { target: target.clone(), container: c }),
            None => Err(Error::plain(format!(
                "container {c} is not valid for pod {} out of: {}",
                target.name,
                pods::every(pod)
            ))),
        })
        .collect()
}

async fn one(cx: &Cx, j: &Job) -> Result<(), Error> {
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
        j.target.path("log"),
        &[
            ("container", &j.container),
            ("follow", on("follow")),
            ("previous", on("previous")),
            ("timestamps", on("timestamps")),
            ("tailLines", tail),
            ("sinceSeconds", &since),
            ("sinceTime", cx.p.text("since-time")),
            ("limitBytes", limit),
            ("insecureSkipTLSVerifyBackend", on("insecure-skip-tls-verify-backend")),
        ],
    );
    let prefix = if cx.p.on("prefix") || cx.p.on("all-pods") {
        format!("[pod/{}/{}] ", j.target.name, j.container)
    } else {
        String::new()
    };
    let r = cx.send(Method::GET, &path, "", "application/json, */*", Bytes::new()).await?;
    let mut s = r.into_body().into_data_stream();
    let mut line: Vec<u8> = Vec::new();
    while let Some(chunk) = s.next().await {
        let chunk = chunk.map_err(|e| Error::plain(e.to_string()))?;
        let mut o = std::io::stdout().lock();
        if prefix.is_empty() {
            o.write_all(&chunk)?;
        } else {
            // Whole lines only: other containers' come between.
            for l in chunk.split_inclusive(|b| *b == b'\n') {
                line.extend_from_slice(l);
                if l.ends_with(b"\n") || line.len() > MAX_LINE {
                    o.write_all(prefix.as_bytes())?;
                    o.write_all(&line)?;
                    line.clear();
                }
            }
        }
        o.flush()?;
    }
    if !line.is_empty() {
        let mut o = std::io::stdout().lock();
        o.write_all(prefix.as_bytes())?;
        o.write_all(&line)?;
        o.flush()?;
    }
    Ok(())
}

/// A line longer than this is printed in parts.
const MAX_LINE: usize = 1 << 20;
