//! Starting: the sandbox, and containers from image to running.

use super::Worker;
use crate::images::{StartError, Want};
use crate::kubelet::Kubelet;
use crate::pod::config::{self, ContainerInput, SandboxNode};
use crate::pod::dns;
use crate::pod::env::{self, Map, Sources};
use crate::pod::fields::{self, Node};
use crate::pod::helpers::{self, host_network, namespace, spec};
use crate::pod::hosts;
use crate::pod::observe::State;
use crate::pod::plan::{KillReason, Plan};
use crate::pod::security::{self, ImageUser};
use crate::volumes::{Mounted, Source, subpath};
use cri::v1 as rt;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

fn security_node<'a>(k: &'a Kubelet, seccomp_root: &'a str, extra: &'a [i64]) -> security::Node<'a> {
    security::Node {
        seccomp_default: k.cfg.seccomp_default,
        seccomp_root,
        extra_groups: extra,
        masked: &k.machine.masked,
    }
}

fn sandbox_config(w: &Worker, attempt: u32) -> Result<rt::PodSandboxConfig, String> {
    let k = &w.k;
    let pod = &w.pod;
    let text = match &k.cfg.resolv_conf {
        None => None,
        Some(p) => Some(fs::read_to_string(p).map_err(|e| format!("open {}: {e}", p.display()))?),
    };
    let node = dns::Node {
        cluster_dns: &k.cfg.cluster_dns,
        cluster_domain: &k.cfg.cluster_domain,
        resolv_conf: text.as_deref(),
    };
    let answer = dns::pod_dns(pod, &node);
    for (reason, m) in &answer.warnings {
        k.recorder.pod(pod, "Warning", reason, m);
    }
    let seccomp = k.cfg.root_dir.join("seccomp");
    config::sandbox(
        pod,
        attempt,
        &SandboxNode {
            dns: answer.dns,
            cluster_domain: &k.cfg.cluster_domain,
            logs_root: &k.cfg.pod_logs_dir.to_string_lossy(),
            cgroup_parent: &k.cgroups.parent(pod),
            security: security_node(k, &seccomp.to_string_lossy(), &w.mounted.extra_groups),
            cfs_quota: k.cfg.cpu_cfs_quota,
            cfs_period: i64::try_from(k.cfg.cpu_cfs_period.as_micros()).unwrap_or(100_000),
        },
    )
}

async fn runtime_handler(k: &Kubelet, pod: &Pod) -> Result<String, String> {
    match spec(pod).runtime_class_name.as_deref().filter(|n| !n.is_empty()) {
        None => Ok(String::new()),
        Some(name) => k.watched.runtime_handler(name).await,
    }
}

pub(super) async fn create_sandbox(w: &mut Worker, attempt: u32) -> Result<(), String> {
    let k = w.k.clone();
    let cfg = sandbox_config(w, attempt)?;
    fs::create_dir_all(&cfg.log_directory)
        .and_then(|()| fs::set_permissions(&cfg.log_directory, fs::Permissions::from_mode(0o755)))
        .map_err(|e| format!("creating log directory {}: {e}", cfg.log_directory))?;
    let runtime_handler = runtime_handler(&k, &w.pod).await?;
    let req = rt::RunPodSandboxRequest { config: Some(cfg), runtime_handler };
    k.cri.run_pod_sandbox(req).await.map(|_| ()).map_err(|e| e.to_string())
}

/// Starts one container of the plan.
pub(super) async fn start(
    w: &mut Worker,
    p: &Plan,
    c: &Container,
    target: Option<&str>,
) -> Result<(), StartError> {
    let k = w.k.clone();
    let pod = w.pod.clone();
    backoff(w, c)?;
    let cfg_error = |m: String| StartError::new("CreateContainerConfigError", m);
    let event = |kind: &str, reason: &str, m: &str| k.recorder.container(&pod, &c.name, kind, reason, m);
    let fail = |m: &str| event("Warning", "Failed", &format!("Error: {m}"));
    let sandbox = sandbox_config(w, p.attempt).map_err(cfg_error)?;
    let handler = runtime_handler(&k, &pod).await.map_err(cfg_error)?;
    let secrets = pull_secrets(w, &handler).await;
    let image_volumes = pull_image_volumes(w, c, &sandbox, &secrets, &handler).await?;
    let want = Want {
        pod: &pod,
        container: &c.name,
        image: c.image.as_deref().unwrap_or(""),
        policy: c.image_pull_policy.as_deref().unwrap_or("IfNotPresent"),
        secrets: &secrets,
        sandbox: &sandbox,
        handler: &handler,
    };
    let image_ref = tokio::select! {
        r = k.images.ensure(&want) => r.inspect_err(|e| fail(&e.reason))?,
        () = Worker::until_ending(&w.rx) => return Err(StartError::new("ContainerCreating", "")),
    };
    let restart_count = restart_count(w, c);
    let target_id = match target {
        None => None,
        Some(t) => {
            let found = w.observed.newest(t).filter(|i| i.state == State::Running).map(|i| i.id.clone());
            let id = found.ok_or_else(|| {
                let m = format!("unable to find target container {t}");
                fail(&m);
                cfg_error(m)
            })?;
            Some(id)
        }
    };
    let user = image_user(&k, want.image).await.map_err(|e| {
        fail(&e);
        cfg_error(e)
    })?;
    let made =
        container_config(w, c, restart_count, &image_ref, &user, target_id.as_deref(), &image_volumes).await;
    let config = made.map_err(|m| {
        fail(&m);
        cfg_error(m)
    })?;
    let log_dir = Path::new(&sandbox.log_directory).join(&c.name);
    fs::create_dir_all(&log_dir).map_err(|e| {
        let m = format!("create container log directory for container {} failed: {e}", c.name);
        fail(&m);
        cfg_error(m)
    })?;
    let log_path = Path::new(&sandbox.log_directory).join(&config.log_path);
    let req = rt::CreateContainerRequest {
        pod_sandbox_id: p.sandbox.clone(),
        config: Some(config),
        sandbox_config: Some(sandbox.clone()),
    };
    let id = match k.cri.create_container(req).await {
        Ok(r) => r.container_id,
        Err(e) => {
            fail(&e.message);
            return Err(StartError::new("CreateContainerError", e.message));
        }
    };
    event("Normal", "Created", "Container created");
    w.actual.insert(id.clone(), c.resources.clone().unwrap_or_default());
    if let Err(e) = k.cri.start_container(rt::StartContainerRequest { container_id: id.clone() }).await {
        let m = e.message.replace(&id, &c.name);
        fail(&m);
        return Err(StartError::new("RunContainerError", m));
    }
    event("Normal", "Started", "Container started");
    link_log(&pod, c, &id, &log_path);
    post_start(w, c, &id).await
}

/// CrashLoopBackOff: a container that ended waits before it starts again.
fn backoff(w: &Worker, c: &Container) -> Result<(), StartError> {
    let k = &w.k;
    let Some(last) = w.observed.newest(&c.name).filter(|i| i.state == State::Exited) else {
        return Ok(());
    };
    let key = format!("{}/{}/{}", w.uid, c.name, helpers::container_hash(c));
    let now = k.now();
    let mut crashes = k.crashes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(until) = crashes.until(&key, last.finished, now) {
        let pod = helpers::format(&w.pod);
        let m = format!("Back-off restarting failed container {} in pod {pod}", c.name);
        k.recorder.container(&w.pod, &c.name, "Warning", "BackOff", &m);
        let delay = crate::pod::backoff::go_seconds(crashes.delay_seconds(&key));
        return Err(StartError {
            reason: "CrashLoopBackOff".into(),
            message: format!("back-off {delay} restarting failed container={} pod={pod}", c.name),
            retry_at: Some(until),
        });
    }
    crashes.next(&key, last.finished, now);
    Ok(())
}

/// One more than the newest instance's; without one, after the newest log that is there.
fn restart_count(w: &Worker, c: &Container) -> i32 {
    if let Some(i) = w.observed.newest(&c.name) {
        return i.restart_count + 1;
    }
    let dir = config::pod_log_dir(&w.k.cfg.pod_logs_dir.to_string_lossy(), &w.pod);
    let Ok(list) = fs::read_dir(Path::new(&dir).join(&c.name)) else { return 0 };
    list.flatten()
        .filter_map(|e| {
            let name = e.file_name().into_string().ok()?;
            name.split('.').next()?.parse::<i32>().ok()
        })
        .max()
        .map_or(0, |n| n + 1)
}

async fn image_user(k: &Kubelet, image: &str) -> Result<ImageUser, String> {
    let i = k.images.status(image).await.map_err(|e| e.to_string())?;
    Ok(match i {
        Some(i) => match i.uid {
            Some(u) => ImageUser { uid: Some(u.value), name: String::new() },
            None if !i.username.is_empty() => ImageUser { uid: None, name: i.username },
            None => ImageUser { uid: Some(0), name: String::new() },
        },
        None => ImageUser { uid: Some(0), name: String::new() },
    })
}

async fn pull_secrets(w: &Worker, _handler: &str) -> Vec<Arc<Secret>> {
    let mut out = vec![];
    let mut missing = vec![];
    for r in spec(&w.pod).image_pull_secrets.iter().flatten().filter(|r| !r.name.is_empty()) {
        match w.k.objects.secret(namespace(&w.pod), &r.name).await {
            Ok(Some(s)) => out.push(s),
            _ => missing.push(r.name.clone()),
        }
    }
    if !missing.is_empty() {
        let m = format!(
            "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
            missing.join(", ")
        );
        w.k.recorder.pod(&w.pod, "Warning", "FailedToRetrieveImagePullSecret", &m);
    }
    out
}

/// An image to be mounted: by the runtime, or mounted already at a place.
struct ImageVolume {
    image: String,
    dir: Option<std::path::PathBuf>,
}

/// Pulls the images that the container mounts as volumes; answers their references by volume.
async fn pull_image_volumes(
    w: &Worker,
    c: &Container,
    sandbox: &rt::PodSandboxConfig,
    secrets: &[Arc<Secret>],
    handler: &str,
) -> Result<BTreeMap<String, ImageVolume>, StartError> {
    let mut out = BTreeMap::new();
    for m in c.volume_mounts.iter().flatten() {
        let Some(Source::Image { reference, policy }) = w.mounted.sources.get(&m.name) else { continue };
        let want =
            Want { pod: &w.pod, container: &c.name, image: reference, policy, secrets, sandbox, handler };
        let image = w.k.images.ensure(&want).await?;
        let dir = w
            .mount_image(&m.name, reference)
            .await
            .map_err(|e| StartError::new("CreateContainerConfigError", e))?;
        out.insert(m.name.clone(), ImageVolume { image, dir });
    }
    Ok(out)
}

/// The sources of variables, fetched beforehand.
struct Fetched<'a> {
    pod: &'a Pod,
    container: &'a Container,
    maps: BTreeMap<String, Option<Arc<ConfigMap>>>,
    secrets: BTreeMap<String, Option<Arc<Secret>>>,
    node: Node<'a>,
    mounted: &'a Mounted,
}

impl Sources for Fetched<'_> {
    fn config_map(&self, name: &str) -> Result<Option<Map>, String> {
        Ok(self.maps.get(name).and_then(Option::as_ref).map(|m| m.data.clone().unwrap_or_default()))
    }
    fn secret(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
        Ok(self
            .secrets
            .get(name)
            .and_then(Option::as_ref)
            .map(|s| s.data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone())).collect()))
    }
    fn field(&self, path: &str) -> Result<String, String> {
        fields::field(self.pod, path, &self.node)
    }
    fn resource(&self, container: &str, resource: &str, divisor: &str) -> Result<String, String> {
        fields::resource(self.pod, Some(self.container), container, resource, divisor, &self.node)
    }
    fn file_key(&self, volume: &str, path: &str, key: &str) -> Result<String, String> {
        let Some(Source::Host { path: dir, .. }) = self.mounted.sources.get(volume) else {
            return Err(format!("cannot find the volume {volume:?} referenced by FileKeyRef"));
        };
        subpath::validate(path)?;
        let text = fs::read_to_string(dir.join(path)).map_err(|_| "couldn't parse env file".to_owned())?;
        Ok(env::env_file_key(&text, key))
    }
    fn namespace(&self) -> &str {
        namespace(self.pod)
    }
}

async fn environment(w: &Worker, c: &Container, pod_ips: &[String]) -> Result<Map, String> {
    let k = &w.k;
    let pod = &w.pod;
    let services = match k.services.list() {
        Some(list) => {
            let links = spec(pod).enable_service_links.unwrap_or(true);
            env::service_env(&list, namespace(pod), links)
        }
        None if helpers::is_static(pod) => Map::new(),
        None => return Err("services have not yet been read at least once, cannot construct envvars".into()),
    };
    let mut maps = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    let ns = namespace(pod);
    let from = c.env_from.iter().flatten();
    let map_names = from.clone().filter_map(|e| e.config_map_ref.as_ref().map(|r| &r.name)).chain(
        c.env
            .iter()
            .flatten()
            .filter_map(|e| e.value_from.as_ref()?.config_map_key_ref.as_ref().map(|r| &r.name)),
    );
    for n in map_names {
        if !maps.contains_key(n) {
            maps.insert(n.clone(), k.objects.config_map(ns, n).await?);
        }
    }
    let secret_names = from.filter_map(|e| e.secret_ref.as_ref().map(|r| &r.name)).chain(
        c.env
            .iter()
            .flatten()
            .filter_map(|e| e.value_from.as_ref()?.secret_key_ref.as_ref().map(|r| &r.name)),
    );
    for n in secret_names {
        if !secrets.contains_key(n) {
            secrets.insert(n.clone(), k.objects.secret(ns, n).await?);
        }
    }
    let fetched = Fetched {
        pod,
        container: c,
        maps,
        secrets,
        node: Node { host_ips: &k.host_ips, pod_ips, allocatable: Some(&k.allocatable) },
        mounted: &w.mounted,
    };
    env::environment(c, &services, &fetched)
}

async fn container_config(
    w: &Worker,
    c: &Container,
    restart_count: i32,
    image_ref: &str,
    user: &ImageUser,
    target: Option<&str>,
    image_volumes: &BTreeMap<String, ImageVolume>,
) -> Result<rt::ContainerConfig, String> {
    let k = &w.k;
    let pod = &w.pod;
    let pod_ips = if host_network(spec(pod)) { &k.host_ips } else { &w.observed.ips };
    let env = environment(w, c, pod_ips).await?;
    let mounts = mounts(w, c, &env, pod_ips, image_volumes)?;
    let seccomp = k.cfg.root_dir.join("seccomp");
    let mut config = config::container(ContainerInput {
        pod,
        container: c,
        restart_count,
        image_ref,
        image_user: user,
        env: &env,
        mounts,
        target,
        security: security_node(k, &seccomp.to_string_lossy(), &w.mounted.extra_groups),
        memory_capacity: k.machine.memory,
        cfs_quota: k.cfg.cpu_cfs_quota,
        cfs_period: i64::try_from(k.cfg.cpu_cfs_period.as_micros()).unwrap_or(100_000),
        hugepages: hugepages(k, c),
    })?;
    for d in c.volume_devices.iter().flatten() {
        let Some(Source::Block { path }) = w.mounted.sources.get(&d.name) else {
            return Err(format!("cannot find volume {:?} to pass into container {:?}", d.name, c.name));
        };
        config.devices.push(rt::Device {
            container_path: d.device_path.clone(),
            host_path: path.to_string_lossy().into_owned(),
            permissions: "mrw".into(),
        });
    }
    Ok(config)
}

/// Limits of all page sizes the machine has, zero where the container asks for none.
fn hugepages(k: &Kubelet, c: &Container) -> Vec<(String, u64)> {
    k.machine
        .hugepages
        .iter()
        .map(|(size, _)| {
            let limit = crate::pod::qos::value(crate::pod::qos::limits(c), &format!("hugepages-{size}"));
            // runc's names: 2MB, 1GB.
            let name = size.replace("Ki", "KB").replace("Mi", "MB").replace("Gi", "GB");
            (name, u64::try_from(limit).unwrap_or(0))
        })
        .collect()
}

fn propagation(m: Option<&str>) -> i32 {
    match m {
        Some("HostToContainer") => rt::MountPropagation::PropagationHostToContainer as i32,
        Some("Bidirectional") => rt::MountPropagation::PropagationBidirectional as i32,
        _ => rt::MountPropagation::PropagationPrivate as i32,
    }
}

fn mounts(
    w: &Worker,
    c: &Container,
    env: &Map,
    pod_ips: &[String],
    image_volumes: &BTreeMap<String, ImageVolume>,
) -> Result<Vec<rt::Mount>, String> {
    let k = &w.k;
    let pod_dir = k.volumes.pod_dir(&w.uid);
    let mut out = vec![];
    let mut own_hosts = false;
    for (i, m) in c.volume_mounts.iter().flatten().enumerate() {
        own_hosts |= m.mount_path == "/etc/hosts";
        let source =
            w.mounted.sources.get(&m.name).ok_or_else(|| {
                format!("cannot find volume {:?} to mount into container {:?}", m.name, c.name)
            })?;
        let sub = match m.sub_path_expr.as_deref().filter(|e| !e.is_empty()) {
            Some(e) => expand_all(e, env)?,
            None => m.sub_path.clone().unwrap_or_default(),
        };
        subpath::validate(&sub)?;
        let container_path =
            if m.mount_path.starts_with('/') { m.mount_path.clone() } else { format!("/{}", m.mount_path) };
        let mut mount = rt::Mount {
            container_path,
            readonly: m.read_only == Some(true),
            propagation: propagation(m.mount_propagation.as_deref()),
            recursive_read_only: recursive_read_only(k, m)?,
            ..Default::default()
        };
        match source {
            Source::Host { path, read_only } => {
                mount.readonly |= *read_only;
                let host = if sub.is_empty() {
                    path.clone()
                } else {
                    subpath::prepare(&pod_dir, &m.name, &c.name, i, path, &sub).map_err(|e| {
                        // The user must not learn about the node's files.
                        tracing::warn!(pod = helpers::key(&w.pod), volume = m.name, error = %e, "preparing a subPath failed");
                        format!("failed to prepare subPath for volumeMount {:?} of container {:?}", m.name, c.name)
                    })?
                };
                mount.host_path = host.to_string_lossy().into_owned();
            }
            Source::Image { .. } => {
                let v =
                    image_volumes.get(&m.name).ok_or_else(|| format!("no image for volume {:?}", m.name))?;
                match &v.dir {
                    Some(d) => {
                        let path = super::image_volume::inside(d, &sub).ok_or_else(|| {
                            format!(
                                "failed to prepare subPath for volumeMount {:?} of container {:?}",
                                m.name, c.name
                            )
                        })?;
                        mount.host_path = path.to_string_lossy().into_owned();
                    }
                    None => {
                        mount.image = Some(rt::ImageSpec { image: v.image.clone(), ..Default::default() });
                        mount.image_sub_path = sub;
                    }
                }
                mount.readonly = true;
            }
            Source::Block { .. } => {
                return Err(format!("volume {:?} is a block device and cannot be mounted", m.name));
            }
        }
        out.push(mount);
    }
    let has_hosts = !pod_ips.is_empty() || host_network(spec(&w.pod));
    if has_hosts && !own_hosts {
        out.push(hosts_mount(w, &pod_dir, pod_ips)?);
    }
    if let Some(m) = termination_log(w, c, &pod_dir) {
        out.push(m);
    }
    Ok(out)
}

/// Recursive read-only, where the runtime has it (KEP 3857).
fn recursive_read_only(k: &Kubelet, m: &k8s_openapi::api::core::v1::VolumeMount) -> Result<bool, String> {
    let has = k
        .runtime_state
        .get()
        .handlers
        .iter()
        .any(|h| h.name.is_empty() && h.features.as_ref().is_some_and(|f| f.recursive_read_only_mounts));
    match m.recursive_read_only.as_deref() {
        None | Some("Disabled") => Ok(false),
        Some("IfPossible") => Ok(has && m.read_only == Some(true)),
        Some("Enabled") if has => Ok(true),
        Some("Enabled") => {
            Err("failed to resolve recursive read-only mode: not supported by the runtime".into())
        }
        Some(other) => Err(format!("unknown recursiveReadOnly {other:?}")),
    }
}

/// subPathExpr: every reference must be known.
fn expand_all(e: &str, env: &Map) -> Result<String, String> {
    let missing = std::cell::Cell::new(false);
    let out = env::expand(e, &|n| {
        let v = env.get(n).cloned();
        missing.set(missing.get() || v.is_none());
        v
    });
    if missing.get() { Err(format!("missing value for {e:?}")) } else { Ok(out) }
}

fn hosts_mount(w: &Worker, pod_dir: &Path, pod_ips: &[String]) -> Result<rt::Mount, String> {
    let s = spec(&w.pod);
    let aliases = s.host_aliases.as_deref().unwrap_or(&[]);
    let text = if host_network(s) {
        let node = fs::read_to_string("/etc/hosts").map_err(|e| format!("open /etc/hosts: {e}"))?;
        hosts::node_hosts(&node, aliases)
    } else {
        let (host, domain) = hosts::hostname(&w.pod, &w.k.cfg.cluster_domain)?;
        hosts::pod_hosts(pod_ips, &host, &domain, aliases)
    };
    let path = pod_dir.join("etc-hosts");
    fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
        .map_err(|e| format!("writing {}: {e}", path.display()))?;
    Ok(rt::Mount {
        container_path: "/etc/hosts".into(),
        host_path: path.to_string_lossy().into_owned(),
        selinux_relabel: true,
        ..Default::default()
    })
}

/// An empty file of its own for each instance's last words.
fn termination_log(w: &Worker, c: &Container, pod_dir: &Path) -> Option<rt::Mount> {
    let to = c.termination_message_path.as_deref().filter(|p| !p.is_empty())?;
    let dir = pod_dir.join("containers").join(&c.name);
    let path = dir.join(crate::rand::hex8());
    let made = fs::create_dir_all(&dir)
        .and_then(|()| fs::File::create(&path))
        .and_then(|f| f.set_permissions(fs::Permissions::from_mode(0o666)));
    if let Err(e) = made {
        tracing::warn!(pod = helpers::key(&w.pod), error = %e, "no termination log");
        return None;
    }
    Some(rt::Mount {
        container_path: if to.starts_with('/') { to.to_owned() } else { format!("/{to}") },
        host_path: path.to_string_lossy().into_owned(),
        ..Default::default()
    })
}

/// `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`, which log collectors read.
fn link_log(pod: &Pod, c: &Container, id: &str, log: &Path) {
    if !log.exists() {
        return;
    }
    let dir = Path::new("/var/log/containers");
    let name = format!("{}_{}_{}-{id}.log", helpers::name(pod), namespace(pod), c.name);
    let made = fs::create_dir_all(dir).and_then(|()| std::os::unix::fs::symlink(log, dir.join(name)));
    if let Err(e) = made {
        tracing::debug!(error = %e, "no link to the container's log");
    }
}

async fn post_start(w: &Worker, c: &Container, id: &str) -> Result<(), StartError> {
    let Some(h) = c.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else { return Ok(()) };
    let k = &w.k;
    let ip = if host_network(spec(&w.pod)) { k.host_ips.first() } else { w.observed.ips.first() };
    let ip = ip.cloned().unwrap_or_default();
    let result = tokio::select! {
        r = super::kill::run_hook(k, &w.pod, c, id, &ip, h) => r,
        () = Worker::until_ending(&w.rx) => return Ok(()),
    };
    let Err(message) = result else { return Ok(()) };
    tracing::info!(pod = helpers::key(&w.pod), error = message, "PostStart hook failed");
    k.recorder.container(&w.pod, &c.name, "Warning", "FailedPostStartHook", "PostStartHook failed");
    let want =
        super::kill::Want { id, name: &c.name, message: "FailedPostStartHook", reason: KillReason::Other };
    if let Err(e) = super::kill::kill_container(k, &w.pod, &want, None, None).await {
        tracing::warn!(pod = helpers::key(&w.pod), error = %e, "killing after a failed hook");
    }
    Err(StartError::new("PostStartHookError", message))
}
