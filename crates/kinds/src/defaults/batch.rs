//! Defaults of batch/v1 (K/pkg/apis/batch/v1/defaults.go).

use super::DefaultFn;
use super::core::template_labels;
use crate::val::{Get, Obj, Put};
use meta::Map;
use meta::time::Timestamp;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("batch.v1.CronJob", cron_job),
    ("batch.v1.Job", job),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", |o, _| o.default_zero("status", "True")),
];

fn job(o: &mut Obj, _: Timestamp) {
    let labels = template_labels(o);
    let s = o.obj("spec");
    if !s.has("completions") && !s.has("parallelism") {
        s.put("completions", 1);
    }
    s.default_nil("parallelism", 1);
    let limit = if s.has("backoffLimitPerIndex") { i32::MAX } else { 6 };
    s.default_nil("backoffLimit", limit);
    s.default_nil("completionMode", "NonIndexed");
    s.default_nil("suspend", false);
    let replace = if s.has("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    s.default_nil("podReplacementPolicy", replace);
    s.default_nil("manualSelector", false);
    if let Some(labels) = labels
        && o.v("metadata").o("labels").is_none_or(Map::is_empty)
    {
        o.obj("metadata").put("labels", labels);
    }
}

fn cron_job(o: &mut Obj, _: Timestamp) {
    let s = o.obj("spec");
    s.default_zero("concurrencyPolicy", "Allow");
    s.default_nil("suspend", false);
    s.default_nil("successfulJobsHistoryLimit", 3);
    s.default_nil("failedJobsHistoryLimit", 1);
}
