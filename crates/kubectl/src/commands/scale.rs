//! `scale`, `cordon`, `uncordon`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, Target};
use crate::print;
use serde_json::{Value, json};
use std::time::Duration;

super::commands! {
    "scale" "--replicas=COUNT (-f FILENAME | TYPE NAME)"
        "Set a new size for a deployment, replica set, or replication controller\n\n--current-replicas and --resource-version make it do so only if the object is still as expected."
        "kubectl scale --replicas=3 deploy/web\nkubectl scale --replicas=0 deploy --all\nkubectl scale --current-replicas=2 --replicas=3 sts/db"
        FLAGS, run;
    "cordon" "NODE"
        "Mark node as unschedulable\n\nNothing new is scheduled onto it; what runs there goes on running."
        "kubectl cordon n1\nkubectl cordon -l pool=old"
        NODE, cordon;
    "uncordon" "NODE"
        "Mark node as schedulable"
        "kubectl uncordon n1"
        NODE, uncordon;
}

pub const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::SELECTOR,
        objects::OUTPUT,
        objects::DRY_RUN,
        objects::MANAGED,
        flag("replicas", None, Form::Text, "", "The new desired number of replicas. Required."),
        flag("current-replicas", None, Form::Text, "-1", "Precondition for current size"),
        flag("resource-version", None, Form::Text, "", "Precondition for resource version"),
        flag(
            "all",
            None,
            Form::Bool,
            "false",
            "Select all resources in the namespace of the specified types"
        ),
        flag("timeout", None, Form::Text, "0s", "How long to wait until the size is reached; 0: do not wait")
    ]
);
/// How often a size that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(500);
pub const NODE: &[Flag] = &[objects::SELECTOR, objects::DRY_RUN];

pub async fn run(cx: Cx) -> Result<(), Error> {
    let dry = DryRun::of(&cx)?;
    if !cx.p.given("replicas") {
        return Err(Error::plain("required flag(s) \"replicas\" not set"));
    }
    let n = cx.p.int("replicas")?;
    if n < 0 {
        return Err(Error::plain(
            "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0",
        ));
    }
    let want = cx.p.int("current-replicas")?;
    let limit = cx.p.millis("timeout")?;
    let many = cx.p.on("all") || !cx.p.text("selector").is_empty();
    let targets = objects::targets(&cx, &cx.p.args, many).await?;
    let (found, mut errors) = objects::fetch(&cx, &targets).await;
    if found.is_empty() && errors.is_empty() {
        return Err(Error::plain("no objects passed to scale"));
    }
    for (t, v) in found {
        let now = v["spec"]["replicas"].as_i64().unwrap_or(1);
        if want >= 0 && want != now {
            errors.push(Error::plain(format!("Expected replicas to be {want}, was {now}")));
            continue;
        }
        let mut p = json!({"spec": {"replicas": n}});
        if cx.p.given("resource-version") {
            p["metadata"]["resourceVersion"] = cx.p.text("resource-version").into();
        }
        if dry != DryRun::Client
            && let Err(e) = objects::patch(&cx, &t, "scale", objects::MERGE, &p, dry).await
        {
            errors.push(e);
            continue;
        }
        if dry == DryRun::No && limit > 0 {
            let limit = Duration::from_millis(limit.unsigned_abs());
            match tokio::time::timeout(limit, reached(&cx, &t, n)).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => errors.push(e),
                Err(_) => {
                    errors.push(Error::plain(format!("timed out waiting for {:?} to be synced", t.name)))
                }
            }
        }
        objects::report(&cx, &t, &v, &format!("scaled{}", dry.suffix()))?;
    }
    Error::many(errors)
}

/// Waits until as many replicas are there as were asked for, or somebody asked for another number.
async fn reached(cx: &Cx, t: &Target, n: i64) -> Result<(), Error> {
    loop {
        let scale = cx.get(&t.path("scale")).await?;
        if scale["spec"]["replicas"].as_i64().unwrap_or(0) != n
            || scale["status"]["replicas"].as_i64().unwrap_or(0) == n
        {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub async fn cordon(cx: Cx) -> Result<(), Error> {
    let all = nodes(&cx).await?;
    set(&cx, true, &all).await;
    Ok(())
}
pub async fn uncordon(cx: Cx) -> Result<(), Error> {
    let all = nodes(&cx).await?;
    set(&cx, false, &all).await;
    Ok(())
}

/// The nodes that a command line names or selects.
pub async fn nodes(cx: &Cx) -> Result<Vec<(Target, Value)>, Error> {
    DryRun::of(cx)?;
    let mut args = vec!["nodes".to_owned()];
    args.extend(cx.p.args.iter().map(|a| a.strip_prefix("node/").unwrap_or(a).to_owned()));
    let many = !cx.p.text("selector").is_empty();
    if args.len() == 1 && !many {
        return Err(Error::plain(format!(
            "USAGE: {} NODE [flags]\nSee 'kubectl {} -h' for help and examples",
            cx.path, cx.path
        )));
    }
    let targets: Vec<Target> = objects::targets(cx, &args, many).await?;
    let (found, errors) = objects::fetch(cx, &targets).await;
    match errors.into_iter().next() {
        Some(e) => Err(e),
        None => Ok(found),
    }
}

/// Cordons nodes, or takes them back; one that fails is told of, and the others go on.
pub async fn set(cx: &Cx, off: bool, all: &[(Target, Value)]) {
    let dry = DryRun::of(cx).unwrap_or(DryRun::No);
    let done = if off { "cordoned" } else { "uncordoned" };
    for (t, v) in all {
        let line = |said: &str| print::line(&format!("node/{} {said}{}", t.name, dry.suffix()));
        if v["spec"]["unschedulable"].as_bool().unwrap_or(false) == off {
            line(&format!("already {done}"));
            continue;
        }
        let value = if off { json!(true) } else { json!(null) };
        let p = json!({"spec": {"unschedulable": value}});
        if dry != DryRun::Client
            && let Err(e) = objects::patch(cx, t, "", objects::STRATEGIC, &p, dry).await
        {
            let what = done.trim_end_matches("ed");
            eprintln!("error: unable to {what} node {:?}: {}", t.name, e.bare());
            continue;
        }
        line(done);
    }
}
