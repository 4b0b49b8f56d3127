//! Upstream's metrics of scheduling, in the text form of Prometheus.

use scheduling::{Decision, PodInfo};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A distribution over growing bounds.
#[derive(Debug, Default)]
struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    fn add(&mut self, bounds: &[f64], v: f64) {
        self.counts.resize(bounds.len(), 0);
        self.count += 1;
        self.sum += v;
        if let Some(i) = bounds.iter().position(|b| v <= *b) {
            self.counts[i] += 1;
        }
    }
    fn write(&self, out: &mut String, name: &str, labels: &str, bounds: &[f64]) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (i, b) in bounds.iter().enumerate() {
            total += self.counts.get(i).copied().unwrap_or(0);
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{b}\"}} {total}");
        }
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", self.count);
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(out, "{name}_sum{braces} {}", self.sum);
        let _ = writeln!(out, "{name}_count{braces} {}", self.count);
    }
}

#[derive(Debug, Default)]
struct State {
    leading: bool,
    /// By profile and result.
    attempts: BTreeMap<(String, &'static str), Histogram>,
    algorithm: Histogram,
    preemptions: u64,
    victims: Histogram,
    pending: (usize, usize, usize),
    /// When pods that are being bound were decided about (nanoseconds).
    began: HashMap<Arc<str>, i64>,
}

/// Cheap to share; counts from the start of the process.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<State>);

fn seconds(nanos: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a measurement")]
    let n = nanos as f64;
    n / 1e9
}

/// `count` bounds, each `factor` times the one before.
fn bounds(first: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(first), |b| Some(b * factor)).take(count).collect()
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn leading(&self, on: bool) {
        let mut s = self.lock();
        s.leading = on;
        s.began.clear();
    }
    /// How many pods wait: in line, in backoff, aside.
    pub fn queue(&self, sizes: (usize, usize, usize)) {
        self.lock().pending = sizes;
    }
    /// A decision was made between two times (nanoseconds).
    pub fn decided(&self, d: &Decision, began: i64, ended: i64) {
        let mut s = self.lock();
        let took = seconds(ended.saturating_sub(began));
        match d {
            Decision::Bind { pod, .. } | Decision::BindVolumes { pod, .. } => {
                // A pod whose volumes had to be bound first comes twice.
                s.began.entry(pod.uid.clone()).or_insert(began);
            }
            Decision::Failed(f) => {
                s.began.remove(&f.pod.uid);
                let result = if f.reason == "Unschedulable" { "unschedulable" } else { "error" };
                let key = (f.pod.scheduler.clone(), result);
                s.attempts.entry(key).or_default().add(&bounds(0.001, 2.0, 15), took);
                if !f.victims.is_empty() {
                    s.preemptions += 1;
                    #[allow(clippy::cast_precision_loss, reason = "a measurement")]
                    s.victims.add(&bounds(1.0, 2.0, 7), f.victims.len() as f64);
                }
            }
            Decision::Deleting { .. } => return,
        }
        s.algorithm.add(&bounds(0.001, 2.0, 15), took);
    }
    pub fn bound(&self, pod: &PodInfo, now: i64) {
        let mut s = self.lock();
        let Some(began) = s.began.remove(&pod.uid) else { return };
        let key = (pod.scheduler.clone(), "scheduled");
        s.attempts.entry(key).or_default().add(&bounds(0.001, 2.0, 15), seconds(now.saturating_sub(began)));
    }
    pub fn text(&self) -> String {
        let s = self.lock();
        let mut out = String::new();
        let head = |out: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        let slow = bounds(0.001, 2.0, 15);
        let name = "scheduler_schedule_attempts_total";
        head(&mut out, name, "counter", "Attempts to schedule pods, by result.");
        for ((profile, result), h) in &s.attempts {
            let _ = writeln!(out, "{name}{{profile=\"{profile}\",result=\"{result}\"}} {}", h.count);
        }
        let name = "scheduler_scheduling_attempt_duration_seconds";
        head(&mut out, name, "histogram", "From the beginning of an attempt to its failure or the binding.");
        for ((profile, result), h) in &s.attempts {
            h.write(&mut out, name, &format!("profile=\"{profile}\",result=\"{result}\""), &slow);
        }
        let name = "scheduler_scheduling_algorithm_duration_seconds";
        head(&mut out, name, "histogram", "How long deciding took.");
        s.algorithm.write(&mut out, name, "", &slow);
        let name = "scheduler_preemption_attempts_total";
        head(&mut out, name, "counter", "Preemptions begun.");
        let _ = writeln!(out, "{name} {}", s.preemptions);
        let name = "scheduler_preemption_victims";
        head(&mut out, name, "histogram", "Victims of a preemption.");
        s.victims.write(&mut out, name, "", &bounds(1.0, 2.0, 7));
        let name = "scheduler_pending_pods";
        head(&mut out, name, "gauge", "Pods that wait, by queue.");
        let (active, backoff, aside) = s.pending;
        for (queue, n) in [("active", active), ("backoff", backoff), ("unschedulable", aside)] {
            let _ = writeln!(out, "{name}{{queue=\"{queue}\"}} {n}");
        }
        let name = "leader_election_master_status";
        head(&mut out, name, "gauge", "Whether this process leads.");
        let _ = writeln!(out, "{name}{{name=\"kube-scheduler\"}} {}", u8::from(s.leading));
        out
    }
}
