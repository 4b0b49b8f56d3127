//! A worker's part of in-place resize: granting, and bringing containers to what was granted.

use super::{SECOND, Worker};
use crate::pod::helpers::{self, find_container, spec, uid};
use crate::pod::observe::State;
use crate::pod::qos;
use crate::pod::resize::{self, Verdict, Work};
use cri::v1 as rt;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use serde_json::json;
use std::sync::{Arc, PoisonError};

fn condition(kind: &str, reason: &str, message: &str, generation: Option<i64>) -> PodCondition {
    PodCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        message: (!message.is_empty()).then(|| message.to_owned()),
        observed_generation: generation,
        ..Default::default()
    }
}

fn message(what: &str, pod: &Pod) -> String {
    let list: Vec<_> = spec(pod)
        .containers
        .iter()
        .map(|c| json!({"name": c.name, "resources": c.resources.clone().unwrap_or_default()}))
        .collect();
    format!("{what}: {}", json!({"containers": list, "generation": pod.metadata.generation.unwrap_or(0)}))
}

impl Worker {
    /// Decides about new resources; what is granted is the pod from here on.
    pub(super) fn grant(&mut self) {
        let wish = self.rx.borrow().pod.clone();
        if self.granted.is_none() {
            self.granted = Some(self.remembered(&wish));
        }
        let Some(granted) = self.granted.clone() else { return };
        let others: Vec<Arc<Pod>> = self
            .k
            .entries()
            .iter()
            .filter(|e| !e.state.lock().unwrap_or_else(PoisonError::into_inner).stopped)
            .map(|e| e.pod())
            .filter(|p| uid(p) != self.uid)
            .collect();
        let generation = wish.metadata.generation;
        let pending = match resize::verdict(&wish, &granted, &others, &self.k.allocatable) {
            Verdict::Same => None,
            Verdict::Granted => {
                self.granted = Some(resize::wanted(&wish));
                self.k.recorder.pod(&wish, "Normal", "ResizeStarted", &message("Pod resize started", &wish));
                None
            }
            Verdict::Deferred(m) => Some(condition("PodResizePending", "Deferred", &m, generation)),
            Verdict::Infeasible(m) => Some(condition("PodResizePending", "Infeasible", &m, generation)),
        };
        let d = self.rx.borrow().clone();
        self.take_pod(&d);
        if let Some(p) = &pending
            && !self.resizing.iter().any(|c| c.type_ == p.type_ && c.reason == p.reason)
        {
            let reason = p.reason.as_deref().unwrap_or("");
            let m = format!("Pod resize {}: {}", reason.to_lowercase(), p.message.as_deref().unwrap_or(""));
            self.k.recorder.pod(&wish, "Warning", &format!("Resize{reason}"), &m);
        }
        let before = self.resizing.iter().any(|c| c.type_ == "PodResizeInProgress");
        let failed = self.resizing.iter().find(|c| c.reason.as_deref() == Some("Error")).cloned();
        let busy = !resize::work(&self.pod, &self.observed, &self.actual).is_empty();
        self.resizing = pending.into_iter().collect();
        if busy {
            let plain = condition("PodResizeInProgress", "", "", generation);
            self.resizing.push(failed.unwrap_or(plain));
        } else if before {
            let m = message("Pod resize completed", &self.pod);
            self.k.recorder.pod(&self.pod, "Normal", "ResizeCompleted", &m);
        }
        let alive: Vec<&str> = self.observed.instances.iter().map(|i| i.id.as_str()).collect();
        self.actual.retain(|id, _| alive.contains(&id.as_str()));
    }

    /// After a restart of the kubelet the reported status tells what was granted and what instances have.
    fn remembered(&mut self, wish: &Pod) -> resize::Allocated {
        let mut out = resize::wanted(wish);
        let reported = self.reported();
        let list =
            reported.container_statuses.iter().chain(reported.init_container_statuses.iter()).flatten();
        for s in list {
            let id = s.container_id.as_deref().and_then(|c| c.split_once("://")).map_or("", |c| c.1);
            let running = self.observed.instances.iter().any(|i| i.id == id && i.state == State::Running);
            let Some(r) = s.resources.clone().filter(|_| running) else { continue };
            let known = r.requests.is_some() || r.limits.is_some();
            if known && let Some(slot) = out.get_mut(&s.name) {
                *slot = r.clone();
            }
            self.actual.insert(id.to_owned(), r);
        }
        out
    }

    /// Updates running containers. `Ok(true)`: something changed.
    pub(super) async fn update_in_place(&mut self, w: &Work) -> Result<bool, i64> {
        if w.update.is_empty() {
            return Ok(false);
        }
        let k = self.k.clone();
        let mut failure = None;
        for (name, id) in &w.update {
            let Some(c) = find_container(spec(&self.pod), name) else { continue };
            let period = i64::try_from(k.cfg.cpu_cfs_period.as_micros()).unwrap_or(qos::QUOTA_PERIOD);
            let mut linux =
                qos::container_resources(&self.pod, &c, k.machine.memory, k.cfg.cpu_cfs_quota, period);
            if linux.cpu_quota == 0 {
                // Zero is "leave it"; no limit is -1.
                linux.cpu_quota = -1;
            }
            let req = rt::UpdateContainerResourcesRequest {
                container_id: id.clone(),
                linux: Some(linux),
                ..Default::default()
            };
            match k.cri.update_container_resources(req).await {
                Ok(_) => {
                    self.actual.insert(id.clone(), c.resources.clone().unwrap_or_default());
                }
                Err(e) => failure = Some(e.message),
            }
        }
        // A smaller pod after its containers.
        if let Err(e) = k.cgroups.ensure(&self.pod) {
            failure.get_or_insert(e.to_string());
        }
        let Some(m) = failure else { return Ok(true) };
        tracing::warn!(pod = helpers::key(&self.pod), error = m, "resizing failed, trying again");
        for c in self.resizing.iter_mut().filter(|c| c.type_ == "PodResizeInProgress") {
            if c.reason.is_none() {
                k.recorder.pod(&self.pod, "Warning", "ResizeError", &format!("Pod resize error: {m}"));
            }
            c.reason = Some("Error".into());
            c.message = Some(m.clone());
        }
        Err(k.now() + 5 * SECOND)
    }
}
