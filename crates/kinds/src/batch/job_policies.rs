//! What makes a job fail or succeed before all its pods have: pod failure and success policies.

use crate::kit::*;

const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];

/// `valid values: ["a" "b"]`, as Go prints a list.
fn valid(list: &[&str]) -> String {
    let quoted: Vec<String> = list.iter().map(|s| format!("\"{s}\"")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

/// One of a list, or a sentence that says so.
fn choice(v: &str, list: &[&str], at: &At<'_>, e: &mut Errs) {
    match v {
        "" => e.required(at, valid(list)),
        v => drop(e.one_of(at, v, list)),
    }
}

pub(super) fn failure(s: &Value, at: &At<'_>, e: &mut Errs) {
    let rules = s.v("podFailurePolicy").list("rules");
    if rules.len() > 20 {
        e.too_many(at, rules.len(), 20);
    }
    let pod = s.v("template").v("spec");
    let containers: Vec<&str> =
        pod.list("containers").iter().chain(pod.list("initContainers")).map(|c| c.s("name")).collect();
    for (i, r) in rules.iter().enumerate() {
        let at = at.i(i);
        let action = at.c("action");
        match r.s("action") {
            "FailIndex" if s.has("backoffLimitPerIndex") => {}
            a @ "FailIndex" => e.invalid(&action, a, "requires the backoffLimitPerIndex to be set"),
            a => choice(a, ACTIONS, &action, e),
        }
        let (codes, conditions) = (r.set("onExitCodes"), r.list("onPodConditions"));
        if let Some(c) = codes {
            exit_codes(c, &containers, &at.c("onExitCodes"), e);
        }
        pod_conditions(conditions, &at.c("onPodConditions"), e);
        match (codes.is_some(), !conditions.is_empty()) {
            (true, true) => {
                e.invalid_omit(&at, "specifying both OnExitCodes and OnPodConditions is not supported");
            }
            (false, false) => {
                e.invalid_omit(&at, "specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
    }
}

fn pod_conditions(list: &[Value], at: &At<'_>, e: &mut Errs) {
    if list.len() > 20 {
        e.too_many(at, list.len(), 20);
    }
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        e.qualified(&at.c("type"), c.s("type"));
        choice(c.s("status"), &["False", "True", "Unknown"], &at.c("status"), e);
    }
}

fn exit_codes(c: &Value, containers: &[&str], at: &At<'_>, e: &mut Errs) {
    choice(c.s("operator"), &["In", "NotIn"], &at.c("operator"), e);
    if let Some(n) = c.os("containerName").filter(|n| !containers.contains(n)) {
        let why = "must be one of the container or initContainer names in the pod template";
        e.invalid(&at.c("containerName"), n, why);
    }
    let values_at = at.c("values");
    let values: Vec<i64> = c.list("values").iter().filter_map(Value::as_i64).collect();
    if values.is_empty() {
        e.invalid(&values_at, c.v("values").clone(), "at least one value is required");
    } else if values.len() > 255 {
        e.too_many(&values_at, values.len(), 255);
    }
    for (i, v) in values.iter().enumerate() {
        let at = values_at.i(i);
        if c.s("operator") == "In" && *v == 0 {
            e.invalid(&at, 0, "must not be 0 for the In operator");
        }
        if values[..i].contains(v) {
            e.duplicate(&at, *v);
        }
    }
    if !values.is_sorted() {
        e.invalid(&values_at, c.v("values").clone(), "must be ordered");
    }
}

pub(super) fn success(s: &Value, at: &At<'_>, e: &mut Errs) {
    let rules = s.v("successPolicy").list("rules");
    if rules.is_empty() {
        e.required(at, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > 20 {
        e.too_many(at, rules.len(), 20);
    }
    let completions = s.i("completions");
    for (i, r) in rules.iter().enumerate() {
        let at = at.i(i);
        let (count, indexes) = (r.oi("succeededCount"), r.os("succeededIndexes"));
        if count.is_none() && indexes.is_none() {
            e.required(&at, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if let Some(text) = indexes {
            let at = at.c("succeededIndexes");
            if text.len() > 64 * 1024 {
                e.too_long(&at, 64 * 1024);
            }
            match count_indexes(text, completions) {
                Ok(n) => total = n,
                Err(why) => e.invalid(&at, text, format!("error parsing succeededIndexes: {why}")),
            }
        }
        if let Some(n) = count {
            let at = at.c("succeededCount");
            e.nonnegative(&at, n);
            let mut no_more = |max: i64, what: &str| {
                if n > max {
                    e.invalid(&at, n, format!("must be less than or equal to {max} (the number of {what})"));
                }
            };
            no_more(completions, "specified completions");
            if indexes.is_some() {
                no_more(total, "indexes in the specified succeededIndexes field");
            }
        }
    }
}

/// How many indexes a list of indexes and ranges (`0,2-4`) has.
pub(super) fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let (mut last, mut total) = (None, 0);
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (x, y) = interval(part, completions)?;
        if let Some(previous) = last.filter(|l| *l >= x) {
            return Err(format!("non-increasing order, previous: {previous}, current: {x}"));
        }
        total += y - x + 1;
        last = Some(y);
    }
    Ok(total)
}

pub(super) fn interval(part: &str, completions: i64) -> Result<(i64, i64), String> {
    let index = |s: &str| {
        let quoted = meta::field::quote(s);
        let n: i64 =
            s.parse().map_err(|_| format!("cannot convert string to integer for index: {quoted}"))?;
        if n >= completions { Err(format!("too large index: {quoted}")) } else { Ok(n) }
    };
    match part.split('-').collect::<Vec<_>>()[..] {
        [x] => index(x).map(|n| (n, n)),
        [x, y] => {
            let (x, y) = (index(x)?, index(y)?);
            if x >= y {
                return Err(format!("non-increasing order, previous: {x}, current: {y}"));
            }
            Ok((x, y))
        }
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            meta::field::quote(part)
        )),
    }
}
