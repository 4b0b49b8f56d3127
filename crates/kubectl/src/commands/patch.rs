//! `patch`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, text};

super::commands! {
    "patch" "(-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE]"
        "Update fields of a resource\n\nA strategic patch knows lists by their keys (built-in kinds only), a merge patch replaces lists, a JSON patch is a list of\noperations. JSON and YAML are accepted."
        "kubectl patch node n1 -p '{\"spec\":{\"unschedulable\":true}}'\nkubectl patch deploy web --type=merge --patch-file=p.yaml\nkubectl patch pod web --type=json -p '[{\"op\":\"replace\",\"path\":\"/spec/containers/0/image\",\"value\":\"nginx:2\"}]'\nkubectl patch deploy web --subresource=scale --type=merge -p '{\"spec\":{\"replicas\":2}}'"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = join!(
    objects::FILES,
    objects::WRITE,
    &[
        flag("patch", Some('p'), Form::Text, "", "The patch, in JSON or YAML"),
        flag("patch-file", None, Form::Text, "", "A file containing the patch"),
        flag("type", None, Form::Text, "strategic", "The type of patch: json, merge or strategic"),
        flag("subresource", None, Form::Text, "", "The subresource to patch: status, scale or resize")
    ]
);

pub async fn run(cx: Cx) -> Result<(), Error> {
    let dry = DryRun::of(&cx)?;
    let kind = match cx.p.text("type") {
        "json" => "application/json-patch+json",
        "merge" => objects::MERGE,
        "strategic" => objects::STRATEGIC,
        t => return Err(Error::plain(format!("--type must be one of [json merge strategic], not {t:?}"))),
    };
    let p = match (cx.p.given("patch"), cx.p.text("patch-file")) {
        (true, "") => cx.p.text("patch").as_bytes().to_vec(),
        (false, f) if !f.is_empty() => {
            std::fs::read(f).map_err(|e| Error::plain(format!("unable to read patch file: {e}")))?
        }
        (true, _) => return Err(Error::plain("cannot specify --patch and --patch-file together")),
        _ => {
            return Err(Error::plain(
                "must specify --patch or --patch-file containing the contents of the patch",
            ));
        }
    };
    let p = schema::yaml::parse(&p)
        .map_err(|e| Error::plain(format!("unable to parse {:?}: {e}", String::from_utf8_lossy(&p))))?;
    let targets = objects::targets(&cx, &cx.p.args, false).await?;
    if targets.is_empty() {
        return Err(Error::plain(
            "one or more resources must be specified as <resource> <name> or <resource>/<name>",
        ));
    }
    let mut errors = Vec::new();
    for t in &targets {
        if dry == DryRun::Client {
            let v = cx.get(&t.path("")).await?;
            let r = &t.resource;
            let new = match (kind, schema::facts::type_of(&r.group, &r.version, &r.kind)) {
                ("application/json-patch+json", _) => patch::json_patch(&v, &p),
                (objects::STRATEGIC, Some(ty)) => patch::strategic_merge(&v, &p, schema::Node::Type(ty)),
                _ => patch::merge_patch(&v, &p),
            };
            let new = new.map_err(|e| Error::plain(e.to_string()))?;
            objects::report(&cx, t, &new, if new == v { "patched (no change)" } else { "patched" })?;
            continue;
        }
        let before = cx.get(&t.path(cx.p.text("subresource"))).await.ok();
        match objects::patch(&cx, t, cx.p.text("subresource"), kind, &p, dry).await {
            Ok(v) => {
                let at = "/metadata/resourceVersion";
                let same = before.is_some_and(|b| text(&b, at) == text(&v, at)) && dry == DryRun::No;
                let done = if same { "patched (no change)" } else { "patched" };
                objects::report(&cx, t, &v, &format!("{done}{}", dry.suffix()))?;
            }
            Err(Error::Status(s)) if s.reason == "UnsupportedMediaType" => {
                errors.push(Error::plain(format!(
                    "{kind} is not supported by {}, Kind={}: {}",
                    t.resource.api_version(),
                    t.resource.kind,
                    s.message
                )));
            }
            Err(e) => errors.push(e),
        }
    }
    Error::many(errors)
}
