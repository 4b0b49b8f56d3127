//! `rollout history` and `rollout undo`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, Target, text};
use crate::print;
use client::url::{collection, with_query};
use http::Method;
use serde_json::{Value, json};

super::commands! {
    "rollout history" "(TYPE NAME | TYPE/NAME) [--revision=N]"
        "View rollout history\n\nThe cause of each is the annotation kubernetes.io/change-cause at the time."
        "kubectl rollout history deploy/web\nkubectl rollout history ds/agent --revision=3"
        HISTORY, history;
    "rollout undo" "(TYPE NAME | TYPE/NAME) [--to-revision=N]"
        "Undo a previous rollout"
        "kubectl rollout undo deploy/web\nkubectl rollout undo deploy/web --to-revision=3\nkubectl rollout undo deploy/web --dry-run=server"
        UNDO, undo;
}

pub const HISTORY: &[Flag] = join!(
    objects::FILES,
    &[objects::SELECTOR, flag("revision", None, Form::Text, "0", "Show this revision's pod template")]
);
pub const UNDO: &[Flag] = join!(
    objects::FILES,
    &[objects::SELECTOR],
    objects::WRITE,
    &[flag("to-revision", None, Form::Text, "0", "The revision to go back to; 0: the last one")]
);

const CAUSE: &str = "kubernetes.io/change-cause";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A revision: its number, the ReplicaSet or ControllerRevision, the pod template in it.
struct Revision {
    n: i64,
    object: Value,
    template: Value,
}

async fn revisions(cx: &Cx, t: &Target, v: &Value) -> Result<Vec<Revision>, Error> {
    let what = match t.resource.kind.as_str() {
        "Deployment" => "replicasets",
        "DaemonSet" | "StatefulSet" => "controllerrevisions",
        k => return Err(Error::plain(format!("no history viewer has been implemented for {k:?}"))),
    };
    let mut list = cx.get(&with_query(collection("apps", "v1", what, Some(&t.namespace)), &[])).await?;
    let uid = text(v, "/metadata/uid");
    let mut out = Vec::new();
    let items = match list["items"].take() {
        Value::Array(a) => a,
        _ => Vec::new(),
    };
    for o in items {
        let owners = o["metadata"]["ownerReferences"].as_array();
        if !owners.is_some_and(|a| a.iter().any(|r| r["controller"] == true && text(r, "/uid") == uid)) {
            continue;
        }
        let (n, mut template) = if what == "replicasets" {
            let Ok(n) =
                text(&o["metadata"]["annotations"], &format!("/{}", REVISION.replace('/', "~1"))).parse()
            else {
                continue;
            };
            (n, o["spec"]["template"].clone())
        } else {
            (o["revision"].as_i64().unwrap_or_default(), o["data"]["spec"]["template"].clone())
        };
        if let Some(m) = template.as_object_mut() {
            m.remove("$patch");
        }
        out.push(Revision { n, object: o, template });
    }
    out.sort_by_key(|r| r.n);
    Ok(out)
}

pub async fn history(cx: Cx) -> Result<(), Error> {
    let many = !cx.p.text("selector").is_empty() || cx.p.args.len() == 1;
    let targets = objects::targets(&cx, &cx.p.args, many).await?;
    let (found, mut errors) = objects::fetch(&cx, &targets).await;
    if found.is_empty() && errors.is_empty() {
        return Err(Error::plain("required resource not specified"));
    }
    let want = cx.p.int("revision")?;
    if want < 0 {
        return Err(Error::plain(format!("revision must be a positive integer: {want}")));
    }
    for (t, v) in found {
        let all = match revisions(&cx, &t, &v).await {
            Ok(a) => a,
            Err(e) => {
                errors.push(e);
                continue;
            }
        };
        let name = t.said();
        if want > 0 {
            let Some(r) = all.iter().find(|r| r.n == want) else {
                errors.push(Error::plain("unable to find the specified revision"));
                continue;
            };
            let mut template = r.template.clone();
            let notes = objects::labels(&r.object, "/metadata/annotations");
            if let Some((_, cause)) = notes.into_iter().find(|(k, _)| k == CAUSE) {
                template["metadata"]["annotations"][CAUSE] = cause.into();
            }
            let template = super::describe::template(&template);
            print::line(&format!("{name} with revision #{want}\n{template}"));
            continue;
        }
        if all.is_empty() {
            print::line(&format!("{name} \nNo rollout history found."));
            continue;
        }
        let mut rows = vec![vec!["REVISION".to_owned(), "CHANGE-CAUSE".to_owned()]];
        for r in &all {
            let notes = objects::labels(&r.object, "/metadata/annotations");
            let cause = notes.into_iter().find(|(k, _)| k == CAUSE).map(|(_, v)| v);
            rows.push(vec![r.n.to_string(), cause.unwrap_or_else(|| "<none>".into())]);
        }
        print::line(&format!("{name} \n{}", print::tabs(&rows, 0, 2)));
    }
    Error::many(errors)
}

/// Annotations of a Deployment that stay its own.
const KEPT: &[&str] = &[
    super::create::LAST_APPLIED,
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

async fn back(cx: &Cx, t: &Target, v: &Value, to: i64, dry: DryRun) -> Result<(), Error> {
    let all = revisions(cx, t, v).await?;
    let kind = t.resource.kind.to_lowercase();
    if v["spec"]["paused"] == true {
        return Err(Error::plain(format!(
            "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume {}' and try again",
            t.said()
        )));
    }
    let r = match to {
        0 => all.iter().rev().nth(1).ok_or_else(|| {
            Error::plain(if all.is_empty() || kind == "deployment" {
                format!("no rollout history found for {kind} {:?}", t.name)
            } else {
                "no last revision to roll back to".to_owned()
            })
        })?,
        n => all
            .iter()
            .find(|r| r.n == n)
            .ok_or_else(|| Error::plain(format!("unable to find specified revision {n} in history")))?,
    };
    let mut template = r.template.clone();
    if let Some(l) = template["metadata"]["labels"].as_object_mut().filter(|_| kind == "deployment") {
        l.remove("pod-template-hash");
    }
    if template == v["spec"]["template"] {
        let m = format!("skipped rollback (current template already matches revision {})", r.n);
        return objects::report(cx, t, v, &format!("{m}{}", dry.suffix()));
    }
    let done = format!("rolled back{}", dry.suffix());
    if dry == DryRun::Client {
        return objects::report(cx, t, v, &done);
    }
    let out = if kind == "deployment" {
        let mut notes = json!({});
        for (k, x) in objects::labels(v, "/metadata/annotations") {
            if KEPT.contains(&k.as_str()) {
                notes[k] = x.into();
            }
        }
        for (k, x) in objects::labels(&r.object, "/metadata/annotations") {
            if !KEPT.contains(&k.as_str()) {
                notes[k] = x.into();
            }
        }
        let p = json!([{"op": "replace", "path": "/spec/template", "value": template},
            {"op": "replace", "path": "/metadata/annotations", "value": notes}]);
        let manager = match cx.p.text("field-manager") {
            "" => "kubectl-rollout",
            m => m,
        };
        let path = with_query(t.path(""), &[("fieldManager", manager), dry.query()]);
        cx.json(Method::PATCH, &path, "application/json-patch+json", Some(&p)).await?
    } else {
        objects::patch(cx, t, "", objects::STRATEGIC, &r.object["data"], dry).await?
    };
    objects::report(cx, t, &out, &done)
}

pub async fn undo(cx: Cx) -> Result<(), Error> {
    let dry = DryRun::of(&cx)?;
    let many = !cx.p.text("selector").is_empty() || cx.p.args.len() == 1;
    let targets = objects::targets(&cx, &cx.p.args, many).await?;
    let (found, mut errors) = objects::fetch(&cx, &targets).await;
    if found.is_empty() && errors.is_empty() {
        return Err(Error::plain("required resource not specified"));
    }
    let to = cx.p.int("to-revision")?;
    for (t, v) in found {
        if v["metadata"]["annotations"].get(super::create::LAST_APPLIED).is_some() {
            eprintln!(
                "Warning: resource {}/{} was previously managed with 'kubectl apply'. Rolling back will not update the {} annotation, which may cause unexpected behavior on future 'kubectl apply' operations. Consider using 'kubectl apply' with your previous configuration file instead.",
                t.resource.name,
                t.name,
                super::create::LAST_APPLIED
            );
        }
        if let Err(e) = back(&cx, &t, &v, to, dry).await {
            errors.push(e);
        }
    }
    Error::many(errors)
}
