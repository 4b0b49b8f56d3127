//! Roles and ClusterRoles.

use crate::kit::*;

pub(crate) struct Role;

impl Strategy for Role {
    fn name_errors(&self, name: &str) -> Vec<String> {
        names::is_path_segment_name(name)
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, false, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        let mut bad = Errs::default();
        for s in old.v("aggregationRule").list("clusterRoleSelectors") {
            bad.label_selector(&At::new(""), Some(s), false);
        }
        validate(o, !bad.is_empty(), &mut e);
        e.0
    }
}

fn validate(o: &Value, invalid_selector: bool, e: &mut Errs) {
    let namespaced = o.s("kind") == "Role";
    let at = At::new("rules");
    for (i, r) in o.list("rules").iter().enumerate() {
        rule(r, namespaced, &at.i(i), e);
    }
    let Some(a) = o.set("aggregationRule") else { return };
    let at = At::new("aggregationRule.clusterRoleSelectors");
    let list = a.list("clusterRoleSelectors");
    if list.is_empty() {
        e.required(&at, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (i, s) in list.iter().enumerate() {
        e.label_selector(&at.i(i), Some(s), invalid_selector);
        if meta::labels::from_label_selector(Some(s)).is_err() {
            e.invalid(&at.i(i), Value::Null, "invalid label selector.");
        }
    }
}

/// A rule of a role; authorization reviews and others have the same.
pub(crate) fn rule(r: &Value, namespaced: bool, at: &At<'_>, e: &mut Errs) {
    if r.list("verbs").is_empty() {
        e.required(&at.c("verbs"), "verbs must contain at least one value");
    }
    let any = |f: &str| !r.list(f).is_empty();
    if any("nonResourceURLs") {
        let at = at.c("nonResourceURLs");
        let shown = r.v("nonResourceURLs");
        if namespaced {
            e.invalid(&at, shown.clone(), "namespaced rules cannot apply to non-resource URLs");
        }
        if any("apiGroups") || any("resources") || any("resourceNames") {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            e.invalid(&at, shown.clone(), why);
        }
        return;
    }
    if !any("apiGroups") {
        e.required(&at.c("apiGroups"), "resource rules must supply at least one api group");
    }
    if !any("resources") {
        e.required(&at.c("resources"), "resource rules must supply at least one resource");
    }
}
