//! ResourceQuotas.

use crate::kit::*;
use crate::podspec::resources;

pub(crate) struct ResourceQuota;

impl Strategy for ResourceQuota {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        spec(o.v("spec"), &mut e);
        status(o.v("status"), &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            status(o.v("status"), &mut e);
            return e.0;
        }
        spec(o.v("spec"), &mut e);
        let scopes = |o: &Value| -> std::collections::BTreeSet<String> {
            o.v("spec").strs("scopes").iter().map(|s| (*s).to_owned()).collect()
        };
        if scopes(o) != scopes(old) {
            e.invalid(&At::new("spec.scopes"), o.v("spec").v("scopes").clone(), "field is immutable");
        }
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_some() {
            return Vec::new();
        }
        let hard = o.v("spec").v("hard");
        let mut out = Vec::new();
        for r in ["cpu", "memory", "storage", "ephemeral-storage"] {
            let mut name = format!("requests.{r}");
            if !hard.has(&name) && matches!(r, "cpu" | "memory") {
                r.clone_into(&mut name);
            }
            let limit = format!("limits.{r}");
            if let (Some(a), Some(b)) = (hard.set(&name).map(quantity), hard.set(&limit).map(quantity))
                && a > b
            {
                out.push(format!("ResourceQuota {name} ({a}) should be less than {limit} ({b})"));
            }
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (hard, used) = (o.v("status").o("hard"), o.v("status").v("used"));
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (k, v) in hard.into_iter().flatten() {
            let used = match used.s(k) {
                "" => "0",
                q => q,
            };
            let cell = format!("{k}: {used}/{}", v.as_str().unwrap_or("0"));
            if k.starts_with("limits.") { limits.push(cell) } else { requests.push(cell) }
        }
        row![o.name(), requests.join(", "), limits.join(", "), age(o, now)]
    }
}

fn amounts(list: &Value, at: &At<'_>, e: &mut Errs) {
    for (k, v) in keys(list.as_object()) {
        let at = at.k(k);
        resources::quota_name(k, &at, e);
        resources::value(k, &quantity(v), &at, e);
    }
}

fn status(s: &Value, e: &mut Errs) {
    amounts(s.v("hard"), &At::new("status.hard"), e);
    amounts(s.v("used"), &At::new("status.used"), e);
}

fn scope_known(s: &str) -> bool {
    matches!(
        s,
        "Terminating"
            | "NotTerminating"
            | "BestEffort"
            | "NotBestEffort"
            | "PriorityClass"
            | "VolumeAttributesClass"
            | "CrossNamespacePodAffinity"
    )
}

fn scope_applies(scope: &str, resource: &str) -> bool {
    let compute = matches!(
        resource,
        "cpu" | "memory" | "limits.cpu" | "limits.memory" | "requests.cpu" | "requests.memory"
    );
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || compute,
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn misapplied(scope: &str, s: &Value) -> usize {
    keys(s.o("hard")).filter(|(k, _)| resources::is_quota_standard(k) && !scope_applies(scope, k)).count()
}

fn conflicts(scopes: &[&str]) -> usize {
    [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")]
        .iter()
        .filter(|(a, b)| scopes.contains(a) && scopes.contains(b))
        .count()
}

fn spec(s: &Value, e: &mut Errs) {
    amounts(s.v("hard"), &At::new("spec.hard"), e);
    let at = At::new("spec.scopes");
    let shown = || s.v("scopes").clone();
    let scopes = s.strs("scopes");
    for scope in &scopes {
        if !scope_known(scope) {
            e.invalid(&at, shown(), "unsupported scope");
        }
        for _ in 0..misapplied(scope, s) {
            e.invalid(&at, shown(), "unsupported scope applied to resource");
        }
    }
    for _ in 0..conflicts(&scopes) {
        e.invalid(&at, shown(), "conflicting scopes");
    }
    let Some(selector) = s.set("scopeSelector") else { return };
    let exprs = At::new("spec.scopeSelector.matchExpressions");
    let mut named = Vec::new();
    for r in selector.list("matchExpressions") {
        let (scope, op, values) = (r.s("scopeName"), r.s("operator"), r.list("values"));
        if !scope_known(scope) {
            e.invalid(&exprs.c("scopeName"), scope, "unsupported scope");
        }
        for _ in 0..misapplied(scope, s) {
            e.invalid(&exprs, selector.clone(), "unsupported scope applied to resource");
        }
        let existence = matches!(
            scope,
            "BestEffort" | "NotBestEffort" | "Terminating" | "NotTerminating" | "CrossNamespacePodAffinity"
        );
        if existence && op != "Exists" {
            e.invalid(
                &exprs.c("operator"),
                op,
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        match op {
            "In" | "NotIn" => {
                if values.is_empty() {
                    let why =
                        "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                    e.required(&exprs.c("values"), why);
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let why =
                        "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                    e.invalid(&exprs.c("values"), values.to_vec(), why);
                }
            }
            op => e.invalid(&exprs.c("operator"), op, "not a valid selector operator"),
        }
        named.push(scope);
    }
    for _ in 0..conflicts(&named) {
        e.invalid(&exprs, shown(), "conflicting scopes");
    }
}
