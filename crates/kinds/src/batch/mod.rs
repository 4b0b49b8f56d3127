//! Kinds of batch.

pub(crate) mod cronjob;
pub(crate) mod job;
mod job_policies;
mod job_status;
