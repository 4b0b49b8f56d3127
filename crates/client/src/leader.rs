//! Leader election over a Lease (client-go `tools/leaderelection`).

use crate::raw::{ListWatch, RawEvent, RawStream};
use crate::typed::Client;
use crate::{Error, rand};
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use runtime::Runtime;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// How often giving the lease back is tried while somebody else changes it.
const RELEASE_TRIES: u32 = 5;

/// Who competes for what.
#[derive(Clone)]
pub struct LeaderElection {
    pub client: Client,
    pub namespace: String,
    pub name: String,
    /// Unique among the candidates: host name and a random part.
    pub identity: String,
    /// How long a leader that was not heard of stays leader.
    pub lease_duration: Duration,
    /// How long a leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

impl LeaderElection {
    /// With upstream's times: 15, 10 and 2 seconds.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            client,
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
    /// An identity for this process.
    pub fn identity_for(host: &str) -> String {
        format!("{host}_{:016x}{:016x}", rand::next(), rand::next())
    }

    /// Waits to become leader, runs `lead`, and ends when that ends, leadership is lost or the runtime stops; in the
    /// last case the lease is released. Answers whether `lead` ended by itself or the runtime stopped (`false`:
    /// leadership was lost, and the caller should end its process or start anew).
    pub async fn run(self, rt: &Runtime, lead: impl Future<Output = ()>) -> bool {
        let mut seen = Observed::default();
        tokio::select! {
            () = self.acquire(rt, &mut seen) => {}
            () = rt.stopping() => return true,
        }
        tracing::info!(lease = self.name, identity = self.identity, "became leader");
        let kept = tokio::select! {
            () = lead => true,
            () = rt.stopping() => true,
            () = self.keep(rt, &mut seen) => false,
        };
        if kept {
            if let Err(e) = self.release(rt, &seen).await {
                tracing::debug!(lease = self.name, "releasing the lease: {e}");
            }
        } else {
            tracing::error!(lease = self.name, "leader election lost");
        }
        kept
    }

    async fn acquire(&self, rt: &Runtime, seen: &mut Observed) {
        let (mut changes, mut said) = (None, false);
        loop {
            match self.try_once(rt, seen).await {
                Ok(true) => return,
                Ok(false) => {
                    if !std::mem::replace(&mut said, true) {
                        let spec = seen.lease.as_ref().and_then(|l| l.spec.as_ref());
                        let holder = spec.and_then(|s| s.holder_identity.as_deref()).unwrap_or_default();
                        tracing::info!(lease = self.name, holder, "waiting to become leader");
                    }
                }
                Err(e) if !std::mem::replace(&mut said, true) => {
                    tracing::warn!(lease = self.name, "waiting for the API server, to become leader: {e}");
                }
                Err(e) => tracing::debug!(lease = self.name, "acquiring the lease: {e}"),
            }
            if changes.is_none() {
                changes = self.changes(seen).await;
            }
            let pause = rand::jitter(self.retry_period, 1.2);
            let pause = self.left(seen).map_or(pause, |left| left.min(pause));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = given_back(&mut changes, seen) => {}
            }
        }
    }
    /// How long the lease that was seen lasts, if it does.
    fn left(&self, seen: &Observed) -> Option<Duration> {
        let stated = seen.lease.as_ref()?.spec.as_ref()?.lease_duration_seconds;
        let valid =
            stated.and_then(|s| u64::try_from(s).ok()).map_or(self.lease_duration, Duration::from_secs);
        valid.checked_sub(seen.at?.elapsed()).filter(|l| !l.is_zero())
    }
    /// The lease as it changes, for those who may watch it. The others look at it now and then.
    async fn changes(&self, seen: &Observed) -> Option<RawStream> {
        let version = seen.lease.as_ref()?.metadata.resource_version.as_deref()?.parse().ok()?;
        let what = ListWatch {
            group: "coordination.k8s.io".into(),
            version: "v1".into(),
            resource: "leases".into(),
            namespace: self.namespace.clone(),
            field_selector: format!("metadata.name={}", self.name),
            ..ListWatch::default()
        };
        self.client.transport.watch(what, version).await.ok()
    }
    /// Ends when the lease could not be renewed in time.
    async fn keep(&self, rt: &Runtime, seen: &mut Observed) {
        loop {
            let renew = async {
                loop {
                    match self.try_once(rt, seen).await {
                        Ok(true) => return true,
                        Ok(false) => return false,
                        Err(e) => tracing::debug!(lease = self.name, "renewing the lease: {e}"),
                    }
                    tokio::time::sleep(self.retry_period).await;
                }
            };
            match tokio::time::timeout(self.renew_deadline, renew).await {
                Ok(true) => tokio::time::sleep(self.retry_period).await,
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// One attempt to become or stay leader; answers whether this candidate is.
    async fn try_once(&self, rt: &Runtime, seen: &mut Observed) -> Result<bool, Error> {
        let now = MicroTime(timestamp(rt));
        let found: Lease = match self.client.get(Some(&self.namespace), &self.name).await {
            Ok(l) => l,
            Err(e) if e.is_not_found() => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(self.name.clone()),
                        namespace: Some(self.namespace.clone()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(self.spec(&now, &now, 0)),
                };
                seen.note(self.client.create(&lease).await?);
                return Ok(true);
            }
            Err(e) => return Err(e),
        };
        let spec = found.spec.clone().unwrap_or_default();
        seen.note(found.clone());
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let mine = holder == self.identity;
        // Judged by when this process saw the lease change, not by the clock of the holder.
        let stated = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
        let valid = stated.map_or(self.lease_duration, Duration::from_secs);
        if !mine && !holder.is_empty() && seen.at.is_some_and(|at| at.elapsed() < valid) {
            return Ok(false);
        }
        let transitions = spec.lease_transitions.unwrap_or(0);
        let next = if mine {
            self.spec(spec.acquire_time.as_ref().unwrap_or(&now), &now, transitions)
        } else {
            self.spec(&now, &now, transitions.saturating_add(1))
        };
        seen.note(self.client.replace(&Lease { spec: Some(next), ..found }).await?);
        Ok(true)
    }

    fn spec(&self, acquired: &MicroTime, now: &MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.lease_duration.as_secs()).ok(),
            acquire_time: Some(acquired.clone()),
            renew_time: Some(now.clone()),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    /// Gives the lease back. A renewal that was under way may have changed it meanwhile: then it is looked at anew.
    async fn release(&self, rt: &Runtime, seen: &Observed) -> Result<(), Error> {
        let Some(mut lease) = seen.lease.clone() else { return Ok(()) };
        let mut tries = RELEASE_TRIES;
        loop {
            let old = lease.spec.clone().unwrap_or_default();
            let now = MicroTime(timestamp(rt));
            let spec = LeaseSpec {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(1),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                ..old
            };
            tries -= 1;
            match self.client.replace(&Lease { spec: Some(spec), ..lease }).await {
                Err(e) if e.is_conflict() && tries > 0 => {}
                done => return done.map(drop),
            }
            lease = self.client.get(Some(&self.namespace), &self.name).await?;
            let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref());
            if holder != Some(&self.identity) {
                return Ok(());
            }
        }
    }
}

/// Notes how the lease is renewed, and ends when nobody holds it any more. A stream that has ended is taken away.
async fn given_back(changes: &mut Option<RawStream>, seen: &mut Observed) {
    while let Some(stream) = changes {
        match stream.next().await {
            Some(Ok(RawEvent::Added(o) | RawEvent::Modified(o))) => {
                let Ok(lease) = o.decode::<Lease>() else { continue };
                let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.as_deref());
                let free = holder.is_none_or(str::is_empty);
                seen.note(lease);
                if free {
                    return;
                }
            }
            Some(Ok(RawEvent::Deleted(_))) => return,
            Some(Ok(RawEvent::Bookmark(_))) => {}
            Some(Ok(RawEvent::Error(_)) | Err(_)) | None => *changes = None,
        }
    }
    std::future::pending().await
}

/// The last lease seen and when its content changed.
#[derive(Default)]
struct Observed {
    lease: Option<Lease>,
    at: Option<Instant>,
}

impl Observed {
    fn note(&mut self, lease: Lease) {
        if self.lease.as_ref().and_then(|l| l.spec.as_ref()) != lease.spec.as_ref() {
            self.at = Some(Instant::now());
        }
        self.lease = Some(lease);
    }
}

fn timestamp(rt: &Runtime) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(rt.clock.unix_nanos())).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeApi;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn election(api: &FakeApi, who: &str) -> LeaderElection {
        LeaderElection::new(Client::new(Arc::new(api.clone())), "kube-system", "x", who)
    }

    #[tokio::test(start_paused = true)]
    async fn one_leads_and_another_takes_over() {
        let api = FakeApi::new();
        let (rt_a, rt_b) = (Runtime::new(), Runtime::new());
        let led = Arc::new(AtomicUsize::new(0));
        for (rt, who, bit) in [(&rt_a, "a", 1), (&rt_b, "b", 2)] {
            let (e, led, rt2) = (election(&api, who), led.clone(), rt.clone());
            rt.spawn("elect", async move {
                e.run(&rt2, async {
                    led.fetch_add(bit, Ordering::SeqCst);
                    std::future::pending().await
                })
                .await;
            });
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(led.load(Ordering::SeqCst), 1);
        assert!(rt_a.shutdown(Duration::from_secs(5)).await);
        // At once: sooner than the other would have looked by itself.
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(led.load(Ordering::SeqCst), 3);
        let l: Lease = Client::new(Arc::new(api)).get(Some("kube-system"), "x").await.unwrap();
        let spec = l.spec.unwrap();
        assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("b"), Some(1)));
        rt_b.shutdown(Duration::from_secs(5)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_leader_is_followed_when_its_lease_ends() {
        let api = FakeApi::new();
        let rt = Runtime::new();
        let (led, mut seen) = tokio::sync::watch::channel("");
        let mut tasks = Vec::new();
        for who in ["a", "b"] {
            let (e, led, rt2) = (election(&api, who), led.clone(), rt.clone());
            tasks.push(rt.spawn("elect", async move {
                e.run(&rt2, async {
                    led.send_replace(who);
                    std::future::pending().await
                })
                .await;
            }));
            // The first leads; the second sees it renew.
            tokio::time::sleep(Duration::from_millis(7_300)).await;
        }
        assert_eq!(*seen.borrow(), "a");
        tasks[0].abort();
        let killed = Instant::now();
        let _ = seen.wait_for(|who| *who == "b").await;
        let took = killed.elapsed();
        assert!(took <= Duration::from_secs(15) && took > Duration::from_secs(12), "{took:?}");
        rt.shutdown(Duration::from_secs(5)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_changed_meanwhile_is_given_back() {
        let api = FakeApi::new();
        let rt = Runtime::new();
        let (led, mut seen) = tokio::sync::watch::channel(false);
        let (e, rt2) = (election(&api, "a"), rt.clone());
        rt.spawn("elect", async move {
            e.run(&rt2, async {
                led.send_replace(true);
                std::future::pending().await
            })
            .await;
        });
        let _ = seen.wait_for(|l| *l).await;
        // As a renewal does whose answer is not waited for.
        let client = Client::new(Arc::new(api));
        let mut lease: Lease = client.get(Some("kube-system"), "x").await.unwrap();
        lease.spec.as_mut().unwrap().renew_time = Some(MicroTime(timestamp(&rt)));
        client.replace(&lease).await.unwrap();
        assert!(rt.shutdown(Duration::from_secs(5)).await);
        let lease: Lease = client.get(Some("kube-system"), "x").await.unwrap();
        assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some(""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_cannot_renew_gives_up() {
        let api = FakeApi::new();
        let rt = Runtime::new();
        let (e, fail) = (election(&api, "a"), api.clone());
        let lost = e
            .run(&rt, async move {
                fail.react(|req| {
                    (req.method() == http::Method::PUT).then(|| meta::Status::unavailable("down"))
                });
                std::future::pending().await
            })
            .await;
        assert!(!lost);
    }
}
