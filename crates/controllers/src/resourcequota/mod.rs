//! Counts what namespaces with a ResourceQuota use (upstream `pkg/controller/resourcequota`). Admission charges what is
//! made; this gives back what has gone, and corrects what was charged wrongly. The arithmetic is admission's.

mod caches;

use crate::context::{Ctx, Error};
use crate::k8s::core::ResourceQuota;
use crate::util::meta::MetaExt;
use crate::util::{wake, written::Written};
use admission::quota;
use caches::Caches;
use client::{Event, Informer, Key, Kind, Outcome, Queue, run_workers};
use meta::GroupResource;
use meta::object::ObjectExt;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Objects often go in crowds.
const BATCH: Duration = Duration::from_millis(100);

struct Controller {
    ctx: Ctx,
    quotas: Informer<ResourceQuota>,
    caches: Arc<Caches>,
    queue: Queue<Key>,
    written: Written,
}

pub async fn run(ctx: Ctx) {
    let quotas = ctx.informer::<ResourceQuota>();
    let queue: Queue<Key> = Queue::new();
    quotas.synced().await;
    let rt = ctx.rt.clone();
    wake::forward(&rt, quotas.raw(), &queue, |e| match e {
        // Admission changes the status all the time.
        Event::Updated { old, new }
            if old.header.generation == new.header.generation && !hard_changed(old, new) =>
        {
            Vec::new()
        }
        _ => vec![e.key()],
    });
    let every = ctx.config.quota_sync;
    let me = Arc::new(Controller {
        ctx,
        quotas,
        caches: Arc::default(),
        queue: queue.clone(),
        written: Written::default(),
    });
    run_workers(&rt, me.ctx.name, 5, &queue, {
        let me = me.clone();
        move |key| {
            let me = me.clone();
            async move { me.sync(key).await }
        }
    });
    rt.spawn_until_stop("resourcequota-resync", async move {
        while !every.is_zero() {
            tokio::time::sleep(every).await;
            me.quotas.raw().list().iter().for_each(|q| queue.add(q.key()));
        }
    });
    rt.stopping().await;
}

fn hard_changed(old: &client::RawObject, new: &client::RawObject) -> bool {
    let hard = |o: &client::RawObject| o.decode::<ResourceQuota>().ok().map(|q| q.spec.and_then(|s| s.hard));
    hard(old) != hard(new)
}

/// Resources that have to be looked at to know what a quota counts.
fn also(quota: &Value) -> Vec<GroupResource> {
    let names = quota.at("spec.hard").and_then(Value::as_object);
    let devices = |k: &String| {
        k.contains("deviceclass.resource") || k.strip_prefix("requests.").is_some_and(|r| r.contains('/'))
    };
    if names.is_some_and(|m| m.keys().any(devices)) {
        vec![GroupResource::new("resource.k8s.io", "deviceclasses")]
    } else {
        Vec::new()
    }
}

impl Controller {
    async fn sync(self: &Arc<Self>, key: Key) -> Result<Outcome, Error> {
        let Some(q) = self.quotas.get(&key.namespace, &key.name) else {
            self.written.forget(&key);
            return Ok(Outcome::Done);
        };
        if !self.written.seen(&key, self.quotas.raw()) {
            return Ok(Outcome::After(Duration::from_secs(1)));
        }
        let mut value = q.to_value();
        self.follow(&also(&value)).await?;
        let mut tracked = quota::tracked(&value, &*self.caches);
        if tracked.iter().any(|r| r.resource == "resourceclaims") {
            tracked.push(GroupResource::new("", "pods"));
        }
        self.follow(&tracked).await?;
        let now = meta::time::Timestamp { seconds: self.ctx.rt.clock.unix_seconds(), nanos: 0 };
        let status = quota::current(&value, now, &*self.caches);
        if value.get("status") == Some(&status) {
            return Ok(Outcome::Done);
        }
        value["status"] = status;
        let new = ResourceQuota::from_value(value).map_err(|e| Error::other(e.to_string()))?;
        let new = self.ctx.client.replace_status(&new).await?;
        self.written.wrote(&key, new.version());
        Ok(Outcome::Done)
    }

    async fn follow(self: &Arc<Self>, wanted: &[GroupResource]) -> Result<(), Error> {
        let ctx = &self.ctx;
        let (quotas, queue, clock) = (self.quotas.clone(), self.queue.clone(), ctx.rt.clock.clone());
        let caches = Arc::downgrade(&self.caches);
        let on_event = move |r: &GroupResource, e: &Event| {
            let here = quotas.raw().select(&e.key().namespace, &meta::selector::Selector::default());
            let Some(caches) = caches.upgrade().filter(|_| !here.is_empty()) else { return };
            let now = meta::time::Timestamp { seconds: clock.unix_seconds(), nanos: 0 };
            let used = |o| caches.value(r, o).map(|v| quota::usage(&r.group, &r.resource, &v, now, &*caches));
            let frees = match e {
                // What is new was charged by admission already.
                Event::Added(_) => false,
                Event::Updated { old, new } => used(old) != used(new),
                Event::Deleted(_) => true,
            };
            if frees {
                here.iter().for_each(|q| queue.add_after(q.key(), BATCH));
            }
        };
        let follow = self.caches.follow(&ctx.rt, &ctx.informers, &ctx.client, wanted, on_event);
        match tokio::time::timeout(Duration::from_secs(30), follow).await {
            Ok(r) => Ok(r?),
            Err(_) => Err(Error::other("the objects to count cannot be listed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use meta::object::ObjectExt;
    use serde_json::{Value, json};

    #[tokio::test(start_paused = true)]
    async fn counts() {
        let c = Cluster::start(&["resourcequota"]).await;
        let pod = |name: &str, ns: &str, cpu: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": ns},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
        };
        let set = |name: &str| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "ns"}});
        c.api.seed("pods", pod("a", "ns", "100m"));
        c.api.seed("pods", pod("b", "ns", "1"));
        c.api.seed("pods", pod("c", "other", "1"));
        c.api.seed("deployments", set("d"));
        c.api.seed(
            "resourcequotas",
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "ns"},
            "spec": {"hard": {"pods": "10", "requests.cpu": "4", "count/deployments.apps": "2", "example.com/x": "1"}}}),
        );
        c.settle().await;
        let used = || {
            c.api
                .object("", "resourcequotas", "ns", "q")
                .unwrap()
                .at("status.used")
                .cloned()
                .unwrap_or_default()
        };
        assert_eq!(used(), json!({"pods": "2", "requests.cpu": "1100m", "count/deployments.apps": "1"}));
        c.api.remove("", "pods", "ns", "a");
        c.settle().await;
        assert_eq!(used()["requests.cpu"], "1");
        c.patch("", "pods", "ns", "b", json!({"status": {"phase": "Succeeded"}}));
        c.api.remove("apps", "deployments", "ns", "d");
        c.settle().await;
        assert_eq!(used(), json!({"pods": "0", "requests.cpu": "0", "count/deployments.apps": "0"}));
        c.patch("", "resourcequotas", "ns", "q", json!({"spec": {"hard": {"requests.cpu": Value::Null}}}));
        c.settle().await;
        assert_eq!(used(), json!({"pods": "0", "count/deployments.apps": "0"}));
    }
}
