//! Where pods may go: node selectors, affinity, taints and tolerations, topology spread.

use super::Opts;
use crate::kit::*;
use std::collections::HashSet;

const NOT_AN_OPERATOR: &str = "not a valid selector operator";

pub(crate) fn node_selector(s: &Value, allow_invalid_values: bool, at: &At<'_>, e: &mut Errs) {
    let at = at.c("nodeSelectorTerms");
    let terms = s.list("nodeSelectorTerms");
    if terms.is_empty() {
        return e.required(&at, "must have at least one node selector term");
    }
    for (i, t) in terms.iter().enumerate() {
        term(t, allow_invalid_values, &at.i(i), e);
    }
}

fn term(t: &Value, allow_invalid_values: bool, at: &At<'_>, e: &mut Errs) {
    let exprs = at.c("matchExpressions");
    for (i, r) in t.list("matchExpressions").iter().enumerate() {
        requirement(r, allow_invalid_values, &exprs.i(i), e);
    }
    let fields = at.c("matchFields");
    for (i, r) in t.list("matchFields").iter().enumerate() {
        field_requirement(r, &fields.i(i), e);
    }
}

fn requirement(r: &Value, allow_invalid_values: bool, at: &At<'_>, e: &mut Errs) {
    let values = r.strs("values");
    let at_values = at.c("values");
    match r.s("operator") {
        "In" | "NotIn" => {
            if values.is_empty() {
                e.required(&at_values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                e.forbidden(&at_values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
        }
        "Gt" | "Lt" => {
            if values.len() != 1 {
                e.required(&at_values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
        }
        op => e.invalid(&at.c("operator"), op, NOT_AN_OPERATOR),
    }
    e.label_name(&at.c("key"), r.s("key"));
    if !allow_invalid_values {
        for (i, v) in values.iter().enumerate() {
            e.name(&at_values.i(i), v, names::is_label_value);
        }
    }
}

fn field_requirement(r: &Value, at: &At<'_>, e: &mut Errs) {
    let values = r.strs("values");
    match r.s("operator") {
        "In" | "NotIn" => {
            if values.len() != 1 {
                e.required(
                    &at.c("values"),
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
                );
            }
        }
        op => e.invalid(&at.c("operator"), op, NOT_AN_OPERATOR),
    }
    if r.s("key") == "metadata.name" {
        let at = at.c("values");
        for (i, v) in values.iter().enumerate() {
            e.subdomain(&at.i(i), v);
        }
    } else {
        e.invalid(&at.c("key"), r.s("key"), "not a valid field selector key");
    }
}

/// Whether a required term has a value that is no label value (tolerated where it was before).
pub(crate) fn has_invalid_values(terms: &[Value]) -> bool {
    terms
        .iter()
        .flat_map(|t| t.list("matchExpressions"))
        .flat_map(|x| x.strs("values"))
        .any(|v| !names::is_label_value(v).is_empty())
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(a: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    if let Some(n) = a.set("nodeAffinity") {
        let at = at.c("nodeAffinity");
        if let Some(s) = n.set(REQUIRED) {
            node_selector(s, opts.invalid_required_node_affinity, &at.c(REQUIRED), e);
        }
        let at = at.c(PREFERRED);
        for (i, t) in n.list(PREFERRED).iter().enumerate() {
            let at = at.i(i);
            weight(t, &at, e);
            term(t.v("preference"), true, &at.c("preference"), e);
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(p) = a.set(kind) else { continue };
        let at = at.c(kind);
        let required = at.c(REQUIRED);
        for (i, t) in p.list(REQUIRED).iter().enumerate() {
            pod_term(t, opts, &required.i(i), e);
        }
        let preferred = at.c(PREFERRED);
        for (i, t) in p.list(PREFERRED).iter().enumerate() {
            let at = preferred.i(i);
            weight(t, &at, e);
            pod_term(t.v("podAffinityTerm"), opts, &at.c("podAffinityTerm"), e);
        }
    }
}

fn weight(t: &Value, at: &At<'_>, e: &mut Errs) {
    let w = t.i("weight");
    if !(1..=100).contains(&w) {
        e.invalid(&at.c("weight"), w, "must be in the range 1-100");
    }
}

/// The affinity terms of a pod spec, weighted ones unwrapped.
pub(super) fn pod_terms(spec: &Value) -> impl Iterator<Item = &Value> {
    ["podAffinity", "podAntiAffinity"].into_iter().flat_map(move |kind| {
        let p = spec.v("affinity").v(kind);
        p.list(REQUIRED).iter().chain(p.list(PREFERRED).iter().map(|t| t.v("podAffinityTerm")))
    })
}

pub(super) fn term_selectors(t: &Value, allow_invalid_values: bool, at: &At<'_>, e: &mut Errs) {
    for f in ["labelSelector", "namespaceSelector"] {
        e.label_selector(&at.c(f), t.set(f), allow_invalid_values);
    }
}

fn pod_term(t: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    term_selectors(t, opts.invalid_affinity_selector, at, e);
    for n in t.strs("namespaces") {
        e.label(&at.c("namespace"), n);
    }
    match_label_keys(t, at, e);
    if t.s("topologyKey").is_empty() {
        e.required(&at.c("topologyKey"), "can not be empty");
    }
    e.label_name(&at.c("topologyKey"), t.s("topologyKey"));
}

/// Keys whose values come from the pod's own labels: they need a selector, and must not be in it already.
pub(super) fn match_label_keys(t: &Value, at: &At<'_>, e: &mut Errs) {
    let selector = t.set("labelSelector");
    let (matching, mismatching) = (t.strs("matchLabelKeys"), t.strs("mismatchLabelKeys"));
    for (f, list) in [("matchLabelKeys", &matching), ("mismatchLabelKeys", &mismatching)] {
        let at = at.c(f);
        if !list.is_empty() && selector.is_none() {
            e.forbidden(&at, "must not be specified when labelSelector is not set");
            continue;
        }
        for (i, k) in list.iter().enumerate() {
            e.label_name(&at.i(i), k);
        }
    }
    if let Some(s) = selector {
        // A key may be there once: folding the pod's labels in adds it.
        let mut there: HashSet<&str> = keys(s.o("matchLabels")).map(|p| p.0).collect();
        for x in s.list("matchExpressions") {
            let key = x.s("key");
            if there.contains(key)
                && let Some(i) = matching.iter().rposition(|k| *k == key)
            {
                e.invalid(&at.i(i), key, "exists in both matchLabelKeys and labelSelector");
            }
            there.insert(key);
        }
    }
    let at = at.c("matchLabelKeys");
    for (i, k) in matching.iter().enumerate() {
        if mismatching.contains(k) {
            e.invalid(&at.i(i), *k, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/// The older rule for spread constraints: the keys are not in the selector at all.
fn match_label_keys_legacy(c: &Value, at: &At<'_>, e: &mut Errs) {
    let list = c.strs("matchLabelKeys");
    if list.is_empty() {
        return;
    }
    let selector = c.set("labelSelector");
    if selector.is_none() {
        e.forbidden(at, "must not be specified when labelSelector is not set");
    }
    let s = c.v("labelSelector");
    for (i, k) in list.iter().enumerate() {
        e.label_name(&at.i(i), k);
        if s.v("matchLabels").has(k) || s.list("matchExpressions").iter().any(|x| x.s("key") == *k) {
            e.invalid(&at.i(i), *k, "exists in both matchLabelKeys and labelSelector");
        }
    }
}

pub(super) fn spread(list: &[Value], opts: Opts, at: &At<'_>, e: &mut Errs) {
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        let (key, action) = (c.s("topologyKey"), c.s("whenUnsatisfiable"));
        e.positive(&at.c("maxSkew"), c.i("maxSkew"));
        if key.is_empty() {
            e.required(&at.c("topologyKey"), "can not be empty");
        }
        e.one_of(&at.c("whenUnsatisfiable"), action, &["DoNotSchedule", "ScheduleAnyway"]);
        let again = |r: &&Value| r.s("topologyKey") == key && r.s("whenUnsatisfiable") == action;
        if list[i + 1..].iter().any(|r| again(&r)) {
            e.duplicate(&at.c("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        if let Some(n) = c.oi("minDomains") {
            e.positive(&at.c("minDomains"), n);
            if action != "DoNotSchedule" {
                e.invalid(
                    &at.c("minDomains"),
                    n,
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"),
                );
            }
        }
        for f in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if let Some(p) = c.os(f) {
                e.one_of(&at.c(f), p, &["Honor", "Ignore"]);
            }
        }
        if opts.old_violates_match_label_keys {
            match_label_keys_legacy(c, &at.c("matchLabelKeys"), e);
        } else {
            match_label_keys(c, &at, e);
        }
        if !opts.invalid_spread_selector {
            e.label_selector(&at.c("labelSelector"), c.set("labelSelector"), false);
        }
    }
}

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(crate) fn tolerations(list: &[Value], opts: Opts, at: &At<'_>, e: &mut Errs) {
    for (i, t) in list.iter().enumerate() {
        let at = at.i(i);
        let (key, op, value, effect) = (t.s("key"), t.s("operator"), t.s("value"), t.s("effect"));
        if !key.is_empty() {
            e.label_name(&at.c("key"), key);
        }
        if key.is_empty() && op != "Exists" {
            e.invalid(
                &at.c("operator"),
                op,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if t.has("tolerationSeconds") && effect != "NoExecute" {
            e.invalid(&at.c("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match op {
            "" | "Equal" => {
                let bad = names::is_label_value(value);
                if !bad.is_empty() {
                    e.invalid(&at.c("operator"), value, bad.join(";"));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    e.invalid(&at.c("operator"), value, "value must be empty when `operator` is 'Exists'");
                }
            }
            "Gt" | "Lt" if !opts.comparison_operators => {
                e.unsupported(&at.c("operator"), op, &["Equal", "Exists", "Lt", "Gt"]);
            }
            "Gt" | "Lt" => {
                if !decimal(value) {
                    let why = match value {
                        "" => "must be non-empty",
                        _ => "must be a valid decimal integer in canonical form",
                    };
                    e.invalid(&at.c("value"), value, why);
                }
                let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
                if value.parse::<i64>().is_err() {
                    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                    let why = if number { "value out of range" } else { "invalid syntax" };
                    let shown = meta::field::quote(value);
                    e.invalid(&at.c("value"), value, format!("strconv.ParseInt: parsing {shown}: {why}"));
                }
            }
            _ => e.unsupported(&at.c("operator"), op, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            e.one_of(&at.c("effect"), effect, EFFECTS);
        }
    }
}

/// A 64-bit integer as Go would print it.
fn decimal(s: &str) -> bool {
    s.parse::<i64>().is_ok_and(|n| n.to_string() == s)
}

pub(crate) fn taints(list: &[Value], at: &At<'_>, e: &mut Errs) {
    let mut seen = HashSet::new();
    for (i, t) in list.iter().enumerate() {
        let at = at.i(i);
        e.label_name(&at.c("key"), t.s("key"));
        let bad = names::is_label_value(t.s("value"));
        if !bad.is_empty() {
            e.invalid(&at.c("value"), t.s("value"), bad.join(";"));
        }
        e.required_one_of(&at.c("effect"), t.s("effect"), EFFECTS);
        if !seen.insert((t.s("effect"), t.s("key"))) {
            e.duplicate(&at, t.clone());
            if let Some(last) = e.0.last_mut() {
                "taints must be unique by key and effect pair".clone_into(&mut last.detail);
            }
        }
    }
}
