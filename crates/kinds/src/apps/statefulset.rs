//! StatefulSets.

use super::replicaset;
use crate::check::percent_or_int;
use crate::core::persistentvolumeclaim as claim;
use crate::kit::*;
use crate::podspec::{self, Opts, warnings};

pub(crate) struct StatefulSet;

impl Strategy for StatefulSet {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        podspec::prepare(o, None, "spec.template");
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource != "status" {
            podspec::prepare(o, Some(old), "spec.template");
        }
    }

    fn name_errors(&self, name: &str) -> Vec<String> {
        names::is_dns1123_label(name)
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        let set = Set { service_name: true, claims: true, template: true, recreate: recreate_allowed() };
        validate(o, &At::new("spec"), Opts::default(), set, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            status(o.v("status"), &mut e);
            replicaset::collisions(o, old, &mut e);
            return e.0;
        }
        let opts = Opts::new(Some(old.v("spec").v("template")));
        let recreate = recreate_allowed() || old.str_at("spec.updateStrategy.type") == "Recreate";
        let mut set = Set { service_name: false, claims: false, template: true, recreate };
        let mut bad = Errs::default();
        validate(old, &At::new(""), opts, set, &mut bad);
        set.template = bad.is_empty();
        validate(o, &At::new("spec"), opts, set, &mut e);
        let (at, new, old) = (At::new("spec"), o.v("spec"), old.v("spec"));
        for f in ["selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy"] {
            e.fixed(&at.c(f), new, old, f);
        }
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        if cx.subresource == "status" {
            return Vec::new();
        }
        let mut out = podspec::template_warnings(o, old, "spec.template", false);
        let at = At::new("spec.volumeClaimTemplates");
        for (i, t) in o.v("spec").list("volumeClaimTemplates").iter().enumerate() {
            let at = at.i(i);
            let at = if old.is_some() { at.c("Spec") } else { at };
            warnings::claim_fractions(t.v("spec"), &at, &mut out);
        }
        if o.v("spec").i("revisionHistoryLimit") < 0 {
            out.push(
                "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                    .to_owned(),
            );
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let (names, images) = rows::containers(s.v("template").v("spec"));
        row![o.name(), format!("{}/{}", st.i("readyReplicas"), s.i("replicas")), age(o, now), names, images]
    }
}

/// What is checked of an object, and what was tolerated before.
#[derive(Clone, Copy)]
struct Set {
    service_name: bool,
    claims: bool,
    template: bool,
    recreate: bool,
}

fn recreate_allowed() -> bool {
    schema::facts::gate("StatefulSetRecreateStrategy")
}

fn validate(o: &Value, at: &At<'_>, opts: Opts, set: Set, e: &mut Errs) {
    let s = o.v("spec");
    let policy = s.s("podManagementPolicy");
    match policy {
        "" => e.required(&at.c("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        p => e.invalid(&at.c("podManagementPolicy"), p, "must be 'OrderedReady' or 'Parallel'"),
    }
    update_strategy(s.v("updateStrategy"), set, &at.c("updateStrategy"), e);
    if let Some(p) = s.set("persistentVolumeClaimRetentionPolicy") {
        let at = at.c("persistentVolumeClaimRetentionPolicy");
        for f in ["whenDeleted", "whenScaled"] {
            e.one_of(&at.c(f), p.s(f), &["Retain", "Delete"]);
        }
    }
    if set.claims {
        let at = at.c("volumeClaimTemplates");
        for (i, t) in s.list("volumeClaimTemplates").iter().enumerate() {
            claim::validate_spec(t.v("spec"), &at.i(i).c("spec"), claim::SpecOpts::default(), e);
        }
    }
    e.counters(s, at, &["replicas", "minReadySeconds"]);
    e.nonnegative(&at.c("ordinals.start"), s.v("ordinals").i("start"));
    if set.service_name && !s.s("serviceName").is_empty() {
        e.label(&at.c("serviceName"), s.s("serviceName"));
    }
    replicaset::selector(s, at, "statefulset", true, e);
    let template_at = at.c("template");
    match meta::labels::from_label_selector(s.set("selector")) {
        Err(_) => e.invalid(&at.c("selector"), s.v("selector").clone(), ""),
        Ok(sel) => {
            let t = template(s);
            replicaset::matches(&sel, &t, &template_at, e);
            if set.template {
                podspec::template(&t, opts, &template_at, e);
            } else {
                let m = t.v("metadata");
                e.labels(&template_at.c("labels"), m.o("labels"));
                e.annotations(&template_at.c("annotations"), m.o("annotations"));
            }
        }
    }
    replicaset::always(s.v("template").v("spec"), &template_at, "StatefulSet", e);
}

/// The template as its pods will look: with the volumes of their claims, and without names that are set for them.
fn template(s: &Value) -> Value {
    let mut t = s.v("template").clone();
    let claims: Vec<&str> =
        s.list("volumeClaimTemplates").iter().map(|c| c.v("metadata").s("name")).collect();
    let spec = t.obj("spec");
    spec.remove("subdomain");
    spec.remove("hostname");
    if !claims.is_empty() {
        let mut volumes: Vec<Value> = Vec::new();
        for (_, n) in claims.iter().enumerate().filter(|(i, n)| !claims[..*i].contains(n)) {
            volumes.push(json!({"name": n, "persistentVolumeClaim": {"claimName": n}}));
        }
        volumes.extend(spec.list("volumes").iter().filter(|v| !claims.contains(&v.s("name"))).cloned());
        spec.put("volumes", volumes);
    }
    t
}

fn update_strategy(u: &Value, set: Set, at: &At<'_>, e: &mut Errs) {
    let rolling_at = at.c("rollingUpdate");
    let rolling = u.set("rollingUpdate");
    match u.s("type") {
        "" => e.required(at, ""),
        "RollingUpdate" => {
            let Some(r) = rolling else { return };
            e.nonnegative(&rolling_at.c("partition"), r.i("partition"));
            if let Some(m) = r.set("maxUnavailable") {
                let at = rolling_at.c("maxUnavailable");
                e.int_or_percent(&at, m);
                if percent_or_int(m) == 0 {
                    e.invalid(&at, m.clone(), "cannot be 0");
                }
                e.not_more_than_100_percent(&at, m);
            }
        }
        t if t == "OnDelete" || (t == "Recreate" && set.recreate) => {
            if let Some(r) = rolling {
                e.invalid(&rolling_at, r.clone(), "only allowed for updateStrategy 'RollingUpdate'");
            }
        }
        _ if set.recreate => {
            e.invalid(at, u.clone(), "must be 'RollingUpdate', 'OnDelete', or 'Recreate'");
        }
        _ => e.invalid(at, u.clone(), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

fn status(s: &Value, e: &mut Errs) {
    const COUNTERS: &[&str] = &[
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    e.counters(s, &At::new("status"), COUNTERS);
    replicaset::no_more_than(s, "replicas", "status.replicas", &COUNTERS[1..5], e);
    replicaset::no_more_than(s, "readyReplicas", "status.readyReplicas", &["availableReplicas"], e);
}
