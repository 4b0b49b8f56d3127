//! `replace`; and requests to a path as it is, for it and for `create` and `delete`.

use super::create::{post, validation, with_last_applied};
use super::delete;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, Target, text};
use crate::print;
use bytes::Bytes;
use client::url::with_query;
use http::Method;
use serde_json::Value;

super::commands! {
    "replace" "-f FILENAME"
        "Replace a resource by file name or stdin\n\nThe file must hold the whole object: what it does not have is gone. With --force the object is deleted and made anew."
        "kubectl replace -f pod.yaml\nkubectl get pod web -o yaml | sed 's/:1.0/:1.1/' | kubectl replace -f -\n\n# Fields that cannot change: delete it and make it again\nkubectl replace --force -f pod.yaml"
        FLAGS, run;
}

pub const RAW: Flag = flag("raw", None, Form::Text, "", "Send the file to this path of the server as it is");

const FLAGS: &[Flag] = join!(
    objects::FILES,
    super::create::MAKE,
    &[
        RAW,
        flag("subresource", None, Form::Text, "", "Replace this subresource: status, scale, resize"),
        flag("force", None, Form::Bool, "false", "Delete the objects, and make them again"),
        flag(
            "grace-period",
            None,
            Form::Text,
            "-1",
            "With --force: seconds given to end; -1: the object's own"
        ),
        flag(
            "cascade",
            None,
            Form::Maybe("background"),
            "background",
            "With --force: background, orphan or foreground",
        ),
        flag(
            "timeout",
            None,
            Form::Text,
            "0s",
            "With --force: how long to wait until they are gone; 0: five minutes at least",
        ),
        flag("wait", None, Form::Bool, "false", "With --force: wait for finalizers too")
    ]
);

/// Sends the one file of `-f`, or nothing, to the path of `--raw`, and prints the answer.
pub async fn raw(cx: &Cx, method: Method) -> Result<(), Error> {
    let body = match cx.p.list("filename").as_slice() {
        [] if method == Method::DELETE => Vec::new(),
        [f] if f == "-" => {
            let mut b = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut b)?;
            b
        }
        [f] => std::fs::read(f).map_err(|e| Error::plain(format!("open {f}: {}", crate::files::why(&e))))?,
        _ => return Err(Error::plain("--raw can only use a single local file or stdin")),
    };
    let content = if body.is_empty() { "" } else { "application/json" };
    let r = cx.send(method, cx.p.text("raw"), content, "application/json, */*", Bytes::from(body)).await?;
    print::out(&String::from_utf8_lossy(&cx.whole(r).await?));
    Ok(())
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    if cx.p.given("raw") && cx.p.given("filename") {
        return raw(&cx, Method::PUT).await;
    }
    let dry = DryRun::of(&cx)?;
    if !cx.p.given("filename") && !cx.p.given("kustomize") {
        return Err(Error::plain("must specify one of -f and -k"));
    }
    let force = cx.p.on("force");
    if cx.p.int("grace-period")? >= 0 && !force {
        return Err(Error::plain("--grace-period must have --force specified"));
    }
    if cx.p.millis("timeout")? != 0 && !force {
        return Err(Error::plain("--timeout must have --force specified"));
    }
    if force && dry != DryRun::No {
        return Err(Error::plain("--dry-run can not be used when --force is set"));
    }
    let mut all = Vec::new();
    for m in objects::manifests(&cx)? {
        let source = m.source.clone();
        all.push((source, objects::place(&cx, m).await?));
    }
    if all.is_empty() {
        return Err(Error::plain("no objects passed to replace"));
    }
    if force {
        return anew(&cx, all).await;
    }
    let mut errors = Vec::new();
    for (source, t) in all {
        let v = wanted(&cx, &t);
        let manager = match cx.p.text("field-manager") {
            "" => "kubectl-replace",
            m => m,
        };
        let path = with_query(
            t.resource.object(&t.namespace, text(&v, "/metadata/name"), cx.p.text("subresource")),
            &[("fieldManager", manager), ("fieldValidation", validation(&cx)?), dry.query()],
        );
        let r = match dry {
            DryRun::Client => Ok(v),
            _ => cx.json(Method::PUT, &path, "application/json", Some(&v)).await,
        };
        match r {
            Ok(v) => objects::report(&cx, &t, &v, &format!("replaced{}", dry.suffix()))?,
            Err(e) => errors.push(e.when("replacing", &source)),
        }
    }
    Error::many(errors)
}

fn wanted(cx: &Cx, t: &Target) -> Value {
    let v = t.manifest.as_ref().map(|m| m.value.clone()).unwrap_or_default();
    // Where the annotation is, it is kept up to date.
    let has = v["metadata"]["annotations"].get(super::create::LAST_APPLIED).is_some();
    if cx.p.on("save-config") || has { with_last_applied(&v) } else { v }
}

/// Deletes the objects, waits until they are gone, and makes them again.
async fn anew(cx: &Cx, all: Vec<(String, Target)>) -> Result<(), Error> {
    let cascade = delete::cascade(cx)?;
    let grace = cx.p.int("grace-period")?;
    if grace == 0 {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely."
        );
    }
    let mut gone = Vec::new();
    for (_, t) in &all {
        let o = objects::delete_options(grace, cascade, DryRun::No);
        match cx.json(Method::DELETE, &t.path(""), "application/json", Some(&o)).await {
            Ok(v) => {
                delete::said(cx, t, grace == 0, DryRun::No);
                let uid = match text(&v, "/metadata/uid") {
                    "" => text(&v, "/details/uid"),
                    u => u,
                };
                gone.push((t.clone(), uid.to_owned()));
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e),
        }
    }
    delete::wait(cx, &gone).await?;
    let mut errors = Vec::new();
    for (source, t) in &all {
        let mut v = wanted(cx, t);
        if let Some(m) = v["metadata"].as_object_mut() {
            // A new object has its own.
            m.remove("resourceVersion");
            m.remove("uid");
        }
        match post(cx, t, &v, DryRun::No, "kubectl-replace").await {
            Ok(v) => objects::report(cx, t, &v, "replaced")?,
            Err(e) => errors.push(e.when("creating", source)),
        }
    }
    Error::many(errors)
}
