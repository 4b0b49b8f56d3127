//! FlowSchemas.

use crate::kit::*;

pub(crate) struct FlowSchema;

impl Strategy for FlowSchema {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, _old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            conditions(o, &mut e);
        } else {
            validate(o, &mut e);
        }
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        row![
            o.name(),
            s.v("priorityLevelConfiguration").s("name"),
            s.i("matchingPrecedence"),
            s.set("distinguisherMethod").map_or("<none>", |d| d.s("type")),
            age(o, now),
            rows::condition(o, "Dangling").map_or("?", |c| c.s("status")),
        ]
    }
}

/// Schemas that are always there, as they are.
fn fixed(name: &str) -> Option<Value> {
    let (level, precedence, groups): (_, _, &[&str]) = match name {
        "exempt" => ("exempt", 1, &["system:masters"]),
        "catch-all" => ("catch-all", 10_000, &["system:unauthenticated", "system:authenticated"]),
        _ => return None,
    };
    let subjects: Vec<Value> =
        groups.iter().map(|g| json!({"kind": "Group", "group": {"name": g}})).collect();
    let mut s = json!({
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{
            "subjects": subjects,
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
                "clusterScope": true}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }],
    });
    if name == "catch-all" {
        s.put("distinguisherMethod", json!({"type": "ByUser"}));
    }
    Some(s)
}

/// Each type of condition once.
pub(super) fn conditions(o: &Value, e: &mut Errs) {
    let at = At::new("status.conditions");
    let list = o.v("status").list("conditions");
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        if list[..i].iter().any(|x| x.s("type") == c.s("type")) {
            e.duplicate(&at.c("type"), c.s("type"));
        }
        e.non_empty(&at.c("type"), c.s("type"));
    }
}

fn validate(o: &Value, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let (precedence_at, n) = (at.c("matchingPrecedence"), s.i("matchingPrecedence"));
    if n <= 0 {
        e.invalid(&precedence_at, n, "must be a positive value");
    }
    if n > 10_000 {
        e.invalid(&precedence_at, n, "must not be greater than 10000");
    }
    if n == 1 && o.name() != "exempt" {
        e.invalid(&precedence_at, n, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    if let Some(d) = s.set("distinguisherMethod")
        && !matches!(d.s("type"), "ByNamespace" | "ByUser")
    {
        let shown = json!({"Type": d.s("type")});
        e.unsupported(&at.c("distinguisherMethod.type"), shown, &["ByNamespace", "ByUser"]);
    }
    let level_at = at.c("priorityLevelConfiguration.name");
    match s.v("priorityLevelConfiguration").s("name") {
        "" => e.required(&level_at, "must reference a priority level"),
        name => e.subdomain(&level_at, name),
    }
    let rules_at = at.c("rules");
    for (i, r) in s.list("rules").iter().enumerate() {
        rule(r, &rules_at.i(i), e);
    }
    if fixed(o.name()).is_some_and(|f| !deep_same(&f, s)) {
        e.invalid(&at, s.clone(), format!("spec of '{}' must equal the fixed value", o.name()));
    }
    conditions(o, e);
}

fn rule(r: &Value, at: &At<'_>, e: &mut Errs) {
    let subjects_at = at.c("subjects");
    if r.list("subjects").is_empty() {
        e.required(&subjects_at, "subjects must contain at least one value");
    }
    for (i, s) in r.list("subjects").iter().enumerate() {
        subject(s, &subjects_at.i(i), e);
    }
    let (resources, others) = (r.list("resourceRules"), r.list("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        e.required(at, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    let resources_at = at.c("resourceRules");
    for (i, x) in resources.iter().enumerate() {
        let at = resources_at.i(i);
        verbs(x, &at, e);
        for (f, one, other) in
            [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")]
        {
            let list = x.strs(f);
            if list.is_empty() {
                e.required(&at.c(f), format!("resource rules must supply at least one {one}"));
            } else {
                alone(x, f, other, &at, e);
            }
        }
        namespaces(x, &at, e);
    }
    let others_at = at.c("nonResourceRules");
    for (i, x) in others.iter().enumerate() {
        let at = others_at.i(i);
        verbs(x, &at, e);
        let urls_at = at.c("nonResourceURLs");
        let urls = x.strs("nonResourceURLs");
        if urls.is_empty() {
            e.required(&urls_at, "nonResourceURLs must contain at least one value");
        } else if !alone(x, "nonResourceURLs", "non-resource URLs", &at, e) {
            for (j, u) in urls.iter().enumerate() {
                if let Some(why) = bad_url(u) {
                    e.invalid(&urls_at.i(j), *u, why);
                }
            }
        }
    }
}

/// Whether a list has a star, which then has to be all of it.
fn alone(x: &Value, f: &str, others: &str, at: &At<'_>, e: &mut Errs) -> bool {
    let list = x.strs(f);
    let star = list.contains(&"*");
    if star && list.len() > 1 {
        let why = format!("if '*' is present, must not specify other {others}");
        e.invalid(&at.c(f), x.v(f).clone(), why);
    }
    star
}

fn verbs(x: &Value, at: &At<'_>, e: &mut Errs) {
    const VERBS: &[&str] =
        &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
    let list = x.strs("verbs");
    if list.is_empty() {
        e.required(&at.c("verbs"), "verbs must contain at least one value");
    } else if !alone(x, "verbs", "verbs", at, e) && list.iter().any(|v| !VERBS.contains(v)) {
        e.unsupported(&at.c("verbs"), x.v("verbs").clone(), VERBS);
    }
}

fn namespaces(x: &Value, at: &At<'_>, e: &mut Errs) {
    let list = x.strs("namespaces");
    let list_at = at.c("namespaces");
    if list.is_empty() && !x.b("clusterScope") {
        let why = "resource rules that are not cluster scoped must supply at least one namespace";
        return e.required(&list_at, why);
    }
    if alone(x, "namespaces", "namespaces", at, e) {
        return;
    }
    for (i, n) in list.iter().enumerate() {
        for why in names::is_dns1123_label(n) {
            let why = format!("each member of this list must be '*' or a DNS-1123 label; {why}");
            e.invalid(&list_at.i(i), *n, why);
        }
    }
}

fn bad_url(u: &str) -> Option<&'static str> {
    let stars = u.matches('*').count();
    match u {
        "" => Some("must not be empty"),
        "/" => None,
        u if !u.starts_with('/') => Some("must start with slash"),
        u if u.contains(' ') => Some("must not contain white-space"),
        u if u.contains("//") => Some("must not contain double slash"),
        u if stars > 1 || (stars == 1 && !u.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

fn subject(s: &Value, at: &At<'_>, e: &mut Errs) {
    const KINDS: [(&str, &str); 3] =
        [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let Some((kind, mine)) = KINDS.iter().find(|(k, _)| *k == s.s("kind")) else {
        return e.unsupported(&at.c("kind"), s.s("kind"), &["Group", "ServiceAccount", "User"]);
    };
    let here = at.c(mine);
    match s.set(mine) {
        None => e.required(&here, format!("{mine} is required when subject kind is '{kind}'")),
        Some(x) => {
            let name = x.s("name");
            e.non_empty(&here.c("name"), name);
            if *mine == "serviceAccount" {
                if !matches!(name, "" | "*") {
                    e.subdomain(&here.c("name"), name);
                }
                match x.s("namespace") {
                    "" => e.required(&here.c("namespace"), "must specify namespace for service account"),
                    n => e.label(&here.c("namespace"), n),
                }
            }
        }
    }
    for (kind, f) in KINDS.iter().filter(|(_, f)| f != mine && s.has(f)) {
        e.forbidden(&at.c(f), format!("{f} is forbidden when subject kind is not '{kind}'"));
    }
}
