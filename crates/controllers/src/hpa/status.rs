//! The status of an autoscaler as it is put together.

use crate::k8s::Timestamp;
use crate::k8s::autoscaling::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerSpec,
    HorizontalPodAutoscalerStatus, MetricStatus,
};
use crate::util::meta::{MetaExt, whole};

pub struct Status {
    new: HorizontalPodAutoscalerStatus,
    generation: i64,
    now: Timestamp,
}

/// Whether a metric does not need pods to be measured.
pub fn scales_to_zero(spec: &HorizontalPodAutoscalerSpec) -> bool {
    spec.metrics.iter().flatten().any(|m| matches!(m.type_.as_str(), "Object" | "External"))
}

impl Status {
    pub fn of(hpa: &HorizontalPodAutoscaler, now: Timestamp) -> Self {
        Self { new: hpa.status.clone().unwrap_or_default(), generation: hpa.generation(), now }
    }
    pub fn condition(&mut self, kind: &str, status: bool, reason: &str, message: impl Into<String>) {
        let list = self.new.conditions.get_or_insert_default();
        let status = if status { "True" } else { "False" };
        let at = list.iter().position(|c| c.type_ == kind).unwrap_or_else(|| {
            list.push(HorizontalPodAutoscalerCondition { type_: kind.into(), ..Default::default() });
            list.len() - 1
        });
        let c = &mut list[at];
        if c.status != status {
            c.last_transition_time = Some(whole(self.now));
        }
        c.status = status.into();
        c.reason = Some(reason.into());
        c.message = Some(message.into());
    }
    pub fn is_scaled_to_zero(&self) -> bool {
        self.new.conditions.iter().flatten().any(|c| c.type_ == "ScaledToZero" && c.status == "True")
    }
    /// What was last wanted.
    pub fn desired(&self) -> i32 {
        self.new.desired_replicas
    }
    pub fn counts(&mut self, current: i32, desired: i32, metrics: Vec<MetricStatus>, rescaled: bool) {
        self.new.current_replicas = Some(current).filter(|c| *c != 0);
        self.new.desired_replicas = desired;
        self.new.current_metrics = (!metrics.is_empty()).then_some(metrics);
        self.new.observed_generation = Some(self.generation);
        if rescaled {
            self.new.last_scale_time = Some(whole(self.now));
        }
    }
    /// The autoscaler with this status, unless it has it.
    pub fn changed(self, hpa: &HorizontalPodAutoscaler) -> Option<HorizontalPodAutoscaler> {
        if hpa.status.as_ref() == Some(&self.new) {
            return None;
        }
        Some(HorizontalPodAutoscaler { status: Some(self.new), ..hpa.clone() })
    }
}
