//! The node's part, which server and agent share: runtime, network, kubelet, service proxy.

use crate::containerd;
use crate::flags::Common;
use client::Client;
use k8s_openapi::api::core::v1::Node;
use proxyplan::Family;
use runtime::Runtime;
use runtime::notify::Notify;
use setup::Pki;
use setup::pki::LeafSpec;
use std::path::Path;
use std::time::Duration;

pub struct Host<'a> {
    pub common: &'a Common,
    /// What signs the kubelet's serving certificate; without it the kubelet asks the cluster for one.
    pub pki: Option<&'a Pki>,
    /// The kubelet's client; `None` runs none.
    pub kubelet: Option<Client>,
    /// The client of pod network and service proxy.
    pub network: Client,
    pub proxy: bool,
}

/// Whether this process may run containers at all.
pub fn may_run() -> Result<(), String> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err("containers need root: run as root, or with --disable=kubelet,kube-proxy for a control plane alone"
        .to_owned())
}

/// Links that let the runtime execute this program as CNI plugins.
pub fn link_plugins(bin: &Path) -> Result<(), String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    std::fs::create_dir_all(bin).map_err(|e| format!("{}: {e}", bin.display()))?;
    for name in ["keelson-cni", "loopback"] {
        let at = bin.join(name);
        if std::fs::read_link(&at).is_ok_and(|to| to == me) {
            continue;
        }
        let tmp = bin.join(format!(".{name}.new"));
        let _ = std::fs::remove_file(&tmp);
        std::os::unix::fs::symlink(&me, &tmp)
            .and_then(|()| std::fs::rename(&tmp, &at))
            .map_err(|e| format!("{}: {e}", at.display()))?;
    }
    Ok(())
}

/// Where the addresses of this node's pods are reserved.
pub fn addresses(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("cni/addresses")
}

pub async fn start(h: Host<'_>, rt: &Runtime, notify: &Notify) -> Result<(), String> {
    let c = h.common;
    let paths = containerd::Paths::new(&c.data_dir);
    let own_runtime = c.container_runtime_endpoint.is_none();
    let mut pinned = vec![];
    if h.kubelet.is_some() {
        link_plugins(&paths.cni_bin)?;
        if own_runtime {
            notify.status("starting the container runtime");
            containerd::ensure(&paths, &c.pod_infra_container_image).await?;
            let kept = containerd::keep(paths.clone(), c.pod_infra_container_image.clone());
            rt.spawn_until_stop("container runtime", kept);
            notify.status("importing images");
            let (n, names) = containerd::import_images(&paths, &c.data_dir.join("images")).await?;
            tracing::info!(archives = n, "images imported");
            pinned = names;
        } else if let Some(endpoint) = &c.container_runtime_endpoint {
            containerd::check(endpoint).await?;
        }
    }
    let network = cni::Config {
        node_name: c.node_name(),
        cluster_cidr: c.cluster_cidr,
        service_cidr: c.service_cluster_ip_range,
        cni_conf_dir: paths.cni_conf.clone(),
        data_dir: addresses(&c.data_dir),
        mtu: 0,
    };
    if h.kubelet.is_some() || h.proxy {
        let (client, task) = (h.network.clone(), rt.clone());
        rt.spawn("pod-network", async move {
            if let Err(e) = cni::run(network, client, task).await {
                tracing::error!("{e}");
            }
        });
    }
    if h.proxy {
        let config = kube_proxy::Config {
            options: proxyplan::Options {
                node_name: c.node_name(),
                cluster_cidrs: vec![c.cluster_cidr.into()],
                service_cidrs: vec![c.service_cluster_ip_range.into()],
                ..proxyplan::Options::default()
            },
            families: vec![Family::V4],
            healthz: Some(([0, 0, 0, 0], 10256).into()),
            metrics: Some(([127, 0, 0, 1], 10249).into()),
        };
        let policies = kube_proxy::policy::run(c.node_name(), vec![false], h.network.clone(), rt.clone());
        rt.spawn("network-policy", policies);
        rt.spawn("kube-proxy", kube_proxy::run(config, h.network.clone(), rt.clone()));
    }
    if let Some(client) = h.kubelet {
        kubelet(c, &paths, pinned, h.pki, client, rt)?;
    }
    Ok(())
}

fn kubelet(
    c: &Common,
    paths: &containerd::Paths,
    pinned_images: Vec<String>,
    pki: Option<&Pki>,
    client: Client,
    rt: &Runtime,
) -> Result<(), String> {
    let ip = c.host_ip();
    let name = c.node_name();
    let serving = LeafSpec {
        common_name: format!("system:node:{name}"),
        organization: "system:nodes".into(),
        dns: vec![name.clone()],
        ips: vec![ip],
        server: true,
        client: false,
    };
    if let Some(p) = pki {
        p.leaf("kubelet", &serving).map_err(|e| e.to_string())?;
    }
    let dir = c.data_dir.join("pki");
    let mut config = kubelet::Config {
        node_name: name,
        node_ips: vec![ip.to_string()],
        node_labels: c.node_labels.iter().map(|l| split(l)).collect(),
        register_taints: c.register_with_taints.clone(),
        root_dir: c.data_dir.join("kubelet"),
        runtime_endpoint: c.container_runtime_endpoint.clone().unwrap_or_else(|| paths.endpoint()),
        tls_cert_file: pki.map(|_| dir.join("kubelet.crt")),
        tls_key_file: pki.map(|_| dir.join("kubelet.key")),
        // Approved for the node's own names and addresses, by the controllers (`csr_approving::serving`).
        serving_cert_dir: pki.is_none().then(|| dir.clone()),
        client_ca_file: Some(dir.join("ca.crt")),
        cluster_dns: vec![c.dns_ip().to_string()],
        cluster_domain: c.cluster_domain.clone(),
        max_pods: c.max_pods,
        pod_infra_container_image: Some(c.pod_infra_container_image.clone()),
        pinned_images,
        ..kubelet::Config::default()
    };
    config.eviction.hard = c.eviction_hard.iter().cloned().collect();
    config.image_gc.high_percent = c.image_gc_high_threshold;
    config.image_gc.low_percent = c.image_gc_low_threshold;
    let task = rt.clone();
    rt.spawn("kubelet", async move {
        if let Err(e) = kubelet::run(config, client, task).await {
            tracing::error!("the kubelet ended: {e}");
        }
    });
    Ok(())
}

fn split(label: &str) -> (String, String) {
    let (k, v) = label.split_once('=').unwrap_or((label, ""));
    (k.to_owned(), v.to_owned())
}

/// Whether a node says that it is Ready.
pub fn is_ready(n: &Node) -> bool {
    let mut conditions = n.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Waits until a node says that it is Ready.
pub async fn wait_ready(c: &Client, name: &str) {
    loop {
        if c.get::<Node>(None, name).await.is_ok_and(|n| is_ready(&n)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Ends containers and runtime of a data directory whose server has ended, lets go of its volumes, and takes away the
/// rules, routes and addresses of the pod network.
pub async fn stop_containers(c: &Common) -> Result<(), String> {
    let paths = containerd::Paths::new(&c.data_dir);
    containerd::stop(&paths).await?;
    containerd::unmount_below(&c.data_dir);
    let run = async |program: &str, args: &[&str]| {
        let out = tokio::process::Command::new(program).args(args).output().await;
        // A program or a rule that is not there leaves nothing to take away.
        out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    };
    for table in run("nft", &["list", "tables"]).await.lines() {
        if let ["table", family, name] = table.split(' ').collect::<Vec<_>>()[..]
            && name.starts_with("keelson-")
        {
            run("nft", &["delete", "table", family, name]).await;
        }
    }
    let protocol = cni::ROUTE_PROTOCOL.to_string();
    for route in run("ip", &["-4", "route", "show", "proto", &protocol]).await.lines() {
        let mut words = route.split_whitespace();
        if words.any(|w| w == "src")
            && let Some(source) = words.next()
        {
            run("ip", &["address", "delete", &format!("{source}/32"), "dev", "lo"]).await;
        }
    }
    run("ip", &["-4", "route", "flush", "proto", &protocol]).await;
    run("ip", &["link", "delete", cni::routes::TUNNEL]).await;
    Ok(())
}
