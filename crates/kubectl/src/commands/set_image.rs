//! `set image`: other images for containers.

use crate::change;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, join};
use crate::objects::{self, Target, text};
use serde_json::Value;

super::commands! {
    "set image" "(-f FILENAME | TYPE NAME) CONTAINER_NAME_1=CONTAINER_IMAGE_1 ... CONTAINER_NAME_N=CONTAINER_IMAGE_N"
        "Update the image of a pod template\n\nOf pods, replication controllers, deployments, daemon sets, stateful sets, cron jobs and replica sets. `*` as the\ncontainer's name means all of them."
        "# Another image for one container, and for all\nkubectl set image deploy/web nginx=nginx:1.27\nkubectl set image daemonset/agent '*=agent:2'\n\n# In a file, without a server\nkubectl set image -f app.yaml nginx=nginx:1.27 --local -o yaml"
        FLAGS, run;
}

const FLAGS: &[Flag] = join!(objects::FILES, &[objects::SELECTOR], objects::WRITE, change::REACH);

fn update(t: &Target, v: &mut Value, images: &[(&str, &str)]) -> Result<(), Vec<Error>> {
    let spec = change::spec_of(t, v).map_err(|e| change::about(t, &e))?;
    let mut errors = Vec::new();
    for (name, image) in images {
        // Only `*` alone is a pattern here.
        let all = change::containers(spec, "*").into_iter();
        let hits: Vec<&mut Value> = all.filter(|c| *name == "*" || text(c, "/name") == *name).collect();
        if hits.is_empty() && *name != "*" {
            errors.push(Error::plain(format!("error: unable to find container named {name:?}")));
        }
        for c in hits {
            c["image"] = (*image).into();
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let (pairs, names): (Vec<&String>, Vec<&String>) = cx.p.args.iter().partition(|a| a.contains('='));
    let images: Vec<(&str, &str)> = pairs.iter().filter_map(|p| p.split_once('=')).collect();
    let mut errors = Vec::new();
    if names.is_empty() && !cx.p.given("filename") {
        errors.push(Error::plain(
            "one or more resources must be specified as <resource> <name> or <resource>/<name>",
        ));
    }
    if images.is_empty() {
        errors.push(Error::plain("at least one image update is required"));
    } else if images.len() > 1 && images.iter().any(|(n, _)| *n == "*") {
        errors.push(Error::plain(
            "all containers are already specified by *, but saw more than one container_name=container_image pairs",
        ));
    }
    if names.is_empty() && !cx.p.given("filename") {
        return Err(objects::nothing_named());
    }
    Error::many(errors)?;
    let names: Vec<String> = names.into_iter().cloned().collect();
    let failed = "failed to patch image update to pod template:";
    change::each(&cx, &names, "image updated", failed, |t, v| update(t, v, &images)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Resource;
    use serde_json::json;

    #[test]
    fn images() {
        let t = Target {
            resource: Resource {
                kind: "Deployment".into(),
                name: "deployments".into(),
                ..Resource::default()
            },
            namespace: String::new(),
            name: "d".into(),
            manifest: None,
        };
        let mut v = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]}}}});
        update(&t, &mut v, &[("a", "x:2")]).unwrap();
        assert_eq!(v.pointer("/spec/template/spec/containers/0/image").unwrap(), "x:2");
        let e = update(&t, &mut v, &[("z", "x:1")]).unwrap_err();
        assert_eq!(e[0].tell().0, "error: unable to find container named \"z\"");
        update(&t, &mut v, &[("*", "y")]).unwrap();
        assert_eq!(v.pointer("/spec/template/spec/containers/0/image").unwrap(), "y");
    }
}
