//! The cgroups of pods: `kubepods`, `kubepods/burstable`, `kubepods/besteffort`, one for each pod. Versions 1 and 2,
//! cgroupfs driver; with the systemd driver the names only, the runtime makes the slices. Where a controller is missing
//! pods run without it.

use crate::pod::helpers::{spec, uid};
use crate::pod::qos::{self, Which};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// Mount points by controller.
    V1(BTreeMap<String, PathBuf>),
    V2(PathBuf),
    None,
}

/// What a cgroup is set to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub cpu_shares: Option<i64>,
    /// -1: unlimited.
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<i64>,
    /// -1: unlimited.
    pub memory: Option<i64>,
    pub pids: Option<i64>,
}

pub struct Cgroups {
    layout: Layout,
    systemd: bool,
    enabled: bool,
    cfs_quota: bool,
    cfs_period: i64,
    pids_limit: i64,
    root: String,
    /// Requests of burstable pods in thousandths of a processor, by pod.
    burstable: Mutex<BTreeMap<String, i64>>,
}

/// What [`Cgroups`] is made with.
pub struct Settings {
    pub enabled: bool,
    pub systemd: bool,
    pub root: String,
    pub cfs_quota: bool,
    pub cfs_period: i64,
    pub pids_limit: i64,
}

/// Reads the mount table: version 1 controllers where there are any, else version 2.
fn detect(mountinfo: &str) -> Layout {
    let mut v1 = BTreeMap::new();
    let mut v2 = None;
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4) else { continue };
        let mut right = right.split(' ');
        match right.next() {
            Some("cgroup") => {
                for o in right.nth(1).unwrap_or("").split(',') {
                    if matches!(
                        o,
                        "cpu"
                            | "cpuacct"
                            | "cpuset"
                            | "memory"
                            | "pids"
                            | "hugetlb"
                            | "blkio"
                            | "devices"
                            | "freezer"
                            | "net_cls"
                            | "perf_event"
                    ) {
                        v1.entry(o.to_owned()).or_insert_with(|| PathBuf::from(point));
                    }
                }
            }
            Some("cgroup2") => {
                v2.get_or_insert_with(|| PathBuf::from(point));
            }
            _ => {}
        }
    }
    if v1.contains_key("memory") || v1.contains_key("cpu") {
        Layout::V1(v1)
    } else if let Some(p) = v2 {
        Layout::V2(p)
    } else {
        Layout::None
    }
}

impl Cgroups {
    pub fn new(s: Settings) -> Self {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::with_layout(s, detect(&text))
    }
    fn with_layout(s: Settings, layout: Layout) -> Self {
        Self {
            enabled: s.enabled && layout != Layout::None,
            layout,
            systemd: s.systemd,
            cfs_quota: s.cfs_quota,
            cfs_period: s.cfs_period,
            pids_limit: s.pids_limit,
            root: s.root.trim_matches('/').to_owned(),
            burstable: Mutex::default(),
        }
    }
    /// The same, doing nothing.
    #[must_use]
    pub fn off(mut self) -> Self {
        self.enabled = false;
        self
    }
    pub fn is_v2(&self) -> bool {
        matches!(self.layout, Layout::V2(_))
    }

    fn class_path(&self, class: &str) -> Vec<String> {
        let mut p: Vec<String> = self.root.split('/').filter(|r| !r.is_empty()).map(str::to_owned).collect();
        p.push("kubepods".into());
        match class {
            "Burstable" => p.push("burstable".into()),
            "BestEffort" => p.push("besteffort".into()),
            _ => {}
        }
        p
    }
    fn pod_path(&self, pod: &Pod) -> Vec<String> {
        let mut p = self.class_path(qos::class(pod));
        p.push(format!("pod{}", uid(pod)));
        p
    }
    /// The parent of a pod's containers, as the runtime wants it: a path, or a systemd slice.
    pub fn parent(&self, pod: &Pod) -> String {
        if !self.enabled {
            return String::new();
        }
        let p = self.pod_path(pod);
        if self.systemd { slice(&p) } else { format!("/{}", p.join("/")) }
    }

    /// Makes a pod's cgroup and sets it.
    pub fn ensure(&self, pod: &Pod) -> io::Result<()> {
        if !self.enabled || self.systemd {
            return Ok(());
        }
        let class = qos::class(pod);
        if class == "Burstable" {
            let milli = qos::pod_milli(spec(pod), Which::Requests, "cpu", true);
            let sum: i64 = {
                let mut b = self.burstable.lock().unwrap_or_else(PoisonError::into_inner);
                b.insert(uid(pod).to_owned(), milli);
                b.values().sum()
            };
            let shares = Limits { cpu_shares: Some(qos::shares(sum)), ..Default::default() };
            self.apply(&self.class_path(class), &shares)?;
        }
        self.apply(&self.pod_path(pod), &self.pod_limits(pod))
    }

    /// What a pod's cgroup is set to (upstream `cm.ResourceConfigForPod`).
    pub fn pod_limits(&self, pod: &Pod) -> Limits {
        let s = spec(pod);
        let milli = |w, k: &str| qos::pod_milli(s, w, k, true);
        let class = qos::class(pod);
        let cpu_limit = milli(Which::Limits, "cpu");
        let cpu_request = match milli(Which::Requests, "cpu") {
            0 => cpu_limit,
            n => n,
        };
        let mut l = Limits {
            cpu_shares: Some(qos::shares(if class == "BestEffort" { 0 } else { cpu_request })),
            pids: (self.pids_limit > 0).then_some(self.pids_limit),
            ..Default::default()
        };
        if self.cfs_quota && class != "BestEffort" && qos::all_limited(s, "cpu") && cpu_limit > 0 {
            l.cpu_quota = Some(qos::quota(cpu_limit, self.cfs_period));
            l.cpu_period = Some(self.cfs_period);
        }
        if class != "BestEffort" && qos::all_limited(s, "memory") {
            let bytes = milli(Which::Limits, "memory") / 1000;
            if bytes > 0 {
                l.memory = Some(bytes);
            }
        }
        l
    }

    /// The node's own: `kubepods` with what pods may use, and the classes below it.
    pub fn ensure_root(&self, milli_cpu: i64, memory: i64) -> io::Result<()> {
        if !self.enabled || self.systemd {
            return Ok(());
        }
        let all = Limits {
            cpu_shares: Some(qos::shares(milli_cpu)),
            memory: Some(if memory > 0 { memory } else { -1 }),
            ..Default::default()
        };
        self.apply(&self.class_path("Guaranteed"), &all)?;
        for class in ["Burstable", "BestEffort"] {
            let least = Limits { cpu_shares: Some(qos::MIN_SHARES), ..Default::default() };
            self.apply(&self.class_path(class), &least)?;
        }
        Ok(())
    }

    fn apply(&self, path: &[String], l: &Limits) -> io::Result<()> {
        match &self.layout {
            Layout::V1(mounts) => v1_apply(mounts, path, l),
            Layout::V2(root) => v2_apply(root, path, l),
            Layout::None => Ok(()),
        }
    }

    fn dirs(&self, path: &[String]) -> Vec<PathBuf> {
        match &self.layout {
            Layout::V1(m) => {
                let mut v: Vec<PathBuf> = m.values().map(|m| m.join(path.join("/"))).collect();
                v.sort();
                v.dedup();
                v
            }
            Layout::V2(r) => vec![r.join(path.join("/"))],
            Layout::None => vec![],
        }
    }

    /// Removes a pod's cgroup with all below it.
    pub fn remove(&self, pod: &Pod) -> io::Result<()> {
        self.burstable.lock().unwrap_or_else(PoisonError::into_inner).remove(uid(pod));
        if !self.enabled || self.systemd {
            return Ok(());
        }
        self.dirs(&self.pod_path(pod)).iter().try_for_each(|d| remove_tree(d))
    }

    /// Removes the cgroups of pods that are not known any more.
    pub fn remove_orphans(&self, known: &dyn Fn(&str) -> bool) {
        if !self.enabled || self.systemd {
            return;
        }
        for class in ["Guaranteed", "Burstable", "BestEffort"] {
            for dir in self.dirs(&self.class_path(class)) {
                let Ok(list) = fs::read_dir(&dir) else { continue };
                for e in list.flatten() {
                    let name = e.file_name();
                    let Some(uid) = name.to_str().and_then(|n| n.strip_prefix("pod")) else { continue };
                    if !known(uid)
                        && let Err(e) = remove_tree(&dir.join(&name))
                    {
                        tracing::debug!(error = %e, "orphaned cgroup stays");
                    }
                }
            }
        }
    }

    /// Processor time (nanoseconds) and memory (working set bytes) of a pod's cgroup.
    pub fn usage(&self, pod: &Pod) -> Option<(u64, u64)> {
        if !self.enabled {
            return None;
        }
        let p = if self.systemd { vec![] } else { self.pod_path(pod) };
        self.usage_of(&p)
    }
    /// The same of the whole machine's tree.
    pub fn root_usage(&self) -> Option<(u64, u64)> {
        self.usage_of(&[])
    }
    fn usage_of(&self, path: &[String]) -> Option<(u64, u64)> {
        let sub = path.join("/");
        let number = |p: PathBuf| fs::read_to_string(p).ok()?.trim().parse::<u64>().ok();
        let stat = |p: PathBuf, key: &str| -> Option<u64> {
            let t = fs::read_to_string(p).ok()?;
            t.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
        };
        match &self.layout {
            Layout::V1(m) => {
                let cpu = number(m.get("cpuacct")?.join(&sub).join("cpuacct.usage")).unwrap_or(0);
                let dir = m.get("memory")?.join(&sub);
                let used = number(dir.join("memory.usage_in_bytes"))?;
                let idle = stat(dir.join("memory.stat"), "total_inactive_file").unwrap_or(0);
                Some((cpu, used.saturating_sub(idle)))
            }
            Layout::V2(r) => {
                let dir = r.join(&sub);
                let cpu = stat(dir.join("cpu.stat"), "usage_usec").unwrap_or(0) * 1000;
                let used = number(dir.join("memory.current"))?;
                let idle = stat(dir.join("memory.stat"), "inactive_file").unwrap_or(0);
                Some((cpu, used.saturating_sub(idle)))
            }
            Layout::None => None,
        }
    }
}

/// `kubepods`, `burstable`, `podX-Y` → `kubepods-burstable-podX_Y.slice`
fn slice(path: &[String]) -> String {
    let parts: Vec<String> = path.iter().map(|p| p.replace('-', "_")).collect();
    format!("{}.slice", parts.join("-"))
}

fn write(file: &Path, value: &str) -> io::Result<()> {
    fs::write(file, value)
        .map_err(|e| io::Error::new(e.kind(), format!("writing {value} to {}: {e}", file.display())))
}

fn v1_apply(mounts: &BTreeMap<String, PathBuf>, path: &[String], l: &Limits) -> io::Result<()> {
    for (controller, mount) in mounts {
        let mut dir = mount.clone();
        for part in path {
            let parent = dir.clone();
            dir.push(part);
            match fs::create_dir(&dir) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => {
                    return Err(io::Error::new(e.kind(), format!("making cgroup {}: {e}", dir.display())));
                }
            }
            if controller == "cpuset" {
                // A cpuset without processors takes no process.
                for f in ["cpuset.cpus", "cpuset.mems"] {
                    let own = fs::read_to_string(dir.join(f)).unwrap_or_default();
                    if own.trim().is_empty()
                        && let Ok(v) = fs::read_to_string(parent.join(f))
                    {
                        write(&dir.join(f), v.trim())?;
                    }
                }
            }
        }
        match controller.as_str() {
            "cpu" => {
                if let Some(v) = l.cpu_shares {
                    write(&dir.join("cpu.shares"), &v.to_string())?;
                }
                if let Some(v) = l.cpu_period {
                    write(&dir.join("cpu.cfs_period_us"), &v.to_string())?;
                }
                if let Some(v) = l.cpu_quota {
                    write(&dir.join("cpu.cfs_quota_us"), &v.to_string())?;
                }
            }
            "memory" => {
                if let Some(v) = l.memory {
                    write(&dir.join("memory.limit_in_bytes"), &v.to_string())?;
                }
            }
            "pids" => {
                if let Some(v) = l.pids {
                    write(&dir.join("pids.max"), &v.to_string())?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The weight that upstream computes from shares (KEP 2254).
fn weight(shares: i64) -> i64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn v2_apply(root: &Path, path: &[String], l: &Limits) -> io::Result<()> {
    let mut dir = root.to_owned();
    for part in path {
        // Children get the controllers that this one has.
        let have = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        for c in ["cpu", "cpuset", "memory", "pids", "hugetlb", "io"] {
            if have.split_whitespace().any(|x| x == c) {
                let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{c}"));
            }
        }
        dir.push(part);
        match fs::create_dir(&dir) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(io::Error::new(e.kind(), format!("making cgroup {}: {e}", dir.display()))),
        }
    }
    let set = |file: &str, value: String| -> io::Result<()> {
        let f = dir.join(file);
        // A controller that is not there sets nothing.
        if f.exists() { write(&f, &value) } else { Ok(()) }
    };
    if let Some(v) = l.cpu_shares {
        set("cpu.weight", weight(v).to_string())?;
    }
    if let Some(q) = l.cpu_quota {
        let quota = if q < 0 { "max".to_owned() } else { q.to_string() };
        set("cpu.max", format!("{quota} {}", l.cpu_period.unwrap_or(qos::QUOTA_PERIOD)))?;
    }
    if let Some(m) = l.memory {
        set("memory.max", if m < 0 { "max".to_owned() } else { m.to_string() })?;
    }
    if let Some(p) = l.pids {
        set("pids.max", p.to_string())?;
    }
    Ok(())
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    let list = match fs::read_dir(dir) {
        Ok(l) => l,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for e in list.flatten() {
        if e.file_type().is_ok_and(|t| t.is_dir()) {
            remove_tree(&e.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        r => r,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::json;

    fn settings(root: &str) -> Settings {
        Settings {
            enabled: true,
            systemd: false,
            root: root.into(),
            cfs_quota: true,
            cfs_period: qos::QUOTA_PERIOD,
            pids_limit: 100,
        }
    }

    #[test]
    fn layouts() {
        let hybrid = "1 0 0:1 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n2 0 0:2 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup none rw,cpu,cpuacct\n3 0 0:3 / /sys/fs/cgroup/memory rw - cgroup none rw,memory";
        let Layout::V1(m) = detect(hybrid) else { panic!() };
        assert_eq!(m["cpu"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        let v2 = "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(detect(v2), Layout::V2("/sys/fs/cgroup".into()));
        assert_eq!(detect(""), Layout::None);
    }

    #[test]
    fn names_and_numbers() {
        let p = pod(
            json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "64Mi"}}}]}),
        );
        let c = Cgroups::with_layout(settings("/host/"), Layout::V2("/x".into()));
        assert_eq!(c.parent(&p), "/host/kubepods/burstable/podu");
        let l = c.pod_limits(&p);
        assert_eq!(
            (l.cpu_shares, l.cpu_quota, l.memory, l.pids),
            (Some(512), Some(100_000), Some(64 << 20), Some(100))
        );
        let c = Cgroups::with_layout(Settings { systemd: true, ..settings("") }, Layout::V2("/x".into()));
        assert_eq!(c.parent(&p), "kubepods-burstable-podu.slice");
        let c = Cgroups::with_layout(settings(""), Layout::None);
        assert_eq!(c.parent(&p), "");
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
    }
}
