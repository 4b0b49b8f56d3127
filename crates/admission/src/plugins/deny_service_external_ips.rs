//! DenyServiceExternalIPs: services may keep the external addresses they have, and get no new ones
//! (plugin/pkg/admission/network/denyserviceexternalips).

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;
use meta::object::ObjectExt;

pub(crate) struct DenyServiceExternalIPs;

impl Plugin for DenyServiceExternalIPs {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn validate(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        let had = a.old().array_at("spec.externalIPs");
        if !a.is_main("services") || a.obj().array_at("spec.externalIPs").iter().all(|ip| had.contains(ip)) {
            return Ok(());
        }
        Err(a.forbidden("Use of external IPs is denied by admission control"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn lets_none_in() {
        let svc = |ips: &[&str]| json!({"metadata": {"name": "s"}, "spec": {"externalIPs": ips}});
        let run = |what: &str, new: &[&str], old: &[&str]| {
            Ask::new(what)
                .run(&DenyServiceExternalIPs, &Store::default(), &mut svc(new), Some(&svc(old)))
                .is_ok()
        };
        assert!(run("update services", &["1.1.1.1"], &["1.1.1.1", "2.2.2.2"]));
        assert!(!run("update services", &["1.1.1.1", "3.3.3.3"], &["1.1.1.1"]));
        assert!(!run("create services", &["1.1.1.1"], &[]));
    }
}
