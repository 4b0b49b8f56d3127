//! The command line and the `KubeProxyConfiguration` file (`kubeproxy.config.k8s.io/v1alpha1`), as one thing.
//!
//! As in upstream, a configuration file stands for all flags but `--hostname-override`, `--master` and `-v`.

use clap::{ArgAction, Parser};
use ipnet::IpNet;
use meta::Value;
use meta::object::ObjectExt;
use runtime::args::{Foreign, Old};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

pub const NAME: &str = "kube-proxy";

/// Leads the traffic of Services to their pods, with nftables.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-proxy", disable_version_flag = true, args_override_self = true)]
pub struct Flags {
    /// The path to the configuration file; it stands for the other flags.
    #[arg(long, default_value = "")]
    pub config: String,
    /// How to reach the API server. Default: from inside the pod.
    #[arg(long, default_value = "")]
    pub kubeconfig: String,
    /// The address of the Kubernetes API server (overrides any value in kubeconfig).
    #[arg(long, default_value = "")]
    pub master: String,
    /// The name of this node. Default: the host name, in lower case.
    #[arg(long, default_value = "")]
    pub hostname_override: String,
    /// The family served: 0.0.0.0 or an IPv4 address is IPv4, `::` or an IPv6 address IPv6.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Where /healthz and /livez are served; empty: nowhere.
    #[arg(long, default_value = "0.0.0.0:10256")]
    pub healthz_bind_address: String,
    /// Where /metrics and /proxyMode are served; empty: nowhere.
    #[arg(long, default_value = "127.0.0.1:10249")]
    pub metrics_bind_address: String,
    /// Addresses of pods: what comes from elsewhere to a Service leaves with the node's address.
    #[arg(long, default_value = "")]
    pub cluster_cidr: String,
    /// How traffic is led: nftables. The older iptables and ipvs are carried out by nftables, too.
    #[arg(long, default_value = "", value_parser = ["", "nftables", "iptables", "ipvs"])]
    pub proxy_mode: String,
    /// Give everything on its way to a Service the node's address.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub masquerade_all: bool,
    /// Take the rules away and end.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub cleanup: bool,
    /// How much is logged: 0 notices, 4 debug, 6 trace.
    #[arg(short, long, default_value_t = 0)]
    pub v: u8,
    /// Print the version and end.
    #[arg(long)]
    pub version: bool,
}

pub const OLD: &[Old] = &[
    Old {
        name: "logtostderr",
        switch: true,
        now: None,
        became: "is always so: the log goes to standard error",
    },
    Old { name: "proxy-port-range", switch: false, now: None, became: "is gone with the userspace proxy" },
    Old { name: "cleanup-iptables", switch: true, now: Some("cleanup"), became: "is now --cleanup" },
];

/// Flags of upstream's that are not carried out (pkg: cmd/kube-proxy/app/options.go), and their harmless values.
pub const FOREIGN: &[Foreign] = &[
    Foreign("bind-address-hard-fail", true, &["false"]),
    Foreign("config-sync-period", false, &["15m0s"]),
    Foreign("conntrack-max-per-core", false, &["32768", "0"]),
    Foreign("conntrack-min", false, &["131072", "0"]),
    Foreign("conntrack-tcp-be-liberal", true, &["false"]),
    Foreign("conntrack-tcp-timeout-close-wait", false, &["1h0m0s", "0s", "0"]),
    Foreign("conntrack-tcp-timeout-established", false, &["24h0m0s", "0s", "0"]),
    Foreign("conntrack-udp-timeout", false, &["0s", "0"]),
    Foreign("conntrack-udp-timeout-stream", false, &["0s", "0"]),
    Foreign("detect-local-mode", false, &["", "ClusterCIDR"]),
    Foreign("feature-gates", false, &[""]),
    Foreign("healthz-port", false, &["10256"]),
    Foreign("init-only", true, &["false"]),
    Foreign("iptables-localhost-nodeports", true, &["true", "false"]),
    Foreign("iptables-masquerade-bit", false, &["14"]),
    Foreign("iptables-min-sync-period", false, &["1s"]),
    Foreign("iptables-sync-period", false, &["30s"]),
    Foreign("ipvs-exclude-cidrs", false, &[""]),
    Foreign("ipvs-min-sync-period", false, &["1s"]),
    Foreign("ipvs-scheduler", false, &["", "rr"]),
    Foreign("ipvs-strict-arp", true, &["false"]),
    Foreign("ipvs-sync-period", false, &["30s"]),
    Foreign("ipvs-tcp-timeout", false, &["0s", "0"]),
    Foreign("ipvs-tcpfin-timeout", false, &["0s", "0"]),
    Foreign("ipvs-udp-timeout", false, &["0s", "0"]),
    Foreign("kube-api-burst", false, &["10"]),
    Foreign("kube-api-content-type", false, &["application/vnd.kubernetes.protobuf"]),
    Foreign("kube-api-qps", false, &["5"]),
    Foreign("log-flush-frequency", false, &["5s"]),
    Foreign("logging-format", false, &["text"]),
    Foreign("metrics-port", false, &["10249"]),
    Foreign("nodeport-addresses", false, &[""]),
    Foreign("oom-score-adj", false, &["-999"]),
    Foreign("pod-bridge-interface", false, &[""]),
    Foreign("pod-interface-name-prefix", false, &[""]),
    Foreign("profiling", true, &["false"]),
    Foreign("show-hidden-metrics-for-version", false, &[""]),
    Foreign("vmodule", false, &[""]),
    Foreign("write-config-to", false, &[""]),
];

/// Fields that are not carried out, and the values that ask for what happens anyway (besides zero and empty ones).
const FIELDS: &[(&str, &[&str])] = &[
    ("clientConnection.acceptContentTypes", &[]),
    ("clientConnection.burst", &["10"]),
    ("clientConnection.contentType", &["application/vnd.kubernetes.protobuf"]),
    ("clientConnection.qps", &["5"]),
    ("bindAddressHardFail", &[]),
    ("configSyncPeriod", &["0s", "15m0s"]),
    ("conntrack.max", &[]),
    ("conntrack.maxPerCore", &["32768"]),
    ("conntrack.min", &["131072"]),
    ("conntrack.tcpBeLiberal", &[]),
    ("conntrack.tcpCloseWaitTimeout", &["1h0m0s", "0s"]),
    ("conntrack.tcpEstablishedTimeout", &["24h0m0s", "0s"]),
    ("conntrack.udpStreamTimeout", &["0s"]),
    ("conntrack.udpTimeout", &["0s"]),
    ("detectLocal.bridgeInterface", &[]),
    ("detectLocal.interfaceNamePrefix", &[]),
    ("detectLocalMode", &["ClusterCIDR"]),
    ("enableProfiling", &[]),
    ("featureGates", &[]),
    ("iptables.localhostNodePorts", &["true"]),
    ("iptables.masqueradeBit", &["14"]),
    ("iptables.minSyncPeriod", &["0s", "1s"]),
    ("iptables.syncPeriod", &["0s", "30s"]),
    ("ipvs.excludeCIDRs", &[]),
    ("ipvs.minSyncPeriod", &["0s", "1s"]),
    ("ipvs.scheduler", &["rr"]),
    ("ipvs.strictARP", &[]),
    ("ipvs.syncPeriod", &["0s", "30s"]),
    ("ipvs.tcpFinTimeout", &["0s"]),
    ("ipvs.tcpTimeout", &["0s"]),
    ("ipvs.udpTimeout", &["0s"]),
    ("logging.flushFrequency", &["5000000000", "5s"]),
    ("logging.format", &["text"]),
    ("logging.options", &[]),
    ("logging.verbosity", &[]),
    ("logging.vmodule", &[]),
    ("nftables.masqueradeBit", &["14"]),
    ("nftables.minSyncPeriod", &["0s", "1s"]),
    ("nftables.syncPeriod", &["0s", "30s"]),
    ("nodePortAddresses", &[]),
    ("oomScoreAdj", &["-999"]),
    ("portRange", &[]),
    ("showHiddenMetricsForVersion", &[]),
    ("windowsRunAsService", &[]),
];

const TAKEN: &[&str] = &[
    "apiVersion",
    "kind",
    "bindAddress",
    "clientConnection.kubeconfig",
    "clusterCIDR",
    "healthzBindAddress",
    "hostnameOverride",
    "iptables.masqueradeAll",
    "metricsBindAddress",
    "mode",
    "nftables.masqueradeAll",
];

fn nothing(v: &Value) -> bool {
    match v {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.values().all(nothing),
        Value::Bool(true) => false,
    }
}

/// Refuses fields that do not exist, and those that ask for something that is not done.
fn check_fields(v: &Value, at: &str) -> Result<(), String> {
    for (k, v) in v.as_object().into_iter().flatten() {
        let path = if at.is_empty() { k.clone() } else { format!("{at}.{k}") };
        if TAKEN.contains(&path.as_str()) {
            continue;
        }
        if let Some((_, fine)) = FIELDS.iter().find(|f| f.0 == path) {
            let text = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            if !nothing(v) && !fine.contains(&text.as_str()) {
                return Err(format!(
                    "{path}: {text}: keelson's kube-proxy does not do that; leave the field out"
                ));
            }
            continue;
        }
        let inner = format!("{path}.");
        if TAKEN.iter().any(|t| t.starts_with(&inner)) || FIELDS.iter().any(|f| f.0.starts_with(&inner)) {
            check_fields(v, &path)?;
        } else {
            return Err(format!("unknown field {path:?}"));
        }
    }
    Ok(())
}

/// An address with a port; the port may be left out in files.
pub fn address(what: &str, text: &str, port: u16) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let ip = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port));
    let a =
        text.parse().or(ip).map_err(|_| format!("{what}: {text:?} is no address such as 0.0.0.0:{port}"))?;
    Ok(Some(a))
}

/// Ranges of addresses, separated by commas.
pub fn ranges(text: &str) -> Result<Vec<IpNet>, String> {
    let one =
        |t: &str| t.parse().map_err(|_| format!("--cluster-cidr: {t:?} is no range such as 10.244.0.0/16"));
    text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(one).collect()
}

impl Flags {
    /// Puts the configuration file over the flags, if there is one.
    pub fn with_file(self) -> Result<Self, String> {
        if self.config.is_empty() {
            return Ok(self);
        }
        let text = std::fs::read(&self.config).map_err(|e| format!("open {}: {e}", self.config))?;
        let v = schema::yaml::parse(&text).map_err(|e| format!("{}: {e}", self.config))?;
        let path = self.config.clone();
        self.over(&v).map_err(|e| format!("{path}: {e}"))
    }

    fn over(mut self, v: &Value) -> Result<Self, String> {
        if v.str_at("kind") != "KubeProxyConfiguration"
            || v.str_at("apiVersion") != "kubeproxy.config.k8s.io/v1alpha1"
        {
            return Err("not a KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1".into());
        }
        check_fields(v, "")?;
        let or = |path: &str, default: &str| match v.str_at(path) {
            "" => default.to_owned(),
            s => s.to_owned(),
        };
        self.kubeconfig = or("clientConnection.kubeconfig", "");
        self.bind_address = or("bindAddress", "0.0.0.0")
            .parse()
            .map_err(|_| format!("bindAddress: {:?} is no address", v.str_at("bindAddress")))?;
        self.healthz_bind_address = or("healthzBindAddress", "0.0.0.0:10256");
        self.metrics_bind_address = or("metricsBindAddress", "127.0.0.1:10249");
        self.cluster_cidr = or("clusterCIDR", "");
        self.proxy_mode = or("mode", "");
        if !matches!(self.proxy_mode.as_str(), "" | "nftables" | "iptables" | "ipvs") {
            return Err(format!("mode: {:?} is unknown", self.proxy_mode));
        }
        self.masquerade_all = v.bool_at("nftables.masqueradeAll") || v.bool_at("iptables.masqueradeAll");
        if self.hostname_override.is_empty() {
            self.hostname_override = or("hostnameOverride", "");
        }
        Ok(self)
    }

    pub fn kubeconfig(&self) -> Option<PathBuf> {
        Some(PathBuf::from(&self.kubeconfig)).filter(|p| p != Path::new(""))
    }

    pub fn families(&self) -> Vec<proxyplan::Family> {
        match self.bind_address {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V4(_) => vec![proxyplan::Family::V4],
            IpAddr::V6(_) => vec![proxyplan::Family::V6],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(args: &[&str]) -> Result<Flags, String> {
        let args = args.iter().map(|a| (*a).to_owned()).collect();
        guard::flags::parse(args, NAME, OLD, &[FOREIGN]).map(|(f, _)| f).map_err(|e| e.0)
    }

    #[test]
    fn the_guides_line_is_understood() {
        let f = flags(&[
            "--bind-address=192.0.2.1",
            "--hostname-override=192.0.2.1",
            "--kubeconfig=/etc/kubernetes/kube-proxy.kubeconfig",
            "--logtostderr=true",
            "--v=2",
        ])
        .unwrap();
        assert_eq!(f.hostname_override, "192.0.2.1");
        assert!(flags(&["--nodeport-addresses=primary"]).unwrap_err().contains("does not do that"));
        assert_eq!(flags(&["--x=1"]).unwrap_err(), "unknown flag: --x");
    }

    #[test]
    fn files_are_checked() {
        let over = |text: &str| {
            let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
            let v = schema::yaml::parse(format!("{head}{text}").as_bytes()).unwrap();
            flags(&[]).unwrap().over(&v)
        };
        let f = over("clientConnection: {kubeconfig: /k, qps: 0}\nclusterCIDR: 10.1.0.0/16\nmode: iptables\niptables: {masqueradeAll: true, syncPeriod: 0s}\nconntrack: {maxPerCore: null}\n").unwrap();
        assert_eq!(
            (f.kubeconfig.as_str(), f.cluster_cidr.as_str(), f.masquerade_all),
            ("/k", "10.1.0.0/16", true)
        );
        assert!(over("nodePortAddresses: [primary]\n").unwrap_err().contains("nodePortAddresses"));
        assert!(over("ipvs: {what: 1}\n").unwrap_err().contains("unknown field \"ipvs.what\""));
    }

    #[test]
    fn addresses_and_ranges() {
        assert_eq!(address("x", "", 1), Ok(None));
        assert_eq!(address("x", "127.0.0.1", 7), Ok("127.0.0.1:7".parse().ok()));
        assert!(address("x", "a:b", 7).is_err());
        assert!(ranges("10.0.0.0/8,fd00::/8").is_ok() && ranges("10").is_err());
    }
}
