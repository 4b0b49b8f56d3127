//! What a job's status may say and what it may change to. Rules that came late bind only where something changes.

use super::job::INDEXED;
use super::job_policies::{count_indexes, interval};
use crate::kit::*;
use rows::condition_true as is;

fn finished(o: &Value) -> bool {
    is(o, "Complete") || is(o, "Failed")
}

pub(super) fn update(o: &Value, old: &Value, e: &mut Errs) {
    let at = At::new("status");
    let conditions = at.c("conditions");
    current(o, old, &at, e);
    for ty in ["Failed", "Complete", "FailureTarget"] {
        if is(old, ty) && !is(o, ty) {
            e.invalid_omit(&conditions, format!("cannot disable the terminal {ty}=True condition"));
        }
    }
    let (spec, st, was) = (o.v("spec"), o.v("status"), old.v("status"));
    let elastic = spec.s("completionMode") == INDEXED && spec.f("completions") == spec.f("parallelism");
    for (f, free) in [("failed", false), ("succeeded", elastic)] {
        if !free && st.i(f) < was.i(f) {
            e.invalid(&at.c(f), st.i(f), format!("cannot decrease the {f} counter"));
        }
    }
    if let (Some(n), Some(w)) = (st.set("completionTime"), was.set("completionTime"))
        && n != w
    {
        e.invalid(&at.c("completionTime"), n.clone(), crate::check::IMMUTABLE);
    }
    let suspended = rows::condition(o, "Suspended").is_some_and(|c| c.s("status") == "False");
    let resuming = is(old, "Suspended") && suspended;
    if let Some(w) = was.set("startTime")
        && st.set("startTime") != Some(w)
        && !resuming
        && !spec.b("suspend")
    {
        let why = "field is immutable for unsuspended job once set";
        e.invalid(&at.c("startTime"), st.v("startTime").clone(), why);
    }
    const MET: &str = "SuccessCriteriaMet";
    if is(old, MET) && !is(o, MET) {
        e.invalid_omit(&conditions, "cannot disable the SuccessCriteriaMet=True condition");
    }
    if is(old, "Complete") && !is(old, MET) && is(o, MET) {
        let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        e.invalid_omit(&conditions, why);
    }
}

fn current(o: &Value, old: &Value, at: &At<'_>, e: &mut Errs) {
    let (s, was) = (o.v("status"), old.v("status"));
    for f in ["active", "succeeded", "failed", "ready", "terminating"] {
        e.nonnegative(&at.c(f), s.i(f));
    }
    uncounted(s.v("uncountedTerminatedPods"), &at.c("uncountedTerminatedPods"), e);
    let changed = |f: &str| !opt_same(s.f(f), was.f(f));
    let turned = |ty: &str| is(o, ty) != is(old, ty);
    conditions(o, &turned, changed("failedIndexes"), &at.c("conditions"), e);
    times(o, &turned, &changed, at, e);
    let (done, turned_done) = (finished(o), finished(o) != finished(old));
    let active = s.i("active");
    if (turned_done || changed("active")) && done && active > 0 {
        e.invalid(&at.c("active"), active, "active>0 is invalid for finished job");
    }
    let pods = s.v("uncountedTerminatedPods");
    if (turned_done || changed("uncountedTerminatedPods"))
        && done
        && pods.list("failed").len() + pods.list("succeeded").len() > 0
    {
        e.invalid(&at.c("uncountedTerminatedPods"), pods.clone(), "must be empty for finished job");
    }
    indexes(o, changed("completedIndexes"), changed("failedIndexes"), at, e);
    if let Some(n) = s.oi("terminating").filter(|n| *n > 0 && done && (turned_done || changed("terminating")))
    {
        e.invalid(&at.c("terminating"), n, "terminating>0 is invalid for finished job");
    }
    if let Some(n) = s.oi("ready").filter(|n| *n > active && (changed("ready") || changed("active"))) {
        e.invalid(&at.c("ready"), n, "cannot set more ready pods than active");
    }
}

/// Pods are counted once.
fn uncounted(pods: &Value, at: &At<'_>, e: &mut Errs) {
    let mut seen: Vec<&str> = Vec::new();
    for list in ["succeeded", "failed"] {
        let at = at.c(list);
        for (i, uid) in pods.strs(list).into_iter().enumerate() {
            if uid.is_empty() {
                e.invalid(&at.i(i), uid, "must not be empty");
            } else if seen.contains(&uid) {
                e.duplicate(&at.i(i), uid);
            } else {
                seen.push(uid);
            }
        }
    }
}

fn conditions(o: &Value, turned: &dyn Fn(&str) -> bool, indexes: bool, at: &At<'_>, e: &mut Errs) {
    let (complete, failed, target, met) =
        (is(o, "Complete"), is(o, "Failed"), is(o, "FailureTarget"), is(o, "SuccessCriteriaMet"));
    let mut no = |wrong: bool, why: &str| {
        if wrong {
            e.invalid_omit(at, why);
        }
    };
    no(
        (turned("Complete") || turned("Failed")) && complete && failed,
        "cannot set Complete=True and Failed=true conditions",
    );
    no(
        (turned("Complete") || turned("FailureTarget")) && complete && target,
        "cannot set Complete=True and FailureTarget=true conditions",
    );
    no(
        (turned("Failed") || indexes) && failed && !target,
        "cannot set Failed=True condition without the FailureTarget=true condition",
    );
    no(
        (turned("Complete") || turned("SuccessCriteriaMet")) && complete && !met,
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    );
    no(met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    no(met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    no(
        o.v("spec").has("successPolicy") && !met && complete,
        "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
    );
}

fn times(
    o: &Value,
    turned: &dyn Fn(&str) -> bool,
    changed: &dyn Fn(&str) -> bool,
    at: &At<'_>,
    e: &mut Errs,
) {
    let (spec, s) = (o.v("spec"), o.v("status"));
    let (start, end) = (s.set("startTime"), s.set("completionTime"));
    let end_at = at.c("completionTime");
    let complete = is(o, "Complete");
    let end_changed = changed("completionTime");
    if turned("Complete") || end_changed {
        match end {
            Some(t) if !complete => {
                let why = "cannot set completionTime when there is no Complete=True condition";
                e.invalid(&end_at, t.clone(), why);
            }
            None if complete => e.required(&end_at, "completionTime is required for Complete jobs"),
            _ => {}
        }
    }
    if let (Some(start), Some(end)) = (start, end)
        && (changed("startTime") || end_changed)
        && end.as_str() < start.as_str()
    {
        e.invalid(&end_at, end.clone(), "must be equal to or after `startTime`");
    }
    let nothing_to_do = spec.b("suspend") && spec.oi("completions") == Some(0);
    let turned_done = turned("Complete") || turned("Failed");
    if (turned_done || changed("startTime")) && !nothing_to_do && start.is_none() && finished(o) {
        e.required(&at.c("startTime"), "startTime is required for finished job");
    }
}

fn indexes(o: &Value, completed_changed: bool, failed_changed: bool, at: &At<'_>, e: &mut Errs) {
    let (spec, s) = (o.v("spec"), o.v("status"));
    let (completed, failed) = (s.s("completedIndexes"), s.os("failedIndexes"));
    let (completed_at, failed_at) = (at.c("completedIndexes"), at.c("failedIndexes"));
    let completions = spec.oi("completions");
    let limited = spec.has("backoffLimitPerIndex");
    if let Some(n) = completions {
        if completed_changed && let Err(why) = count_indexes(completed, n) {
            e.invalid(&completed_at, completed, format!("error parsing completedIndexes: {why}"));
        }
        if let Some(f) = failed.filter(|_| failed_changed && limited)
            && let Err(why) = count_indexes(f, n)
        {
            e.invalid(&failed_at, f, format!("error parsing failedIndexes: {why}"));
        }
    }
    if completed_changed && !completed.is_empty() && spec.s("completionMode") != INDEXED {
        let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
        e.invalid(&completed_at, completed, why);
    }
    let Some(f) = failed else { return };
    if failed_changed && !limited {
        e.invalid(&failed_at, f, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if let Some(n) = completions
        && (failed_changed || completed_changed)
        && let Some(i) = overlap(completed, f, n)
    {
        e.invalid(&failed_at, f, format!("failedIndexes and completedIndexes overlap at index: {i}"));
    }
}

/// The first index in both lists; what cannot be read is passed over.
fn overlap(a: &str, b: &str, completions: i64) -> Option<i64> {
    let spans =
        |s: &str| -> Vec<(i64, i64)> { s.split(',').filter_map(|p| interval(p, completions).ok()).collect() };
    let (a, b) = (spans(a), spans(b));
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x.0 <= y.1 && y.0 <= x.1 {
            return Some(x.0.max(y.0));
        }
        if x.0 <= y.0 { i += 1 } else { j += 1 }
    }
    None
}
