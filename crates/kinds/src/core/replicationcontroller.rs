//! ReplicationControllers.

use crate::kit::*;
use crate::podspec::{self, Opts};

pub(crate) struct ReplicationController;

impl Strategy for ReplicationController {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        podspec::prepare(o, None, "spec.template");
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource.is_empty() {
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
            crate::apps::replicaset::status(o.v("status"), &mut e);
        } else {
            validate(o, Opts::new(Some(old.v("spec").v("template"))), &mut e);
        }
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        podspec::template_warnings(o, old, "spec.template", true)
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
            rows::labels(s.o("selector")),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        (label == "status.replicas").then(|| o.i64_at(label).unwrap_or(0).to_string())
    }
}

fn validate(o: &Value, opts: Opts, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let selector = s.o("selector").filter(|m| !m.is_empty());
    e.nonnegative(&at.c("minReadySeconds"), s.i("minReadySeconds"));
    if selector.is_none() {
        e.required(&at.c("selector"), "");
    }
    match s.oi("replicas") {
        None => e.required(&at.c("replicas"), ""),
        Some(n) => e.nonnegative(&at.c("replicas"), n),
    }
    let at = at.c("template");
    let Some(t) = s.set("template") else { return e.required(&at, "") };
    let labels = t.v("metadata").v("labels");
    if keys(selector).any(|(k, v)| labels.f(k) != Some(v)) {
        e.invalid(&at.c("metadata.labels"), labels.clone(), "`selector` does not match template `labels`");
    }
    podspec::template(t, opts, &at, e);
    let spec = t.v("spec");
    if spec.s("restartPolicy") != "Always" {
        e.unsupported(&at.c("spec.restartPolicy"), spec.s("restartPolicy"), &["Always"]);
    }
    if spec.has("activeDeadlineSeconds") {
        e.forbidden(
            &at.c("spec.activeDeadlineSeconds"),
            "activeDeadlineSeconds in ReplicationController is not Supported",
        );
    }
}
