//! RoleBindings and ClusterRoleBindings.

use crate::kit::*;

pub(crate) struct Binding;

impl Strategy for Binding {
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
