//! NamespaceLifecycle: nothing is created in a namespace that is not there or is going away; some namespaces stay for
//! ever (apiserver `pkg/admission/plugin/namespace/lifecycle`).

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::{GroupResource, Status};

const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

pub(crate) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }
    fn handles(&self, op: Operation) -> bool {
        op != Operation::Connect
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if a.kind.group.is_empty() && a.kind.kind == "Namespace" {
            if a.operation == Operation::Delete && IMMORTAL.contains(&a.name) {
                let r = a.resource.group_resource();
                return Err(Status::forbidden(&r, a.name, "this namespace may not be deleted"));
            }
            return Ok(());
        }
        // Whoever may not see a namespace may still ask what is allowed in it.
        let review = a.is("authorization.k8s.io", "localsubjectaccessreviews");
        if a.namespace.is_empty() || !a.creates() || review {
            return Ok(());
        }
        let Some(ns) = l.get("", "namespaces", "", a.namespace) else {
            return Err(Status::not_found(&GroupResource::new("", "namespaces"), a.namespace));
        };
        if ns.str_at("status.phase") != "Terminating" {
            return Ok(());
        }
        let why = format!(
            "unable to create new content in namespace {} because it is being terminated",
            a.namespace
        );
        Err(a.forbidden(why).with_cause(
            "NamespaceTerminating",
            format!("namespace {} is being terminated", a.namespace),
            "metadata.namespace",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use meta::Value;
    use serde_json::json;

    #[test]
    fn guards_namespaces() {
        let store = Store::default()
            .namespace("ns")
            .with("/namespaces", json!({"metadata": {"name": "dying"}, "status": {"phase": "Terminating"}}));
        let p = NamespaceLifecycle;
        let mut pod = json!({"metadata": {"name": "p"}});
        let mut ask =
            |what: &str, ns: &str| Ask::new(what).in_namespace(ns).status(&p, &store, &mut pod, None);
        assert!(ask("create pods", "ns").is_ok());
        assert_eq!(ask("create pods", "gone").unwrap_err().message, r#"namespaces "gone" not found"#);
        let e = ask("create pods", "dying").unwrap_err();
        assert_eq!(
            e.message,
            r#"pods "p" is forbidden: unable to create new content in namespace dying because it is being terminated"#
        );
        assert_eq!(e.details.unwrap().causes[0].reason, "NamespaceTerminating");
        assert!(ask("update pods", "dying").is_ok());
        assert!(ask("create authorization.k8s.io/localsubjectaccessreviews", "gone").is_ok());
        let delete = |n: &str| {
            Ask::new("delete namespaces").in_namespace(n).named(n).run(&p, &store, &mut Value::Null, None)
        };
        assert_eq!(
            delete("kube-system"),
            Err(r#"namespaces "kube-system" is forbidden: this namespace may not be deleted"#.into())
        );
        assert_eq!(delete("ns"), Ok(()));
    }
}
