//! CronJobs.

use super::job;
use crate::cron::{Schedule, Zone};
use crate::kit::*;
use crate::podspec::{self, Opts};

pub(crate) struct CronJob;

impl Strategy for CronJob {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        job::prepare(o, None, "spec.jobTemplate.spec");
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource != "status" {
            job::prepare(o, Some(old), "spec.jobTemplate.spec");
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, None, &mut e);
        if o.name().len() > 52 {
            e.invalid(&At::new("metadata.name"), o.name(), "must be no more than 52 characters");
        }
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource != "status" {
            validate(o, Some(old), &mut e);
        }
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        let mut out = Vec::new();
        if cx.subresource == "status" {
            return out;
        }
        if old.is_none() {
            out.extend(podspec::hostname_warning(o.name()));
        }
        if old.is_none_or(|old| old.generation() != o.generation()) {
            let at = At::new("spec.jobTemplate.spec");
            job::warnings(o.v("spec").v("jobTemplate").v("spec"), &at, &mut out);
        }
        if old.is_some() && o.v("spec").s("schedule").contains("TZ") {
            out.push(
                "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                    .to_owned(),
            );
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let job = s.v("jobTemplate").v("spec");
        let (names, images) = rows::containers(job.v("template").v("spec"));
        let last = match st.s("lastScheduleTime") {
            "" => "<none>".to_owned(),
            t => since(t, now),
        };
        let suspend = match s.ob("suspend") {
            None => "<unset>",
            Some(true) => "True",
            Some(false) => "False",
        };
        row![
            o.name(),
            s.s("schedule"),
            s.os("timeZone").unwrap_or("<none>"),
            suspend,
            st.list("active").len(),
            last,
            age(o, now),
            names,
            images,
            rows::selector(job.set("selector")),
        ]
    }
}

fn validate(o: &Value, old: Option<&Value>, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let was = old.map(|o| o.v("spec"));
    let zone = s.os("timeZone");
    match s.s("schedule") {
        "" => e.required(&at.c("schedule"), ""),
        text => {
            schedule(text, was.is_some_and(|o| o.s("schedule").contains("TZ")), zone, &at.c("schedule"), e)
        }
    }
    let limits = ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"];
    e.counters(s, &at, &limits);
    if let Some(z) = zone.filter(|_| was.is_none_or(|o| o.os("timeZone") != zone)) {
        time_zone(z, &at.c("timeZone"), e);
    }
    e.required_one_of(&at.c("concurrencyPolicy"), s.s("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let at = at.c("jobTemplate.spec");
    let template = s.v("jobTemplate").v("spec");
    let opts = Opts::new(was.map(|o| o.v("jobTemplate").v("spec").v("template")));
    job::spec(template, opts, &at, e);
    if let Some(sel) = template.set("selector") {
        e.invalid(&at.c("selector"), sel.clone(), "`selector` will be auto-generated");
    }
    if template.b("manualSelector") {
        e.unsupported(&at.c("manualSelector"), true, &["nil", "false"]);
    }
}

fn schedule(text: &str, zone_allowed: bool, zone: Option<&str>, at: &At<'_>, e: &mut Errs) {
    if let Err(why) = Schedule::parse(text) {
        e.invalid(at, text, why);
    }
    if !text.contains("TZ") {
        return;
    }
    if !zone_allowed {
        e.invalid(at, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if zone.is_some() {
        e.invalid(at, text, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
    }
}

fn time_zone(z: &str, at: &At<'_>, e: &mut Errs) {
    if z.is_empty() {
        return e.invalid(at, z, "timeZone must be nil or non-empty string");
    }
    let plain = |p: &str| {
        let chars = p.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+".contains(&b));
        chars && (1..=14).contains(&p.len()) && p != "." && p != ".." && !p.starts_with('-')
    };
    if !z.split('/').all(plain) {
        return e.invalid(at, z, format!("unknown time zone {z}"));
    }
    if z.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        e.invalid(at, z, why);
    }
    if let Err(why) = Zone::named(z) {
        e.invalid(at, z, why);
    }
}
