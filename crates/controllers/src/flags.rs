//! kube-controller-manager's command line, with upstream's names and defaults.

use crate::config::{Config, KeyPair};
use clap::{ArgAction, Parser};
use ipnet::IpNet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The Kubernetes controller manager: keeps the cluster as its objects say.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-controller-manager", disable_version_flag = true, args_override_self = true)]
pub struct Flags {
    /// The address of the Kubernetes API server (overrides any value in kubeconfig).
    #[arg(long, default_value = "")]
    pub master: String,
    /// How to reach the API server. Default: from inside the pod.
    #[arg(long, default_value = "")]
    pub kubeconfig: String,
    #[command(flatten)]
    pub serving: guard::Serving,
    /// Controllers to run: `*` those that are on by default, `name`, `-name`.
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    pub controllers: Vec<String>,
    /// Act with a service account for each controller, as RBAC's bootstrap roles have it, and not with one identity.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub use_service_account_credentials: bool,

    // Nodes and addresses
    /// Give each node a share of --cluster-cidr.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub allocate_node_cidrs: bool,
    /// Addresses of pods: a range, or one of each family.
    #[arg(long, default_value = "")]
    pub cluster_cidr: String,
    /// Addresses of Services: no node's share lies in them.
    #[arg(long, default_value = "")]
    pub service_cluster_ip_range: String,
    /// The cluster's name, which only cloud providers use.
    #[arg(long, default_value = "kubernetes")]
    pub cluster_name: String,
    /// The prefix of a node's share. Default: 24, or 64 for IPv6.
    #[arg(long, default_value_t = 0)]
    pub node_cidr_mask_size: u8,
    #[arg(long, default_value_t = 0)]
    pub node_cidr_mask_size_ipv4: u8,
    #[arg(long, default_value_t = 0)]
    pub node_cidr_mask_size_ipv6: u8,
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub node_monitor_period: Duration,
    #[arg(long, default_value = "50s", value_parser = duration)]
    pub node_monitor_grace_period: Duration,
    #[arg(long, default_value = "1m0s", value_parser = duration)]
    pub node_startup_grace_period: Duration,
    /// Nodes a second whose pods are evicted while their zone is healthy.
    #[arg(long, default_value_t = 0.1)]
    pub node_eviction_rate: f64,
    /// The same while it is not.
    #[arg(long, default_value_t = 0.01)]
    pub secondary_node_eviction_rate: f64,
    #[arg(long, default_value_t = 50)]
    pub large_cluster_size_threshold: usize,
    #[arg(long, default_value_t = 0.55)]
    pub unhealthy_zone_threshold: f64,

    // Keys
    /// The authority that signs certificates of the cluster; empty: none are signed.
    #[arg(long, default_value = "")]
    pub cluster_signing_cert_file: String,
    #[arg(long, default_value = "")]
    pub cluster_signing_key_file: String,
    /// How long signed certificates are good.
    #[arg(long, default_value = "8760h0m0s", value_parser = duration)]
    pub cluster_signing_duration: Duration,
    /// The private key that signs the tokens of Secrets; empty: none are made.
    #[arg(long, default_value = "")]
    pub service_account_private_key_file: String,
    /// The authority that pods are told, in a ConfigMap of each namespace.
    #[arg(long, default_value = "")]
    pub root_ca_file: String,

    // Controllers
    #[arg(long, default_value_t = 100)]
    pub max_endpoints_per_slice: usize,
    /// Ended pods that are kept; 0: all.
    #[arg(long, default_value_t = 12_500)]
    pub terminated_pod_gc_threshold: usize,
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub resource_quota_sync_period: Duration,
    #[arg(long, default_value = "8760h0m0s", value_parser = duration)]
    pub legacy_service_account_token_clean_up_period: Duration,
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub horizontal_pod_autoscaler_sync_period: Duration,
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub horizontal_pod_autoscaler_downscale_stabilization: Duration,
    #[arg(long, default_value = "5m0s", value_parser = duration)]
    pub horizontal_pod_autoscaler_cpu_initialization_period: Duration,
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub horizontal_pod_autoscaler_initial_readiness_delay: Duration,
    #[arg(long, default_value_t = 0.1)]
    pub horizontal_pod_autoscaler_tolerance: f64,

    // Leading
    /// Work only while leading.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    pub leader_elect: bool,
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub leader_elect_lease_duration: Duration,
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub leader_elect_renew_deadline: Duration,
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub leader_elect_retry_period: Duration,
    #[arg(long, default_value = "leases", value_parser = ["leases"])]
    pub leader_elect_resource_lock: String,
    #[arg(long, default_value = "kube-controller-manager")]
    pub leader_elect_resource_name: String,
    #[arg(long, default_value = "kube-system")]
    pub leader_elect_resource_namespace: String,

    /// How much is logged: 0 notices, 4 debug, 6 trace.
    #[arg(short, long, default_value_t = 0)]
    pub v: u8,
    /// Print the version and end.
    #[arg(long)]
    pub version: bool,
}

fn duration(s: &str) -> Result<Duration, String> {
    let n = meta::time::parse_duration(s)?;
    u64::try_from(n).map(Duration::from_nanos).map_err(|_| "must not be negative".to_owned())
}

fn read(flag: &str, path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("--{flag}: cannot read {path}: {e}"))
}

fn ranges(flag: &str, text: &str) -> Result<Vec<IpNet>, String> {
    let one = |t: &str| t.parse().map_err(|_| format!("--{flag}: {t:?} is no range such as 10.0.0.0/16"));
    let all: Vec<IpNet> = text.split(',').filter(|t| !t.is_empty()).map(one).collect::<Result<_, _>>()?;
    match all.as_slice() {
        [] | [_] | [IpNet::V4(_), IpNet::V6(_)] | [IpNet::V6(_), IpNet::V4(_)] => Ok(all),
        _ => Err(format!("--{flag}: give one range, or one of each family")),
    }
}

impl Flags {
    pub fn kubeconfig(&self) -> Option<PathBuf> {
        Some(PathBuf::from(&self.kubeconfig)).filter(|p| p != Path::new(""))
    }

    /// Puts what the flags say into a configuration.
    pub fn fill(&self, c: &mut Config) -> Result<(), String> {
        self.check_leading()?;
        c.controllers.clone_from(&self.controllers);
        crate::list::check(&c.controllers)?;
        let (pods, services) = (
            ranges("cluster-cidr", &self.cluster_cidr)?,
            ranges("service-cluster-ip-range", &self.service_cluster_ip_range)?,
        );
        if let Some((p, s)) = pods
            .iter()
            .flat_map(|p| services.iter().map(move |s| (p, s)))
            .find(|(p, s)| p.contains(&s.network()) || s.contains(&p.network()))
        {
            return Err(format!(
                "--cluster-cidr {p} and --service-cluster-ip-range {s} overlap: choose ranges apart"
            ));
        }
        if self.allocate_node_cidrs {
            if pods.is_empty() {
                return Err("--cluster-cidr is needed with --allocate-node-cidrs".into());
            }
            c.cluster_cidrs = pods.iter().map(ToString::to_string).collect();
        }
        c.service_cidrs = services.iter().map(ToString::to_string).collect();
        let first = |a: u8, b: u8, default: u8| [a, b].into_iter().find(|m| *m != 0).unwrap_or(default);
        c.node_cidr_mask = (
            first(self.node_cidr_mask_size_ipv4, self.node_cidr_mask_size, 24),
            first(self.node_cidr_mask_size_ipv6, 0, 64),
        );
        for p in &pods {
            let mask = if matches!(p, IpNet::V4(_)) { c.node_cidr_mask.0 } else { c.node_cidr_mask.1 };
            if self.allocate_node_cidrs && (mask < p.prefix_len() || mask > p.max_prefix_len()) {
                return Err(format!(
                    "--node-cidr-mask-size: a node's /{mask} does not fit into --cluster-cidr {p}"
                ));
            }
        }
        c.node_monitor_period = self.node_monitor_period;
        c.node_monitor_grace = self.node_monitor_grace_period;
        c.node_startup_grace = self.node_startup_grace_period;
        c.eviction_rate = (self.node_eviction_rate, self.secondary_node_eviction_rate);
        c.large_cluster = self.large_cluster_size_threshold;
        c.unhealthy_zone = self.unhealthy_zone_threshold;
        c.max_endpoints_per_slice = self.max_endpoints_per_slice;
        c.terminated_pods = self.terminated_pod_gc_threshold;
        c.quota_sync = self.resource_quota_sync_period;
        c.legacy_token_cleanup = self.legacy_service_account_token_clean_up_period;
        c.signing_duration = self.cluster_signing_duration;
        c.hpa.sync_period = self.horizontal_pod_autoscaler_sync_period;
        c.hpa.downscale_stabilization = self.horizontal_pod_autoscaler_downscale_stabilization;
        c.hpa.cpu_initialization = self.horizontal_pod_autoscaler_cpu_initialization_period;
        c.hpa.initial_readiness_delay = self.horizontal_pod_autoscaler_initial_readiness_delay;
        c.hpa.tolerance = self.horizontal_pod_autoscaler_tolerance;
        self.keys(c)
    }

    fn check_leading(&self) -> Result<(), String> {
        let (lease, renew, retry) = (
            self.leader_elect_lease_duration,
            self.leader_elect_renew_deadline,
            self.leader_elect_retry_period,
        );
        if self.leader_elect && (lease <= renew || renew <= retry.mul_f64(1.2) || retry.is_zero()) {
            return Err(
                "--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline, and that \
                        greater than 1.2 times --leader-elect-retry-period"
                    .into(),
            );
        }
        Ok(())
    }

    fn keys(&self, c: &mut Config) -> Result<(), String> {
        match (self.cluster_signing_cert_file.as_str(), self.cluster_signing_key_file.as_str()) {
            ("", "") => tracing::info!("no --cluster-signing-cert-file: certificates are not signed"),
            ("", _) => return Err("--cluster-signing-key-file needs --cluster-signing-cert-file".into()),
            (_, "") => return Err("--cluster-signing-cert-file needs --cluster-signing-key-file".into()),
            (cert, key) => {
                let pair = KeyPair {
                    cert_pem: read("cluster-signing-cert-file", cert)?,
                    key_pem: read("cluster-signing-key-file", key)?,
                };
                crate::csr_signing::sign::Authority::new(&pair).map_err(|e| {
                    format!("--cluster-signing-cert-file {cert}, --cluster-signing-key-file {key}: {e}")
                })?;
                c.signer = Some(pair);
            }
        }
        if !self.root_ca_file.is_empty() {
            c.root_ca = read("root-ca-file", &self.root_ca_file)?;
        }
        let path = self.service_account_private_key_file.as_str();
        if !path.is_empty() {
            let text = read("service-account-private-key-file", path)?;
            let key = authn::keys::PrivateKey::from_pem(&text)
                .map_err(|e| format!("--service-account-private-key-file {path}: {e}"))?;
            let signer = authn::Signer::new(key, "");
            c.legacy_token = Some(Arc::new(move |account, secret| {
                signer.issue_legacy(account, secret).map_err(|e| e.to_string())
            }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::applet::parse;

    fn check(args: &[&str]) -> Result<Config, String> {
        let args = args.iter().map(|a| (*a).to_owned()).collect();
        let (flags, _) = parse(args).map_err(|e| e.0)?;
        let client = client::Client::new(Arc::new(client::fake::FakeApi::new()));
        let mut c = Config::new(Arc::new(move |_| client.clone()));
        flags.fill(&mut c).map(|()| c)
    }

    #[test]
    fn the_guides_line_is_understood() {
        let c = check(&[
            "--address=127.0.0.1",
            "--master=http://127.0.0.1:8080",
            "--allocate-node-cidrs=true",
            "--service-cluster-ip-range=10.68.0.0/16",
            "--cluster-cidr=172.20.0.0/16",
            "--cluster-name=kubernetes",
            "--leader-elect=true",
            "--cluster-signing-cert-file=",
            "--cluster-signing-key-file=",
            "--v=2",
        ])
        .unwrap();
        assert_eq!(
            (c.cluster_cidrs, c.service_cidrs),
            (vec!["172.20.0.0/16".into()], vec!["10.68.0.0/16".into()])
        );
        assert!(c.signer.is_none());
    }

    #[test]
    fn what_cannot_work_names_its_flag() {
        let no = |args: &[&str], words: &str| {
            let e = check(args).err().unwrap_or_default();
            assert!(e.contains(words), "{args:?}: {e}");
        };
        no(&["--allocate-node-cidrs"], "--cluster-cidr is needed");
        no(&["--cluster-cidr=10.0.0.0/8", "--service-cluster-ip-range=10.68.0.0/16"], "overlap");
        no(&["--cluster-cidr=a"], "is no range");
        no(&["--cluster-cidr=10.0.0.0/25", "--allocate-node-cidrs"], "does not fit");
        no(&["--cluster-signing-key-file=/x"], "needs --cluster-signing-cert-file");
        no(&["--root-ca-file=/nowhere"], "--root-ca-file: cannot read /nowhere");
        no(&["--controllers=nothing"], "nothing");
        no(&["--leader-elect-lease-duration=5s"], "greater than");
        no(&["--concurrent-gc-syncs=7"], "does not do that");
        no(&["--x"], "unknown flag: --x");
    }
}
