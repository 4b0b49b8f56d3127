//! ReplicaSets and ReplicationControllers: as many pods as are wanted (upstream `pkg/controller/replicaset`).

mod plan;
mod set;

use crate::context::{Ctx, Error, is_namespace_terminating};
use crate::k8s::DeleteOptions;
use crate::k8s::core::Pod;
use crate::util::batch::slow_start;
use crate::util::claim;
use crate::util::meta::{MetaExt, matches};
use crate::util::{pods, wake, written::Written};
use client::{Informer, Key, Outcome, Queue, run_workers};
use futures::future::join_all;
use set::Set;
use std::sync::Arc;
use std::time::Duration;

/// At most so many pods are made or deleted at a time.
const BURST: usize = 500;
const WORKERS: usize = 5;

pub async fn replicaset(ctx: Ctx) {
    run::<crate::k8s::apps::ReplicaSet>(ctx).await;
}

pub async fn replicationcontroller(ctx: Ctx) {
    run::<crate::k8s::core::ReplicationController>(ctx).await;
}

struct Controller<S> {
    ctx: Ctx,
    sets: Informer<S>,
    pods: Informer<Pod>,
    written: Written,
    written_sets: Written,
}

async fn run<S: Set>(ctx: Ctx) {
    let (sets, pods) = (ctx.informer::<S>(), ctx.informer::<Pod>());
    let queue: Queue<Key> = Queue::new();
    sets.synced().await;
    pods.synced().await;
    wake::forward_self(&ctx.rt, sets.raw(), &queue);
    let owners = sets.clone();
    wake::forward(&ctx.rt, pods.raw(), &queue, move |e| wake::owners(&owners, e, |s| s.selector().ok()));
    let rt = ctx.rt.clone();
    let me = Arc::new(Controller {
        ctx,
        sets,
        pods,
        written: Written::default(),
        written_sets: Written::default(),
    });
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl<S: Set> Controller<S> {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(set) = self.sets.get(&key.namespace, &key.name) else {
            self.written.forget(&key);
            self.written_sets.forget(&key);
            return Ok(Outcome::Done);
        };
        if !self.written.seen(&key, self.pods.raw()) || !self.written_sets.seen(&key, self.sets.raw()) {
            // The pod's event wakes the set again; this is in case it never comes.
            return Ok(Outcome::After(Duration::from_secs(5)));
        }
        let selector = match set.selector() {
            Ok(s) => s,
            Err(e) => {
                tracing::error!(%key, "the selector is not valid: {e}");
                return Ok(Outcome::Done);
            }
        };
        let mut candidates = self.pods.by_owner(set.uid());
        candidates.extend(self.orphans(&set, &selector));
        let terminating = candidates
            .iter()
            .filter(|p| {
                pods::is_terminating(p) && p.is_controlled_by(set.uid()) && matches(&selector, p.labels())
            })
            .count();
        candidates.retain(pods::is_active);
        let active = claim::claim(&self.ctx.client, &set, &selector, &[], candidates).await?;

        let now = self.ctx.now();
        let failure = if set.deleting() { Ok(()) } else { self.manage(&key, &set, &active).await };
        let reason = failure.as_ref().err().map(ToString::to_string);
        let status = plan::status(&set, &active, terminating, reason.as_deref(), now);
        if let Some(updated) = set.with_status(&status) {
            let new = self.ctx.client.replace_status(&updated).await?;
            self.written_sets.wrote(&key, new.version());
        }
        failure?;
        let wait = if status.ready == status.available {
            None
        } else {
            pods::next_available(&active, set.min_ready(), now)
        };
        Ok(wait.map_or(Outcome::Done, Outcome::After))
    }

    /// Pods of nobody that the set might adopt.
    fn orphans(&self, set: &S, selector: &meta::selector::Selector) -> Vec<Pod> {
        let raw = self.pods.raw().select(set.namespace(), selector);
        raw.iter().filter(|o| o.controller().is_none()).filter_map(|o| o.decode().ok()).collect()
    }

    async fn manage(&self, key: &Key, set: &S, active: &[Pod]) -> Result<(), Error> {
        let c = &self.ctx.client;
        match plan::scale(set, active, &self.related(set), BURST, self.ctx.now()) {
            plan::Scale::Nothing => Ok(()),
            plan::Scale::Create(n) => {
                let Some(template) = set.template() else { return Ok(()) };
                let pod = pods::from_template(template, set);
                let (_, error) = slow_start(n, |_| async {
                    match c.create(&pod).await {
                        Ok(p) => {
                            self.written.wrote(key, p.version());
                            self.ctx.events.normal(
                                set,
                                "SuccessfulCreate",
                                format!("Created pod: {}", p.name()),
                            );
                            Ok(())
                        }
                        Err(e) if is_namespace_terminating(&e) => Ok(()),
                        Err(e) => {
                            self.ctx.events.warning(set, "FailedCreate", format!("Error creating: {e}"));
                            Err(e)
                        }
                    }
                })
                .await;
                error.map_or(Ok(()), |e| Err(e.into()))
            }
            plan::Scale::Delete(victims) => {
                let delete = async |p: &Pod| match c
                    .delete::<Pod>(p.ns(), p.name(), &DeleteOptions::default())
                    .await
                {
                    Ok(()) => {
                        self.written.deleted(key, p.uid(), p.key());
                        self.ctx.events.normal(set, "SuccessfulDelete", format!("Deleted pod: {}", p.name()));
                        Ok(())
                    }
                    Err(e) if e.is_not_found() => Ok(()),
                    Err(e) => {
                        self.ctx.events.warning(set, "FailedDelete", format!("Error deleting: {e}"));
                        Err(Error::other(format!("unable to delete pods: {e}")))
                    }
                };
                let results = join_all(victims.iter().map(|i| delete(&active[*i]))).await;
                results.into_iter().find(Result::is_err).unwrap_or(Ok(()))
            }
        }
    }

    /// Active pods of all sets that have the same controller (the same Deployment) as this one: they count when pods are
    /// ranked by how crowded their node is.
    fn related(&self, set: &S) -> Vec<Pod> {
        let uids: Vec<String> = match set.controller() {
            None => vec![set.uid().to_owned()],
            Some(c) => self.sets.raw().by_owner(&c.uid).iter().map(|s| s.header.uid.clone()).collect(),
        };
        let mut all: Vec<Pod> = uids.iter().flat_map(|u| self.pods.by_owner(u)).collect();
        all.retain(pods::is_active);
        all
    }
}

#[cfg(test)]
mod tests;
