//! Jobs: pods that run to their end (upstream `pkg/controller/job`).

mod backoff;
mod indexes;
mod plan;
mod policy;

use crate::context::{Ctx, Error, is_namespace_terminating};
use crate::k8s::DeleteOptions;
use crate::k8s::batch::Job;
use crate::k8s::core::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodTemplateSpec};
use crate::util::batch::slow_start;
use crate::util::meta::{MetaExt, refers_to, selector};
use crate::util::{claim, pods, wake, written::Written};
use backoff::Record;
use client::{Event, Informer, Key, Outcome, PatchKind, Queue, run_workers};
use futures::future::join_all;
use plan::{Actions, FINALIZER, NewPod, Work, has_finalizer};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const WORKERS: usize = 5;
/// Changes of pods are taken together for this long.
const BATCH: Duration = Duration::from_millis(200);
/// Who looks after a Job if it does not say.
const CONTROLLER: &str = "kubernetes.io/job-controller";

struct Controller {
    ctx: Ctx,
    jobs: Informer<Job>,
    pods: Informer<Pod>,
    written: Written,
    written_jobs: Written,
    backoff: Mutex<HashMap<Key, Record>>,
}

pub async fn run(ctx: Ctx) {
    let me = Arc::new(Controller {
        jobs: ctx.informer(),
        pods: ctx.informer(),
        written: Written::default(),
        written_jobs: Written::default(),
        backoff: Mutex::default(),
        ctx,
    });
    me.jobs.synced().await;
    me.pods.synced().await;
    let rt = me.ctx.rt.clone();
    let (queue, orphans): (Queue<Key>, Queue<Key>) = (Queue::new(), Queue::new());
    let (seen, to, strays) = (me.clone(), queue.clone(), orphans.clone());
    wake::on_event(&rt, me.jobs.raw(), move |e| {
        if let Event::Deleted(o) = e {
            for p in seen.pods.raw().by_owner(&o.header.uid) {
                strays.add(p.key());
            }
        }
        to.add(e.key());
    });
    let (seen, to, strays) = (me.clone(), queue.clone(), orphans.clone());
    wake::on_event(&rt, me.pods.raw(), move |e| {
        for k in
            wake::owners(&seen.jobs, e, |j| selector(j.spec.as_ref().and_then(|s| s.selector.as_ref())).ok())
        {
            to.add_after(k, BATCH);
        }
        let o = e.object();
        let tracked = o.header.finalizers.iter().any(|f| f == FINALIZER);
        if tracked && !matches!(e, Event::Deleted(_)) && wake::owner_key(&seen.jobs, o).is_none() {
            strays.add(o.key());
        }
    });
    let worker = me.clone();
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = worker.clone();
        async move { me.sync(key).await }
    });
    let (worker, later) = (me.clone(), orphans.clone());
    run_workers(&rt, me.ctx.name, 1, &orphans, move |key| {
        let (me, _) = (worker.clone(), &later);
        async move { me.release_orphan(key).await }
    });
    rt.stopping().await;
}

fn managed_elsewhere(j: &Job) -> bool {
    j.spec.as_ref().and_then(|s| s.managed_by.as_deref()).is_some_and(|m| m != CONTROLLER)
}

impl Controller {
    /// Takes the finalizer off a pod whose Job is gone or over.
    async fn release_orphan(&self, key: Key) -> Result<Outcome, Error> {
        let Some(p) = self.pods.get(&key.namespace, &key.name).filter(has_finalizer) else {
            return Ok(Outcome::Done);
        };
        if let Some(o) = p.controller() {
            if !refers_to::<Job>(&o.api_version, &o.kind) {
                return Ok(Outcome::Done);
            }
            let job = self.jobs.get(&key.namespace, &o.name).filter(|j| j.uid() == o.uid);
            if job.is_some_and(|j| managed_elsewhere(&j) || !plan::is_finished(&j)) {
                return Ok(Outcome::Done);
            }
        }
        self.release(&p).await.map(|_| Outcome::Done)
    }

    /// Takes the finalizer off; answers the pod's version, 0 if it is gone.
    async fn release(&self, p: &Pod) -> Result<u64, Error> {
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
        match self.ctx.client.patch::<Pod>(p.ns(), p.name(), "", PatchKind::Strategic, &patch).await {
            Ok(p) => Ok(p.version()),
            Err(e) if e.is_not_found() => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(job) = self.jobs.get(&key.namespace, &key.name) else {
            self.written.forget(&key);
            self.written_jobs.forget(&key);
            self.lock().remove(&key);
            return Ok(Outcome::Done);
        };
        if managed_elsewhere(&job) {
            return Ok(Outcome::Done);
        }
        if plan::is_finished(&job) {
            self.lock().remove(&key);
            // Pods may have been left with their finalizer, as when two controllers took over from each other.
            for p in self.pods.by_owner(job.uid()).iter().filter(|p| has_finalizer(p)) {
                self.release(p).await?;
            }
            return Ok(Outcome::Done);
        }
        let mode = job.spec.as_ref().and_then(|s| s.completion_mode.as_deref()).unwrap_or("NonIndexed");
        if !matches!(mode, "NonIndexed" | "Indexed") {
            let why = "Skipped Job sync because completion mode is unknown";
            self.ctx.events.warning(&job, "UnknownCompletionMode", why);
            return Ok(Outcome::Done);
        }
        if !self.written.seen(&key, self.pods.raw()) || !self.written_jobs.seen(&key, self.jobs.raw()) {
            return Ok(Outcome::After(Duration::from_secs(5)));
        }
        let selector = selector(job.spec.as_ref().and_then(|s| s.selector.as_ref())).map_err(Error::Other)?;
        let mut candidates = self.pods.by_owner(job.uid());
        let orphans = self.pods.raw().select(job.namespace(), &selector);
        candidates.extend(
            orphans.iter().filter(|o| o.controller().is_none()).filter_map(|o| o.decode::<Pod>().ok()),
        );
        let owned = claim::claim(&self.ctx.client, &job, &selector, &[FINALIZER], candidates).await?;
        let record = self.lock().get(&key).cloned().unwrap_or_default();
        let mut work = Work::new(&job, &owned, &record, self.ctx.now());
        let mut actions = work.decide();
        let acted = self.act(&key, &job, &owned, &mut work, &mut actions).await;
        for (warning, reason, text) in &actions.events {
            if *warning {
                self.ctx.events.warning(&job, reason, text.clone());
            } else {
                self.ctx.events.normal(&job, reason, text.clone());
            }
        }
        self.track(&key, &owned, &mut work).await?;
        acted?;
        Ok(actions.retry.map_or(Outcome::Done, Outcome::After))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Record>> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes and deletes pods.
    async fn act(
        &self,
        key: &Key,
        job: &Job,
        owned: &[Pod],
        work: &mut Work<'_>,
        actions: &mut Actions,
    ) -> Result<(), Error> {
        let c = &self.ctx.client;
        let delete = async |i: usize| -> Result<usize, Error> {
            let p = &owned[i];
            if actions.uncounted && has_finalizer(p) {
                self.written.wrote(key, self.release(p).await?);
            }
            match c.delete::<Pod>(p.ns(), p.name(), &DeleteOptions::default()).await {
                Ok(()) => {
                    self.written.deleted(key, p.uid(), p.key());
                    self.ctx.events.normal(job, "SuccessfulDelete", format!("Deleted pod: {}", p.name()));
                    Ok(i)
                }
                Err(e) if e.is_not_found() => Ok(i),
                Err(e) => {
                    self.ctx.events.warning(job, "FailedDelete", format!("Error deleting: {e}"));
                    Err(e.into())
                }
            }
        };
        let results = join_all(actions.delete.iter().map(|i| delete(*i))).await;
        let mut failure = None;
        let mut deleted = Vec::new();
        for r in results {
            match r {
                Ok(i) => deleted.push(i),
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        let create = &actions.create;
        let (created, error) = slow_start(create.len(), |i| {
            let pod = new_pod(job, &create[i]);
            async move {
                match c.create(&pod).await {
                    Ok(p) => {
                        self.written.wrote(key, p.version());
                        self.ctx.events.normal(job, "SuccessfulCreate", format!("Created pod: {}", p.name()));
                        Ok(())
                    }
                    Err(e) if is_namespace_terminating(&e) => Ok(()),
                    Err(e) => {
                        self.ctx.events.warning(job, "FailedCreate", format!("Error creating: {e}"));
                        Err(e)
                    }
                }
            }
        })
        .await;
        let all = deleted.len() == actions.delete.len();
        work.done(created, &deleted, all, actions);
        match failure.or(error.map(Error::from)) {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// Counts pods that ended: lists them, takes their finalizers off, and moves them to the counters.
    async fn track(&self, key: &Key, owned: &[Pod], work: &mut Work<'_>) -> Result<(), Error> {
        let (write, release) = work.track();
        if write {
            self.write(key, work).await?;
            self.lock().insert(key.clone(), work.record.clone());
        }
        let results = join_all(release.iter().map(|i| self.release(&owned[*i]))).await;
        let mut failure = None;
        let mut released = BTreeSet::new();
        for (i, r) in release.iter().zip(results) {
            match r {
                Ok(version) => {
                    self.written.wrote(key, version);
                    released.insert(owned[*i].uid().to_owned());
                }
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        let (write, finished) = work.count(&released);
        if write {
            self.write(key, work).await?;
        }
        if let Some(c) = finished {
            let job = &work.job;
            if c.type_ == "Complete" {
                let s = job.status.as_ref().and_then(|s| s.succeeded).unwrap_or(0);
                if job.spec.as_ref().and_then(|s| s.completions).is_some_and(|n| s > n) {
                    let why = "Too many succeeded pods running after completion count reached";
                    self.ctx.events.warning(job, "TooManySucceededPods", why);
                }
                self.ctx.events.normal(job, "Completed", "Job completed");
            } else {
                let text = |s: &Option<String>| s.clone().unwrap_or_default();
                self.ctx.events.warning(job, &text(&c.reason), text(&c.message));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn write(&self, key: &Key, work: &mut Work<'_>) -> Result<(), Error> {
        let new = self.ctx.client.replace_status(&work.job).await?;
        self.written_jobs.wrote(key, new.version());
        work.job.metadata.resource_version = new.metadata.resource_version;
        Ok(())
    }
}

fn new_pod(job: &Job, n: &NewPod) -> Pod {
    let mut t: PodTemplateSpec = job.spec.as_ref().map(|s| s.template.clone()).unwrap_or_default();
    let meta = t.metadata.get_or_insert_default();
    let finalizers = meta.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|f| f == FINALIZER) {
        finalizers.push(FINALIZER.into());
    }
    let Some(index) = n.index else { return pods::from_template(&t, job) };
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(indexes::ANNOTATION.into(), index.to_string());
    if let Some((failures, ignored)) = n.failures {
        annotations.insert(plan::FAILURE_COUNT.into(), failures.to_string());
        if ignored > 0 {
            annotations.insert(plan::IGNORED_COUNT.into(), ignored.to_string());
        }
    }
    meta.labels.get_or_insert_default().insert(indexes::ANNOTATION.into(), index.to_string());
    let spec = t.spec.get_or_insert_default();
    spec.hostname = Some(format!("{}-{index}", job.name()));
    for c in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        let env = c.env.get_or_insert_default();
        if !env.iter().any(|e| e.name == "JOB_COMPLETION_INDEX") {
            let path = format!("metadata.labels['{}']", indexes::ANNOTATION);
            env.push(EnvVar {
                name: "JOB_COMPLETION_INDEX".into(),
                value_from: Some(EnvVarSource {
                    field_ref: Some(ObjectFieldSelector {
                        field_path: path,
                        ..ObjectFieldSelector::default()
                    }),
                    ..EnvVarSource::default()
                }),
                ..EnvVar::default()
            });
        }
    }
    let mut p = pods::from_template(&t, job);
    // What the server adds to a prefix must leave room for the index.
    let suffix = format!("-{index}-");
    let name = job.name().get(..58 - suffix.len()).unwrap_or(job.name());
    p.metadata.generate_name = Some(format!("{name}{suffix}"));
    p
}

#[cfg(test)]
mod tests;
