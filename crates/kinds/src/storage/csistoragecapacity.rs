//! CSIStorageCapacities.

use crate::kit::*;
use crate::podspec::warnings;

pub(crate) struct CSIStorageCapacity;

impl Strategy for CSIStorageCapacity {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, false, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        let mut bad = Errs::default();
        bad.label_selector(&At::new(""), old.set("nodeTopology"), false);
        validate(o, !bad.is_empty(), &mut e);
        for f in ["nodeTopology", "storageClassName"] {
            e.fixed(&At::new(f), o, old, f);
        }
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut out = Vec::new();
        let topology = o.v("nodeTopology");
        let at = At::new("nodeTopology.matchExpressions");
        for (i, x) in topology.list("matchExpressions").iter().enumerate() {
            let key = x.s("key");
            if let Some(msg) = warnings::node_label(key) {
                out.push(format!("{}: {key} is {msg}", at.i(i).c("key")));
            }
        }
        for (k, _) in keys(topology.o("matchLabels")) {
            if let Some(msg) = warnings::node_label(k) {
                out.push(format!("nodeTopology.matchLabels.{k}: {msg}"));
            }
        }
        out
    }
}

fn validate(o: &Value, invalid_selector: bool, e: &mut Errs) {
    e.label_selector(&At::new("nodeTopology"), o.set("nodeTopology"), invalid_selector);
    e.subdomain(&At::new("storageClassName"), o.s("storageClassName"));
    if let Some(c) = o.set("capacity") {
        e.nonnegative_quantity(&At::new("capacity"), &quantity(c));
    }
}
