//! OwnerReferencesPermissionEnforcement: who sets an owner must be allowed to delete the object, and who blocks an
//! owner's deletion to finalize the owner (plugin/pkg/admission/gc).

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::{GroupVersion, Status, Value};

pub(crate) struct OwnerReferencesPermissionEnforcement;

const REFS: &str = "metadata.ownerReferences";

impl Plugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if a.is("", "pods") && a.subresource == "status" {
            return Ok(());
        }
        let (new, old) = (a.obj().array_at(REFS), a.old().array_at(REFS));
        if new == old {
            return Ok(());
        }
        let group = a.resource.group.as_str();
        if !a.creates() {
            let resource = match a.subresource {
                "" => a.resource.resource.clone(),
                s => format!("{}/{s}", a.resource.resource),
            };
            if !l.authorized(a.user, "delete", group, &resource, a.namespace, a.name) {
                return Err(a.forbidden("cannot set an ownerRef on a resource you can't delete: , <nil>"));
            }
        }
        let blocks = |r: &Value| r.bool_at("blockOwnerDeletion");
        let was_blocking = |r: &Value| old.iter().any(|o| o.str_at("uid") == r.str_at("uid") && blocks(o));
        let blocking: Vec<&Value> = new.iter().filter(|r| blocks(r) && !was_blocking(r)).collect();
        if blocking.is_empty() || l.authorized(a.user, "update", "*", "*/finalizers", "", "*") {
            return Ok(());
        }
        for r in blocking {
            let (api, kind) = (r.str_at("apiVersion"), r.str_at("kind"));
            let owner_group = GroupVersion::parse(api).map_or_else(String::new, |gv| gv.group);
            let resources = l.resources_of(&owner_group, kind);
            if resources.is_empty() {
                return Err(a.forbidden(format!(
                    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {api} \
                     Kind {kind}: no matches for kind {} in group {}",
                    meta::field::quote(kind),
                    meta::field::quote(&owner_group)
                )));
            }
            for (resource, namespaced) in resources {
                let ns = if namespaced { a.namespace } else { "" };
                let finalizers = format!("{resource}/finalizers");
                if !l.authorized(a.user, "update", &owner_group, &finalizers, ns, r.str_at("name")) {
                    return Err(a.forbidden(
                        "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set \
                         finalizers on: , <nil>",
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn enforces() {
        let with = |refs: Value| json!({"metadata": {"name": "p", "ownerReferences": refs}});
        let owner = |block: bool| json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", "blockOwnerDeletion": block}]);
        let run = |what: &str, allowed: &[&str], new: Value, old: Value| {
            let s = Store { allowed: allowed.iter().map(|x| (*x).into()).collect(), ..Store::default() };
            Ask::new(what)
                .named("p")
                .run(&OwnerReferencesPermissionEnforcement, &s, &mut with(new), Some(&with(old)))
                .is_ok()
        };
        let delete = "delete  pods ns p";
        let finalize = "update apps replicasets/finalizers ns rs";
        assert!(run("create pods", &[], owner(false), json!([])));
        assert!(!run("create pods", &[], owner(true), json!([])));
        assert!(run("create pods", &[finalize], owner(true), json!([])));
        assert!(run("create pods", &["update * */finalizers  *"], owner(true), json!([])));
        assert!(!run("update pods", &[], owner(false), json!([])));
        assert!(run("update pods", &[delete], owner(false), json!([])));
        assert!(run("update pods", &[], owner(true), owner(true)));
        assert!(!run("update pods", &[delete], owner(true), owner(false)));
        assert!(run("update pods", &[delete, finalize], owner(true), owner(false)));
    }
}
