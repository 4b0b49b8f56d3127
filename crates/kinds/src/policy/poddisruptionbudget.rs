//! PodDisruptionBudgets.

use crate::kit::*;

pub(crate) struct PodDisruptionBudget;

impl Strategy for PodDisruptionBudget {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        strip(o, None);
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource != "status" {
            strip(o, Some(old));
        }
    }

    fn name_errors(&self, name: &str) -> Vec<String> {
        names::is_path_segment_name(name)
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec"), false, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            let (at, s) = (At::new("status"), o.v("status"));
            e.conditions(&at.c("conditions"), s.list("conditions"));
            e.counters(s, &at, &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"]);
            return e.0;
        }
        let mut bad = Errs::default();
        bad.label_selector(&At::new(""), old.v("spec").set("selector"), false);
        validate(o.v("spec"), !bad.is_empty(), &mut e);
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let n = |k| s.set(k).map_or_else(|| "N/A".to_owned(), rows::int_or_string);
        row![
            o.name(),
            n("minAvailable"),
            n("maxUnavailable"),
            o.v("status").i("disruptionsAllowed"),
            age(o, now)
        ]
    }
}

/// A label that once told an empty selector from none; conversions of an old version left it behind.
const OLD_LABEL: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

fn strip(o: &mut Value, old: Option<&Value>) {
    if old.is_some_and(|old| opt_same(old.at("spec.selector"), o.at("spec.selector"))) {
        return;
    }
    let nothing = json!({"matchExpressions": [{"key": OLD_LABEL, "operator": "Exists"}]});
    let Some(sel) = o.obj("spec").o_mut("selector").filter(|s| !s.is_empty()) else { return };
    if deep_same(&Value::Object(sel.clone()), &nothing) {
        return;
    }
    if let Some(Value::Array(list)) = sel.get_mut("matchExpressions") {
        list.retain(|x| x.s("key") != OLD_LABEL);
        if list.is_empty() {
            sel.remove("matchExpressions");
        }
    }
}

fn validate(s: &Value, invalid_selector: bool, e: &mut Errs) {
    let at = At::new("spec");
    if s.has("minAvailable") && s.has("maxUnavailable") {
        e.invalid(&at, s.clone(), "minAvailable and maxUnavailable cannot be both set");
    }
    for f in ["minAvailable", "maxUnavailable"] {
        if let Some(v) = s.set(f) {
            e.int_or_percent(&at.c(f), v);
            e.not_more_than_100_percent(&at.c(f), v);
        }
    }
    e.label_selector(&at.c("selector"), s.set("selector"), invalid_selector);
    if let Some(p) = s.os("unhealthyPodEvictionPolicy") {
        e.one_of(&at.c("unhealthyPodEvictionPolicy"), p, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}
