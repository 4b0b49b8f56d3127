//! Use of processor, memory and disk: `/stats/summary`, `/metrics/resource`, `/metrics/cadvisor`, from the runtime's
//! statistics and the pods' cgroups.

use super::metrics::{head, label};
use crate::gc;
use crate::kubelet::{Entry, Kubelet};
use crate::node::machine;
use crate::pod::helpers::{self, namespace, uid};
use crate::pod::observe::{LABEL_POD_UID, State};
use cri::v1 as rt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Rates from one look to the next.
#[derive(Default)]
pub struct Rates(Mutex<HashMap<String, (u64, i64, u64)>>);

impl Rates {
    /// Nanocores since the last look at least a second ago.
    fn rate(&self, key: &str, cpu: u64, now: i64) -> Option<u64> {
        let mut m = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if m.len() > 10_000 {
            m.clear();
        }
        let Some((old, at, rate)) = m.get(key).copied() else {
            m.insert(key.to_owned(), (cpu, now, 0));
            return None;
        };
        let elapsed = u64::try_from(now - at).unwrap_or(0);
        if elapsed < 1_000_000_000 {
            return Some(rate);
        }
        let used = u128::from(cpu.saturating_sub(old));
        let rate = u64::try_from(used * 1_000_000_000 / u128::from(elapsed)).unwrap_or(0);
        m.insert(key.to_owned(), (cpu, now, rate));
        Some(rate)
    }
}

async fn containers(k: &Kubelet) -> HashMap<String, Vec<rt::ContainerStats>> {
    let mut out: HashMap<String, Vec<rt::ContainerStats>> = HashMap::new();
    if let Ok(r) = k.cri.list_container_stats(rt::ListContainerStatsRequest::default()).await {
        for s in r.stats {
            let id = s.attributes.as_ref().and_then(|a| a.labels.get(LABEL_POD_UID)).cloned();
            if let Some(id) = id {
                out.entry(id).or_default().push(s);
            }
        }
    }
    out
}

fn time(n: i64) -> Value {
    json!(helpers::time(n).0.to_string())
}

fn cpu(s: &rt::ContainerStats) -> u64 {
    s.cpu.as_ref().and_then(|c| c.usage_core_nano_seconds).map_or(0, |v| v.value)
}
fn memory(s: &rt::ContainerStats) -> u64 {
    s.memory.as_ref().and_then(|m| m.working_set_bytes).map_or(0, |v| v.value)
}

fn cpu_json(total: u64, rate: Option<u64>, now: i64) -> Value {
    json!({"time": time(now), "usageNanoCores": rate.unwrap_or(0), "usageCoreNanoSeconds": total})
}

fn disk_json(d: &machine::Disk, now: i64) -> Value {
    json!({
        "time": time(now), "availableBytes": d.available, "capacityBytes": d.capacity,
        "usedBytes": d.capacity - d.available, "inodesFree": d.inodes_free, "inodes": d.inodes,
        "inodesUsed": d.inodes - d.inodes_free,
    })
}

/// A pod's processor time and memory: its cgroup's, else the sum of its containers.
fn pod_usage(k: &Kubelet, e: &Entry, list: &[rt::ContainerStats]) -> (u64, u64) {
    k.cgroups.usage(&e.pod()).unwrap_or_else(|| (list.iter().map(cpu).sum(), list.iter().map(memory).sum()))
}

pub async fn summary(k: &Arc<Kubelet>, rates: &Rates, only_cpu_and_memory: bool) -> Value {
    let now = k.now();
    let mut all = containers(k).await;
    let (node_cpu, node_memory) = k.cgroups.root_usage().unwrap_or((0, 0));
    let memory_json = |used: u64, whole: i64| {
        let available = whole - i64::try_from(used).unwrap_or(whole);
        json!({"time": time(now), "availableBytes": available.max(0), "usageBytes": used, "workingSetBytes": used})
    };
    let mut node = json!({
        "nodeName": k.cfg.node_name, "startTime": time(k.start_time),
        "cpu": cpu_json(node_cpu, rates.rate("node", node_cpu, now), now),
        "memory": memory_json(node_memory, k.machine.memory),
    });
    let root = machine::disk(&k.cfg.root_dir);
    if !only_cpu_and_memory {
        if let Some(d) = &root {
            node["fs"] = disk_json(d, now);
        }
        if let Some(d) = gc::image_disk(k).await {
            node["runtime"] = json!({"imageFs": disk_json(&d, now), "containerFs": disk_json(&d, now)});
        }
    }
    let mut pods = vec![];
    for e in k.entries() {
        let p = e.pod();
        let state = e.state();
        if !state.observed.is_alive() {
            continue;
        }
        let list = all.remove(uid(&p)).unwrap_or_default();
        let mut items = vec![];
        let mut used_bytes = 0;
        for s in &list {
            let Some(a) = &s.attributes else { continue };
            let Some(i) = state.observed.instances.iter().find(|i| i.id == a.id && i.state == State::Running)
            else {
                continue;
            };
            let c = cpu(s);
            let writable = s.writable_layer.as_ref();
            let fs_used = writable.and_then(|w| w.used_bytes).map_or(0, |v| v.value);
            let logs = std::fs::metadata(&i.log_path).map_or(0, |m| m.len());
            used_bytes += fs_used + logs;
            let mut one = json!({
                "name": i.name, "startTime": time(i.started),
                "cpu": cpu_json(c, rates.rate(&i.id, c, now), now),
                "memory": {"time": time(now), "workingSetBytes": memory(s), "usageBytes": memory(s)},
            });
            if !only_cpu_and_memory {
                one["rootfs"] = json!({"time": time(now), "usedBytes": fs_used,
                    "inodesUsed": writable.and_then(|w| w.inodes_used).map_or(0, |v| v.value),
                    "capacityBytes": root.map_or(0, |d| d.capacity), "availableBytes": root.map_or(0, |d| d.available)});
                one["logs"] = json!({"time": time(now), "usedBytes": logs,
                    "capacityBytes": root.map_or(0, |d| d.capacity), "availableBytes": root.map_or(0, |d| d.available)});
            }
            items.push(one);
        }
        let (pod_cpu, pod_memory) = pod_usage(k, &e, &list);
        let start = k.status.get(uid(&p)).and_then(|s| s.start_time).map_or(now, |t| helpers::time_nanos(&t));
        let mut pod = json!({
            "podRef": {"name": helpers::name(&p), "namespace": namespace(&p), "uid": uid(&p)},
            "startTime": time(start),
            "containers": items,
            "cpu": cpu_json(pod_cpu, rates.rate(uid(&p), pod_cpu, now), now),
            "memory": {"time": time(now), "workingSetBytes": pod_memory, "usageBytes": pod_memory},
        });
        if !only_cpu_and_memory {
            pod["ephemeral-storage"] = json!({"time": time(now), "usedBytes": used_bytes,
                "capacityBytes": root.map_or(0, |d| d.capacity), "availableBytes": root.map_or(0, |d| d.available)});
        }
        pods.push(pod);
    }
    json!({"node": node, "pods": pods})
}

struct Sample {
    container: String,
    pod: String,
    namespace: String,
    id: String,
    image: String,
    cpu: u64,
    memory: u64,
    started: i64,
}

async fn samples(k: &Kubelet) -> (Vec<Sample>, Vec<(String, String, u64, u64)>) {
    let mut all = containers(k).await;
    let (mut out, mut pods) = (vec![], vec![]);
    let mut entries = k.entries();
    entries.sort_by_key(|e| helpers::key(&e.pod()));
    for e in entries {
        let p = e.pod();
        let list = all.remove(uid(&p)).unwrap_or_default();
        let state = e.state();
        if !state.observed.is_alive() {
            continue;
        }
        for s in &list {
            let Some(a) = &s.attributes else { continue };
            let Some(i) = state.observed.instances.iter().find(|i| i.id == a.id && i.state == State::Running)
            else {
                continue;
            };
            out.push(Sample {
                container: i.name.clone(),
                pod: helpers::name(&p).to_owned(),
                namespace: namespace(&p).to_owned(),
                id: i.id.clone(),
                image: i.image.clone(),
                cpu: cpu(s),
                memory: memory(s),
                started: i.started,
            });
        }
        let (c, m) = pod_usage(k, &e, &list);
        pods.push((namespace(&p).to_owned(), helpers::name(&p).to_owned(), c, m));
    }
    (out, pods)
}

#[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[allow(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn unix(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

/// What metrics-server reads.
pub async fn resource_metrics(k: &Kubelet) -> String {
    let (list, pods) = samples(k).await;
    let ms = k.now() / 1_000_000;
    let mut out = String::new();
    let labels = |s: &Sample| {
        format!(
            "container=\"{}\",namespace=\"{}\",pod=\"{}\"",
            label(&s.container),
            label(&s.namespace),
            label(&s.pod)
        )
    };
    head(
        &mut out,
        "container_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
    );
    for s in &list {
        let _ = writeln!(out, "container_cpu_usage_seconds_total{{{}}} {} {ms}", labels(s), seconds(s.cpu));
    }
    head(
        &mut out,
        "container_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the container in bytes",
    );
    for s in &list {
        let _ = writeln!(out, "container_memory_working_set_bytes{{{}}} {} {ms}", labels(s), s.memory);
    }
    head(
        &mut out,
        "container_start_time_seconds",
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
    );
    for s in &list {
        let _ = writeln!(out, "container_start_time_seconds{{{}}} {}", labels(s), unix(s.started));
    }
    let (cpu, memory) = k.cgroups.root_usage().unwrap_or((0, 0));
    head(
        &mut out,
        "node_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
    );
    let _ = writeln!(out, "node_cpu_usage_seconds_total {} {ms}", seconds(cpu));
    head(
        &mut out,
        "node_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the node in bytes",
    );
    let _ = writeln!(out, "node_memory_working_set_bytes {memory} {ms}");
    head(
        &mut out,
        "pod_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
    );
    for (ns, p, c, _) in &pods {
        let _ = writeln!(
            out,
            "pod_cpu_usage_seconds_total{{namespace=\"{}\",pod=\"{}\"}} {} {ms}",
            label(ns),
            label(p),
            seconds(*c)
        );
    }
    head(
        &mut out,
        "pod_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the pod in bytes",
    );
    for (ns, p, _, m) in &pods {
        let _ = writeln!(
            out,
            "pod_memory_working_set_bytes{{namespace=\"{}\",pod=\"{}\"}} {m} {ms}",
            label(ns),
            label(p)
        );
    }
    head(
        &mut out,
        "resource_scrape_error",
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    );
    let _ = writeln!(out, "resource_scrape_error 0");
    out
}

/// The cAdvisor names of the same figures, which most dashboards ask for.
pub async fn cadvisor_metrics(k: &Kubelet) -> String {
    let (list, _) = samples(k).await;
    let ms = k.now() / 1_000_000;
    let mut out = String::new();
    let labels = |s: &Sample| {
        format!(
            "container=\"{}\",id=\"/{}\",image=\"{}\",name=\"{}\",namespace=\"{}\",pod=\"{}\"",
            label(&s.container),
            s.id,
            label(&s.image),
            s.id,
            label(&s.namespace),
            label(&s.pod)
        )
    };
    head(
        &mut out,
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
    );
    for s in &list {
        let l = labels(s);
        let _ =
            writeln!(out, "container_cpu_usage_seconds_total{{{l},cpu=\"total\"}} {} {ms}", seconds(s.cpu));
    }
    head(&mut out, "container_memory_working_set_bytes", "gauge", "Current working set in bytes.");
    for s in &list {
        let _ = writeln!(out, "container_memory_working_set_bytes{{{}}} {} {ms}", labels(s), s.memory);
    }
    head(
        &mut out,
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds.",
    );
    for s in &list {
        let _ = writeln!(out, "container_start_time_seconds{{{}}} {} {ms}", labels(s), unix(s.started));
    }
    head(&mut out, "machine_cpu_cores", "gauge", "Number of logical CPU cores.");
    let _ = writeln!(out, "machine_cpu_cores {}", k.machine.cpus);
    head(&mut out, "machine_memory_bytes", "gauge", "Amount of memory installed on the machine.");
    let _ = writeln!(out, "machine_memory_bytes {}", k.machine.memory);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let r = Rates::default();
        assert_eq!(r.rate("a", 0, 0), None);
        assert_eq!(r.rate("a", 500_000_000, 1_000_000_000), Some(500_000_000));
        assert_eq!(r.rate("a", 600_000_000, 1_100_000_000), Some(500_000_000), "too soon");
        assert_eq!(r.rate("a", 2_500_000_000, 2_000_000_000), Some(2_000_000_000));
    }
}
