//! What ReplicaSets and ReplicationControllers have in common.

use crate::k8s::Time;
use crate::k8s::apps::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use crate::k8s::core::{
    PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use crate::util::meta::{map_selector, selector};
use client::Kind;
use meta::selector::Selector;

/// The status of either kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub replicas: i32,
    pub fully_labeled: i32,
    pub ready: i32,
    pub available: i32,
    pub terminating: Option<i32>,
    pub observed: i64,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub kind: String,
    pub status: String,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub since: Option<Time>,
}

pub trait Set: Kind {
    fn replicas(&self) -> i32;
    fn min_ready(&self) -> i32;
    fn selector(&self) -> Result<Selector, String>;
    fn template(&self) -> Option<&PodTemplateSpec>;
    fn status(&self) -> Status;
    /// Whether the kind's status counts terminating pods.
    const TERMINATING: bool;
    /// A copy with another status; `None` when it is the one it has.
    fn with_status(&self, s: &Status) -> Option<Self>;
}

impl Set for ReplicaSet {
    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }
    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }
    fn selector(&self) -> Result<Selector, String> {
        selector(Some(&self.spec.selector))
    }
    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.template.as_ref()
    }
    const TERMINATING: bool = true;
    fn status(&self) -> Status {
        let s = self.status.clone().unwrap_or_default();
        Status {
            replicas: s.replicas,
            fully_labeled: s.fully_labeled_replicas.unwrap_or(0),
            ready: s.ready_replicas.unwrap_or(0),
            available: s.available_replicas.unwrap_or(0),
            terminating: s.terminating_replicas,
            observed: s.observed_generation.unwrap_or(0),
            conditions: s
                .conditions
                .into_iter()
                .flatten()
                .map(|c| Condition {
                    kind: c.type_.unwrap_or_default(),
                    status: c.status.unwrap_or_default(),
                    reason: c.reason,
                    message: c.message,
                    since: c.last_transition_time,
                })
                .collect(),
        }
    }
    fn with_status(&self, s: &Status) -> Option<Self> {
        if *s == Set::status(self) {
            return None;
        }
        let conditions: Vec<_> = s
            .conditions
            .iter()
            .map(|c| ReplicaSetCondition {
                type_: Some(c.kind.clone()),
                status: Some(c.status.clone()),
                reason: c.reason.clone(),
                message: c.message.clone(),
                last_transition_time: c.since.clone(),
            })
            .collect();
        let mut new = self.clone();
        new.status = Some(ReplicaSetStatus {
            replicas: s.replicas,
            fully_labeled_replicas: Some(s.fully_labeled),
            ready_replicas: Some(s.ready),
            available_replicas: Some(s.available),
            terminating_replicas: s.terminating,
            observed_generation: Some(s.observed),
            conditions: (!conditions.is_empty()).then_some(conditions),
        });
        Some(new)
    }
}

impl Set for ReplicationController {
    fn replicas(&self) -> i32 {
        self.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
    }
    fn min_ready(&self) -> i32 {
        self.spec.as_ref().and_then(|s| s.min_ready_seconds).unwrap_or(0)
    }
    fn selector(&self) -> Result<Selector, String> {
        let s = self.spec.as_ref().and_then(|s| s.selector.as_ref());
        Ok(s.map_or(Selector { nothing: true, ..Selector::default() }, map_selector))
    }
    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }
    const TERMINATING: bool = false;
    fn status(&self) -> Status {
        let s = self.status.clone().unwrap_or_default();
        Status {
            replicas: s.replicas,
            fully_labeled: s.fully_labeled_replicas.unwrap_or(0),
            ready: s.ready_replicas.unwrap_or(0),
            available: s.available_replicas.unwrap_or(0),
            terminating: None,
            observed: s.observed_generation.unwrap_or(0),
            conditions: s
                .conditions
                .into_iter()
                .flatten()
                .map(|c| Condition {
                    kind: c.type_,
                    status: c.status,
                    reason: c.reason,
                    message: c.message,
                    since: c.last_transition_time,
                })
                .collect(),
        }
    }
    fn with_status(&self, s: &Status) -> Option<Self> {
        if *s == Set::status(self) {
            return None;
        }
        let conditions: Vec<_> = s
            .conditions
            .iter()
            .map(|c| ReplicationControllerCondition {
                type_: c.kind.clone(),
                status: c.status.clone(),
                reason: c.reason.clone(),
                message: c.message.clone(),
                last_transition_time: c.since.clone(),
            })
            .collect();
        let mut new = self.clone();
        new.status = Some(ReplicationControllerStatus {
            replicas: s.replicas,
            fully_labeled_replicas: Some(s.fully_labeled),
            ready_replicas: Some(s.ready),
            available_replicas: Some(s.available),
            observed_generation: Some(s.observed),
            conditions: (!conditions.is_empty()).then_some(conditions),
        });
        Some(new)
    }
}
