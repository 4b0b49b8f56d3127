//! NamespaceAutoProvision: a namespace comes into being with the first object created in it.

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;

pub(crate) struct NamespaceAutoProvision;

impl Plugin for NamespaceAutoProvision {
    fn name(&self) -> &'static str {
        "NamespaceAutoProvision"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        let elsewhere = a.dry_run || a.namespace.is_empty() || a.is("", "namespaces");
        if !elsewhere && l.get("", "namespaces", "", a.namespace).is_none() {
            a.effects.provision_namespace = true;
        }
        Ok(())
    }
}
