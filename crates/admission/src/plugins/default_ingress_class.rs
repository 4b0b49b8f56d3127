//! DefaultIngressClass: ingresses that name no class get the default one
//! (plugin/pkg/admission/network/defaultingressclass).

use super::default_storage_class::newest;
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;
use meta::object::ObjectExt;

pub(crate) struct DefaultIngressClass;

impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is("networking.k8s.io", "ingresses")
            || !a.subresource.is_empty()
            || a.obj().at("spec.ingressClassName").is_some()
            || a.obj().annotation("kubernetes.io/ingress.class").is_some()
        {
            return Ok(());
        }
        let classes = l.list("networking.k8s.io", "ingressclasses", "");
        let default =
            newest(classes, |c| c.annotation("ingressclass.kubernetes.io/is-default-class") == Some("true"));
        if let (Some(c), Some(ingress)) = (default, a.object.as_deref_mut()) {
            ingress.set_at("spec.ingressClassName", c.name());
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
    fn sets_the_default() {
        let s = Store::default().with(
            "networking.k8s.io/ingressclasses",
            json!({"metadata": {"name": "nginx", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}}),
        );
        let run = |v: meta::Value| {
            let mut i = v;
            Ask::new("create networking.k8s.io/ingresses")
                .run(&DefaultIngressClass, &s, &mut i, None)
                .unwrap();
            i.str_at("spec.ingressClassName").to_owned()
        };
        assert_eq!(run(json!({"spec": {}})), "nginx");
        assert_eq!(run(json!({"spec": {"ingressClassName": "x"}})), "x");
        assert_eq!(run(json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "y"}}})), "");
    }
}
