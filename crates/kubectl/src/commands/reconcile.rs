//! `auth reconcile`: RBAC objects brought to cover what files say (component-helpers `auth/rbac/reconciliation`).

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, Target, text};
use crate::print;
use http::Method;
use serde_json::{Value, json};

super::commands! {
    "auth reconcile" "-f FILENAME"
        "Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects\n\nWhat is missing is made; rules and subjects of the files are added to objects that are there. Those that the files do\nnot have stay, unless --remove-extra-permissions or --remove-extra-subjects. A binding to another role is made anew.\nOther kinds of object are left alone. For RBAC this is better than \"apply\", which would replace rules."
        "kubectl auth reconcile -f roles.yaml\nkubectl auth reconcile -f roles.yaml --dry-run=client"
        FLAGS, run;
}

const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::OUTPUT,
        objects::DRY_RUN,
        objects::MANAGED,
        flag(
            "remove-extra-permissions",
            None,
            Form::Bool,
            "false",
            "Remove rules that the files do not have"
        ),
        flag(
            "remove-extra-subjects",
            None,
            Form::Bool,
            "false",
            "Remove subjects that the files do not have"
        )
    ]
);

const TRIES: usize = 3;

fn list(v: &Value) -> Vec<Value> {
    v.as_array().cloned().unwrap_or_default()
}

/// Whether a rule allows what one of those parts does.
fn covers(rule: &Value, part: &Value) -> bool {
    let have = |k: &str, v: &Value| rule[k].as_array().is_some_and(|a| a.contains(v));
    let any = |k: &str| have(k, &"*".into());
    let all = |k: &str| list(&part[k]).iter().all(|v| have(k, v));
    let resource = |r: &Value| {
        let sub = r.as_str().and_then(|r| r.split_once('/')).map(|(_, s)| format!("*/{s}"));
        have("resources", r) || sub.is_some_and(|s| have("resources", &s.into()))
    };
    let url = |u: &Value| {
        let u = u.as_str().unwrap_or_default();
        list(&rule["nonResourceURLs"]).iter().filter_map(Value::as_str).any(|o| {
            o == u || o.strip_suffix('*').is_some_and(|p| u.strip_suffix('*').unwrap_or(u).starts_with(p))
        })
    };
    let names = list(&rule["resourceNames"]);
    let wanted = list(&part["resourceNames"]);
    let named = if wanted.is_empty() { names.is_empty() } else { names.is_empty() || all("resourceNames") };
    (any("verbs") || all("verbs"))
        && (any("apiGroups") || all("apiGroups"))
        && (any("resources") || list(&part["resources"]).iter().all(resource))
        && list(&part["nonResourceURLs"]).iter().all(url)
        && named
}

/// What of `wanted` the rules do not allow.
fn lacking(rules: &Value, wanted: &Value) -> Vec<Value> {
    let have = list(rules);
    let all = list(wanted);
    let all = all.iter().flat_map(super::describe::rule_parts);
    all.filter(|p| !have.iter().any(|r| covers(r, p))).collect()
}

#[derive(Default)]
struct Outcome {
    object: Value,
    operation: &'static str,
    protected: bool,
    missing: Vec<Value>,
    extra: Vec<Value>,
}

fn compare(existing: Option<&Value>, wanted: &Value, role: bool, remove: bool) -> Outcome {
    let field = if role { "rules" } else { "subjects" };
    let Some(old) = existing else {
        return Outcome {
            object: wanted.clone(),
            operation: "create",
            missing: list(&wanted[field]),
            ..Outcome::default()
        };
    };
    let note = "rbac.authorization.kubernetes.io/autoupdate";
    let protected = old["metadata"]["annotations"][note] == "false";
    if !role && old["roleRef"] != wanted["roleRef"] {
        return Outcome { object: wanted.clone(), operation: "recreate", protected, ..Outcome::default() };
    }
    let mut o = Outcome { object: old.clone(), protected, ..Outcome::default() };
    for k in ["annotations", "labels"] {
        for (n, v) in wanted["metadata"][k].as_object().into_iter().flatten() {
            if old["metadata"][k].get(n).is_none() {
                o.object["metadata"][k][n] = v.clone();
                o.operation = "update";
            }
        }
    }
    if role {
        let aggregated = wanted["aggregationRule"].is_object() && old["aggregationRule"].is_object();
        o.missing = lacking(&old[field], &wanted[field]);
        if !aggregated {
            o.extra = lacking(&wanted[field], &old[field]);
        }
    } else {
        let (have, want) = (list(&old[field]), list(&wanted[field]));
        o.missing = want.iter().filter(|s| !have.contains(s)).cloned().collect();
        o.extra = have.iter().filter(|s| !want.contains(s)).cloned().collect();
    }
    if remove && !(o.missing.is_empty() && o.extra.is_empty()) {
        o.object[field] = wanted[field].clone();
        o.operation = "update";
    } else if !remove && !o.missing.is_empty() {
        let mut all = list(&old[field]);
        all.extend(o.missing.iter().cloned());
        o.object[field] = Value::Array(all);
        o.operation = "update";
    }
    if role {
        aggregation(&mut o, old, wanted, remove);
    }
    o
}

fn aggregation(o: &mut Outcome, old: &Value, wanted: &Value, remove: bool) {
    let of = |v: &Value| list(&v["aggregationRule"]["clusterRoleSelectors"]);
    let missing: Vec<Value> = of(wanted).into_iter().filter(|s| !of(old).contains(s)).collect();
    let extra = of(old).iter().any(|s| !of(wanted).contains(s));
    if wanted["aggregationRule"].is_null() && old["aggregationRule"].is_object() {
        if let Some(m) = o.object.as_object_mut() {
            m.remove("aggregationRule");
        }
    } else if !remove && !missing.is_empty() {
        let mut all = of(old);
        all.extend(missing);
        o.object["aggregationRule"]["clusterRoleSelectors"] = Value::Array(all);
    } else if remove && (extra || !missing.is_empty()) {
        o.object["aggregationRule"] = wanted["aggregationRule"].clone();
    } else {
        return;
    }
    o.operation = "update";
}

async fn one(cx: &Cx, t: &Target, wanted: &Value, dry: bool) -> Result<Outcome, Error> {
    let role = t.resource.kind.ends_with("Role");
    let remove = cx.p.on(if role { "remove-extra-permissions" } else { "remove-extra-subjects" });
    let mut tries = 0;
    loop {
        tries += 1;
        let existing = match cx.get(&t.path("")).await {
            Ok(v) => Some(v),
            Err(e) if e.is_not_found() => None,
            Err(e) => return Err(e),
        };
        let mut o = compare(existing.as_ref(), wanted, role, remove);
        if o.protected || dry || o.operation.is_empty() {
            return Ok(o);
        }
        if o.operation == "recreate" {
            let uid = existing.map(|e| e["metadata"]["uid"].clone()).unwrap_or_default();
            let d = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}});
            match cx.json(Method::DELETE, &t.path(""), "application/json", Some(&d)).await {
                Err(e) if e.is_conflict() && tries < TRIES => continue,
                Err(e) if !e.is_not_found() => return Err(e),
                _ => {}
            }
        }
        let (method, path) = match o.operation {
            "update" => (Method::PUT, t.path("")),
            _ => (Method::POST, t.resource.collection(&t.namespace)),
        };
        match cx.json(method, &path, "application/json", Some(&o.object)).await {
            Ok(v) => {
                o.object = v;
                return Ok(o);
            }
            Err(e) if tries < TRIES && (e.is_conflict() || e.is_already_exists() || e.is_not_found()) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Rules and subjects as Go's `%+v` has them.
fn shown(v: &Value, role: bool) -> String {
    let l = |k: &str| list(&v[k]).iter().map(print::go).collect::<Vec<_>>().join(" ");
    if role {
        format!(
            "{{Verbs:[{}] APIGroups:[{}] Resources:[{}] ResourceNames:[{}] NonResourceURLs:[{}]}}",
            l("verbs"),
            l("apiGroups"),
            l("resources"),
            l("resourceNames"),
            l("nonResourceURLs")
        )
    } else {
        format!(
            "{{Kind:{} APIGroup:{} Name:{} Namespace:{}}}",
            text(v, "/kind"),
            text(v, "/apiGroup"),
            text(v, "/name"),
            text(v, "/namespace")
        )
    }
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let dry = DryRun::of(&cx)? != DryRun::No;
    if !cx.p.given("filename") && !cx.p.given("kustomize") {
        return Err(Error::plain("must specify one of -f and -k"));
    }
    if let Some(a) = cx.p.args.first() {
        return Err(Error::plain(format!("no arguments are allowed, got {a:?}")));
    }
    for m in objects::manifests(&cx)? {
        let t = objects::place(&cx, m).await?;
        let kind = t.resource.kind.as_str();
        if t.resource.group != "rbac.authorization.k8s.io"
            || !(kind.ends_with("Role") || kind.ends_with("RoleBinding"))
        {
            continue;
        }
        let role = kind.ends_with("Role");
        let wanted = t.manifest.as_ref().map(|m| m.value.clone()).unwrap_or_default();
        let o = one(&cx, &t, &wanted, dry).await?;
        objects::report(&cx, &t, &o.object, if dry { "reconciled (dry run)" } else { "reconciled" })?;
        if o.operation.is_empty() {
            continue;
        }
        let caveat = if o.protected {
            ", but object opted out (rbac.authorization.kubernetes.io/autoupdate: false)"
        } else {
            ""
        };
        eprintln!("\treconciliation required {}{caveat}", o.operation);
        let (what, removed) =
            if role { ("rules", "remove-extra-permissions") } else { ("subjects", "remove-extra-subjects") };
        for (title, all, say) in [("missing", &o.missing, true), ("extra", &o.extra, cx.p.on(removed))] {
            if say && !all.is_empty() {
                eprintln!("\t{title} {what} {}:", if title == "missing" { "added" } else { "removed" });
                all.iter().for_each(|v| eprintln!("\t\t{}", shown(v, role)));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let r = |verbs: Value, res: Value| json!({"verbs": verbs, "apiGroups": [""], "resources": res});
        let have = json!([r(json!(["get", "list"]), json!(["pods"])), r(json!(["*"]), json!(["*/log"]))]);
        let want =
            json!([r(json!(["get", "watch"]), json!(["pods"])), r(json!(["get"]), json!(["pods/log"]))]);
        let l = lacking(&have, &want);
        assert_eq!(l, vec![r(json!(["watch"]), json!(["pods"]))]);
        let old = json!({"metadata": {"labels": {"a": "b"}}, "rules": have});
        let new = json!({"metadata": {"labels": {"c": "d"}}, "rules": want});
        let o = compare(Some(&old), &new, true, false);
        assert_eq!((o.operation, o.object["rules"].as_array().unwrap().len()), ("update", 3));
        assert_eq!(o.object["metadata"]["labels"], json!({"a": "b", "c": "d"}));
        let o = compare(Some(&old), &new, true, true);
        assert_eq!(o.object["rules"], new["rules"]);
        assert_eq!(compare(Some(&new), &new, true, true).operation, "");
        let b = |role: &str| json!({"roleRef": {"name": role}, "subjects": []});
        assert_eq!(compare(Some(&b("x")), &b("y"), false, false).operation, "recreate");
    }
}
