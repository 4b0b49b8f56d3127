//! ResourceClaims: makes them from templates for pods, reserves and releases them (upstream
//! `pkg/controller/resourceclaim`, without pod groups).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::DeleteOptions;
use crate::k8s::core::{Pod, PodResourceClaim};
use crate::k8s::resource::{ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate};
use crate::util::meta::MetaExt;
use crate::util::{wake, written::Written};
use client::{Event, Informer, Key, Outcome, PatchKind, Queue, run_workers};
use plan::Name;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const BY_CLAIM: &str = "resource-claim";
const BY_TEMPLATE: &str = "resource-claim-template";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Work {
    Pod(Key),
    Claim(Key),
}

struct Controller {
    ctx: Ctx,
    pods: Informer<Pod>,
    claims: Informer<ResourceClaim>,
    templates: Informer<ResourceClaimTemplate>,
    queue: Queue<Work>,
    /// Claims made for pods.
    written: Written,
}

pub async fn run(ctx: Ctx) {
    let (pods, claims, templates) = (ctx.informer::<Pod>(), ctx.informer(), ctx.informer());
    pods.add_index(BY_CLAIM, |p| plan::names(p).iter().map(|n| format!("{}/{n}", p.namespace())).collect());
    pods.add_index(BY_TEMPLATE, |p| {
        let names = plan::entries(p).iter().filter_map(|c| c.resource_claim_template_name.as_ref());
        names.map(|n| format!("{}/{n}", p.namespace())).collect()
    });
    let rt = ctx.rt.clone();
    let me = Arc::new(Controller {
        ctx,
        pods,
        claims,
        templates,
        queue: Queue::new(),
        written: Written::default(),
    });
    for c in [me.pods.raw(), me.claims.raw(), me.templates.raw()] {
        c.synced().await;
    }
    wake::on_event(&rt, me.pods.raw(), {
        let me = me.clone();
        move |e| me.on_pod(e)
    });
    wake::on_event(&rt, me.claims.raw(), {
        let me = me.clone();
        move |e| {
            if !matches!(e, Event::Deleted(_)) {
                me.queue.add(Work::Claim(e.key()));
            }
            me.wake(BY_CLAIM, &e.key());
            for o in e.states() {
                if let Some(c) = o.controller().filter(|c| c.kind == "Pod") {
                    me.queue.add(Work::Pod(Key::new(&o.header.namespace, &c.name)));
                }
            }
        }
    });
    wake::on_event(&rt, me.templates.raw(), {
        let me = me.clone();
        move |e| {
            if !matches!(e, Event::Deleted(_)) {
                me.wake(BY_TEMPLATE, &e.key());
            }
        }
    });
    let queue = me.queue.clone();
    run_workers(&rt, me.ctx.name, 10, &queue, move |w| {
        let me = me.clone();
        async move {
            match w {
                Work::Pod(key) => me.pod(key).await,
                Work::Claim(key) => me.claim(key).await,
            }
        }
    });
    rt.stopping().await;
}

impl Controller {
    fn wake(&self, index: &str, key: &Key) {
        for p in self.pods.raw().by_index(index, &key.to_string()) {
            self.queue.add(Work::Pod(p.key()));
        }
    }

    fn on_pod(&self, e: &Event) {
        let Ok(p) = e.object().shared::<Pod>() else { return };
        if !plan::uses_claims(&p) {
            return;
        }
        let deleted = matches!(e, Event::Deleted(_));
        if deleted || plan::is_done(&p) {
            for n in plan::names(&p) {
                self.queue.add(Work::Claim(Key::new(p.namespace(), n)));
            }
        }
        if !deleted {
            self.queue.add(Work::Pod(p.key()));
        } else {
            self.written.forget(&p.key());
        }
    }

    async fn pod(&self, key: Key) -> Result<Outcome, Error> {
        let Some(p) = self.pods.get(&key.namespace, &key.name).filter(|p| !p.deleting()) else {
            return Ok(Outcome::Done);
        };
        if plan::entries(&p).is_empty() || plan::is_done(&p) {
            return Ok(Outcome::Done);
        }
        if !self.written.seen(&key, self.claims.raw()) {
            return Ok(Outcome::After(Duration::from_secs(1)));
        }
        let mut made: BTreeMap<String, String> = BTreeMap::new();
        for c in plan::entries(&p) {
            match self.ensure(&key, &p, c).await {
                Ok(None) => {}
                Ok(Some(name)) => drop(made.insert(c.name.clone(), name)),
                Err(e) => {
                    let text = format!("PodResourceClaim {}: {e}", c.name);
                    self.ctx.events.warning(&p, "FailedResourceClaimCreation", text.clone());
                    return Err(Error::other(format!("pod {key}, {text}")));
                }
            }
        }
        if !made.is_empty() {
            self.note(&p, made).await?;
        }
        if !crate::util::pods::node_name(&p).is_empty() {
            self.reserve(&p).await?;
        }
        Ok(Outcome::Done)
    }

    /// Makes the claim of an entry where it is to be made and is not there. Answers its name where the pod does not
    /// know it yet.
    async fn ensure(&self, key: &Key, p: &Pod, c: &PodResourceClaim) -> Result<Option<String>, String> {
        match plan::name(p, c) {
            Name::Given(_) | Name::Unneeded => return Ok(None),
            Name::Made(n)
                if self.exists(p, &n).await.map_err(|e| format!("checking claim existence: {e}"))? =>
            {
                return Ok(None);
            }
            _ => {}
        }
        let Some(template) = &c.resource_claim_template_name else { return Ok(None) };
        let mut own = self.claims.by_owner(p.uid()).into_iter();
        if let Some(claim) = own.find(|x| plan::is_for(x, p) && x.annotation(plan::FOR) == Some(&c.name)) {
            return Ok(Some(claim.name().to_owned()));
        }
        let t = self.templates.get(p.namespace(), template).ok_or_else(|| {
            let missing = format!("resourceclaimtemplate.resource.k8s.io {template:?} not found");
            format!("resource claim template {template:?}: {missing}")
        })?;
        let new = self.ctx.client.create(&plan::claim(p, &c.name, &t)).await;
        let new = new.map_err(|e| format!("create ResourceClaim : {e}"))?;
        self.written.wrote(key, new.version());
        Ok(Some(new.name().to_owned()))
    }

    async fn exists(&self, p: &Pod, name: &str) -> Result<bool, client::Error> {
        if let Some(c) = self.claims.get(p.namespace(), name) {
            return Ok(plan::is_for(&c, p));
        }
        match self.ctx.client.get::<ResourceClaim>(p.ns(), name).await {
            Ok(c) => Ok(plan::is_for(&c, p)),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Tells the pod the names of its claims.
    async fn note(&self, p: &Pod, made: BTreeMap<String, String>) -> Result<(), Error> {
        let known = p.status.iter().flat_map(|s| s.resource_claim_statuses.iter().flatten());
        let mut all: BTreeMap<String, String> =
            known.filter_map(|s| Some((s.name.clone(), s.resource_claim_name.clone()?))).collect();
        all.extend(made);
        let list: Vec<Value> =
            all.into_iter().map(|(n, c)| json!({"name": n, "resourceClaimName": c})).collect();
        let apply = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": p.name(), "namespace": p.namespace()},
            "status": {"resourceClaimStatuses": list}});
        let client = self.ctx.client.clone().named("ResourceClaimController");
        client.patch::<Pod>(p.ns(), p.name(), "status", PatchKind::Apply, &apply).await?;
        Ok(())
    }

    /// A pod that was put on a node without the scheduler has its claims reserved here.
    async fn reserve(&self, p: &Pod) -> Result<(), Error> {
        for c in plan::entries(p) {
            let (name, made) = match plan::name(p, c) {
                Name::Given(n) => (n, false),
                Name::Made(n) => (n, true),
                _ => continue,
            };
            let Some(claim) = self.claims.get(p.namespace(), &name) else { return Ok(()) };
            if made && !plan::is_for(&claim, p) {
                return Err(Error::other(format!(
                    "ResourceClaim {} was not created for pod {}",
                    claim.key(),
                    p.key()
                )));
            }
            if let Some(new) = plan::reserve(&claim, p) {
                self.ctx.client.replace_status(&new).await?;
            }
        }
        Ok(())
    }

    async fn claim(&self, key: Key) -> Result<Outcome, Error> {
        let Some(mut claim) = self.claims.get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
        let before = plan::reserved_for(&claim).len();
        let mut left = Vec::new();
        for r in plan::reserved_for(&claim) {
            if !plan::is_for_pods(r) || self.needs(&key, r).await? {
                left.push(r.clone());
            }
        }
        let none = left.is_empty();
        let protected = claim.has_finalizer(plan::FINALIZER);
        if left.len() < before {
            let s = claim.status.get_or_insert_default();
            s.reserved_for = (!none).then_some(left);
            if none && protected {
                // Nobody uses it: its devices are free.
                s.allocation = None;
            }
            claim = self.ctx.client.replace_status(&claim).await?;
            if claim.status.as_ref().is_none_or(|s| s.allocation.is_none()) {
                claim = self.unprotect(claim).await?;
            }
        } else if protected && claim.deleting() && none {
            if claim.status.as_ref().is_some_and(|s| s.allocation.is_some()) {
                claim.status.get_or_insert_default().allocation = None;
                claim = self.ctx.client.replace_status(&claim).await?;
            }
            claim = self.unprotect(claim).await?;
        }
        if none {
            self.delete_with_pod(&claim).await?;
        }
        Ok(Outcome::Done)
    }

    async fn unprotect(&self, mut c: ResourceClaim) -> Result<ResourceClaim, Error> {
        let Some(all) = &mut c.metadata.finalizers else { return Ok(c) };
        let n = all.len();
        all.retain(|f| f != plan::FINALIZER);
        if all.len() == n {
            return Ok(c);
        }
        Ok(self.ctx.client.replace(&c).await?)
    }

    /// Whether the pod behind a reservation may still use the claim.
    async fn needs(&self, key: &Key, r: &ResourceClaimConsumerReference) -> Result<bool, Error> {
        if let Some(p) = self.pods.get(&key.namespace, &r.name) {
            return Ok(p.uid() == r.uid && !plan::is_done(&p));
        }
        match self.ctx.client.get::<Pod>(key.ns(), &r.name).await {
            Ok(p) => Ok(p.uid() == r.uid),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// A claim that was made for a pod goes when the pod is done, sooner than garbage collection would have it.
    async fn delete_with_pod(&self, c: &ResourceClaim) -> Result<(), Error> {
        let Some(owner) = c.controller().filter(|o| o.kind == "Pod" && o.api_version == "v1") else {
            return Ok(());
        };
        let Some(p) = self.pods.get(c.namespace(), &owner.name) else { return Ok(()) };
        if c.deleting() || p.uid() == owner.uid && !plan::is_done(&p) {
            return Ok(());
        }
        match self.ctx.client.delete::<ResourceClaim>(c.ns(), c.name(), &DeleteOptions::default()).await {
            Err(e) if !e.is_not_found() => Err(e.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plan;
    use crate::testing::Cluster;
    use meta::object::ObjectExt;
    use serde_json::{Value, json};

    #[tokio::test(start_paused = true)]
    async fn makes_reserves_and_releases() {
        let c = Cluster::start(&["resource-claim-controller"]).await;
        c.api.seed(
            "pods",
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"},
                "spec": {"containers": [], "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]}}),
        );
        c.settle().await;
        assert!(c.names("resource.k8s.io", "resourceclaims").is_empty());
        c.api.seed(
            "resourceclaimtemplates",
            json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "t", "namespace": "ns"},
                "spec": {"metadata": {"labels": {"a": "b"}}, "spec": {"devices": {"requests": [{"name": "r"}]}}}}),
        );
        c.settle().await;
        let claims = || c.api.objects("resource.k8s.io", "resourceclaims");
        let claim = claims().remove(0);
        assert_eq!(claims().len(), 1);
        assert_eq!((claim.label("a"), claim.annotation(plan::FOR)), (Some("b"), Some("gpu")));
        let pod = c.api.object("", "pods", "ns", "p").unwrap();
        assert_eq!(
            pod["status"]["resourceClaimStatuses"],
            json!([{"name": "gpu", "resourceClaimName": claim.name()}])
        );
        // A driver allocates it, the pod is on a node: it is reserved.
        c.patch(
            "resource.k8s.io",
            "resourceclaims",
            "ns",
            claim.name(),
            json!({"metadata": {"finalizers": [plan::FINALIZER]}, "status": {"allocation": {}}}),
        );
        c.patch("", "pods", "ns", "p", json!({"spec": {"nodeName": "n"}, "status": {"phase": "Running"}}));
        c.settle().await;
        assert_eq!(claims()[0]["status"]["reservedFor"][0]["uid"], pod.uid());
        // It ends: everything is let go.
        c.patch("", "pods", "ns", "p", json!({"status": {"phase": "Succeeded"}}));
        c.settle().await;
        assert_eq!(claims(), Vec::<Value>::new());
    }
}
