//! Notices that nodes are lost, and taints nodes by their condition (upstream `pkg/controller/nodelifecycle`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::Timestamp;
use crate::k8s::coordination::Lease;
use crate::k8s::core::{Node, Pod, PodCondition, Taint};
use crate::util::meta::{MetaExt, whole};
use crate::util::{pods, taints, wake};
use client::{Client, Event, Informer, Key, ListWatch, ObjectRef, Outcome, PatchKind, Queue, run_workers};
use plan::{Monitor, Op, View};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

const WORKERS: usize = 8;
const LEASES: &str = "kube-node-lease";

struct Controller {
    ctx: Ctx,
    nodes: Informer<Node>,
    leases: Informer<Lease>,
    pods: Informer<Pod>,
    /// Nodes that are not ready, for pods that come to them.
    not_ready: Mutex<BTreeSet<String>>,
}

pub async fn run(ctx: Ctx) {
    let me = Arc::new(Controller {
        nodes: ctx.informer(),
        leases: ctx.informers.filtered(ListWatch { namespace: LEASES.into(), ..ListWatch::default() }),
        pods: ctx.informer(),
        not_ready: Mutex::default(),
        ctx,
    });
    pods::index_by_node(&me.pods);
    me.nodes.synced().await;
    me.leases.synced().await;
    me.pods.synced().await;
    let rt = me.ctx.rt.clone();
    let queue: Queue<Key> = Queue::new();
    wake::forward_self(&rt, me.nodes.raw(), &queue);
    let worker = me.clone();
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = worker.clone();
        async move { me.sync(key).await }
    });
    let strays: Queue<Key> = Queue::new();
    let (seen, to) = (me.clone(), strays.clone());
    wake::on_event(&rt, me.pods.raw(), move |e| {
        if let Event::Added(_) | Event::Updated { .. } = e
            && !seen.lock().is_empty()
        {
            to.add(e.key());
        }
    });
    let worker = me.clone();
    run_workers(&rt, me.ctx.name, 4, &strays, move |key| {
        let me = worker.clone();
        async move { me.check_pod(key).await }
    });
    me.watch().await;
}

/// Views of nodes, decoded again only when they changed.
#[derive(Default)]
struct Views(HashMap<String, (u64, View)>);

impl Views {
    fn refresh(&mut self, nodes: &Informer<Node>, leases: &Informer<Lease>) -> Vec<View> {
        let all = nodes.raw().list();
        self.0.retain(|name, _| all.iter().any(|o| o.header.name == *name));
        let mut out = Vec::new();
        for o in &all {
            let lease = leases.raw().get(LEASES, &o.header.name).map_or(0, |l| l.resource_version);
            if self.0.get(&o.header.name).is_none_or(|(v, _)| *v != o.resource_version) {
                let Ok(n) = o.decode::<Node>() else { continue };
                self.0.insert(o.header.name.clone(), (o.resource_version, View::of(&n, lease)));
            }
            if let Some((_, v)) = self.0.get_mut(&o.header.name) {
                v.lease = lease;
                out.push(v.clone());
            }
        }
        out
    }
}

impl Controller {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.not_ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all nodes, again and again.
    async fn watch(&self) {
        let mut monitor = Monitor::new(&self.ctx.config);
        let mut views = Views::default();
        // Time that does not jump with the clock of the machine.
        let (wall, mono) = (self.ctx.now(), Instant::now());
        loop {
            let now = wall.checked_add(mono.elapsed()).unwrap_or(wall);
            self.round(&mut monitor, &mut views, now).await;
            let period = self.ctx.config.node_monitor_period;
            tokio::time::sleep(
                monitor.next().map_or(period, |n| n.clamp(std::time::Duration::from_millis(100), period)),
            )
            .await;
        }
    }

    async fn round(&self, monitor: &mut Monitor, views: &mut Views, now: Timestamp) {
        let nodes = views.refresh(&self.nodes, &self.leases);
        let mut ops = Vec::new();
        let mut marked = BTreeSet::new();
        for name in monitor.observe(now, &nodes, &mut ops) {
            let known = nodes.iter().find(|n| n.name == name).map_or(0, |n| n.lease);
            match self.mark_unknown(&name, known).await {
                Ok(None) => _ = marked.insert(name),
                Ok(Some(lease)) => monitor.heard(&name, lease, now),
                Err(e) => tracing::warn!(node = name, "cannot mark the node as lost: {e}"),
            }
        }
        monitor.judge(now, &nodes, &marked, &mut ops);
        let bad = |n: &&View| marked.contains(&n.name) || n.ready.as_ref().is_some_and(|r| r.0 != "True");
        *self.lock() = nodes.iter().filter(bad).map(|n| n.name.clone()).collect();
        for op in ops {
            if let Err(e) = self.act(&op).await {
                tracing::warn!("node lifecycle: {op:?} failed: {e}");
            }
        }
    }

    /// Makes the conditions of a node Unknown, unless its lease is newer than the cache knew: then answers its version.
    async fn mark_unknown(&self, name: &str, known: u64) -> Result<Option<u64>, Error> {
        let c = &self.ctx.client;
        match c.get::<Lease>(Some(LEASES), name).await {
            Ok(l) if l.version() != known => return Ok(Some(l.version())),
            Ok(_) => {}
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
        let node: Node = c.get(None, name).await?;
        let new = plan::unknown(&node, self.ctx.now());
        if new != node {
            c.replace_status(&new).await?;
        }
        Ok(None)
    }

    async fn act(&self, op: &Op) -> Result<(), Error> {
        match op {
            Op::Event(node, uid, reason, text) => {
                let about = ObjectRef {
                    api_version: "v1".into(),
                    kind: "Node".into(),
                    name: node.clone(),
                    uid: uid.clone(),
                    ..ObjectRef::default()
                };
                self.ctx.events.event(&about, "Normal", reason, text.clone());
                Ok(())
            }
            Op::MarkPods(node) => {
                for p in self.pods.by_index(pods::BY_NODE, node) {
                    self.mark_pod(p).await?;
                }
                Ok(())
            }
            Op::Taint { node, add, remove } => self.no_execute(node, &[add], &[remove]).await,
            Op::Reachable(node) => {
                self.no_execute(node, &[], &[taints::NOT_READY, taints::UNREACHABLE]).await
            }
        }
    }

    async fn no_execute(&self, name: &str, add: &[&str], remove: &[&str]) -> Result<(), Error> {
        let Some(node) = self.nodes.get("", name) else { return Ok(()) };
        let now = whole(self.ctx.now());
        let taint = |key: &&str| Taint {
            key: (*key).into(),
            effect: "NoExecute".into(),
            time_added: Some(now.clone()),
            value: None,
        };
        let have = node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
        let add: Vec<Taint> = add.iter().map(taint).collect();
        let remove: Vec<Taint> = remove.iter().map(taint).collect();
        match taints::change(&have, &add, &remove) {
            None => Ok(()),
            Some(new) => write_taints(&self.ctx.client, &node, &new).await,
        }
    }

    /// Taints by condition, and labels.
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(node) = self.nodes.get("", &key.name) else { return Ok(Outcome::Done) };
        if let Some(new) = plan::no_schedule(&node) {
            write_taints(&self.ctx.client, &node, &new).await?;
            return Ok(Outcome::Done);
        }
        let labels = plan::labels(&node);
        if !labels.is_empty() {
            let map: serde_json::Map<String, Value> =
                labels.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
            let patch = json!({"metadata": {"labels": map}});
            self.ctx.client.patch::<Node>(None, &key.name, "", PatchKind::Merge, &patch).await?;
        }
        Ok(Outcome::Done)
    }

    /// A pod that came to a node that is not ready is not ready itself.
    async fn check_pod(&self, key: Key) -> Result<Outcome, Error> {
        let Some(p) = self.pods.get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
        if self.lock().contains(pods::node_name(&p)) && self.node_unknown(pods::node_name(&p)) {
            self.mark_pod(p).await?;
        }
        Ok(Outcome::Done)
    }
    /// A kubelet that says itself that its node is not ready looks after its pods.
    fn node_unknown(&self, name: &str) -> bool {
        let node = self.nodes.get("", name);
        let conditions = node.and_then(|n| n.status?.conditions).unwrap_or_default();
        conditions.iter().any(|c| c.type_ == "Ready" && c.status == "Unknown")
    }

    async fn mark_pod(&self, mut p: Pod) -> Result<(), Error> {
        let Some(old) = pods::condition(&p, "Ready").filter(|c| c.status == "True").cloned() else {
            return Ok(());
        };
        let new =
            PodCondition { status: "False".into(), last_transition_time: Some(whole(self.ctx.now())), ..old };
        pods::set_condition(&mut p, new);
        match self.ctx.client.replace_status(&p).await {
            Ok(_) => self.ctx.events.warning(&p, "NodeNotReady", "Node is not ready"),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }
}

/// Writes all taints of a node that has not changed since.
async fn write_taints(c: &Client, node: &Node, new: &[Taint]) -> Result<(), Error> {
    let taints = if new.is_empty() { Value::Null } else { json!(new) };
    let patch =
        json!({"metadata": {"resourceVersion": node.metadata.resource_version}, "spec": {"taints": taints}});
    c.patch::<Node>(None, node.name(), "", PatchKind::Merge, &patch).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use serde_json::{Value, json};

    fn node(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    }
    fn lease(name: &str, n: i32) -> Value {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"leaseTransitions": n}})
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_lost_and_found() {
        let c = Cluster::start(&["node-lifecycle-controller"]).await;
        for n in ["a", "b"] {
            c.api.seed("nodes", node(n));
            c.api.seed("leases", lease(n, 0));
        }
        c.api.seed("pods", json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"nodeName": "a", "containers": []}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
        for i in 1..9 {
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            c.api.seed("leases", lease("b", i));
        }
        let get = |n: &str| c.api.object("", "nodes", "", n).unwrap();
        let keys = |n: &str| -> Vec<String> {
            let taints = get(n)["spec"]["taints"].as_array().cloned().unwrap_or_default();
            let mut all: Vec<_> = taints
                .iter()
                .map(|t| format!("{}:{}", t["key"].as_str().unwrap(), t["effect"].as_str().unwrap()))
                .collect();
            all.sort();
            all
        };
        assert_eq!(get("a")["status"]["conditions"][0]["status"], "Unknown");
        assert_eq!(
            keys("a"),
            ["node.kubernetes.io/unreachable:NoExecute", "node.kubernetes.io/unreachable:NoSchedule"]
        );
        assert!(keys("b").is_empty(), "{:?}", keys("b"));
        assert_eq!(
            c.api.object("", "pods", "ns", "p").unwrap()["status"]["conditions"][0]["status"],
            "False"
        );
        c.api.seed("leases", lease("a", 7));
        c.patch("", "nodes", "", "a", json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2024-01-02T00:00:00Z"}]}}));
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        assert!(keys("a").is_empty(), "{:?}", keys("a"));
    }
}
