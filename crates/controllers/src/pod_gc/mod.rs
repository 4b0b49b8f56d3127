//! Deletes pods nobody else will: too many that ended, those of nodes that are gone or out of service, and those that
//! were deleted before they had a node (upstream `pkg/controller/podgc`).
//!
//! Upstream looks every 20 seconds; this looks 20 seconds after something changed.

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::core::{Node, Pod};
use crate::k8s::{DeleteOptions, Preconditions};
use crate::util::meta::MetaExt;
use crate::util::{pods, wake};
use client::{Informer, Outcome, PatchKind, Queue, run_workers};
use plan::{CLASS, Why};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const PERIOD: Duration = Duration::from_secs(20);
/// How long a node has to be gone before its pods are deleted.
const QUARANTINE: Duration = Duration::from_secs(40);

struct Controller {
    ctx: Ctx,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    /// Nodes that pods name and that are not there, and since when that is known.
    missing: Mutex<HashMap<String, Instant>>,
}

pub async fn run(ctx: Ctx) {
    let me =
        Arc::new(Controller { pods: ctx.informer(), nodes: ctx.informer(), missing: Mutex::default(), ctx });
    pods::index_by_node(&me.pods);
    me.pods.add_index(CLASS, plan::classes);
    me.pods.synced().await;
    me.nodes.synced().await;
    let rt = me.ctx.rt.clone();
    let queue: Queue<()> = Queue::new();
    for cache in [me.pods.raw(), me.nodes.raw()] {
        let queue = queue.clone();
        wake::on_event(&rt, cache, move |_| queue.add_after((), PERIOD));
    }
    run_workers(&rt, me.ctx.name, 1, &queue, move |()| {
        let me = me.clone();
        async move { me.round().await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn round(&self) -> Result<Outcome, Error> {
        let mut doomed: Vec<(Pod, Why)> = Vec::new();
        let threshold = self.ctx.config.terminated_pods;
        if threshold > 0 {
            let ended = self.pods.raw().by_index(CLASS, plan::ENDED);
            if ended.len() > threshold {
                let all: Vec<Pod> = ended.iter().filter_map(|o| o.decode().ok()).collect();
                doomed.extend(plan::surplus(all, threshold).into_iter().map(|p| (p, Why::Ended)));
            }
        }
        for p in self.pods.by_index(CLASS, plan::DELETING) {
            let node = pods::node_name(&p);
            if node.is_empty() {
                doomed.push((p, Why::Unscheduled));
            } else if self.nodes.get("", node).is_some_and(|n| plan::is_out_of_service(&n)) {
                doomed.push((p, Why::OutOfService));
            }
        }
        let (gone, wait) = self.gone_nodes().await;
        for node in gone {
            doomed.extend(self.pods.by_index(pods::BY_NODE, &node).into_iter().map(|p| (p, Why::Orphaned)));
        }
        let mut failure = None;
        for (p, why) in doomed {
            if let Err(e) = self.delete(&p, why).await {
                failure = failure.or(Some(e));
            }
        }
        match failure {
            Some(e) => Err(e),
            None => Ok(wait.map_or(Outcome::Done, Outcome::After)),
        }
    }

    /// Nodes that pods name and that have been gone for long enough; and when to look at others again.
    async fn gone_nodes(&self) -> (Vec<String>, Option<Duration>) {
        let there: BTreeSet<String> = self.nodes.raw().list().iter().map(|n| n.header.name.clone()).collect();
        let named = self.pods.raw().index_values(pods::BY_NODE);
        let absent: Vec<String> = named.into_iter().filter(|n| !there.contains(n)).collect();
        let (mut due, mut wait): (Vec<String>, Option<Duration>) = (Vec::new(), None);
        {
            let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
            missing.retain(|n, _| absent.contains(n));
            for n in absent {
                let since = *missing.entry(n.clone()).or_insert_with(Instant::now);
                match QUARANTINE.checked_sub(since.elapsed()).filter(|d| !d.is_zero()) {
                    Some(d) => wait = Some(wait.map_or(d, |w| w.min(d))),
                    None => due.push(n),
                }
            }
        }
        let mut gone = Vec::new();
        for n in due {
            // The cache may be wrong; what it would cost is too much.
            match self.ctx.client.get::<Node>(None, &n).await {
                Err(e) if e.is_not_found() => gone.push(n),
                Err(e) => tracing::warn!(node = n, "cannot tell whether the node is there: {e}"),
                Ok(_) => {}
            }
        }
        (gone, wait)
    }

    async fn delete(&self, p: &Pod, why: Why) -> Result<(), Error> {
        let c = &self.ctx.client;
        if !pods::is_terminal(p) {
            let mut patch = json!({"metadata": {"uid": p.uid()}, "status": {"phase": "Failed"}});
            if why == Why::Orphaned {
                let text = "PodGC: node no longer exists";
                let status = pods::disruption_patch("DeletionByPodGC", text, self.ctx.now());
                patch["status"]["conditions"] = status["status"]["conditions"].clone();
            }
            match c.patch::<Pod>(p.ns(), p.name(), "status", PatchKind::Strategic, &patch).await {
                Err(e) if e.is_not_found() => return Ok(()),
                other => other?,
            };
        }
        let opts = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: p.metadata.uid.clone(), resource_version: None }),
            ..DeleteOptions::default()
        };
        tracing::info!(pod = %p.key(), ?why, "deleting");
        match c.delete::<Pod>(p.ns(), p.name(), &opts).await {
            Err(e) if !e.is_not_found() => Err(e.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use serde_json::{Value, json};

    fn pod(name: &str, node: &str, phase: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"},
            "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase}})
    }

    #[tokio::test(start_paused = true)]
    async fn collects() {
        let c = Cluster::with(&["pod-garbage-collector-controller"], |c| c.terminated_pods = 1).await;
        let node = |name: &str, ready: &str, taints: Value| {
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": taints},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}})
        };
        c.api.seed("nodes", node("n", "True", json!([])));
        c.api.seed(
            "nodes",
            node(
                "broken",
                "False",
                json!([{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]),
            ),
        );
        let deleting = |mut p: Value| {
            p["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
            p
        };
        c.api.seed("pods", pod("runs", "n", "Running"));
        c.api.seed("pods", pod("ended-1", "n", "Succeeded"));
        c.api.seed("pods", pod("ended-2", "n", "Failed"));
        c.api.seed("pods", pod("lost", "gone", "Running"));
        c.api.seed("pods", deleting(pod("never-ran", "", "Pending")));
        c.api.seed("pods", deleting(pod("stuck", "broken", "Running")));
        c.api.seed("pods", deleting(pod("stops", "n", "Running")));
        tokio::time::sleep(std::time::Duration::from_secs(25)).await;
        assert_eq!(c.names("", "pods"), ["ended-2", "lost", "runs", "stops"]);
        c.settle().await;
        assert_eq!(c.names("", "pods"), ["ended-2", "runs", "stops"]);
    }
}
