//! Stopping containers: hooks, grace, the order of sidecars.

use crate::act;
use crate::kubelet::Kubelet;
use crate::pod::helpers::{self, is_sidecar, spec};
use crate::pod::observe::Observed;
use crate::pod::plan::KillReason;
use cri::v1 as rt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::watch;

/// Containers always get a moment, so that none is killed without need.
const MIN_GRACE: i64 = 2;

pub struct Want<'a> {
    pub id: &'a str,
    pub name: &'a str,
    /// Empty: `Stopping container NAME`.
    pub message: &'a str,
    pub reason: KillReason,
}

/// Which containers are down, so that sidecars can wait for their turn.
pub struct Order {
    done: watch::Sender<HashSet<String>>,
    /// A sidecar waits for these.
    before: Vec<(String, HashSet<String>)>,
}

impl Order {
    /// Main containers first, then sidecars from the last to the first.
    fn new(pod: &Pod, running: &[&str]) -> Self {
        let s = spec(pod);
        let is_running = |n: &str| running.contains(&n);
        let mut seen: HashSet<String> = s
            .containers
            .iter()
            .map(|c| c.name.clone())
            .chain(helpers::ephemeral_containers(s).iter().map(|c| c.name.clone()))
            .filter(|n| is_running(n))
            .collect();
        let mut before = vec![];
        for c in helpers::init_containers(s).iter().rev().filter(|c| is_sidecar(c)) {
            before.push((c.name.clone(), seen.clone()));
            if is_running(&c.name) {
                seen.insert(c.name.clone());
            }
        }
        Self { done: watch::Sender::new(HashSet::new()), before }
    }
    async fn turn(&self, name: &str) {
        let Some((_, wait)) = self.before.iter().find(|(n, _)| n == name) else { return };
        let mut rx = self.done.subscribe();
        let _ = rx.wait_for(|d| wait.is_subset(d)).await;
    }
    fn down(&self, name: &str) {
        self.done.send_modify(|d| {
            d.insert(name.to_owned());
        });
    }
}

/// The grace of a container, before anybody overrides it.
fn grace_of(pod: &Pod, c: Option<&Container>, reason: KillReason) -> i64 {
    if let Some(g) = pod.metadata.deletion_grace_period_seconds {
        return g;
    }
    let Some(g) = spec(pod).termination_grace_period_seconds else { return MIN_GRACE };
    let probe = match reason {
        KillReason::Startup => c.and_then(|c| c.startup_probe.as_ref()),
        KillReason::Liveness => c.and_then(|c| c.liveness_probe.as_ref()),
        KillReason::Other => None,
    };
    probe.and_then(|p| p.termination_grace_period_seconds).unwrap_or(g)
}

fn seconds(n: i64) -> Duration {
    Duration::from_secs(u64::try_from(n).unwrap_or(0))
}

/// Runs a lifecycle hook; the error is for the log, secrets must not get into events.
pub async fn run_hook(
    k: &Kubelet,
    pod: &Pod,
    c: &Container,
    id: &str,
    ip: &str,
    h: &LifecycleHandler,
) -> Result<(), String> {
    if let Some(e) = &h.exec {
        let cmd = e.command.clone().unwrap_or_default();
        let fail = |what: String, output: &str| {
            format!(
                "Exec lifecycle hook ({}) for Container {:?} in Pod {:?} failed - error: {what}, message: {output:?}",
                format_args!("[{}]", cmd.join(" ")),
                c.name,
                helpers::format(pod)
            )
        };
        return match act::exec(&*k.cri, id, &cmd, Duration::ZERO).await {
            Ok(r) if r.exit_code == 0 => Ok(()),
            Ok(r) => {
                let what = format!("command '{}' exited with {}: ", cmd.join(" "), r.exit_code);
                Err(fail(what, &act::output(&r)))
            }
            Err(e) => Err(fail(e.to_string(), "")),
        };
    }
    if let Some(g) = &h.http_get {
        let t = act::http_target(g, c, ip, "kube-lifecycle")?;
        return act::http_hook(&t).await.map_err(|e| {
            format!(
                "HTTP lifecycle hook ({}) for Container {:?} in Pod {:?} failed - error: {e}",
                g.path.as_deref().unwrap_or(""),
                c.name,
                helpers::format(pod)
            )
        });
    }
    if let Some(s) = &h.sleep {
        tokio::time::sleep(seconds(s.seconds)).await;
        return Ok(());
    }
    Err("Cannot run handler: invalid handler".into())
}

/// Stops one container: hook, its turn, SIGTERM, and SIGKILL at the end of the grace.
pub async fn kill_container(
    k: &Kubelet,
    pod: &Pod,
    w: &Want<'_>,
    grace: Option<i64>,
    order: Option<&Order>,
) -> Result<(), cri::Error> {
    let c = helpers::find_container(spec(pod), w.name);
    let message =
        if w.message.is_empty() { format!("Stopping container {}", w.name) } else { w.message.to_owned() };
    k.recorder.container(pod, w.name, "Normal", "Killing", &message);
    let mut left = grace.unwrap_or_else(|| grace_of(pod, c.as_ref(), w.reason));
    let hook = c.as_ref().and_then(|c| c.lifecycle.as_ref()).and_then(|l| l.pre_stop.as_ref());
    if let (Some(c), Some(h)) = (&c, hook)
        && left > 0
    {
        let begin = k.now();
        let ip = k
            .entry(helpers::uid(pod))
            .and_then(|e| e.state().observed.ips.first().cloned())
            .or_else(|| k.status.get(helpers::uid(pod)).and_then(|s| s.pod_ip))
            .unwrap_or_default();
        match tokio::time::timeout(seconds(left), run_hook(k, pod, c, w.id, &ip, h)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => {
                tracing::info!(pod = helpers::key(pod), error = e, "PreStop hook failed");
                k.recorder.container(pod, w.name, "Warning", "FailedPreStopHook", "PreStopHook failed");
            }
            Err(_) => tracing::info!(
                pod = helpers::key(pod),
                container = w.name,
                "PreStop hook not completed in grace period"
            ),
        }
        left -= (k.now() - begin) / 1_000_000_000;
    }
    if let Some(o) = order
        && left > 0
    {
        let begin = k.now();
        let _ = tokio::time::timeout(seconds(left), o.turn(w.name)).await;
        left -= (k.now() - begin) / 1_000_000_000;
    }
    let timeout = left.max(MIN_GRACE);
    let r = k.cri.stop_container(rt::StopContainerRequest { container_id: w.id.to_owned(), timeout }).await;
    match r {
        Err(e) if !e.is_not_found() => Err(e),
        _ => {
            if let Some(o) = order {
                o.down(w.name);
            }
            Ok(())
        }
    }
}

/// Stops everything of a pod: all containers at once, then the sandboxes.
pub async fn kill_pod(k: &Kubelet, pod: &Pod, o: &Observed, grace: Option<i64>) -> Result<(), cri::Error> {
    let running: Vec<_> = o.running().collect();
    let names: Vec<&str> = running.iter().map(|i| i.name.as_str()).collect();
    let order = helpers::has_sidecar(spec(pod)).then(|| Order::new(pod, &names));
    let results = join_all(running.iter().map(|i| {
        let order = order.as_ref();
        async move {
            let w = Want { id: &i.id, name: &i.name, message: "", reason: KillReason::Other };
            kill_container(k, pod, &w, grace, order).await
        }
    }))
    .await;
    let mut first = results.into_iter().find_map(Result::err);
    for s in &o.sandboxes {
        // A stopped sandbox is stopped again: its network may be half taken down.
        let r = k.cri.stop_pod_sandbox(rt::StopPodSandboxRequest { pod_sandbox_id: s.id.clone() }).await;
        if let Err(e) = r
            && !e.is_not_found()
        {
            first.get_or_insert(e);
        }
    }
    first.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::json;

    #[test]
    fn sidecars_wait_for_those_after_them() {
        let p = pod(json!({
            "initContainers": [{"name": "s1", "restartPolicy": "Always"}, {"name": "i"}, {"name": "s2", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}, {"name": "b"}]}));
        let o = Order::new(&p, &["a", "s1", "s2"]);
        let mut show: Vec<(String, Vec<String>)> = o
            .before
            .iter()
            .map(|(n, w)| {
                let mut w: Vec<String> = w.iter().cloned().collect();
                w.sort();
                (n.clone(), w)
            })
            .collect();
        show.sort();
        assert_eq!(
            show,
            [
                ("s1".to_owned(), vec!["a".to_owned(), "s2".to_owned()]),
                ("s2".to_owned(), vec!["a".to_owned()])
            ]
        );
    }

    #[test]
    fn graces() {
        let mut p = pod(json!({"terminationGracePeriodSeconds": 30, "containers": [
            {"name": "a", "livenessProbe": {"terminationGracePeriodSeconds": 5, "tcpSocket": {"port": 1}}}]}));
        let c = spec(&p).containers[0].clone();
        assert_eq!(grace_of(&p, Some(&c), KillReason::Other), 30);
        assert_eq!(grace_of(&p, Some(&c), KillReason::Liveness), 5);
        p.metadata.deletion_grace_period_seconds = Some(1);
        assert_eq!(grace_of(&p, Some(&c), KillReason::Liveness), 1);
    }
}
