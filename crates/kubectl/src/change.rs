//! Objects read, changed here and patched on the server: what the `set` commands have in common.

use crate::cx::Cx;
use crate::discovery::Resource;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, DryRun, Target, text};
use schema::Node;
use serde_json::Value;

pub const ALL: Flag =
    flag("all", None, Form::Bool, "false", "Select all resources, in the namespace of the specified types");
pub const LOCAL: Flag =
    flag("local", None, Form::Bool, "false", "Change what -f holds and print it; ask no server");
/// Which objects [`each`] changes, and where.
pub const REACH: &[Flag] = &[ALL, LOCAL];

/// Where a kind has its pod's spec.
pub fn pod_spec(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some("/spec"),
        "CronJob" => Some("/spec/jobTemplate/spec/template/spec"),
        "ReplicationController" | "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet" | "Job" => {
            Some("/spec/template/spec")
        }
        _ => None,
    }
}

/// Its pod's spec in an object.
pub fn spec_of<'v>(t: &Target, v: &'v mut Value) -> Result<&'v mut Value, Error> {
    pod_spec(&t.resource.kind).and_then(|p| v.pointer_mut(p)).ok_or_else(|| {
        Error::plain(format!(
            "the object is not a pod or does not have a pod template: *v1.{}",
            t.resource.kind
        ))
    })
}

/// Whether a name fits a pattern whose `*` stand for anything.
pub fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(first) else { return false };
    (0..=name.len()).filter(|i| name.is_char_boundary(*i)).any(|i| fits(rest, &name[i..]))
}

/// The containers of a pod's spec that fit a pattern, init containers last.
pub fn containers<'s>(spec: &'s mut Value, pattern: &str) -> Vec<&'s mut Value> {
    let mut out = Vec::new();
    let Some(o) = spec.as_object_mut() else { return out };
    let (mut main, mut init) = (Vec::new(), Vec::new());
    for (k, v) in o {
        let list = match k.as_str() {
            "containers" => &mut main,
            "initContainers" => &mut init,
            _ => continue,
        };
        list.extend(v.as_array_mut().into_iter().flatten().filter(|c| fits(pattern, text(c, "/name"))));
    }
    out.append(&mut main);
    out.append(&mut init);
    out
}

/// The objects of a command line, read; with `--local` as they stand in the files.
pub async fn read(cx: &Cx, names: &[String]) -> Result<(Vec<(Target, Value)>, Vec<Error>), Error> {
    let many = cx.p.on("all") || !cx.p.text("selector").is_empty();
    if cx.p.on("all") && !cx.p.text("selector").is_empty() {
        return Err(Error::plain("cannot set --all and --selector at the same time"));
    }
    if !cx.p.on("local") {
        let targets = objects::targets(cx, names, many).await?;
        if targets.is_empty() {
            return Err(objects::nothing_named());
        }
        return Ok(objects::fetch(cx, &targets).await);
    }
    if DryRun::of(cx)? == DryRun::Server {
        return Err(Error::plain(
            "cannot specify --local and --dry-run=server - did you mean --dry-run=client?",
        ));
    }
    if !names.is_empty() {
        return Err(Error::plain(
            "error: you must specify resources by --filename when --local is set.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'",
        ));
    }
    let mut out = Vec::new();
    for m in objects::manifests(cx)? {
        let (api, kind) = (text(&m.value, "/apiVersion"), text(&m.value, "/kind"));
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let known = schema::facts::resources()
            .iter()
            .find(|r| r.group == group && r.version == version && r.kind == kind);
        let Some(r) = known else {
            return Err(Error::plain(format!("no kind {kind:?} is registered for version {api:?}")));
        };
        let resource = Resource {
            group: r.group.into(),
            version: r.version.into(),
            kind: r.kind.into(),
            name: r.resource.into(),
            namespaced: r.namespaced,
            ..Resource::default()
        };
        let t = Target {
            resource,
            namespace: text(&m.value, "/metadata/namespace").to_owned(),
            name: text(&m.value, "/metadata/name").to_owned(),
            manifest: None,
        };
        out.push((t, m.value));
    }
    Ok((out, Vec::new()))
}

/// The patch that makes one object of another, and its type.
pub fn patch(r: &Resource, before: &Value, after: &Value) -> Result<(&'static str, Value), Error> {
    match schema::facts::type_of(&r.group, &r.version, &r.kind) {
        Some(ty) => patch::create_strategic_patch(before, after, Node::Type(ty))
            .map(|p| (objects::STRATEGIC, p))
            .map_err(|e| Error::plain(format!("creating patch: {e}"))),
        None => Ok((objects::MERGE, patch::create_merge_patch(before, after))),
    }
}

pub fn is_empty(p: &Value) -> bool {
    p.as_object().is_none_or(serde_json::Map::is_empty)
}

/// Changes objects one by one, patches what is another then, and says so.
pub async fn each(
    cx: &Cx,
    names: &[String],
    done: &str,
    failed: &str,
    mut change: impl FnMut(&Target, &mut Value) -> Result<(), Vec<Error>>,
) -> Result<(), Error> {
    let dry = DryRun::of(cx)?;
    let local = cx.p.on("local");
    let (found, mut errors) = read(cx, names).await?;
    for (t, before) in found {
        let mut after = before.clone();
        if let Err(e) = change(&t, &mut after) {
            errors.extend(e);
        }
        let (kind, p) = patch(&t.resource, &before, &after)?;
        if is_empty(&p) {
            continue;
        }
        let v = if local || dry == DryRun::Client {
            Ok(after)
        } else {
            objects::patch(cx, &t, "", kind, &p, dry).await
        };
        match v {
            Ok(v) => objects::report(cx, &t, &v, &format!("{done}{}", dry.suffix()))?,
            Err(e) => errors.push(Error::plain(format!("{failed} {}", e.bare()))),
        }
    }
    Error::many(errors)
}

/// An error about one object, as the `set` commands word it.
pub fn about(t: &Target, e: &Error) -> Vec<Error> {
    vec![Error::plain(format!("error: {}/{} {}\n", t.resource.name, t.name, e.bare()))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns() {
        for (p, n, want) in [
            ("*", "a", true),
            ("a*", "ab", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("b", "ab", false),
        ] {
            assert_eq!(fits(p, n), want, "{p} {n}");
        }
        let mut s = json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]});
        let names =
            |all: Vec<&mut Value>| all.iter().map(|c| text(c, "/name").to_owned()).collect::<Vec<_>>();
        assert_eq!(names(containers(&mut s, "*")), ["a", "b", "i"]);
        assert_eq!(names(containers(&mut s, "b")), ["b"]);
    }
}
