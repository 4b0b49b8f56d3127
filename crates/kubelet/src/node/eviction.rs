//! Evicting pods when the node runs short, and pods that use more disk than they may (upstream `pkg/kubelet/eviction`).
//! What to do is decided by pure functions of what was measured.

use super::machine::{self, meminfo};
use super::status::{Pressure, threshold};
use crate::config::Eviction as Settings;
use crate::gc;
use crate::kubelet::{Eviction, Kubelet};
use crate::pod::admit::is_critical;
use crate::pod::helpers::{self, init_containers, is_sidecar, spec, uid};
use crate::pod::observe::{LABEL_CONTAINER_NAME, LABEL_POD_UID};
use crate::pod::qos;
use cri::v1 as rt;
use k8s_openapi::api::core::v1::Pod;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// A signal's value: what there is, and the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    pub available: i64,
    pub capacity: i64,
}

pub type Measures = BTreeMap<&'static str, Measure>;

/// A crossed threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    pub signal: String,
    pub hard: bool,
    pub limit: i64,
    pub available: i64,
}

/// The resource that a signal is about, as messages name it.
fn resource(signal: &str) -> &'static str {
    match signal {
        "memory.available" | "allocatableMemory.available" => "memory",
        "nodefs.inodesFree" | "imagefs.inodesFree" | "containerfs.inodesFree" => "inodes",
        "pid.available" => "pids",
        _ => "ephemeral-storage",
    }
}

/// Since when each threshold has been crossed, and each condition last true.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    soft_since: BTreeMap<String, i64>,
    last: BTreeMap<&'static str, i64>,
}

/// One look: the node's conditions, and the thresholds that ask for an eviction.
pub fn look(m: &Measures, s: &Settings, memory: &mut Memory, now: i64) -> (Pressure, Vec<Crossed>) {
    let mut crossed = vec![];
    let mut pressed: Vec<&'static str> = vec![];
    for (list, hard) in [(&s.hard, true), (&s.soft, false)] {
        for (signal, text) in list {
            let Some(x) = m.get(signal.as_str()) else { continue };
            let limit = threshold(text, x.capacity);
            if limit == 0 || x.available >= limit {
                if !hard {
                    memory.soft_since.remove(signal);
                }
                continue;
            }
            let kind = match resource(signal) {
                "memory" => "memory",
                "pids" => "pid",
                _ => "disk",
            };
            if !hard {
                let since = *memory.soft_since.entry(signal.clone()).or_insert(now);
                let grace =
                    s.soft_grace.get(signal).map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
                if now - since < grace {
                    pressed.push(kind);
                    continue;
                }
            }
            pressed.push(kind);
            crossed.push(Crossed { signal: signal.clone(), hard, limit, available: x.available });
        }
    }
    for k in pressed {
        memory.last.insert(k, now);
    }
    let transition = i64::try_from(s.transition.as_nanos()).unwrap_or(i64::MAX);
    let on = |k: &str| memory.last.get(k).is_some_and(|t| now - t < transition || *t == now);
    let p = Pressure { memory: on("memory"), disk: on("disk"), pid: on("pid") };
    // Memory before the rest, hard before soft.
    crossed.sort_by_key(|c| (resource(&c.signal) != "memory", !c.hard, c.signal.clone()));
    (p, crossed)
}

/// What a pod uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub memory: i64,
    pub disk: i64,
    /// By container: memory, disk.
    pub containers: BTreeMap<String, (i64, i64)>,
    /// By emptyDir volume on disk.
    pub volumes: BTreeMap<String, i64>,
}

/// The pod to evict first: one over its request before one within, the lower priority, the larger use over its request.
pub fn rank(pods: &mut [(Arc<Pod>, Usage)], resource: &str) {
    let key = |(p, u): &(Arc<Pod>, Usage)| {
        let (used, name) = match resource {
            "memory" => (u.memory, "memory"),
            _ => (u.disk, "ephemeral-storage"),
        };
        let request = qos::pod_milli(spec(p), qos::Which::Requests, name, true) / 1000;
        let over = used - request;
        let priority = spec(p).priority.unwrap_or(0);
        if resource == "pids" { (false, priority, 0) } else { (over <= 0, priority, -over) }
    };
    pods.sort_by_key(key);
}

fn message(c: &Crossed, p: &Pod, u: &Usage) -> String {
    let res = resource(&c.signal);
    let q = |n: i64| machine::binary(n);
    let mut m = format!(
        "The node was low on resource: {res}. Threshold quantity: {}, available: {}. ",
        q(c.limit),
        ki(c.available)
    );
    let s = spec(p);
    for (name, (memory, disk)) in &u.containers {
        let Some(x) = s.containers.iter().chain(init_containers(s)).find(|x| x.name == *name) else {
            continue;
        };
        let (used, k) = match res {
            "memory" => (*memory, "memory"),
            "ephemeral-storage" => (*disk, "ephemeral-storage"),
            _ => continue,
        };
        let request = qos::requests(x).and_then(|r| r.get(k)).map_or("0", |v| v.0.as_str());
        if used > qos::value(qos::requests(x), k) {
            m.push_str(&format!(
                "Container {name} was using {}, request is {request}, has larger consumption of {res}. ",
                ki(used)
            ));
        }
    }
    m
}

fn ki(n: i64) -> String {
    if n % 1024 == 0 { format!("{}Ki", n / 1024) } else { n.to_string() }
}

/// Why a pod must go for its own use of disk, if it must.
pub fn over_limit(p: &Pod, u: &Usage) -> Option<String> {
    let s = spec(p);
    for v in s.volumes.iter().flatten() {
        let Some(e) = &v.empty_dir else { continue };
        if e.medium.as_deref() == Some("Memory") {
            continue; // The kernel sees to that.
        }
        let Some(limit) = &e.size_limit else { continue };
        let bytes = qos::parse(limit).map_or(0, |q| q.value());
        if bytes > 0 && u.volumes.get(&v.name).is_some_and(|used| *used > bytes) {
            return Some(format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}. ", v.name, limit.0));
        }
    }
    let limited: Vec<_> =
        s.containers.iter().chain(init_containers(s).iter().filter(|c| is_sidecar(c))).collect();
    let pod_limit = qos::pod_milli(s, qos::Which::Limits, "ephemeral-storage", true) / 1000;
    let all = s.containers.iter().all(|c| qos::value(qos::limits(c), "ephemeral-storage") > 0);
    if all && pod_limit > 0 && u.disk > pod_limit {
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {}. ",
            machine::binary(pod_limit)
        ));
    }
    for c in limited {
        let Some(limit) = qos::limits(c).and_then(|l| l.get("ephemeral-storage")) else { continue };
        let bytes = qos::parse(limit).map_or(0, |q| q.value());
        if bytes > 0 && u.containers.get(&c.name).is_some_and(|x| x.1 > bytes) {
            return Some(format!(
                "Container {} exceeded its local ephemeral storage limit {:?}. ",
                c.name, limit.0
            ));
        }
    }
    None
}

/// Whether a pod's use of disk is limited by itself.
fn has_limits(p: &Pod) -> bool {
    let s = spec(p);
    s.volumes.iter().flatten().any(|v| v.empty_dir.as_ref().is_some_and(|e| e.size_limit.is_some()))
        || s.containers
            .iter()
            .chain(init_containers(s))
            .any(|c| qos::limits(c).is_some_and(|l| l.contains_key("ephemeral-storage")))
}

/// Bytes below a directory, links not followed, other file systems left out.
fn du(dir: &Path) -> i64 {
    use std::os::unix::fs::MetadataExt;
    fn walk(dir: &Path, dev: u64, left: &mut u32) -> i64 {
        let Ok(list) = std::fs::read_dir(dir) else { return 0 };
        let mut sum = 0;
        for e in list.flatten() {
            if *left == 0 {
                return sum;
            }
            *left -= 1;
            let Ok(m) = std::fs::symlink_metadata(e.path()) else { continue };
            if m.dev() != dev {
                continue;
            }
            sum += i64::try_from(m.blocks()).unwrap_or(0) * 512;
            if m.is_dir() {
                sum += walk(&e.path(), dev, left);
            }
        }
        sum
    }
    let Ok(m) = std::fs::symlink_metadata(dir) else { return 0 };
    walk(dir, m.dev(), &mut 1_000_000)
}

async fn measure(k: &Kubelet) -> Measures {
    let mut m = Measures::new();
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = Measure { available: meminfo(&text, "MemAvailable"), capacity: k.machine.memory };
    if memory.available > 0 {
        m.insert("memory.available", memory);
    }
    let mut disk = |d: Option<machine::Disk>, bytes: &'static str, inodes: &'static str| {
        let Some(d) = d else { return };
        m.insert(bytes, Measure { available: d.available, capacity: d.capacity });
        if d.inodes > 0 {
            m.insert(inodes, Measure { available: d.inodes_free, capacity: d.inodes });
        }
    };
    disk(machine::disk(&k.cfg.root_dir), "nodefs.available", "nodefs.inodesFree");
    disk(gc::image_disk(k).await, "imagefs.available", "imagefs.inodesFree");
    let number = |p: &str| std::fs::read_to_string(p).ok()?.trim().parse::<i64>().ok();
    let tasks = std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|t| t.split_whitespace().nth(3)?.split_once('/')?.1.parse::<i64>().ok());
    if let (Some(max), Some(tasks)) = (number("/proc/sys/kernel/pid_max"), tasks) {
        m.insert("pid.available", Measure { available: max - tasks, capacity: max });
    }
    m
}

async fn usages(k: &Kubelet, volumes: bool) -> Vec<(Arc<Pod>, Usage)> {
    let mut by: HashMap<String, Vec<rt::ContainerStats>> = HashMap::new();
    if let Ok(r) = k.cri.list_container_stats(rt::ListContainerStatsRequest::default()).await {
        for s in r.stats {
            if let Some(u) = s.attributes.as_ref().and_then(|a| a.labels.get(LABEL_POD_UID)).cloned() {
                by.entry(u).or_default().push(s);
            }
        }
    }
    let mut out = vec![];
    for e in k.entries() {
        let p = e.pod();
        let state = e.state();
        if state.stopped || e.tx.borrow().gone || e.tx.borrow().evict.is_some() {
            continue;
        }
        let mut u = Usage::default();
        for s in by.remove(uid(&p)).unwrap_or_default() {
            let Some(a) = &s.attributes else { continue };
            let name = a.labels.get(LABEL_CONTAINER_NAME).cloned().unwrap_or_default();
            let n = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
            let memory = s.memory.as_ref().and_then(|m| m.working_set_bytes).map_or(0, |v| n(v.value));
            let layer = s.writable_layer.as_ref().and_then(|w| w.used_bytes).map_or(0, |v| n(v.value));
            let log = state
                .observed
                .instances
                .iter()
                .find(|i| i.id == a.id)
                .and_then(|i| std::fs::metadata(&i.log_path).ok())
                .map_or(0, |m| n(m.len()));
            u.memory += memory;
            u.disk += layer + log;
            u.containers.insert(name, (memory, layer + log));
        }
        if volumes && (has_limits(&p)) {
            let dir = k.volumes.pod_dir(uid(&p)).join("volumes/kubernetes.io~empty-dir");
            for v in spec(&p).volumes.iter().flatten().filter(|v| v.empty_dir.is_some()) {
                let path = dir.join(&v.name);
                let used = tokio::task::spawn_blocking(move || du(&path)).await.unwrap_or(0);
                u.disk += used;
                u.volumes.insert(v.name.clone(), used);
            }
        }
        out.push((p, u));
    }
    out
}

fn evict(k: &Kubelet, p: &Pod, m: &str, grace: i64, disruption: bool) -> bool {
    if is_critical(p) {
        return false;
    }
    let done = k.evict(
        uid(p),
        Eviction { reason: "Evicted".into(), message: m.to_owned(), grace: Some(grace), disruption },
    );
    if done {
        tracing::info!(pod = helpers::key(p), message = m, "evicting a pod");
        k.recorder.pod(p, "Warning", "Evicted", m);
    }
    done
}

/// Looks until the runtime stops.
pub async fn run(k: Arc<Kubelet>) {
    let mut memory = Memory::default();
    let s = k.cfg.eviction.clone();
    loop {
        tokio::select! { () = tokio::time::sleep(s.period) => {}, () = k.rt.stopping() => return }
        let measures = measure(&k).await;
        let (pressure, crossed) = look(&measures, &s, &mut memory, k.now());
        {
            let mut c = k.conditions.lock().unwrap_or_else(PoisonError::into_inner);
            if *c != pressure {
                *c = pressure;
                k.node_changed.notify_one();
            }
        }
        let limited = k.entries().iter().any(|e| has_limits(&e.pod()) && e.state().observed.is_alive());
        if crossed.is_empty() && !limited {
            continue;
        }
        let mut pods = usages(&k, limited).await;
        let mut evicted = false;
        for (p, u) in &pods {
            if let Some(m) = over_limit(p, u) {
                evicted |= evict(&k, p, &m, 1, false);
            }
        }
        let Some(first) = crossed.first().filter(|_| !evicted) else { continue };
        if first.signal.starts_with("nodefs") || first.signal.starts_with("imagefs") {
            tracing::info!(signal = first.signal, "short of disk: removing what is not in use");
            gc::free_disk(&k).await;
            let again = measure(&k).await;
            if again.get(first.signal.as_str()).is_some_and(|m| m.available >= first.limit) {
                continue;
            }
        }
        rank(&mut pods, resource(&first.signal));
        for (p, u) in &pods {
            let grace = if first.hard { 1 } else { s.max_pod_grace.max(1) };
            // One at a time: what it frees is seen before another goes.
            if evict(&k, p, &message(first, p, u), grace, true) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::json;
    use std::time::Duration;

    const S: i64 = 1_000_000_000;

    fn settings() -> Settings {
        let mut s = crate::Config::default().eviction;
        s.hard = BTreeMap::from([
            ("memory.available".into(), "100Mi".into()),
            ("nodefs.available".into(), "10%".into()),
        ]);
        s.soft = BTreeMap::from([("memory.available".into(), "1Gi".into())]);
        s.soft_grace = BTreeMap::from([("memory.available".into(), Duration::from_secs(60))]);
        s
    }
    fn measured(memory: i64, disk: i64) -> Measures {
        Measures::from([
            ("memory.available", Measure { available: memory << 20, capacity: 8 << 30 }),
            ("nodefs.available", Measure { available: disk, capacity: 100 }),
        ])
    }

    #[test]
    fn thresholds() {
        let (s, mut m) = (settings(), Memory::default());
        assert_eq!(look(&measured(2000, 50), &s, &mut m, 0), (Pressure::default(), vec![]));
        let (p, c) = look(&measured(500, 50), &s, &mut m, 10 * S);
        assert_eq!((p.memory, c.len()), (true, 0), "soft: pressure, no eviction yet");
        let (_, c) = look(&measured(500, 50), &s, &mut m, 71 * S);
        assert_eq!((c.len(), c[0].hard), (1, false));
        let (p, c) = look(&measured(50, 5), &s, &mut m, 80 * S);
        assert_eq!((p.memory, p.disk), (true, true));
        assert_eq!(
            c.iter().map(|c| (c.signal.as_str(), c.hard)).collect::<Vec<_>>(),
            [("memory.available", true), ("memory.available", false), ("nodefs.available", true)]
        );
        let (p, _) = look(&measured(2000, 50), &s, &mut m, 90 * S);
        assert!(p.memory && p.disk, "conditions stay for a while");
        let (p, _) = look(&measured(2000, 50), &s, &mut m, 500 * S);
        assert_eq!(p, Pressure::default());
    }

    #[test]
    fn who_goes_first() {
        let p = |name: &str, priority: i64, request: &str, used: i64| {
            let mut p = pod(
                json!({"priority": priority, "containers": [{"name": "c", "resources": {"requests": {"memory": request}}}]}),
            );
            p.metadata.name = Some(name.into());
            (Arc::new(p), Usage { memory: used << 20, ..Default::default() })
        };
        let mut l = vec![
            p("within", 0, "1Gi", 900),
            p("big", 0, "100Mi", 800),
            p("small", 0, "100Mi", 150),
            p("important", 10, "0", 2000),
        ];
        rank(&mut l, "memory");
        let names: Vec<&str> = l.iter().map(|x| helpers::name(&x.0)).collect();
        assert_eq!(names, ["big", "small", "important", "within"]);
        let c =
            Crossed { signal: "memory.available".into(), hard: true, limit: 100 << 20, available: 50 << 20 };
        let mut u = l[0].1.clone();
        u.containers.insert("c".into(), (800 << 20, 0));
        assert_eq!(
            message(&c, &l[0].0, &u),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51200Ki. Container c was using 819200Ki, request is 100Mi, has larger consumption of memory. "
        );
    }

    #[test]
    fn own_limits() {
        let p = pod(json!({
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "10Mi"}}],
            "containers": [{"name": "c", "resources": {"limits": {"ephemeral-storage": "20Mi"}}}]}));
        assert!(has_limits(&p));
        let u = |v: i64, c: i64| Usage {
            volumes: BTreeMap::from([("v".to_owned(), v << 20)]),
            containers: BTreeMap::from([("c".to_owned(), (0, c << 20))]),
            disk: (v + c) << 20,
            ..Default::default()
        };
        assert_eq!(over_limit(&p, &u(5, 5)), None);
        assert_eq!(
            over_limit(&p, &u(11, 0)).as_deref(),
            Some("Usage of EmptyDir volume \"v\" exceeds the limit \"10Mi\". ")
        );
        assert_eq!(
            over_limit(&p, &u(9, 12)).as_deref(),
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ")
        );
    }
}
