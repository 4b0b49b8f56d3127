//! What webhooks and policies have in common: which requests they are for, conditions, names that are taken.

use crate::kit::*;

const SUFFIX: &str = ".static.k8s.io";

fn reserved() -> String {
    format!(
        "names ending with {SUFFIX:?} are reserved for static manifest-based configurations and cannot be managed via the API"
    )
}

/// Names of configurations that come from files.
pub(super) fn static_name(o: &Value, e: &mut Errs) {
    if o.name().ends_with(SUFFIX) && schema::facts::gate("ManifestBasedAdmissionControlConfig") {
        e.invalid(&At::new("metadata.name"), o.name(), reserved());
    }
}

pub(super) fn static_warnings(o: &Value, old: Option<&Value>) -> Vec<String> {
    let checked = old.is_none() && schema::facts::gate("ManifestBasedAdmissionControlConfig");
    if o.name().ends_with(SUFFIX) && !checked {
        return vec![format!("metadata.name: {}", reserved())];
    }
    Vec::new()
}

/// A pointer to one of some words; `required` where it may not be missing.
pub(super) fn choice(v: &Value, f: &str, words: &[&str], required: bool, at: &At<'_>, e: &mut Errs) {
    match v.os(f) {
        None if required => e.required(&at.c(f), ""),
        None => {}
        Some(s) => drop(e.one_of(&at.c(f), s, words)),
    }
}

pub(super) const FAILURE: &[&str] = &["Fail", "Ignore"];
pub(super) const MATCH: &[&str] = &["Equivalent", "Exact"];
pub(super) const REINVOCATION: &[&str] = &["IfNeeded", "Never"];

fn others_beside_star(list: &[&str]) -> bool {
    list.len() > 1 && list.contains(&"*")
}

/// Operations, groups, versions, resources, scope.
pub(super) fn rule(r: &Value, at: &At<'_>, e: &mut Errs) {
    const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let (ops, ops_at) = (r.strs("operations"), at.c("operations"));
    if ops.is_empty() {
        e.required(&ops_at, "");
    }
    if others_beside_star(&ops) {
        let shown = r.v("operations").clone();
        e.invalid(&ops_at, shown, "if '*' is present, must not specify other operations");
    }
    for (i, op) in ops.iter().enumerate() {
        e.one_of(&ops_at.i(i), op, OPERATIONS);
    }
    for (f, what) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let (list, at) = (r.strs(f), at.c(f));
        if list.is_empty() {
            e.required(&at, "");
        }
        if others_beside_star(&list) {
            let why = format!("if '*' is present, must not specify other {what}");
            e.invalid(&at, r.v(f).clone(), why);
        }
        for (i, v) in list.iter().enumerate().filter(|_| f == "apiVersions") {
            e.non_empty(&at.i(i), v);
        }
    }
    resources(r, &at.c("resources"), e);
    choice(r, "scope", &["*", "Cluster", "Namespaced"], false, at, e);
}

fn resources(r: &Value, at: &At<'_>, e: &mut Errs) {
    let list = r.strs("resources");
    if list.is_empty() {
        e.required(at, "");
    }
    let (mut any_sub, mut any_resource): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    // As upstream has it: only the last of the plain resources counts.
    let mut plain = false;
    for (i, x) in list.iter().enumerate() {
        let at = at.i(i);
        if x.is_empty() {
            e.required(&at, "");
            continue;
        }
        let Some((res, sub)) = x.split_once('/') else {
            plain = *x != "*";
            continue;
        };
        if any_sub.contains(&res) {
            e.invalid(&at, *x, format!("if '{res}/*' is present, must not specify {x}"));
        }
        if any_resource.contains(&sub) {
            e.invalid(&at, *x, format!("if '*/{sub}' is present, must not specify {x}"));
        }
        if sub == "*" {
            any_sub.push(res);
        }
        if res == "*" {
            any_resource.push(sub);
        }
    }
    let shown = r.v("resources");
    if list.len() > 1 && list.contains(&"*/*") {
        e.invalid(at, shown.clone(), "if '*/*' is present, must not specify other resources");
    }
    if list.contains(&"*") && plain {
        let why = "if '*' is present, must not specify other resources without subresources";
        e.invalid(at, shown.clone(), why);
    }
}

pub(super) fn match_resources(m: &Value, at: &At<'_>, e: &mut Errs) {
    choice(m, "matchPolicy", MATCH, true, at, e);
    for f in ["namespaceSelector", "objectSelector"] {
        match m.set(f) {
            None => e.required(&at.c(f), ""),
            Some(s) => e.label_selector(&at.c(f), Some(s), false),
        }
    }
    for f in ["resourceRules", "excludeResourceRules"] {
        let rules = at.c(f);
        for (i, r) in m.list(f).iter().enumerate() {
            let at = rules.i(i);
            let names_at = at.c("resourceNames");
            let list = r.strs("resourceNames");
            for (j, n) in list.iter().enumerate() {
                e.name(&names_at.i(j), n, names::is_path_segment_name);
                if list[..j].contains(n) {
                    e.duplicate(&names_at.i(j), *n);
                }
            }
            rule(r, &at, e);
        }
    }
}

/// Mutation has nothing to do with deletions.
pub(super) fn mutating_operations(m: &Value, at: &At<'_>, e: &mut Errs) {
    for r in m.list("resourceRules") {
        for op in r.strs("operations") {
            e.one_of(&at.c("resourceRules.operations"), op, &["*", "CONNECT", "CREATE", "UPDATE"]);
        }
    }
}

/// `params`: whether the conditions may name the policy's parameters.
pub(super) fn conditions(list: &[Value], params: bool, at: &At<'_>, e: &mut Errs) {
    if list.len() > 64 {
        return e.too_many(at, list.len(), 64);
    }
    let may = cel::policy::May { params, authorizer: true, patch: false };
    let env = (!list.is_empty()).then(|| cel::policy::env(may, &cel::Type::Dyn, &cel::Type::Dyn, None));
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        let name = c.s("name");
        let expression = c.s("expression").trim();
        e.non_empty(&at.c("expression"), expression);
        if let Some(env) = env.as_ref().filter(|_| !expression.is_empty())
            && let Err(why) = cel::policy::Expression::compile(env, expression, &[cel::Type::Bool]).program
        {
            e.invalid(&at.c("expression"), expression, why);
        }
        e.required_name(&at.c("name"), name, names::is_qualified_name);
        if !name.is_empty() && list[..i].iter().any(|x| x.s("name") == name) {
            e.duplicate(&at.c("name"), name);
        }
    }
}

/// Resources that webhooks and policies never see.
const EXCLUDED: &[(&str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
];

pub(super) fn excluded_warnings(r: &Value, at: &At<'_>, out: &mut Vec<String>) {
    let (groups, resources) = (r.strs("apiGroups"), r.strs("resources"));
    if groups.contains(&"*") || resources.contains(&"*") {
        return;
    }
    let mut seen = Vec::new();
    for g in &groups {
        for x in &resources {
            if EXCLUDED.contains(&(*g, *x)) && !seen.contains(&(*g, *x)) {
                seen.push((*g, *x));
                out.push(format!(
                    "{at}: {x}.{g} is excluded from admission webhooks; this rule will have no effect"
                ));
            }
        }
    }
}
