//! What is said in the status of a definition: names and conditions (apiextensions-apiserver `pkg/controller/status`,
//! `pkg/controller/{establish,nonstructuralschema,apiapproval}`). Functions of the definitions alone.

use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{Path, Value};
use serde_json::json;
use std::collections::BTreeSet;
use structural::Schema;

pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
const APPROVED: &str = "api-approved.kubernetes.io";

pub fn is_true(crd: &Value, condition: &str) -> bool {
    find(crd, condition).is_some_and(|c| c.str_at("status") == "True")
}

fn find<'c>(crd: &'c Value, condition: &str) -> Option<&'c Value> {
    crd.array_at("status.conditions").iter().find(|c| c.str_at("type") == condition)
}

/// Sets a condition; the time of transition stays where the status does.
pub fn set(crd: &mut Value, condition: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let mut all = crd.array_at("status.conditions").to_vec();
    let new = |since: Value| {
        json!({
            "type": condition, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
        })
    };
    match all.iter_mut().find(|c| c.str_at("type") == condition) {
        None => all.push(new(now.rfc3339().into())),
        Some(c) => {
            let since = c.at("lastTransitionTime").filter(|_| c.str_at("status") == status).cloned();
            let observed = c.at("observedGeneration").cloned();
            *c = new(since.unwrap_or_else(|| now.rfc3339().into()));
            if let Some(g) = observed {
                c.set_at("observedGeneration", g);
            }
        }
    }
    crd.set_at("status.conditions", all);
}

fn drop_condition(crd: &mut Value, condition: &str) {
    let mut all = crd.array_at("status.conditions").to_vec();
    all.retain(|c| c.str_at("type") != condition);
    crd.set_at("status.conditions", all);
}

/// Names that others of the group were given: of resources, of kinds.
fn taken<'a>(others: impl Iterator<Item = &'a Value>) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for o in others {
        let Some(n) = o.at("status.acceptedNames") else { continue };
        resources.extend([n.str_at("plural"), n.str_at("singular")]);
        resources.extend(n.array_at("shortNames").iter().filter_map(Value::as_str));
        kinds.extend([n.str_at("kind"), n.str_at("listKind")]);
    }
    resources.remove("");
    kinds.remove("");
    (resources, kinds)
}

/// Gives a definition the names it asks for, as far as no other definition of its group (`others`) has them, and sets
/// the conditions that follow. True where something changed.
pub fn settle<'a>(crd: &mut Value, others: impl Iterator<Item = &'a Value>, now: Timestamp) -> bool {
    let before = crd.get("status").cloned();
    if let Some(v) = violations(crd) {
        set(crd, "NonStructuralSchema", "True", "Violations", &v, now);
    } else if find(crd, "NonStructuralSchema").is_some() {
        drop_condition(crd, "NonStructuralSchema");
    }
    approval(crd, now);
    let wanted = crd.at("spec.names").cloned().unwrap_or_default();
    let have = crd.at("status.acceptedNames").cloned().unwrap_or_default();
    let settled = wanted == have && find(crd, "NamesAccepted").is_some();
    if !settled {
        names(crd, &wanted, &have, others, now);
    }
    if is_true(crd, "NamesAccepted") && !is_true(crd, "Established") && crd.deletion_timestamp().is_none() {
        set(crd, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now);
    }
    crd.get("status") != before.as_ref()
}

fn names<'a>(
    crd: &mut Value,
    wanted: &Value,
    have: &Value,
    others: impl Iterator<Item = &'a Value>,
    now: Timestamp,
) {
    let (resources, kinds) = taken(others);
    let mut accepted = have.clone();
    let mut conflict: Option<(&str, String)> = None;
    let free = |want: &str, have: &str, used: &BTreeSet<&str>| want == have || !used.contains(want);
    for (field, reason, used) in [
        ("plural", "PluralConflict", &resources),
        ("singular", "SingularConflict", &resources),
        ("shortNames", "ShortNamesConflict", &resources),
        ("kind", "KindConflict", &kinds),
        ("listKind", "ListKindConflict", &kinds),
    ] {
        let why = if field == "shortNames" {
            let old: Vec<&str> = have.array_at(field).iter().filter_map(Value::as_str).collect();
            let new = wanted.array_at(field).iter().filter_map(Value::as_str);
            let bad: Vec<String> = new
                .filter(|n| !old.contains(n) && used.contains(n))
                .map(|n| format!("{n:?} is already in use"))
                .collect();
            match bad.as_slice() {
                [] => None,
                [one] => Some(one.clone()),
                many => Some(format!("[{}]", many.join(", "))),
            }
        } else {
            let want = wanted.str_at(field);
            (!free(want, have.str_at(field), used)).then(|| format!("{want:?} is already in use"))
        };
        match why {
            Some(w) => conflict = Some((reason, w)),
            None => copy(&mut accepted, wanted, field),
        }
    }
    copy(&mut accepted, wanted, "categories");
    crd.set_at("status.acceptedNames", accepted);
    match conflict {
        None => set(crd, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
        Some((reason, why)) => {
            set(crd, "NamesAccepted", "False", reason, &why, now);
            if find(crd, "Established").is_none() {
                set(crd, "Established", "False", "NotAccepted", "not all names are accepted", now);
            }
        }
    }
}

fn copy(to: &mut Value, from: &Value, field: &str) {
    match from.get(field) {
        Some(v) => to.set_at(field, v.clone()),
        None => drop(to.remove_at(field)),
    }
}

/// What keeps old schemas from being structural.
fn violations(crd: &Value) -> Option<String> {
    let mut all = Vec::new();
    for (i, v) in crd.array_at("spec.versions").iter().enumerate() {
        let Some(raw) = v.at("schema.openAPIV3Schema").filter(|s| s.is_object()) else { continue };
        let at = Path::new("spec").child("versions").index(i).child("schema").child("openAPIV3Schema");
        match Schema::parse(raw) {
            Ok(s) => all.extend(structural::check(&s, &at).iter().map(ToString::to_string)),
            Err(e) => all.push(e),
        }
    }
    match all.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// Groups of the Kubernetes community need an approval.
fn approval(crd: &mut Value, now: Timestamp) {
    const C: &str = "KubernetesAPIApprovalPolicyConformant";
    if !protected(crd.str_at("spec.group")) {
        if find(crd, C).is_some() {
            drop_condition(crd, C);
        }
        return;
    }
    let a = crd.annotation(APPROVED).unwrap_or("").to_owned();
    let rule = format!("protected groups must have approval annotation {APPROVED:?}");
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let (status, reason, message) = match a.as_str() {
        "" => ("False", "MissingAnnotation", format!("{rule}, {see}")),
        a if a.starts_with("unapproved") => ("False", "UnapprovedAnnotation", format!("not approved: {a:?}")),
        a if a.split_once("://").is_some_and(|(s, h)| !s.is_empty() && !h.is_empty()) => {
            ("True", "ApprovedAnnotation", format!("approved in {a}"))
        }
        _ => (
            "False",
            "InvalidAnnotation",
            format!("{rule} with either a URL or a reason starting with \"unapproved\", {see}"),
        ),
    };
    let same = find(crd, C).is_some_and(|c| {
        (c.str_at("status"), c.str_at("reason"), c.str_at("message")) == (status, reason, message.as_str())
    });
    if !same {
        set(crd, C, status, reason, &message, now);
    }
}

pub fn protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|p| group.strip_suffix(p).is_some_and(|g| g.is_empty() || g.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(plural: &str, kind: &str, short: &str) -> Value {
        json!({"metadata": {"name": format!("{plural}.g.io")}, "spec": {"group": "g.io", "names": {
            "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"), "shortNames": [short]}}})
    }
    fn say(c: &Value) -> String {
        let all = c.array_at("status.conditions").iter();
        all.map(|c| format!("{}={} {}", c.str_at("type"), c.str_at("status"), c.str_at("reason")))
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn names_go_to_who_comes_first() {
        let now = Timestamp { seconds: 1, nanos: 0 };
        let mut a = crd("as", "A", "x");
        assert!(settle(&mut a, std::iter::empty(), now));
        assert_eq!(say(&a), "NamesAccepted=True NoConflicts; Established=True InitialNamesAccepted");
        assert!(!settle(&mut a, std::iter::empty(), now));

        let mut b = crd("bs", "B", "x");
        settle(&mut b, [&a].into_iter(), now);
        assert_eq!(say(&b), "NamesAccepted=False ShortNamesConflict; Established=False NotAccepted");
        assert_eq!(b.str_at("status.acceptedNames.plural"), "bs");
        assert!(!settle(&mut b, [&a].into_iter(), now));

        // The name is given back.
        a.remove_at("status.acceptedNames.shortNames");
        assert!(settle(&mut b, [&a].into_iter(), now));
        assert_eq!(say(&b), "NamesAccepted=True NoConflicts; Established=True InitialNamesAccepted");
    }

    #[test]
    fn community_groups() {
        assert!(protected("k8s.io") && protected("x.k8s.io") && protected("a.kubernetes.io"));
        assert!(!protected("xk8s.io") && !protected("example.com"));
    }
}
