//! `apply`: three ways on the client by the last-applied annotation, or on the server with `--server-side`.

use super::create::{LAST_APPLIED, post, validation, with_last_applied};
use crate::cx::Cx;
use crate::error::Error;
use crate::files::Manifest;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, Target, text};
use bytes::Bytes;
use client::url::with_query;
use http::Method;
use schema::Node;
use serde_json::Value;

super::commands! {
    "apply" "-f FILENAME"
        "Apply a configuration to a resource by file name or stdin\n\nMakes the objects of the files what the files say: those that are missing are created, fields that differ are changed,\nand fields that were in the file last time and are not any more are removed. What nobody mentions stays as it is.\n\nWith --server-side the server keeps count of who set which field, and refuses what is somebody else's unless\n--force-conflicts."
        "kubectl apply -f app.yaml\nkubectl apply -f folder/ -R\ncat app.yaml | kubectl apply -f -\n\n# See first\nkubectl diff -f app.yaml\nkubectl apply -f app.yaml --dry-run=server\n\n# On the server\nkubectl apply --server-side --force-conflicts -f app.yaml"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::SELECTOR,
        objects::OUTPUT,
        objects::DRY_RUN,
        objects::MANAGED,
        flag("field-manager", None, Form::Text, "", "Name of the manager to track field ownership"),
        flag("server-side", None, Form::Bool, "false", "Apply on the server instead of the client"),
        flag(
            "force-conflicts",
            None,
            Form::Bool,
            "false",
            "Take fields from other managers, with --server-side"
        ),
        flag(
            "overwrite",
            None,
            Form::Bool,
            "true",
            "Resolve conflicts with other changes in favour of the file"
        ),
        flag("validate", None, Form::Maybe("strict"), "strict", "Field validation: strict, warn or ignore"),
        flag("prune", None, Form::Bool, "false", "Not supported")
    ]
);

pub async fn run(cx: Cx) -> Result<(), Error> {
    let dry = DryRun::of(&cx)?;
    let server = cx.p.on("server-side");
    if cx.p.on("prune") {
        return Err(Error::plain(
            "--prune is not supported by this kubectl; delete what is no longer wanted by its labels",
        ));
    }
    if cx.p.on("force-conflicts") && !server {
        return Err(Error::plain("--force-conflicts only works with --server-side"));
    }
    if dry == DryRun::Client && server {
        return Err(Error::plain(
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)",
        ));
    }
    let all = objects::selected(&cx, objects::manifests(&cx)?)?;
    if !cx.p.given("filename") {
        return Err(Error::plain("must specify one of -f and -k"));
    }
    if all.is_empty() {
        return Err(Error::plain("no objects passed to apply"));
    }
    let mut errors = Vec::new();
    for m in all {
        if let Err(e) = one(&cx, m, dry, server).await {
            errors.push(e);
        }
    }
    Error::many(errors)
}

async fn one(cx: &Cx, m: Manifest, dry: DryRun, server: bool) -> Result<(), Error> {
    let source = m.source.clone();
    let t = objects::place(cx, m).await?;
    let v = t.manifest.as_ref().map(|m| m.value.clone()).unwrap_or_default();
    if t.name.is_empty() {
        let what = text(&v, "/metadata/generateName");
        return Err(Error::plain(if what.is_empty() {
            format!(
                "error when retrieving current configuration of:\nfrom {source:?}: resource name may not be empty"
            )
        } else {
            format!("from {what}: cannot use generate name with apply")
        }));
    }
    if server {
        let manager = Some(cx.p.text("field-manager")).filter(|m| !m.is_empty()).unwrap_or("kubectl");
        let force = if cx.p.on("force-conflicts") { "true" } else { "false" };
        let path = with_query(
            t.path(""),
            &[("fieldManager", manager), ("fieldValidation", validation(cx)?), ("force", force), dry.query()],
        );
        let body = Bytes::from(v.to_string());
        let r =
            cx.exchange(Method::PATCH, &path, "application/apply-patch+yaml", "application/json", body).await;
        return match r {
            Ok(v) => objects::report(cx, &t, &v, &format!("serverside-applied{}", dry.suffix())),
            Err(Error::Status(s)) if s.reason == "Conflict" => Err(Error::plain(format!(
                "{}\nPlease review the fields above--they currently have other managers. Here\nare the ways you can resolve this warning:\n* If you intend to manage all of these fields, please re-run the apply\n  command with the `--force-conflicts` flag.\n* If you do not intend to manage all of the fields, please edit your\n  manifest to remove references to the fields that should keep their\n  current managers.\n* You may co-own fields by updating your manifest to match the existing\n  value; in this case, you'll become the manager if the other manager(s)\n  stop managing the field (remove it from their configuration).\nSee https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts",
                s.message
            ))),
            Err(e) => Err(e),
        };
    }
    let modified = with_last_applied(&v);
    let current = match cx.get(&t.path("")).await {
        Ok(c) => c,
        Err(e) if e.is_not_found() => {
            let made = match dry {
                DryRun::Client => modified,
                _ => post(cx, &t, &modified, dry, "kubectl-client-side-apply")
                    .await
                    .map_err(|e| e.when("creating", &source))?,
            };
            return objects::report(cx, &t, &made, &format!("created{}", dry.suffix()));
        }
        Err(e) => return Err(e),
    };
    if current["metadata"]["annotations"].get(LAST_APPLIED).is_none() {
        eprintln!(
            "Warning: resource {} is missing the {LAST_APPLIED} annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.",
            format_args!("{}/{}", t.resource.name, t.name)
        );
    }
    objects::warn_if_deleting(&current);
    let original = original(&current)?;
    let (kind, patch) = difference(&t, &original, &modified, &current, cx.p.on("overwrite"))?;
    if patch.as_object().is_some_and(serde_json::Map::is_empty) {
        return objects::report(cx, &t, &current, &format!("unchanged{}", dry.suffix()));
    }
    if dry == DryRun::Client {
        return objects::report(cx, &t, &current, &format!("configured{}", dry.suffix()));
    }
    let manager =
        Some(cx.p.text("field-manager")).filter(|m| !m.is_empty()).unwrap_or("kubectl-client-side-apply");
    let path = with_query(
        t.path(""),
        &[("fieldManager", manager), ("fieldValidation", validation(cx)?), dry.query()],
    );
    let v = cx
        .json(Method::PATCH, &path, kind, Some(&patch))
        .await
        .map_err(|e| e.when("applying patch to", &source))?;
    let same = text(&v, "/metadata/resourceVersion") == text(&current, "/metadata/resourceVersion");
    let done = if same && dry == DryRun::No { "unchanged" } else { "configured" };
    objects::report(cx, &t, &v, &format!("{done}{}", dry.suffix()))
}

/// What was applied last, by the object's annotation.
pub fn original(current: &Value) -> Result<Value, Error> {
    match current["metadata"]["annotations"][LAST_APPLIED].as_str() {
        Some(s) => serde_json::from_str(s).map_err(|e| Error::plain(format!("{LAST_APPLIED}: {e}"))),
        None => Ok(Value::Object(serde_json::Map::new())),
    }
}

/// The patch and its type.
pub fn difference(
    t: &Target,
    original: &Value,
    modified: &Value,
    current: &Value,
    overwrite: bool,
) -> Result<(&'static str, Value), Error> {
    let r = &t.resource;
    match schema::facts::type_of(&r.group, &r.version, &r.kind) {
        Some(ty) => patch::three_way_strategic(original, modified, current, Node::Type(ty), overwrite)
            .map(|p| (objects::STRATEGIC, p))
            .map_err(|e| Error::plain(format!("creating patch: {e}"))),
        None => Ok((objects::MERGE, patch::three_way_merge(original, modified, current))),
    }
}
