//! `diff`: what `apply` would change, by asking the server without keeping it (kubectl `pkg/cmd/diff`).

use super::apply;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, Target};
use crate::print;
use bytes::Bytes;
use client::url::with_query;
use http::Method;
use meta::selector::Selector;
use serde_json::Value;
use std::path::{Path, PathBuf};

super::commands! {
    "diff" "-f FILENAME"
        "Diff the live version against a would-be applied version\n\nThe server makes the objects as \"apply\" would, without keeping them; what comes of it is compared with what is there\nby `diff -u -N`, or the program that KUBECTL_EXTERNAL_DIFF names. Values of secrets are not shown.\n\nThe exit status is 0 if nothing would change, 1 if something would, and more where something failed."
        "kubectl diff -f app.yaml\ncat app.yaml | kubectl diff -f -\nKUBECTL_EXTERNAL_DIFF=\"colordiff -N -u\" kubectl diff -f app.yaml"
        FLAGS, run;
}

const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::SELECTOR,
        objects::MANAGED,
        objects::FIELD_MANAGER,
        flag("server-side", None, Form::Bool, "false", "As with apply --server-side"),
        flag(
            "force-conflicts",
            None,
            Form::Bool,
            "false",
            "Take fields from other managers, with --server-side"
        ),
        flag("show-secrets", None, Form::Bool, "false", "Show the values of secrets"),
        flag("concurrency", None, Form::Text, "1", "How many objects to ask for at a time"),
        flag("prune", None, Form::Bool, "false", "Not supported")
    ]
);

const TRIES: usize = 4;

/// A folder of its own for one side, gone with this.
struct Side(PathBuf);

impl Side {
    fn new(name: &str, n: i64) -> Result<Self, Error> {
        let p = std::env::temp_dir().join(format!("{name}-{n}"));
        std::fs::DirBuilder::new().create(&p)?;
        std::fs::set_permissions(&p, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        Ok(Self(p))
    }
    fn write(&self, name: &str, v: Option<&Value>) -> Result<(), Error> {
        std::fs::write(self.0.join(name), v.map(print::yaml).unwrap_or_default())?;
        Ok(())
    }
}
impl Drop for Side {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    work(&cx).await.map_err(|e| match e {
        e @ Error::Exit(_) => e,
        // More than 1, which means that there are differences.
        e => Error::Raw(e.tell().0, 2),
    })
}

async fn work(cx: &Cx) -> Result<(), Error> {
    if !cx.p.args.is_empty() {
        return Err(Error::plain(format!(
            "Unexpected args: [{}]\nSee 'kubectl diff -h' for help and examples",
            cx.p.args.join(" ")
        )));
    }
    if !cx.p.given("filename") && !cx.p.given("kustomize") {
        return Err(Error::plain("must specify one of -f and -k"));
    }
    if cx.p.on("prune") {
        return Err(Error::plain("--prune is not supported by this kubectl"));
    }
    if cx.p.on("force-conflicts") && !cx.p.on("server-side") {
        return Err(Error::plain("--force-conflicts only works with --server-side"));
    }
    let n = cx.rt.clock.unix_nanos();
    let (live, merged) = (Side::new("LIVE", n)?, Side::new("MERGED", n)?);
    let selector = Some(cx.p.text("selector")).filter(|s| !s.is_empty());
    let wanted = selector.map(Selector::parse).transpose().map_err(Error::plain)?;
    for m in objects::manifests(cx)? {
        if let Some(s) = &wanted
            && !s.matches_object(&m.value)
        {
            continue;
        }
        let t = objects::place(cx, m).await?;
        let (mut from, mut to) = both(cx, &t).await?;
        from.iter().for_each(objects::warn_if_deleting);
        if !cx.p.on("show-managed-fields") {
            from.iter_mut().for_each(objects::hide_managed);
            objects::hide_managed(&mut to);
        }
        if t.resource.kind == "Secret" && t.resource.api_version() == "v1" && !cx.p.on("show-secrets") {
            mask(from.as_mut(), &mut to);
        }
        let r = &t.resource;
        let group = if r.group.is_empty() { String::new() } else { format!("{}.", r.group) };
        let name = format!("{group}{}.{}.{}.{}", r.version, r.kind, t.namespace, t.name);
        live.write(&name, from.as_ref())?;
        merged.write(&name, Some(&to))?;
    }
    external(&live.0, &merged.0).await
}

/// What is there, and what apply would make of it.
async fn both(cx: &Cx, t: &Target) -> Result<(Option<Value>, Value), Error> {
    let v = t.manifest.as_ref().map(|m| m.value.clone()).unwrap_or_default();
    let given = Some(cx.p.text("field-manager")).filter(|m| !m.is_empty());
    let mut tries = 0;
    loop {
        tries += 1;
        let live = match cx.get(&t.path("")).await {
            Ok(v) => Some(v),
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(e),
        };
        let r = if cx.p.on("server-side") {
            let force = if cx.p.on("force-conflicts") { "true" } else { "false" };
            let path = with_query(
                t.path(""),
                &[("dryRun", "All"), ("fieldManager", given.unwrap_or("kubectl")), ("force", force)],
            );
            let body = Bytes::from(v.to_string());
            cx.exchange(Method::PATCH, &path, "application/apply-patch+yaml", "application/json", body).await
        } else {
            let query = [("dryRun", "All"), ("fieldManager", given.unwrap_or("kubectl-client-side-apply"))];
            match &live {
                None => {
                    let path = with_query(t.resource.collection(&t.namespace), &query);
                    cx.json(Method::POST, &path, "application/json", Some(&v)).await
                }
                Some(live) => {
                    let modified = without_annotation(&v);
                    let (kind, mut p) = apply::difference(t, &apply::original(live)?, &modified, live, true)?;
                    if tries < TRIES && !crate::change::is_empty(&p) {
                        p["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
                    }
                    if crate::change::is_empty(&p) {
                        Ok(live.clone())
                    } else {
                        cx.json(Method::PATCH, &with_query(t.path(""), &query), kind, Some(&p)).await
                    }
                }
            }
        };
        match r {
            Err(e) if e.is_conflict() && tries < TRIES && !cx.p.on("server-side") => {}
            Err(e) => return Err(e),
            Ok(to) => return Ok((live, to)),
        }
    }
}

/// An object of a file without the annotation, which is no difference of the object's.
fn without_annotation(v: &Value) -> Value {
    let mut out = v.clone();
    // Always there, as in what was applied last: otherwise the patch would remove it.
    if out["metadata"]["annotations"].is_null() {
        out["metadata"]["annotations"] = serde_json::json!({});
    }
    if let Some(a) = out.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        a.remove(super::create::LAST_APPLIED);
    }
    out
}

/// Values of a secret, as marks that tell only whether they are the same.
fn mask(from: Option<&mut Value>, to: &mut Value) {
    let old: Vec<(String, String)> = from.as_ref().map(|f| objects::labels(f, "/data")).unwrap_or_default();
    let new = objects::labels(to, "/data");
    let value = |all: &[(String, String)], k: &str| all.iter().find(|(n, _)| n == k).map(|(_, v)| v.clone());
    for (k, v) in &new {
        let changed = value(&old, k).is_some_and(|o| o != *v);
        to["data"][k] = if changed { "*** (after)" } else { "***" }.into();
    }
    if let Some(f) = from {
        for (k, v) in &old {
            let changed = value(&new, k).is_some_and(|n| n != *v);
            f["data"][k] = if changed { "*** (before)" } else { "***" }.into();
        }
    }
}

async fn external(from: &Path, to: &Path) -> Result<(), Error> {
    let wish = std::env::var("KUBECTL_EXTERNAL_DIFF").unwrap_or_default();
    let (program, args) = match wish.split(' ').collect::<Vec<_>>().as_slice() {
        [] | [""] => ("diff".to_owned(), vec!["-u".to_owned(), "-N".to_owned()]),
        [p, rest @ ..] => {
            let safe = |a: &&&str| {
                !a.is_empty() && a.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '='))
            };
            ((*p).to_owned(), rest.iter().filter(safe).map(|a| (*a).to_owned()).collect())
        }
    };
    let external = !wish.is_empty();
    let mut c = tokio::process::Command::new(&program);
    if external {
        c.arg(from).arg(to).args(args);
    } else {
        c.args(args).arg(from).arg(to);
    }
    let why = match c.status().await {
        Ok(s) => match s.code() {
            Some(0) => return Ok(()),
            Some(1) => return Err(Error::Exit(1)),
            Some(n) => format!("exit status {n}"),
            None => "it was killed".into(),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => "executable file not found in $PATH".into(),
        Err(e) => e.to_string(),
    };
    Err(Error::plain(format!("failed to run {program:?}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn masks() {
        let mut from = json!({"data": {"same": "x", "other": "a", "gone": "g"}});
        let mut to = json!({"data": {"same": "x", "other": "b", "new": "n"}});
        mask(Some(&mut from), &mut to);
        assert_eq!(from["data"], json!({"same": "***", "other": "*** (before)", "gone": "***"}));
        assert_eq!(to["data"], json!({"same": "***", "other": "*** (after)", "new": "***"}));
    }
}
