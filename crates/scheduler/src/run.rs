//! The loop: hear, decide, act.

use crate::feed::{Caches, Feed};
use crate::hands::{Hands, Job, Report};
use crate::metrics::Metrics;
use client::leader::LeaderElection;
use client::{Client, InformerFactory};
use runtime::{Clock, Runtime};
use scheduling::{Decision, Engine};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// Changes of each kind that are taken in at once.
const EVENTS: usize = 500;
/// Decisions in a row, before others get their turn.
const DECISIONS: usize = 16;
/// Pods with requests under way; beyond that, deciding waits.
const BUSY: usize = 256;
/// Without any event the queue is looked at this often.
const IDLE: Duration = Duration::from_secs(30);

/// How to schedule.
#[derive(Clone, Debug)]
pub struct Config {
    /// Profiles, backoffs, leader election: what a `KubeSchedulerConfiguration` says.
    pub scheduling: scheduling::Config,
    /// The host this runs on, for events and the lease.
    pub host: String,
    /// Decides between nodes that are equally good; `None` draws one.
    pub seed: Option<u64>,
    pub metrics: Arc<Metrics>,
}

impl Config {
    /// Upstream's defaults.
    pub fn new(host: &str) -> Self {
        Self {
            scheduling: scheduling::Config::default(),
            host: host.to_owned(),
            seed: None,
            metrics: Arc::default(),
        }
    }
    /// Without leader election, for a scheduler that is the only one.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.scheduling.leader_election.on = false;
        self
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Config(String),
    /// The process is to end: another one schedules.
    #[error("leader election lost")]
    LeaseLost,
}

/// The name in the user agent, and so the manager of the fields that it writes.
pub(crate) const AGENT: &str = "kube-scheduler";
/// The name of the readiness check.
pub const READY: &str = "kube-scheduler";

/// Schedules until the runtime stops or leadership is lost.
pub async fn run(cfg: Config, client: Client, rt: Runtime) -> Result<(), Error> {
    // Told at once, and not when this one gets to lead.
    cfg.scheduling.build().map_err(Error::Config)?;
    let client = client.named(AGENT);
    let not_yet = "handlers are not fully synchronized".to_owned();
    rt.ready.set(READY, Err(not_yet));
    let factory = InformerFactory::new(client.transport.clone(), &rt);
    let election = &cfg.scheduling.leader_election;
    if !election.on {
        lead(&cfg, &client, &Caches::new(&factory), &rt).await;
        return Ok(());
    }
    let election = LeaderElection {
        lease_duration: election.lease_duration,
        renew_deadline: election.renew_deadline,
        retry_period: election.retry_period,
        ..LeaderElection::new(
            client.clone(),
            &election.namespace,
            &election.name,
            &LeaderElection::identity_for(&cfg.host),
        )
    };
    let early = (!cfg.scheduling.watch_late).then(|| Caches::new(&factory));
    if let Some(warm) = early.clone() {
        // A follower is ready as well: its caches are full.
        let ready = rt.ready.clone();
        rt.spawn_until_stop("scheduler caches", async move {
            warm.synced().await;
            ready.set(READY, Ok(()));
        });
    }
    let work = async {
        let caches = early.unwrap_or_else(|| Caches::new(&factory));
        lead(&cfg, &client, &caches, &rt).await;
    };
    if election.run(&rt, work).await { Ok(()) } else { Err(Error::LeaseLost) }
}

/// Schedules until the runtime stops.
async fn lead(cfg: &Config, client: &Client, caches: &Caches, rt: &Runtime) {
    let conf = &cfg.scheduling;
    let Ok(profiles) = conf.build() else { return };
    let seed = cfg.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let names: Vec<String> = profiles.iter().map(|p| p.name.clone()).collect();
    tokio::select! {
        () = caches.synced() => {}
        () = rt.stopping() => return,
    }
    let (hands, reports) = Hands::new(client.clone(), rt, caches.clone(), &names, &cfg.host);
    let mut s = Scheduler {
        engine: Engine::new(profiles, conf.backoff(), conf.volume_timeout(), seed),
        feed: caches.feed(),
        hands,
        reports,
        clock: rt.clock.clone(),
        metrics: cfg.metrics.clone(),
    };
    // Everything there is, before the first decision.
    let now = s.now();
    while s.feed.drain(&mut s.engine, now, EVENTS) {
        tokio::task::yield_now().await;
    }
    rt.ready.set(READY, Ok(()));
    tracing::info!(nodes = s.engine.cluster.order().len(), pods = s.engine.queue().len(), "scheduling");
    s.metrics.leading(true);
    s.work(rt).await;
    s.metrics.leading(false);
}

struct Scheduler {
    engine: Engine,
    feed: Feed,
    hands: Hands,
    reports: UnboundedReceiver<Report>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Scheduler {
    /// Milliseconds.
    fn now(&self) -> i64 {
        self.clock.unix_nanos() / 1_000_000
    }

    async fn work(&mut self, rt: &Runtime) {
        while !rt.is_stopping() {
            // Reports first: a deletion comes after what was said about it.
            while let Ok(r) = self.reports.try_recv() {
                self.hear(r);
            }
            let now = self.now();
            let mut more = self.feed.drain(&mut self.engine, now, EVENTS);
            for _ in 0..DECISIONS {
                if self.hands.busy() >= BUSY || !self.decide() {
                    break;
                }
            }
            self.metrics.queue(self.engine.queue().sizes());
            let full = self.hands.busy() >= BUSY;
            let due = self.engine.next_due().map(|at| at.saturating_sub(self.now()));
            more |= !full && due.is_some_and(|ms| ms <= 0);
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            let wait = match due {
                Some(ms) if !full => Duration::from_millis(ms.max(1).try_into().unwrap_or(1)).min(IDLE),
                _ => IDLE,
            };
            tokio::select! {
                biased;
                () = rt.stopping() => return,
                Some(r) = self.reports.recv() => self.hear(r),
                (e, apply) = self.feed.next() => {
                    while let Ok(r) = self.reports.try_recv() {
                        self.hear(r);
                    }
                    let now = self.now();
                    apply(&mut self.engine, &e, now);
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Decides about one pod; answers whether there was one.
    fn decide(&mut self) -> bool {
        let began = self.clock.unix_nanos();
        let Some(d) = self.engine.next(began / 1_000_000) else { return false };
        self.metrics.decided(&d, began, self.clock.unix_nanos());
        self.act(d);
        true
    }
    fn act(&mut self, d: Decision) {
        let job = match d {
            Decision::Bind { pod, node } => Job::Bind { pod, node },
            Decision::BindVolumes { pod, plan } => Job::BindVolumes { pod, plan },
            Decision::Failed(f) => {
                tracing::debug!(pod = %f.pod.name, namespace = %f.pod.namespace, reason = f.reason, "not scheduled: {}", f.message);
                Job::Fail(f)
            }
            Decision::Deleting { pod } => return self.hands.skip(&pod),
        };
        self.hands.take(job);
    }

    fn hear(&mut self, r: Report) {
        let now = self.now();
        match r {
            Report::Bound(pod) => {
                self.engine.bound(&pod.uid);
                self.metrics.bound(&pod, self.clock.unix_nanos());
            }
            Report::BindFailed(uid, why) => {
                if let Some(d) = self.engine.bind_failed(&uid, &why, now) {
                    self.act(d);
                }
            }
            Report::VolumesWritten(uid) => self.engine.volumes_written(&uid, now),
            Report::NearlyPreempted(uid) => self.engine.preemption_nearly_done(&uid),
            Report::PreemptionFailed(uid) => self.engine.preemption_failed(&uid, now),
            Report::Done(uid) => self.hands.done(&uid),
        }
    }
}
