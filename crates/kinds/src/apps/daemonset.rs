//! DaemonSets.

use super::replicaset;
use crate::check::percent_or_int;
use crate::convert::{set_template_generation, template_generation};
use crate::kit::*;
use crate::podspec::{self, Opts, warnings};

pub(crate) struct DaemonSet;

impl Strategy for DaemonSet {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        set_template_generation(o, template_generation(o).max(1));
        podspec::prepare(o, None, "spec.template");
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource == "status" {
            return;
        }
        podspec::prepare(o, Some(old), "spec.template");
        let changed = !opt_same(o.at("spec.template"), old.at("spec.template"));
        set_template_generation(o, template_generation(old) + i64::from(changed));
        if changed {
            // Counts as a change of the spec, even where only the template's metadata differs.
            o.set_at("metadata.generation", Value::from(old.generation() + 1));
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, false, Opts::default(), &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            e.counters(o.v("status"), &At::new("status"), COUNTERS);
            replicaset::collisions(o, old, &mut e);
            return e.0;
        }
        let at = At::new("spec.selector");
        let mut bad = Errs::default();
        bad.label_selector(&at, old.at("spec.selector"), false);
        validate(o, !bad.is_empty(), Opts::new(Some(old.v("spec").v("template"))), &mut e);
        e.immutable(&at, o.at("spec.selector"), old.at("spec.selector"));
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        if cx.subresource == "status" || old.is_some_and(|x| template_generation(x) == template_generation(o))
        {
            return Vec::new();
        }
        let mut out = Vec::new();
        if let Some(t) = o.at("spec.template") {
            out.extend(warnings::warnings(t, &At::new("spec.template"), true));
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let pod = s.v("template").v("spec");
        let (names, images) = rows::containers(pod);
        row![
            o.name(),
            st.i("desiredNumberScheduled"),
            st.i("currentNumberScheduled"),
            st.i("numberReady"),
            st.i("updatedNumberScheduled"),
            st.i("numberAvailable"),
            rows::labels(pod.o("nodeSelector")),
            age(o, now),
            names,
            images,
            rows::selector(s.set("selector")),
        ]
    }
}

const COUNTERS: &[&str] = &[
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
];

fn validate(o: &Value, invalid_selector: bool, opts: Opts, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let (selector_at, template_at) = (at.c("selector"), at.c("template"));
    let t = s.v("template");
    e.label_selector(&selector_at, s.set("selector"), invalid_selector);
    if let Ok(sel) = meta::labels::from_label_selector(s.set("selector")) {
        replicaset::matches(&sel, t, &template_at, e);
    }
    if let Some(sel) = s.set("selector")
        && sel.v("matchLabels").len_of() + sel.list("matchExpressions").len() == 0
    {
        e.invalid(&selector_at, sel.clone(), "empty selector is invalid for daemonset");
    }
    podspec::template(t, opts, &template_at, e);
    replicaset::always(t.v("spec"), &template_at, "DaemonSet", e);
    e.nonnegative(&at.c("minReadySeconds"), s.i("minReadySeconds"));
    e.nonnegative(&at.c("templateGeneration"), template_generation(o));
    update_strategy(s.v("updateStrategy"), &at.c("updateStrategy"), e);
    e.nonnegative(&at.c("revisionHistoryLimit"), s.i("revisionHistoryLimit"));
}

fn update_strategy(u: &Value, at: &At<'_>, e: &mut Errs) {
    match u.s("type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let at = at.c("rollingUpdate");
            let Some(r) = u.set("rollingUpdate") else { return e.required(&at, "") };
            let (unavailable, surge) = (r.v("maxUnavailable"), r.v("maxSurge"));
            let (unavailable_at, surge_at) = (at.c("maxUnavailable"), at.c("maxSurge"));
            e.int_or_percent(&unavailable_at, unavailable);
            e.int_or_percent(&surge_at, surge);
            e.not_more_than_100_percent(&unavailable_at, unavailable);
            e.not_more_than_100_percent(&surge_at, surge);
            match (percent_or_int(unavailable) != 0, percent_or_int(surge) != 0) {
                (true, true) => {
                    e.invalid(&surge_at, surge.clone(), "may not be set when maxUnavailable is non-zero");
                }
                (false, false) => e.required(&unavailable_at, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => e.unsupported(at, u.clone(), &["RollingUpdate", "OnDelete"]),
    }
}
