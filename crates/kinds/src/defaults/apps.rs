//! Defaults of apps/v1 (K/pkg/apis/apps/v1/defaults.go).

use super::DefaultFn;
use crate::val::{Get, Obj, Put};
use meta::time::Timestamp;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("apps.v1.DaemonSet", daemon_set),
    ("apps.v1.Deployment", deployment),
    ("apps.v1.ReplicaSet", |o, _| o.obj("spec").default_nil("replicas", 1)),
    ("apps.v1.StatefulSet", stateful_set),
];

fn deployment(o: &mut Obj, _: Timestamp) {
    let s = o.obj("spec");
    s.default_nil("replicas", 1);
    s.default_nil("revisionHistoryLimit", 10);
    s.default_nil("progressDeadlineSeconds", 600);
    let st = s.obj("strategy");
    st.default_zero("type", "RollingUpdate");
    if st.s("type") == "RollingUpdate" {
        let r = st.obj("rollingUpdate");
        r.default_nil("maxUnavailable", "25%");
        r.default_nil("maxSurge", "25%");
    }
}

fn daemon_set(o: &mut Obj, _: Timestamp) {
    let s = o.obj("spec");
    s.default_nil("revisionHistoryLimit", 10);
    let st = s.obj("updateStrategy");
    st.default_zero("type", "RollingUpdate");
    if st.s("type") == "RollingUpdate" {
        let r = st.obj("rollingUpdate");
        r.default_nil("maxUnavailable", 1);
        r.default_nil("maxSurge", 0);
    }
}

fn stateful_set(o: &mut Obj, _: Timestamp) {
    let s = o.obj("spec");
    s.default_zero("podManagementPolicy", "OrderedReady");
    s.default_nil("replicas", 1);
    s.default_nil("revisionHistoryLimit", 10);
    let st = s.obj("updateStrategy");
    if st.s("type").is_empty() {
        st.put("type", "RollingUpdate");
        st.obj("rollingUpdate");
    }
    if st.s("type") == "RollingUpdate"
        && let Some(r) = st.o_mut("rollingUpdate")
    {
        r.default_nil("partition", 0);
        if schema::facts::gate("MaxUnavailableStatefulSet") {
            r.default_nil("maxUnavailable", 1);
        }
    }
    let p = s.obj("persistentVolumeClaimRetentionPolicy");
    p.default_zero("whenDeleted", "Retain");
    p.default_zero("whenScaled", "Retain");
}
