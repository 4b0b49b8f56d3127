//! DefaultStorageClass: claims that name no storage class get the default one
//! (plugin/pkg/admission/storage/storageclass/setdefault, pkg/volume/util/storageclass.go).

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::{Status, Value};
use std::sync::Arc;

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(crate) struct DefaultStorageClass;

impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("persistentvolumeclaims")
            || a.obj().annotation(BETA_CLASS).is_some()
            || a.obj().at("spec.storageClassName").is_some()
        {
            return Ok(());
        }
        const DEFAULT: [&str; 2] = [
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ];
        let classes = l.list("storage.k8s.io", "storageclasses", "");
        let default = newest(classes, |c| DEFAULT.iter().any(|d| c.annotation(d) == Some("true")));
        if let (Some(c), Some(claim)) = (default, a.object.as_deref_mut()) {
            claim.set_at("spec.storageClassName", c.name());
        }
        Ok(())
    }
}

/// The youngest of those that `f` chooses, by name where several are as young.
pub(super) fn newest(all: Vec<Arc<Value>>, f: impl Fn(&Value) -> bool) -> Option<Arc<Value>> {
    let mut chosen: Vec<Arc<Value>> = all.into_iter().filter(|c| f(c)).collect();
    let age =
        |c: &Value| meta::time::Timestamp::parse(c.str_at("metadata.creationTimestamp")).unwrap_or_default();
    chosen.sort_by(|a, b| age(b).cmp(&age(a)).then_with(|| a.name().cmp(b.name())));
    chosen.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    fn class(name: &str, created: &str, default: bool) -> Value {
        let mark = if default { "true" } else { "false" };
        json!({"metadata": {"name": name, "creationTimestamp": created,
            "annotations": {"storageclass.kubernetes.io/is-default-class": mark}}})
    }

    #[test]
    fn takes_the_newest_default() {
        let s = Store::default()
            .with("storage.k8s.io/storageclasses", class("old", "2020-01-01T00:00:00Z", true))
            .with("storage.k8s.io/storageclasses", class("b", "2021-01-01T00:00:00Z", true))
            .with("storage.k8s.io/storageclasses", class("a", "2021-01-01T00:00:00Z", true))
            .with("storage.k8s.io/storageclasses", class("newer", "2022-01-01T00:00:00Z", false));
        let run = |s: &Store, spec: Value| {
            let mut c = json!({"metadata": {"name": "c"}, "spec": spec});
            Ask::new("create persistentvolumeclaims").run(&DefaultStorageClass, s, &mut c, None).unwrap();
            c["spec"].clone()
        };
        assert_eq!(run(&s, json!({})), json!({"storageClassName": "a"}));
        assert_eq!(run(&s, json!({"storageClassName": ""})), json!({"storageClassName": ""}));
        assert_eq!(run(&Store::default(), json!({})), json!({}));
    }
}
