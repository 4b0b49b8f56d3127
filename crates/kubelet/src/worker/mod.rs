//! A pod's worker: one task that observes, plans, acts and reports until the pod is gone.

mod image_volume;
mod kill;
mod resizing;
mod start;

use crate::images::StartError;
use crate::kubelet::{Desired, Entry, Kubelet};
use crate::pod::helpers::{self, is_deleted, is_static, is_terminal, spec, uid};
use crate::pod::observe::{Instance, Observed};
use crate::pod::plan::{self, Plan};
use crate::pod::resize::{self, Allocated};
use crate::pod::status::{self, Input, Reasons};
use crate::probes::Host;
use crate::status_manager::Stage;
use crate::view;
use crate::volumes::{Context, Mounted};
use cri::v1 as rt;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus, ResourceRequirements};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

const SECOND: i64 = 1_000_000_000;

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It should run.
    Running,
    /// Its containers are being stopped.
    Terminating,
    /// They are stopped; volumes and cgroups go.
    Stopped,
    /// All is done but its objects' deletion.
    Finished,
}

/// What to do after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Again,
    /// Wait for news, at most until then (nanoseconds since 1970).
    Wait(i64),
    Exit,
}

struct Worker {
    k: Arc<Kubelet>,
    entry: Arc<Entry>,
    rx: watch::Receiver<Desired>,
    life: Life,
    pod: Arc<Pod>,
    uid: String,
    ended: HashMap<String, Instance>,
    observed: Observed,
    reasons: Reasons,
    mounted: Mounted,
    /// The pod ran out of time or the node out of room: reason and message of the end.
    verdict: Option<(String, String)>,
    volume_failures: u32,
    /// What the pod has been granted; `None` until the first round.
    granted: Option<Allocated>,
    /// What each instance has.
    actual: BTreeMap<String, ResourceRequirements>,
    /// Conditions of a resize that is not done.
    resizing: Vec<PodCondition>,
    /// Instances whose readiness was asked for at their start.
    kicked: HashSet<String>,
    /// Rounds in a row that asked for another at once.
    rounds: u32,
}

/// Runs until the pod is gone in every way.
pub async fn run(k: Arc<Kubelet>, entry: Arc<Entry>, mut rx: watch::Receiver<Desired>) {
    let d = rx.borrow_and_update().clone();
    let mut w = Worker {
        uid: uid(&d.pod).to_owned(),
        pod: d.pod,
        k,
        entry,
        rx,
        life: Life::Running,
        ended: HashMap::new(),
        observed: Observed::default(),
        reasons: Reasons::new(),
        mounted: Mounted::default(),
        verdict: None,
        volume_failures: 0,
        granted: None,
        actual: BTreeMap::new(),
        resizing: vec![],
        kicked: HashSet::new(),
        rounds: 0,
    };
    loop {
        let next = match w.life {
            Life::Running => w.sync().await,
            Life::Terminating => w.terminate().await,
            Life::Stopped => w.finish().await,
            Life::Finished => w.finished().await,
        };
        match next {
            Next::Exit => return,
            Next::Again => {
                w.rounds += 1;
                if w.rounds > 20 {
                    // Something does not settle: no busy loop.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            Next::Wait(until) => {
                w.rounds = 0;
                let wait = u64::try_from((until - w.k.now()).max(0)).unwrap_or(0);
                let entry = w.entry.clone();
                tokio::select! {
                    r = w.rx.changed() => if r.is_err() { return },
                    () = entry.wake.notified() => {}
                    () = tokio::time::sleep(Duration::from_nanos(wait)) => {}
                }
            }
        }
    }
}

impl Worker {
    fn desired(&mut self) -> Desired {
        let d = self.rx.borrow_and_update().clone();
        self.take_pod(&d);
        d
    }

    /// The pod of a wish, with the resources that it has been granted.
    fn take_pod(&mut self, d: &Desired) {
        self.pod = match &self.granted {
            Some(g) if !resize::wanted(&d.pod).iter().all(|(n, r)| g.get(n) == Some(r)) => {
                Arc::new(resize::with(&d.pod, g))
            }
            _ => d.pod.clone(),
        };
    }

    /// Whether the pod must go down, by its owner's or the node's will.
    fn must_end(&mut self, d: &Desired) -> bool {
        if let Some(e) = &d.evict {
            self.verdict = Some((e.reason.clone(), e.message.clone()));
        }
        d.gone || d.evict.is_some() || is_deleted(&d.pod)
    }

    async fn observe(&mut self) -> Result<(), cri::Error> {
        self.observed = view::observe(&*self.k.cri, &self.uid, &mut self.ended).await?;
        let mut s = self.entry.state.lock().unwrap_or_else(PoisonError::into_inner);
        s.observed = self.observed.clone();
        Ok(())
    }

    fn reported(&self) -> PodStatus {
        if let Some(s) = self.k.status.get(&self.uid) {
            return s;
        }
        let mirror = is_static(&self.pod).then(|| self.k.mirror_of(&self.pod)).flatten();
        mirror
            .filter(|m| {
                helpers::annotation(m, helpers::CONFIG_MIRROR)
                    == helpers::annotation(&self.pod, helpers::CONFIG_HASH)
            })
            .and_then(|m| m.status.clone())
            .or_else(|| self.pod.status.clone())
            .unwrap_or_default()
    }

    /// Generates and sets the status.
    fn report(&mut self, stage: Stage) -> PodStatus {
        let reported = self.reported();
        let finished = stage > Stage::Alive;
        let ids = self.observed.instances.iter().map(|i| i.id.as_str());
        let probes = self.k.prober.results.of(ids);
        let runtime = self.k.runtime_state.get().name;
        let mut s = status::status(&Input {
            pod: &self.pod,
            observed: &self.observed,
            reported: &reported,
            probes: &probes,
            reasons: &self.reasons,
            host_ips: &self.k.host_ips,
            actual: &self.actual,
            resize: &self.resizing,
            finished,
            runtime: &runtime,
            now: self.k.now(),
        });
        if let Some((reason, message)) = &self.verdict {
            s.phase = Some("Failed".into());
            s.reason = Some(reason.clone());
            s.message = Some(message.clone());
            if let Some(c) = self.disruption(reason, message) {
                let list = s.conditions.get_or_insert_default();
                list.retain(|x| x.type_ != c.type_);
                list.push(c);
            }
        }
        self.k.status.set(&self.pod, s.clone(), stage);
        s
    }

    fn disruption(&self, reason: &str, message: &str) -> Option<PodCondition> {
        let d = self.rx.borrow();
        let e = d.evict.as_ref().filter(|e| e.disruption)?;
        if e.reason != reason {
            return None;
        }
        Some(PodCondition {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
            reason: Some("TerminationByKubelet".into()),
            message: Some(message.to_owned()),
            last_transition_time: Some(helpers::time(self.k.now())),
            observed_generation: self.pod.metadata.generation,
            ..Default::default()
        })
    }

    fn idle(&self) -> Next {
        // A look now and then, spread over the pods.
        let period = i64::try_from(self.k.cfg.sync_frequency.as_nanos()).unwrap_or(60 * SECOND);
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "jitter")]
        let jitter = (crate::rand::fraction() * 0.5 * period as f64) as i64;
        Next::Wait(self.k.now() + period + jitter)
    }

    /// One round for a pod that should run.
    async fn sync(&mut self) -> Next {
        let d = self.desired();
        if self.must_end(&d) {
            self.life = Life::Terminating;
            return Next::Again;
        }
        if let Err(e) = self.observe().await {
            tracing::warn!(pod = helpers::key(&self.pod), error = %e, "looking at the pod failed, trying again");
            return Next::Wait(self.k.now() + 2 * SECOND);
        }
        self.grant();
        let s = self.report(Stage::Alive);
        if is_terminal(s.phase.as_deref().unwrap_or("")) {
            self.life = Life::Terminating;
            return Next::Again;
        }
        self.kick_readiness(&s);
        let deadline = self.deadline(&s);
        if deadline.is_some_and(|t| t <= self.k.now()) {
            let message = "Pod was active on the node longer than the specified deadline";
            self.k.recorder.pod(&self.pod, "Normal", "DeadlineExceeded", message);
            self.verdict = Some(("DeadlineExceeded".into(), message.into()));
            self.life = Life::Terminating;
            return Next::Again;
        }
        let next = match self.bring_up(&s).await {
            Ok(true) => return Next::Again,
            Ok(false) => self.idle(),
            Err(at) => Next::Wait(at),
        };
        let Next::Wait(mut at) = next else { return next };
        for t in [deadline, self.mounted.refresh_at].into_iter().flatten() {
            at = at.min(t.max(self.k.now() + SECOND / 10));
        }
        Next::Wait(at)
    }

    /// A container that has just started is asked at once whether it is ready.
    fn kick_readiness(&mut self, s: &PodStatus) {
        let started: Vec<&str> = s
            .container_statuses
            .iter()
            .chain(s.init_container_statuses.iter())
            .flatten()
            .filter(|c| c.started == Some(true) && c.state.as_ref().is_some_and(|x| x.running.is_some()))
            .filter_map(|c| c.container_id.as_deref())
            .collect();
        if started.iter().any(|id| !self.kicked.contains(*id)) {
            self.kicked = started.iter().map(|id| (*id).to_owned()).collect();
            self.k.prober.kick(&self.uid);
        }
    }

    fn deadline(&self, s: &PodStatus) -> Option<i64> {
        let seconds = spec(&self.pod).active_deadline_seconds?;
        let start = s.start_time.as_ref().map(helpers::time_nanos)?;
        Some(start + seconds * SECOND)
    }

    /// Does what the plan says. `Ok(true)`: something changed; `Err`: something failed, try again then.
    async fn bring_up(&mut self, s: &PodStatus) -> Result<bool, i64> {
        let k = self.k.clone();
        let in_ten = k.now() + 10 * SECOND;
        if let Err(e) = k.runtime_state.get().network
            && !helpers::host_network(spec(&self.pod))
        {
            let m = format!("network is not ready: {e}");
            k.recorder.pod(&self.pod, "Warning", "NetworkNotReady", &m);
            return Err(k.now() + 2 * SECOND);
        }
        k.watched.register(&self.pod);
        if let Err(e) = k.cgroups.ensure(&self.pod)
            && self.resizing.is_empty()
        {
            let m = format!("unable to ensure pod container exists: {e}");
            k.recorder.pod(&self.pod, "Warning", "FailedCreatePodContainer", &m);
            return Err(in_ten);
        }
        if is_static(&self.pod) {
            crate::static_pods::reconcile_mirror(&k, &self.pod).await;
        }
        if let Err(e) = k.volumes.make_pod_dirs(&self.uid) {
            let m = format!("error making pod data directories: {e}");
            k.recorder.pod(&self.pod, "Warning", "Failed", &m);
            return Err(in_ten);
        }
        self.mount().await?;
        let host: Arc<dyn Host> = k.clone();
        k.prober.add(&host, &self.pod);
        let ids = self.observed.instances.iter().map(|i| i.id.as_str());
        let probes = k.prober.results.of(ids);
        let restart_all =
            s.conditions.iter().flatten().any(|c| c.type_ == "AllContainersRestarting" && c.status == "True");
        let resized = resize::work(&self.pod, &self.observed, &self.actual);
        let p = plan::plan(&self.pod, &self.observed, &probes, &resized.restart, restart_all);
        if p.is_empty() {
            return self.update_in_place(&resized).await;
        }
        tracing::debug!(pod = helpers::key(&self.pod), plan = ?p, "acting");
        self.execute(&p).await
    }

    async fn mount(&mut self) -> Result<(), i64> {
        let k = &self.k;
        let cx = Context { allocatable: k.allocatable.clone(), now: k.now() };
        match k.volumes.set_up(&self.pod, &cx).await {
            Ok(m) => {
                self.volume_failures = 0;
                self.mounted = m;
                let mut s = self.entry.state.lock().unwrap_or_else(PoisonError::into_inner);
                s.mounted = self.mounted.clone();
                Ok(())
            }
            Err(failures) => {
                // A running pod whose update failed goes on with what it has.
                for f in failures {
                    k.recorder.pod(&self.pod, "Warning", "FailedMount", &f.message);
                }
                self.volume_failures = (self.volume_failures + 1).min(8);
                let wait = (SECOND / 2) << self.volume_failures.min(8);
                Err(k.now() + wait.min(122 * SECOND))
            }
        }
    }

    async fn execute(&mut self, p: &Plan) -> Result<bool, i64> {
        let k = self.k.clone();
        let in_ten = k.now() + 10 * SECOND;
        if p.kill_pod {
            if p.create_sandbox && !p.sandbox.is_empty() {
                k.recorder.pod(
                    &self.pod,
                    "Normal",
                    "SandboxChanged",
                    "Pod sandbox changed, it will be killed and re-created.",
                );
            }
            if let Err(e) = kill::kill_pod(&k, &self.pod, &self.observed, None).await {
                k.recorder.pod(&self.pod, "Warning", "FailedKillPod", &format!("error killing pod: {e}"));
                return Err(in_ten);
            }
            if !p.create_sandbox {
                return Ok(self.observed.is_alive());
            }
            self.purge_init().await;
        } else {
            for x in &p.kill {
                let want = kill::Want { id: &x.id, name: &x.name, message: &x.message, reason: x.reason };
                if let Err(e) = kill::kill_container(&k, &self.pod, &want, None, None).await {
                    tracing::warn!(pod = helpers::key(&self.pod), container = x.name, error = %e, "killing failed");
                    return Err(in_ten);
                }
            }
            for r in &p.reset {
                self.reset(r).await.map_err(|e| {
                    tracing::warn!(pod = helpers::key(&self.pod), container = r.name, error = %e, "resetting failed");
                    in_ten
                })?;
            }
            if !p.reset.is_empty() {
                return Ok(true);
            }
        }
        self.prune_init().await;
        if p.create_sandbox {
            return match start::create_sandbox(self, p.attempt).await {
                // Its address is reported before images are pulled.
                Ok(()) => Ok(true),
                Err(m) => {
                    if !self.ending() {
                        let m = format!("Failed to create pod sandbox: {m}");
                        k.recorder.pod(&self.pod, "Warning", "FailedCreatePodSandBox", &m);
                    }
                    Err(k.now() + 5 * SECOND)
                }
            };
        }
        self.start_all(p).await
    }

    /// Starts the plan's containers in order.
    async fn start_all(&mut self, p: &Plan) -> Result<bool, i64> {
        let pod = self.pod.clone();
        let s = spec(&pod);
        let mut progress = !p.kill.is_empty();
        let mut retry: Option<i64> = None;
        let mut list = vec![];
        for i in &p.start_ephemeral {
            if let Some(e) = helpers::ephemeral_containers(s).get(*i) {
                list.push((helpers::ephemeral_as_container(e), e.target_container_name.clone(), false));
            }
        }
        for i in &p.start_init {
            if let Some(c) = helpers::init_containers(s).get(*i) {
                list.push((c.clone(), None, !helpers::is_sidecar(c)));
            }
        }
        for i in &p.start {
            if let Some(c) = s.containers.get(*i) {
                list.push((c.clone(), None, false));
            }
        }
        for (c, target, stop_on_failure) in list {
            if self.ending() {
                return Ok(true);
            }
            match start::start(self, p, &c, target.as_deref()).await {
                Ok(()) => {
                    self.reasons.remove(&c.name);
                    progress = true;
                }
                Err(e) => {
                    let StartError { reason, message, retry_at } = e;
                    let changed = self.reasons.insert(c.name.clone(), (reason.clone(), message.clone()))
                        != Some((reason, message));
                    let at = retry_at.unwrap_or(self.k.now() + 10 * SECOND);
                    retry = Some(retry.map_or(at, |r: i64| r.min(at)));
                    if changed {
                        // The new reason is told at once.
                        if let Err(e) = self.observe().await {
                            tracing::debug!(error = %e, "looking at the pod failed");
                        }
                        self.report(Stage::Alive);
                    }
                    if stop_on_failure {
                        break;
                    }
                }
            }
        }
        match retry {
            Some(at) if !progress => Err(at),
            Some(_) => Ok(true),
            None => Ok(progress),
        }
    }

    /// Whether news say that the pod must end.
    fn ending(&self) -> bool {
        let d = self.rx.borrow();
        d.gone || d.evict.is_some() || is_deleted(&d.pod)
    }

    /// Ends when the pod must end.
    async fn until_ending(rx: &watch::Receiver<Desired>) {
        let mut rx = rx.clone();
        let gone = rx.wait_for(|d| d.gone || d.evict.is_some() || is_deleted(&d.pod)).await.is_err();
        if gone {
            std::future::pending::<()>().await;
        }
    }

    async fn remove_container(&mut self, id: &str) -> Result<(), cri::Error> {
        let r = self.k.cri.remove_container(rt::RemoveContainerRequest { container_id: id.to_owned() }).await;
        self.k.prober.forget(id);
        self.ended.remove(id);
        match r {
            Err(e) if !e.is_not_found() => Err(e),
            _ => Ok(()),
        }
    }

    async fn reset(&mut self, r: &plan::Reset) -> Result<(), cri::Error> {
        if r.running {
            let want =
                kill::Want { id: &r.id, name: &r.name, message: "killing", reason: plan::KillReason::Other };
            kill::kill_container(&self.k, &self.pod, &want, Some(0), None).await?;
        }
        self.remove_container(&r.id).await
    }

    /// Of each init container only the newest ended instance stays.
    async fn prune_init(&mut self) {
        let old = self.old_init(1);
        self.remove_all(old).await;
    }
    async fn purge_init(&mut self) {
        let old = self.old_init(0);
        self.remove_all(old).await;
    }
    fn old_init(&self, keep: usize) -> Vec<String> {
        let mut out = vec![];
        for c in helpers::init_containers(spec(&self.pod)) {
            let ended = self.observed.instances.iter().filter(|i| {
                i.name == c.name
                    && (keep == 0
                        || matches!(
                            i.state,
                            crate::pod::observe::State::Exited | crate::pod::observe::State::Unknown
                        ))
            });
            out.extend(ended.skip(keep).map(|i| i.id.clone()));
        }
        out
    }
    async fn remove_all(&mut self, ids: Vec<String>) {
        for id in ids {
            if let Err(e) = self.remove_container(&id).await {
                tracing::debug!(container = id, error = %e, "removing an old init container failed");
            }
        }
    }

    fn grace(&self, d: &Desired) -> Option<i64> {
        if let Some(g) = d.evict.as_ref().and_then(|e| e.grace) {
            return Some(g);
        }
        self.pod.metadata.deletion_grace_period_seconds.map(|g| g.max(1))
    }

    /// One round for a pod that goes down.
    async fn terminate(&mut self) -> Next {
        let d = self.desired();
        if self.must_end(&d) {
            tracing::debug!(pod = helpers::key(&self.pod), "terminating");
        }
        if let Err(e) = self.observe().await {
            tracing::warn!(pod = helpers::key(&self.pod), error = %e, "looking at the pod failed, trying again");
            return Next::Wait(self.k.now() + 2 * SECOND);
        }
        self.report(Stage::Alive);
        let k = self.k.clone();
        k.prober.stop_liveness_and_startup(&self.uid);
        let mut grace = self.grace(&d);
        // News may shorten the grace while the containers are being stopped.
        loop {
            let (pod, observed) = (self.pod.clone(), self.observed.clone());
            let killing = kill::kill_pod(&k, &pod, &observed, grace);
            let mut killing = std::pin::pin!(killing);
            let shorter = loop {
                tokio::select! {
                    r = &mut killing => break match r {
                        Ok(()) => None,
                        Err(e) => {
                            k.recorder.pod(&pod, "Warning", "FailedKillPod", &format!("error killing pod: {e}"));
                            return Next::Wait(k.now() + 2 * SECOND);
                        }
                    },
                    r = self.rx.changed() => {
                        if r.is_err() {
                            return Next::Exit;
                        }
                        let d = self.rx.borrow_and_update().clone();
                        self.take_pod(&d);
                        let g = self.grace(&d);
                        if g.is_some() && (grace.is_none() || g < grace) {
                            break Some(g);
                        }
                    }
                }
            };
            match shorter {
                Some(g) => grace = g,
                None => break,
            }
        }
        k.prober.remove(&self.uid);
        if let Err(e) = self.observe().await {
            tracing::warn!(pod = helpers::key(&self.pod), error = %e, "looking at the pod failed, trying again");
            return Next::Wait(k.now() + SECOND);
        }
        if self.observed.running().next().is_some() {
            return Next::Wait(k.now() + SECOND);
        }
        self.entry.state.lock().unwrap_or_else(PoisonError::into_inner).stopped = true;
        self.report(Stage::Stopped);
        self.life = Life::Stopped;
        Next::Again
    }

    /// Takes volumes and cgroups away; the status is final.
    async fn finish(&mut self) -> Next {
        self.desired();
        let k = self.k.clone();
        if let Err(e) = k.volumes.tear_down(&self.uid).await {
            tracing::warn!(pod = helpers::key(&self.pod), error = %e, "taking volumes away failed, trying again");
            return Next::Wait(k.now() + 2 * SECOND);
        }
        self.mounted = Mounted::default();
        self.release_images().await;
        k.watched.unregister(&self.uid);
        if let Err(e) = k.cgroups.remove(&self.pod) {
            tracing::warn!(pod = helpers::key(&self.pod), error = %e, "removing the cgroup failed, trying again");
            return Next::Wait(k.now() + SECOND);
        }
        let last = status::terminate(&self.pod, &self.reported());
        k.status.set(&self.pod, last, Stage::Finished);
        k.images.forget(&self.uid);
        self.reasons.clear();
        self.life = Life::Finished;
        Next::Again
    }

    /// Waits for the pod's deletion, then removes what is left of it.
    async fn finished(&mut self) -> Next {
        let d = self.desired();
        if !d.gone {
            return Next::Wait(self.k.now() + 3600 * SECOND);
        }
        let k = self.k.clone();
        if let Err(e) = self.observe().await {
            tracing::debug!(error = %e, "looking at the pod failed");
            return Next::Wait(k.now() + 2 * SECOND);
        }
        if is_static(&self.pod)
            && let Some(m) = k.mirror_of(&self.pod)
        {
            crate::static_pods::delete_mirror(&k.client, &m).await;
        }
        if let Err(e) = crate::gc::remove_pod(&k, &self.pod, &self.observed).await {
            tracing::warn!(
                pod = helpers::key(&self.pod),
                error = e,
                "removing the pod's remains failed, trying again"
            );
            return Next::Wait(k.now() + 5 * SECOND);
        }
        Next::Exit
    }
}
