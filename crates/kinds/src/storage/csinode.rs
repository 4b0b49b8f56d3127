//! CSINodes.

use crate::kit::*;
use crate::podspec::sources::csi_driver_name;

pub(crate) struct CSINode;

impl Strategy for CSINode {
    fn name_errors(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            health(o.v("status").list("storageHealth"), &mut e);
            return e.0;
        }
        validate(o, &mut e);
        let at = At::new("spec.drivers");
        let plain = |d: &Value| {
            let mut d = d.clone();
            if schema::facts::gate("MutableCSINodeAllocatableCount") {
                d.drop_key("allocatable");
            }
            d
        };
        for was in old.v("spec").list("drivers") {
            for d in o.v("spec").list("drivers").iter().filter(|d| d.s("name") == was.s("name")) {
                e.immutable(&at, Some(&plain(d)), Some(&plain(was)));
            }
        }
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.array_at("spec.drivers").len(), age(o, now)]
    }
}

fn validate(o: &Value, e: &mut Errs) {
    let at = At::new("spec.drivers");
    let list = o.v("spec").list("drivers");
    for (i, d) in list.iter().enumerate() {
        let at = at.i(i);
        csi_driver_name(d.s("name"), &at.c("name"), e);
        let id = d.s("nodeID");
        if id.is_empty() {
            e.required(&at.c("nodeID"), "");
        }
        if id.len() > 256 {
            e.invalid(&at.c("nodeID"), id, "must be 256 characters or less");
        }
        e.nonnegative(&at.c("allocatable.count"), d.v("allocatable").i("count"));
        if list[..i].iter().any(|x| x.s("name") == d.s("name")) {
            e.duplicate(&at.c("name"), d.s("name"));
        }
        let topology = d.strs("topologyKeys");
        for (j, k) in topology.iter().enumerate() {
            if k.is_empty() {
                e.required(&at, "");
            }
            if topology[..j].contains(k) {
                e.duplicate(&at, *k);
            }
            e.qualified(&at, k);
        }
    }
}

fn health(list: &[Value], e: &mut Errs) {
    let at = At::new("status.storageHealth");
    for (i, h) in list.iter().enumerate() {
        let at = at.i(i);
        if list[..i].iter().any(|x| x.s("name") == h.s("name")) {
            e.duplicate(&at, h.s("name"));
        }
        csi_driver_name(h.s("name"), &at.c("name"), e);
    }
}
