//! DaemonSets: a pod on each node that should have one (upstream `pkg/controller/daemon`).

mod plan;
mod rolling;

use crate::context::{Ctx, Error, is_namespace_terminating};
use crate::k8s::apps::{ControllerRevision, DaemonSet};
use crate::k8s::core::{Node, Pod};
use crate::k8s::{DeleteOptions, LabelSelector};
use crate::util::batch::slow_start;
use crate::util::meta::{MetaExt, selector};
use crate::util::{claim, history, pods, wake, written::Written};
use client::{Event, Informer, Key, Outcome, PatchKind, Queue, run_workers};
use futures::future::join_all;
use plan::{Input, Plan};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const WORKERS: usize = 2;
/// At most so many pods are made or deleted at a time.
const BURST: usize = 250;
/// How long a failed pod is left before it is replaced, at first and at last.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15 * 60));

struct Controller {
    ctx: Ctx,
    sets: Informer<DaemonSet>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    revisions: Informer<ControllerRevision>,
    written: Written,
    written_revisions: Written,
    written_sets: Written,
    /// Failed pods by set, generation and node: the delay, and when it began.
    backoff: Mutex<HashMap<String, (Duration, Instant)>>,
}

pub async fn run(ctx: Ctx) {
    let me = Arc::new(Controller {
        sets: ctx.informer(),
        pods: ctx.informer(),
        nodes: ctx.informer(),
        revisions: ctx.informer(),
        written: Written::default(),
        written_revisions: Written::default(),
        written_sets: Written::default(),
        backoff: Mutex::default(),
        ctx,
    });
    me.sets.synced().await;
    me.pods.synced().await;
    me.nodes.synced().await;
    me.revisions.synced().await;
    let rt = me.ctx.rt.clone();
    let queue: Queue<Key> = Queue::new();
    wake::forward_self(&rt, me.sets.raw(), &queue);
    let sets = me.sets.clone();
    wake::forward(&rt, me.pods.raw(), &queue, move |e| {
        wake::owners(&sets, e, |s| selector(Some(&s.spec.selector)).ok())
    });
    let it = me.clone();
    wake::forward(&rt, me.revisions.raw(), &queue, move |e| {
        let mut keys = wake::owners(&it.sets, e, |s| selector(Some(&s.spec.selector)).ok());
        if revision_of_another_hand(e) {
            keys.retain(|k| it.written_revisions.awaits(k));
        }
        keys
    });
    let sets = me.sets.clone();
    wake::forward(&rt, me.nodes.raw(), &queue, move |e| {
        if node_matters(e) {
            sets.raw().list().iter().map(client::RawObject::key).collect()
        } else {
            Vec::new()
        }
    });
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

/// Whether a revision came up that has its owner: nothing to do but when it is the one that was waited for. Looking at
/// once would take a user's copy of the current revision for a double, and delete the older of the two (upstream
/// `addHistory` looks at orphans only).
fn revision_of_another_hand(e: &Event) -> bool {
    matches!(e, Event::Added(r) if r.controller().is_some())
}

/// Whether a change of a node may change where daemons run.
fn node_matters(e: &Event) -> bool {
    let Event::Updated { old, new } = e else { return true };
    let spec = |o: &client::RawObject| {
        let node = o.shared::<Node>().ok();
        let spec = node.as_ref().and_then(|n| n.spec.as_ref());
        (spec.and_then(|s| s.taints.clone()), spec.and_then(|s| s.unschedulable))
    };
    old.header.labels != new.header.labels || spec(old) != spec(new)
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(set) = self.sets.get(&key.namespace, &key.name) else {
            for w in [&self.written, &self.written_revisions, &self.written_sets] {
                w.forget(&key);
            }
            return Ok(Outcome::Done);
        };
        if set.spec.selector == LabelSelector::default() {
            let why = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.ctx.events.warning(&set, "SelectingAll", why);
            return Ok(Outcome::Done);
        }
        if set.deleting() {
            return Ok(Outcome::Done);
        }
        let seen = self.written.seen(&key, self.pods.raw())
            && self.written_revisions.seen(&key, self.revisions.raw())
            && self.written_sets.seen(&key, self.sets.raw());
        if !seen {
            return Ok(Outcome::After(Duration::from_secs(5)));
        }
        let selector = selector(Some(&set.spec.selector)).map_err(Error::Other)?;
        let (current, old) = self.history(&key, &set, &selector).await?;
        let mut candidates = self.pods.by_owner(set.uid());
        let orphans = self.pods.raw().select(set.namespace(), &selector);
        candidates.extend(
            orphans.iter().filter(|o| o.controller().is_none()).filter_map(|o| o.decode::<Pod>().ok()),
        );
        let owned = claim::claim(&self.ctx.client, &set, &selector, &[], candidates).await?;
        let nodes = self.nodes.list();
        let now = self.ctx.now();
        let hash = current.label(history::HASH).unwrap_or_default().to_owned();
        let mut plan = plan::plan(Input {
            set: &set,
            hash: &hash,
            nodes: &nodes,
            pods: &owned,
            backoff: &mut |node| self.back_off(&set, node),
            now,
        });
        if plan.create.is_empty() && plan.delete.is_empty() && plan::is_rolling(&set) {
            rolling::plan(&set, &hash, &nodes, &owned, now, &mut plan);
        }
        let acted = self.act(&key, &set, &hash, &owned, &plan).await;
        let cleaned = if acted.is_ok() { self.clean_up(&set, &owned, old).await } else { Ok(()) };
        if let Some(new) = plan::status(&set, &hash, &nodes, &owned, acted.is_ok(), now) {
            self.written_sets.wrote(&key, self.ctx.client.replace_status(&new).await?.version());
        }
        acted?;
        cleaned?;
        let available = pods::next_available(&owned, set.spec.min_ready_seconds.unwrap_or(0), now);
        let next = [plan.retry, available].into_iter().flatten().min();
        Ok(next.map_or(Outcome::Done, Outcome::After))
    }

    /// How long to leave the failed pod of a node; `None`: it may be replaced now.
    fn back_off(&self, set: &DaemonSet, node: &str) -> Option<Duration> {
        let generation = set.status.as_ref().and_then(|s| s.observed_generation).unwrap_or(0);
        let key = format!("{}/{generation}/{node}", set.uid());
        let mut all = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (_, since)| since.elapsed() < 2 * BACKOFF.1);
        let next = match all.get(&key) {
            Some((delay, since)) if since.elapsed() < *delay => return Some(*delay - since.elapsed()),
            Some((delay, _)) => (*delay * 2).min(BACKOFF.1),
            None => BACKOFF.0,
        };
        all.insert(key, (next, Instant::now()));
        None
    }

    async fn act(
        &self,
        key: &Key,
        set: &DaemonSet,
        hash: &str,
        owned: &[Pod],
        plan: &Plan,
    ) -> Result<(), Error> {
        let c = &self.ctx.client;
        for (warning, reason, text) in &plan.events {
            if *warning {
                self.ctx.events.warning(set, reason, text.clone());
            } else {
                self.ctx.events.normal(set, reason, text.clone());
            }
        }
        let template = plan::template(set, hash);
        let (_, failed) = slow_start(plan.create.len().min(BURST), |i| {
            let mut pod = pods::from_template(&template, set);
            plan::pin(&mut pod, &plan.create[i]);
            async move {
                match c.create(&pod).await {
                    Ok(p) => {
                        self.written.wrote(key, p.version());
                        self.ctx.events.normal(set, "SuccessfulCreate", format!("Created pod: {}", p.name()));
                        Ok(())
                    }
                    Err(e) if is_namespace_terminating(&e) => Ok(()),
                    Err(e) => {
                        self.ctx.events.warning(set, "FailedCreate", format!("Error creating: {e}"));
                        Err(e)
                    }
                }
            }
        })
        .await;
        let delete = async |i: usize| {
            let p = &owned[i];
            match c.delete::<Pod>(p.ns(), p.name(), &DeleteOptions::default()).await {
                Ok(()) => {
                    self.written.deleted(key, p.uid(), p.key());
                    self.ctx.events.normal(set, "SuccessfulDelete", format!("Deleted pod: {}", p.name()));
                    Ok(())
                }
                Err(e) if e.is_not_found() => Ok(()),
                Err(e) => {
                    self.ctx.events.warning(set, "FailedDelete", format!("Error deleting: {e}"));
                    Err(e)
                }
            }
        };
        let results = join_all(plan.delete.iter().take(BURST).map(|i| delete(*i))).await;
        if let Some(e) = failed {
            return Err(e.into());
        }
        Ok(results.into_iter().find(Result::is_err).unwrap_or(Ok(()))?)
    }

    /// The revision of the set's template, made if there is none, and the other ones.
    async fn history(
        &self,
        key: &Key,
        set: &DaemonSet,
        selector: &meta::selector::Selector,
    ) -> Result<(ControllerRevision, Vec<ControllerRevision>), Error> {
        let c = &self.ctx.client;
        let mut all = self.revisions.by_owner(set.uid());
        let orphans = self.revisions.raw().select(set.namespace(), selector);
        all.extend(orphans.iter().filter(|o| o.controller().is_none()).filter_map(|o| o.decode().ok()));
        let all = claim::claim(c, set, selector, &[], all).await?;
        let (mut same, mut old): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|r| history::matches(r, &set.spec.template));
        old.sort_by(history::order);
        same.sort_by(history::order);
        let next = old.iter().filter_map(|r| r.revision).max().unwrap_or(0) + 1;
        let Some(mut current) = same.pop() else {
            return Ok((self.snapshot(key, set, next).await?, old));
        };
        for double in same {
            self.merge(key, set, &current, &double).await?;
        }
        if current.revision < Some(next) {
            current.revision = Some(next);
            current = c.replace(&current).await?;
            self.written_revisions.wrote(key, current.version());
        }
        Ok((current, old))
    }

    /// Two revisions of one template: the pods of the older one become pods of the newer.
    async fn merge(
        &self,
        key: &Key,
        set: &DaemonSet,
        keep: &ControllerRevision,
        double: &ControllerRevision,
    ) -> Result<(), Error> {
        let (want, have) = (keep.label(history::HASH), double.label(history::HASH));
        for p in self.pods.by_owner(set.uid()) {
            if p.label(history::HASH) == have && have != want {
                let patch = json!({"metadata": {"labels": {history::HASH: want}}});
                let new: Pod = self.ctx.client.patch(p.ns(), p.name(), "", PatchKind::Merge, &patch).await?;
                self.written.wrote(key, new.version());
            }
        }
        match self
            .ctx
            .client
            .delete::<ControllerRevision>(double.ns(), double.name(), &DeleteOptions::default())
            .await
        {
            Err(e) if !e.is_not_found() => Err(e.into()),
            _ => {
                self.written_revisions.deleted(key, double.uid(), double.key());
                Ok(())
            }
        }
    }

    async fn snapshot(&self, key: &Key, set: &DaemonSet, revision: i64) -> Result<ControllerRevision, Error> {
        let c = &self.ctx.client;
        let labels = set.spec.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
        let collisions = set.status.as_ref().and_then(|s| s.collision_count);
        let new = history::new(set, &set.spec.template, history::HASH, labels, revision, collisions);
        match c.create(&new).await {
            Ok(r) => {
                self.written_revisions.wrote(key, r.version());
                Ok(r)
            }
            Err(e) if e.is_already_exists() => {
                let there: ControllerRevision = c.get(new.ns(), new.name()).await?;
                if history::matches(&there, &set.spec.template) && there.is_controlled_by(set.uid()) {
                    return Ok(there);
                }
                let mut fresh: DaemonSet = c.get(set.ns(), set.name()).await?;
                let s = fresh.status.get_or_insert_default();
                if s.collision_count == collisions {
                    s.collision_count = Some(collisions.unwrap_or(0) + 1);
                    c.replace_status(&fresh).await?;
                }
                Err(e.into())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Deletes old revisions beyond the history limit that no pod is of.
    async fn clean_up(
        &self,
        set: &DaemonSet,
        owned: &[Pod],
        old: Vec<ControllerRevision>,
    ) -> Result<(), Error> {
        let keep = usize::try_from(set.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
        let mut surplus = old.len().saturating_sub(keep);
        let live: BTreeMap<&str, ()> =
            owned.iter().filter_map(|p| p.label(history::HASH)).map(|h| (h, ())).collect();
        for r in old {
            if surplus == 0 {
                break;
            }
            if r.label(history::HASH).is_some_and(|h| live.contains_key(h)) {
                continue;
            }
            match self
                .ctx
                .client
                .delete::<ControllerRevision>(r.ns(), r.name(), &DeleteOptions::default())
                .await
            {
                Err(e) if !e.is_not_found() => return Err(e.into()),
                _ => surplus -= 1,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
