//! StorageObjectInUseProtection: volumes and claims are only gone when nothing uses them any more: they get a finalizer
//! (plugin/pkg/admission/storage/storageobjectinuseprotection).

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::{Status, Value};

pub(crate) struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn admit(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        let finalizer = match (a.resource.group.as_str(), a.resource.resource.as_str()) {
            ("", "persistentvolumes") => "kubernetes.io/pv-protection",
            ("", "persistentvolumeclaims") => "kubernetes.io/pvc-protection",
            ("storage.k8s.io", "volumeattributesclasses") => "kubernetes.io/vac-protection",
            _ => return Ok(()),
        };
        if a.subresource.is_empty()
            && let Some(o) = a.object.as_deref_mut()
        {
            add_finalizer(o, finalizer);
        }
        Ok(())
    }
}

pub(super) fn add_finalizer(o: &mut Value, finalizer: &str) {
    if !o.finalizers().contains(&finalizer) {
        let mut all = o.array_at("metadata.finalizers").to_vec();
        all.push(finalizer.into());
        o.set_at("metadata.finalizers", all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn protects() {
        for (what, f) in [
            ("create persistentvolumes", "kubernetes.io/pv-protection"),
            ("create persistentvolumeclaims", "kubernetes.io/pvc-protection"),
            ("create storage.k8s.io/volumeattributesclasses", "kubernetes.io/vac-protection"),
        ] {
            let mut o = json!({"metadata": {"finalizers": ["x"]}});
            for _ in 0..2 {
                Ask::new(what).run(&StorageObjectInUseProtection, &Store::default(), &mut o, None).unwrap();
                assert_eq!(o["metadata"]["finalizers"], json!(["x", f]));
            }
        }
    }
}
