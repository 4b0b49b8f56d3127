//! AlwaysAdmit does nothing, AlwaysDeny lets nothing pass.

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;

pub(crate) struct Admit;
impl Plugin for Admit {
    fn name(&self) -> &'static str {
        "AlwaysAdmit"
    }
    fn handles(&self, _: Operation) -> bool {
        true
    }
}

pub(crate) struct Deny;
impl Plugin for Deny {
    fn name(&self) -> &'static str {
        "AlwaysDeny"
    }
    fn handles(&self, _: Operation) -> bool {
        true
    }
    fn admit(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        Err(a.forbidden("admission control is denying all modifications"))
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        self.admit(a, l)
    }
}
