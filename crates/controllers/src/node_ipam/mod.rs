//! Gives each node its share of the pod network (upstream `pkg/controller/nodeipam`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::core::Node;
use crate::util::wake;
use client::{Event, Informer, Key, Outcome, PatchKind, Queue, run_workers};
use plan::Ranges;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

struct Controller {
    ctx: Ctx,
    nodes: Informer<Node>,
    ranges: Mutex<Ranges>,
}

pub async fn run(ctx: Ctx) {
    let ranges = match Ranges::new(&ctx.config.cluster_cidrs, ctx.config.node_cidr_mask) {
        Ok(r) => r,
        Err(e) => {
            tracing::error!("no node gets a pod range: {e}");
            return;
        }
    };
    let nodes = ctx.informer::<Node>();
    nodes.synced().await;
    let queue: Queue<Key> = Queue::new();
    let rt = ctx.rt.clone();
    let me = Arc::new(Controller { ctx, nodes: nodes.clone(), ranges: Mutex::new(ranges) });
    // What nodes already have is taken before anything is given.
    for n in nodes.list() {
        me.occupy(&n);
    }
    let this = me.clone();
    wake::on_event(&rt, nodes.raw(), {
        let queue = queue.clone();
        move |e| match e {
            Event::Deleted(o) => {
                if let Ok(n) = o.decode::<Node>() {
                    this.lock().release(&cidrs(&n));
                }
            }
            e => queue.add(e.key()),
        }
    });
    run_workers(&rt, me.ctx.name, 1, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

fn cidrs(n: &Node) -> Vec<String> {
    let spec = n.spec.as_ref();
    let many = spec.and_then(|s| s.pod_cidrs.clone()).unwrap_or_default();
    if many.is_empty() { spec.and_then(|s| s.pod_cidr.clone()).into_iter().collect() } else { many }
}

impl Controller {
    fn lock(&self) -> std::sync::MutexGuard<'_, Ranges> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn occupy(&self, n: &Node) {
        for c in self.lock().occupy(&cidrs(n)) {
            tracing::warn!(node = n.metadata.name, "its pod range {c} is not one of this cluster's");
        }
    }

    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(node) = self.nodes.get("", &key.name) else { return Ok(Outcome::Done) };
        if !cidrs(&node).is_empty() {
            self.occupy(&node);
            return Ok(Outcome::Done);
        }
        let Some(give) = self.lock().take() else {
            return Err(Error::other("all pod ranges are taken: enlarge --cluster-cidr"));
        };
        let patch = json!({"spec": {"podCIDR": give[0], "podCIDRs": give}});
        match self.ctx.client.patch::<Node>(None, &key.name, "", PatchKind::Strategic, &patch).await {
            Ok(_) => Ok(Outcome::Done),
            Err(e) => {
                // Whether it was stored may be unknown; the node's next event says, and occupies what it has.
                self.lock().release(&give);
                Err(e.into())
            }
        }
    }
}
