//! ReplicaSets.

use crate::kit::*;
use crate::podspec::{self, Opts, gates};

pub(crate) struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        podspec::prepare(o, None, "spec.template");
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource == "status" {
            gates::drop_disabled("apps.v1.ReplicaSet", o, Some(old));
        } else {
            podspec::prepare(o, Some(old), "spec.template");
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, Opts::default(), &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            status(o.v("status"), &mut e);
            return e.0;
        }
        validate(o, Opts::new(Some(old.v("spec").v("template"))), &mut e);
        e.immutable(&At::new("spec.selector"), o.at("spec.selector"), old.at("spec.selector"));
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        match cx.subresource {
            "status" => Vec::new(),
            _ => podspec::template_warnings(o, old, "spec.template", true),
        }
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let (names, images) = rows::containers(s.v("template").v("spec"));
        row![
            o.name(),
            s.i("replicas"),
            st.i("replicas"),
            st.i("readyReplicas"),
            age(o, now),
            names,
            images,
            rows::selector(s.set("selector")),
        ]
    }
}

fn validate(o: &Value, opts: Opts, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    e.nonnegative(&at.c("replicas"), s.i("replicas"));
    e.nonnegative(&at.c("minReadySeconds"), s.i("minReadySeconds"));
    selector_and_template(s, &at, opts, e);
}

/// What makes pods and what selects them, as ReplicaSets have it, and Deployments for theirs.
pub(super) fn selector_and_template(s: &Value, at: &At<'_>, opts: Opts, e: &mut Errs) {
    selector(s, at, "deployment", true, e);
    let t = s.v("template");
    let template_at = at.c("template");
    match meta::labels::from_label_selector(s.set("selector")) {
        Err(_) => return e.invalid(&at.c("selector"), s.v("selector").clone(), "invalid label selector"),
        Ok(sel) => matches(&sel, t, &template_at, e),
    }
    podspec::template(t, opts, &template_at, e);
    always(t.v("spec"), &template_at, "ReplicaSet", e);
}

/// A selector that selects something.
pub(super) fn selector(s: &Value, at: &At<'_>, what: &str, required: bool, e: &mut Errs) {
    let at = at.c("selector");
    let Some(sel) = s.set("selector") else {
        if required {
            e.required(&at, "");
        }
        return;
    };
    e.label_selector(&at, Some(sel), false);
    if sel.v("matchLabels").len_of() + sel.list("matchExpressions").len() == 0 {
        e.invalid(&at, sel.clone(), format!("empty selector is invalid for {what}"));
    }
}

pub(crate) fn matches(sel: &meta::selector::Selector, template: &Value, at: &At<'_>, e: &mut Errs) {
    let labels = template.v("metadata").v("labels");
    if !sel.matches(|k| labels.os(k)) {
        e.invalid(&at.c("metadata.labels"), labels.clone(), "`selector` does not match template `labels`");
    }
}

/// Pods that are replaced when they end have no other restart policy and no deadline.
pub(super) fn always(spec: &Value, at: &At<'_>, what: &str, e: &mut Errs) {
    if spec.s("restartPolicy") != "Always" {
        e.unsupported(&at.c("spec.restartPolicy"), spec.s("restartPolicy"), &["Always"]);
    }
    if spec.has("activeDeadlineSeconds") {
        let why = format!("activeDeadlineSeconds in {what} is not Supported");
        e.forbidden(&at.c("spec.activeDeadlineSeconds"), why);
    }
}

/// A counter of hash collisions only grows.
pub(super) fn collisions(o: &Value, old: &Value, e: &mut Errs) {
    let (new, old) = (o.v("status").oi("collisionCount"), old.v("status").oi("collisionCount"));
    if old.is_some_and(|old| new.is_none_or(|n| n < old)) {
        e.invalid(&At::new("status.collisionCount"), new.unwrap_or(0), "cannot be decremented");
    }
}

/// Counters that are no greater than another one.
pub(super) fn no_more_than(s: &Value, limit: &str, shown: &str, fields: &[&str], e: &mut Errs) {
    let at = At::new("status");
    for f in fields.iter().filter(|f| s.i(f) > s.i(limit)) {
        e.invalid(&at.c(f), s.i(f), format!("cannot be greater than {shown}"));
    }
}

/// Counters of a status: not negative, and no more than there are.
pub(crate) fn status(s: &Value, e: &mut Errs) {
    const ALL: &[&str] = &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    let at = At::new("status");
    e.counters(s, &at, ALL);
    e.counters(s, &at, &["observedGeneration", "terminatingReplicas"]);
    no_more_than(s, "replicas", "status.replicas", &ALL[1..], e);
    no_more_than(s, "readyReplicas", "readyReplicas", &["availableReplicas"], e);
}
