//! What is left over: dead containers, sandboxes, logs, directories, images.

use crate::images::gc as images;
use crate::kubelet::Kubelet;
use crate::node::machine;
use crate::pod::config::pod_log_dir;
use crate::pod::helpers::{self, namespace, uid};
use crate::pod::observe::{
    ANN_DELETION_GRACE, ANN_PRE_STOP, ANN_TERMINATION_GRACE, LABEL_CONTAINER_NAME, LABEL_POD_NAME,
    LABEL_POD_NAMESPACE, LABEL_POD_UID, Observed,
};
use cri::v1 as rt;
use k8s_openapi::api::core::v1::{Container, Lifecycle, Pod};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(60);
/// Dead instances of one container that are kept for their logs and exit codes.
const KEEP_DEAD: usize = 1;
/// Dead instances younger than this stay.
const MIN_AGE: i64 = 0;
const IMAGE_PERIOD: u32 = 5;

/// Removes everything of a pod that is gone: containers, sandboxes, logs, directories.
pub async fn remove_pod(k: &Kubelet, pod: &Pod, o: &Observed) -> Result<(), String> {
    let err = |e: cri::Error| e.to_string();
    for i in &o.instances {
        let r = k.cri.remove_container(rt::RemoveContainerRequest { container_id: i.id.clone() }).await;
        ok_or_gone(r).map_err(err)?;
        k.prober.forget(&i.id);
        unlink_log(pod, &i.name, &i.id);
    }
    for s in &o.sandboxes {
        let stop = k.cri.stop_pod_sandbox(rt::StopPodSandboxRequest { pod_sandbox_id: s.id.clone() }).await;
        ok_or_gone(stop).map_err(err)?;
        let r = k.cri.remove_pod_sandbox(rt::RemovePodSandboxRequest { pod_sandbox_id: s.id.clone() }).await;
        ok_or_gone(r).map_err(err)?;
    }
    k.volumes.remove_pod_dir(uid(pod)).await.map_err(|e| e.to_string())?;
    if !helpers::name(pod).is_empty() {
        let dir = pod_log_dir(&k.cfg.pod_logs_dir.to_string_lossy(), pod);
        if let Err(e) = tokio::fs::remove_dir_all(&dir).await
            && e.kind() != std::io::ErrorKind::NotFound
        {
            return Err(format!("removing {dir}: {e}"));
        }
    }
    k.crashes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).forget(&format!("{}/", uid(pod)));
    Ok(())
}

fn ok_or_gone<T>(r: Result<T, cri::Error>) -> Result<(), cri::Error> {
    match r {
        Err(e) if !e.is_not_found() => Err(e),
        _ => Ok(()),
    }
}

fn unlink_log(pod: &Pod, container: &str, id: &str) {
    let name = format!("{}_{}_{container}-{id}.log", helpers::name(pod), namespace(pod));
    let _ = std::fs::remove_file(Path::new("/var/log/containers").join(name));
}

/// A pod that is only in the runtime, as far as stopping it needs it (upstream `restoreSpecsFromContainerLabels`).
pub fn pod_from_runtime(
    id: &str,
    sandboxes: &[rt::PodSandbox],
    containers: &[(rt::Container, HashMap<String, String>)],
) -> Pod {
    let label = |k: &str| {
        sandboxes
            .iter()
            .map(|s| &s.labels)
            .chain(containers.iter().map(|c| &c.0.labels))
            .find_map(|l| l.get(k))
            .cloned()
    };
    let ann = |k: &str| containers.iter().find_map(|c| c.1.get(k)).and_then(|v| v.parse::<i64>().ok());
    let mut pod = Pod::default();
    pod.metadata.uid = Some(id.to_owned());
    pod.metadata.name = label(LABEL_POD_NAME);
    pod.metadata.namespace = label(LABEL_POD_NAMESPACE);
    pod.metadata.deletion_grace_period_seconds = ann(ANN_DELETION_GRACE);
    let s = pod.spec.get_or_insert_default();
    s.termination_grace_period_seconds = ann(ANN_TERMINATION_GRACE);
    let mut seen = HashSet::new();
    for (c, a) in containers {
        let name = c.labels.get(LABEL_CONTAINER_NAME).cloned().unwrap_or_default();
        if !seen.insert(name.clone()) {
            continue;
        }
        let pre_stop = a.get(ANN_PRE_STOP).and_then(|t| serde_json::from_str(t).ok());
        s.containers.push(Container {
            name,
            lifecycle: pre_stop.map(|h| Lifecycle { pre_stop: Some(h), ..Default::default() }),
            ..Default::default()
        });
    }
    pod
}

/// Everything in the runtime that was made by a kubelet.
pub struct Inventory {
    pub sandboxes: Vec<rt::PodSandbox>,
    pub containers: Vec<rt::Container>,
}

pub async fn inventory(cri: &dyn cri::Runtime) -> Result<Inventory, cri::Error> {
    let (s, c) = futures::try_join!(
        cri.list_pod_sandbox(rt::ListPodSandboxRequest::default()),
        cri.list_containers(rt::ListContainersRequest::default())
    )?;
    let ours = |l: &HashMap<String, String>| l.contains_key(LABEL_POD_UID);
    Ok(Inventory {
        sandboxes: s.items.into_iter().filter(|s| ours(&s.labels)).collect(),
        containers: c.containers.into_iter().filter(|c| ours(&c.labels)).collect(),
    })
}

impl Inventory {
    pub fn uids(&self) -> HashSet<String> {
        let s = self.sandboxes.iter().map(|s| &s.labels);
        s.chain(self.containers.iter().map(|c| &c.labels))
            .filter_map(|l| l.get(LABEL_POD_UID).cloned())
            .collect()
    }
}

/// Once the pods are known: what runs without a pod is stopped, what is on disk without one is removed.
pub async fn adopt(k: &Arc<Kubelet>) -> Result<(), cri::Error> {
    let inv = inventory(&*k.cri).await?;
    for id in inv.uids() {
        if k.entry(&id).is_some() {
            continue;
        }
        let of = |l: &HashMap<String, String>| l.get(LABEL_POD_UID) == Some(&id);
        let sandboxes: Vec<_> = inv.sandboxes.iter().filter(|s| of(&s.labels)).cloned().collect();
        let containers: Vec<_> = inv
            .containers
            .iter()
            .filter(|c| of(&c.labels))
            .map(|c| (c.clone(), c.annotations.clone()))
            .collect();
        let pod = pod_from_runtime(&id, &sandboxes, &containers);
        tracing::info!(pod = helpers::key(&pod), uid = id, "stopping a pod that is not known any more");
        k.adopt_orphan(pod);
    }
    for id in k.volumes.pods_on_disk() {
        if k.entry(&id).is_none()
            && let Err(e) = k.volumes.remove_pod_dir(&id).await
        {
            tracing::warn!(uid = id, error = %e, "the directory of a pod that is gone stays");
        }
    }
    k.cgroups.remove_orphans(&|id| k.entry(id).is_some());
    orphan_logs(k).await;
    Ok(())
}

async fn orphan_logs(k: &Kubelet) {
    if let Ok(list) = std::fs::read_dir(&k.cfg.pod_logs_dir) {
        for e in list.flatten() {
            let name = e.file_name();
            let Some(id) = name.to_str().and_then(|n| n.rsplit('_').next()) else { continue };
            if k.entry(id).is_none() {
                let _ = tokio::fs::remove_dir_all(e.path()).await;
            }
        }
    }
    // Links whose log is gone.
    if let Ok(list) = std::fs::read_dir("/var/log/containers") {
        for e in list.flatten() {
            let p = e.path();
            if p.is_symlink() && !p.exists() {
                let _ = std::fs::remove_file(p);
            }
        }
    }
}

/// The dead instances to remove, given all containers: of each container of each pod the newest stay.
fn dead(containers: &[rt::Container], now: i64) -> Vec<String> {
    let mut by: HashMap<(&str, &str), Vec<&rt::Container>> = HashMap::new();
    for c in containers {
        if c.state != rt::ContainerState::ContainerExited as i32 || now - c.created_at < MIN_AGE {
            continue;
        }
        let id = c.labels.get(LABEL_POD_UID).map_or("", String::as_str);
        let name = c.labels.get(LABEL_CONTAINER_NAME).map_or("", String::as_str);
        by.entry((id, name)).or_default().push(c);
    }
    let mut out = vec![];
    for mut list in by.into_values() {
        list.sort_by_key(|c| std::cmp::Reverse(c.created_at));
        // Where nothing of that name runs, the newest dead one is the container itself; one more is its last state.
        let alive = containers.iter().any(|c| {
            c.state != rt::ContainerState::ContainerExited as i32
                && list.first().is_some_and(|d| {
                    d.labels.get(LABEL_POD_UID) == c.labels.get(LABEL_POD_UID)
                        && d.labels.get(LABEL_CONTAINER_NAME) == c.labels.get(LABEL_CONTAINER_NAME)
                })
        });
        let keep = if alive { KEEP_DEAD } else { KEEP_DEAD + 1 };
        out.extend(list.into_iter().skip(keep).map(|c| c.id.clone()));
    }
    out.sort();
    out
}

/// Sandboxes that are not ready, not the newest of their pod, and empty.
fn dead_sandboxes(inv: &Inventory) -> Vec<String> {
    let used: HashSet<&str> = inv.containers.iter().map(|c| c.pod_sandbox_id.as_str()).collect();
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for s in &inv.sandboxes {
        let id = s.labels.get(LABEL_POD_UID).map_or("", String::as_str);
        let n = newest.entry(id).or_insert(i64::MIN);
        *n = (*n).max(s.created_at);
    }
    inv.sandboxes
        .iter()
        .filter(|s| s.state != rt::PodSandboxState::SandboxReady as i32 && !used.contains(s.id.as_str()))
        .filter(|s| {
            let id = s.labels.get(LABEL_POD_UID).map_or("", String::as_str);
            newest.get(id).is_some_and(|n| s.created_at < *n)
        })
        .map(|s| s.id.clone())
        .collect()
}

/// Collects until the runtime stops.
pub async fn run(k: Arc<Kubelet>) {
    let mut records = HashMap::new();
    let mut round = 0u32;
    loop {
        tokio::select! { () = tokio::time::sleep(PERIOD) => {}, () = k.rt.stopping() => return }
        match inventory(&*k.cri).await {
            Ok(inv) => {
                collect(&k, &inv).await;
                round += 1;
                if round % IMAGE_PERIOD == 1 {
                    collect_images(&k, &inv, &mut records).await;
                }
            }
            Err(e) => tracing::debug!(error = %e, "no garbage collection: listing containers failed"),
        }
    }
}

async fn collect(k: &Arc<Kubelet>, inv: &Inventory) {
    for id in dead(&inv.containers, k.now()) {
        let r = k.cri.remove_container(rt::RemoveContainerRequest { container_id: id.clone() }).await;
        if let Err(e) = ok_or_gone(r) {
            tracing::debug!(container = id, error = %e, "removing a dead container failed");
        }
        k.prober.forget(&id);
    }
    for id in dead_sandboxes(inv) {
        let r = k.cri.remove_pod_sandbox(rt::RemovePodSandboxRequest { pod_sandbox_id: id.clone() }).await;
        if let Err(e) = ok_or_gone(r) {
            tracing::debug!(sandbox = id, error = %e, "removing a dead sandbox failed");
        }
    }
    k.crashes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).collect(k.now());
    if k.rt.ready.all().get("kubelet-pods").is_some_and(Result::is_ok)
        && let Err(e) = adopt(k).await
    {
        tracing::debug!(error = %e, "looking for orphans failed");
    }
}

/// The images that sandboxes are made of, which no container shows: as the kubelet was told, and as containerd's
/// configuration has it (newer runtimes pin theirs).
async fn sandbox_image(k: &Kubelet) -> Vec<String> {
    let mut out: Vec<String> = k.cfg.pod_infra_container_image.iter().cloned().collect();
    if let Ok(r) = k.cri.status(rt::StatusRequest { verbose: true }).await {
        for text in r.info.values() {
            let v: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            for at in ["/sandboxImage", "/containerdImageConfig/pinnedImages/sandbox"] {
                out.extend(v.pointer(at).and_then(serde_json::Value::as_str).map(str::to_owned));
            }
        }
    }
    out
}

/// The file system that images are on.
pub async fn image_disk(k: &Kubelet) -> Option<machine::Disk> {
    let info = k.cri.image_fs_info(rt::ImageFsInfoRequest {}).await.ok()?;
    let point = info.image_filesystems.first()?.fs_id.as_ref()?.mountpoint.clone();
    machine::disk(Path::new(&point))
}

/// Frees what can be freed at once: dead containers, and all images that are not in use.
pub async fn free_disk(k: &Arc<Kubelet>) {
    let Ok(inv) = inventory(&*k.cri).await else { return };
    collect(k, &inv).await;
    let policy = images::Policy { high: 0, low: 0, min_age: 0, max_age: 0 };
    sweep(k, &inv, &mut HashMap::new(), &policy).await;
}

async fn collect_images(k: &Kubelet, inv: &Inventory, records: &mut HashMap<String, images::Record>) {
    let nanos = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    let policy = images::Policy {
        high: k.cfg.image_gc.high_percent,
        low: k.cfg.image_gc.low_percent,
        min_age: nanos(k.cfg.image_gc.min_age),
        max_age: nanos(k.cfg.image_gc.max_age),
    };
    sweep(k, inv, records, &policy).await;
}

async fn sweep(
    k: &Kubelet,
    inv: &Inventory,
    records: &mut HashMap<String, images::Record>,
    policy: &images::Policy,
) {
    let Ok(list) = k.cri.list_images(rt::ListImagesRequest::default()).await else { return };
    let all: Vec<(String, i64, bool)> = list
        .images
        .iter()
        .map(|i| {
            let pinned = i.pinned || i.repo_tags.iter().any(|t| k.cfg.pinned_images.contains(t));
            (i.id.clone(), i64::try_from(i.size).unwrap_or(i64::MAX), pinned)
        })
        .collect();
    let mut in_use: HashSet<String> = HashSet::new();
    for c in &inv.containers {
        let names =
            [c.image_ref.as_str(), c.image_id.as_str(), c.image.as_ref().map_or("", |i| i.image.as_str())];
        for i in &list.images {
            let hit = names.iter().any(|n| {
                !n.is_empty()
                    && (i.id == *n
                        || i.repo_digests.iter().any(|d| d == n)
                        || i.repo_tags.iter().any(|t| t == n))
            });
            if hit {
                in_use.insert(i.id.clone());
            }
        }
    }
    let sandbox = sandbox_image(k).await;
    for i in &list.images {
        if i.repo_tags.iter().chain(&i.repo_digests).any(|n| sandbox.contains(n)) {
            in_use.insert(i.id.clone());
        }
    }
    let now = k.now();
    images::observe(records, &all, &in_use, now);
    let Some(disk) = image_disk(k).await else { return };
    let used = disk.capacity - disk.available;
    for id in images::plan(records, &in_use, disk.capacity, used, policy, now) {
        let image = Some(rt::ImageSpec { image: id.clone(), ..Default::default() });
        match k.cri.remove_image(rt::RemoveImageRequest { image }).await {
            Ok(_) => {
                tracing::info!(image = id, "removed an unused image");
                records.remove(&id);
            }
            Err(e) => tracing::warn!(image = id, error = %e, "removing an image failed"),
        }
    }
}

/// Rotates the logs of running containers until the runtime stops.
pub async fn rotate_logs(k: Arc<Kubelet>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
            () = k.rt.stopping() => return,
        }
        for e in k.entries() {
            for i in e.state().observed.running() {
                let path = Path::new(&i.log_path);
                let large = std::fs::metadata(path)
                    .is_ok_and(|m| i64::try_from(m.len()).unwrap_or(0) >= k.cfg.container_log_max_size);
                if !large {
                    continue;
                }
                if let Err(e) = rotate_one(&k, path, &i.id).await {
                    tracing::warn!(log = %path.display(), error = e, "rotating the log failed");
                }
            }
        }
    }
}

async fn rotate_one(k: &Kubelet, path: &Path, id: &str) -> Result<(), String> {
    crate::logs::rotate::tidy(path, k.cfg.container_log_max_files).map_err(|e| e.to_string())?;
    let stamp = helpers::time(k.now()).0.strftime("%Y%m%d-%H%M%S").to_string();
    let to = format!("{}.{stamp}", path.display());
    std::fs::rename(path, &to).map_err(|e| e.to_string())?;
    let r = k.cri.reopen_container_log(rt::ReopenContainerLogRequest { container_id: id.to_owned() }).await;
    r.map(|_| ()).map_err(|e| {
        // The runtime still writes to the old file: give it its name back.
        let _ = std::fs::rename(&to, path);
        e.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, pod: &str, name: &str, created: i64, running: bool) -> rt::Container {
        rt::Container {
            id: id.into(),
            created_at: created,
            state: if running {
                rt::ContainerState::ContainerRunning
            } else {
                rt::ContainerState::ContainerExited
            } as i32,
            labels: HashMap::from([
                (LABEL_POD_UID.to_owned(), pod.to_owned()),
                (LABEL_CONTAINER_NAME.to_owned(), name.to_owned()),
                (LABEL_POD_NAME.to_owned(), "p".to_owned()),
            ]),
            ..Default::default()
        }
    }

    #[test]
    fn newest_dead_stay() {
        let all = [
            container("a1", "p", "a", 1, false),
            container("a2", "p", "a", 2, false),
            container("a3", "p", "a", 3, true),
            container("b1", "p", "b", 1, false),
            container("b2", "p", "b", 2, false),
            container("b3", "p", "b", 3, false),
        ];
        assert_eq!(dead(&all, 100), ["a1", "b1"]);
    }

    #[test]
    fn orphans_can_be_stopped_gently() {
        let mut c = container("a", "u1", "web", 1, true);
        c.labels.insert(LABEL_POD_NAMESPACE.into(), "ns".into());
        let a = HashMap::from([
            (ANN_TERMINATION_GRACE.to_owned(), "7".to_owned()),
            (ANN_PRE_STOP.to_owned(), r#"{"exec":{"command":["x"]}}"#.to_owned()),
        ]);
        let p = pod_from_runtime("u1", &[], &[(c, a)]);
        assert_eq!((helpers::key(&p).as_str(), uid(&p)), ("ns/p", "u1"));
        let s = helpers::spec(&p);
        assert_eq!(s.termination_grace_period_seconds, Some(7));
        assert!(s.containers[0].lifecycle.as_ref().unwrap().pre_stop.is_some());
    }
}
