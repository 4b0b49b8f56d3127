//! Startup, readiness and liveness probes: one small task each, whose rules are a pure step.

use crate::act::{self, Outcome};
use crate::events::Recorder;
use crate::pod::env;
use crate::pod::helpers::{self, restarts_after, spec};
use crate::pod::observe::ProbeResults;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodStatus, Probe};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
    pub fn of(self, c: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => c.startup_probe.as_ref(),
            Self::Readiness => c.readiness_probe.as_ref(),
            Self::Liveness => c.liveness_probe.as_ref(),
        }
    }
}

/// The results of all pods' probes, by container instance.
#[derive(Default)]
pub struct Results(Mutex<ProbeResults>);

impl Results {
    fn map(r: &mut ProbeResults, k: Kind) -> &mut HashMap<String, bool> {
        match k {
            Kind::Startup => &mut r.startup,
            Kind::Readiness => &mut r.readiness,
            Kind::Liveness => &mut r.liveness,
        }
    }
    /// Answers whether that is news.
    pub fn set(&self, k: Kind, id: &str, ok: bool) -> bool {
        let mut r = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Self::map(&mut r, k).insert(id.to_owned(), ok) != Some(ok)
    }
    pub fn remove(&self, k: Kind, id: &str) {
        let mut r = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Self::map(&mut r, k).remove(id);
    }
    /// The results of some instances.
    pub fn of<'a>(&self, ids: impl Iterator<Item = &'a str>) -> ProbeResults {
        let r = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = ProbeResults::default();
        for id in ids {
            for (from, to) in [
                (&r.startup, &mut out.startup),
                (&r.readiness, &mut out.readiness),
                (&r.liveness, &mut out.liveness),
            ] {
                if let Some(v) = from.get(id) {
                    to.insert(id.to_owned(), *v);
                }
            }
        }
        out
    }
}

/// What to do at one tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Run the probe on this instance.
    Run(String),
    /// The probe's work is done for good.
    Stop,
}

/// One probe's memory.
#[derive(Debug, Default)]
pub struct Worker {
    instance: String,
    on_hold: bool,
    last: Option<bool>,
    run: i32,
}

/// Changes of the results: (instance, result), `None` to forget it.
pub type Changes = Vec<(String, Option<bool>)>;

fn instance_of(st: &ContainerStatus) -> Option<&str> {
    st.container_id.as_deref()?.split_once("://").map(|x| x.1)
}

impl Worker {
    /// The tick's rules (upstream `prober.worker.doProbe`). `kubelet_start` is when this kubelet began: containers that
    /// ran before keep their readiness until a probe says otherwise.
    pub fn step(
        &mut self,
        kind: Kind,
        pod: &Pod,
        c: &Container,
        status: &PodStatus,
        now: i64,
        kubelet_start: i64,
    ) -> (Step, Changes) {
        let mut changes = vec![];
        if helpers::is_terminal(status.phase.as_deref().unwrap_or("")) {
            return (Step::Stop, changes);
        }
        let Some(st) = status
            .container_statuses
            .iter()
            .flatten()
            .chain(status.init_container_statuses.iter().flatten())
            .find(|s| s.name == c.name)
        else {
            return (Step::Wait, changes);
        };
        let Some(id) = instance_of(st) else { return (Step::Wait, changes) };
        let running = st.state.as_ref().and_then(|s| s.running.as_ref());
        if self.instance != id {
            if !self.instance.is_empty() {
                changes.push((std::mem::take(&mut self.instance), None));
            }
            self.instance = id.to_owned();
            self.on_hold = false;
            self.last = None;
            self.run = 0;
            let started = running.and_then(|r| r.started_at.as_ref()).map_or(now, helpers::time_nanos);
            let ran_before = running.is_some() && started < kubelet_start - 10_000_000_000;
            if ran_before {
                if kind == Kind::Startup && st.started == Some(true) {
                    changes.push((id.to_owned(), Some(true)));
                }
            } else {
                match kind {
                    Kind::Liveness => changes.push((id.to_owned(), Some(true))),
                    Kind::Readiness => changes.push((id.to_owned(), Some(false))),
                    Kind::Startup => {}
                }
            }
        }
        if self.on_hold {
            return (Step::Wait, changes);
        }
        let Some(running) = running else {
            if kind == Kind::Readiness {
                changes.push((id.to_owned(), Some(false)));
            }
            let again = match st.state.as_ref().and_then(|s| s.terminated.as_ref()) {
                None => true,
                Some(t) => restarts_after(c, spec(pod), t.exit_code),
            };
            return (if again { Step::Wait } else { Step::Stop }, changes);
        };
        if helpers::is_deleted(pod) && kind != Kind::Readiness {
            changes.push((id.to_owned(), Some(true)));
            return (Step::Stop, changes);
        }
        let delay = i64::from(kind.of(c).and_then(|p| p.initial_delay_seconds).unwrap_or(0));
        let started_at = running.started_at.as_ref().map_or(0, helpers::time_nanos);
        if (now - started_at) / 1_000_000_000 < delay {
            return (Step::Wait, changes);
        }
        let started = st.started == Some(true);
        if started == (kind == Kind::Startup) {
            return (Step::Wait, changes);
        }
        (Step::Run(id.to_owned()), changes)
    }

    /// Counts a result; answers the change when a threshold is reached.
    pub fn record(&mut self, kind: Kind, p: &Probe, ok: bool) -> Option<bool> {
        if self.last == Some(ok) {
            self.run += 1;
        } else {
            self.last = Some(ok);
            self.run = 1;
        }
        let threshold =
            if ok { p.success_threshold.unwrap_or(1) } else { p.failure_threshold.unwrap_or(3) }.max(1);
        if self.run < threshold {
            return None;
        }
        if kind == Kind::Startup || (kind == Kind::Liveness && !ok) {
            // Until there is another container.
            self.on_hold = true;
            self.run = 0;
        }
        Some(ok)
    }
}

/// What a probe task sees of its pod at a tick.
pub struct View {
    pub pod: Arc<Pod>,
    pub status: PodStatus,
}

/// What the tasks need of the kubelet.
pub trait Host: Send + Sync + 'static {
    /// `None`: the pod is gone.
    fn view(&self, uid: &str) -> Option<View>;
    /// A result changed.
    fn changed(&self, uid: &str);
    fn now(&self) -> i64;
    fn start_time(&self) -> i64;
}

struct Task {
    cancel: tokio_util::sync::CancellationToken,
    kick: Arc<Notify>,
}

/// All probe tasks.
pub struct Prober {
    pub results: Results,
    cri: Arc<dyn cri::Runtime>,
    recorder: Recorder,
    rt: runtime::Runtime,
    tasks: Mutex<HashMap<(String, String, Kind), Task>>,
}

impl Prober {
    pub fn new(cri: Arc<dyn cri::Runtime>, recorder: Recorder, rt: runtime::Runtime) -> Self {
        Self { results: Results::default(), cri, recorder, rt, tasks: Mutex::new(HashMap::new()) }
    }

    /// Starts the tasks of a pod that are not there yet.
    pub fn add(self: &Arc<Self>, host: &Arc<dyn Host>, pod: &Pod) {
        let s = spec(pod);
        let sidecars = helpers::init_containers(s).iter().filter(|c| helpers::is_sidecar(c));
        for c in s.containers.iter().chain(sidecars) {
            for kind in Kind::ALL {
                if kind.of(c).is_none() {
                    continue;
                }
                let key = (helpers::uid(pod).to_owned(), c.name.clone(), kind);
                let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
                if tasks.contains_key(&key) {
                    continue;
                }
                let task = Task { cancel: self.rt.stop_token().child_token(), kick: Arc::new(Notify::new()) };
                let (cancel, kick) = (task.cancel.clone(), task.kick.clone());
                tasks.insert(key.clone(), task);
                drop(tasks);
                let (this, host, name) = (self.clone(), host.clone(), c.name.clone());
                let uid = key.0.clone();
                self.rt.spawn("probe", async move {
                    tokio::select! {
                        () = this.run(&*host, &uid, &name, kind, &kick) => {}
                        () = cancel.cancelled() => {}
                    }
                    let mut tasks = this.tasks.lock().unwrap_or_else(PoisonError::into_inner);
                    tasks.remove(&(uid, name, kind));
                });
            }
        }
    }

    fn cancel(&self, uid: &str, which: impl Fn(Kind) -> bool) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for (k, t) in tasks.iter() {
            if k.0 == uid && which(k.2) {
                t.cancel.cancel();
            }
        }
    }
    /// The pod goes down: only readiness is still asked.
    pub fn stop_liveness_and_startup(&self, uid: &str) {
        self.cancel(uid, |k| k != Kind::Readiness);
    }
    pub fn remove(&self, uid: &str) {
        self.cancel(uid, |_| true);
    }
    /// Has readiness asked now rather than at the next tick.
    pub fn kick(&self, uid: &str) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for (k, t) in tasks.iter() {
            if k.0 == uid {
                t.kick.notify_one();
            }
        }
    }
    /// Forgets instances that are gone.
    pub fn forget(&self, id: &str) {
        for k in Kind::ALL {
            self.results.remove(k, id);
        }
    }

    async fn run(&self, host: &dyn Host, uid: &str, name: &str, kind: Kind, kick: &Notify) {
        let mut w = Worker::default();
        let mut first = true;
        loop {
            let Some(view) = host.view(uid) else { return };
            let Some(c) = helpers::find_container(spec(&view.pod), name) else { return };
            let Some(p) = kind.of(&c) else { return };
            let period =
                Duration::from_secs(u64::try_from(p.period_seconds.unwrap_or(10).max(1)).unwrap_or(10));
            if std::mem::take(&mut first) && host.now() - host.start_time() < 1_000_000_000 {
                // A kubelet that starts with many pods spreads their probes.
                tokio::time::sleep(period.mul_f64(crate::rand::fraction())).await;
            }
            let (step, changes) = w.step(kind, &view.pod, &c, &view.status, host.now(), host.start_time());
            let mut news = false;
            for (id, r) in changes {
                match r {
                    Some(ok) => news |= self.results.set(kind, &id, ok),
                    None => self.results.remove(kind, &id),
                }
            }
            match step {
                Step::Stop => {
                    if news {
                        host.changed(uid);
                    }
                    return;
                }
                Step::Wait => {}
                Step::Run(id) => {
                    if let Some(ok) = self.probe(&view, &c, p, kind, &id).await
                        && let Some(ok) = w.record(kind, p, ok)
                    {
                        news |= self.results.set(kind, &id, ok);
                    }
                }
            }
            if news {
                host.changed(uid);
            }
            tokio::select! { () = tokio::time::sleep(period) => {}, () = kick.notified() => {} }
        }
    }

    /// Runs a probe once (thrice when it cannot be run); `None`: no result.
    async fn probe(&self, v: &View, c: &Container, p: &Probe, kind: Kind, id: &str) -> Option<bool> {
        let mut outcome = Outcome::Error(String::new());
        for _ in 0..3 {
            outcome = self.once(v, c, p, id).await;
            if !matches!(outcome, Outcome::Error(_)) {
                break;
            }
        }
        let event = |reason: &str, m: String| {
            self.recorder.container(&v.pod, &c.name, "Warning", reason, &m);
        };
        match outcome {
            Outcome::Success => Some(true),
            Outcome::Warning(m) => {
                event("ProbeWarning", format!("{} probe warning: {m}", kind.name()));
                Some(true)
            }
            Outcome::Failure(m) => {
                event("Unhealthy", format!("{} probe failed: {m}", kind.name()));
                Some(false)
            }
            Outcome::Error(m) => {
                event(
                    "Unhealthy",
                    format!("{} probe errored and resulted in unknown state: {m}", kind.name()),
                );
                None
            }
        }
    }

    async fn once(&self, v: &View, c: &Container, p: &Probe, id: &str) -> Outcome {
        let timeout = Duration::from_secs(u64::try_from(p.timeout_seconds.unwrap_or(1).max(1)).unwrap_or(1));
        let ip = v.status.pod_ip.as_deref().unwrap_or("");
        if let Some(e) = &p.exec {
            let statics: env::Map =
                c.env.iter().flatten().filter_map(|v| Some((v.name.clone(), v.value.clone()?))).collect();
            let cmd: Vec<String> = e.command.iter().flatten().map(|a| env::expand_map(a, &statics)).collect();
            return act::exec_probe(&*self.cri, id, &cmd, timeout).await;
        }
        if let Some(h) = &p.http_get {
            return match act::http_target(h, c, ip, "kube-probe") {
                Ok(t) => act::http_probe(&t, timeout).await,
                Err(e) => Outcome::Error(e),
            };
        }
        if let Some(t) = &p.tcp_socket {
            let host = t.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(ip);
            return match act::resolve_port(&t.port, c) {
                Ok(port) => act::tcp_probe(host, port, timeout).await,
                Err(e) => Outcome::Error(e),
            };
        }
        if let Some(g) = &p.grpc {
            let Ok(port) = u16::try_from(g.port) else {
                return Outcome::Error(format!("invalid port number: {}", g.port));
            };
            return act::grpc_probe(ip, port, g.service.as_deref().unwrap_or(""), timeout).await;
        }
        Outcome::Error("missing probe handler".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::json;

    const S: i64 = 1_000_000_000;

    fn status(id: &str, started: bool, state: serde_json::Value) -> PodStatus {
        serde_json::from_value(json!({"phase": "Running", "containerStatuses": [{
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "started": started,
            "containerID": format!("containerd://{id}"), "state": state}]}))
        .unwrap()
    }

    #[test]
    fn thresholds_and_hold() {
        let p: Probe = serde_json::from_value(json!({"failureThreshold": 3, "successThreshold": 2})).unwrap();
        let mut w = Worker::default();
        let seen: Vec<_> = [false, false, true, false, false, false]
            .iter()
            .map(|ok| w.record(Kind::Readiness, &p, *ok))
            .collect();
        assert_eq!(seen, [None, None, None, None, None, Some(false)]);
        assert!(!w.on_hold, "readiness goes on");
        let mut w = Worker::default();
        for _ in 0..3 {
            w.record(Kind::Liveness, &p, false);
        }
        assert!(w.on_hold, "no more liveness until another container is there");
    }

    #[test]
    fn steps() {
        let pod = pod(
            json!({"containers": [{"name": "c", "livenessProbe": {"initialDelaySeconds": 5, "tcpSocket": {"port": 1}}}]}),
        );
        let c = &spec(&pod).containers[0];
        let running = json!({"running": {"startedAt": "1970-01-01T00:16:40Z"}}); // second 1000
        let mut w = Worker::default();
        let at = |w: &mut Worker, st: &PodStatus, now: i64| {
            w.step(Kind::Liveness, &pod, c, st, now * S, 990 * S).0
        };
        assert_eq!(at(&mut w, &status("a", false, running.clone()), 1002), Step::Wait, "initial delay");
        assert_eq!(at(&mut w, &status("a", false, running.clone()), 1006), Step::Wait, "not started yet");
        assert_eq!(at(&mut w, &status("a", true, running.clone()), 1006), Step::Run("a".into()));
        w.on_hold = true;
        assert_eq!(at(&mut w, &status("a", true, running.clone()), 1007), Step::Wait);
        assert_eq!(
            at(&mut w, &status("b", true, running.clone()), 1007),
            Step::Run("b".into()),
            "a new container"
        );
        let mut done = status("b", true, running);
        done.phase = Some("Succeeded".into());
        assert_eq!(at(&mut w, &done, 1008), Step::Stop);
    }

    #[test]
    fn restarted_kubelet_does_not_unready() {
        let pod = pod(json!({"containers": [{"name": "c", "readinessProbe": {"tcpSocket": {"port": 1}}}]}));
        let c = &spec(&pod).containers[0];
        let running = json!({"running": {"startedAt": "1970-01-01T00:16:40Z"}});
        let st = status("a", true, running);
        let old = Worker::default().step(Kind::Readiness, &pod, c, &st, 2001 * S, 2000 * S).1;
        assert_eq!(old, vec![], "ran long before");
        let new = Worker::default().step(Kind::Readiness, &pod, c, &st, 1001 * S, 900 * S).1;
        assert_eq!(new, vec![("a".to_owned(), Some(false))]);
    }
}
