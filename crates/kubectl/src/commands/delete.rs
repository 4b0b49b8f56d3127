//! `delete`, and waiting until things are gone.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, Target, text};
use crate::print;
use client::url::with_query;
use http::Method;
use serde_json::Value;
use std::time::Duration;

super::commands! {
    "delete" "([-f FILENAME] | TYPE [(NAME | -l label | --all)])"
        "Delete resources by file names, stdin, resources and names, or by resources and label selector\n\nAsks the server to delete, and waits until the objects are gone (--wait=false does not). Pods have time to end, as their\nspecification or --grace-period says; --force does not wait for the node, where the containers may go on running.\nWhat belongs to an object goes with it, unless --cascade=orphan."
        "kubectl delete pod web-0 web-1\nkubectl delete -f app.yaml\nkubectl delete pods,services -l app=web\nkubectl delete pods --all\nkubectl delete pod web-0 --force --grace-period=0\nkubectl delete deploy web --cascade=orphan"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::SELECTOR,
        objects::FIELD_SELECTOR,
        objects::OUTPUT,
        objects::ALL_NAMESPACES,
        objects::DRY_RUN,
        super::replace::RAW,
        flag("interactive", Some('i'), Form::Bool, "false", "Ask before deleting"),
        flag(
            "all",
            None,
            Form::Bool,
            "false",
            "Delete all resources, in the namespace of the specified types"
        ),
        flag(
            "force",
            None,
            Form::Bool,
            "false",
            "Remove from the API at once, without waiting for the kubelet"
        ),
        flag("grace-period", None, Form::Text, "-1", "Seconds given to the resource to end; -1: its own"),
        flag(
            "now",
            None,
            Form::Bool,
            "false",
            "Signal resources for immediate shutdown (same as --grace-period=1)",
        ),
        flag(
            "cascade",
            None,
            Form::Maybe("background"),
            "background",
            "\"background\", \"orphan\" or \"foreground\"",
        ),
        flag("ignore-not-found", None, Form::Bool, "false", "Treat \"not found\" as a successful delete"),
        flag("wait", None, Form::Bool, "true", "Wait until the resources are gone"),
        flag("timeout", None, Form::Text, "0s", "How long to wait; 0: as long as it takes")
    ]
);

/// How dependents go, by `--cascade`.
pub fn cascade(cx: &Cx) -> Result<&'static str, Error> {
    Ok(match cx.p.text("cascade") {
        "background" | "true" => "Background",
        "orphan" | "false" => "Orphan",
        "foreground" => "Foreground",
        v => {
            return Err(Error::plain(format!(
                "invalid cascade value ({v}). Must be \"background\", \"foreground\", or \"orphan\""
            )));
        }
    })
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    if cx.p.given("raw") {
        return super::replace::raw(&cx, Method::DELETE).await;
    }
    let dry = DryRun::of(&cx)?;
    match cx.p.text("output") {
        "" | "name" => {}
        o => return Err(Error::plain(format!("unexpected -o output mode: {o}. We only support '-o name'"))),
    }
    let mut grace = cx.p.int("grace-period")?;
    if cx.p.on("now") {
        if grace != -1 {
            return Err(Error::plain("--now and --grace-period cannot be specified together"));
        }
        grace = 1;
    }
    let force = cx.p.on("force");
    if grace == 0 && !force {
        // As upstream: one second, and what is waited for is the real end.
        grace = 1;
    } else if force && grace > 0 {
        return Err(Error::plain("--force and --grace-period greater than 0 cannot be specified together"));
    } else if force {
        grace = 0;
    }
    let cascade = cascade(&cx)?;
    let many = cx.p.on("all") || !cx.p.text("selector").is_empty() || !cx.p.text("field-selector").is_empty();
    if cx.p.args.is_empty() && !cx.p.given("filename") && !cx.p.given("kustomize") {
        return Err(objects::nothing_named());
    }
    if cx.p.on("all") && !cx.p.text("selector").is_empty() {
        return Err(Error::plain("setting 'all' parameter but found a non empty selector. "));
    }
    let targets = objects::targets(&cx, &cx.p.args, many).await?;
    if many && !cx.p.given("filename") && targets.iter().any(|t| !t.name.is_empty()) {
        return Err(Error::plain("name cannot be provided when a selector is specified"));
    }
    if force {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely."
        );
    }
    let (mut all, mut errors): (Vec<Target>, Vec<Error>) = (Vec::new(), Vec::new());
    for t in targets {
        if t.name.is_empty() {
            for v in objects::list(&cx, &t).await? {
                let (name, namespace) =
                    (text(&v, "/metadata/name").into(), text(&v, "/metadata/namespace").into());
                all.push(Target { name, namespace, ..t.clone() });
            }
        } else {
            all.push(t);
        }
    }
    if cx.p.on("interactive") && dry == DryRun::No {
        print::line(&format!("You are about to delete the following {} resource(s):", all.len()));
        all.iter().for_each(|t| print::line(&t.said()));
        print::out("Do you want to continue? (y/N): ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            print::line("deletion is cancelled");
            return Ok(());
        }
    }
    if cx.p.given("namespace") && all.iter().any(|t| !t.resource.namespaced) {
        eprintln!("Warning: deleting cluster-scoped resources, not scoped to the provided namespace");
    }
    let ignore = cx.p.on("ignore-not-found") || (cx.p.on("all") && !cx.p.given("ignore-not-found"));
    let found = all.len();
    let mut gone: Vec<(Target, String)> = Vec::new();
    for t in all {
        let o = objects::delete_options(grace, cascade, dry);
        let r = match dry {
            DryRun::Client => cx.get(&t.path("")).await,
            _ => cx.json(Method::DELETE, &t.path(""), "application/json", Some(&o)).await,
        };
        match r {
            Ok(v) => {
                said(&cx, &t, force, dry);
                let uid = match text(&v, "/metadata/uid") {
                    "" => text(&v, "/details/uid"),
                    u => u,
                };
                gone.push((t, uid.to_owned()));
            }
            Err(e) if e.is_not_found() && ignore => {}
            Err(e) => errors.push(e),
        }
    }
    if found == 0 && many {
        println!("No resources found");
    }
    if cx.p.on("wait") && dry == DryRun::No {
        wait(&cx, &gone).await?;
    }
    Error::many(errors)
}

pub fn said(cx: &Cx, t: &Target, force: bool, dry: DryRun) {
    if cx.p.text("output") == "name" {
        return print::line(&t.said());
    }
    let r = &t.resource;
    let kind = r.kind.to_lowercase();
    let kind = if r.group.is_empty() { kind } else { format!("{kind}.{}", r.group) };
    let how = if force { "force deleted" } else { "deleted" };
    let place =
        if t.namespace.is_empty() { String::new() } else { format!(" from {} namespace", t.namespace) };
    print::line(&format!("{kind} {:?} {how}{place}{}", t.name, dry.suffix()));
}

/// Until none of these is there any more, or is another of the same name.
pub async fn wait(cx: &Cx, all: &[(Target, String)]) -> Result<(), Error> {
    let limit = cx.p.millis("timeout")?;
    let left = if limit <= 0 {
        Duration::from_secs(168 * 3600)
    } else {
        Duration::from_millis(limit.unsigned_abs())
    };
    let until = tokio::time::Instant::now() + left;
    for (t, uid) in all {
        let watch = async {
            loop {
                let v = match cx.get(&t.path("")).await {
                    Ok(v) => v,
                    Err(e) if e.is_not_found() => return Ok(()),
                    // Who may delete may not always look.
                    Err(Error::Status(s)) if s.reason == "Forbidden" || s.reason == "MethodNotAllowed" => {
                        return Ok(());
                    }
                    Err(e) => return Err(e),
                };
                if !uid.is_empty() && text(&v, "/metadata/uid") != uid {
                    return Ok(());
                }
                follow(cx, t, &v).await?;
            }
        };
        match tokio::time::timeout_at(until, watch).await {
            Ok(r) => r?,
            Err(_) => {
                return Err(Error::plain(format!(
                    "timed out waiting for the condition on {}/{}",
                    t.resource.name, t.name
                )));
            }
        }
    }
    Ok(())
}

/// Until the object is deleted or the watch ends.
async fn follow(cx: &Cx, t: &Target, v: &Value) -> Result<(), Error> {
    let p = with_query(
        t.resource.collection(&t.namespace),
        &[
            ("fieldSelector", &format!("metadata.name={}", t.name)),
            ("watch", "true"),
            ("resourceVersion", text(v, "/metadata/resourceVersion")),
        ],
    );
    cx.lines(&p, "application/json", |e| Ok(!matches!(text(&e, "/type"), "DELETED" | "ERROR"))).await
}
