//! Binds claims to volumes, and reclaims volumes whose claims are gone (upstream
//! `pkg/controller/volume/persistentvolume`).

mod class;
mod fresh;
mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::core::{PersistentVolume, PersistentVolumeClaim, Pod};
use crate::k8s::storage::StorageClass;
use crate::util::meta::MetaExt;
use crate::util::{pods, volumes, wake};
use client::{Event, Informer, Key, Outcome, Queue, run_workers};
use fresh::Fresh;
use plan::{ClaimInput, ClaimStep, Reclaim, VolumeStep};
use std::sync::Arc;

const BY_CLASS: &str = "storage-class";
const BY_CLAIM: &str = "claim-ref";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Work {
    Claim(Key),
    Volume(String),
}

struct Controller {
    ctx: Ctx,
    volumes: Fresh<PersistentVolume>,
    claims: Fresh<PersistentVolumeClaim>,
    classes: Informer<StorageClass>,
    pods: Informer<Pod>,
    queue: Queue<Work>,
}

pub async fn run(ctx: Ctx) {
    let (pvs, claims) = (ctx.informer::<PersistentVolume>(), ctx.informer::<PersistentVolumeClaim>());
    let (classes, pods) = (ctx.informer::<StorageClass>(), ctx.informer::<Pod>());
    volumes::index_by_claim(&pods);
    pvs.add_index(BY_CLASS, |v| vec![class::of_volume(v).to_owned()]);
    pvs.add_index(BY_CLAIM, |v| {
        plan::claim_ref(v).map(|r| plan::ref_key(r).to_string()).into_iter().collect()
    });
    claims.add_index(BY_CLASS, |c| vec![class::of_claim(c).to_owned()]);
    for c in [pvs.raw(), claims.raw(), classes.raw(), pods.raw()] {
        c.synced().await;
    }
    let rt = ctx.rt.clone();
    let me = Arc::new(Controller {
        ctx,
        volumes: Fresh::new(pvs.clone()),
        claims: Fresh::new(claims.clone()),
        classes: classes.clone(),
        pods: pods.clone(),
        queue: Queue::new(),
    });
    wake::on_event(&rt, pvs.raw(), {
        let me = me.clone();
        move |e| me.on_volume(e)
    });
    wake::on_event(&rt, claims.raw(), {
        let me = me.clone();
        move |e| {
            me.queue.add(Work::Claim(e.key()));
            // A deletion leaves a volume behind.
            for v in me.volumes.cache.raw().by_index(BY_CLAIM, &e.key().to_string()) {
                me.queue.add(Work::Volume(v.header.name.clone()));
            }
        }
    });
    wake::on_event(&rt, classes.raw(), {
        let me = me.clone();
        move |e| {
            me.wake_pending(&e.key().name);
            // It may be the default now.
            me.wake_pending("");
        }
    });
    wake::on_event(&rt, pods.raw(), {
        let me = me.clone();
        move |e| {
            // What a waiting claim waits for.
            if let Event::Added(o) = e
                && let Ok(p) = o.shared::<Pod>()
                && pods::node_name(&p).is_empty()
            {
                volumes::claims(&p).into_iter().for_each(|k| me.queue.add(Work::Claim(k)));
            }
        }
    });
    // One at a time: two claims must not get the same volume.
    let queue = me.queue.clone();
    run_workers(&rt, me.ctx.name, 1, &queue, move |work| {
        let me = me.clone();
        async move {
            match work {
                Work::Claim(key) => me.claim(key).await,
                Work::Volume(name) => me.volume(name).await,
            }
        }
    });
    rt.stopping().await;
}

impl Controller {
    fn on_volume(&self, e: &Event) {
        self.queue.add(Work::Volume(e.key().name));
        for o in e.states() {
            let Ok(v) = o.shared::<PersistentVolume>() else { continue };
            match plan::claim_ref(&v) {
                Some(r) => self.queue.add(Work::Claim(plan::ref_key(r))),
                None => self.wake_pending(class::of_volume(&v)),
            }
        }
    }
    /// Wakes the claims of a class that have no volume.
    fn wake_pending(&self, class: &str) {
        for c in self.claims.cache.by_index(BY_CLASS, class) {
            if plan::volume_name(&c).is_empty() {
                self.queue.add(Work::Claim(c.key()));
            }
        }
    }
    fn event<K: client::Kind>(&self, about: &K, e: plan::Event) {
        if e.warning {
            self.ctx.events.warning(about, e.reason, e.message);
        } else {
            self.ctx.events.normal(about, e.reason, e.message);
        }
    }

    async fn claim(&self, key: Key) -> Result<Outcome, Error> {
        let Some(claim) = self.claims.get(&key) else { return Ok(Outcome::Done) };
        let name = plan::volume_name(&claim).to_owned();
        let class_name = class::of_claim(&claim);
        let mut candidates = Vec::new();
        if name.is_empty() {
            candidates = self.volumes.by_index(BY_CLASS, class_name);
            let naming = self.volumes.by_index(BY_CLAIM, &key.to_string());
            candidates.extend(naming.into_iter().filter(|v| class::of_volume(v) != class_name));
        }
        let classes = self.classes.list();
        let waiting = self.pods.by_index(volumes::PODS_BY_CLAIM, &key.to_string());
        let waiting = waiting.iter().filter(|p| !pods::is_terminal(p) && pods::node_name(p).is_empty());
        let step = plan::claim(ClaimInput {
            claim: &claim,
            named: if name.is_empty() { None } else { self.volumes.get(&Key::new("", name)) },
            volumes: candidates,
            class: classes.iter().find(|c| c.name() == class_name),
            default_class: class::default(&classes),
            waiting_pods: waiting.map(|p| p.name().to_owned()).collect(),
        })
        .map_err(|e| Error::other(format!("error finding PV for claim {:?}: {e}", key.to_string())))?;
        match step {
            ClaimStep::Bind(v) => self.bind(*v, claim).await?,
            ClaimStep::SetClass(name) => {
                let mut new = claim;
                new.spec.get_or_insert_default().storage_class_name = Some(name);
                self.put_claim(&new).await?;
            }
            ClaimStep::Provision => self.provision(claim, &classes).await?,
            ClaimStep::Pending(e) => {
                if let Some(e) = e {
                    self.event(&claim, e);
                }
                self.claim_phase(&claim, "Pending", None).await?;
            }
            ClaimStep::Lost(e) => {
                if claim.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Lost") {
                    self.claim_phase(&claim, "Lost", None).await?;
                    self.event(&claim, e);
                }
            }
            ClaimStep::Conflict(e, why) => {
                self.event(&claim, e);
                return Err(Error::Other(why));
            }
        }
        Ok(Outcome::Done)
    }

    async fn bind(&self, mut v: PersistentVolume, mut c: PersistentVolumeClaim) -> Result<(), Error> {
        if let Some(new) = plan::bind_volume(&v, &c) {
            v = self.put_volume(&new).await?;
        }
        v = self.volume_phase(&v, "Bound", "").await?;
        if let Some(new) = plan::bind_claim(&c, &v) {
            c = self.put_claim(&new).await?;
        }
        self.claim_phase(&c, "Bound", Some(&v)).await
    }

    async fn provision(&self, claim: PersistentVolumeClaim, classes: &[StorageClass]) -> Result<(), Error> {
        let name = class::of_claim(&claim);
        let found = classes.iter().find(|c| c.name() == name);
        let found = found.ok_or_else(|| format!("storageclass.storage.k8s.io {name:?} not found"));
        let (class, provisioner) = match found.and_then(|c| Ok((c, class::provisioner(c)?))) {
            Ok(p) => p,
            Err(e) => {
                self.ctx.events.warning(&claim, "ProvisioningFailed", e);
                return Ok(());
            }
        };
        let claim = match plan::with_provisioner(&claim, class, provisioner) {
            Some(new) => self.put_claim(&new).await?,
            None => claim,
        };
        let text = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        );
        self.ctx.events.normal(&claim, "ExternalProvisioning", text);
        Ok(())
    }

    async fn volume(&self, name: String) -> Result<Outcome, Error> {
        let key = Key::new("", name);
        let Some(v) = self.volumes.get(&key) else { return Ok(Outcome::Done) };
        let claim = self.claim_of(&v).await?;
        match plan::volume(&v, claim.as_ref()) {
            VolumeStep::Phase(p) => drop(self.volume_phase(&v, p, "").await?),
            VolumeStep::WakeClaim(key) => self.queue.add(Work::Claim(key)),
            VolumeStep::Mismatch(key) => {
                let text = format!(
                    "Cannot bind PersistentVolume to requested PersistentVolumeClaim {:?} due to incompatible volumeMode.",
                    key.name
                );
                self.ctx.events.warning(&v, "VolumeMismatch", text);
                if let Some(c) = &claim {
                    let text = format!(
                        "Cannot bind PersistentVolume {:?} to requested PersistentVolumeClaim due to incompatible volumeMode.",
                        v.name()
                    );
                    self.ctx.events.warning(c, "VolumeMismatch", text);
                }
            }
            VolumeStep::Unbind => {
                let new = self.put_volume(&plan::unbind(&v)).await?;
                self.volume_phase(&new, "Available", "").await?;
            }
            VolumeStep::Reclaim => self.reclaim(v).await?,
        }
        Ok(Outcome::Done)
    }

    /// The claim that a volume names, if it is the one it means. That it is gone is asked of the server, for a volume
    /// that is given up is not given back.
    async fn claim_of(&self, v: &PersistentVolume) -> Result<Option<PersistentVolumeClaim>, Error> {
        let Some(r) = plan::claim_ref(v).filter(|r| r.uid.as_ref().is_some_and(|u| !u.is_empty())) else {
            return Ok(None);
        };
        let key = plan::ref_key(r);
        let is_it = |c: &PersistentVolumeClaim| r.uid.as_deref() == Some(c.uid());
        let cached = self.claims.get(&key);
        if cached.as_ref().is_some_and(is_it)
            || cached.is_none() && matches!(plan::phase_of(v), "Released" | "Failed")
        {
            return Ok(cached);
        }
        match self.ctx.client.get::<PersistentVolumeClaim>(key.ns(), &key.name).await {
            Ok(c) => Ok(Some(c).filter(is_it)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    async fn reclaim(&self, mut v: PersistentVolume) -> Result<(), Error> {
        if !matches!(plan::phase_of(&v), "Released" | "Failed") {
            v = self.volume_phase(&v, "Released", "").await?;
        }
        match plan::reclaim(&v) {
            Reclaim::Nothing => Ok(()),
            Reclaim::Fail(reason, why) => {
                if plan::phase_of(&v) != "Failed" {
                    v = self.volume_phase(&v, "Failed", &why).await?;
                    self.ctx.events.warning(&v, reason, why);
                }
                Ok(())
            }
        }
    }

    async fn put_claim(&self, c: &PersistentVolumeClaim) -> Result<PersistentVolumeClaim, Error> {
        let new = self.ctx.client.replace(c).await?;
        self.claims.wrote(&new);
        Ok(new)
    }
    async fn put_volume(&self, v: &PersistentVolume) -> Result<PersistentVolume, Error> {
        let new = self.ctx.client.replace(v).await?;
        self.volumes.wrote(&new);
        Ok(new)
    }
    async fn claim_phase(
        &self,
        c: &PersistentVolumeClaim,
        phase: &str,
        v: Option<&PersistentVolume>,
    ) -> Result<(), Error> {
        if let Some(new) = plan::claim_status(c, phase, v).map_err(Error::Other)? {
            let new = self.ctx.client.replace_status(&new).await?;
            self.claims.wrote(&new);
        }
        Ok(())
    }
    async fn volume_phase(
        &self,
        v: &PersistentVolume,
        phase: &str,
        message: &str,
    ) -> Result<PersistentVolume, Error> {
        if plan::phase_of(v) == phase {
            return Ok(v.clone());
        }
        let mut new = v.clone();
        let s = new.status.get_or_insert_default();
        s.phase = Some(phase.into());
        s.message = Some(message.to_owned()).filter(|m| !m.is_empty());
        let new = self.ctx.client.replace_status(&new).await?;
        self.volumes.wrote(&new);
        Ok(new)
    }
}

#[cfg(test)]
mod tests;
