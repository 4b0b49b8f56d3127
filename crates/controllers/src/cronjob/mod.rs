//! CronJobs: starts Jobs on a schedule (upstream `pkg/controller/cronjob`).

mod plan;

use crate::context::{Ctx, Error, is_namespace_terminating};
use crate::k8s::batch::{CronJob, CronJobStatus, Job};
use crate::k8s::{DeleteOptions, Time, Timestamp};
use crate::util::jobs::finished;
use crate::util::meta::MetaExt;
use crate::util::{wake, written::Written};
use client::{Event, Informer, Key, ObjectRef, Outcome, Queue, run_workers};
use plan::{Next, normal, warning};
use std::sync::Arc;
use std::time::Duration;

struct Controller {
    ctx: Ctx,
    crons: Informer<CronJob>,
    jobs: Informer<Job>,
    written: Written,
}

pub async fn run(ctx: Ctx) {
    let (crons, jobs) = (ctx.informer::<CronJob>(), ctx.informer::<Job>());
    let queue: Queue<Key> = Queue::new();
    crons.synced().await;
    jobs.synced().await;
    let rt = ctx.rt.clone();
    wake::on_event(&rt, crons.raw(), {
        let (queue, ctx) = (queue.clone(), ctx.clone());
        move |e| match moved(e, ctx.now()) {
            // Times of the new schedule that are past already are not made up for.
            Some(d) => queue.add_after(e.key(), d),
            None => queue.add(e.key()),
        }
    });
    wake::forward(&rt, jobs.raw(), &queue, {
        let crons = crons.clone();
        move |e| e.states().filter_map(|j| wake::owner_key(&crons, j)).collect()
    });
    let me = Arc::new(Controller { ctx, crons, jobs, written: Written::default() });
    run_workers(&rt, me.ctx.name, 5, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

/// How long until the next start, when the schedule was changed.
fn moved(e: &Event, now: Timestamp) -> Option<Duration> {
    let Event::Updated { old, new } = e else { return None };
    if old.header.generation == new.header.generation {
        return None;
    }
    let (old, new): (CronJob, CronJob) = (old.decode().ok()?, new.decode().ok()?);
    let (a, b) = (&old.spec, &new.spec);
    if a.schedule == b.schedule && a.time_zone == b.time_zone {
        return None;
    }
    let schedule = plan::schedule(&new).ok()?;
    plan::until_next(&new, &new.status.clone().unwrap_or_default(), &schedule, now)
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(mut cj) = self.crons.get(&key.namespace, &key.name) else {
            self.written.forget(&key);
            return Ok(Outcome::Done);
        };
        if !self.written.seen(&key, self.crons.raw()) {
            return Ok(Outcome::After(Duration::from_secs(5)));
        }
        let mut jobs = self.jobs.by_owner(cj.uid());
        jobs.retain(|j| j.is_controlled_by(cj.uid()));
        let mut status = cj.status.take().unwrap_or_default();
        let before = status.clone();
        let result = self.reconcile(&cj, &mut status, &jobs).await;
        if status != before {
            cj.status = Some(status);
            let new = self.ctx.client.replace_status(&cj).await?;
            self.written.wrote(&key, new.version());
        }
        Ok(result?.map_or(Outcome::Done, Outcome::After))
    }

    fn event(&self, cj: &CronJob, e: plan::Event) {
        let kind = if e.warning { "Warning" } else { "Normal" };
        self.ctx.events.event(&ObjectRef::of(cj), kind, e.reason, e.message);
    }

    async fn reconcile(
        &self,
        cj: &CronJob,
        status: &mut CronJobStatus,
        jobs: &[Job],
    ) -> Result<Option<Duration>, Error> {
        for old in plan::history(cj, jobs) {
            self.delete(cj, status, old).await?;
        }
        let forgotten = jobs.iter().any(|j| finished(j).is_none() && !plan::lists(status, j.uid()));
        if forgotten {
            // The cache may be behind our own status.
            let fresh: CronJob = self.ctx.client.get(cj.ns(), cj.name()).await?;
            *status = fresh.status.unwrap_or_default();
        }
        let (events, _) = plan::observe(status, jobs);
        events.into_iter().for_each(|e| self.event(cj, e));
        for r in plan::active(status).to_vec() {
            let (uid, name) = (r.uid.unwrap_or_default(), r.name.unwrap_or_default());
            if jobs.iter().any(|j| j.uid() == uid) {
                continue;
            }
            match self.ctx.client.get::<Job>(cj.ns(), &name).await {
                Err(e) if e.is_not_found() => {
                    self.event(cj, normal("MissingJob", format!("Active job went missing: {name}")));
                    plan::unlist(status, &uid);
                }
                other => drop(other?),
            }
        }
        if cj.deleting() {
            return Ok(None);
        }
        let (next, events) = plan::next(cj, status, self.ctx.now());
        events.into_iter().for_each(|e| self.event(cj, e));
        match next {
            Next::Wait(d) => Ok(d),
            Next::Start { at, replace, then } => {
                if replace {
                    self.replace(cj, status).await?;
                }
                self.start(cj, status, at).await?;
                Ok(then)
            }
        }
    }

    async fn replace(&self, cj: &CronJob, status: &mut CronJobStatus) -> Result<(), Error> {
        for r in plan::active(status).to_vec() {
            match self.ctx.client.get::<Job>(cj.ns(), r.name.as_deref().unwrap_or_default()).await {
                Ok(job) => self.delete(cj, status, &job).await?,
                Err(e) => {
                    self.event(cj, warning("FailedGet", format!("Get job: {e}")));
                    return Err(e.into());
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, cj: &CronJob, status: &mut CronJobStatus, job: &Job) -> Result<(), Error> {
        let background =
            DeleteOptions { propagation_policy: Some("Background".into()), ..DeleteOptions::default() };
        match self.ctx.client.delete::<Job>(job.ns(), job.name(), &background).await {
            Err(e) if !e.is_not_found() => {
                self.event(cj, warning("FailedDelete", format!("Deleted job: {e}")));
                Err(e.into())
            }
            _ => {
                plan::unlist(status, job.uid());
                self.event(cj, normal("SuccessfulDelete", format!("Deleted job {}", job.name())));
                Ok(())
            }
        }
    }

    async fn start(&self, cj: &CronJob, status: &mut CronJobStatus, at: Timestamp) -> Result<(), Error> {
        let wanted = plan::job(cj, at);
        let job = match self.ctx.client.create(&wanted).await {
            Ok(j) => {
                self.event(cj, normal("SuccessfulCreate", format!("Created job {}", j.name())));
                j
            }
            Err(e) if e.is_already_exists() => {
                // Made before a restart, but not noted; or somebody else's.
                let j: Job = self.ctx.client.get(cj.ns(), wanted.name()).await?;
                if !j.is_controlled_by(cj.uid()) || plan::lists(status, j.uid()) {
                    return Ok(());
                }
                j
            }
            Err(e) if is_namespace_terminating(&e) => return Ok(()),
            Err(e) => {
                self.event(cj, warning("FailedCreate", format!("Error creating job: {e}")));
                return Err(e.into());
            }
        };
        status.active.get_or_insert_default().push(plan::reference(&job));
        status.last_schedule_time = Some(Time(at));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
