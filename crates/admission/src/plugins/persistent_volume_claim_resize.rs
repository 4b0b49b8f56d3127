//! PersistentVolumeClaimResize: only claims whose storage class allows it may grow
//! (plugin/pkg/admission/storage/persistentvolume/resize).

use crate::resources::quantity;
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::quantity::Quantity;
use meta::{Status, Value};

pub(crate) struct PersistentVolumeClaimResize;

/// The storage class of a claim: the annotation of old, or the field.
pub(crate) fn class_of(claim: &Value) -> &str {
    claim
        .annotation("volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| claim.str_at("spec.storageClassName"))
}

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Update
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("persistentvolumeclaims") || a.old.is_none() {
            return Ok(());
        }
        let size = |c: &Value| {
            c.at("spec.resources.requests.storage").and_then(quantity).unwrap_or_else(Quantity::zero)
        };
        if size(a.obj()) <= size(a.old()) {
            return Ok(());
        }
        if a.old().str_at("status.phase") != "Bound" {
            return Err(a.forbidden("Only bound persistent volume claims can be expanded"));
        }
        let class = class_of(a.obj());
        let allowed = !class.is_empty()
            && class == class_of(a.old())
            && l.get("storage.k8s.io", "storageclasses", "", class)
                .is_some_and(|c| c.bool_at("allowVolumeExpansion"));
        if allowed {
            return Ok(());
        }
        Err(a.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
             support resize",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn grows_where_allowed() {
        let s = Store::default()
            .with(
                "storage.k8s.io/storageclasses",
                json!({"metadata": {"name": "yes"}, "allowVolumeExpansion": true}),
            )
            .with("storage.k8s.io/storageclasses", json!({"metadata": {"name": "no"}}));
        let claim = |class: &str, size: &str, phase: &str| json!({"metadata": {"name": "c"}, "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}, "status": {"phase": phase}});
        let run = |class: &str, to: &str, phase: &str| {
            Ask::new("update persistentvolumeclaims").run(
                &PersistentVolumeClaimResize,
                &s,
                &mut claim(class, to, phase),
                Some(&claim(class, "1Gi", phase)),
            )
        };
        assert_eq!(run("yes", "2Gi", "Bound"), Ok(()));
        assert_eq!(run("no", "1024Mi", "Bound"), Ok(()));
        assert!(run("no", "2Gi", "Bound").unwrap_err().contains("must support resize"));
        assert!(run("yes", "2Gi", "Pending").unwrap_err().contains("Only bound"));
    }
}
