//! IngressClasses.

use crate::kit::*;

pub(crate) struct IngressClass;

impl Strategy for IngressClass {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec"), &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        e.fixed(&At::new("spec.controller"), o.v("spec"), old.v("spec"), "controller");
        validate(o.v("spec"), &mut e);
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let default = o.annotation("ingressclass.kubernetes.io/is-default-class") == Some("true");
        let name = format!("{}{}", o.name(), if default { " (default)" } else { "" });
        let s = o.v("spec");
        let parameters = s.set("parameters").map_or_else(
            || "<none>".to_owned(),
            |p| {
                let group = p.os("apiGroup").map_or(String::new(), |g| format!(".{g}"));
                format!("{}{group}/{}", p.s("kind"), p.s("name"))
            },
        );
        row![name, s.s("controller"), parameters, age(o, now)]
    }
}

fn validate(s: &Value, e: &mut Errs) {
    let at = At::new("spec");
    let controller = s.s("controller");
    if controller.len() > 250 {
        e.too_long(&at.c("controller"), 250);
    }
    e.domain_prefixed_path(&at.c("controller"), controller);
    let Some(p) = s.set("parameters") else { return };
    let at = at.c("parameters");
    reference(p, &at, e);
    let namespace_at = at.c("namespace");
    match (p.os("scope"), p.os("namespace")) {
        (None, _) => e.required(&at.c("scope"), ""),
        (Some("Namespace"), None) => {
            e.required(&namespace_at, "`parameters.scope` is set to 'Namespace'");
        }
        (Some("Namespace"), Some(n)) => e.label(&namespace_at, n),
        (Some("Cluster"), Some(_)) => {
            e.forbidden(&namespace_at, "`parameters.scope` is set to 'Cluster'");
        }
        (Some("Cluster"), None) => {}
        (Some(s), _) => e.unsupported(&at.c("scope"), s, &["Cluster", "Namespace"]),
    }
}

/// Group, kind and name of another object.
pub(super) fn reference(p: &Value, at: &At<'_>, e: &mut Errs) {
    if let Some(g) = p.os("apiGroup") {
        e.subdomain(&at.c("apiGroup"), g);
    }
    for f in ["kind", "name"] {
        e.required_name(&at.c(f), p.s(f), names::is_path_segment_name);
    }
}
