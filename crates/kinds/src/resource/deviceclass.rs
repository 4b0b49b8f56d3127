//! DeviceClasses.

use super::claim;
use crate::kit::*;

pub(crate) struct DeviceClass;

impl Strategy for DeviceClass {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, _old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), age(o, now)]
    }
}

fn validate(o: &Value, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let selectors = at.c("selectors");
    for (i, x) in s.list("selectors").iter().enumerate().take(32) {
        claim::selector(x, &selectors.i(i), e);
    }
    let config = at.c("config");
    for (i, x) in s.list("config").iter().enumerate().take(32) {
        claim::configuration(x, &config.i(i), e);
    }
}
