//! Sends pod statuses to the API server, and deletes pods that are done (upstream `pkg/kubelet/status`).
//!
//! A worker sets a pod's status; the newest is what is sent. Terminal phases wait until no container can run. A pod that
//! is being deleted goes, with grace 0, once its end has been reported.

use crate::pod::helpers::{self, is_deleted, is_static, is_terminal, namespace, uid};
use crate::pod::status::settle_terminal;
use client::{Client, PatchKind};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Containers run or may run.
    Alive,
    /// No container can run any more.
    Stopped,
    /// Volumes and cgroups are gone too: the pod may be deleted.
    Finished,
}

struct Entry {
    /// The pod's newest object; for a static pod its mirror, when there is one.
    api: Option<Arc<Pod>>,
    status: PodStatus,
    stage: Stage,
    version: u64,
    sent: u64,
    /// The phase that the API server has.
    api_phase: String,
    deleted: bool,
}

#[derive(Default)]
struct Entries(HashMap<String, Entry>);

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct StatusManager(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entries: Mutex<Entries>,
    woken: Notify,
}

/// One thing to do for one pod.
#[derive(Debug, Clone, PartialEq)]
enum Work {
    Patch { pod: Arc<Pod>, version: u64, body: Value },
    Delete { pod: Arc<Pod> },
}

impl StatusManager {
    fn with<T>(&self, f: impl FnOnce(&mut Entries) -> T) -> T {
        f(&mut self.0.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The status set last.
    pub fn get(&self, uid: &str) -> Option<PodStatus> {
        self.with(|e| e.0.get(uid).map(|e| e.status.clone()))
    }

    /// A pod's new status.
    pub fn set(&self, pod: &Arc<Pod>, status: PodStatus, stage: Stage) {
        let news = self.with(|e| {
            let entry = e.0.entry(uid(pod).to_owned()).or_insert_with(|| Entry {
                api: (!is_static(pod)).then(|| pod.clone()),
                status: PodStatus::default(),
                stage: Stage::Alive,
                version: 0,
                sent: 0,
                api_phase: helpers::phase(pod).to_owned(),
                deleted: false,
            });
            let stage = stage.max(entry.stage);
            if entry.version > 0 && entry.status == status && entry.stage == stage {
                return false;
            }
            // What the API server has already need not be sent.
            let same = entry.version == 0
                && entry.api.as_ref().is_some_and(|a| a.status.as_ref().is_some_and(|s| covers(s, &status)));
            entry.status = status;
            entry.stage = stage;
            entry.version += 1;
            if same {
                entry.sent = entry.version;
            }
            true
        });
        if news {
            self.0.woken.notify_one();
        }
    }

    /// The pod's object (a mirror, for a static pod's uid) as the API server has it now.
    pub fn observe(&self, for_uid: &str, api: &Arc<Pod>) {
        let news = self.with(|e| {
            let Some(entry) = e.0.get_mut(for_uid) else { return false };
            let other = entry.api.as_ref().is_none_or(|a| uid(a) != uid(api));
            entry.api = Some(api.clone());
            helpers::phase(api).clone_into(&mut entry.api_phase);
            // Somebody else wrote over it, or the mirror is another object: send again.
            let reverted = entry.sent == entry.version
                && entry.version > 0
                && !api.status.as_ref().is_some_and(|s| covers(s, &sendable(entry)));
            if other || reverted {
                entry.sent = entry.version.saturating_sub(1);
            }
            other || reverted || is_deleted(api)
        });
        if news {
            self.0.woken.notify_one();
        }
    }

    pub fn remove(&self, uid: &str) {
        self.with(|e| e.0.remove(uid));
    }

    /// What is to be done now.
    fn work(&self) -> Vec<(String, Work)> {
        self.with(|e| {
            let mut out = vec![];
            for (key, entry) in &e.0 {
                let Some(api) = &entry.api else { continue };
                if entry.deleted {
                    continue;
                }
                if entry.sent < entry.version {
                    let body = patch(api, &sendable(entry));
                    out.push((key.clone(), Work::Patch { pod: api.clone(), version: entry.version, body }));
                } else if entry.stage == Stage::Finished
                    && is_deleted(api)
                    && !helpers::is_mirror(api)
                    && is_terminal(&entry.api_phase)
                {
                    out.push((key.clone(), Work::Delete { pod: api.clone() }));
                }
            }
            out
        })
    }

    /// Sends until the runtime stops.
    pub async fn run(self, client: Client, rt: runtime::Runtime) {
        let mut failures: u32 = 0;
        loop {
            let work = self.work();
            if work.is_empty() {
                tokio::select! { () = self.0.woken.notified() => {}, () = rt.stopping() => return }
                continue;
            }
            let failed = futures::stream::iter(work)
                .map(|(key, w)| {
                    let (this, client) = (&self, &client);
                    async move { this.one(client, &key, w).await }
                })
                .buffer_unordered(8)
                .filter(|ok| futures::future::ready(!*ok))
                .count()
                .await;
            if failed == 0 {
                failures = 0;
                continue;
            }
            failures = (failures + 1).min(6);
            let wait = Duration::from_millis(200 * (1 << failures));
            tokio::select! { () = tokio::time::sleep(wait) => {}, () = rt.stopping() => return }
        }
    }

    /// Answers whether it is done, well or not to be tried again.
    async fn one(&self, client: &Client, key: &str, w: Work) -> bool {
        match w {
            Work::Patch { pod, version, body } => {
                let r = client
                    .patch::<Pod>(
                        Some(namespace(&pod)),
                        helpers::name(&pod),
                        "status",
                        PatchKind::Strategic,
                        &body,
                    )
                    .await;
                match r {
                    Ok(new) => {
                        self.with(|e| {
                            if let Some(entry) = e.0.get_mut(key) {
                                entry.sent = entry.sent.max(version);
                                helpers::phase(&new).clone_into(&mut entry.api_phase);
                            }
                        });
                        true
                    }
                    Err(e) if e.is_not_found() || e.is_conflict() => {
                        // The pod is gone, or another one has its name.
                        tracing::debug!(pod = helpers::key(&pod), error = %e, "status not wanted any more");
                        self.with(|e| {
                            if let Some(entry) = e.0.get_mut(key) {
                                entry.sent = entry.sent.max(version);
                            }
                        });
                        true
                    }
                    Err(e) => {
                        tracing::warn!(pod = helpers::key(&pod), error = %e, "sending the status failed, trying again");
                        false
                    }
                }
            }
            Work::Delete { pod } => {
                let opts = DeleteOptions {
                    grace_period_seconds: Some(0),
                    preconditions: Some(Preconditions {
                        uid: pod.metadata.uid.clone(),
                        ..Default::default()
                    }),
                    ..Default::default()
                };
                match client.delete::<Pod>(Some(namespace(&pod)), helpers::name(&pod), &opts).await {
                    Ok(()) => {}
                    Err(e) if e.is_not_found() || e.is_conflict() => {}
                    Err(e) => {
                        tracing::warn!(pod = helpers::key(&pod), error = %e, "deleting the finished pod failed, trying again");
                        return false;
                    }
                }
                self.with(|e| {
                    if let Some(entry) = e.0.get_mut(key) {
                        entry.deleted = true;
                    }
                });
                true
            }
        }
    }
}

/// The status as it may be told now: no terminal phase while a container can run.
fn sendable(e: &Entry) -> PodStatus {
    let mut s = e.status.clone();
    let phase = s.phase.as_deref().unwrap_or("");
    if is_terminal(phase) && !is_terminal(&e.api_phase) && e.stage == Stage::Alive {
        let old = e.api.as_ref().and_then(|a| a.status.as_ref());
        s.phase = old.and_then(|o| o.phase.clone()).or_else(|| Some("Running".into()));
        s.reason = old.and_then(|o| o.reason.clone());
        s.message = old.and_then(|o| o.message.clone());
        if let Some(c) = s.conditions.as_mut() {
            c.retain(|c| c.type_ != "DisruptionTarget");
        }
    } else {
        settle_terminal(&mut s);
    }
    s
}

/// Whether the API server's status has everything of ours that matters.
fn covers(api: &PodStatus, ours: &PodStatus) -> bool {
    let conditions = ours.conditions.iter().flatten().all(|c| {
        api.conditions.iter().flatten().any(|a| {
            a.type_ == c.type_
                && a.status == c.status
                && a.reason.as_deref().unwrap_or("") == c.reason.as_deref().unwrap_or("")
                && a.message.as_deref().unwrap_or("") == c.message.as_deref().unwrap_or("")
                && (c.observed_generation.is_none() || a.observed_generation == c.observed_generation)
        })
    });
    let stale = api.conditions.iter().flatten().any(|a| {
        a.type_.starts_with("PodResize") && !ours.conditions.iter().flatten().any(|c| c.type_ == a.type_)
    });
    let text = |v: &Option<String>| v.clone().unwrap_or_default();
    conditions
        && !stale
        && text(&api.phase) == text(&ours.phase)
        && text(&api.reason) == text(&ours.reason)
        && text(&api.message) == text(&ours.message)
        && text(&api.pod_ip) == text(&ours.pod_ip)
        && text(&api.host_ip) == text(&ours.host_ip)
        && lists_equal(&api.container_statuses, &ours.container_statuses)
        && lists_equal(&api.init_container_statuses, &ours.init_container_statuses)
        && lists_equal(&api.ephemeral_container_statuses, &ours.ephemeral_container_statuses)
        && api.observed_generation == ours.observed_generation
}

type Statuses = Option<Vec<k8s_openapi::api::core::v1::ContainerStatus>>;

/// Equal in what a reader of the API sees; empty and missing are the same.
fn lists_equal(a: &Statuses, b: &Statuses) -> bool {
    let norm = |s: &Statuses| {
        let mut v = serde_json::to_value(s.as_deref().unwrap_or(&[])).unwrap_or_default();
        prune(&mut v);
        v
    };
    norm(a) == norm(b)
}

fn prune(v: &mut Value) {
    match v {
        Value::Object(m) => {
            m.values_mut().for_each(prune);
            m.retain(|_, v| {
                !(v.is_null()
                    || v.as_object().is_some_and(serde_json::Map::is_empty)
                    || v.as_array().is_some_and(Vec::is_empty))
            });
        }
        Value::Array(a) => a.iter_mut().for_each(prune),
        _ => {}
    }
}

/// A strategic merge patch that makes the pod's status ours, leaving others' conditions alone.
fn patch(api: &Pod, s: &PodStatus) -> Value {
    let mut status = serde_json::to_value(s).unwrap_or_default();
    let old = api.status.as_ref().and_then(|o| serde_json::to_value(o).ok()).unwrap_or_default();
    if let Some(m) = status.as_object_mut() {
        for k in [
            "reason",
            "message",
            "podIP",
            "podIPs",
            "containerStatuses",
            "initContainerStatuses",
            "ephemeralContainerStatuses",
        ] {
            if !m.contains_key(k) && old.get(k).is_some() {
                m.insert(k.into(), Value::Null);
            }
        }
        // Lists of addresses merge by address: replace those that changed.
        for k in ["podIPs", "hostIPs"] {
            let before = old.get(k).and_then(Value::as_array).is_some_and(|a| !a.is_empty());
            if before
                && old.get(k) != m.get(k)
                && let Some(Value::Array(a)) = m.get_mut(k)
            {
                a.insert(0, json!({"$patch": "replace"}));
            }
        }
        for k in ["resourceClaimStatuses", "nominatedNodeName", "extendedResourceClaimStatus"] {
            m.remove(k);
        }
        if let Some(Value::Array(list)) = m.get_mut("conditions") {
            list.retain(|c| {
                let kind = c.get("type").and_then(Value::as_str).unwrap_or("");
                crate::pod::status::OWN_CONDITIONS.contains(&kind) || kind == "DisruptionTarget"
            });
            // A resize that is over leaves no condition behind.
            for kind in ["PodResizePending", "PodResizeInProgress"] {
                let had =
                    api.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.type_ == kind);
                if had && !list.iter().any(|c| c.get("type").and_then(Value::as_str) == Some(kind)) {
                    list.push(json!({"$patch": "delete", "type": kind}));
                }
            }
            for c in list.iter_mut().filter(|c| c.get("$patch").is_none()) {
                // A reason that is gone must not stay.
                if let Some(c) = c.as_object_mut() {
                    for k in ["reason", "message"] {
                        c.entry(k).or_insert(Value::Null);
                    }
                }
            }
        }
    }
    json!({"metadata": {"uid": uid(api)}, "status": status})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;

    fn status(phase: &str) -> PodStatus {
        PodStatus { phase: Some(phase.into()), ..Default::default() }
    }

    fn show(m: &StatusManager) -> Vec<String> {
        m.work()
            .into_iter()
            .map(|(k, w)| match w {
                Work::Patch { body, .. } => format!("patch {k} {}", body["status"]["phase"]),
                Work::Delete { .. } => format!("delete {k}"),
            })
            .collect()
    }

    #[test]
    fn terminal_phases_wait_and_deletion_comes_last() {
        let m = StatusManager::default();
        let mut p = pod(json!({"containers": []}));
        p.status = Some(status("Running"));
        p.metadata.deletion_timestamp = Some(helpers::time(1));
        let p = Arc::new(p);
        m.set(&p, status("Succeeded"), Stage::Alive);
        assert_eq!(show(&m), [r#"patch u "Running""#], "a container could still run");
        m.set(&p, status("Succeeded"), Stage::Stopped);
        assert_eq!(show(&m), [r#"patch u "Succeeded""#]);
        m.set(&p, status("Succeeded"), Stage::Finished);
        assert_eq!(show(&m), [r#"patch u "Succeeded""#], "not deleted before the end is known");
        m.with(|e| {
            let x = e.0.get_mut("u").unwrap();
            x.sent = x.version;
            x.api_phase = "Succeeded".into();
        });
        assert_eq!(show(&m), ["delete u"]);
    }

    #[test]
    fn same_status_is_not_sent_again() {
        let m = StatusManager::default();
        let mut p = pod(json!({"containers": []}));
        p.status = Some(status("Running"));
        let p = Arc::new(p);
        m.set(&p, status("Running"), Stage::Alive);
        assert!(show(&m).is_empty(), "the API server has it");
        m.set(&p, status("Pending"), Stage::Alive);
        assert_eq!(show(&m).len(), 1);
        m.with(|e| e.0.get_mut("u").unwrap().sent = 2);
        let mut other = (*p).clone();
        other.status = Some(status("Running"));
        m.observe("u", &Arc::new(other));
        assert_eq!(show(&m), [r#"patch u "Pending""#], "somebody wrote over it");
    }

    #[test]
    fn patches_remove_what_is_gone() {
        let mut p = pod(json!({"containers": []}));
        p.status =
            serde_json::from_value(json!({"phase": "Running", "reason": "x", "podIPs": [{"ip": "1"}]}))
                .unwrap();
        let s: PodStatus = serde_json::from_value(json!({"phase": "Running", "podIPs": [{"ip": "2"}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "example.com/x", "status": "True"}]}))
        .unwrap();
        assert_eq!(
            patch(&p, &s),
            json!({"metadata": {"uid": "u"}, "status": {"phase": "Running", "reason": null,
                "podIPs": [{"$patch": "replace"}, {"ip": "2"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": null, "message": null}]}})
        );
    }
}
