//! The node agent: pods, volumes, probes, status, streaming server.
//!
//! [`run`] is the whole kubelet for a [`Config`], an API client and a runtime. Deciding is in [`pod`] (pure: what a pod
//! needs, what to report); one task for each pod carries it out ([`worker`]).

pub mod act;
mod applet;
pub mod certs;
pub mod cgroups;
pub mod config;
pub mod events;
pub mod flags;
pub mod gc;
pub mod images;
pub mod kubelet;
pub mod logs;
pub mod node;
pub mod objects;
pub mod pleg;
pub mod pod;
pub mod podcert;
pub mod probes;
mod rand;
pub mod server;
pub mod sources;
pub mod static_pods;
pub mod status_manager;
pub mod view;
pub mod volumes;
pub mod worker;
mod yaml;

pub use applet::run_applet;
pub use config::Config;

use crate::kubelet::Kubelet;
use crate::pod::backoff::Backoff;
use client::{Client, InformerFactory};
use images::keyring::Keyring;
use runtime::Runtime;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use tokio::sync::Notify;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Config(String),
    #[error("making {0}")]
    Directory(std::path::PathBuf, #[source] std::io::Error),
    #[error("container runtime: {0}")]
    Runtime(#[from] cri::Error),
}

/// Makes the kubelet's parts; nothing runs yet.
async fn assemble(
    mut cfg: Config,
    client: Client,
    rt: &Runtime,
) -> Result<(Arc<Kubelet>, tokio::sync::mpsc::Receiver<events::Event>, Arc<sources::ServiceCache>), Error> {
    if cfg.node_name.is_empty() {
        cfg.node_name = host_name();
    }
    for d in [
        cfg.root_dir.clone(),
        cfg.root_dir.join("pods"),
        cfg.root_dir.join("seccomp"),
        cfg.pod_logs_dir.clone(),
    ] {
        std::fs::create_dir_all(&d).map_err(|e| Error::Directory(d, e))?;
    }
    let swap = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    if cfg.fail_swap_on && swap.lines().count() > 1 {
        return Err(Error::Config(
            "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false"
                .into(),
        ));
    }
    let cri: Arc<dyn cri::Runtime> = match &cfg.runtime {
        Some(r) => r.clone(),
        None => Arc::new(cri::Remote::new(
            &cfg.runtime_endpoint,
            &cfg.image_endpoint,
            cfg.runtime_request_timeout,
        )?),
    };
    let host_ips = host_ips(&cfg)?;
    let machine = node::machine::inspect();
    let capacity = node::status::capacity(&machine, node::machine::disk(&cfg.root_dir), cfg.max_pods);
    let allocatable = node::status::allocatable(&capacity, &cfg);
    let state = node::runtime_state::ask(&*cri, &node::runtime_state::State::default()).await;
    if let Err(e) = &state.runtime {
        tracing::error!(
            "--container-runtime-endpoint {}: no container runtime answers there ({e}); waiting for it",
            cfg.runtime_endpoint
        );
    }
    let driver = state.cgroup_driver.unwrap_or(&cfg.cgroup_driver);
    if driver != cfg.cgroup_driver {
        tracing::warn!(
            "--cgroup-driver is {}, but the container runtime uses {driver}: so does this kubelet",
            cfg.cgroup_driver
        );
    }
    node::claim::wait(&client, &cfg.node_name, &machine, &host_ips, rt).await;
    let cgroups = cgroups::Cgroups::new(cgroups::Settings {
        enabled: cfg.cgroups_per_qos,
        systemd: driver == "systemd",
        root: cfg.cgroup_root.clone(),
        cfs_quota: cfg.cpu_cfs_quota,
        cfs_period: i64::try_from(cfg.cpu_cfs_period.as_micros()).unwrap_or(100_000),
        pids_limit: cfg.pod_pids_limit,
    });
    let enforce = cfg.enforce_node_allocatable.iter().any(|e| e == "pods");
    let memory = if enforce { pod::qos::value(Some(&allocatable), "memory") } else { -1 };
    let cgroups = match cgroups.ensure_root(pod::qos::milli(Some(&allocatable), "cpu"), memory) {
        Ok(()) => cgroups,
        Err(e) => {
            tracing::warn!(error = %e, "cgroups of pods cannot be made; containers run in the runtime's own");
            cgroups.off()
        }
    };
    let (recorder, events) = events::Recorder::new(&cfg.node_name);
    let mut keyring = Keyring::default();
    if let Ok(text) = std::fs::read(cfg.root_dir.join("config.json"))
        && let Err(e) = keyring.add_config(&text)
    {
        tracing::warn!(error = e, "the node's registry credentials left out");
    }
    let parallel = if cfg.serialize_image_pulls {
        Some(1)
    } else {
        (cfg.max_parallel_image_pulls > 0).then_some(cfg.max_parallel_image_pulls)
    };
    let watched = objects::Watched::new(client.clone(), rt.clone());
    let services = Arc::new(sources::ServiceCache::default());
    let max_backoff = i64::try_from(cfg.max_container_restart_period.as_secs()).unwrap_or(300);
    let k = Arc::new(Kubelet {
        images: images::Images::new(cri.clone(), rt.clock.clone(), recorder.clone(), parallel, keyring),
        prober: Arc::new(probes::Prober::new(cri.clone(), recorder.clone(), rt.clone())),
        volumes: volumes::Volumes::new(&cfg.root_dir, watched.clone()),
        objects: watched.clone(),
        watched,
        services: services.clone(),
        cgroups,
        status: status_manager::StatusManager::default(),
        crashes: Mutex::new(Backoff::new(10.min(max_backoff), max_backoff)),
        machine,
        runtime_state: node::runtime_state::RuntimeState::default(),
        host_ips,
        start_time: rt.clock.unix_nanos(),
        pods: Mutex::new(HashMap::new()),
        mirrors: Mutex::default(),
        waiting_static: Mutex::default(),
        node_labels: RwLock::new(None),
        allocatable,
        node_changed: Notify::new(),
        conditions: Mutex::default(),
        cfg,
        client,
        cri,
        rt: rt.clone(),
        recorder,
    });
    k.runtime_state.set(state);
    let weak = Arc::downgrade(&k);
    k.watched.on_change(Arc::new(move |uid| {
        if let Some(k) = weak.upgrade() {
            k.wake(uid);
        }
    }));
    Ok((k, events, services))
}

/// The host's name, as nodes are named.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().trim().to_lowercase()
}

/// Tells systemd that the service is up.
pub(crate) fn notify_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = std::os::unix::net::UnixDatagram::unbound().and_then(|s| {
        use std::os::linux::net::SocketAddrExt;
        let text = path.to_string_lossy();
        let addr = match text.strip_prefix('@') {
            Some(name) => std::os::unix::net::SocketAddr::from_abstract_name(name)?,
            None => std::os::unix::net::SocketAddr::from_pathname(&path)?,
        };
        s.send_to_addr(b"READY=1", &addr)
    });
    if let Err(e) = told {
        tracing::debug!(error = %e, "telling systemd failed");
    }
}

/// The node's addresses: as given, else that of the default route.
fn host_ips(cfg: &Config) -> Result<Vec<String>, Error> {
    let mut out: Vec<String> = vec![];
    for ip in &cfg.node_ips {
        let parsed: std::net::IpAddr =
            ip.parse().map_err(|_| Error::Config(format!("node IP {ip:?} is no address")))?;
        if !parsed.is_unspecified() {
            out.push(parsed.to_string());
        }
    }
    if out.is_empty() {
        let found = node::machine::default_address(false).or_else(|| node::machine::default_address(true));
        out.extend(found.map(|ip| ip.to_string()));
    }
    if out.is_empty() {
        tracing::warn!("the machine has no default route and --node-ip is not set: the node has no address");
    }
    Ok(out)
}

/// Runs a kubelet until the runtime stops. Containers go on when it ends.
pub async fn run(cfg: Config, client: Client, rt: Runtime) -> Result<(), Error> {
    let client = client.named("kubelet");
    let (k, events, services) = assemble(cfg, client.clone(), &rt).await?;
    let factory = InformerFactory::new(client.transport.clone(), &rt);
    rt.spawn(
        "kubelet events",
        events::run(client.clone(), k.cfg.node_name.clone(), events, rt.clock.clone(), rt.clone()),
    );
    rt.spawn("kubelet services", services.run(factory, rt.clone()));
    rt.spawn("kubelet status", k.status.clone().run(client, rt.clone()));
    rt.spawn("kubelet node", node::status::run(k.clone()));
    rt.spawn("kubelet lease", node::lease::run(k.clone()));
    rt.spawn("kubelet runtime", node::status::watch_runtime(k.clone()));
    rt.spawn("kubelet pleg", pleg::run(k.clone()));
    rt.spawn("kubelet static pods", static_pods::run(k.clone()));
    rt.spawn("kubelet gc", gc::run(k.clone()));
    rt.spawn("kubelet eviction", node::eviction::run(k.clone()));
    rt.spawn("kubelet logs", gc::rotate_logs(k.clone()));
    if k.cfg.port != 0 {
        server::run(k.clone()).await?;
    }
    k.recorder.node("Normal", "Starting", "Starting kubelet.");
    sources::pods(k.clone()).await;
    rt.stopping().await;
    Ok(())
}
