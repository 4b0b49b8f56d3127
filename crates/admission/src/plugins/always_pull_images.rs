//! AlwaysPullImages: every image is pulled anew, so that its credentials are checked
//! (plugin/pkg/admission/alwayspullimages).

use crate::pod::{CONTAINER_LISTS, containers, containers_mut, spec_list_mut};
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::field::aggregate;
use meta::object::ObjectExt;
use meta::{FieldError, Path, Status, Value};

const ALWAYS: &str = "Always";

pub(crate) struct AlwaysPullImages;

fn ignored(a: &Attributes<'_>) -> bool {
    if !a.is_main("pods") {
        return true;
    }
    let images = |pod: &Value| -> Vec<String> {
        let spec = pod.get("spec").cloned().unwrap_or_default();
        containers(&spec).map(|(_, c)| c.str_at("image").to_owned()).collect()
    };
    let old = images(a.old());
    a.updates() && images(a.obj()).iter().all(|i| old.contains(i))
}

impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn admit(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        if ignored(a) {
            return Ok(());
        }
        let Some(pod) = a.object.as_deref_mut() else { return Ok(()) };
        for list in CONTAINER_LISTS {
            for c in containers_mut(pod, list).into_iter().flatten() {
                c.set_at("imagePullPolicy", ALWAYS);
            }
        }
        if !pod.array_at("spec.volumes").is_empty() {
            for v in spec_list_mut(pod, "volumes").into_iter().flatten() {
                if v.get("image").is_some() {
                    v.set_at("image.pullPolicy", ALWAYS);
                }
            }
        }
        Ok(())
    }
    fn validate(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        if ignored(a) {
            return Ok(());
        }
        let mut errors: Vec<Status> = Vec::new();
        let mut refuse = |path: String, policy: &str| {
            errors.push(a.forbidden(FieldError::not_supported(&Path::new(path), policy, &[ALWAYS])));
        };
        let none = Value::Null;
        for (path, c) in containers(a.obj().get("spec").unwrap_or(&none)) {
            if c.str_at("imagePullPolicy") != ALWAYS {
                refuse(format!("{path}.imagePullPolicy"), c.str_at("imagePullPolicy"));
            }
        }
        for (i, v) in a.obj().array_at("spec.volumes").iter().enumerate() {
            if v.get("image").is_some() && v.str_at("image.pullPolicy") != ALWAYS {
                refuse(format!("spec.volumes[{i}].image.pullPolicy"), v.str_at("image.pullPolicy"));
            }
        }
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Status::failure(meta::Reason::Unknown, aggregate(&errors))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn pulls_always() {
        let mut pod = json!({"spec": {"containers": [{"image": "a"}], "initContainers": [{"image": "b", "imagePullPolicy": "Never"}],
            "volumes": [{"image": {"reference": "c"}}]}});
        Ask::new("create pods").run(&AlwaysPullImages, &Store::default(), &mut pod, None).unwrap();
        assert_eq!(
            pod,
            json!({"spec": {"containers": [{"image": "a", "imagePullPolicy": "Always"}],
                "initContainers": [{"image": "b", "imagePullPolicy": "Always"}],
                "volumes": [{"image": {"reference": "c", "pullPolicy": "Always"}}]}})
        );
        let old = json!({"spec": {"containers": [{"image": "a"}]}});
        let mut new = old.clone();
        Ask::new("update pods").run(&AlwaysPullImages, &Store::default(), &mut new, Some(&old)).unwrap();
        assert_eq!(new, old);
    }
}
