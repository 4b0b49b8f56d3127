//! Deletes pods from nodes whose NoExecute taints they do not tolerate, or not for ever (upstream
//! `pkg/controller/tainteviction`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::core::{Node, Pod, Taint};
use crate::k8s::{DeleteOptions, Timestamp};
use crate::util::meta::MetaExt;
use crate::util::{pods, wake};
use client::{Event, Informer, Key, Outcome, PatchKind, Queue, run_workers};
use plan::Verdict;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const WORKERS: usize = 8;

struct Controller {
    ctx: Ctx,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    /// Nodes with NoExecute taints, and since when each taint is there.
    tainted: Mutex<HashMap<String, Vec<(Taint, Timestamp)>>>,
    /// Pods that were told they will go.
    announced: Mutex<HashMap<Key, String>>,
}

pub async fn run(ctx: Ctx) {
    let me = Arc::new(Controller {
        nodes: ctx.informer(),
        pods: ctx.informer(),
        tainted: Mutex::default(),
        announced: Mutex::default(),
        ctx,
    });
    pods::index_by_node(&me.pods);
    me.nodes.synced().await;
    me.pods.synced().await;
    let rt = me.ctx.rt.clone();
    let queue: Queue<Key> = Queue::new();
    let (seen, to) = (me.clone(), queue.clone());
    wake::on_event(&rt, me.nodes.raw(), move |e| {
        if seen.note_node(e) {
            for p in seen.pods.raw().by_index(pods::BY_NODE, &e.object().header.name) {
                to.add(p.key());
            }
        }
    });
    let (seen, to) = (me.clone(), queue.clone());
    wake::on_event(&rt, me.pods.raw(), move |e| {
        if matches!(e, Event::Deleted(_)) {
            seen.announced.lock().unwrap_or_else(PoisonError::into_inner).remove(&e.key());
        } else if !seen.tainted.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            to.add(e.key());
        }
    });
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    /// Takes note of a node's NoExecute taints; answers whether they changed.
    fn note_node(&self, e: &Event) -> bool {
        let name = e.object().header.name.clone();
        let node: Option<Node> = if matches!(e, Event::Deleted(_)) { None } else { e.object().decode().ok() };
        let now = self.ctx.now();
        let mut all = self.tainted.lock().unwrap_or_else(PoisonError::into_inner);
        let old = all.remove(&name).unwrap_or_default();
        let taints = node.and_then(|n| n.spec?.taints).unwrap_or_default();
        let new: Vec<(Taint, Timestamp)> = taints
            .into_iter()
            .filter(|t| t.effect == "NoExecute")
            .map(|t| {
                let known = old.iter().find(|(o, _)| o.key == t.key && o.value == t.value);
                let since = t.time_added.as_ref().map(|t| t.0).or(known.map(|k| k.1)).unwrap_or(now);
                (t, since)
            })
            .collect();
        let changed = new != old;
        if !new.is_empty() {
            all.insert(name, new);
        }
        changed
    }

    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(pod) = self.pods.get(&key.namespace, &key.name).filter(|p| !p.deleting()) else {
            return Ok(Outcome::Done);
        };
        let now = self.ctx.now();
        let taints = {
            let all = self.tainted.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(pods::node_name(&pod)).cloned().unwrap_or_default()
        };
        match plan::judge(&pod, &taints, now) {
            Verdict::Stays => {
                let told = self.announced.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                if told.is_some_and(|uid| uid == pod.uid()) {
                    self.ctx.events.normal(
                        &pod,
                        "TaintManagerEviction",
                        format!("Cancelling deletion of Pod {key}"),
                    );
                }
                Ok(Outcome::Done)
            }
            Verdict::Wait(d) => {
                self.announced
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(key, pod.uid().to_owned());
                Ok(Outcome::After(d))
            }
            Verdict::Evict => {
                self.announced.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                self.ctx.events.normal(
                    &pod,
                    "TaintManagerEviction",
                    format!("Marking for deletion Pod {key}"),
                );
                self.evict(&pod, now).await?;
                Ok(Outcome::Done)
            }
        }
    }

    async fn evict(&self, pod: &Pod, now: Timestamp) -> Result<(), Error> {
        let c = &self.ctx.client;
        let why = "Taint manager: deleting due to NoExecute taint";
        let patch = pods::disruption_patch("DeletionByTaintManager", why, now);
        match c.patch::<Pod>(pod.ns(), pod.name(), "status", PatchKind::Strategic, &patch).await {
            Err(e) if e.is_not_found() => return Ok(()),
            other => other?,
        };
        match c.delete::<Pod>(pod.ns(), pod.name(), &DeleteOptions::default()).await {
            Err(e) if !e.is_not_found() => Err(e.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use meta::object::ObjectExt;
    use serde_json::{Value, json};

    #[tokio::test(start_paused = true)]
    async fn pods_go_when_their_time_is_over() {
        let c = Cluster::start(&["taint-eviction-controller"]).await;
        let pod = |name: &str, tolerations: Value| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns"},
                "spec": {"nodeName": "n", "containers": [], "tolerations": tolerations}})
        };
        c.api.seed(
            "nodes",
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {}}),
        );
        c.api.seed("pods", pod("none", json!([])));
        c.api.seed(
            "pods",
            pod(
                "some",
                json!([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]),
            ),
        );
        c.api.seed("pods", pod("for-ever", json!([{"operator": "Exists"}])));
        let gone = || -> Vec<String> {
            let all = c.api.objects("", "pods");
            all.iter().filter(|p| p.deletion_timestamp().is_some()).map(|p| p.name().to_owned()).collect()
        };
        c.settle().await;
        assert!(gone().is_empty());
        c.patch("", "nodes", "", "n", json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}));
        c.settle().await;
        assert_eq!(gone(), ["none"]);
        assert_eq!(
            c.api.object("", "pods", "ns", "none").unwrap()["status"]["conditions"][0]["reason"],
            "DeletionByTaintManager"
        );
        c.advance(200).await;
        assert_eq!(gone(), ["none"]);
        c.advance(101).await;
        assert_eq!(gone(), ["none", "some"]);
    }
}
