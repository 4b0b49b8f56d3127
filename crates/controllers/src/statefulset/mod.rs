//! StatefulSets: pods with a name and storage of their own (upstream `pkg/controller/statefulset`).

mod claims;
mod identity;
mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::DeleteOptions;
use crate::k8s::apps::{ControllerRevision, StatefulSet};
use crate::k8s::core::{PersistentVolumeClaim, Pod};
use crate::util::meta::{MetaExt, selector};
use crate::util::{claim, history, pods, wake, written::Written};
use client::{Informer, Key, Outcome, Queue, run_workers};
use plan::{Input, Plan, Revision, Step};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 5;
/// The label of revisions that holds their hash; pods carry the revision's name.
const REVISION_HASH: &str = "controller.kubernetes.io/hash";

struct Controller {
    ctx: Ctx,
    sets: Informer<StatefulSet>,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    revisions: Informer<ControllerRevision>,
    written: Written,
    written_claims: Written,
    written_revisions: Written,
    written_sets: Written,
}

pub async fn run(ctx: Ctx) {
    let me = Arc::new(Controller {
        sets: ctx.informer(),
        pods: ctx.informer(),
        claims: ctx.informer(),
        revisions: ctx.informer(),
        written: Written::default(),
        written_claims: Written::default(),
        written_revisions: Written::default(),
        written_sets: Written::default(),
        ctx,
    });
    me.sets.synced().await;
    me.pods.synced().await;
    me.claims.synced().await;
    me.revisions.synced().await;
    let rt = me.ctx.rt.clone();
    let queue: Queue<Key> = Queue::new();
    wake::forward_self(&rt, me.sets.raw(), &queue);
    for cache in [me.pods.raw(), me.revisions.raw()] {
        let sets = me.sets.clone();
        wake::forward(&rt, cache, &queue, move |e| {
            wake::owners(&sets, e, |s| selector(Some(&s.spec.selector)).ok())
        });
    }
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(set) = self.sets.get(&key.namespace, &key.name) else {
            for w in [&self.written, &self.written_claims, &self.written_revisions, &self.written_sets] {
                w.forget(&key);
            }
            return Ok(Outcome::Done);
        };
        let seen = self.written.seen(&key, self.pods.raw())
            && self.written_claims.seen(&key, self.claims.raw())
            && self.written_revisions.seen(&key, self.revisions.raw())
            && self.written_sets.seen(&key, self.sets.raw());
        if !seen {
            // A claim's event wakes nobody, so look again soon.
            return Ok(Outcome::After(Duration::from_millis(200)));
        }
        let selector = match selector(Some(&set.spec.selector)) {
            Ok(s) => s,
            Err(e) => {
                tracing::error!(%key, "the selector is not valid: {e}");
                return Ok(Outcome::Done);
            }
        };
        let c = &self.ctx.client;
        let mut candidates = self.pods.by_owner(set.uid());
        for o in self.pods.raw().select(set.namespace(), &selector) {
            if o.controller().is_none() && identity::ordinal(set.name(), &o.header.name).is_some() {
                candidates.extend(o.decode::<Pod>().ok());
            }
        }
        let owned = claim::claim(c, &set, &selector, &[], candidates).await?;
        let mut revisions = self.revisions.by_owner(set.uid());
        let orphans = self.revisions.raw().select(set.namespace(), &selector);
        revisions.extend(orphans.iter().filter(|o| o.controller().is_none()).filter_map(|o| o.decode().ok()));
        let mut revisions: Vec<ControllerRevision> = claim::claim(c, &set, &selector, &[], revisions).await?;
        revisions.sort_by(history::order);
        let (current, update, collisions) = self.revisions(&key, &set, &mut revisions).await?;

        let now = self.ctx.now();
        let claims = self.claims_of(&set, &owned);
        let (cur, upd) = (revision(&current, &set), revision(&update, &set));
        let input =
            Input { set: &set, pods: &owned, claims: &claims, current: &cur, update: &upd, collisions, now };
        let plan = plan::plan(input);
        let acted = self.act(&key, &set, &plan).await;
        if plan::status_differs(&set, &plan.status) {
            let new = StatefulSet { status: Some(plan.status.clone()), ..set.clone() };
            self.written_sets.wrote(&key, c.replace_status(&new).await?.version());
        }
        acted?;
        if let Some(e) = plan.blocked {
            return Err(Error::Other(e));
        }
        self.truncate(&set, &owned, &revisions, [&current, &update]).await?;
        let next = pods::next_available(&owned, set.spec.min_ready_seconds.unwrap_or(0), now);
        Ok(next.map_or(Outcome::Done, Outcome::After))
    }

    /// The claims there are of those that the set's pods want, by name.
    fn claims_of(&self, set: &StatefulSet, owned: &[Pod]) -> HashMap<String, PersistentVolumeClaim> {
        let mut map = HashMap::new();
        let ordinals =
            owned.iter().filter_map(|p| identity::ordinal(set.name(), p.name())).chain(identity::range(set));
        for n in ordinals {
            for t in set.spec.volume_claim_templates.iter().flatten() {
                let name = identity::claim_name(set, t, n);
                if let Some(c) = self.claims.get(set.namespace(), &name) {
                    map.insert(name, c);
                }
            }
        }
        map
    }

    /// The revision the pods are of, the one they shall be of, and the collision count.
    async fn revisions(
        &self,
        key: &Key,
        set: &StatefulSet,
        all: &mut [ControllerRevision],
    ) -> Result<(ControllerRevision, ControllerRevision, i32), Error> {
        let c = &self.ctx.client;
        let mut collisions = set.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
        let next = all.last().and_then(|r| r.revision).unwrap_or(0) + 1;
        let same = all.iter().rposition(|r| history::matches(r, &set.spec.template));
        let update = match same {
            Some(i) if i + 1 == all.len() => all[i].clone(),
            Some(i) => {
                // Back to an old template: its revision becomes the newest.
                all[i].revision = Some(next);
                let new = c.replace(&all[i]).await?;
                self.written_revisions.wrote(key, new.version());
                all[i] = new.clone();
                new
            }
            None => {
                let labels =
                    set.spec.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
                loop {
                    let t = &set.spec.template;
                    let r = history::new(set, t, REVISION_HASH, labels.clone(), next, Some(collisions));
                    match c.create(&r).await {
                        Ok(new) => {
                            self.written_revisions.wrote(key, new.version());
                            break new;
                        }
                        Err(e) if e.is_already_exists() => {
                            let there: ControllerRevision = c.get(r.ns(), r.name()).await?;
                            if history::matches(&there, t) && there.is_controlled_by(set.uid()) {
                                break there;
                            }
                            collisions += 1;
                        }
                        Err(e) => return Err(e.into()),
                    }
                }
            }
        };
        let name = set.status.as_ref().and_then(|s| s.current_revision.as_deref()).unwrap_or_default();
        let current = all.iter().find(|r| r.name() == name).unwrap_or(&update).clone();
        Ok((current, update, collisions))
    }

    async fn act(&self, key: &Key, set: &StatefulSet, plan: &Plan) -> Result<(), Error> {
        let mut failure = None;
        for step in &plan.steps {
            if let Err(e) = self.step(key, set, step).await {
                if plan.ordered {
                    return Err(e);
                }
                failure = failure.or(Some(e));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn tell(&self, set: &StatefulSet, verb: &str, what: &str, error: Option<&client::Error>) {
        let (title, name) = (format!("{}{}", verb[..1].to_uppercase(), &verb[1..]), set.name());
        match error {
            None => {
                let text = format!("{verb} {what} in StatefulSet {name} successful");
                self.ctx.events.normal(set, &format!("Successful{title}"), text);
            }
            Some(e) => {
                let text = format!("{verb} {what} in StatefulSet {name} failed error: {e}");
                self.ctx.events.warning(set, &format!("Failed{title}"), text);
            }
        }
    }

    async fn step(&self, key: &Key, set: &StatefulSet, step: &Step) -> Result<(), Error> {
        let c = &self.ctx.client;
        match step {
            Step::CreateClaim { claim, pod } => match c.create(claim.as_ref()).await {
                Ok(new) => {
                    self.written_claims.wrote(key, new.version());
                    let text = format!(
                        "create Claim {} Pod {pod} in StatefulSet {} success",
                        claim.name(),
                        set.name()
                    );
                    self.ctx.events.normal(set, "SuccessfulCreate", text);
                    Ok(())
                }
                Err(e) if e.is_already_exists() => Ok(()),
                Err(e) => {
                    let (n, s) = (claim.name(), set.name());
                    let text = format!("create Claim {n} for Pod {pod} in StatefulSet {s} failed error: {e}");
                    self.ctx.events.warning(set, "FailedCreate", text);
                    Err(Error::other(format!("failed to create PVC {n}: {e}")))
                }
            },
            Step::UpdateClaim(claim) => {
                let new = c.replace(claim.as_ref()).await?;
                self.written_claims.wrote(key, new.version());
                Ok(())
            }
            Step::Conflict(claim) => {
                let text = format!(
                    "PersistentVolumeClaim {claim} has a conflicting OwnerReference that acts as a managing controller, the retention policy is ignored for this claim"
                );
                self.ctx.events.warning(set, "ConflictingController", text);
                Ok(())
            }
            Step::Create(pod) => match c.create(pod.as_ref()).await {
                Ok(new) => {
                    self.written.wrote(key, new.version());
                    self.tell(set, "create", &format!("Pod {}", pod.name()), None);
                    Ok(())
                }
                Err(e) if crate::context::is_namespace_terminating(&e) => Ok(()),
                Err(e) => {
                    if !e.is_already_exists() {
                        self.tell(set, "create", &format!("Pod {}", pod.name()), Some(&e));
                    }
                    Err(e.into())
                }
            },
            Step::Update(pod) => {
                let result = c.replace(pod.as_ref()).await;
                self.tell(set, "update", &format!("Pod {}", pod.name()), result.as_ref().err());
                self.written.wrote(key, result?.version());
                Ok(())
            }
            Step::Delete(pod) => match c.delete::<Pod>(pod.ns(), pod.name(), &DeleteOptions::default()).await
            {
                Err(e) if !e.is_not_found() => {
                    self.tell(set, "delete", &format!("Pod {}", pod.name()), Some(&e));
                    Err(e.into())
                }
                _ => {
                    self.written.deleted(key, pod.uid(), pod.key());
                    self.tell(set, "delete", &format!("Pod {}", pod.name()), None);
                    Ok(())
                }
            },
        }
    }

    /// Deletes revisions beyond the history limit that nothing is of.
    async fn truncate(
        &self,
        set: &StatefulSet,
        owned: &[Pod],
        all: &[ControllerRevision],
        keep: [&ControllerRevision; 2],
    ) -> Result<(), Error> {
        let live = |r: &ControllerRevision| {
            keep.iter().any(|k| k.name() == r.name())
                || owned.iter().any(|p| p.label(history::HASH) == Some(r.name()))
        };
        let dead: Vec<_> = all.iter().filter(|r| !live(r)).collect();
        let limit = usize::try_from(set.spec.revision_history_limit.unwrap_or(10)).unwrap_or(usize::MAX);
        for r in dead.iter().take(dead.len().saturating_sub(limit)) {
            match self
                .ctx
                .client
                .delete::<ControllerRevision>(r.ns(), r.name(), &DeleteOptions::default())
                .await
            {
                Err(e) if !e.is_not_found() => return Err(e.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn revision(r: &ControllerRevision, set: &StatefulSet) -> Revision {
    Revision {
        name: r.name().to_owned(),
        template: history::template(r).unwrap_or_else(|| set.spec.template.clone()),
    }
}

#[cfg(test)]
mod tests;
