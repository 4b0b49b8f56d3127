//! How many pods of a PodDisruptionBudget may be disrupted now (upstream `pkg/controller/disruption`).

mod plan;
mod scale;

use crate::context::{Ctx, Error};
use crate::k8s::apps::{Deployment, ReplicaSet, StatefulSet};
use crate::k8s::core::{Pod, PodCondition, ReplicationController};
use crate::k8s::policy::PodDisruptionBudget;
use crate::util::meta::{MetaExt, selector, whole};
use crate::util::{pods, wake};
use client::{Event, Informer, Key, Outcome, Queue, run_workers};
use std::sync::Arc;
use std::time::Duration;

/// After this time a pod that was told it would be disrupted, and was not, is told the contrary.
const STALE: Duration = Duration::from_secs(120);

struct Controller {
    ctx: Ctx,
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    controllers: Informer<ReplicationController>,
    sets: Informer<ReplicaSet>,
    deployments: Informer<Deployment>,
    stateful: Informer<StatefulSet>,
}

pub async fn run(ctx: Ctx) {
    let me = Arc::new(Controller {
        budgets: ctx.informer(),
        pods: ctx.informer(),
        controllers: ctx.informer(),
        sets: ctx.informer(),
        deployments: ctx.informer(),
        stateful: ctx.informer(),
        ctx,
    });
    me.budgets.synced().await;
    me.pods.synced().await;
    for cache in [me.controllers.raw(), me.sets.raw(), me.deployments.raw(), me.stateful.raw()] {
        cache.synced().await;
    }
    let rt = me.ctx.rt.clone();
    let (queue, stale): (Queue<Key>, Queue<Key>) = (Queue::new(), Queue::new());
    wake::forward_self(&rt, me.budgets.raw(), &queue);
    let (seen, to, check) = (me.clone(), queue.clone(), stale.clone());
    wake::on_event(&rt, me.pods.raw(), move |e| {
        for k in seen.budgets_of(e) {
            to.add(k);
        }
        if !matches!(e, Event::Deleted(_)) && seen.may_be_stale(e) {
            check.add_after(e.key(), STALE);
        }
    });
    let worker = me.clone();
    run_workers(&rt, me.ctx.name, 1, &queue, move |key| {
        let me = worker.clone();
        async move { me.sync(key).await }
    });
    run_workers(&rt, me.ctx.name, 1, &stale, move |key| {
        let me = me.clone();
        async move { me.clear_stale(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    /// The budgets that select a pod, before or after the change.
    fn budgets_of(&self, e: &Event) -> Vec<Key> {
        let ns = &e.object().header.namespace;
        let all = self.budgets.in_namespace(ns);
        let selects = |b: &PodDisruptionBudget| {
            let s = selector(b.spec.as_ref().and_then(|s| s.selector.as_ref()));
            s.is_ok_and(|s| e.states().any(|o| s.matches(|k| o.header.label(k))))
        };
        all.iter().filter(|b| selects(b)).map(MetaExt::key).collect()
    }

    fn may_be_stale(&self, e: &Event) -> bool {
        e.object().shared::<Pod>().is_ok_and(|p| plan::is_disruption_target(&p))
    }

    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(pdb) = self.budgets.get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let c = &self.ctx.client;
        let now = self.ctx.now();
        let selector = selector(pdb.spec.as_ref().and_then(|s| s.selector.as_ref()));
        let pods = selector.map(|s| self.pods.select(&key.namespace, &s));
        let planned = match pods {
            Ok(pods) => {
                if pods.is_empty() {
                    self.ctx.events.normal(&pdb, "NoPods", "No matching pods found");
                }
                self.expected(&pdb, &pods).await.map(|count| (count, pods))
            }
            Err(e) => Err(Error::Other(e)),
        };
        match planned {
            Ok((count, pods)) => {
                let plan = plan::plan(&pdb, &pods, &count, now);
                for p in plan.not_deleted {
                    let text = format!("Pod was expected by PDB {key} to be deleted but it wasn't");
                    self.ctx.events.warning(&pods[p], "NotDeleted", text);
                }
                if let Some(new) = plan.status {
                    c.replace_status(&PodDisruptionBudget { status: Some(new), ..pdb.clone() }).await?;
                }
                Ok(plan.recheck.map_or(Outcome::Done, Outcome::After))
            }
            Err(e) => {
                let text = format!("Failed to calculate the number of expected pods: {e}");
                self.ctx.events.warning(&pdb, "CalculateExpectedPodCountFailed", text);
                // What cannot be counted must not be disrupted.
                if let Some(new) = plan::failed(&pdb, &e.to_string(), now) {
                    c.replace_status(&PodDisruptionBudget { status: Some(new), ..pdb }).await?;
                }
                Ok(Outcome::Done)
            }
        }
    }

    /// How many pods there should be, and how many of them healthy.
    async fn expected(&self, pdb: &PodDisruptionBudget, pods: &[Pod]) -> Result<plan::Count, Error> {
        let scale = if plan::needs_scale(pdb) {
            let (total, unmanaged) = self.scale(pods).await?;
            if unmanaged {
                let text = "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.";
                self.ctx.events.warning(pdb, "UnmanagedPods", text);
            }
            Some(total)
        } else {
            None
        };
        plan::count(pdb, pods.len(), scale).map_err(Error::Other)
    }

    async fn clear_stale(&self, key: Key) -> Result<Outcome, Error> {
        let Some(mut p) = self.pods.get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let now = self.ctx.now();
        match plan::stale_after(&p, STALE, now) {
            None => Ok(Outcome::Done),
            Some(d) if !d.is_zero() => Ok(Outcome::After(d)),
            Some(_) => {
                let c = PodCondition {
                    type_: "DisruptionTarget".into(),
                    status: "False".into(),
                    last_transition_time: Some(whole(now)),
                    ..PodCondition::default()
                };
                pods::set_condition(&mut p, c);
                self.ctx.client.replace_status(&p).await?;
                Ok(Outcome::Done)
            }
        }
    }
}

#[cfg(test)]
mod tests;
