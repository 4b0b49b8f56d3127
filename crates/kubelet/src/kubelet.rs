//! The parts of a running kubelet, shared by its tasks, and the table of its pods.

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::events::Recorder;
use crate::images::Images;
use crate::node::machine::Machine;
use crate::node::runtime_state::RuntimeState;
use crate::pod::backoff::Backoff;
use crate::pod::helpers::{self, namespace, uid};
use crate::pod::{admit, qos};
use crate::probes::{self, Prober};
use crate::status_manager::{Stage, StatusManager};
use crate::volumes::{Objects, Volumes};
use crate::worker;
use client::Client;
use k8s_openapi::api::core::v1::{Pod, PodStatus, Service};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::{Notify, watch};

/// How long the API server has to say what labels the node has; the pods that come after wait for it.
const READ_NODE: std::time::Duration = std::time::Duration::from_secs(5);

/// Why a pod must end although nobody deleted it.
#[derive(Clone, Debug, PartialEq)]
pub struct Eviction {
    pub reason: String,
    pub message: String,
    pub grace: Option<i64>,
    /// Whether the condition DisruptionTarget says so.
    pub disruption: bool,
}

/// What is wanted of a pod's worker.
#[derive(Clone, Debug)]
pub struct Desired {
    pub pod: Arc<Pod>,
    /// The pod is gone from its source: stop it and clean up.
    pub gone: bool,
    pub evict: Option<Eviction>,
}

/// A pod and its worker.
pub struct Entry {
    pub tx: watch::Sender<Desired>,
    pub wake: Notify,
    pub state: Mutex<EntryState>,
}

/// What a worker tells the others.
#[derive(Clone, Default)]
pub struct EntryState {
    pub observed: crate::pod::observe::Observed,
    pub mounted: crate::volumes::Mounted,
    /// No container can run any more.
    pub stopped: bool,
}

impl Entry {
    pub fn pod(&self) -> Arc<Pod> {
        self.tx.borrow().pod.clone()
    }
    pub fn state(&self) -> EntryState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The Services for variables; `None` until they are known.
pub trait Services: Send + Sync + 'static {
    fn list(&self) -> Option<Vec<Arc<Service>>>;
}

pub struct Kubelet {
    pub cfg: Config,
    pub client: Client,
    pub cri: Arc<dyn cri::Runtime>,
    pub rt: runtime::Runtime,
    pub recorder: Recorder,
    pub images: Images,
    pub prober: Arc<Prober>,
    pub volumes: Volumes,
    pub objects: Arc<dyn Objects>,
    pub watched: Arc<crate::objects::Watched>,
    pub services: Arc<dyn Services>,
    pub cgroups: Cgroups,
    pub status: StatusManager,
    pub crashes: Mutex<Backoff>,
    pub machine: Machine,
    pub runtime_state: RuntimeState,
    pub host_ips: Vec<String>,
    pub start_time: i64,
    pub pods: Mutex<HashMap<String, Arc<Entry>>>,
    /// Mirror pods by `namespace/name`.
    pub mirrors: Mutex<HashMap<String, Arc<Pod>>>,
    /// Static pods that wait for one of the same name to end.
    pub waiting_static: Mutex<HashMap<String, Arc<Pod>>>,
    /// The labels of this node's object, once it is known.
    pub node_labels: RwLock<Option<BTreeMap<String, String>>>,
    pub allocatable: qos::List,
    pub node_changed: Notify,
    pub conditions: Mutex<crate::node::status::Pressure>,
}

impl Kubelet {
    pub fn now(&self) -> i64 {
        self.rt.clock.unix_nanos()
    }
    pub fn entry(&self, uid: &str) -> Option<Arc<Entry>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
    /// The entry of a pod by namespace and name; of several the one that is not gone.
    pub fn find(&self, ns: &str, name: &str) -> Option<Arc<Entry>> {
        let mut all: Vec<Arc<Entry>> = self
            .entries()
            .into_iter()
            .filter(|e| {
                let p = e.pod();
                namespace(&p) == ns && helpers::name(&p) == name
            })
            .collect();
        all.sort_by_key(|e| e.tx.borrow().gone);
        all.into_iter().next()
    }
    /// Has a pod's worker look again.
    pub fn wake(&self, uid: &str) {
        if let Some(e) = self.entry(uid) {
            e.wake.notify_one();
        }
    }

    /// The node may have been labelled since its status was last reported: a new pod that its labels, as known here, would
    /// refuse has them read anew before it is judged.
    pub async fn know_labels(&self, pod: &Pod) {
        let known = self.node_labels.read().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = known.is_some_and(|l| !admit::selects(pod, &self.cfg.node_name, &l));
        if !refused || helpers::is_terminal(helpers::phase(pod)) || self.entry(uid(pod)).is_some() {
            return;
        }
        let read = self.client.get::<k8s_openapi::api::core::v1::Node>(None, &self.cfg.node_name);
        match tokio::time::timeout(READ_NODE, read).await {
            Ok(Ok(node)) => {
                *self.node_labels.write().unwrap_or_else(PoisonError::into_inner) = node.metadata.labels;
            }
            Ok(Err(e)) => {
                tracing::warn!(error = %e, "the node's labels cannot be read, judging by those known")
            }
            Err(_) => tracing::warn!("reading the node's labels takes too long, judging by those known"),
        }
    }

    /// A pod as its source has it now.
    pub fn apply(self: &Arc<Self>, pod: Arc<Pod>) {
        if helpers::is_mirror(&pod) && !helpers::is_static(&pod) {
            self.apply_mirror(pod);
            return;
        }
        let id = uid(&pod).to_owned();
        if let Some(e) = self.entry(&id) {
            self.status.observe(&id, &pod);
            e.tx.send_modify(|d| d.pod = pod);
            return;
        }
        if helpers::is_static(&pod) {
            let key = helpers::key(&pod);
            if self.find(namespace(&pod), helpers::name(&pod)).is_some() {
                self.waiting_static.lock().unwrap_or_else(PoisonError::into_inner).insert(key, pod);
                return;
            }
        }
        if !helpers::is_terminal(helpers::phase(&pod))
            && !helpers::is_deleted(&pod)
            && helpers::phase(&pod) != "Running"
            && let Err(r) = self.admit(&pod)
        {
            self.reject(pod, &r);
            return;
        }
        self.start_worker(Desired { pod, gone: false, evict: None });
    }

    fn start_worker(self: &Arc<Self>, d: Desired) {
        let id = uid(&d.pod).to_owned();
        let (tx, rx) = watch::channel(d);
        let entry = Arc::new(Entry { tx, wake: Notify::new(), state: Mutex::default() });
        {
            let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
            if pods.contains_key(&id) {
                return;
            }
            pods.insert(id.clone(), entry.clone());
        }
        let this = self.clone();
        self.rt.spawn_until_stop("pod worker", async move {
            worker::run(this.clone(), entry, rx).await;
            this.forget(&id);
        });
    }

    /// A worker ended: its pod is gone in every way.
    fn forget(self: &Arc<Self>, id: &str) {
        let entry = self.pods.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.status.remove(id);
        if let Some(e) = entry {
            let key = helpers::key(&e.pod());
            let next = self.waiting_static.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            if let Some(p) = next {
                self.apply(p);
            }
        }
    }

    fn admit(&self, pod: &Pod) -> Result<(), admit::Rejection> {
        let others: Vec<Arc<Pod>> = self
            .entries()
            .iter()
            .filter(|e| !e.state.lock().unwrap_or_else(PoisonError::into_inner).stopped)
            .map(|e| e.pod())
            .filter(|p| !helpers::is_terminal(helpers::phase(p)) && !self.ended(p))
            .collect();
        let labels = self.node_labels.read().unwrap_or_else(PoisonError::into_inner).clone();
        let node = admit::Node {
            name: &self.cfg.node_name,
            allocatable: Some(&self.allocatable),
            labels: labels.as_ref(),
            unsafe_sysctls: &self.cfg.allowed_unsafe_sysctls,
            max_pods: self.cfg.max_pods,
        };
        admit::admit(pod, &others, &node)?;
        self.admit_under_pressure(pod)
    }

    /// Whether a pod has ended as this node knows, which the API may not know yet: a pod that was just refused takes no
    /// other's place.
    fn ended(&self, p: &Pod) -> bool {
        let uid = p.metadata.uid.as_deref().unwrap_or_default();
        let phase = self.status.get(uid).and_then(|s| s.phase);
        phase.is_some_and(|p| helpers::is_terminal(&p))
    }

    fn admit_under_pressure(&self, pod: &Pod) -> Result<(), admit::Rejection> {
        let p = self.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if admit::is_critical(pod) || !(p.memory || p.disk || p.pid) {
            return Ok(());
        }
        if p.memory && !p.disk && !p.pid {
            let tolerated = helpers::spec(pod)
                .tolerations
                .iter()
                .flatten()
                .any(|t| t.key.as_deref() == Some("node.kubernetes.io/memory-pressure"));
            if qos::class(pod) != "BestEffort" || tolerated {
                return Ok(());
            }
        }
        let mut names = vec![];
        for (on, n) in [(p.memory, "MemoryPressure"), (p.disk, "DiskPressure"), (p.pid, "PIDPressure")] {
            if on {
                names.push(n);
            }
        }
        Err(admit::Rejection {
            reason: "Evicted".into(),
            message: format!("Pod was rejected: The node had condition: [{}]. ", names.join(" ")),
        })
    }

    fn reject(self: &Arc<Self>, pod: Arc<Pod>, r: &admit::Rejection) {
        let event = r.message.strip_prefix("Pod was rejected: ").unwrap_or(&r.message);
        self.recorder.pod(&pod, "Warning", &r.reason, event);
        let mut status: PodStatus = pod.status.clone().unwrap_or_default();
        status.phase = Some("Failed".into());
        status.reason = Some(r.reason.clone());
        status.message = Some(r.message.clone());
        status.qos_class = Some(qos::class(&pod).to_owned());
        status.observed_generation = pod.metadata.generation;
        status.start_time = Some(helpers::time(self.now()));
        self.status.set(&pod, status, Stage::Finished);
        // The worker finds a finished pod and waits for its deletion.
        let mut ended = (*pod).clone();
        ended.status.get_or_insert_default().phase = Some("Failed".into());
        self.start_worker(Desired { pod: Arc::new(ended), gone: false, evict: None });
    }

    /// A pod that its source does not have any more.
    pub fn gone(self: &Arc<Self>, pod: &Pod) {
        if helpers::is_mirror(pod) && !helpers::is_static(pod) {
            self.mirror_gone(pod);
            return;
        }
        let key = helpers::key(pod);
        {
            let mut waiting = self.waiting_static.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.get(&key).is_some_and(|w| uid(w) == uid(pod)) {
                waiting.remove(&key);
            }
        }
        if let Some(e) = self.entry(uid(pod)) {
            e.tx.send_modify(|d| d.gone = true);
        }
    }

    /// Ends a pod for a reason of the node's.
    pub fn evict(&self, uid: &str, ev: Eviction) -> bool {
        let Some(e) = self.entry(uid) else { return false };
        e.tx.send_if_modified(|d| {
            if d.evict.is_some() || d.gone {
                return false;
            }
            d.evict = Some(ev);
            true
        })
    }

    /// Takes over what runs without a pod: stops it, as if its pod had been deleted.
    pub fn adopt_orphan(self: &Arc<Self>, pod: Pod) {
        self.start_worker(Desired { pod: Arc::new(pod), gone: true, evict: None });
    }

    fn apply_mirror(self: &Arc<Self>, mirror: Arc<Pod>) {
        let key = helpers::key(&mirror);
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).insert(key, mirror.clone());
        if let Some(e) = self.find(namespace(&mirror), helpers::name(&mirror)) {
            let p = e.pod();
            if helpers::is_static(&p) {
                self.status.observe(uid(&p), &mirror);
                e.wake.notify_one();
                return;
            }
        }
        // A mirror whose static pod is gone.
        self.mirror_cleanup(mirror);
    }

    /// Deletes a mirror pod that mirrors nothing (any more).
    pub fn mirror_cleanup(self: &Arc<Self>, mirror: Arc<Pod>) {
        let this = self.clone();
        self.rt.spawn_until_stop("mirror cleanup", async move {
            // The manifests may not have been read yet.
            this.rt.ready.wait_for("kubelet-static-pods").await;
            let ours = this
                .find(namespace(&mirror), helpers::name(&mirror))
                .is_some_and(|e| helpers::is_static(&e.pod()) && !e.tx.borrow().gone);
            if !ours {
                crate::static_pods::delete_mirror(&this.client, &mirror).await;
            }
        });
    }

    fn mirror_gone(self: &Arc<Self>, mirror: &Pod) {
        let key = helpers::key(mirror);
        {
            let mut m = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
            if m.get(&key).is_some_and(|x| uid(x) == uid(mirror)) {
                m.remove(&key);
            }
        }
        if let Some(e) = self.find(namespace(mirror), helpers::name(mirror)) {
            e.wake.notify_one();
        }
    }

    pub fn mirror_of(&self, pod: &Pod) -> Option<Arc<Pod>> {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).get(&helpers::key(pod)).cloned()
    }
}

impl probes::Host for Kubelet {
    fn view(&self, id: &str) -> Option<probes::View> {
        let pod = self.entry(id)?.pod();
        let status = self.status.get(id).unwrap_or_default();
        Some(probes::View { pod, status })
    }
    fn changed(&self, id: &str) {
        self.wake(id);
    }
    fn now(&self) -> i64 {
        Self::now(self)
    }
    fn start_time(&self) -> i64 {
        self.start_time
    }
}
