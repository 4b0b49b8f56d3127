//! Deployments.

use super::replicaset;
use crate::check::percent_or_int;
use crate::kit::*;
use crate::podspec::{self, Opts, gates};

pub(crate) struct Deployment;

impl Strategy for Deployment {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        podspec::prepare(o, None, "spec.template");
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource == "status" {
            gates::drop_disabled("apps.v1.Deployment", o, Some(old));
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
            replicaset::collisions(o, old, &mut e);
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
        let selector = match meta::labels::from_label_selector(s.set("selector")) {
            Ok(s) => s.to_string(),
            Err(_) => "<invalid>".to_owned(),
        };
        row![
            o.name(),
            format!("{}/{}", st.i("readyReplicas"), s.i("replicas")),
            st.i("updatedReplicas"),
            st.i("availableReplicas"),
            age(o, now),
            names,
            images,
            selector,
        ]
    }
}

fn validate(o: &Value, opts: Opts, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    e.nonnegative(&at.c("replicas"), s.i("replicas"));
    replicaset::selector_and_template(s, &at, opts, e);
    strategy(s.v("strategy"), &at.c("strategy"), e);
    e.counters(s, &at, &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"]);
    if let Some(n) = s.oi("progressDeadlineSeconds")
        && n <= s.i("minReadySeconds")
    {
        e.invalid(&at.c("progressDeadlineSeconds"), n, "must be greater than minReadySeconds");
    }
}

fn strategy(s: &Value, at: &At<'_>, e: &mut Errs) {
    let rolling = at.c("rollingUpdate");
    match s.s("type") {
        "Recreate" => {
            if s.has("rollingUpdate") {
                e.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'");
            }
        }
        "RollingUpdate" => {
            let Some(r) = s.set("rollingUpdate") else {
                return e.required(&rolling, "this should be defaulted and never be nil");
            };
            let (unavailable, surge) = (r.v("maxUnavailable"), r.v("maxSurge"));
            let unavailable_at = rolling.c("maxUnavailable");
            e.int_or_percent(&unavailable_at, unavailable);
            e.int_or_percent(&rolling.c("maxSurge"), surge);
            if percent_or_int(unavailable) == 0 && percent_or_int(surge) == 0 {
                e.invalid(&unavailable_at, unavailable.clone(), "may not be 0 when `maxSurge` is 0");
            }
            e.not_more_than_100_percent(&unavailable_at, unavailable);
        }
        _ => e.unsupported(at, s.clone(), &["Recreate", "RollingUpdate"]),
    }
}

fn status(s: &Value, e: &mut Errs) {
    const COUNTERS: &[&str] = &[
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    e.counters(s, &At::new("status"), COUNTERS);
    replicaset::no_more_than(s, "replicas", "status.replicas", &COUNTERS[2..5], e);
    replicaset::no_more_than(s, "readyReplicas", "readyReplicas", &["availableReplicas"], e);
}
