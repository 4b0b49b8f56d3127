//! `SchedulingGates`: a pod with gates does not wait in line.

use crate::cluster::Cluster;
use crate::event::Event;
use crate::framework::Plugin;
use crate::pod::PodInfo;

pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }
    fn pre_enqueue(&self, pod: &PodInfo) -> Result<(), String> {
        if pod.gates.is_empty() {
            return Ok(());
        }
        Err(format!("waiting for scheduling gates: [{}]", pod.gates.join(" ")))
    }
    fn wants(&self, event: &Event<'_>, _pod: &PodInfo, _cluster: &Cluster) -> bool {
        matches!(event, Event::Target { change, .. } if change.gates_gone)
    }
}
