//! `apply view-last-applied` and `apply set-last-applied`: the annotation that apply compares with.

use super::create::{LAST_APPLIED, with_last_applied};
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun};
use crate::print;
use serde_json::{Value, json};

super::commands! {
    "apply view-last-applied" "(TYPE [NAME | -l label] | TYPE/NAME | -f FILENAME)"
        "View the latest last-applied-configuration annotations of a resource/object"
        "kubectl apply view-last-applied deploy/web\nkubectl apply view-last-applied -f app.yaml -o json"
        VIEW, view;
    "apply set-last-applied" "-f FILENAME"
        "Set the last-applied-configuration annotation on a live object to match the contents of a file\n\nNothing else of the object changes."
        "kubectl apply set-last-applied -f app.yaml\nkubectl apply set-last-applied -f app.yaml --create-annotation=true"
        SET, set;
}

const VIEW: &[Flag] = join!(
    objects::FILES,
    &[
        objects::SELECTOR,
        flag("all", None, Form::Bool, "false", "All objects of the type in the namespace"),
        flag("output", Some('o'), Form::Text, "yaml", "Output format: yaml or json")
    ]
);
const SET: &[Flag] = join!(
    objects::FILES,
    &[
        objects::OUTPUT,
        objects::DRY_RUN,
        objects::MANAGED,
        flag("create-annotation", None, Form::Bool, "false", "Also where an object has none yet")
    ]
);

pub async fn view(cx: Cx) -> Result<(), Error> {
    let o = cx.p.text("output");
    if !matches!(o, "yaml" | "json") {
        return Err(Error::plain(format!(
            "Unexpected -o output mode: {o}, the flag 'output' must be one of yaml|json\nSee 'kubectl apply view-last-applied -h' for help and examples"
        )));
    }
    let many = cx.p.on("all") || !cx.p.text("selector").is_empty();
    let targets = objects::targets(&cx, &cx.p.args, many).await?;
    if targets.is_empty() {
        return Err(objects::nothing_named());
    }
    let (found, errors) = objects::fetch(&cx, &targets).await;
    Error::many(errors)?;
    let mut any = false;
    for (t, v) in &found {
        let Some(text) = v["metadata"]["annotations"][LAST_APPLIED].as_str() else {
            eprintln!("error: no last-applied-configuration annotation found on resource: {}", t.name);
            continue;
        };
        any = true;
        let v: Value =
            serde_json::from_str(text).map_err(|e| Error::plain(format!("{LAST_APPLIED}: {e}")))?;
        if o == "json" {
            let mut b = Vec::new();
            let f = serde_json::ser::PrettyFormatter::with_indent(b"  ");
            let mut s = serde_json::Serializer::with_formatter(&mut b, f);
            serde::Serialize::serialize(&v, &mut s).map_err(|e| Error::plain(e.to_string()))?;
            print::line(&String::from_utf8_lossy(&b));
        } else {
            print::out(&print::yaml(&v));
        }
    }
    if any { Ok(()) } else { Err(Error::Exit(1)) }
}

pub async fn set(cx: Cx) -> Result<(), Error> {
    let dry = DryRun::of(&cx)?;
    let mut errors = Vec::new();
    for m in objects::manifests(&cx)? {
        let source = m.source.clone();
        let t = objects::place(&cx, m).await?;
        let wanted = t.manifest.as_ref().map(|m| m.value.clone()).unwrap_or_default();
        let live = match cx.get(&t.path("")).await {
            Ok(v) => v,
            Err(e) => {
                errors.push(e);
                continue;
            }
        };
        let old = &live["metadata"]["annotations"][LAST_APPLIED];
        if old.is_null() && !cx.p.on("create-annotation") {
            errors.push(Error::plain(format!(
                "no last-applied-configuration annotation found on resource: {}, to create the annotation, run the command with --create-annotation",
                t.name
            )));
            continue;
        }
        let new = with_last_applied(&wanted)["metadata"]["annotations"][LAST_APPLIED].clone();
        if *old == new {
            objects::report(&cx, &t, &live, &format!("configured{}", dry.suffix()))?;
            continue;
        }
        let p = json!({"metadata": {"annotations": {LAST_APPLIED: new}}});
        let r = match dry {
            DryRun::Client => Ok(live),
            _ => objects::patch(&cx, &t, "", objects::MERGE, &p, dry).await,
        };
        match r {
            Ok(v) => objects::report(&cx, &t, &v, &format!("configured{}", dry.suffix()))?,
            Err(e) => errors.push(e.when("patching", &source)),
        }
    }
    Error::many(errors)
}
