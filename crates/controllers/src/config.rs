//! What the controllers need to know of the cluster.

use client::Client;
use std::sync::Arc;
use std::time::Duration;

/// A certificate authority, PEM.
#[derive(Clone)]
pub struct KeyPair {
    pub cert_pem: String,
    pub key_pem: String,
}

/// Makes the token that a Secret holds for its ServiceAccount, of both as JSON.
pub type LegacyToken =
    Arc<dyn Fn(&serde_json::Value, &serde_json::Value) -> Result<String, String> + Send + Sync>;

/// Makes a client for a service account in kube-system (without prefix), or for the controller manager itself when the
/// name is empty.
pub type ClientFor = Arc<dyn Fn(&str) -> Client + Send + Sync>;

/// The configuration of all controllers; names and defaults are those of kube-controller-manager's flags.
#[derive(Clone)]
pub struct Config {
    pub client_for: ClientFor,
    /// `--controllers`: names, `*` for all that are on by default, `-name` for off.
    pub controllers: Vec<String>,
    /// `--cluster-cidr`, one or two; with none, nodes get no pod range.
    pub cluster_cidrs: Vec<String>,
    /// `--service-cluster-ip-range`, one or two.
    pub service_cidrs: Vec<String>,
    /// `--node-cidr-mask-size-ipv4` and `-ipv6`.
    pub node_cidr_mask: (u8, u8),
    /// `--root-ca-file`: published to every namespace, if not empty.
    pub root_ca: String,
    /// `--cluster-signing-{cert,key}-file`: signs certificates, if given.
    pub signer: Option<KeyPair>,
    /// `--service-account-private-key-file`: makes tokens for Secrets that ask for one, if given.
    pub legacy_token: Option<LegacyToken>,
    /// `--cluster-signing-duration`
    pub signing_duration: Duration,
    /// `--node-monitor-period`
    pub node_monitor_period: Duration,
    /// `--node-monitor-grace-period`
    pub node_monitor_grace: Duration,
    /// `--node-startup-grace-period`
    pub node_startup_grace: Duration,
    /// `--node-eviction-rate` and `--secondary-node-eviction-rate`, nodes a second.
    pub eviction_rate: (f64, f64),
    /// `--large-cluster-size-threshold`
    pub large_cluster: usize,
    /// `--unhealthy-zone-threshold`
    pub unhealthy_zone: f64,
    /// `--terminated-pod-gc-threshold`; 0 is off.
    pub terminated_pods: usize,
    /// `--max-endpoints-per-slice`
    pub max_endpoints_per_slice: usize,
    /// `--resource-quota-sync-period`
    pub quota_sync: Duration,
    /// `--legacy-service-account-token-clean-up-period`
    pub legacy_token_cleanup: Duration,
    pub hpa: Hpa,
    /// The host this runs on, for events and lease holders.
    pub host: String,
}

/// The `--horizontal-pod-autoscaler-…` flags.
#[derive(Clone)]
pub struct Hpa {
    pub sync_period: Duration,
    pub downscale_stabilization: Duration,
    pub cpu_initialization: Duration,
    pub initial_readiness_delay: Duration,
    pub tolerance: f64,
}

impl Config {
    /// Upstream's defaults, and nothing that the cluster has to say.
    pub fn new(client_for: ClientFor) -> Self {
        let secs = Duration::from_secs;
        Self {
            client_for,
            controllers: vec!["*".into()],
            cluster_cidrs: Vec::new(),
            service_cidrs: Vec::new(),
            node_cidr_mask: (24, 64),
            root_ca: String::new(),
            signer: None,
            legacy_token: None,
            signing_duration: secs(365 * 24 * 3600),
            node_monitor_period: secs(5),
            node_monitor_grace: secs(50),
            node_startup_grace: secs(60),
            eviction_rate: (0.1, 0.01),
            large_cluster: 50,
            unhealthy_zone: 0.55,
            terminated_pods: 12_500,
            max_endpoints_per_slice: 100,
            quota_sync: secs(300),
            legacy_token_cleanup: secs(365 * 24 * 3600),
            hpa: Hpa {
                sync_period: secs(15),
                downscale_stabilization: secs(300),
                cpu_initialization: secs(300),
                initial_readiness_delay: secs(30),
                tolerance: 0.1,
            },
            host: "localhost".into(),
        }
    }
}
