//! The applet `net`: the pod network of one host, for nodes that run each component by itself.
//!
//! It follows the nodes: this host gets routes to the pods of the others, and where it is a node itself, the CNI
//! configuration of its own share; network policies are enforced. `net status` tells what is there, like `calicoctl node status`.

use clap::Parser;
use client::{Client, HttpTransport};
use runtime::Runtime;
use runtime::args::Old;
use runtime::notify::Notify;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "net";
/// Where `keelson net` keeps the addresses of pods.
const ADDRESSES: &str = "/var/lib/cni/keelson";

/// The pod network of this host: routes to the pods of other nodes, masquerade, the CNI configuration.
#[derive(Clone, Debug, Parser)]
#[command(name = "keelson net", disable_version_flag = true, args_override_self = true)]
struct Flags {
    /// How to reach the API server. Default: from inside the pod.
    #[arg(long, default_value = "")]
    kubeconfig: String,
    /// The address of the Kubernetes API server (overrides any value in kubeconfig).
    #[arg(long, default_value = "")]
    master: String,
    /// The name of this node. Default: the host name, in lower case.
    #[arg(long, default_value = "")]
    hostname_override: String,
    /// Addresses of the pods of all nodes: what leaves them gets the host's address.
    #[arg(long, default_value = "10.244.0.0/16")]
    cluster_cidr: ipnet::Ipv4Net,
    /// Addresses of Services.
    #[arg(long, default_value = "10.96.0.0/12")]
    service_cluster_ip_range: ipnet::Ipv4Net,
    /// Where the container runtime looks for CNI configurations.
    #[arg(long, default_value = "/etc/cni/net.d")]
    cni_conf_dir: PathBuf,
    /// Where it looks for CNI plugins: links to this program are made there.
    #[arg(long, default_value = "/opt/cni/bin")]
    cni_bin_dir: PathBuf,
    /// Where addresses of pods are reserved.
    #[arg(long, default_value = ADDRESSES)]
    data_dir: PathBuf,
    /// How much is logged: 0 notices, 4 debug, 6 trace.
    #[arg(short, long, default_value_t = 0)]
    v: u8,
    /// Print the version and end.
    #[arg(long)]
    version: bool,
}

const OLD: &[Old] = &[];

pub fn main(mut args: Vec<String>) -> ExitCode {
    if args.first().is_some_and(|a| a == "status") {
        args.remove(0);
        return status(args);
    }
    let (flags, _): (Flags, _) = match guard::flags::parse(args, NAME, OLD, &[]) {
        Ok(f) => f,
        Err(e) => return guard::flags::last_words("keelson net", &e),
    };
    if flags.version {
        println!("keelson {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let (pods, services) = (flags.cluster_cidr, flags.service_cluster_ip_range);
    if pods.contains(&services.network()) || services.contains(&pods.network()) {
        eprintln!(
            "keelson net: --cluster-cidr {pods} and --service-cluster-ip-range {services} overlap: choose ranges apart"
        );
        return ExitCode::FAILURE;
    }
    runtime::log::init(flags.v);
    crate::block_on(run(flags))
}

/// The other nodes, the way to each (direct over a common link, or a tunnel), and whether their pods can be reached.
/// Exit code 1: something is not well.
#[derive(Debug, Parser)]
#[command(name = "keelson net status")]
struct Status {
    /// The data directory of `keelson server` or `agent`. Default: what is there, of `keelson net` first.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

impl Flags {
    fn node_name(&self) -> String {
        match self.hostname_override.trim() {
            "" => crate::nodeconf::host_name(),
            n => n.to_lowercase(),
        }
    }
    fn client(&self, rt: &Runtime) -> Result<Client, String> {
        let kubeconfig = Some(Path::new(&self.kubeconfig)).filter(|p| !p.as_os_str().is_empty());
        let connection =
            client::Config::for_component(kubeconfig, &self.master).map_err(|e| e.to_string())?;
        let transport = HttpTransport::new(connection, rt).map_err(|e| e.to_string())?;
        Ok(Client::new(Arc::new(transport)).named("keelson-net"))
    }
}

async fn run(f: Flags) -> Result<(), String> {
    let rt = Runtime::new();
    let client = f.client(&rt)?;
    crate::node::link_plugins(&f.cni_bin_dir)?;
    let config = cni::Config {
        node_name: f.node_name(),
        cluster_cidr: f.cluster_cidr,
        service_cidr: f.service_cluster_ip_range,
        cni_conf_dir: f.cni_conf_dir.clone(),
        data_dir: f.data_dir.clone(),
        mtu: 0,
    };
    let notify = Notify::from_env();
    // A host that is no node (yet) has routes all the same: it is ready when it follows.
    notify.ready();
    let signals = rt.clone();
    rt.spawn_until_stop("signals", async move {
        runtime::tasks::terminated().await;
        notify.stopping();
        signals.stop_token().cancel();
    });
    // Network policies are the pod network's to enforce, as with other networks.
    let policies = kube_proxy::policy::run(f.node_name(), vec![false], client.clone(), rt.clone());
    rt.spawn_until_stop("network-policy", policies);
    let done = cni::run(config, client, rt.clone()).await.map_err(|e| e.to_string());
    rt.shutdown(Duration::from_secs(5)).await;
    done
}

/// Prints how things stand, from what the pod network of this host keeps on disk.
fn status(args: Vec<String>) -> ExitCode {
    let s: Status = match crate::flags::parse("keelson net status", args) {
        Ok(s) => s,
        Err(code) => return code,
    };
    let own = PathBuf::from(ADDRESSES);
    let dir = match s.data_dir {
        Some(d) => crate::node::addresses(&d),
        None if cni::status::kept(&own) => own,
        None => crate::node::addresses(Path::new("/var/lib/keelson")),
    };
    match cni::status::report(&dir) {
        Ok((text, well)) => {
            print!("{text}");
            if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(e) => {
            eprintln!("keelson net: {e}");
            ExitCode::FAILURE
        }
    }
}
