//! `label` and `annotate`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun};
use crate::print;
use serde_json::{Value, json};

super::commands! {
    "label" "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N"
        "Update the labels on a resource\n\nKEY=VALUE sets a label, KEY- removes it. A label that has another value already is changed only with --overwrite."
        "kubectl label pods web app=web\nkubectl label pods web app=other --overwrite\nkubectl label pods web app-\nkubectl label nodes --all disk=ssd\nkubectl label pod web --list"
        FLAGS, label;
    "annotate" "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N"
        "Update the annotations on a resource\n\nAnnotations hold what tools want to remember of an object; nothing is selected by them. KEY- removes one."
        "kubectl annotate pods web note='my web'\nkubectl annotate pods web note=other --overwrite\nkubectl annotate pods web note-"
        FLAGS, annotate;
}

pub const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::SELECTOR,
        objects::FIELD_SELECTOR,
        objects::OUTPUT,
        objects::ALL_NAMESPACES,
        objects::DRY_RUN,
        objects::MANAGED,
        objects::FIELD_MANAGER,
        flag("resource-version", None, Form::Text, "", "Only if the object is still of this version"),
        flag("list", None, Form::Bool, "false", "List what the objects have"),
        flag("overwrite", None, Form::Bool, "false", "Allow values to be overwritten"),
        flag(
            "all",
            None,
            Form::Bool,
            "false",
            "Select all resources, in the namespace of the specified types"
        )
    ]
);

pub async fn label(cx: Cx) -> Result<(), Error> {
    change(&cx, "labels", "label", "labeled").await
}
pub async fn annotate(cx: Cx) -> Result<(), Error> {
    change(&cx, "annotations", "annotation", "annotated").await
}

async fn change(cx: &Cx, field: &str, one: &str, done: &str) -> Result<(), Error> {
    let dry = DryRun::of(cx)?;
    let is_pair = |a: &&String| (a.contains('=') && !a.starts_with('=')) || a.ends_with('-');
    let (pairs, names): (Vec<&String>, Vec<&String>) = cx.p.args.iter().partition(is_pair);
    if pairs.is_empty() && !cx.p.on("list") {
        return Err(Error::plain(format!("at least one {one} update is required")));
    }
    let listing = cx.p.on("list");
    let names: Vec<String> = names.into_iter().cloned().collect();
    let many = cx.p.on("all") || !cx.p.text("selector").is_empty() || !cx.p.text("field-selector").is_empty();
    let targets = objects::targets(cx, &names, many).await?;
    if targets.is_empty() {
        return Err(Error::plain(
            "one or more resources must be specified as <resource> <name> or <resource>/<name>",
        ));
    }
    let (found, mut errors) = objects::fetch(cx, &targets).await;
    let several = found.len() > 1;
    for (t, v) in found {
        if listing && pairs.is_empty() {
            if several {
                print::line(&format!(
                    "Listing {field} for {}.{}/{}:",
                    t.resource.kind,
                    t.resource.api_version(),
                    t.name
                ));
            }
            let all = objects::labels(&v, &format!("/metadata/{field}"));
            all.iter().for_each(|(k, x)| print::line(&format!("{k}={x}")));
            continue;
        }
        let now = objects::labels(&v, &format!("/metadata/{field}"));
        let mut p = serde_json::Map::new();
        let mut clash = None;
        let mut only_removed = true;
        for a in &pairs {
            match a.split_once('=') {
                Some((k, new)) => {
                    only_removed = false;
                    let old = now.iter().find(|(o, _)| o == k);
                    if let Some((_, old)) = old.filter(|(_, o)| o != new && !cx.p.on("overwrite")) {
                        clash = Some(if one == "label" {
                            format!("'{k}' already has a value ({old}), and --overwrite is false")
                        } else {
                            format!(
                                "--overwrite is false but found the following declared annotation(s): '{k}' already has a value ({old})"
                            )
                        });
                    }
                    p.insert(k.to_owned(), new.into());
                }
                None => {
                    let k = a.trim_end_matches('-');
                    if !now.iter().any(|(o, _)| o == k) && one == "label" {
                        print::line(&format!("label {k:?} not found."));
                    }
                    p.insert(k.to_owned(), Value::Null);
                }
            }
        }
        if let Some(c) = clash {
            errors.push(Error::plain(c));
            continue;
        }
        let said = if one == "annotation" {
            done
        } else {
            let same = p
                .iter()
                .all(|(k, v)| now.iter().find(|(o, _)| o == k).map(|(_, v)| v.as_str()) == v.as_str());
            match (same, only_removed) {
                (true, _) => "not labeled",
                (_, true) => "unlabeled",
                _ => "labeled",
            }
        };
        let mut patch = json!({"metadata": {field: p}});
        if cx.p.given("resource-version") {
            patch["metadata"]["resourceVersion"] = cx.p.text("resource-version").into();
        }
        let r = match dry {
            DryRun::Client => patch::merge_patch(&v, &patch).map_err(|e| Error::plain(e.to_string())),
            _ => objects::patch(cx, &t, "", objects::MERGE, &patch, dry).await,
        };
        match r {
            Ok(v) => objects::report(cx, &t, &v, &format!("{said}{}", dry.suffix()))?,
            Err(e) => errors.push(e),
        }
    }
    Error::many(errors)
}
