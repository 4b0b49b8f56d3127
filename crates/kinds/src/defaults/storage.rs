//! Defaults of storage.k8s.io/v1 (K/pkg/apis/storage/v1/defaults.go).

use super::DefaultFn;
use crate::val::{Get, Obj, Put};
use meta::time::Timestamp;
use schema::facts::gate;
use serde_json::json;

pub(super) const ROWS: &[(&str, DefaultFn)] =
    &[("storage.v1.CSIDriver", csi_driver), ("storage.v1.StorageClass", storage_class)];

fn storage_class(o: &mut Obj, _: Timestamp) {
    o.default_nil("reclaimPolicy", "Delete");
    o.default_nil("volumeBindingMode", "Immediate");
}

fn csi_driver(o: &mut Obj, _: Timestamp) {
    let s = o.obj("spec");
    s.default_nil("attachRequired", true);
    for k in ["podInfoOnMount", "storageCapacity", "requiresRepublish"] {
        s.default_nil(k, false);
    }
    s.default_nil("fsGroupPolicy", "ReadWriteOnceWithFSType");
    if s.list("volumeLifecycleModes").is_empty() {
        s.put("volumeLifecycleModes", json!(["Persistent"]));
    }
    for (k, g) in [
        ("seLinuxMount", "SELinuxMountReadWriteOncePod"),
        ("preventPodSchedulingIfMissing", "VolumeLimitScaling"),
    ] {
        if gate(g) {
            s.default_nil(k, false);
        }
    }
}
