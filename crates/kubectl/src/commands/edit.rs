//! `edit`: objects in an editor, and what was changed patched back (kubectl `pkg/cmd/util/editor`).

use super::create::{SAVE, VALIDATE, validation, with_last_applied};
use crate::change;
use crate::cx::Cx;
use crate::error::Error;
use crate::files;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, Target, text};
use crate::print;
use client::url::with_query;
use http::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

super::commands! {
    "edit" "(RESOURCE/NAME | -f FILENAME)"
        "Edit a resource on the server\n\nThe objects are opened in the editor that KUBE_EDITOR or EDITOR names, else vi. When it ends, what was changed is\npatched. If the server refuses it, the file is opened again with the reasons at its top; saving it unchanged gives up,\nand so does an empty file. Several objects are edited in one list."
        "kubectl edit svc/web\nKUBE_EDITOR=\"nano\" kubectl edit deploy/web -n prod\nkubectl edit deploy/web --output-patch\nkubectl edit deploy/web --subresource=status"
        FLAGS, run;
}

const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        flag("output", Some('o'), Form::Text, "yaml", "Format to edit in, and to print: yaml or json"),
        objects::MANAGED,
        objects::FIELD_MANAGER,
        VALIDATE,
        SAVE,
        flag("output-patch", None, Form::Bool, "false", "Print the patch"),
        flag("subresource", None, Form::Text, "", "Edit this subresource: status, scale, resize"),
        flag("windows-line-endings", None, Form::Bool, "false", "Edit with the line ends of Windows")
    ]
);

const HEADER: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
";

/// Why the file is opened again: a line, and more.
struct Reason {
    head: String,
    other: Vec<String>,
}

fn header(reasons: &[Reason]) -> String {
    let mut s = HEADER.to_owned();
    let lines = |t: &str| t.replace('\n', "\n# ");
    for r in reasons {
        let _ = writeln!(s, "# {}{}", lines(&r.head), if r.other.is_empty() { "" } else { ":" });
        for o in &r.other {
            let _ = writeln!(s, "# * {}", lines(o));
        }
        s.push_str("#\n");
    }
    s
}

/// Without lines of comment.
fn strip(s: &str) -> String {
    s.split_inclusive('\n').filter(|l| !l.trim_start().starts_with('#')).collect()
}

/// What a file says, however it is written; or its text, where it is no YAML.
fn content(s: &str) -> Result<Value, String> {
    schema::yaml::parse(s.as_bytes()).map_err(|_| strip(s))
}

struct Temp(PathBuf);

impl Temp {
    fn new(cx: &Cx, ext: &str, body: &str) -> Result<Self, Error> {
        let n = cx.rt.clock.unix_nanos();
        let p = std::env::temp_dir().join(format!("kubectl-edit-{n}{ext}"));
        let mut f = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&p)?;
        f.write_all(body.as_bytes())?;
        Ok(Self(p))
    }
    fn remove(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The editor's command: its words, or a line for the shell.
fn editor() -> (Vec<String>, bool) {
    let set = |n: &str| std::env::var(n).ok().filter(|v| !v.is_empty());
    let e = set("KUBE_EDITOR").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    if e.contains(['"', '\'', '\\']) && e.contains(' ') {
        let shell = set("SHELL").unwrap_or_else(|| "/bin/bash".into());
        return (vec![shell, "-c".into(), e], true);
    }
    (e.split(' ').map(str::to_owned).collect(), false)
}

async fn launch(path: &Path) -> Result<(), Error> {
    let (mut words, shell) = editor();
    let shown = words.join(" ");
    let path = path.display().to_string();
    if shell {
        if let Some(l) = words.last_mut() {
            *l = format!("{l} \"{path}\"");
        }
    } else {
        words.push(path);
    }
    match tokio::process::Command::new(&words[0]).args(&words[1..]).status().await {
        Ok(s) if s.success() => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::plain(format!("unable to launch the editor {shown:?}")))
        }
        _ => Err(Error::plain(format!("there was a problem with the editor {shown:?}"))),
    }
}

fn kept(e: Error, file: Option<&Temp>) -> Error {
    if let Some(f) = file.filter(|f| f.0.exists()) {
        eprintln!("A copy of your changes has been stored to {:?}", f.0);
    }
    e
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let targets = objects::targets(&cx, &cx.p.args, true).await?;
    if targets.is_empty() {
        return Err(objects::nothing_named());
    }
    let sub = cx.p.text("subresource");
    let mut found = Vec::new();
    if sub.is_empty() {
        let (all, errors) = objects::fetch(&cx, &targets).await;
        Error::many(errors)?;
        found = all;
    } else {
        for t in targets {
            let v = cx.get(&t.path(sub)).await?;
            found.push((t, v));
        }
    }
    if found.is_empty() {
        return Err(Error::plain("edit cancelled, no objects found"));
    }
    session(&cx, found).await
}

fn whole(found: &[(Target, Value)]) -> Value {
    match found {
        [(_, v)] => v.clone(),
        many => {
            let items: Vec<&Value> = many.iter().map(|(_, v)| v).collect();
            json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})
        }
    }
}

/// How one round of editing ended.
enum Round {
    Done,
    Again(Vec<Reason>),
}

async fn session(cx: &Cx, mut found: Vec<(Target, Value)>) -> Result<(), Error> {
    let json = match cx.p.text("output") {
        "yaml" | "" => false,
        "json" => true,
        "name" => false,
        o => {
            return Err(Error::plain(format!("The flag 'output' must be one of yaml|json|name, got {o:?}")));
        }
    };
    let crlf = cx.p.on("windows-line-endings");
    found.iter_mut().for_each(|(_, v)| objects::hide_managed(v));
    let ext = if json { ".json" } else { ".yaml" };
    let original =
        if json { format!("{}\n", print::pretty(&whole(&found))) } else { print::yaml(&whole(&found)) };
    let (mut reasons, mut edited, mut file): (Vec<Reason>, String, Option<Temp>) =
        (Vec::new(), String::new(), None);
    let mut again = false;
    loop {
        let mut body = if json { String::new() } else { header(&reasons) };
        body.push_str(if again { &edited } else { &original });
        if again && !json {
            body = format!("{}{}", header(&reasons), strip(&edited));
        }
        if crlf {
            body = body.replace("\r\n", "\n").replace('\n', "\r\n");
        }
        let before = std::mem::take(&mut edited);
        let now = Temp::new(cx, ext, &body)?;
        launch(&now.0).await.map_err(|e| kept(e, file.as_ref()))?;
        edited = String::from_utf8_lossy(&std::fs::read(&now.0)?).replace("\r\n", "\n");
        if again && content(&before) == content(&edited) {
            return Err(kept(Error::plain("Edit cancelled, no valid changes were saved."), Some(&now)));
        }
        if let Some(old) = file.replace(now) {
            old.remove();
        }
        let Some(now) = &file else { continue };
        if content(&original) == content(&edited) {
            now.remove();
            eprintln!("Edit cancelled, no changes made.");
            return Ok(());
        }
        if strip(&edited).trim().is_empty() {
            now.remove();
            eprintln!("Edit cancelled, saved file was empty.");
            return Ok(());
        }
        match round(cx, &found, &edited, now).await? {
            Round::Done => {
                now.remove();
                return Ok(());
            }
            Round::Again(r) => {
                reasons = r;
                again = true;
            }
        }
    }
}

async fn round(cx: &Cx, found: &[(Target, Value)], edited: &str, file: &Temp) -> Result<Round, Error> {
    let mut all = Vec::new();
    if let Err(e) = files::documents("edited-file", edited.as_bytes(), &mut all) {
        let (t, _) = &found[0];
        eprintln!("error: {} {:?} is invalid", t.resource.full(), t.name);
        return Ok(Round::Again(vec![Reason {
            head: format!("{} {:?} was not valid", t.resource.full(), t.name),
            other: vec![format!("<nil>: Invalid value: \"The edited file failed validation\": {}", e.bare())],
        }]));
    }
    let (mut reasons, mut retry, mut lost) = (Vec::new(), false, false);
    for m in all {
        let uid = text(&m.value, "/metadata/uid");
        let Some((t, old)) = found.iter().find(|(_, v)| text(v, "/metadata/uid") == uid) else {
            let e = Error::plain(format!("no original object found for {}", print::go(&m.value)));
            return Err(kept(e, Some(file)));
        };
        let mut new = m.value;
        let own = text(&new, "/metadata/namespace");
        if cx.enforce_namespace() && !own.is_empty() && own != cx.namespace()? {
            let given = cx.namespace()?;
            let e = Error::plain(format!(
                "the namespace from the provided object {own:?} does not match the namespace {given:?}. You must pass '--namespace={own}' to perform this operation."
            ));
            return Err(kept(e, Some(file)));
        }
        if new == *old {
            print::line(&format!("{} skipped", t.said()));
            continue;
        }
        let fixed = ["/apiVersion", "/kind", "/metadata/name"];
        if fixed.iter().any(|p| new.pointer(p) != old.pointer(p)) {
            let e = Error::plain("At least one of apiVersion, kind and name was changed");
            return Err(kept(e, Some(file)));
        }
        if cx.p.on("save-config") {
            new = with_last_applied(&new);
        }
        let (kind, p) = change::patch(&t.resource, old, &new)?;
        if cx.p.on("output-patch") {
            print::line(&format!("Patch: {}", print::compact(&p)));
        }
        let manager = match cx.p.text("field-manager") {
            "" => "kubectl-edit",
            m => m,
        };
        let query = [("fieldManager", manager), ("fieldValidation", validation(cx)?)];
        let path = with_query(t.path(cx.p.text("subresource")), &query);
        let said = t.resource.full();
        match cx.json(Method::PATCH, &path, kind, Some(&p)).await {
            Ok(v) => report(cx, t, &v)?,
            Err(Error::Status(s)) if s.reason == "Invalid" => {
                eprintln!("error: {said} {:?} is invalid", t.name);
                let d = serde_json::to_value(&s).unwrap_or_default();
                let causes = d["details"]["causes"].as_array().cloned().unwrap_or_default();
                reasons.push(Reason {
                    head: format!("{said} {:?} was not valid", t.name),
                    other: causes
                        .iter()
                        .map(|c| format!("{}: {}", text(c, "/field"), text(c, "/message")))
                        .collect(),
                });
            }
            Err(e) if e.is_not_found() => {
                lost = true;
                eprintln!("error: {said} {:?} could not be found on the server", t.name);
            }
            Err(e) => {
                retry = true;
                eprintln!("error: {said} {:?} could not be patched: {}", t.name, e.bare());
            }
        }
    }
    if retry {
        eprintln!("You can run `kubectl replace -f {}` to try this update again.", file.0.display());
        return Err(Error::Exit(1));
    }
    if lost {
        eprintln!("The edits you made on deleted resources have been saved to {:?}", file.0);
        return Err(Error::Exit(1));
    }
    Ok(if reasons.is_empty() { Round::Done } else { Round::Again(reasons) })
}

/// What was edited, in the format that was asked for.
fn report(cx: &Cx, t: &Target, v: &Value) -> Result<(), Error> {
    if cx.p.given("output") {
        return objects::report(cx, t, v, "edited");
    }
    print::line(&format!("{} edited", t.said()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let r = Reason { head: "pods \"a\" was not valid".into(), other: vec!["x: y\nz".into()] };
        let h = header(&[r]);
        assert_eq!(&h[HEADER.len()..], "# pods \"a\" was not valid:\n# * x: y\n# z\n#\n");
        assert_eq!(strip("# a\nb\n # c\nd"), "b\nd");
        assert_eq!(content("# x\na: 1\n"), content("a:   1"));
        assert!(content("a: [").is_err());
    }
}
