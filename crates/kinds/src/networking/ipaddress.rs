//! IPAddresses: which object an address of a service range belongs to.

use crate::kit::*;

pub(crate) struct IPAddress;

impl Strategy for IPAddress {
    fn name_errors(&self, name: &str) -> Vec<String> {
        let mut e = Errs::default();
        e.canonical_ip(&At::new(""), name);
        e.0.into_iter().map(|e| e.detail).collect()
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        let at = At::new("spec.parentRef");
        let Some(p) = o.v("spec").set("parentRef") else {
            e.required(&at, "");
            return e.0;
        };
        if !p.s("group").is_empty() {
            e.subdomain(&at.c("group"), p.s("group"));
        }
        for f in ["resource", "name"] {
            e.required_name(&at.c(f), p.s(f), names::is_path_segment_name);
        }
        e.name(&at.c("namespace"), p.s("namespace"), names::is_path_segment_name);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        e.0.extend(self.validate(cx, o));
        e.immutable(&At::new("spec.parentRef"), o.at("spec.parentRef"), old.at("spec.parentRef"));
        e.0
    }

    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let parent = o.v("spec").set("parentRef").map_or_else(
            || "<none>".to_owned(),
            |p| {
                let mut s = p.s("resource").to_lowercase();
                if !p.s("group").is_empty() {
                    s = format!("{s}.{}", p.s("group").to_lowercase());
                }
                if !p.s("namespace").is_empty() {
                    s = format!("{s}/{}", p.s("namespace"));
                }
                format!("{s}/{}", p.s("name"))
            },
        );
        row![o.name(), parent]
    }
}
