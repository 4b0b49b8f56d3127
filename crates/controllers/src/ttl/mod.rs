//! Tells kubelets by an annotation how long they may keep Secrets and ConfigMaps, the longer the more nodes there are
//! (upstream `pkg/controller/ttl`).

use crate::context::{Ctx, Error};
use crate::k8s::core::Node;
use crate::util::meta::MetaExt;
use crate::util::wake;
use client::{Event, Informer, Key, Outcome, PatchKind, Queue, run_workers};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

/// Nodes from which on a step is left downwards, nodes up to which it holds, seconds. Steps overlap, so that a node more
/// or less does not change all annotations again and again.
const STEPS: [(usize, usize, u32); 5] =
    [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, usize::MAX, 300)];

/// The step for so many nodes, coming from another.
fn step(mut at: usize, nodes: usize) -> usize {
    while nodes > STEPS[at].1 {
        at += 1;
    }
    while nodes < STEPS[at].0 {
        at -= 1;
    }
    at
}

pub async fn run(ctx: Ctx) {
    let nodes: Informer<Node> = ctx.informer();
    nodes.synced().await;
    let rt = ctx.rt.clone();
    let queue: Queue<Key> = Queue::new();
    let at = Arc::new(Mutex::new(step(0, nodes.raw().len())));
    let (cache, to, now) = (nodes.clone(), queue.clone(), at.clone());
    wake::on_event(&rt, nodes.raw(), move |e| {
        let mut at = now.lock().unwrap_or_else(PoisonError::into_inner);
        *at = step(*at, cache.raw().len());
        if !matches!(e, Event::Deleted(_)) {
            to.add(e.key());
        }
    });
    let name = ctx.name;
    run_workers(&rt, name, 1, &queue, move |key| {
        let (ctx, nodes, at) = (ctx.clone(), nodes.clone(), at.clone());
        async move {
            let want = STEPS[*at.lock().unwrap_or_else(PoisonError::into_inner)].2.to_string();
            let Some(node) = nodes.get("", &key.name) else { return Ok(Outcome::Done) };
            if node.annotation(ANNOTATION) != Some(&want) {
                let patch = json!({"metadata": {"annotations": {ANNOTATION: want}}});
                ctx.client.patch::<Node>(None, &key.name, "", PatchKind::Strategic, &patch).await?;
            }
            Ok::<_, Error>(Outcome::Done)
        }
    });
    rt.stopping().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_overlap() {
        let mut at = 0;
        for (nodes, want) in
            [(1, 0), (100, 0), (101, 15), (95, 15), (89, 0), (5000, 300), (1900, 300), (1700, 60), (3, 0)]
        {
            at = step(at, nodes);
            assert_eq!(STEPS[at].2, want, "{nodes}");
        }
    }
}
