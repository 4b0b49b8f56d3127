//! Flags of `server` and `agent`: upstream's names where upstream has them.

use clap::Parser;
use std::net::IpAddr;
use std::path::PathBuf;

/// What server and agent share.
#[derive(Clone, Debug, Parser)]
pub struct Common {
    /// Where everything is kept: certificates, store, images, containers.
    #[arg(long, default_value = "/var/lib/keelson")]
    pub data_dir: PathBuf,
    /// The node's name. Default: the host name, in lower case.
    #[arg(long)]
    pub hostname_override: Option<String>,
    /// The address other nodes reach this one at. Default: that of the default route.
    #[arg(long)]
    pub node_ip: Option<IpAddr>,
    /// A container runtime that speaks CRI v1 (`unix:///run/containerd/containerd.sock`). Default: keelson runs
    /// containerd itself, under the data directory.
    #[arg(long)]
    pub container_runtime_endpoint: Option<String>,
    /// Address range of the pods of all nodes.
    #[arg(long, default_value = "10.244.0.0/16")]
    pub cluster_cidr: ipnet::Ipv4Net,
    /// Address range of Services.
    #[arg(long, default_value = "10.96.0.0/12")]
    pub service_cluster_ip_range: ipnet::Ipv4Net,
    /// The domain of the cluster's names.
    #[arg(long, default_value = "cluster.local")]
    pub cluster_domain: String,
    /// The address of the cluster's DNS Service. Default: the tenth of the Service range.
    #[arg(long)]
    pub cluster_dns: Option<IpAddr>,
    /// The image that holds a pod's namespaces.
    #[arg(long, default_value = crate::containerd::PAUSE_IMAGE)]
    pub pod_infra_container_image: String,
    /// Labels the node registers with: `key=value`, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub node_labels: Vec<String>,
    /// Taints the node registers with: `key=value:Effect`, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub register_with_taints: Vec<String>,
    /// Pods the node takes at most.
    #[arg(long, default_value_t = 110)]
    pub max_pods: usize,
    /// When pods are evicted, as the kubelet's flag has it: `signal<quantity`, separated by commas. The defaults leave
    /// less of large disks unused than the kubelet's own.
    #[arg(long, value_delimiter = ',', value_parser = threshold,
        default_value = "memory.available<100Mi,nodefs.available<5%,nodefs.inodesFree<5%,imagefs.available<5%")]
    pub eviction_hard: Vec<(String, String)>,
    /// How full the disk of images is, in percent, before unused ones are removed; 100 removes none.
    #[arg(long, default_value_t = 85, value_parser = clap::value_parser!(i64).range(1..=100))]
    pub image_gc_high_threshold: i64,
    /// How full it is when enough of them are removed.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(i64).range(0..=99))]
    pub image_gc_low_threshold: i64,
    /// How much is logged: 0 notices, 4 debug, 6 trace.
    #[arg(short, long, default_value_t = 2)]
    pub v: u8,
}

/// A whole cluster in one process: store, API server, controllers, scheduler, and this machine as its first node.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson server", version, after_help = SERVER_HELP)]
pub struct Server {
    #[command(flatten)]
    pub common: Common,
    /// The address the API is served on.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// The port the API is served on.
    #[arg(long, default_value_t = 6443)]
    pub secure_port: u16,
    /// The address that clients and other nodes find the API at. Default: --node-ip.
    #[arg(long)]
    pub advertise_address: Option<IpAddr>,
    /// More names and addresses for the API's certificate, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub tls_san: Vec<String>,
    /// Ports that Services of type NodePort may have.
    #[arg(long, default_value = "30000-32767", value_parser = port_range)]
    pub service_node_port_range: (u16, u16),
    /// Parts not to run, separated by commas: kubelet, kube-proxy, kube-dns, kube-scheduler, kube-controller-manager.
    #[arg(long, value_delimiter = ',', value_parser = ["kubelet", "kube-proxy", "kube-dns", "kube-scheduler", "kube-controller-manager"])]
    pub disable: Vec<String>,
    /// Controllers to run, as kube-controller-manager has it: `*`, `name`, `-name`.
    #[arg(long, value_delimiter = ',', default_value = "*")]
    pub controllers: Vec<String>,
    /// API versions to serve beside the default ones: `resource.k8s.io/v1beta2=true`, `api/all=true`.
    #[arg(long, value_delimiter = ',')]
    pub runtime_config: Vec<String>,
    /// An etcd cluster that keeps everything, and that several servers share; none: this server keeps it itself. Each
    /// server after the first needs --token.
    #[arg(long, value_delimiter = ',')]
    pub etcd_servers: Vec<String>,
    /// The authority of those servers.
    #[arg(long, requires = "etcd_servers")]
    pub etcd_cafile: Option<PathBuf>,
    /// What they are shown.
    #[arg(long, requires = "etcd_servers")]
    pub etcd_certfile: Option<PathBuf>,
    #[arg(long, requires = "etcd_servers")]
    pub etcd_keyfile: Option<PathBuf>,
    /// The server token of the cluster: the content of <data-dir>/server-token on its first server. On the first
    /// server: the one to have; not given, one is made.
    #[arg(long, env = "KEELSON_SERVER_TOKEN", hide_env_values = true, requires = "etcd_servers")]
    pub token: Option<String>,
    /// A file that holds the server token.
    #[arg(long, conflicts_with = "token", requires = "etcd_servers")]
    pub token_file: Option<PathBuf>,
    /// Where the dashboard is served: an address and a port, or `off`. Default: 127.0.0.1:8444 if that is free. On a
    /// loopback address it is plain HTTP, on any other it is TLS with the API's certificate.
    #[arg(long, value_parser = dashboard_address)]
    pub dashboard_address: Option<DashboardAddress>,
    /// End the containers and the container runtime of this data directory, and exit.
    #[arg(long)]
    pub stop_containers: bool,
}

const SERVER_HELP: &str = "The admin's kubeconfig is <data-dir>/admin.kubeconfig, the token for agents <data-dir>/token; \
with --etcd-servers the token for further servers is <data-dir>/server-token. \
Image archives in <data-dir>/images are imported at start, and their images kept on a full disk.";

/// A node of a cluster whose server is elsewhere.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson agent", version)]
pub struct Agent {
    #[command(flatten)]
    pub common: Common,
    /// The server's address: `https://192.0.2.1:6443`. Several, separated by commas: another is taken when one is not
    /// there or not ready.
    #[arg(long, value_delimiter = ',', required = true)]
    pub server: Vec<String>,
    /// The token to join with: the content of <data-dir>/token on the server.
    #[arg(long, env = "KEELSON_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A file that holds the token.
    #[arg(long, conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
}

fn threshold(s: &str) -> Result<(String, String), String> {
    const SIGNALS: [&str; 7] = [
        "memory.available",
        "nodefs.available",
        "nodefs.inodesFree",
        "imagefs.available",
        "imagefs.inodesFree",
        "pid.available",
        "allocatableMemory.available",
    ];
    let (signal, quantity) = s
        .split_once('<')
        .ok_or_else(|| format!("{s:?} is not a threshold such as memory.available<100Mi"))?;
    if !SIGNALS.contains(&signal) {
        return Err(format!("{signal:?} is not a signal: {}", SIGNALS.join(", ")));
    }
    let percent = quantity.strip_suffix('%').and_then(|p| p.parse::<f64>().ok());
    if percent.is_none_or(|p| !(0.0..=100.0).contains(&p))
        && meta::quantity::Quantity::parse(quantity).is_err()
    {
        return Err(format!("{quantity:?} is neither a percentage nor a quantity"));
    }
    Ok((signal.to_owned(), quantity.to_owned()))
}

/// Where the dashboard is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DashboardAddress {
    Off,
    At(std::net::SocketAddr),
}

fn dashboard_address(s: &str) -> Result<DashboardAddress, String> {
    match s {
        "off" => Ok(DashboardAddress::Off),
        _ => s
            .parse()
            .map(DashboardAddress::At)
            .map_err(|_| format!("{s:?} is neither an address with a port such as 127.0.0.1:8444 nor `off`")),
    }
}

fn port_range(s: &str) -> Result<(u16, u16), String> {
    let bad = || format!("{s:?} is not a range of ports such as 30000-32767");
    let (a, b) = s.split_once('-').ok_or_else(bad)?;
    let (a, b) = (a.trim().parse().map_err(|_| bad())?, b.trim().parse().map_err(|_| bad())?);
    if a == 0 || a > b { Err(bad()) } else { Ok((a, b)) }
}

impl Common {
    pub fn dns_ip(&self) -> IpAddr {
        self.cluster_dns.unwrap_or_else(|| {
            let base = u32::from(self.service_cluster_ip_range.network());
            IpAddr::V4(std::net::Ipv4Addr::from(base.saturating_add(10)))
        })
    }
    pub fn node_name(&self) -> String {
        self.hostname_override.clone().unwrap_or_else(crate::nodeconf::host_name)
    }
    pub fn host_ip(&self) -> IpAddr {
        self.node_ip.unwrap_or_else(crate::nodeconf::host_ip)
    }
    /// Settings that no cluster could run with.
    pub fn check(&self) -> Result<(), String> {
        let (pods, services) = (self.cluster_cidr, self.service_cluster_ip_range);
        if pods.contains(&services.network()) || services.contains(&pods.network()) {
            return Err(format!(
                "--cluster-cidr {pods} and --service-cluster-ip-range {services} overlap: choose ranges apart"
            ));
        }
        if pods.prefix_len() > 24 {
            return Err(format!("--cluster-cidr {pods} is too small: each node takes a /24 of it"));
        }
        if services.prefix_len() > 28 {
            return Err(format!("--service-cluster-ip-range {services} is too small: a /28 is the least"));
        }
        let (low, high) = (self.image_gc_low_threshold, self.image_gc_high_threshold);
        if low >= high {
            return Err(format!(
                "--image-gc-low-threshold {low} must be less than --image-gc-high-threshold {high}"
            ));
        }
        match self.dns_ip() {
            IpAddr::V4(ip) if services.contains(&ip) => Ok(()),
            ip => Err(format!("--cluster-dns {ip} is not in --service-cluster-ip-range {services}")),
        }
    }
}

/// Parses flags; what clap has to say (help, version, an error) is printed, with exit code 1 for an error.
pub fn parse<T: Parser>(name: &str, args: Vec<String>) -> Result<T, std::process::ExitCode> {
    T::try_parse_from(std::iter::once(name.to_owned()).chain(args)).map_err(|e| {
        let _ = e.print();
        if e.use_stderr() { std::process::ExitCode::FAILURE } else { std::process::ExitCode::SUCCESS }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_cannot_work_are_refused() {
        let check = |extra: &[&str]| {
            let args = ["x", "--data-dir=/x"].iter().chain(extra);
            Common::try_parse_from(args).map_err(|e| e.to_string()).and_then(|c| c.check())
        };
        assert_eq!(check(&[]), Ok(()));
        assert!(check(&["--cluster-cidr=10.96.0.0/16"]).unwrap_err().contains("overlap"));
        assert!(check(&["--cluster-cidr=10.1.0.0/25"]).unwrap_err().contains("too small"));
        assert!(check(&["--cluster-dns=192.0.2.1"]).unwrap_err().contains("not in"));
        assert!(check(&["--max-pods=many"]).is_err());
    }

    #[test]
    fn dashboard_addresses() {
        assert_eq!(dashboard_address("off"), Ok(DashboardAddress::Off));
        assert!(matches!(dashboard_address("[::1]:8444"), Ok(DashboardAddress::At(_))));
        for bad in ["", "8444", "localhost", "127.0.0.1"] {
            assert!(dashboard_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn port_ranges() {
        assert_eq!(port_range("30000-32767"), Ok((30000, 32767)));
        for bad in ["", "1", "2-1", "0-5", "a-b", "1-70000"] {
            assert!(port_range(bad).is_err(), "{bad}");
        }
    }
}
