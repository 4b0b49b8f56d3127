//! NamespaceExists: requests in a namespace that is not there are refused.

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::{GroupResource, Status};

pub(crate) struct NamespaceExists;

impl Plugin for NamespaceExists {
    fn name(&self) -> &'static str {
        "NamespaceExists"
    }
    fn handles(&self, op: Operation) -> bool {
        op != Operation::Connect
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if a.namespace.is_empty()
            || a.is("", "namespaces")
            || l.get("", "namespaces", "", a.namespace).is_some()
        {
            return Ok(());
        }
        Err(Status::not_found(&GroupResource::new("", "namespaces"), a.namespace))
    }
}
