//! ResourceClaimTemplates.

use super::claim;
use crate::kit::*;

pub(crate) struct ResourceClaimTemplate;

impl Strategy for ResourceClaimTemplate {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.immutable(&At::new("spec"), o.f("spec"), old.f("spec"));
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), age(o, now)]
    }
}

fn validate(o: &Value, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let m = s.v("metadata");
    e.annotations(&at.c("metadata.annotations"), m.o("annotations"));
    e.labels(&at.c("metadata.labels"), m.o("labels"));
    if o.s("apiVersion") != "resource.k8s.io/v1beta1" {
        claim::devices(s.v("spec").v("devices"), &at.c("spec.devices"), e);
    }
}
