//! Jobs.

use super::{job_policies, job_status};
use crate::apps::replicaset;
use crate::kit::*;
use crate::podspec::{self, Opts};

pub(crate) struct Job;

impl Strategy for Job {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        if !o.v("spec").b("manualSelector") {
            generate_selector(o);
        }
        prepare(o, None, "spec");
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource != "status" {
            prepare(o, Some(old), "spec");
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        generated_selector(o, &mut e);
        let at = At::new("spec");
        spec(o.v("spec"), Opts::default(), &at, &mut e);
        selector(o.v("spec"), false, &at, &mut e);
        pod_names(o, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            job_status::update(o, old, &mut e);
            return e.0;
        }
        let at = At::new("spec");
        let (new, was) = (o.v("spec"), old.v("spec"));
        let mut bad = Errs::default();
        bad.label_selector(&at, was.set("selector"), false);
        spec(new, Opts::new(Some(was.v("template"))), &at, &mut e);
        selector(new, !bad.is_empty(), &at, &mut e);
        completions(new, was, &at.c("completions"), &mut e);
        e.immutable(&at.c("selector"), new.f("selector"), was.f("selector"));
        template_update(new, old, &at, &mut e);
        for f in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
        {
            e.immutable(&at.c(f), new.f(f), was.f(f));
        }
        pod_names(o, &mut e);
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        let unchanged = old.is_some_and(|old| old.generation() == o.generation());
        if cx.subresource == "status" || unchanged {
            return Vec::new();
        }
        let mut out = Vec::new();
        if old.is_none() {
            out.extend(podspec::hostname_warning(o.name()));
        }
        warnings(o.v("spec"), &At::new("spec"), &mut out);
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let done = st.i("succeeded");
        let completions = match (s.oi("completions"), s.i("parallelism")) {
            (Some(n), _) => format!("{done}/{n}"),
            (None, n) if n > 1 => format!("{done}/1 of {n}"),
            (None, _) => format!("{done}/1"),
        };
        let duration = match (Timestamp::parse(st.s("startTime")), Timestamp::parse(st.s("completionTime"))) {
            (None, _) => String::new(),
            (Some(start), end) => meta::time::human_duration(end.unwrap_or(now).seconds_since(&start)),
        };
        let has = |ty| rows::condition_true(o, ty);
        let status = if has("Complete") {
            "Complete"
        } else if has("Failed") {
            "Failed"
        } else if o.deletion_timestamp().is_some() {
            "Terminating"
        } else {
            ["Suspended", "FailureTarget", "SuccessCriteriaMet"]
                .into_iter()
                .find(|ty| has(ty))
                .unwrap_or("Running")
        };
        let (names, images) = rows::containers(s.v("template").v("spec"));
        row![
            o.name(),
            status,
            completions,
            duration,
            age(o, now),
            names,
            images,
            rows::selector(s.set("selector")),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        (label == "status.successful").then(|| o.v("status").i("succeeded").to_string())
    }
}

const LEGACY_UID: &str = "controller-uid";
const LEGACY_NAME: &str = "job-name";
const UID: &str = "batch.kubernetes.io/controller-uid";
const NAME: &str = "batch.kubernetes.io/job-name";

/// Pods of a job are told by its uid.
fn generate_selector(o: &mut Value) {
    let (name, uid) = (o.name().to_owned(), o.uid().to_owned());
    let spec = o.obj("spec");
    let labels = spec.obj("template").obj("metadata").obj("labels");
    for (k, v) in [(LEGACY_NAME, &name), (NAME, &name), (LEGACY_UID, &uid), (UID, &uid)] {
        labels.default_nil(k, v.clone());
    }
    spec.obj("selector").obj("matchLabels").default_nil(UID, uid);
}

/// Drops fields of disabled features from the job spec at `path`.
pub(super) fn prepare(o: &mut Value, old: Option<&Value>, path: &str) {
    if !schema::facts::gate("WorkloadWithJob")
        && !old.and_then(|o| o.at(path)).is_some_and(|s| s.has("scheduling"))
    {
        o.remove_at(&format!("{path}.scheduling"));
    }
    podspec::prepare(o, old, &format!("{path}.template"));
}

fn generated_selector(o: &Value, e: &mut Errs) {
    let s = o.v("spec");
    let Some(sel) = s.set("selector").filter(|_| !s.b("manualSelector")) else { return };
    if o.uid().is_empty() {
        e.required(&At::new("metadata.uid"), "");
    }
    let at = At::new("spec.template.metadata.labels");
    let labels = s.v("template").v("metadata").v("labels");
    let expected = [(LEGACY_UID, o.uid()), (LEGACY_NAME, o.name()), (UID, o.uid()), (NAME, o.name())];
    for (k, want) in expected {
        let why = format!("must be '{want}'");
        match labels.os(k) {
            None => e.required(&at.k(k), why),
            Some(v) if v != want => e.invalid(&at.k(k), labels.clone(), why),
            Some(_) => {}
        }
    }
    let matches = meta::labels::from_label_selector(Some(sel))
        .is_ok_and(|s| !s.matches(|k| expected.iter().find(|(x, _)| *x == k).map(|(_, v)| *v)));
    if matches {
        e.invalid(&At::new("spec.selector"), sel.clone(), "`selector` not auto-generated");
    }
}

fn selector(s: &Value, invalid_values: bool, at: &At<'_>, e: &mut Errs) {
    let sel = s.set("selector");
    match sel {
        None => e.required(&at.c("selector"), ""),
        Some(sel) => e.label_selector(&at.c("selector"), Some(sel), invalid_values),
    }
    if let Ok(sel) = meta::labels::from_label_selector(sel) {
        replicaset::matches(&sel, s.v("template"), &at.c("template"), e);
    }
}

/// Pods of an indexed job have its name and an index for a hostname.
fn pod_names(o: &Value, e: &mut Errs) {
    let s = o.v("spec");
    let n = s.i("completions");
    if s.s("completionMode") == INDEXED && n > 0 {
        let last = format!("{}-{}", o.name(), n - 1);
        if !names::is_dns1123_label(&last).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {last}");
            e.invalid(&At::new("metadata.name"), o.name(), why);
        }
    }
}

pub(super) const INDEXED: &str = "Indexed";
const MANY: i64 = 100_000;
const MANY_PARALLEL: i64 = 10_000;

/// A job spec, of a job or of a template.
pub(super) fn spec(s: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    let counters = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    e.counters(s, at, &counters);
    if s.has("maxFailedIndexes") && !s.has("backoffLimitPerIndex") {
        e.required(&at.c("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(m) = s.os("managedBy") {
        let at = at.c("managedBy");
        e.domain_prefixed_path(&at, m);
        if m.len() > 63 {
            e.too_long(&at, 63);
        }
    }
    let indexed = match s.os("completionMode") {
        None => false,
        Some(m) => e.one_of(&at.c("completionMode"), m, &["NonIndexed", INDEXED]) && m == INDEXED,
    };
    if indexed {
        limits(s, at, e);
    } else if matches!(s.os("completionMode"), None | Some("NonIndexed")) {
        for f in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(n) = s.oi(f) {
                e.invalid(&at.c(f), n, "requires indexed completion mode");
            }
        }
    }
    if s.has("podFailurePolicy") {
        job_policies::failure(s, &at.c("podFailurePolicy.rules"), e);
    }
    if let Some(p) = s.set("successPolicy") {
        let at = at.c("successPolicy");
        if indexed {
            job_policies::success(s, &at.c("rules"), e);
        } else {
            e.invalid(&at, p.clone(), "requires indexed completion mode");
        }
    }
    if let Some(p) = s.os("podReplacementPolicy") {
        let known: &[&str] =
            if s.has("podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        e.one_of(&at.c("podReplacementPolicy"), p, known);
    }
    let at = at.c("template");
    podspec::template(s.v("template"), opts, &at, e);
    let at = at.c("spec.restartPolicy");
    match s.v("template").v("spec").s("restartPolicy") {
        "" | "Always" => e.required(&at, r#"valid values: "OnFailure", "Never""#),
        "Never" => {}
        p if p != "OnFailure" => e.unsupported(&at, p, &["OnFailure", "Never"]),
        p if s.has("podFailurePolicy") => {
            e.invalid(&at, p, r#"only "Never" is supported when podFailurePolicy is specified"#);
        }
        _ => {}
    }
}

/// What an indexed job can keep track of.
fn limits(s: &Value, at: &At<'_>, e: &mut Errs) {
    let (completions, parallelism, failed) =
        (s.oi("completions"), s.oi("parallelism"), s.oi("maxFailedIndexes"));
    if completions.is_none() {
        e.required(&at.c("completions"), "when completion mode is Indexed");
    }
    let too_many = |n: Option<i64>, max: i64| n.filter(|n| *n > max);
    if let Some(n) = too_many(parallelism, MANY) {
        let why = format!("must be less than or equal to {MANY} when completion mode is Indexed");
        e.invalid(&at.c("parallelism"), n, why);
    }
    if let Some(n) = completions.and_then(|c| too_many(failed, c)) {
        e.invalid(&at.c("maxFailedIndexes"), n, "must be less than or equal to completions");
    }
    if let Some(n) = too_many(failed, MANY) {
        e.invalid(&at.c("maxFailedIndexes"), n, format!("must be less than or equal to {MANY}"));
    }
    if too_many(completions, MANY).is_some() && s.has("backoffLimitPerIndex") {
        if failed.is_none() {
            let why = format!("must be specified when completions is above {MANY}");
            e.required(&at.c("maxFailedIndexes"), why);
        }
        for (f, n) in [("parallelism", parallelism), ("maxFailedIndexes", failed)] {
            if let Some(n) = too_many(n, MANY_PARALLEL) {
                let why = format!(
                    "must be less than or equal to {MANY_PARALLEL} when completions are above {MANY} and used with backoff limit per index"
                );
                e.invalid(&at.c(f), n, why);
            }
        }
    }
}

fn completions(new: &Value, old: &Value, at: &At<'_>, e: &mut Errs) {
    let (n, was) = (new.f("completions"), old.f("completions"));
    if new.s("completionMode") != INDEXED {
        return e.immutable(at, n, was);
    }
    if let Some(n) = n.filter(|n| was != Some(n))
        && new.f("parallelism") != Some(n)
    {
        e.invalid(at, n.clone(), "can only be modified in tandem with spec.parallelism");
    }
}

/// The template does not change, but for scheduling and resources while nothing runs.
fn template_update(new: &Value, old: &Value, at: &At<'_>, e: &mut Errs) {
    let (was, st) = (old.v("spec"), old.v("status"));
    let suspended = was.b("suspend");
    let idle =
        suspended && (!st.has("startTime") || rows::condition_true(old, "Suspended")) && st.i("active") == 0;
    let scheduling = if schema::facts::gate("MutableSchedulingDirectivesForSuspendedJobs") {
        idle
    } else {
        suspended && !st.has("startTime")
    };
    let t = new.v("template");
    let mut kept = was.v("template").clone();
    if scheduling {
        adopt_scheduling(&mut kept, t);
    }
    if !(suspended && idle && schema::facts::gate("MutablePodResourcesForSuspendedJobs")) {
        return e.immutable(&at.c("template"), Some(t), Some(&kept));
    }
    let spec = t.v("spec");
    let kept = kept.obj("spec");
    for list in ["containers", "initContainers"] {
        let containers = spec.list(list);
        if kept.list(list).len() == containers.len() {
            for (k, c) in kept.each(list).zip(containers) {
                if k.s("name") == c.s("name") {
                    adopt(k, c, "resources");
                }
            }
        }
    }
    e.immutable(&at.c("template.spec"), Some(spec), Some(&Value::Object(kept.clone())));
}

fn adopt(to: &mut Obj, from: &Value, field: &str) {
    match from.set(field) {
        Some(v) => to.put(field, v.clone()),
        None => drop(to.remove(field)),
    }
}

fn adopt_scheduling(kept: &mut Value, t: &Value) {
    let meta = kept.obj("metadata");
    for f in ["annotations", "labels"] {
        adopt(meta, t.v("metadata"), f);
    }
    let (spec, new) = (kept.obj("spec"), t.v("spec"));
    for f in ["nodeSelector", "tolerations", "schedulingGates"] {
        adopt(spec, new, f);
    }
    if spec.has("affinity") || new.has("affinity") {
        let affinity = spec.obj("affinity");
        adopt(affinity, new.v("affinity"), "nodeAffinity");
        if affinity.is_empty() && !new.has("affinity") {
            spec.remove("affinity");
        }
    }
}

pub(super) fn warnings(s: &Value, at: &At<'_>, out: &mut Vec<String>) {
    if s.s("completionMode") == INDEXED && s.i("completions") > MANY && s.i("parallelism") > MANY_PARALLEL {
        out.push(format!(
            "{at}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    out.extend(podspec::warnings::warnings(s.v("template"), &at.c("template"), true));
}
