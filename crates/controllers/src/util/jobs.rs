//! How a Job ended.

use crate::k8s::batch::{Job, JobCondition};

/// The condition that says how it ended, if it has.
pub fn finished(job: &Job) -> Option<&JobCondition> {
    let all = job.status.as_ref()?.conditions.as_deref()?;
    all.iter().find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
}
