//! Carries decisions out against the API, many at once, but for one pod one after the other.

use crate::feed::Caches;
use client::{Backoff, Client, Error, EventRecorder, Key, ObjectRef, PatchKind, url};
use http::{Method, Request, header};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use k8s_openapi::jiff::Timestamp;
use meta::Reason;
use runtime::Runtime;
use scheduling::cluster::{ClaimKey, SELECTED_NODE, VolumePlan};
use scheduling::{Failed, PodInfo};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// So long a note on an event may be.
const NOTE: usize = 1024;
const ATTEMPTS: u32 = 4;
/// An answer with no more than the object's metadata.
const BRIEF: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// Victims of one preemption that are removed at the same time.
const VICTIMS: usize = 16;

/// What came of a job.
#[derive(Debug)]
pub enum Report {
    Bound(Arc<PodInfo>),
    BindFailed(Arc<str>, String),
    VolumesWritten(Arc<str>),
    /// Only one victim is left to delete, and that is next.
    NearlyPreempted(Arc<str>),
    PreemptionFailed(Arc<str>),
    /// The job for this pod has ended, however that was.
    Done(Arc<str>),
}

pub enum Job {
    Bind { pod: Arc<PodInfo>, node: Arc<str> },
    BindVolumes { pod: Arc<PodInfo>, plan: VolumePlan },
    Fail(Box<Failed>),
}

impl Job {
    fn uid(&self) -> &Arc<str> {
        match self {
            Self::Bind { pod, .. } | Self::BindVolumes { pod, .. } => &pod.uid,
            Self::Fail(f) => &f.pod.uid,
        }
    }
}

/// What every job needs.
struct Shared {
    client: Client,
    rt: Runtime,
    caches: Caches,
    /// By scheduler name.
    recorders: HashMap<String, EventRecorder>,
    reports: mpsc::UnboundedSender<Report>,
}

pub struct Hands {
    shared: Arc<Shared>,
    /// Pods with a job that runs, and the jobs that wait for it.
    busy: HashMap<Arc<str>, VecDeque<Job>>,
}

/// Reports the end of a job even if that panics.
struct Done(Arc<str>, mpsc::UnboundedSender<Report>);

impl Drop for Done {
    fn drop(&mut self) {
        let _ = self.1.send(Report::Done(self.0.clone()));
    }
}

impl Hands {
    /// With one event recorder for each scheduler name. There are as many reports as jobs make: a few for each.
    pub fn new(
        client: Client,
        rt: &Runtime,
        caches: Caches,
        names: &[String],
        host: &str,
    ) -> (Self, mpsc::UnboundedReceiver<Report>) {
        let recorder =
            |n: &String| (n.clone(), EventRecorder::new(client.clone(), rt, n, &format!("{n}-{host}")));
        let recorders = names.iter().map(recorder).collect();
        let (reports, rx) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { client, rt: rt.clone(), caches, recorders, reports });
        (Self { shared, busy: HashMap::new() }, rx)
    }
    /// How many pods have a job.
    pub fn busy(&self) -> usize {
        self.busy.len()
    }
    pub fn take(&mut self, job: Job) {
        if let Some(waiting) = self.busy.get_mut(job.uid()) {
            waiting.push_back(job);
            return;
        }
        self.busy.insert(job.uid().clone(), VecDeque::new());
        self.start(job);
    }
    fn start(&self, job: Job) {
        let shared = self.shared.clone();
        let done = Done(job.uid().clone(), shared.reports.clone());
        self.shared.rt.spawn("scheduling", async move {
            let _done = done;
            match job {
                Job::Bind { pod, node } => shared.bind(&pod, &node).await,
                Job::BindVolumes { pod, plan } => shared.bind_volumes(&pod, &plan).await,
                Job::Fail(f) => shared.fail(*f).await,
            }
        });
    }
    /// A job has ended; the next one for the pod begins.
    pub fn done(&mut self, uid: &Arc<str>) {
        match self.busy.get_mut(uid).and_then(VecDeque::pop_front) {
            Some(job) => self.start(job),
            None => drop(self.busy.remove(uid)),
        }
    }
    /// A pod came up for scheduling while it is being deleted.
    pub fn skip(&self, pod: &PodInfo) {
        let m = format!("skip schedule deleting pod: {}/{}", pod.namespace, pod.name);
        self.shared.event(
            pod,
            None,
            "Warning",
            ("FailedScheduling", "Scheduling"),
            pod.scheduler.as_str(),
            m,
        );
    }
}

/// As much of a text as a note may hold.
fn note(mut s: String) -> String {
    const MORE: &str = " ...";
    if s.len() > NOTE {
        let mut end = NOTE - MORE.len();
        while !s.is_char_boundary(end) {
            end -= 1;
        }
        s.truncate(end);
        s.push_str(MORE);
    }
    s
}

fn reference(pod: &PodInfo) -> ObjectRef {
    let key = Key::new(&*pod.namespace, &*pod.name);
    ObjectRef {
        resource_version: pod.resource_version.clone(),
        ..ObjectRef::named("v1", "Pod", &key, &pod.uid)
    }
}

/// Whether trying again may help.
fn passing(e: &Error) -> bool {
    match e.status() {
        Some(s) => s.code >= 500 || s.code == 429,
        None => matches!(e, Error::Transport(_)),
    }
}

/// Tries a few times while that may help.
async fn retry<T, F: Future<Output = Result<T, Error>>>(f: impl Fn() -> F) -> Result<T, Error> {
    let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1)).with_jitter(0.1);
    for _ in 1..ATTEMPTS {
        match f().await {
            Err(e) if passing(&e) => tokio::time::sleep(backoff.next()).await,
            other => return other,
        }
    }
    f().await
}

impl Shared {
    fn report(&self, r: Report) {
        let _ = self.reports.send(r);
    }
    fn now(&self) -> String {
        Timestamp::from_second(self.rt.clock.unix_seconds()).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
    }
    fn event(
        &self,
        about: &PodInfo,
        related: Option<&PodInfo>,
        kind: &str,
        what: (&str, &str),
        scheduler: &str,
        message: String,
    ) {
        if let Some(r) = self.recorders.get(scheduler) {
            let related = related.map(reference);
            r.acted(&reference(about), related.as_ref(), kind, what, note(message));
        }
    }
    /// A patch of a pod's status; the uid keeps it from another pod of the same name.
    async fn patch_status(&self, pod: &PodInfo, status: Value) -> Result<(), Error> {
        let patch = json!({"metadata": {"uid": &*pod.uid}, "status": status}).to_string();
        let path = url::object("", "v1", "pods", Some(&pod.namespace), &pod.name, "status");
        let kind = PatchKind::Strategic.content_type();
        retry(async || self.send(Method::PATCH, &path, kind, patch.clone()).await).await
    }
    /// One exchange of which only the outcome is of interest: the pod comes back by its watch. So no more than its
    /// metadata is asked for, and not even that is read.
    async fn send(&self, method: Method, path: &str, content_type: &str, body: String) -> Result<(), Error> {
        let req = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, BRIEF)
            .header(header::USER_AGENT, crate::run::AGENT)
            .header(header::CONTENT_TYPE, content_type)
            .body(body.into())
            .map_err(|e| Error::Config(format!("bad request path {path:?}: {e}")))?;
        let (head, body) = self.client.transport.call(req).await?.into_parts();
        if head.status.is_success() {
            return Ok(());
        }
        let bytes = client::typed::read_body(body).await?;
        Err(client::typed::failure(head.status, &head.headers, &bytes))
    }
    fn condition(
        &self,
        pod: &PodInfo,
        kind: &str,
        status: &str,
        reason: &str,
        message: &str,
    ) -> Map<String, Value> {
        let mut c = Map::new();
        let mut set = |k: &str, v: Value| c.insert(k.to_owned(), v);
        set("type", json!(kind));
        set("status", json!(status));
        set("reason", json!(reason));
        set("message", json!(message));
        if pod.generation != 0 {
            set("observedGeneration", json!(pod.generation));
        }
        set("lastProbeTime", Value::Null);
        set("lastTransitionTime", json!(self.now()));
        c
    }

    async fn bind(&self, pod: &Arc<PodInfo>, node: &str) {
        let meta = json!({"namespace": &*pod.namespace, "name": &*pod.name, "uid": &*pod.uid});
        let target = json!({"kind": "Node", "name": node});
        let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target});
        let ns = Some(&*pod.namespace);
        match self.client.post_subresource::<Pod>(ns, &pod.name, "binding", &body).await {
            Ok(_) => {
                let m = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                self.event(pod, None, "Normal", ("Scheduled", "Binding"), &pod.scheduler, m);
                self.report(Report::Bound(pod.clone()));
            }
            Err(e) => {
                tracing::warn!(pod = %pod.name, namespace = %pod.namespace, node, "cannot bind: {e}");
                let why = format!("running Bind plugin \"DefaultBinder\": {e}");
                self.report(Report::BindFailed(pod.uid.clone(), why));
            }
        }
    }

    async fn bind_volumes(&self, pod: &PodInfo, plan: &VolumePlan) {
        // Others may want to know where the pod will be while its volumes are made.
        if pod.nominated != plan.node
            && let Err(e) = self.patch_status(pod, json!({"nominatedNodeName": plan.node})).await
        {
            tracing::debug!(pod = %pod.name, "cannot write the nominated node: {e}");
        }
        match self.write_volumes(plan).await {
            Ok(()) => self.report(Report::VolumesWritten(pod.uid.clone())),
            Err(e) => {
                let why = format!("{}{e}", scheduling::engine::PRE_BIND);
                self.report(Report::BindFailed(pod.uid.clone(), why));
            }
        }
    }
    async fn write_volumes(&self, plan: &VolumePlan) -> Result<(), String> {
        for (volume, key, uid) in &plan.bind {
            self.give_volume(volume, key, uid).await?;
        }
        for key in &plan.provision {
            let found = self.caches.claims.raw().get(&key.namespace, &key.name);
            let c = found.ok_or_else(|| format!("persistentvolumeclaim \"{}\" not found", key.name))?;
            let patch = json!({"metadata": {
                "uid": c.header.uid, "resourceVersion": c.resource_version.to_string(),
                "annotations": {SELECTED_NODE: plan.node}}});
            let (ns, kind) = (Some(&*key.namespace), PatchKind::Merge);
            let done = self.client.patch::<PersistentVolumeClaim>(ns, &key.name, "", kind, &patch).await;
            done.map_err(|e| e.to_string())?;
        }
        Ok(())
    }
    /// Makes a volume point to a claim; the volume controller does the rest.
    async fn give_volume(&self, name: &str, key: &ClaimKey, uid: &str) -> Result<(), String> {
        let found = self.caches.volumes.raw().get("", name);
        let raw = found.ok_or_else(|| format!("persistentvolume \"{name}\" not found"))?;
        let volume: PersistentVolume = raw.decode().map_err(|e| e.to_string())?;
        let claim = self.caches.claims.raw().get(&key.namespace, &key.name);
        let version = claim.map_or_else(String::new, |c| c.resource_version.to_string());
        let had = volume.spec.and_then(|s| s.claim_ref);
        // A volume that was made for the claim beforehand was not bound by a controller.
        let reserved = had.is_some_and(|r| {
            r.namespace.as_deref() == Some(&*key.namespace)
                && r.name.as_deref() == Some(&*key.name)
                && r.uid.is_none_or(|u| u.is_empty() || u == uid)
        });
        let mut meta = json!({"uid": raw.header.uid, "resourceVersion": raw.resource_version.to_string()});
        if !reserved {
            meta["annotations"] = json!({BOUND_BY_CONTROLLER: "yes"});
        }
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": &*key.namespace,
            "name": &*key.name, "uid": uid, "resourceVersion": version});
        let patch = json!({"metadata": meta, "spec": {"claimRef": claim}});
        let done = self.client.patch::<PersistentVolume>(None, name, "", PatchKind::Merge, &patch).await;
        done.map(drop).map_err(|e| e.to_string())
    }

    async fn fail(&self, f: Failed) {
        let pod = &*f.pod;
        let what = ("FailedScheduling", "Scheduling");
        self.event(pod, None, "Warning", what, &pod.scheduler, f.message.clone());
        let status = self.failed_status(&f);
        if !status.is_empty()
            && let Err(e) = self.patch_status(pod, Value::Object(status)).await
            && !e.is_not_found()
        {
            tracing::warn!(pod = %pod.name, namespace = %pod.namespace, "cannot update the pod: {e}");
        }
        if !f.victims.is_empty() {
            self.preempt(&f).await;
        }
    }
    /// What changes in the pod's status.
    fn failed_status(&self, f: &Failed) -> Map<String, Value> {
        let (pod, mut status) = (&f.pod, Map::new());
        let had = pod.scheduled_condition.as_ref();
        let same = |c: &scheduling::pod::Condition| {
            c.status == "False" && c.reason == f.reason && c.message == f.message
        };
        if !had.is_some_and(same) {
            let mut c = self.condition(pod, "PodScheduled", "False", f.reason, &f.message);
            if had.is_some_and(|c| c.status == "False" && c.transition.is_some()) {
                c.remove("lastTransitionTime");
            }
            status.insert("conditions".into(), json!([c]));
        }
        match f.nominate.as_deref() {
            // After an error the API may have a nomination that has not come back yet.
            Some("") if !pod.nominated.is_empty() || f.reason == "SchedulerError" => {
                status.insert("nominatedNodeName".into(), Value::Null);
            }
            Some(n) if n != pod.nominated => drop(status.insert("nominatedNodeName".into(), json!(n))),
            _ => {}
        }
        status
    }

    async fn preempt(&self, f: &Failed) {
        let pod = &f.pod;
        for p in &f.displaced {
            if let Err(e) = self.patch_status(p, json!({"nominatedNodeName": null})).await
                && !e.is_not_found()
            {
                tracing::warn!(pod = %p.name, "cannot clear the nominated node: {e}");
            }
        }
        let node = f.nominate.as_deref().unwrap_or_default();
        let mut victims: Vec<&Arc<PodInfo>> = f.victims.iter().filter(|v| !v.deleting).collect();
        let last = victims.pop();
        let mut ok = true;
        for some in victims.chunks(VICTIMS) {
            let all = some.iter().map(|v| self.remove(v, pod, node));
            ok &= futures::future::join_all(all).await.into_iter().all(|r| r);
        }
        // From here on the deletion of the last one may let the pod in.
        self.report(Report::NearlyPreempted(pod.uid.clone()));
        if let (Some(v), true) = (last, ok) {
            ok = self.remove(v, pod, node).await;
        }
        if !ok {
            self.report(Report::PreemptionFailed(pod.uid.clone()));
        }
    }
    /// Deletes a victim; `false` if nobody will hear of that.
    async fn remove(&self, victim: &PodInfo, preemptor: &PodInfo, node: &str) -> bool {
        let gone = |e: &Error| e.is_not_found() || e.is(Reason::Conflict) || e.is(Reason::Invalid);
        let failed = |e: &Error| {
            if !gone(e) {
                tracing::warn!(victim = %victim.name, "cannot preempt: {e}");
            }
            false
        };
        let message = format!("{}: preempting to accommodate a higher priority pod", preemptor.scheduler);
        let c = self.condition(victim, "DisruptionTarget", "True", "PreemptionByScheduler", &message);
        if let Err(e) = self.patch_status(victim, json!({"conditions": [c]})).await {
            return failed(&e);
        }
        let opts = DeleteOptions {
            preconditions: Some(Preconditions { uid: Some(victim.uid.to_string()), resource_version: None }),
            ..DeleteOptions::default()
        };
        let (ns, name) = (Some(&*victim.namespace), &*victim.name);
        if let Err(e) = retry(|| self.client.delete::<Pod>(ns, name, &opts)).await {
            return failed(&e);
        }
        let m = format!("Preempted by pod {} on node {node}", preemptor.uid);
        self.event(victim, Some(preemptor), "Normal", ("Preempted", "Preempting"), &preemptor.scheduler, m);
        true
    }
}
