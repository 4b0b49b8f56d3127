//! `set image`: other images for containers.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, DryRun, text};
use serde_json::{Value, json};

pub const FLAGS: &[Flag] = &[
    objects::FILENAME,
    objects::RECURSIVE,
    objects::SELECTOR,
    objects::OUTPUT,
    objects::DRY_RUN,
    objects::MANAGED,
    objects::FIELD_MANAGER,
    flag("all", None, Form::Bool, "false", "Select all resources, in the namespace of the specified types"),
];

/// Where a kind has its pod's spec.
pub fn pod_spec(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &["spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => &["spec", "template", "spec"],
    }
}

/// The patch of an object, `None` when nothing changes.
fn change(kind: &str, v: &Value, images: &[(&str, &str)]) -> Result<Option<Value>, Error> {
    let path = pod_spec(kind);
    let spec = path.iter().fold(v, |v, k| &v[*k]);
    let mut patch = json!({});
    for (name, image) in images {
        let mut seen = *name == "*";
        for list in ["initContainers", "containers"] {
            for c in spec[list].as_array().into_iter().flatten() {
                let own = text(c, "/name");
                if *name != "*" && *name != own {
                    continue;
                }
                seen = true;
                if text(c, "/image") != *image {
                    if patch[list].is_null() {
                        patch[list] = json!([]);
                    }
                    if let Some(l) = patch[list].as_array_mut() {
                        l.push(json!({"name": own, "image": image}));
                    }
                }
            }
        }
        if !seen {
            return Err(Error::plain(format!("unable to find container named {name:?}")));
        }
    }
    if patch.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(None);
    }
    Ok(Some(path.iter().rev().fold(patch, |v, k| json!({ *k: v }))))
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let dry = DryRun::of(&cx)?;
    let (pairs, names): (Vec<&String>, Vec<&String>) = cx.p.args.iter().partition(|a| a.contains('='));
    let images: Vec<(&str, &str)> = pairs.iter().filter_map(|p| p.split_once('=')).collect();
    if images.is_empty() {
        return Err(Error::plain("at least one image update is required"));
    }
    let names: Vec<String> = names.into_iter().cloned().collect();
    let many = cx.p.on("all") || !cx.p.text("selector").is_empty();
    let targets = objects::targets(&cx, &names, many).await?;
    if targets.is_empty() {
        return Err(Error::plain(
            "one or more resources must be specified as <resource> <name> or <resource>/<name>",
        ));
    }
    let (found, mut errors) = objects::fetch(&cx, &targets).await;
    for (t, v) in found {
        let p = match change(&t.resource.kind, &v, &images) {
            Ok(Some(p)) => p,
            Ok(None) => continue,
            Err(e) => {
                errors.push(e);
                continue;
            }
        };
        let r = match dry {
            DryRun::Client => Ok(v),
            _ => objects::patch(&cx, &t, "", objects::STRATEGIC, &p, dry).await,
        };
        match r {
            Ok(v) => objects::report(&cx, &t, &v, &format!("image updated{}", dry.suffix()))?,
            Err(e) => errors.push(e),
        }
    }
    Error::many(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches() {
        let v = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]}}}});
        let p = change("Deployment", &v, &[("a", "x:2")]).unwrap().unwrap();
        assert_eq!(
            p,
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x:2"}]}}}})
        );
        assert_eq!(change("Deployment", &v, &[("a", "x:1")]).unwrap(), None);
        assert!(change("Deployment", &v, &[("z", "x:1")]).is_err());
        let p = change("Deployment", &v, &[("*", "y")]).unwrap().unwrap();
        assert_eq!(p["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1);
    }
}
