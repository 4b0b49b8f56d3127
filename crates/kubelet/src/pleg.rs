//! Tells workers that something happened to their containers: from the runtime's events where it has them, else by
//! looking every second while pods are about.

use crate::gc::{self, Inventory};
use crate::kubelet::Kubelet;
use crate::pod::observe::LABEL_POD_UID;
use cri::v1 as rt;
use futures::StreamExt;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// With events: how often everything is looked at all the same.
const SLOW: Duration = Duration::from_secs(60);
/// Without events.
const FAST: Duration = Duration::from_secs(1);
/// Events in this time are one look.
const GATHER: Duration = Duration::from_millis(10);

/// Containers and sandboxes as they were: id → (pod, state).
type Known = HashMap<String, (String, i32)>;

fn known(inv: &Inventory) -> Known {
    let uid = |l: &HashMap<String, String>| l.get(LABEL_POD_UID).cloned().unwrap_or_default();
    let s = inv.sandboxes.iter().map(|s| (s.id.clone(), (uid(&s.labels), s.state)));
    s.chain(inv.containers.iter().map(|c| (c.id.clone(), (uid(&c.labels), c.state)))).collect()
}

/// The pods of which something changed.
fn changed(old: &Known, new: &Known) -> HashSet<String> {
    let mut out = HashSet::new();
    for (id, v) in new {
        if old.get(id) != Some(v) {
            out.insert(v.0.clone());
        }
    }
    for (id, v) in old {
        if !new.contains_key(id) {
            out.insert(v.0.clone());
        }
    }
    out
}

async fn look(k: &Kubelet, old: &mut Known) {
    match gc::inventory(&*k.cri).await {
        Ok(inv) => {
            let new = known(&inv);
            for uid in changed(old, &new) {
                k.wake(&uid);
            }
            *old = new;
        }
        Err(e) => tracing::debug!(error = %e, "listing containers failed"),
    }
}

/// Containers whose end an event told and whose state does not show it yet: containerd tells before it has cleaned up.
#[derive(Default)]
struct Ending {
    ids: HashSet<String>,
    tries: u32,
}

impl Ending {
    fn add(&mut self, id: &str) {
        self.ids.insert(id.to_owned());
        self.tries = 0;
    }
    /// Forgets those that ended; answers when to look again.
    fn settle(&mut self, now: &Known) -> Option<Duration> {
        let running = rt::ContainerState::ContainerRunning as i32;
        self.ids.retain(|id| now.get(id).is_some_and(|k| k.1 == running));
        if self.ids.is_empty() {
            return None;
        }
        self.tries += 1;
        if self.tries > 12 {
            // Sandboxes (whose running state has another number) and events that were nothing.
            self.ids.clear();
            return None;
        }
        Some(Duration::from_millis(10 << self.tries.min(9)))
    }
}

async fn follow(k: &Kubelet, mut events: cri::Events, old: &mut Known) {
    let mut ending = Ending::default();
    // Whatever happened before.
    look(k, old).await;
    let mut next = SLOW;
    loop {
        tokio::select! {
            e = events.next() => {
                let e = match e {
                    Some(Ok(e)) => e,
                    Some(Err(e)) => {
                        tracing::debug!(error = %e, "the runtime's events broke off");
                        return;
                    }
                    None => return,
                };
                let uid =
                    e.pod_sandbox_status.as_ref().and_then(|s| s.metadata.as_ref()).map(|m| m.uid.clone());
                if let Some(uid) = uid.filter(|u| !u.is_empty()) {
                    k.wake(&uid);
                    continue;
                }
                if e.container_event_type == rt::ContainerEventType::ContainerStoppedEvent as i32 {
                    ending.add(&e.container_id);
                }
                next = GATHER;
            }
            () = tokio::time::sleep(next) => {
                look(k, old).await;
                next = ending.settle(old).unwrap_or(SLOW);
            }
            () = k.rt.stopping() => return,
        }
    }
}

/// Runs until the runtime stops.
pub async fn run(k: Arc<Kubelet>) {
    let mut old = Known::new();
    loop {
        // A stream of containerd's own begins to answer with the first event: look meanwhile.
        let mut asking = k.cri.container_events();
        let answer = loop {
            tokio::select! {
                r = &mut asking => break r,
                () = tokio::time::sleep(FAST) => {
                    if !k.entries().is_empty() {
                        look(&k, &mut old).await;
                    }
                }
                () = k.rt.stopping() => return,
            }
        };
        drop(asking);
        match answer {
            Ok(events) => {
                tracing::debug!("following the runtime's events");
                follow(&k, events, &mut old).await;
                tokio::select! { () = tokio::time::sleep(FAST) => {}, () = k.rt.stopping() => return }
            }
            Err(e) => {
                if !e.is_unimplemented() {
                    tracing::debug!(error = %e, "no events from the runtime");
                }
                // A minute of looking, then another try.
                for _ in 0..60 {
                    if !k.entries().is_empty() {
                        look(&k, &mut old).await;
                    }
                    tokio::select! { () = tokio::time::sleep(FAST) => {}, () = k.rt.stopping() => return }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences() {
        let k = |l: &[(&str, &str, i32)]| -> Known {
            l.iter().map(|(i, u, s)| ((*i).to_owned(), ((*u).to_owned(), *s))).collect()
        };
        let a = k(&[("1", "p", 0), ("2", "q", 1), ("3", "r", 1)]);
        let b = k(&[("1", "p", 1), ("2", "q", 1), ("4", "s", 0)]);
        let mut got: Vec<String> = changed(&a, &b).into_iter().collect();
        got.sort();
        assert_eq!(got, ["p", "r", "s"]);
    }
}
