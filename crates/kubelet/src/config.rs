//! Everything that configures a kubelet, with upstream's defaults. Flags and the KubeletConfiguration file fill it in
//! ([`crate::flags`]).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How the server knows its callers.
#[derive(Clone, Debug)]
pub struct Auth {
    pub anonymous: bool,
    /// Ask the API server who a bearer token is (TokenReview).
    pub webhook: bool,
    /// Ask the API server who may do what (SubjectAccessReview); off: everybody who is known.
    pub authorize: bool,
    /// How long answers are believed.
    pub token_ttl: Duration,
    pub allowed_ttl: Duration,
    pub denied_ttl: Duration,
}

#[derive(Clone, Debug)]
pub struct Eviction {
    /// Hard thresholds by signal (`memory.available`), as quantities or percentages.
    pub hard: BTreeMap<String, String>,
    /// Soft thresholds, and how long each must be crossed before pods go.
    pub soft: BTreeMap<String, String>,
    pub soft_grace: BTreeMap<String, Duration>,
    /// The longest grace of pods evicted by a soft threshold, in seconds; 0: none.
    pub max_pod_grace: i64,
    /// Least amounts to free.
    pub minimum_reclaim: BTreeMap<String, String>,
    /// How long a pressure condition stays after the pressure is gone.
    pub transition: Duration,
    /// How often the signals are looked at.
    pub period: Duration,
}

#[derive(Clone, Debug)]
pub struct ImageGc {
    pub high_percent: i64,
    pub low_percent: i64,
    pub min_age: Duration,
    /// Zero: images are not removed for their age.
    pub max_age: Duration,
}

#[derive(Clone)]
pub struct Config {
    pub node_name: String,
    /// The node's addresses as given; empty: the address of the default route.
    pub node_ips: Vec<String>,
    pub register_node: bool,
    pub node_labels: BTreeMap<String, String>,
    /// `key=value:Effect`
    pub register_taints: Vec<String>,
    pub provider_id: String,

    pub root_dir: PathBuf,
    pub pod_logs_dir: PathBuf,
    pub runtime_endpoint: String,
    pub image_endpoint: String,
    pub runtime_request_timeout: Duration,
    /// The image of sandboxes, which image garbage collection leaves alone.
    pub pod_infra_container_image: Option<String>,
    /// Images that garbage collection leaves alone, by their full names: no registry would give them again.
    pub pinned_images: Vec<String>,

    pub address: String,
    /// 0: no server.
    pub port: u16,
    pub read_only_port: u16,
    pub healthz_port: u16,
    pub healthz_address: String,
    /// PEM; none: a certificate made by the kubelet itself.
    pub tls_cert_file: Option<PathBuf>,
    pub tls_key_file: Option<PathBuf>,
    /// Ask the API server for a serving certificate and keep it there (serverTLSBootstrap).
    pub serving_cert_dir: Option<PathBuf>,
    pub client_ca_file: Option<PathBuf>,
    pub auth: Auth,
    pub debugging_handlers: bool,

    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    /// `None`: no resolver file at all.
    pub resolv_conf: Option<PathBuf>,

    pub max_pods: usize,
    pub pod_pids_limit: i64,
    pub static_pod_path: Option<PathBuf>,
    pub file_check: Duration,
    pub sync_frequency: Duration,

    /// `cgroupfs` or `systemd`; the runtime's own word wins where it has one.
    pub cgroup_driver: String,
    pub cgroups_per_qos: bool,
    pub cgroup_root: String,
    pub cpu_cfs_quota: bool,
    pub cpu_cfs_period: Duration,
    pub enforce_node_allocatable: Vec<String>,
    pub kube_reserved: BTreeMap<String, String>,
    pub system_reserved: BTreeMap<String, String>,

    /// Refuse to run on a machine that swaps.
    pub fail_swap_on: bool,
    pub seccomp_default: bool,
    pub allowed_unsafe_sysctls: Vec<String>,
    pub serialize_image_pulls: bool,
    /// 0: no limit.
    pub max_parallel_image_pulls: usize,
    pub image_gc: ImageGc,
    pub eviction: Eviction,
    pub max_container_restart_period: Duration,

    pub container_log_max_size: i64,
    pub container_log_max_files: usize,

    pub node_status_update: Duration,
    pub node_status_report: Duration,
    pub lease_duration_seconds: i32,

    /// A runtime other than the one at the endpoint; tests give a fake.
    pub runtime: Option<Arc<dyn cri::Runtime>>,
    /// The configuration as read, for /configz.
    pub raw: serde_json::Value,
}

impl Default for Config {
    fn default() -> Self {
        let hard = [
            ("memory.available", "100Mi"),
            ("nodefs.available", "10%"),
            ("nodefs.inodesFree", "5%"),
            ("imagefs.available", "15%"),
            ("imagefs.inodesFree", "5%"),
        ];
        Self {
            node_name: String::new(),
            node_ips: vec![],
            register_node: true,
            node_labels: BTreeMap::new(),
            register_taints: vec![],
            provider_id: String::new(),
            root_dir: "/var/lib/kubelet".into(),
            pod_logs_dir: "/var/log/pods".into(),
            runtime_endpoint: "unix:///run/containerd/containerd.sock".into(),
            image_endpoint: String::new(),
            runtime_request_timeout: Duration::from_secs(120),
            pod_infra_container_image: None,
            pinned_images: vec![],
            address: "0.0.0.0".into(),
            port: 10250,
            read_only_port: 0,
            healthz_port: 10248,
            healthz_address: "127.0.0.1".into(),
            tls_cert_file: None,
            tls_key_file: None,
            serving_cert_dir: None,
            client_ca_file: None,
            auth: Auth {
                anonymous: false,
                webhook: true,
                authorize: true,
                token_ttl: Duration::from_secs(120),
                allowed_ttl: Duration::from_secs(300),
                denied_ttl: Duration::from_secs(30),
            },
            debugging_handlers: true,
            cluster_dns: vec![],
            cluster_domain: "cluster.local".into(),
            resolv_conf: Some("/etc/resolv.conf".into()),
            max_pods: 110,
            pod_pids_limit: -1,
            static_pod_path: None,
            file_check: Duration::from_secs(20),
            sync_frequency: Duration::from_secs(60),
            cgroup_driver: "cgroupfs".into(),
            cgroups_per_qos: true,
            cgroup_root: String::new(),
            cpu_cfs_quota: true,
            cpu_cfs_period: Duration::from_millis(100),
            enforce_node_allocatable: vec!["pods".into()],
            kube_reserved: BTreeMap::new(),
            system_reserved: BTreeMap::new(),
            fail_swap_on: false,
            seccomp_default: false,
            allowed_unsafe_sysctls: vec![],
            serialize_image_pulls: true,
            max_parallel_image_pulls: 0,
            image_gc: ImageGc {
                high_percent: 85,
                low_percent: 80,
                min_age: Duration::from_secs(120),
                max_age: Duration::ZERO,
            },
            eviction: Eviction {
                hard: hard.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
                soft: BTreeMap::new(),
                soft_grace: BTreeMap::new(),
                max_pod_grace: 0,
                minimum_reclaim: BTreeMap::new(),
                transition: Duration::from_secs(300),
                period: Duration::from_secs(10),
            },
            max_container_restart_period: Duration::from_secs(300),
            container_log_max_size: 10 << 20,
            container_log_max_files: 5,
            node_status_update: Duration::from_secs(10),
            node_status_report: Duration::from_secs(300),
            lease_duration_seconds: 40,
            runtime: None,
            raw: serde_json::Value::Null,
        }
    }
}
