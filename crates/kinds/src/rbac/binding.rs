//! RoleBindings and ClusterRoleBindings.

use crate::kit::*;

pub(crate) struct Binding;

impl Strategy for Binding {
    fn name_errors(&self, name: &str) -> Vec<String> {
        names::is_path_segment_name(name)
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.immutable(&At::new("roleRef"), o.f("roleRef"), old.f("roleRef"));
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let r = o.v("roleRef");
        let of = |kind: &str| -> String {
            let all = o.list("subjects").iter().filter(|s| s.s("kind") == kind);
            all.map(|s| match kind {
                "ServiceAccount" => format!("{}/{}", s.s("namespace"), s.s("name")),
                _ => s.s("name").to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", ")
        };
        row![
            o.name(),
            format!("{}/{}", r.s("kind"), r.s("name")),
            age(o, now),
            of("User"),
            of("Group"),
            of("ServiceAccount"),
        ]
    }
}

const GROUP: &str = "rbac.authorization.k8s.io";

fn validate(o: &Value, e: &mut Errs) {
    let namespaced = o.s("kind") == "RoleBinding";
    let (at, r) = (At::new("roleRef"), o.v("roleRef"));
    e.one_of(&at.c("apiGroup"), r.s("apiGroup"), &[GROUP]);
    let roles: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    e.one_of(&at.c("kind"), r.s("kind"), roles);
    e.required_name(&at.c("name"), r.s("name"), names::is_path_segment_name);
    let at = At::new("subjects");
    for (i, s) in o.list("subjects").iter().enumerate() {
        subject(s, namespaced, &at.i(i), e);
    }
}

fn subject(s: &Value, namespaced: bool, at: &At<'_>, e: &mut Errs) {
    let name = s.s("name");
    e.non_empty(&at.c("name"), name);
    let group = at.c("apiGroup");
    match s.s("kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                e.subdomain(&at.c("name"), name);
            }
            e.one_of(&group, s.s("apiGroup"), &[""]);
            if !namespaced {
                e.non_empty(&at.c("namespace"), s.s("namespace"));
            }
        }
        "User" | "Group" => drop(e.one_of(&group, s.s("apiGroup"), &[GROUP])),
        k => e.unsupported(&at.c("kind"), k, &["ServiceAccount", "User", "Group"]),
    }
}
