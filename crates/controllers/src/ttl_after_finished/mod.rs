//! Deletes finished Jobs some time after (upstream `pkg/controller/ttlafterfinished`).

use crate::context::{Ctx, Error};
use crate::k8s::batch::Job;
use crate::k8s::{DeleteOptions, Preconditions, Timestamp};
use crate::util::jobs::finished;
use crate::util::meta::MetaExt;
use crate::util::wake;
use client::{Key, Outcome, Queue, run_workers};
use std::time::Duration;

pub async fn run(ctx: Ctx) {
    let jobs = ctx.informer::<Job>();
    let queue: Queue<Key> = Queue::new();
    jobs.synced().await;
    wake::forward_self(&ctx.rt, jobs.raw(), &queue);
    let rt = ctx.rt.clone();
    run_workers(&rt, ctx.name, 5, &queue, move |key| {
        let (ctx, jobs) = (ctx.clone(), jobs.clone());
        async move {
            let Some(job) = jobs.get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
            match left(&job, ctx.now()) {
                None => Ok(Outcome::Done),
                Some(d) if !d.is_zero() => Ok(Outcome::After(d)),
                Some(_) => delete(&ctx, &job).await,
            }
        }
    });
    rt.stopping().await;
}

/// How long a finished job is still kept; `None` when it is not to be deleted.
fn left(job: &Job, now: Timestamp) -> Option<Duration> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if job.deleting() {
        return None;
    }
    let end = finished(job)?.last_transition_time.as_ref()?.0.as_second().saturating_add(i64::from(ttl));
    let millis = i128::from(end) * 1000 - i128::from(now.as_millisecond());
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

async fn delete(ctx: &Ctx, job: &Job) -> Result<Outcome, Error> {
    // The cache may be late: the time to live may have been changed.
    let fresh: Job = match ctx.client.get(job.ns(), job.name()).await {
        Err(e) if e.is_not_found() => return Ok(Outcome::Done),
        other => other?,
    };
    match left(&fresh, ctx.now()) {
        Some(d) if d.is_zero() => {}
        Some(d) => return Ok(Outcome::After(d)),
        None => return Ok(Outcome::Done),
    }
    let options = DeleteOptions {
        propagation_policy: Some("Foreground".into()),
        preconditions: Some(Preconditions { uid: Some(fresh.uid().to_owned()), resource_version: None }),
        ..DeleteOptions::default()
    };
    match ctx.client.delete::<Job>(job.ns(), job.name(), &options).await {
        Err(e) if !e.is_not_found() => Err(e.into()),
        _ => Ok(Outcome::Done),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Cluster, START};
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn deletes_when_the_time_is_over() {
        let c = Cluster::start(&["ttl-after-finished"]).await;
        for (name, status) in [("done", "True"), ("runs", "False")] {
            c.api.seed(
                "jobs",
                json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "ns"},
                    "spec": {"ttlSecondsAfterFinished": 600, "template": {}},
                    "status": {"conditions": [{"type": "Complete", "status": status, "lastTransitionTime": START}]}}),
            );
        }
        c.advance(590).await;
        assert_eq!(c.names("batch", "jobs"), ["done", "runs"]);
        c.advance(10).await;
        let done = c.api.object("batch", "jobs", "ns", "done").unwrap();
        assert_eq!(done["metadata"]["finalizers"], json!(["foregroundDeletion"]));
        assert!(c.api.object("batch", "jobs", "ns", "runs").unwrap()["metadata"].get("finalizers").is_none());
    }
}
