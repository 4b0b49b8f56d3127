//! Defaults of rbac.authorization.k8s.io/v1 (K/pkg/apis/rbac/v1/defaults.go).

use super::DefaultFn;
use crate::val::{Get, Obj, Put};
use meta::time::Timestamp;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("rbac.v1.ClusterRoleBinding", role_ref),
    ("rbac.v1.RoleBinding", role_ref),
    ("rbac.v1.Subject", |o, _| {
        if matches!(o.s("kind"), "User" | "Group") {
            o.default_zero("apiGroup", GROUP);
        }
    }),
];

fn role_ref(o: &mut Obj, _: Timestamp) {
    o.obj("roleRef").default_zero("apiGroup", GROUP);
}
