//! Deployments: rolls out templates through ReplicaSets (upstream `pkg/controller/deployment`).

mod plan;
mod rollout;
mod status;

use crate::context::{Ctx, Error, is_namespace_terminating};
use crate::k8s::apps::{Deployment, ReplicaSet};
use crate::k8s::core::Pod;
use crate::k8s::{DeleteOptions, LabelSelector};
use crate::util::meta::{MetaExt, selector};
use crate::util::{claim, pods, wake, written::Written};
use client::{Client, Informer, Key, Outcome, Queue, run_workers};
use plan::{Input, Plan, Step};
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 5;

struct Controller {
    ctx: Ctx,
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    written: Written,
    written_deployments: Written,
}

pub async fn run(ctx: Ctx) {
    let (deployments, sets, pods) = (ctx.informer::<Deployment>(), ctx.informer(), ctx.informer::<Pod>());
    let queue: Queue<Key> = Queue::new();
    deployments.synced().await;
    sets.synced().await;
    pods.synced().await;
    wake::forward_self(&ctx.rt, deployments.raw(), &queue);
    let owners = deployments.clone();
    wake::forward(&ctx.rt, sets.raw(), &queue, move |e| {
        wake::owners(&owners, e, |d| selector(Some(&d.spec.selector)).ok())
    });
    // A Recreate rollout waits for the last old pod to go.
    let (owners, between) = (deployments.clone(), sets.clone());
    wake::forward(&ctx.rt, pods.raw(), &queue, move |e| {
        let old = match e {
            client::Event::Deleted(o) => o,
            client::Event::Updated { old, .. } => old,
            client::Event::Added(_) => return Vec::new(),
        };
        let set = wake::owner_key::<ReplicaSet>(&between, old);
        let set = set.and_then(|k| between.raw().get(&k.namespace, &k.name));
        let Some(key) = set.and_then(|s| wake::owner_key(&owners, &s)) else { return Vec::new() };
        let waits = owners.get(&key.namespace, &key.name).is_some_and(|d| plan::is_recreate(&d));
        if waits { vec![key] } else { Vec::new() }
    });
    let rt = ctx.rt.clone();
    let me = Arc::new(Controller {
        ctx,
        deployments,
        sets,
        pods,
        written: Written::default(),
        written_deployments: Written::default(),
    });
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let c = &self.ctx.client;
        let Some(d) = self.deployments.get(&key.namespace, &key.name) else {
            self.written.forget(&key);
            self.written_deployments.forget(&key);
            return Ok(Outcome::Done);
        };
        let seen = self.written.seen(&key, self.sets.raw())
            && self.written_deployments.seen(&key, self.deployments.raw());
        if !seen {
            return Ok(Outcome::After(Duration::from_secs(5)));
        }
        if d.spec.selector == LabelSelector::default() {
            let why = "This deployment is selecting all pods. A non-empty selector is required.";
            self.ctx.events.warning(&d, "SelectingAll", why);
            return Ok(Outcome::Done);
        }
        let selector = selector(Some(&d.spec.selector)).map_err(Error::Other)?;
        let mut sets = self.sets.by_owner(d.uid());
        sets.extend(self.orphans(&d, &selector));
        let sets = claim::claim(c, &d, &selector, &[], sets).await?;
        let old_pods_run = plan::is_recreate(&d) && self.old_pods_run(&d, &sets);
        let plan = plan::plan(Input { deployment: &d, sets, old_pods_run, now: self.ctx.now() });
        self.act(&key, &d, plan).await
    }

    fn orphans(&self, d: &Deployment, selector: &meta::selector::Selector) -> Vec<ReplicaSet> {
        let raw = self.sets.raw().select(d.namespace(), selector);
        raw.iter().filter(|o| o.controller().is_none()).filter_map(|o| o.decode().ok()).collect()
    }

    /// Whether a pod of another template than the newest may still run.
    fn old_pods_run(&self, d: &Deployment, sets: &[ReplicaSet]) -> bool {
        let new = plan::newest(d, sets).map(|i| sets[i].uid());
        sets.iter()
            .filter(|s| Some(s.uid()) != new)
            .any(|s| self.pods.by_owner(s.uid()).iter().any(|p| !pods::is_terminal(p)))
    }

    async fn act(&self, key: &Key, d: &Deployment, mut plan: Plan) -> Result<Outcome, Error> {
        let c = &self.ctx.client;
        for step in std::mem::take(&mut plan.steps) {
            match step {
                Step::Create(rs) => {
                    if let Some(outcome) = self.create(key, d, *rs).await? {
                        return Ok(outcome);
                    }
                }
                Step::Update { set, event } => {
                    let new = c.replace(set.as_ref()).await?;
                    self.written.wrote(key, new.version());
                    if let Some(e) = event {
                        self.ctx.events.normal(d, "ScalingReplicaSet", e);
                    }
                }
                Step::Delete(set) => {
                    match c.delete::<ReplicaSet>(set.ns(), set.name(), &DeleteOptions::default()).await {
                        Err(e) if !e.is_not_found() => return Err(e.into()),
                        _ => self.written.deleted(key, set.uid(), set.key()),
                    }
                }
            }
        }
        if let Some(new) = plan.deployment {
            self.written_deployments.wrote(key, c.replace_status(new.as_ref()).await?.version());
        }
        Ok(plan.check_after.map_or(Outcome::Done, Outcome::After))
    }

    /// Makes the new ReplicaSet. An outcome ends the sync.
    async fn create(&self, key: &Key, d: &Deployment, rs: ReplicaSet) -> Result<Option<Outcome>, Error> {
        let c = &self.ctx.client;
        match c.create(&rs).await {
            Ok(new) => {
                self.written.wrote(key, new.version());
                let n = rs.spec.replicas.unwrap_or(0);
                if n > 0 {
                    let text = format!("Scaled up replica set {} from 0 to {n}", rs.name());
                    self.ctx.events.normal(d, "ScalingReplicaSet", text);
                }
                Ok(None)
            }
            Err(e) if e.is_already_exists() => self.collision(c, d, &rs).await,
            Err(e) if is_namespace_terminating(&e) => Ok(Some(Outcome::Done)),
            Err(e) => {
                let message = format!("Failed to create new replica set {:?}: {e}", rs.name());
                self.ctx.events.warning(d, "ReplicaSetCreateError", message.clone());
                if let Some(failed) = status::create_failed(d, message, self.ctx.now()) {
                    c.replace_status(&failed).await?;
                }
                Err(e.into())
            }
        }
    }

    /// A ReplicaSet of the name is there: it is ours, made before and not seen yet, or the hash collided.
    async fn collision(&self, c: &Client, d: &Deployment, rs: &ReplicaSet) -> Result<Option<Outcome>, Error> {
        let there: ReplicaSet = c.get(rs.ns(), rs.name()).await?;
        let same = plan::same_template(there.spec.template.as_ref(), &d.spec.template);
        if there.is_controlled_by(d.uid()) && same {
            self.written.wrote(&d.key(), there.version());
            return Ok(Some(Outcome::Again));
        }
        let mut new = d.clone();
        let s = new.status.get_or_insert_default();
        s.collision_count = Some(s.collision_count.unwrap_or(0) + 1);
        c.replace_status(&new).await?;
        Ok(Some(Outcome::Again))
    }
}

#[cfg(test)]
mod tests;
